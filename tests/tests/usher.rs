//! Who comes to a relay over RLPx: light peers are served, full nodes are sent away to be dialed.

use causeway_tests::{
    house::{Chain, FullNode, PATIENCE, Relay, RelayOptions, Way},
    light_peer::{Heard, LightPeer},
};
use causeway_translate::ServerConfig;
use causeway_transports::CloseReason;
use causeway_wire::{
    Stack,
    les::{Message, Serving, Status, Version},
};

/// "Useless peer".
const USELESS: u8 = 0x03;

#[tokio::test]
async fn who_says_nothing_is_greeted_as_a_light_peer() {
    let chain = Chain::new(1);
    let full_node = FullNode::start(&chain).await;
    let relay = Relay::start(RelayOptions::default()).await;
    relay.admit(&full_node.address()).await.expect("it is honest");
    relay.reaches(chain.head().head.hash).await;
    let mut silent = LightPeer::dial(&relay.address(Way::Rlpx), Version::Les4).await;

    let status = silent.hear_status().await;

    assert!(status.flow_control.is_some(), "the Status of a server: {status:?}");
    silent.leave().await;
    relay.stop().await;
    full_node.stop().await;
}

#[tokio::test]
async fn a_full_node_that_comes_is_sent_away_and_told_of() {
    let mut relay = Relay::start(RelayOptions::default()).await;
    for version in Version::ALL {
        let mut full_node = LightPeer::dial(&relay.address(Way::Rlpx), version).await;
        let serves = Status {
            announce: None,
            serving: Serving { headers: true, chain_since: Some(0), ..Serving::default() },
            flow_control: Some(ServerConfig::default_flow()),
            ..full_node.status()
        };
        full_node.send(&Message::Status(serves));

        // Nothing is said to it before.
        let heard = full_node.hear().await;

        assert_eq!(heard, Heard::End(CloseReason::Remote(Some(USELESS))), "{version:?}");
        let told = tokio::time::timeout(PATIENCE, relay.full_nodes.recv()).await.expect("in time");
        assert_eq!(told.map(|peer| peer.stack()), Some(Stack::Devp2p));
    }
    relay.is_idle().await;
    relay.stop().await;
}

#[tokio::test]
async fn a_status_that_cannot_be_read_is_for_the_service_to_refuse() {
    let relay = Relay::start(RelayOptions::default()).await;
    let mut peer = LightPeer::dial(&relay.address(Way::Rlpx), Version::Les4).await;

    peer.send_raw(0, vec![0xc1, 0x05].into());

    assert!(matches!(peer.end().await, CloseReason::Remote(Some(_))));
    relay.is_idle().await;
    relay.stop().await;
}
