//! Hole punching with libp2p's stock peers, in both parts, over each transport.

#![allow(clippy::unwrap_used)]

mod pair;

use std::time::Duration;

use causeway_host::{
    CircuitService, Host, HostConfig, Listen, ReachConfig, ReachFacts, install_crypto_provider,
};
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, dcutr, identify, noise, relay,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::{sync::watch, time::timeout};

use pair::LES;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(NetworkBehaviour)]
struct Stock {
    identify: identify::Behaviour,
    relay: relay::client::Behaviour,
    dcutr: dcutr::Behaviour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    Tcp,
    Quic,
}

impl Over {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }
}

async fn host(key: u8, over: Over, reach: ReachConfig) -> Host {
    install_crypto_provider();
    let any = ([127, 0, 0, 1], 0).into();
    let mut config = HostConfig::new([key; 32], LES.to_vec());
    config.listen = vec![match over {
        Over::Tcp => Listen::Tcp(any),
        Over::Quic => Listen::Quic(any),
    }];
    config.reach = ReachConfig { allow_private: true, ..reach };
    let (host, mut streams) = Host::start(config).await.expect("host");
    tokio::spawn(async move { while streams.recv().await.is_some() {} });
    host
}

fn stock(over: Over) -> Swarm<Stock> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key, relay| Stock {
            identify: identify::Behaviour::new(identify::Config::new("stock/1".to_owned(), key.public())),
            relay,
            dcutr: dcutr::Behaviour::new(key.public().to_peer_id()),
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    let listen = match over {
        Over::Tcp => "/ip4/127.0.0.1/tcp/0",
        Over::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
    };
    swarm.listen_on(listen.parse().unwrap()).unwrap();
    swarm
}

/// Runs a stock peer until something happens.
async fn until_event(swarm: &mut Swarm<Stock>, mut what: impl FnMut(&SwarmEvent<StockEvent>) -> bool) {
    let wait = async { while !what(&swarm.select_next_some().await) {} };
    timeout(PATIENCE, wait).await.expect("in time");
}

fn identified(event: &SwarmEvent<StockEvent>) -> bool {
    matches!(event, SwarmEvent::Behaviour(StockEvent::Identify(identify::Event::Received { .. })))
}

async fn punched(facts: &mut watch::Receiver<ReachFacts>, over: Over) {
    let met =
        |facts: &ReachFacts| facts.punches.get(over.name()).is_some_and(|punches| punches.succeeded > 0);
    timeout(PATIENCE, facts.wait_for(met)).await.expect("in time").expect("alive");
}

async fn relay(over: Over) -> (Host, String) {
    let relay =
        host(9, over, ReachConfig { circuits: CircuitService::Always, ..ReachConfig::default() }).await;
    let address = relay.addresses()[0].clone();
    (relay, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_peer_that_calls_us_is_met() {
    for over in [Over::Tcp, Over::Quic] {
        let (relay, at) = relay(over).await;
        let home = host(
            1,
            over,
            ReachConfig { relays: vec![at.clone()], reservations: 1, ..ReachConfig::default() },
        )
        .await;
        let mut reach = home.reach();
        let held = |facts: &ReachFacts| !facts.reservations.is_empty();
        timeout(PATIENCE, reach.wait_for(held)).await.expect("in time").expect("alive");
        let mut caller = stock(over);
        caller.dial(at.parse::<Multiaddr>().unwrap()).unwrap();
        until_event(&mut caller, identified).await; // it knows where the relay sees it
        let circuit: Multiaddr = format!("{at}/p2p-circuit/p2p/{}", home.peer_id_text()).parse().unwrap();
        caller.dial(circuit).unwrap();

        let running = tokio::spawn(async move {
            loop {
                caller.select_next_some().await;
            }
        });
        punched(&mut reach, over).await;

        running.abort();
        home.shutdown().await;
        relay.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_peer_that_we_call_is_met() {
    for over in [Over::Tcp, Over::Quic] {
        let (relay, at) = relay(over).await;
        let mut called = stock(over);
        let me: PeerId = *called.local_peer_id();
        called.dial(at.parse::<Multiaddr>().unwrap()).unwrap();
        until_event(&mut called, identified).await;
        called.listen_on(format!("{at}/p2p-circuit").parse().unwrap()).unwrap();
        until_event(&mut called, |event| {
            matches!(
                event,
                SwarmEvent::Behaviour(StockEvent::Relay(relay::client::Event::ReservationReqAccepted { .. }))
            )
        })
        .await;
        let running = tokio::spawn(async move {
            loop {
                called.select_next_some().await;
            }
        });
        let caller = host(2, over, ReachConfig::default()).await;

        // It speaks nothing of ours, and is connected all the same.
        caller.open_named(&format!("{at}/p2p-circuit/p2p/{me}"), &LES).await.expect_err("no LES there");
        punched(&mut caller.reach(), over).await;

        running.abort();
        caller.shutdown().await;
        relay.shutdown().await;
    }
}
