//! The only full node dies with a hundred questions under way, and comes back.

use std::collections::BTreeMap;

use alloy_primitives::keccak256;
use causeway_tests::{
    full_node,
    house::{Chain, FullNode, Relay, RelayOptions, Way, eventually, fresh_key},
    light_peer::{Heard, LightPeer},
    probe,
};
use causeway_wire::{
    ProofRequest, Query, RequestId,
    les::{Message, Version},
};

/// Light peers, and questions of each under way: as many as its window holds.
const PEERS: usize = 8;
const EACH: usize = 13;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_questions_outlive_the_full_node() {
    let chain = Chain::new(8);
    let key = fresh_key();
    let full_node = FullNode::start_at(&chain, key, ([127, 0, 0, 1], 0).into()).await;
    let socket = full_node.socket();
    let relay = Relay::start(RelayOptions::default()).await;
    relay.keep_connected(full_node.address());
    relay.reaches(chain.head().head.hash).await;
    let block = chain.head().head.hash;

    // Some are asked before it goes, some after; none can be answered from what is cached.
    let mut peers = Vec::new();
    for index in 0..PEERS {
        let way = Way::ALL[index % Way::ALL.len()];
        let (peer, _) = LightPeer::greet(&relay.address(way), Version::Les4).await;
        peers.push((peer, BTreeMap::<RequestId, Query>::new()));
    }
    let mut ask = |from: usize, to: usize| {
        for (index, (peer, asked)) in peers.iter_mut().enumerate() {
            for question in from..to {
                let key = keccak256([index as u8, question as u8]);
                let query = Query::Proofs(vec![ProofRequest { block, account: None, key, from_level: 0 }]);
                asked.insert(peer.request(query.clone()), query);
            }
        }
    };
    ask(0, EACH / 2);
    full_node.stop().await;
    eventually("the full node's end is noticed", || relay.nodes.count() == 0).await;
    ask(EACH / 2, EACH);
    eventually("the questions wait", || relay.counts().tickets() >= (PEERS * (EACH - EACH / 2)) as u64).await;

    let full_node = FullNode::start_at(&chain, key, socket).await;

    for (peer, asked) in &mut peers {
        while !asked.is_empty() {
            match peer.hear().await {
                Heard::Message(Message::Response { id, answer, .. }) => {
                    let query = asked.remove(&id).expect("asked, and not answered yet");
                    let right = full_node::answer(&chain.backend, query).expect("the chain has it");
                    assert!(probe::same(&answer, &right), "{answer:?}");
                }
                Heard::Message(Message::Announce(_)) => {}
                Heard::Message(other) => panic!("{other:?}"),
                Heard::End(_) => break, // a clean end is right too
            }
        }
        assert!(asked.is_empty(), "{} questions are left without an answer", asked.len());
    }
    eventually("no question is under way", || relay.counts().tickets() == 0).await;
    for (peer, _) in peers {
        peer.leave().await;
    }
    relay.is_idle().await;
    relay.stop().await;
    full_node.stop().await;
}

/// Nobody comes back: the questions end with the light peers, and with the relay.
#[tokio::test(flavor = "multi_thread")]
async fn questions_end_with_who_asked_them() {
    let chain = Chain::new(4);
    let full_node = FullNode::start(&chain).await;
    let relay = Relay::start(RelayOptions::default()).await;
    relay.admit(&full_node.address()).await.expect("it is honest");
    relay.reaches(chain.head().head.hash).await;
    let block = chain.head().head.hash;
    let (mut leaving, _) = LightPeer::greet(&relay.address(Way::Quic), Version::Les4).await;
    let (mut staying, _) = LightPeer::greet(&relay.address(Way::Rlpx), Version::Les4).await;
    full_node.stop().await;
    eventually("the full node's end is noticed", || relay.nodes.count() == 0).await;

    for index in 0_u64..10 {
        let key = keccak256(index.to_be_bytes());
        let query = Query::Proofs(vec![ProofRequest { block, account: None, key, from_level: 0 }]);
        leaving.request(query.clone());
        staying.request(query);
    }
    eventually("equal questions are put once", || {
        relay.counts().tickets() == 10 && relay.counts().messages() == 20
    })
    .await;

    leaving.leave().await;
    eventually("its messages go, the questions stay", || {
        relay.counts().tickets() == 10 && relay.counts().messages() == 10
    })
    .await;
    staying.leave().await;
    relay.is_idle().await;
    relay.stop().await;
}
