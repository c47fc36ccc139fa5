//! The nodes that the user named.

use std::time::{Duration, Instant};

use causeway_records::{Refusal, Way};
use causeway_wire::NodeKey;

use super::*;
use crate::{Named, Refused, STABLE};

/// Only the user's nodes: nobody is searched for.
fn fixed(numbers: &[u8], now: Instant) -> Pool {
    let mut pool = pool_of(PoolConfig { targets: Targets::default(), ..config() }, now);
    for number in numbers {
        pool.add_named(Named::Enode(enode(*number)), Source::Static, now).expect("taken in");
    }
    pool
}

/// A pool with node 1, whose first dial is under way.
fn dialing(now: Instant) -> (Pool, NodeKey) {
    let mut pool = fixed(&[1], now);
    let dial = pool.poll_dial(now).expect("due at once");
    (pool, dial.key)
}

#[test]
fn each_node_is_dialed_once_at_the_start_in_the_order_of_their_naming() {
    let now = Instant::now();
    let mut pool = fixed(&[2, 1, 2], now);

    let keys = dials(&mut pool, now);

    assert_eq!(keys, [enode(2).key, enode(1).key]);
    assert_eq!(pool.poll_timeout(), None);
    assert_eq!(pool.poll_search(now), None);
}

#[test]
fn waits_double_up_to_the_longest() {
    let mut now = Instant::now();
    let (mut pool, key) = dialing(now);

    let mut waits = Vec::new();
    for _ in 0..8 {
        pool.handle_failure(key, Failure::Unreachable, now);
        let due = wait(&pool, now);
        assert_eq!(pool.poll_dial(now), None);
        now += due;
        assert!(pool.poll_dial(now).is_some());
        waits.push(due.as_secs());
    }

    assert_eq!(waits, [1, 2, 4, 8, 15, 15, 15, 15]);
}

#[test]
fn a_session_that_held_resets_the_wait() {
    let mut now = Instant::now();
    let (mut pool, key) = dialing(now);
    for _ in 0..5 {
        pool.handle_failure(key, Failure::Unreachable, now);
    }

    pool.handle_connected(key, dialed(), now);
    now += STABLE;
    pool.handle_failure(key, Failure::Unreachable, now);

    assert_eq!(wait(&pool, now), secs(1));
}

#[test]
fn a_session_that_ends_at_once_is_one_more_failure() {
    let now = Instant::now();
    let (mut pool, key) = dialing(now);
    pool.handle_failure(key, Failure::Unreachable, now);

    pool.handle_connected(key, dialed(), now);
    pool.handle_disconnected(key, Stack::Devp2p, false, Failure::Unreachable, now);

    assert_eq!(wait(&pool, now), secs(2));
}

#[test]
fn a_node_that_refuses_is_left_alone_for_a_minute() {
    let now = Instant::now();
    let (mut pool, key) = dialing(now);

    pool.handle_failure(key, Failure::Refused, now);
    assert_eq!(wait(&pool, now), secs(60));

    pool.handle_failure(key, Failure::AlreadyConnected, now);
    assert_eq!(wait(&pool, now), secs(35));
}

#[test]
fn ourselves_is_never_dialed_again() {
    let now = Instant::now();
    let (mut pool, key) = dialing(now);

    pool.handle_failure(key, Failure::Myself, now);

    assert_eq!(pool.poll_dial(now + Duration::from_secs(100_000)), None);
    assert_eq!(pool.poll_timeout(), None);
}

#[test]
fn naming_ourselves_or_nowhere_is_an_error() {
    let now = Instant::now();
    let mut pool = pool_of(PoolConfig { me: enode(1).key, ..config() }, now);

    let myself = pool.add_named(Named::Enode(enode(1)), Source::Static, now);
    let nowhere = pool.add_named(Named::Enode(Enode { tcp: 0, ..enode(2) }), Source::Static, now);

    assert_eq!(myself, Err(Refused::Myself));
    assert_eq!(nowhere, Err(Refused::Unusable(Refusal::NoAddress)));
}

#[test]
fn the_user_may_name_any_address_and_a_host_name() {
    let now = Instant::now();
    let mut pool = fixed(&[], now);
    let home: Enode = format!("enode://{}@127.0.0.1:1", enode(1).key).parse().expect("valid");
    let name: Enode = format!("enode://{}@geth:30303", enode(2).key).parse().expect("valid");

    pool.add_named(Named::Enode(home.clone()), Source::Static, now).expect("taken in");
    pool.add_named(Named::Enode(name.clone()), Source::Trusted, now).expect("taken in");

    let ways: Vec<_> = std::iter::from_fn(|| pool.poll_dial(now)).map(|dial| dial.ways).collect();
    assert_eq!(ways, [vec![Way::Devp2p(vec![name])], vec![Way::Devp2p(vec![home])]]);
    assert!(pool.is_trusted(enode(2).key) && !pool.is_trusted(enode(1).key));
}

#[test]
fn a_named_node_is_dialed_beyond_all_limits_and_never_given_up() {
    let mut now = Instant::now();
    let mut pool = pool_of(PoolConfig { most: 0, dials_at_once: 0, ..config() }, now);
    pool.add_named(Named::Record(record(1)), Source::Static, now).expect("taken in");

    for _ in 0..100 {
        now += secs(60);
        assert_eq!(dials(&mut pool, now), [record(1).key()]);
        pool.handle_failure(record(1).key(), Failure::Refused, now);
    }
    now += secs(60);
    dials(&mut pool, now);
    pool.handle_connected(record(1).key(), dialed(), now);

    assert_eq!(pool.poll_evict(now), None);
    assert!(pool.memory(now, 1).is_empty());
}

#[test]
fn a_named_node_that_lies_is_dialed_again_after_a_minute() {
    let now = Instant::now();
    let (mut pool, key) = dialing(now);
    pool.handle_connected(key, dialed(), now);

    pool.handle_lie(key, now);
    assert_eq!(pool.poll_evict(now), None);
    pool.handle_disconnected(key, Stack::Devp2p, false, Failure::Lied, now);

    assert_eq!(wait(&pool, now), secs(60));
}

#[test]
fn more_than_may_be_named_are_refused() {
    let now = Instant::now();
    let mut pool = pool(now);
    let name =
        |number: u64| Enode { key: NodeKey(B512::left_padding_from(&number.to_be_bytes())), ..enode(1) };
    for number in 0..crate::MAX_NAMED as u64 {
        pool.add_named(Named::Enode(name(number)), Source::Static, now).expect("taken in");
    }

    let one_more = pool.add_named(Named::Enode(enode(1)), Source::Static, now);

    assert_eq!(one_more, Err(Refused::TooManyNamed { limit: crate::MAX_NAMED }));
}
