//! What a light peer may spend: buffer values, the Stop and the Resume, the end of a les/2 session.

use std::time::Duration;

use causeway_tests::{
    house::{Chain, FullNode, Relay, RelayOptions, Way},
    light_peer::{Heard, LightPeer},
    probe::Probe,
};
use causeway_wire::{
    HashOrNumber, Query,
    les::{FlowControl, Message, RequestCost, Version, code},
};

/// A buffer for four requests of `COST`, which fills within four seconds.
const COST: u64 = 1_000_000;
const BUFFER: u64 = 4 * COST;
const RECHARGE: u64 = 1_000;

fn small() -> FlowControl {
    let codes = [
        code::GET_BLOCK_HEADERS,
        code::GET_BLOCK_BODIES,
        code::GET_RECEIPTS,
        code::GET_CONTRACT_CODES,
        code::GET_PROOFS_V2,
        code::GET_HELPER_TRIE_PROOFS,
        code::SEND_TX_V2,
        code::GET_TX_STATUS,
    ];
    let costs = codes.map(|code| RequestCost { code, base: COST, item: 0 }).to_vec();
    FlowControl { buffer_limit: BUFFER, recharge: RECHARGE, costs }
}

async fn house(flow: FlowControl) -> (Chain, FullNode, Relay) {
    let chain = Chain::new(8);
    let full_node = FullNode::start(&chain).await;
    let relay = Relay::start(RelayOptions { flow, ..RelayOptions::default() }).await;
    relay.admit(&full_node.address()).await.expect("it is honest");
    relay.reaches(chain.head().head.hash).await;
    (chain, full_node, relay)
}

/// Questions that full nodes have to work for: none is in the cache, and no two are alike.
fn unknown(index: u8) -> Query {
    Query::TransactionStatus(vec![alloy_primitives::B256::repeat_byte(index)])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_buffer_after_each_answer_is_bounded_and_cached_answers_cost_next_to_nothing() {
    let (chain, full_node, relay) = house(causeway_translate::ServerConfig::default_flow()).await;
    let (mut peer, status) = LightPeer::greet(&relay.address(Way::Quic), Version::Les4).await;
    let flow = status.flow_control.expect("a server has flow control");
    let header = Query::Headers { start: HashOrNumber::Number(1), amount: 1, skip: 0, reverse: false };

    let mut least = u64::MAX;
    for _ in 0..50 {
        peer.request(header.clone());
        let (_, buffer, _) = peer.response().await;
        assert!(buffer <= flow.buffer_limit);
        least = least.min(buffer);
    }
    assert!(least > flow.buffer_limit / 100 * 99, "{least} of {}", flow.buffer_limit);

    let fresh = peer.request(Probe::Account.query(&chain.backend));
    let (id, buffer, _) = peer.response().await;
    assert_eq!(id, fresh);
    assert!(buffer <= flow.buffer_limit);
    peer.leave().await;
    relay.stop().await;
    full_node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_overspends_in_les_2_is_disconnected() {
    let (_chain, full_node, relay) = house(small()).await;
    let (mut peer, _) = LightPeer::greet(&relay.address(Way::WebSocket), Version::Les2).await;

    for index in 0..40 {
        peer.request(unknown(index));
    }

    peer.end().await;
    relay.is_idle().await;
    assert_eq!(relay.counts().refused(), 1);
    peer.leave().await;
    relay.stop().await;
    full_node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_overspends_later_is_stopped_and_goes_on_after_the_resume() {
    let (_chain, full_node, relay) = house(small()).await;
    for (way, version) in [(Way::Tcp, Version::Les4), (Way::Rlpx, Version::Les3)] {
        let (mut peer, _) = LightPeer::greet(&relay.address(way), version).await;

        for index in 0..12 {
            peer.request(unknown(index));
        }

        // Answers under way come before the Stop, nothing between Stop and Resume.
        let mut answers = 0;
        loop {
            match peer.message().await {
                Message::Response { .. } => answers += 1,
                Message::Stop => break,
                other => panic!("{other:?}"),
            }
        }
        assert!((1..12).contains(&answers), "{answers} answers");
        peer.request(unknown(99));
        let Message::Resume { buffer } = peer.message().await else { panic!("not a resume") };
        assert!(buffer > BUFFER / 8 && buffer <= BUFFER, "{buffer}");
        assert_eq!(
            peer.hear_within(Duration::from_millis(300)).await,
            None,
            "dropped requests are not answered"
        );

        tokio::time::sleep(Duration::from_millis(600)).await; // until one request can be paid
        peer.request(unknown(100));
        assert!(matches!(peer.hear().await, Heard::Message(Message::Response { .. })));
        peer.leave().await;
    }
    relay.is_idle().await;
    relay.stop().await;
    full_node.stop().await;
}
