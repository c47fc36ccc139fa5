//! A relay whose chain hangs on a trusted block instead of genesis.

use alloy_primitives::keccak256;
use causeway_bridge::Backend;
use causeway_tests::{
    house::{Chain, FullNode, Relay, RelayOptions, Way},
    light_peer::LightPeer,
};
use causeway_verify::Root;
use causeway_wire::{Answer, HashOrNumber, Query, les::Version};

fn header(number: u64) -> Query {
    Query::Headers { start: HashOrNumber::Number(number), amount: 1, skip: 0, reverse: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_carry_the_full_nodes_total_difficulty_and_nothing_below_the_root_is_served() {
    let chain = Chain::new(12);
    let answer = chain.backend.answer(header(5)).await;
    let Ok(Answer::Headers(headers)) = answer else { panic!("{answer:?}") };
    let root = Root::Checkpoint { hash: keccak256(&headers[0]), rlp: headers[0].clone(), td: None };
    let full_node = FullNode::start(&chain).await;
    let relay = Relay::start(RelayOptions { root, ..RelayOptions::default() }).await;

    relay.admit(&full_node.address()).await.expect("it is honest");
    relay.reaches(chain.head().head.hash).await;
    let (mut peer, status) = LightPeer::greet(&relay.address(Way::Quic), Version::Les4).await;

    // No header tells the total difficulty up to the checkpoint: the full node's word is passed on.
    assert_eq!(status.head, chain.head().head);
    assert_eq!(peer.ask(header(5)).await, Answer::Headers(headers));
    assert_eq!(peer.ask(header(4)).await, Answer::Headers(Vec::new()));
    peer.leave().await;
    relay.stop().await;
    full_node.stop().await;
}
