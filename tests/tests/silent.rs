//! Who falls silent without hanging up is dropped: a full node's questions go to another one, a light peer's place is
//! free again. Connections are made in real time; from where the cable is pulled, time is moved by hand.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use alloy_primitives::keccak256;
use causeway_tests::{
    cable::Cable,
    full_node,
    house::{Chain, FullNode, Relay, RelayOptions, Way, eventually},
    light_peer::{Heard, LightPeer},
    probe,
};
use causeway_transports::{Address, Connected};
use causeway_wire::{
    ProofRequest, Query, RequestId,
    les::{Message, Status, Version},
};
use tokio::{
    runtime::Builder,
    task::yield_now,
    time::{advance, pause, resume},
};

/// Turns that each task gets within a second: enough for whatever is to be said over the loopback.
const TURNS: usize = 300;

/// Lets seconds pass until `holds`; how many.
async fn pass_until(limit: u64, mut holds: impl FnMut() -> bool) -> Option<u64> {
    for passed in 0..=limit {
        for _ in 0..TURNS {
            yield_now().await;
        }
        if holds() {
            return Some(passed);
        }
        advance(Duration::from_secs(1)).await;
    }
    None
}

/// Nothing but the heartbeat can tell that a full node is gone.
fn patient() -> RelayOptions {
    let patience = Duration::from_secs(3600);
    RelayOptions { patience, upstream_patience: patience, ..RelayOptions::default() }
}

/// `address` with another socket.
fn behind(address: &Address, socket: impl Fn(SocketAddr) -> SocketAddr) -> Address {
    match address {
        Address::Devp2p { key, addr } => Address::Devp2p { key: *key, addr: socket(*addr) },
        Address::Multiaddr(text) => {
            let old = socket_of(address);
            let new = socket(old);
            Address::Multiaddr(
                text.replace(&format!("/tcp/{}/", old.port()), &format!("/tcp/{}/", new.port())),
            )
        }
    }
}

fn socket_of(address: &Address) -> SocketAddr {
    match address {
        Address::Devp2p { addr, .. } => *addr,
        Address::Multiaddr(text) => {
            let port = text.split('/').skip_while(|part| *part != "tcp").nth(1).expect("a TCP port");
            SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")))
        }
    }
}

/// The same peer at the end of a cable.
async fn cabled(address: &Address) -> (Cable, Address) {
    let cable = Cable::to(socket_of(address)).await;
    let addr = cable.addr();
    (cable, behind(address, |_| addr))
}

/// `silent` and `other` are admitted by a relay; then the one falls silent.
async fn questions_go_to_the_other(chain: &Chain, silent: &Address, other: &Address, by: u64) {
    let (cable, silent) = cabled(silent).await;
    let relay = Relay::start(patient()).await;
    let dropped = relay.admit(&silent).await.expect("it is honest");
    relay.admit(other).await.expect("it is honest");
    relay.reaches(chain.head().head.hash).await;
    let (mut peer, _) = LightPeer::greet(&relay.address(Way::WebSocket), Version::Les4).await;
    let block = chain.head().head.hash;

    pause();
    cable.pull();
    let mut asked = BTreeMap::<RequestId, Query>::new();
    for question in 0..8_u8 {
        let key = keccak256([question]);
        let query = Query::Proofs(vec![ProofRequest { block, account: None, key, from_level: 0 }]);
        asked.insert(peer.request(query.clone()), query);
    }
    pass_until(2, || false).await;
    let waiting = relay.counts().tickets();
    assert!(waiting > 0, "none was asked of the silent one");
    let passed = pass_until(by, || relay.nodes.count() == 1).await.expect("the silent one is dropped");
    assert!(passed > 20, "after {passed} s: by something else than its heartbeat");
    assert!(!dropped.is_live());
    pass_until(2, || relay.counts().tickets() == 0).await.expect("all questions have an answer");
    resume();

    while !asked.is_empty() {
        if let Heard::Message(Message::Response { id, answer, .. }) = peer.hear().await {
            let query = asked.remove(&id).expect("asked, and not answered yet");
            let right = full_node::answer(&chain.backend, query).expect("the chain has it");
            assert!(probe::same(&answer, &right), "{answer:?}");
        }
    }
    peer.leave().await;
    relay.is_idle().await;
    relay.stop().await;
}

#[tokio::test]
async fn questions_of_a_full_node_that_falls_silent_go_to_another() {
    let chain = Chain::new(4);
    let (silent, other) = (FullNode::start(&chain).await, FullNode::start(&chain).await);

    questions_go_to_the_other(&chain, &silent.address(), &other.address(), 50).await;

    silent.stop().await;
    other.stop().await;
}

/// Over libp2p whoever is asked is a relay.
#[tokio::test]
async fn questions_of_a_libp2p_peer_that_falls_silent_go_to_another() {
    let chain = Chain::new(4);
    let full_node = FullNode::start(&chain).await;
    let (silent, other) = (Relay::start(patient()).await, Relay::start(patient()).await);
    for relay in [&silent, &other] {
        relay.admit(&full_node.address()).await.expect("it is honest");
        relay.reaches(chain.head().head.hash).await;
    }

    questions_go_to_the_other(&chain, &silent.address(Way::Tcp), &other.address(Way::Tcp), 60).await;

    silent.stop().await;
    other.stop().await;
    full_node.stop().await;
}

#[test]
fn place_of_a_light_peer_that_falls_silent_is_free_again() {
    // What it wishes for, and seconds from its last sign of life to its end: at least and at most. Time moves in whole
    // seconds, so that each of three timers may be one late.
    for (way, wish, least, most) in [
        (Way::Tcp, None, 40, 60),
        (Way::WebSocket, Some(5), 19, 30),
        (Way::Rlpx, None, 29, 50),
        (Way::Rlpx, Some(5), 19, 30),
        (Way::Tcp, Some(600), 600, 650),
        (Way::Rlpx, Some(u64::MAX), 600, 640),
    ] {
        // A clock each: what was moved ahead by hand stays ahead of the system's.
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let passed = runtime.block_on(place_is_free_after(way, wish, most));
        let passed = passed.unwrap_or_else(|| panic!("{way:?}, {wish:?}: it still has its place"));
        assert!(passed >= least, "{way:?}, {wish:?}: gone after {passed} s");
    }
}

async fn place_is_free_after(way: Way, wish: Option<u64>, limit: u64) -> Option<u64> {
    let chain = Chain::new(4);
    let full_node = FullNode::start(&chain).await;
    let relay = Relay::start(RelayOptions { max_sessions: 1, ..patient() }).await;
    relay.admit(&full_node.address()).await.expect("it is honest");
    relay.reaches(chain.head().head.hash).await;
    let (cable, address) = cabled(&relay.address(way)).await;
    let mut peer = LightPeer::dial(&address, Version::Les4).await;
    peer.send(&Message::Status(Status { heartbeat: wish, ..peer.status() }));
    peer.hear_status().await;
    let interval = Duration::from_secs(wish.unwrap_or(15).min(600));
    eventually("it has a place, and its wish is known", || {
        // Over libp2p the first ping goes out at once; RLPx waits for the interval.
        let pinged = |one: &Connected| way == Way::Rlpx || one.heartbeat.round_trip.is_some();
        let beats = |one: &Connected| one.inbound && one.heartbeat.interval == interval && pinged(one);
        relay.counts().sessions() == 1 && relay.transports.connected().iter().any(beats)
    })
    .await;

    pause();
    cable.pull();
    let passed = pass_until(limit, || relay.counts().sessions() == 0).await;
    resume();

    if passed.is_some() {
        let (another, _) = LightPeer::greet(&relay.address(way), Version::Les4).await;
        another.leave().await;
    }
    drop(cable);
    peer.leave().await;
    relay.stop().await;
    full_node.stop().await;
    passed
}
