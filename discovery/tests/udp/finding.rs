//! Who finds whom: by discv5, by discv4, on one port, from a bootnode or from what was told.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use causeway_discovery::{Bootnode, Sockets, TalkRegistry, Udp, UdpError};
use causeway_pool::Source;
use causeway_records::{Contents, Enode, Host, Reach, Record};
use secp256k1::SecretKey;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{LOCAL4, LOCAL6, Node, Speaks, config, end_all, id, ids, soon};

/// Two nodes, one of which knows the other, find each other.
async fn two_meet(ip: IpAddr, numbers: [u8; 2], speaks: Speaks, source: Source) {
    let mut first = Node::start_at(ip, numbers[0], speaks, Vec::new()).await;
    let mut second = Node::start_at(ip, numbers[1], speaks, first.as_record()).await;

    let by_second = second.find(ids([&first])).await;
    let by_first = first.find(ids([&second])).await;

    for found in by_first.iter().chain(&by_second) {
        assert_eq!(found.source, source);
    }
    end_all([first, second]).await;
}

/// Five nodes that know one bootnode all find each other.
async fn five_meet(numbers: [u8; 5], speaks: Speaks) -> BTreeSet<Source> {
    let mut nodes = vec![Node::start(numbers[0], speaks, Vec::new()).await];
    for number in &numbers[1..] {
        let bootnodes = nodes[0].as_record();
        nodes.push(Node::start(*number, speaks, bootnodes).await);
    }
    let all = ids(&nodes);

    let searches = nodes.iter_mut().map(|node| {
        let others = all.iter().copied().filter(|other| *other != node.id()).collect();
        node.find(others)
    });
    let found = futures::future::join_all(searches).await;

    end_all(nodes).await;
    found.into_iter().flatten().map(|found| found.source).collect()
}

#[tokio::test]
async fn a_bootnode_that_comes_late_is_asked_though_another_node_is_known() {
    let dead = Node::start(1, Speaks::Discv5, Vec::new()).await;
    let (bootnode, addr) = (dead.as_record(), dead.addr());
    dead.end().await;
    let mut node = Node::start(2, Speaks::Discv5, bootnode).await;
    let first = Node::start(3, Speaks::Discv5, node.as_record()).await;
    node.find(BTreeSet::from([first.id()])).await;

    let late = Node::start_on(addr, Reach::Local, 1, Speaks::Discv5, Vec::new()).await;

    node.find(BTreeSet::from([late.id()])).await;
    for node in [node, first, late] {
        node.end().await;
    }
}

/// A node without an address of its own, as a light peer is, looks for one by its id.
#[tokio::test]
async fn one_node_is_found_by_its_id() {
    let bootnode = Node::start(30, Speaks::Discv5, Vec::new()).await;
    let mut others = Vec::new();
    for number in 31..38 {
        others.push(Node::start(number, Speaks::Discv5, bootnode.as_record()).await);
    }
    let wanted = others[6].id();
    let secret = SecretKey::from_secret_bytes([39; 32]).expect("valid secret");
    let record = Record::sign(&secret, 1, &Contents::default()).expect("fits").record;
    let sockets = Sockets::bind(SocketAddr::new(LOCAL4, 0)).expect("a port");
    let (_sender, receiver) = watch::channel(record);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut config = config(secret, sockets, receiver, Speaks::Discv5);
    config.bootnodes = bootnode.as_record();

    let (udp, mut found) =
        Udp::start(config, TalkRegistry::new(), &tasks, stop.clone()).await.expect("it starts");
    let looking = async {
        let mut again = tokio::time::interval(std::time::Duration::from_millis(500));
        loop {
            tokio::select! {
                _ = again.tick() => udp.look_for(wanted),
                node = found.recv() => {
                    let record = node.expect("it runs").record.expect("discv5 has it");
                    if record.node_id() == wanted {
                        return;
                    }
                }
            }
        }
    };
    soon(looking).await;

    stop.cancel();
    tasks.close();
    soon(tasks.wait()).await;
    bootnode.end().await;
    end_all(others).await;
}

#[tokio::test]
async fn two_nodes_find_each_other_by_discv5() {
    two_meet(LOCAL4, [1, 2], Speaks::Discv5, Source::Discv5).await;
}

#[tokio::test]
async fn two_nodes_find_each_other_by_discv4() {
    two_meet(LOCAL4, [3, 4], Speaks::Discv4, Source::Discv4).await;
}

/// On a host without IPv6 the socket cannot be had, and that is what is said.
#[tokio::test]
async fn two_nodes_find_each_other_over_ipv6() {
    if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        let refused = Sockets::bind(SocketAddr::new(LOCAL6, 0));
        assert!(matches!(refused, Err(UdpError::Bind { .. })));
        return;
    }
    two_meet(LOCAL6, [5, 6], Speaks::Discv5, Source::Discv5).await;
    two_meet(LOCAL6, [7, 8], Speaks::Discv4, Source::Discv4).await;
}

#[tokio::test]
async fn a_node_on_both_families_meets_nodes_of_each() {
    let secret = SecretKey::from_secret_bytes([70; 32]).expect("valid secret");
    let sockets = Sockets::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)).expect("a port");
    let port = sockets.port();
    let has_v6 = sockets.v6().is_some();
    let contents = Contents {
        ip: Some(Ipv4Addr::LOCALHOST),
        ip6: has_v6.then_some(Ipv6Addr::LOCALHOST),
        udp: Some(port),
        tcp: Some(port),
        ..Contents::default()
    };
    let record = Record::sign(&secret, 1, &contents).expect("fits").record;
    let (_sender, receiver) = watch::channel(record.clone());
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let config = config(secret, sockets, receiver, Speaks::Both);
    let (_udp, _found) =
        Udp::start(config, TalkRegistry::new(), &tasks, stop.clone()).await.expect("it starts");
    let families = if has_v6 { vec![LOCAL4, LOCAL6] } else { vec![LOCAL4] };

    for (number, ip) in (71..).zip(families) {
        let there = Enode::new(record.key(), SocketAddr::new(ip, port));
        for (number, speaks) in [(number, Speaks::Discv5), (number + 10, Speaks::Discv4)] {
            let mut node = Node::start_at(ip, number, speaks, vec![Bootnode::Enode(there.clone())]).await;
            let found = node.find([record.node_id()].into()).await;
            let records: Vec<_> = found.iter().filter_map(|found| found.record.as_ref()).collect();
            assert!(records.iter().all(|theirs| **theirs == record), "{records:?}");
            assert!(speaks == Speaks::Discv4 || !records.is_empty(), "discv5 always has the record");
            node.end().await;
        }
    }

    stop.cancel();
    tasks.close();
    soon(tasks.wait()).await;
}

#[tokio::test]
async fn five_nodes_that_know_one_find_each_other_by_discv5() {
    assert_eq!(five_meet([11, 12, 13, 14, 15], Speaks::Discv5).await, [Source::Discv5].into());
}

#[tokio::test]
async fn five_nodes_that_know_one_find_each_other_by_discv4() {
    assert_eq!(five_meet([21, 22, 23, 24, 25], Speaks::Discv4).await, [Source::Discv4].into());
}

#[tokio::test]
async fn a_port_serves_both_protocols() {
    let mut both = Node::start(31, Speaks::Both, Vec::new()).await;
    let mut old = Node::start(32, Speaks::Discv4, both.as_enode()).await;
    let mut new = Node::start(33, Speaks::Discv5, both.as_record()).await;

    old.find(ids([&both])).await;
    new.find(ids([&both])).await;
    let found = both.find(ids([&old, &new])).await;

    let source_of = |node: &Node| found.iter().find(|found| id(found) == node.id()).map(|found| found.source);
    assert_eq!(source_of(&old), Some(Source::Discv4));
    assert_eq!(source_of(&new), Some(Source::Discv5));
    assert!(both.udp.stats().foreign > 0);
    end_all([both, old, new]).await;
}

#[tokio::test]
async fn an_enode_is_enough_to_begin_discv5() {
    let first = Node::start(34, Speaks::Discv5, Vec::new()).await;
    let mut second = Node::start(35, Speaks::Discv5, first.as_enode()).await;

    let found = second.find(ids([&first])).await;

    assert_eq!(found[0].record, Some(first.record()));
    end_all([first, second]).await;
}

/// Containers know each other by name.
#[tokio::test]
async fn a_bootnode_may_be_named() {
    for (numbers, speaks) in [([91, 92], Speaks::Discv5), ([93, 94], Speaks::Discv4)] {
        let first = Node::start(numbers[0], speaks, Vec::new()).await;
        let enode = first.record().enode().expect("it has an address");
        let named = Enode { host: Host::Name("localhost".to_owned()), ..enode };
        let mut second = Node::start(numbers[1], speaks, vec![Bootnode::Enode(named)]).await;

        let found = second.find(ids([&first])).await;

        assert_eq!(id(&found[0]), first.id());
        end_all([first, second]).await;
    }
}

#[tokio::test]
async fn a_node_told_of_is_met_without_a_search() {
    let mut first = Node::start(36, Speaks::Both, Vec::new()).await;
    let second = Node::start(37, Speaks::Both, Vec::new()).await;

    first.udp.add(&second.record());
    let found = soon(first.found.recv()).await.expect("it runs");

    assert_eq!(id(&found), second.id());
    end_all([first, second]).await;
}
