//! Light peers that count their own trusted full nodes through a relay that they do not trust
//! (`causeway/origins`, design section 2).

use std::{collections::BTreeSet, time::Duration};

use causeway_tests::{
    full_node::{Lie, LyingNode},
    house::{Chain, Relay, RelayOptions, Way, eventually},
    light_peer::{Heard, LightPeer},
    verifying_peer::VerifyingPeer,
};
use causeway_verify::Quorum;
use causeway_wire::{
    NodeKey,
    les::{Announce, AnnounceKind, Message, Origin, Version},
};

const FULL_NODES: usize = 3;

struct House {
    chain: Chain,
    full_nodes: Vec<LyingNode>,
    relay: Relay,
}

impl House {
    async fn start() -> Self {
        let chain = Chain::new(4);
        let relay = Relay::start(RelayOptions::default()).await;
        let mut full_nodes = Vec::new();
        for _ in 0..FULL_NODES {
            let full_node = LyingNode::start(&chain, Lie::default(), Version::Les4).await;
            relay.admit(&full_node.address()).await.expect("it is honest");
            full_nodes.push(full_node);
        }
        relay.reaches(chain.head().head.hash).await;
        Self { chain, full_nodes, relay }
    }

    fn keys(&self) -> Vec<NodeKey> {
        self.full_nodes.iter().filter_map(|full_node| full_node.peer().node_key()).collect()
    }

    async fn greet(&self, way: Way, kind: AnnounceKind, origins: bool) -> LightPeer {
        let mut peer = LightPeer::dial(&self.relay.address(way), Version::Les4).await;
        let status = causeway_wire::les::Status { announce: Some(kind), origins, ..peer.status() };
        peer.send(&Message::Status(status));
        peer.hear_status().await;
        peer
    }

    async fn stop(self) {
        self.relay.stop().await;
        for full_node in self.full_nodes {
            full_node.stop().await;
        }
    }
}

async fn announcement(peer: &mut LightPeer) -> Announce {
    match peer.message().await {
        Message::Announce(announce) => announce,
        other => panic!("not an announcement: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_is_reached_through_a_relay_that_is_not_trusted() {
    let house = House::start().await;
    for way in Way::ALL {
        let mut peer = house.greet(way, AnnounceKind::Signed, true).await;
        let mut quorum = Quorum::new(house.keys(), 100);
        let grown = house.chain.grow();

        let mut seen: BTreeSet<NodeKey> = BTreeSet::new();
        while !quorum.is_trusted(&grown.head) {
            let announce = announcement(&mut peer).await;
            assert!(announce.origins.len() <= Announce::MAX_ORIGINS);
            for origin in &announce.origins {
                assert!(house.keys().contains(&origin.node), "an origin of nobody we know");
                seen.insert(origin.node);
            }
            quorum.announce_all(&announce.origins).expect("every signature is its node's");
        }

        assert_eq!(seen.len(), FULL_NODES);
        peer.leave().await;
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_are_never_sent_unasked() {
    let house = House::start().await;
    let mut simple = house.greet(Way::Tcp, AnnounceKind::Simple, false).await;
    let mut signed = house.greet(Way::Rlpx, AnnounceKind::Signed, false).await;
    let mut nothing = house.greet(Way::Quic, AnnounceKind::None, true).await;

    for _ in 0..3 {
        let grown = house.chain.grow();
        for (peer, is_signed) in [(&mut simple, false), (&mut signed, true)] {
            let announce = announcement(peer).await;
            assert_eq!(announce.head, Some(grown.head), "each head once, and nothing else");
            assert_eq!(announce.signature.is_some(), is_signed);
            assert_eq!(announce.origins, Vec::<Origin>::new());
        }
    }
    for peer in [&mut simple, &mut signed, &mut nothing] {
        assert_eq!(peer.hear_within(Duration::from_millis(200)).await, None::<Heard>);
    }
    for peer in [simple, signed, nothing] {
        peer.leave().await;
    }
    house.stop().await;
}

/// The product's own light peer, and a second relay behind the first: signatures pass through both.
#[tokio::test(flavor = "multi_thread")]
async fn signatures_pass_through_two_relays() {
    let house = House::start().await;
    let second = Relay::start(RelayOptions::default()).await;
    second.admit(&house.relay.address(Way::Rlpx)).await.expect("a relay is a full node to others");
    second.reaches(house.chain.head().head.hash).await;
    let near = VerifyingPeer::connect(&house.relay.address(Way::Quic)).await;
    let far = VerifyingPeer::connect(&second.address(Way::WebSocket)).await;

    for _ in 0..3 {
        let head = house.chain.grow().head;
        for peer in [&near, &far] {
            let trusted = || {
                let mut quorum = Quorum::new(house.keys(), 100);
                quorum.announce_all(&peer.follower.origins_of(&head.hash)).expect("checked before");
                quorum.is_trusted(&head)
            };
            eventually("all full nodes' signatures arrive", trusted).await;
            assert!(peer.upstream.is_live());
        }
    }

    near.leave().await;
    far.leave().await;
    second.stop().await;
    house.stop().await;
}
