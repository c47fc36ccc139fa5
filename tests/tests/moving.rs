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
use causeway_transports::{Address, CircuitService, DialGuard, ReachConfig};
use causeway_wire::{ProofRequest, Query};

/// Readers at once, and questions of each: 1,000 in all.
const READERS: u64 = 8;
const EACH: u64 = 125;

/// The longest that nothing may be read while the session moves.
const GAP: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_session_moves_from_a_relay_without_a_gap() {
    let chain = Chain::new(8);
    let full_node = FullNode::start(&chain).await;
    let open =
        ReachConfig { circuits: CircuitService::Always, allow_private: true, ..ReachConfig::default() };
    let relay = Relay::start(RelayOptions { reach: open, ..RelayOptions::default() }).await;
    let Address::Multiaddr(at_relay) = relay.address(Way::Quic) else { panic!("no multiaddr") };
    let behind = ReachConfig {
        relays: vec![at_relay.clone()],
        reservations: 1,
        allow_private: true,
        ..ReachConfig::default()
    };
    let home = Relay::start(RelayOptions { reach: behind, ..RelayOptions::default() }).await;
    home.admit(&full_node.address()).await.expect("it is honest");
    home.reaches(chain.head().head.hash).await;
    let reach = home.transports.reach();
    eventually("home has a place at the relay", || !reach.borrow().reservations.is_empty()).await;
    let circuit =
        Address::Multiaddr(format!("{at_relay}/p2p-circuit/p2p/{}", home.transports.peer_id_text()));

    // Where it listens nowhere and dials nobody on another's word, no hole can be punched: the story says when.
    let direct_allowed = Arc::new(AtomicBool::new(false));
    let mut config = transports_config(fresh_key(), "KeptPeer");
    config.reach.reservations = 1;
    let allowed = Arc::clone(&direct_allowed);
    config.dial_guard = DialGuard::Only(Arc::new(move |_| allowed.load(Ordering::Relaxed)));
    let peer = Arc::new(KeptPeer::connect_with(config, &[circuit], Duration::from_secs(20)).await);
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
    relay.stop().await;
    full_node.stop().await;
}
