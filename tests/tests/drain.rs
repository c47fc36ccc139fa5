//! The relay goes down: everybody hears of it, and no task is left, whatever was under way.

use std::time::Duration;

use alloy_primitives::keccak256;
use causeway_tests::{
    full_node::{Lie, LyingNode},
    house::{Chain, FullNode, Relay, RelayOptions, Way, eventually},
    light_peer::{Heard, LightPeer},
};
use causeway_transports::CloseReason;
use causeway_wire::{
    ProofRequest, Query,
    les::{Version, code, request_code},
};
use tokio::time::Instant;

/// The relay's end takes less than this, with whatever is under way.
const SHORT: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_house_ends_at_once() {
    let chain = Chain::new(2);
    let full_node = FullNode::start(&chain).await;
    let relay = Relay::start(RelayOptions::default()).await;
    relay.keep_connected(full_node.address());
    relay.reaches(chain.head().head.hash).await;

    let begun = Instant::now();
    relay.stop().await;

    assert!(begun.elapsed() < SHORT);
    full_node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_under_way_and_light_peers_on_every_way_do_not_hold_it() {
    let chain = Chain::new(4);
    // It never answers questions about states.
    let mute = LyingNode::start(
        &chain,
        Lie::reply(|reply, _| (request_code(&reply.query) == code::GET_PROOFS_V2).then(Vec::new)),
        Version::Les4,
    )
    .await;
    let relay = Relay::start(RelayOptions::default()).await;
    relay.keep_connected(mute.address());
    relay.reaches(chain.head().head.hash).await;
    let mut peers = Vec::new();
    for way in Way::ALL {
        let (mut peer, _) = LightPeer::greet(&relay.address(way), Version::Les4).await;
        for index in 0..10_u8 {
            let key = keccak256([index, way as u8]);
            let block = chain.head().head.hash;
            peer.request(Query::Proofs(vec![ProofRequest { block, account: None, key, from_level: 0 }]));
        }
        peers.push(peer);
    }
    eventually("the questions are under way", || relay.counts().tickets() == 40).await;

    let begun = Instant::now();
    relay.stop().await;

    assert!(begun.elapsed() < SHORT, "{:?}", begun.elapsed());
    for mut peer in peers {
        match peer.hear().await {
            Heard::End(CloseReason::Remote(_) | CloseReason::Lost(_)) => {}
            other => panic!("{other:?}"),
        }
        peer.leave().await;
    }
    mute.stop().await;
}
