//! A light peer that reaches a server at home through a relay: its session moves to a direct connection while it reads,
//! and no reader notices.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_primitives::keccak256;
use causeway_bridge::{Backend as _, Path};
use causeway_tests::{
    full_node,
    house::{Chain, FullNode, Relay, RelayOptions, Way, eventually, fresh_key, transports_config},
    kept_peer::KeptPeer,
    probe,
};
use causeway_transports::{Address, CircuitService, DialGuard, ReachConfig, TransportsConfig};
use causeway_wire::{ProofRequest, Query};
use tokio::time::timeout;

/// Readers at once, and questions of each: 1,000 in all.
const READERS: u64 = 8;
const EACH: u64 = 125;

/// The longest that nothing may be read while the session moves.
const GAP: Duration = Duration::from_secs(1);

/// How long a question may take in all.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server at home with its full node, and the relays that hand it over.
struct House {
    chain: Chain,
    full_node: FullNode,
    relays: Vec<Relay>,
    home: Relay,
}

impl House {
    async fn with_relays(count: usize) -> Self {
        let chain = Chain::new(8);
        let full_node = FullNode::start(&chain).await;
        let open =
            ReachConfig { circuits: CircuitService::Always, allow_private: true, ..ReachConfig::default() };
        let mut relays = Vec::new();
        for _ in 0..count {
            relays.push(Relay::start(RelayOptions { reach: open.clone(), ..RelayOptions::default() }).await);
        }
        let behind = ReachConfig {
            relays: relays.iter().map(quic).collect(),
            reservations: count,
            allow_private: true,
            ..ReachConfig::default()
        };
        let home = Relay::start(RelayOptions { reach: behind, ..RelayOptions::default() }).await;
        home.admit(&full_node.address()).await.expect("it is honest");
        home.reaches(chain.head().head.hash).await;
        let reach = home.transports.reach();
        eventually("home has its places", || reach.borrow().reservations.len() == count).await;
        Self { chain, full_node, relays, home }
    }
}

fn quic(relay: &Relay) -> String {
    let Address::Multiaddr(text) = relay.address(Way::Quic) else { panic!("no multiaddr") };
    text
}

fn home_through(home: &Relay, relay: &Relay) -> Address {
    Address::Multiaddr(format!("{}/p2p-circuit/p2p/{}", quic(relay), home.transports.peer_id_text()))
}

/// A light peer that listens nowhere, and dials on another's word only when it is `allowed`.
fn no_holes(allowed: Arc<AtomicBool>) -> TransportsConfig {
    let mut config = transports_config(fresh_key(), "KeptPeer");
    config.reach.reservations = 1;
    config.dial_guard = DialGuard::Only(Arc::new(move |_| allowed.load(Ordering::Relaxed)));
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_moves_from_a_relay_without_a_gap() {
    let House { chain, full_node, relays, home } = House::with_relays(1).await;
    let circuit = home_through(&home, &relays[0]);

    // Where it listens nowhere and dials nobody on another's word, no hole can be punched: the story says when.
    let direct_allowed = Arc::new(AtomicBool::new(false));
    let config = no_holes(Arc::clone(&direct_allowed));
    let peer = Arc::new(KeptPeer::connect_with(config, &[circuit], PATIENCE).await);
    let first = peer.path();
    let read = Arc::new(Mutex::new(vec![Instant::now()]));
    let block = chain.head().head.hash;
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let (peer, read, backend) = (Arc::clone(&peer), Arc::clone(&read), Arc::clone(&chain.backend));
            tokio::spawn(async move {
                for number in 0..EACH {
                    let key = keccak256([reader as u8, number as u8]);
                    let query =
                        Query::Proofs(vec![ProofRequest { block, account: None, key, from_level: 0 }]);
                    let right = full_node::answer(&backend, query.clone()).expect("the chain has it");
                    let answer = peer.verified.answer(query).await.expect("no reader sees an error");
                    assert!(probe::same(&answer, &right));
                    read.lock().expect("no panic").push(Instant::now());
                }
            })
        })
        .collect();
    let count = || read.lock().expect("no panic").len() as u64 - 1;
    eventually("some is read through the relay", || count() > READERS * EACH / 5).await;
    assert_eq!(peer.path(), Some((Path::Relayed, "relay")));
    let Address::Multiaddr(direct) = home.address(Way::Quic) else { panic!("no multiaddr") };
    direct_allowed.store(true, Ordering::Relaxed);
    // Any direct connection will do: it is asked whether it is a relay.
    peer.transports.offer_relays(&[direct]).await.expect("it runs");
    eventually("the session is direct", || matches!(peer.path(), Some((Path::Direct, _)))).await;
    let moved = count();
    for reader in readers {
        reader.await.expect("every question was answered");
    }

    let read = read.lock().expect("no panic").clone();
    let longest = read.windows(2).map(|pair| pair[1] - pair[0]).max().expect("some were read");
    println!("first {first:?}, then {:?} after {moved} of {} reads", peer.path(), read.len() - 1);
    println!("the longest gap between two answers: {longest:?}");
    assert_eq!(first, Some((Path::Relayed, "relay")));
    assert_eq!(read.len() as u64 - 1, READERS * EACH);
    assert!(moved < READERS * EACH, "it moved only after everything was read");
    assert!(longest < GAP, "{longest:?}");
    eventually("the relayed session was left", || home.counts().sessions() == 1).await;

    let Ok(peer) = Arc::try_unwrap(peer) else { panic!("every reader has ended") };
    peer.leave().await;
    home.is_idle().await;
    home.stop().await;
    for relay in relays {
        relay.stop().await;
    }
    full_node.stop().await;
}

/// The relay that carries the session goes, and no direct connection can be had: another relay carries it on.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_goes_costs_a_delay() {
    let House { chain, full_node, mut relays, home } = House::with_relays(2).await;
    let circuits: Vec<Address> = relays.iter().map(|relay| home_through(&home, relay)).collect();
    let config = no_holes(Arc::default());
    let peer = KeptPeer::connect_with(config, &circuits, PATIENCE).await;
    let block = chain.head().head.hash;
    let question = |number: u64| {
        let key = keccak256(number.to_be_bytes());
        Query::Proofs(vec![ProofRequest { block, account: None, key, from_level: 0 }])
    };
    peer.verified.answer(question(0)).await.expect("served through the relay");

    let gone = relays.remove(0);
    let begun = Instant::now();
    let (stopped, answer) = tokio::join!(gone.stop(), peer.verified.answer(question(1)));

    let () = stopped;
    let right = full_node::answer(&chain.backend, question(1)).expect("the chain has it");
    assert!(probe::same(&answer.expect("a delay, and no error"), &right));
    let head = chain.grow();
    let mut heads = peer.follower.heads();
    let reached = heads.wait_for(|update| update.as_ref().is_some_and(|update| update.head == head.head));
    timeout(Duration::from_secs(5), reached).await.expect("in time").expect("it follows");
    println!("a verified head {:?} after the relay began to go", begun.elapsed());
    assert_eq!(peer.path(), Some((Path::Relayed, "relay")));
    peer.leave().await;
    home.is_idle().await;
    home.stop().await;
    for relay in relays {
        relay.stop().await;
    }
    full_node.stop().await;
}
