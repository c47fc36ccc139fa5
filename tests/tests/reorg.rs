//! The chain changes its branch: the depth is told right, and the new branch's state is served.

use std::time::Duration;

use causeway_tests::{
    house::{Chain, FullNode, Relay, RelayOptions, Way},
    light_peer::{Heard, LightPeer},
    probe::{self, Probe},
};
use causeway_wire::{
    HashOrNumber, Query,
    les::{Announce, Message, Version},
};

async fn announcement(peer: &mut LightPeer) -> Announce {
    match peer.message().await {
        Message::Announce(announce) => announce,
        other => panic!("not an announcement: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorg_is_announced_with_its_depth_and_its_states_are_served() {
    let chain = Chain::new(12);
    let full_node = FullNode::start(&chain).await;
    let relay = Relay::start(RelayOptions::default()).await;
    relay.admit(&full_node.address()).await.expect("it is honest");
    relay.reaches(chain.head().head.hash).await;
    let (mut peer, _) = LightPeer::greet(&relay.address(Way::Quic), Version::Les4).await;

    let grown = chain.grow();
    let announced = announcement(&mut peer).await;
    assert_eq!((announced.head, announced.reorg_depth), (Some(grown.head), 0));

    for depth in [1, 3, 6] {
        let before = chain.head();
        let left = Probe::Body.query(&chain.backend);
        let left_answer = Probe::Body.answer(&chain.backend);

        let after = chain.reorg(depth);

        let announced = announcement(&mut peer).await;
        assert_eq!((announced.head, announced.reorg_depth), (Some(after.head), depth));
        assert_eq!(after.reorg_depth(&before), depth);
        for probe in Probe::ALL {
            let answer = peer.ask(probe.query(&chain.backend)).await;
            assert!(probe::same(&answer, &probe.answer(&chain.backend)), "{probe:?}");
        }
        // By number the new branch, by hash still the old one.
        let number = HashOrNumber::Number(before.head.number);
        let by_number = Query::Headers { start: number, amount: 1, skip: 0, reverse: false };
        let by_hash =
            Query::Headers { start: HashOrNumber::Hash(before.head.hash), amount: 2, skip: 0, reverse: true };
        for query in [by_number, by_hash] {
            let right = causeway_tests::full_node::answer(&chain.backend, query.clone());
            assert_eq!(Some(peer.ask(query).await), right);
        }
        assert_eq!(peer.ask(left).await, left_answer);
    }

    peer.leave().await;
    relay.is_idle().await;
    relay.stop().await;
    full_node.stop().await;
}

/// Two full nodes on two branches: the heavier one is followed, whoever speaks first, and nobody is blamed.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_branches_the_heavier_is_told_and_nobody_is_blamed() {
    let (light, heavy) = (Chain::new(12), Chain::new(12));
    light.grow();
    heavy.grow();
    heavy.reorg(3);
    let (one, other) = (FullNode::start(&light).await, FullNode::start(&heavy).await);
    let relay = Relay::start(RelayOptions::default()).await;
    let on_light = relay.admit(&one.address()).await.expect("it is honest");
    relay.reaches(light.head().head.hash).await;
    let (mut peer, status) = LightPeer::greet(&relay.address(Way::Tcp), Version::Les4).await;
    assert_eq!(status.head, light.head().head);

    let on_heavy = relay.admit(&other.address()).await.expect("it is honest");

    let announced = announcement(&mut peer).await;
    assert_eq!((announced.head, announced.reorg_depth), (Some(heavy.head().head), 3));
    for probe in Probe::ALL {
        let answer = peer.ask(probe.query(&heavy.backend)).await;
        assert!(probe::same(&answer, &probe.answer(&heavy.backend)), "{probe:?}: {answer:?}");
    }

    // The lighter branch catches up and overtakes.
    for _ in 0..3 {
        light.grow();
    }
    relay.reaches(light.head().head.hash).await;
    loop {
        let announced = announcement(&mut peer).await;
        if announced.head == Some(light.head().head) {
            break;
        }
    }
    assert_eq!(peer.hear_within(Duration::from_millis(50)).await, None::<Heard>);
    for upstream in [on_light, on_heavy] {
        assert!(upstream.is_live() && relay.nodes.banished(&upstream.peer()).is_none());
    }
    peer.leave().await;
    relay.stop().await;
    one.stop().await;
    other.stop().await;
}
