//! Peers behind relays: places kept at a stock relay, streams through it, and the direct connections that follow.

#![allow(clippy::unwrap_used)]

mod pair;

use std::time::Duration;

use causeway_host::{
    CircuitService, Host, HostConfig, Listen, OpenError, ReachConfig, ReachFacts, install_crypto_provider,
};
use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder, identify, noise, relay,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::{sync::watch, time::timeout};

use pair::{LES, next, string};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(NetworkBehaviour)]
struct Stock {
    identify: identify::Behaviour,
    relay: relay::Behaviour,
}

/// A relay of libp2p's stock parts, which runs until it is dropped.
struct StockRelay {
    addresses: Vec<String>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for StockRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn stock_relay(config: relay::Config) -> StockRelay {
    let mut swarm: Swarm<Stock> = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|key| Stock {
            identify: identify::Behaviour::new(identify::Config::new("stock/1".to_owned(), key.public())),
            relay: relay::Behaviour::new(key.public().to_peer_id(), config),
        })
        .unwrap()
        .build();
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        swarm.listen_on(listen.parse().unwrap()).unwrap();
    }
    let mut addresses: Vec<Multiaddr> = Vec::new();
    while addresses.len() < 2 {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            swarm.add_external_address(address.clone());
            addresses.push(address);
        }
    }
    let me = *swarm.local_peer_id();
    let addresses = addresses.iter().map(|address| format!("{address}/p2p/{me}")).collect();
    let task = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    StockRelay { addresses, task }
}

fn config(key: u8) -> HostConfig {
    install_crypto_provider();
    let any = ([127, 0, 0, 1], 0).into();
    let mut config = HostConfig::new([key; 32], LES.to_vec());
    config.listen = vec![Listen::Tcp(any), Listen::Quic(any)];
    config.reach.allow_private = true;
    config
}

async fn until(facts: &mut watch::Receiver<ReachFacts>, what: impl FnMut(&ReachFacts) -> bool) -> ReachFacts {
    timeout(PATIENCE, facts.wait_for(what)).await.expect("in time").expect("alive").clone()
}

async fn echo(ours: &mut causeway_host::ProtocolStream, theirs: &mut causeway_host::ProtocolStream) {
    let payload = string(100_000);
    for (from, to) in [(&mut ours.writer, &mut theirs.reader), (&mut theirs.writer, &mut ours.reader)] {
        from.write_item(7, &payload).await.expect("written");
        let read = to.read_item(None).await.expect("read").expect("an item");
        assert_eq!((read.code, read.payload.as_ref()), (7, payload.as_slice()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_behind_our_own_relay_is_reached_and_what_it_takes_is_counted() {
    let mut config = config(3);
    config.reach.circuits = CircuitService::Always;
    let (relay, _streams) = Host::start(config).await.expect("relay");
    for address in relay.addresses() {
        reached_through(&address).await;
    }

    let usage = relay.relay_usage();
    assert_eq!(usage.circuits, 2);
    assert!(usage.bytes > 4 * 100_000, "{usage:?}");
    assert_eq!(usage.peers.len(), 2, "the home and the one away: {usage:?}");
    assert_eq!(relay.restarts(), 0);
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_serves_nobody_offers_no_places() {
    let (relay, _streams) = Host::start(config(3)).await.expect("no relay");
    let mut home = config(1);
    home.reach = ReachConfig { relays: relay.addresses(), reservations: 1, ..home.reach };
    let (home, _streams) = Host::start(home).await.expect("home");
    let mut reach = home.reach();
    until(&mut reach, |facts| !facts.observed.is_empty()).await; // it has been asked who it is

    assert!(reach.borrow().reservations.is_empty());
    assert_eq!(relay.relay_usage().reservations, 0);
    home.shutdown().await;
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_behind_a_stock_relay_is_reached_through_it_and_then_directly() {
    let config = relay::Config { max_circuit_bytes: 0, ..relay::Config::default() };
    let relay = stock_relay(config).await;
    for address in &relay.addresses {
        reached_through(address).await;
    }
}

/// A home with a place at this relay, and somebody who comes through it.
async fn reached_through(relay: &str) {
    let mut home = config(1);
    home.reach = ReachConfig { relays: vec![relay.to_owned()], reservations: 1, ..home.reach };
    let (home, mut streams) = Host::start(home).await.expect("home");
    let mut reach = home.reach();
    let facts = until(&mut reach, |facts| {
        facts.reservations.iter().any(|reservation| !reservation.addresses.is_empty())
    })
    .await;
    let address = facts.reservations[0].addresses[0].clone();
    assert!(address.ends_with(&format!("/p2p-circuit/p2p/{}", home.peer_id_text())), "{address}");
    assert_eq!(home.addresses().len(), 2, "a place at a relay is no listener");

    let (away, _streams) = Host::start(config(2)).await.expect("away");
    let mut through = away.open_named(&address, &LES).await.expect("through the relay");
    let mut came = next(&mut streams).await;
    assert_eq!((through.transport, came.transport), ("relay", "relay"));
    echo(&mut through, &mut came).await;

    let mut direct = away.open_direct(&home.peer_id(), &LES, PATIENCE).await.expect("punched");
    let mut came_directly = next(&mut streams).await;
    assert!(["tcp", "quic"].contains(&direct.transport), "{}", direct.transport);
    assert_eq!(direct.transport, came_directly.transport);
    echo(&mut direct, &mut came_directly).await;
    echo(&mut through, &mut came).await;
    let observed = until(&mut reach, |facts| !facts.observed.is_empty()).await.observed;
    assert!(observed[0].listener.is_some(), "it came from the port at which we listen: {observed:?}");

    away.shutdown().await;
    home.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_lost_is_taken_elsewhere() {
    let (first, second) =
        (stock_relay(relay::Config::default()).await, stock_relay(relay::Config::default()).await);
    let mut home = config(1);
    home.reach = ReachConfig { relays: vec![first.addresses[1].clone()], reservations: 1, ..home.reach };
    let (home, _streams) = Host::start(home).await.expect("home");
    let mut reach = home.reach();
    until(&mut reach, |facts| !facts.reservations.is_empty()).await;
    home.offer_relays(&second.addresses).await.expect("alive");

    drop(first);

    let relay = second.addresses[0].rsplit('/').next().unwrap().to_owned();
    until(&mut reach, |facts| facts.reservations.iter().any(|reservation| reservation.relay == relay)).await;
    home.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_relay_or_has_no_place_is_left_alone() {
    let (bystander, _streams) = Host::start(config(3)).await.expect("bystander");
    let full = stock_relay(relay::Config { max_reservations: 0, ..relay::Config::default() }).await;
    let good = stock_relay(relay::Config::default()).await;
    let mut home = config(1);
    let mut relays = vec![bystander.addresses()[0].clone()];
    relays.extend([full.addresses[0].clone(), good.addresses[0].clone()]);
    home.reach = ReachConfig { relays, reservations: 1, ..home.reach };
    let (home, _streams) = Host::start(home).await.expect("home");

    let relay = good.addresses[0].rsplit('/').next().unwrap().to_owned();
    let facts = until(&mut home.reach(), |facts| !facts.reservations.is_empty()).await;

    assert_eq!(facts.reservations[0].relay, relay);
    assert_eq!(home.restarts(), 0);
    home.shutdown().await;
    bystander.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_knows_nobody_there_says_so_and_no_direct_connection_comes() {
    let relay = stock_relay(relay::Config::default()).await;
    let (away, _streams) = Host::start(config(2)).await.expect("away");
    let stranger = pair::client(9).await;
    let address = format!("{}/p2p-circuit/p2p/{}", relay.addresses[0], stranger.peer_id_text());

    let refused = away.open_named(&address, &LES).await.expect_err("nobody there");
    assert!(matches!(refused, OpenError::Unreachable { .. }), "{refused}");

    let none = away.open_direct(&stranger.peer_id(), &LES, Duration::from_millis(100)).await;
    assert!(matches!(none, Err(OpenError::Timeout { .. })));
    away.shutdown().await;
}

#[tokio::test]
async fn a_relay_that_is_none_is_refused_at_the_start() {
    let mut config = config(1);
    config.reach.relays = vec!["/ip4/127.0.0.1/tcp/1".to_owned()];

    let error = Host::start(config).await.expect_err("no peer id");

    assert!(error.to_string().contains("/p2p/16Uiu2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_reach_is_told_and_circuits_are_relayed_from_then_on() {
    let mut tester = config(3);
    tester.reach.dial_back = true;
    tester.reach.circuits = CircuitService::Always;
    let (tester, _streams) = Host::start(tester).await.expect("tester");
    let mut home = config(1);
    home.reach.circuits = CircuitService::WhenReachable;
    let (home, _streams) = Host::start(home).await.expect("home");
    let mut reach = home.reach();
    home.set_candidates(&home.addresses()).await.expect("addresses");

    let held = home.open_named(&tester.addresses()[0], &LES).await.expect("connected");
    until(&mut reach, |facts| facts.verdicts.iter().any(|verdict| verdict.reachable)).await;

    let mut away = config(2);
    away.reach = ReachConfig { relays: vec![home.addresses()[0].clone()], reservations: 1, ..away.reach };
    let (away, _streams) = Host::start(away).await.expect("away");
    until(&mut away.reach(), |facts| !facts.reservations.is_empty()).await;
    drop(held);
    for host in [away, home, tester] {
        host.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_becomes_a_relay_is_asked_again() {
    let mut relay = config(3);
    relay.reach.circuits = CircuitService::WhenReachable;
    let (relay, _streams) = Host::start(relay).await.expect("relay");
    let mut home = config(1);
    home.reach = ReachConfig { relays: vec![relay.addresses()[0].clone()], reservations: 1, ..home.reach };
    let (home, _streams) = Host::start(home).await.expect("home");
    let mut reach = home.reach();
    until(&mut reach, |facts| !facts.observed.is_empty()).await; // it was no relay
    assert!(reach.borrow().reservations.is_empty());

    let mut tester = config(2);
    tester.reach.dial_back = true;
    tester.reach.circuits = CircuitService::Always;
    let (tester, _streams) = Host::start(tester).await.expect("tester");
    relay.set_candidates(&relay.addresses()).await.expect("addresses");
    let held = relay.open_named(&tester.addresses()[0], &LES).await.expect("connected");

    until(&mut reach, |facts| !facts.reservations.is_empty()).await;
    drop(held);
    for host in [home, relay, tester] {
        host.shutdown().await;
    }
}

/// libp2p's client forgets all but one of them until something else happens on the connection with the relay.
#[tokio::test(flavor = "multi_thread")]
async fn peers_that_come_through_a_relay_at_the_same_moment_all_get_in() {
    let mut relay = config(30);
    relay.reach.circuits = CircuitService::Always;
    let (relay, _streams) = Host::start(relay).await.expect("relay");
    let mut home = config(31);
    home.reach = ReachConfig { relays: vec![relay.addresses()[1].clone()], reservations: 1, ..home.reach };
    let (home, mut streams) = Host::start(home).await.expect("home");
    let facts = until(&mut home.reach(), |facts| {
        facts.reservations.iter().any(|reservation| !reservation.addresses.is_empty())
    })
    .await;
    let address = facts.reservations[0].addresses[0].clone();
    let mut visitors = Vec::new();
    for key in 1..=8 {
        let visitor = pair::client(key).await;
        let via = relay.addresses()[1].clone();
        visitor.open_named(&via, &LES).await.expect("at the relay");
        visitors.push(visitor);
    }

    let (address, les) = (&address, &LES);
    let come = visitors.iter().map(|visitor| visitor.open_named(address, les));
    let came = timeout(Duration::from_secs(5), futures::future::join_all(come)).await.expect("at once");

    for stream in came {
        assert_eq!(stream.expect("through the relay").transport, "relay");
        next(&mut streams).await;
    }
    for host in visitors.into_iter().chain([home, relay]) {
        host.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_taken_again_after_a_panic() {
    let mut relay = config(40);
    relay.reach.circuits = CircuitService::Always;
    let (relay, _streams) = Host::start(relay).await.expect("relay");
    let mut home = config(41);
    home.reach.reservations = 1;
    let (home, _streams) = Host::start(home).await.expect("home");
    home.offer_relays(&relay.addresses()).await.expect("alive");
    let mut reach = home.reach();
    let before = until(&mut reach, |facts| !facts.reservations.is_empty()).await.reservations[0].since;

    home.panic_for_test().await;

    until(&mut reach, |facts| facts.reservations.iter().any(|reservation| reservation.since > before)).await;
    assert_eq!(home.restarts(), 1);
    home.shutdown().await;
    relay.shutdown().await;
}
