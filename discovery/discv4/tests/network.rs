//! Machines that find each other from one node they know.

mod support;

use std::time::Duration;

use causeway_discv4::{FOUND_AGAIN, Limits};
use causeway_records::Reach;
use support::{Net, addr, record};

/// Node 0 is known to all others.
fn started(count: u32, loss: u64) -> Net {
    let mut net = Net::new(loss);
    let boot = net.add(0, addr(0));
    for n in 1..count {
        net.add(n, addr(n));
        let now = net.now;
        net.host(addr(n)).machine.add_node(&boot, now);
    }
    net
}

#[test]
fn two_find_each_other_with_their_records() {
    let mut net = started(2, 0);

    net.run(Duration::from_secs(5));

    for (at, other) in [(0, 1), (1, 0)] {
        let key = net.host(addr(other)).enode.key;
        let host = net.host(addr(at));
        let record = host.found.get(&key).cloned().flatten().expect("the other's record");
        assert_eq!((record.key(), record.seq(), record.tcp()), (key, 1, Some(30300)));
        assert_eq!(host.machine.table_len(), 1);
        assert!(host.observed.contains(&addr(at)), "the other says where it sees us");
    }
}

#[test]
fn twenty_find_each_other_from_one() {
    let mut net = started(20, 0);

    net.run(Duration::from_secs(30));

    for n in 0..20 {
        let host = net.host(addr(n));
        assert_eq!(host.found.len(), 19, "node {n}");
        assert!(host.found.values().all(Option::is_some), "node {n} has every record");
        assert!(host.machine.table_len() >= 16, "node {n} has {} in its table", host.machine.table_len());
    }
}

#[test]
fn twenty_find_each_other_though_every_tenth_packet_is_lost() {
    let mut net = started(20, 100);

    net.run(Duration::from_secs(60));
    for n in 0..20 {
        let target = net.host(addr(n)).enode.key;
        assert!(net.lookup(addr(n), target));
    }
    net.run(Duration::from_secs(180));

    for n in 0..20 {
        let found = net.host(addr(n)).found.len();
        assert!(found >= 17, "node {n} found {found}");
    }
}

#[test]
fn a_lookup_finds_a_node_far_from_the_asker() {
    let mut net = started(20, 0);
    net.run(Duration::from_secs(10));
    let now = net.now;
    let last = net.add(99, addr(99));
    let boot = net.host(addr(0)).enode.clone();
    net.host(addr(99)).machine.add_node(&boot, now);
    net.run(Duration::from_secs(10));

    assert!(net.lookup(addr(3), last.key));
    net.run(Duration::from_secs(10));

    let host = net.host(addr(3));
    assert!(host.found.contains_key(&last.key));
    assert_eq!(host.lookups.len(), 1);
    assert!(host.lookups[0] >= 16, "{} answered", host.lookups[0]);
}

#[test]
fn lookups_are_bounded_and_each_ends_once() {
    let mut net = started(5, 0);
    net.run(Duration::from_secs(10));
    let target = net.host(addr(2)).enode.key;

    let started = (0..10).filter(|_| net.lookup(addr(1), target)).count();
    net.run(Duration::from_secs(10));

    assert_eq!(started, Limits::default().lookups);
    assert_eq!(net.host(addr(1)).lookups.len(), started);
    assert!(net.lookup(addr(1), target));
}

#[test]
fn a_node_without_others_answers_a_lookup_with_none() {
    let mut net = Net::new(0);
    let alone = net.add(0, addr(0));

    assert!(net.lookup(addr(0), alone.key));
    net.run(Duration::from_secs(1));

    assert_eq!(net.host(addr(0)).lookups, [0]);
}

#[test]
fn the_dead_leave_every_table() {
    let mut net = started(8, 0);
    net.run(Duration::from_secs(30));
    assert_eq!(net.host(addr(2)).machine.table_len(), 7);

    net.nodes.remove(&addr(5));
    net.run(Duration::from_secs(1800));

    for n in [0, 1, 2, 3, 4, 6, 7] {
        assert_eq!(net.host(addr(n)).machine.table_len(), 6, "node {n}");
    }
}

#[test]
fn who_comes_late_to_a_silent_bootnode_is_tried_again() {
    let mut net = started(2, 0);
    let boot = net.nodes.remove(&addr(0)).expect("a host");
    net.run(Duration::from_secs(300));
    assert_eq!(net.host(addr(1)).machine.table_len(), 0);

    net.nodes.insert(addr(0), boot);
    net.run(Duration::from_secs(400));

    assert_eq!(net.host(addr(1)).machine.table_len(), 1);
}

#[test]
fn a_new_record_is_fetched_when_it_is_announced() {
    let mut net = started(2, 0);
    net.run(Duration::from_secs(10));
    let key = net.host(addr(0)).enode.key;

    net.host(addr(0)).machine.set_record(record(0, addr(0), 7));
    net.run(Duration::from_secs(60));

    let found = net.host(addr(1)).found.get(&key).cloned().flatten();
    assert_eq!(found.map(|record| record.seq()), Some(7));
}

#[test]
fn an_idle_net_says_little() {
    let mut net = started(5, 0);
    net.run(Duration::from_secs(60));
    net.sent.clear();

    net.run(Duration::from_secs(600));

    let pings = net.sent.get(&1).copied().unwrap_or(0);
    assert!(pings <= 5 * 4 * 600 / 30, "{pings} pings of five nodes in ten minutes");
    assert_eq!(net.sent.get(&5), None, "no record is asked for twice");
    assert_eq!(net.sent.get(&3), None, "nobody is looked for");
}

#[test]
fn the_table_is_filled_again_every_half_hour() {
    let mut net = started(5, 0);
    net.run(Duration::from_secs(1000));
    net.sent.clear();

    net.run(Duration::from_secs(1000));

    assert!(net.sent.get(&3).copied().unwrap_or(0) >= 5);
}

#[test]
fn a_node_is_told_again_after_a_while_when_it_is_found_again() {
    let mut net = started(4, 0);
    net.run(Duration::from_secs(10));
    let target = net.host(addr(2)).enode.key;
    let lookup_finds = |net: &mut Net| {
        net.host(addr(1)).found.clear();
        assert!(net.lookup(addr(1), target));
        net.run(Duration::from_secs(5));
        net.host(addr(1)).found.contains_key(&target)
    };

    assert!(!lookup_finds(&mut net));
    net.run(FOUND_AGAIN);
    net.run(FOUND_AGAIN);
    assert!(net.lookup(addr(1), target));
    net.run(Duration::from_secs(5));
    assert!(net.host(addr(1)).found.contains_key(&target));
}

#[test]
fn twenty_on_one_machine_find_each_other() {
    let mut net = Net::new(0);
    let at = |n: u16| ([127, 0, 0, 1], 20_000 + n).into();
    let boot = net.add_with(0, at(0), Reach::Local, Limits::default());
    for n in 1..20 {
        net.add_with(n.into(), at(n), Reach::Local, Limits::default());
        let now = net.now;
        net.host(at(n)).machine.add_node(&boot, now);
    }

    net.run(Duration::from_secs(40));

    for n in 0..20 {
        assert_eq!(net.host(at(n)).found.len(), 19, "node {n}");
    }
}

#[test]
fn a_local_node_given_to_a_public_one_is_used_and_no_other() {
    let mut net = Net::new(0);
    let [given, other, ours] = [10, 11, 12].map(|n| ([192, 168, 0, n], 30303).into());
    let boot = net.add_with(0, given, Reach::Local, Limits::default());
    net.add_with(1, other, Reach::Local, Limits::default());
    net.add_with(2, ours, Reach::Public, Limits::default());
    let now = net.now;
    net.host(other).machine.add_node(&boot, now);
    net.host(ours).machine.add_node(&boot, now);

    net.run(Duration::from_secs(30));

    assert!(net.host(other).found.contains_key(&boot.key));
    assert_eq!(net.host(ours).found.keys().copied().collect::<Vec<_>>(), [boot.key]);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut net = started(6, 50);
        net.run(Duration::from_secs(100));
        net.sent
    };

    assert_eq!(run(), run());
}

#[test]
fn packets_that_nobody_sends_are_bounded() {
    let mut net = Net::new(0);
    let limits = Limits { transmits: 4, ..Limits::default() };
    net.add_with(0, addr(0), Reach::Public, limits);
    for n in 1..30 {
        let enode = net.add(n, addr(n));
        let now = net.now;
        net.host(addr(0)).machine.add_node(&enode, now);
    }
    let (now, unix) = (net.now, net.unix());
    let host = net.host(addr(0));

    host.machine.handle_timeout(now, unix);

    assert_eq!(std::iter::from_fn(|| host.machine.poll_transmit()).count(), 4);
    assert!(host.machine.stats().transmits_dropped > 0);
}
