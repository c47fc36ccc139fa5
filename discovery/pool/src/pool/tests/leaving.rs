//! Connected peers: who counts, and who goes.

use super::*;
use crate::{BANISHED, Refused, Value};

#[test]
fn a_peer_on_both_stacks_is_one_peer() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = take(&mut pool, 1, Source::Dns, now);
    dials(&mut pool, now);
    pool.handle_connected(key, dialed(), now);
    pool.handle_connected(key, on(Stack::Libp2p, true, Role::LesFullNode), now);

    assert_eq!(pool.summary().connected, 1);
    pool.handle_disconnected(key, Stack::Devp2p, false, Failure::Left, now);
    assert_eq!(pool.summary().connected, 1);
    assert_eq!(dials(&mut pool, now + secs(3_600)), []);
    pool.handle_disconnected(key, Stack::Libp2p, true, Failure::Left, now);
    assert_eq!(pool.summary().connected, 0);
}

#[test]
fn a_session_that_another_replaced_ends_alone() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = take(&mut pool, 1, Source::Dns, now);
    dials(&mut pool, now);

    // We dialed each other at the same time; the inbound session took the place of ours.
    pool.handle_connected(key, on(Stack::Libp2p, true, Role::LightPeer), now);
    pool.handle_connected(key, on(Stack::Libp2p, false, Role::Relay), now);
    pool.handle_disconnected(key, Stack::Libp2p, false, Failure::AlreadyConnected, now);

    assert_eq!(pool.summary().connected, 1);
    assert_eq!(pool.peers(now)[0].stacks, ["libp2p"]);
    assert_eq!(dials(&mut pool, now + secs(3_600)), []);
    pool.handle_disconnected(key, Stack::Libp2p, true, Failure::Left, now);
    assert_eq!(pool.summary().connected, 0);
}

#[test]
fn who_came_to_us_is_not_dialed() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = take(&mut pool, 1, Source::Dns, now);

    pool.handle_connected(key, on(Stack::Libp2p, true, Role::Relay), now);

    assert_eq!(dials(&mut pool, now), []);
    assert_eq!(pool.poll_evict(now), None);
}

#[test]
fn who_comes_while_being_dialed_stays_when_the_dial_fails() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = take(&mut pool, 1, Source::Dns, now);
    dials(&mut pool, now);

    pool.handle_connected(key, on(Stack::Devp2p, true, Role::LesFullNode), now);
    pool.handle_failure(key, Failure::AlreadyConnected, now);

    assert_eq!((pool.summary().connected, pool.summary().dialing), (1, 0));
}

#[test]
fn those_who_come_do_not_fill_more_than_half_of_a_target() {
    let now = Instant::now();
    let mut pool = pool(now);
    for number in 1..=5 {
        pool.handle_connected(record(number).key(), on(Stack::Devp2p, true, Role::LesFullNode), now);
    }

    let search = pool.poll_search(now).expect("due");

    assert!(search.missing.contains(&(Role::LesFullNode, 1)), "{search:?}");
}

#[test]
fn who_came_and_left_is_forgotten_unless_it_may_be_dialed() {
    let now = Instant::now();
    let mut pool = pool(now);
    let known = take(&mut pool, 1, Source::Dns, now);
    let unknown = record(2).key();
    for key in [known, unknown] {
        pool.handle_connected(key, on(Stack::Libp2p, true, Role::Relay), now);
        pool.handle_disconnected(key, Stack::Libp2p, true, Failure::Left, now + secs(60));
    }

    assert_eq!(pool.nodes.keys().copied().collect::<Vec<_>>(), [known]);
}

#[test]
fn one_too_many_makes_the_least_worthy_stranger_leave() {
    let now = Instant::now();
    let targets = Targets { les_full_nodes: 9, ..Targets::default() };
    let mut pool = pool_of(PoolConfig { targets, most: 3, ..config() }, now);
    pool.add_named(crate::Named::Enode(enode(1)), Source::Static, now).expect("taken in");
    for number in 2..=4 {
        take(&mut pool, number, Source::Dns, now);
    }
    for number in 1..=4 {
        pool.handle_connected(record(number).key(), dialed(), now);
    }
    let good = Value { answers: 10, failures: 0, latency: Duration::from_millis(20) };
    pool.handle_value(record(2).key(), good, now);
    pool.handle_value(record(4).key(), good, now);

    let least = record(3).key();
    assert_eq!((pool.poll_evict(now), pool.poll_evict(now)), (Some(least), None));
    pool.handle_disconnected(least, Stack::Devp2p, false, Failure::Stopped, now);
    assert_eq!(pool.poll_evict(now), None);
    assert_eq!(pool.summary().connected, 3);
}

#[test]
fn who_turns_out_to_be_of_no_use_leaves() {
    let now = Instant::now();
    let mut pool = pool(now);
    pool.handle_enode(enode(1), Source::Discv4, now).expect("taken in");
    let dial = pool.poll_dial(now).expect("as a last resort");
    assert_eq!(dial.role, Role::LesFullNode);
    pool.handle_connected(dial.key, dialed(), now);
    assert_eq!(pool.poll_evict(now), None);

    pool.handle_role(dial.key, Role::EthFullNode);

    assert_eq!(pool.poll_evict(now), Some(dial.key));
}

#[test]
fn a_liar_is_shown_out_and_not_heard_of_for_an_hour() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = take(&mut pool, 1, Source::Dns, now);
    dials(&mut pool, now);
    pool.handle_connected(key, dialed(), now);

    pool.handle_lie(key, now);

    assert!(pool.memory(now, 1).is_empty());
    assert_eq!(pool.poll_evict(now), Some(key));
    pool.handle_disconnected(key, Stack::Devp2p, false, Failure::Stopped, now);
    assert_eq!(pool.nodes.len(), 0);
    assert_eq!(pool.handle_record(record(1), Source::Dns, now), Err(Refused::Banished));
    pool.handle_connected(key, on(Stack::Devp2p, true, Role::LesFullNode), now);
    assert_eq!(pool.poll_evict(now), Some(key), "it came back by itself");
    pool.handle_disconnected(key, Stack::Devp2p, true, Failure::Stopped, now);
    assert_eq!(pool.handle_record(record(1), Source::Dns, now + BANISHED), Ok(()));
}

#[test]
fn one_given_up_that_comes_by_itself_is_welcome() {
    let now = Instant::now();
    let mut pool = pool(now);
    pool.handle_connected(record(2).key(), dialed(), now); // our own link works
    let key = take(&mut pool, 1, Source::Dns, now);
    for _ in 0..3 {
        pool.handle_failure(key, Failure::Refused, now);
    }
    assert_eq!(pool.handle_record(record(1), Source::Dns, now), Err(Refused::GivenUp));

    pool.handle_connected(key, on(Stack::Devp2p, true, Role::LesFullNode), now);

    assert_eq!(pool.poll_evict(now), None);
    assert_eq!(pool.handle_record(record(1), Source::Dns, now), Ok(()));
}

#[test]
fn who_says_in_its_record_that_it_is_a_relay_counts_as_one_however_it_came() {
    let now = Instant::now();
    let mut pool = pool(now);
    let record = signed(1, 1, &relay_node(1));
    let key = record.key();
    let roles = |pool: &Pool| {
        let connected = |role| pool.summary().roles.iter().find(|of| of.role == role).map(|of| of.connected);
        (connected(Role::Relay), connected(Role::LightPeer))
    };

    pool.handle_connected(key, on(Stack::Libp2p, true, Role::LightPeer), now);
    assert_eq!(roles(&pool), (Some(0), Some(1)));
    pool.handle_record(record, Source::Discv5, now).expect("taken in");
    assert_eq!(roles(&pool), (Some(1), Some(0)));
    pool.handle_connected(key, on(Stack::Devp2p, false, Role::LesFullNode), now);
    assert_eq!(roles(&pool), (Some(1), Some(0)));
}

#[test]
fn a_full_node_that_came_is_dialed_as_soon_as_it_is_gone() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = take(&mut pool, 1, Source::Discv4, now);
    pool.handle_connected(key, on(Stack::Devp2p, true, Role::LightPeer), now);
    assert_eq!(dials(&mut pool, now), []);

    pool.handle_offer(key, now);
    pool.handle_disconnected(key, Stack::Devp2p, true, Failure::Left, now);

    assert_eq!(dials(&mut pool, now), [key]);
}
