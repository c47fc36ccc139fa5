//! The pool as a whole.

mod leaving;
mod named;
mod remembering;
mod strangers;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use alloy_eip2124::{ForkFilter, ForkFilterKey, Head};
use alloy_primitives::{B256, B512};
use causeway_records::{Contents, Enode, Record};
use causeway_wire::{ForkId, NodeKey, Stack};
use secp256k1::SecretKey;

use super::{Connected, Pool};
use crate::{Failure, PoolConfig, PoolEvent, Role, Source, Targets};

/// A chain with a fork at 10, as of block `number`.
fn forks(number: u64) -> ForkFilter {
    let head = Head { number, ..Head::default() };
    ForkFilter::new(head, B256::repeat_byte(1), 0, [ForkFilterKey::Block(10), ForkFilterKey::Block(1_000)])
}

fn me() -> NodeKey {
    NodeKey(B512::repeat_byte(9))
}

fn secret(number: u8) -> SecretKey {
    SecretKey::from_secret_bytes([number; 32]).expect("valid secret")
}

/// What a full node number `number` says of itself.
fn full_node(number: u8) -> Contents {
    let current = forks(100).current();
    Contents {
        ip: Some(Ipv4Addr::new(8, number, 4, 4)),
        tcp: Some(30303),
        udp: Some(30303),
        eth: Some(ForkId { hash: current.hash.0, next: current.next }),
        les: true,
        ..Contents::default()
    }
}

fn relay_node(number: u8) -> Contents {
    Contents { quic: Some(30305), ..full_node(number) }
}

fn signed(number: u8, seq: u64, contents: &Contents) -> Record {
    Record::sign(&secret(number), seq, contents).expect("fits").record
}

fn record(number: u8) -> Record {
    signed(number, 1, &full_node(number))
}

fn enode(number: u8) -> Enode {
    Enode::new(record(number).key(), (IpAddr::from([8, number, 4, 4]), 30303).into())
}

fn config() -> PoolConfig {
    PoolConfig {
        targets: Targets { les_full_nodes: 2, eth_full_nodes: 0, relays: 1 },
        ..PoolConfig::relay(me())
    }
}

fn pool_of(config: PoolConfig, now: Instant) -> Pool {
    Pool::new(config, forks(100), [7; 32], now)
}

fn pool(now: Instant) -> Pool {
    pool_of(config(), now)
}

fn on(stack: Stack, inbound: bool, role: Role) -> Connected {
    Connected { stack, inbound, role, client: String::from("test/1.0") }
}

/// A full node that we dialed.
fn dialed() -> Connected {
    on(Stack::Devp2p, false, Role::LesFullNode)
}

fn take(pool: &mut Pool, number: u8, source: Source, now: Instant) -> NodeKey {
    pool.handle_record(record(number), source, now).expect("taken in");
    record(number).key()
}

/// Everybody who is dialed now.
fn dials(pool: &mut Pool, now: Instant) -> Vec<NodeKey> {
    std::iter::from_fn(|| pool.poll_dial(now)).map(|dial| dial.key).collect()
}

/// Until the next dial.
fn wait(pool: &Pool, now: Instant) -> Duration {
    pool.next_dial().expect("waiting").saturating_duration_since(now)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn events_tell_who_came_and_went_and_then_the_counts() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = take(&mut pool, 1, Source::Dns, now);
    dials(&mut pool, now);

    pool.handle_connected(key, dialed(), now);
    pool.handle_connected(key, on(Stack::Libp2p, true, Role::Relay), now);
    pool.handle_disconnected(key, Stack::Devp2p, false, Failure::Left, now + secs(3));
    pool.handle_disconnected(key, Stack::Libp2p, true, Failure::Left, now + secs(4));

    let events: Vec<PoolEvent> = std::iter::from_fn(|| pool.poll_event()).collect();
    let [connected, disconnected, PoolEvent::Summary(summary)] = events.as_slice() else {
        panic!("{events:?}")
    };
    let (stack, source) = (Stack::Devp2p, Source::Dns);
    assert_eq!(
        *connected,
        PoolEvent::Connected { key, role: Role::LesFullNode, stack, inbound: false, source }
    );
    let (why, lasted) = (Failure::Left, secs(4));
    assert_eq!(*disconnected, PoolEvent::Disconnected { key, role: Role::Relay, why, lasted });
    assert_eq!((summary.connected, summary.dials, summary.candidates), (0, 1, 1));
}

#[test]
fn events_that_nobody_fetches_do_not_pile_up() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = take(&mut pool, 1, Source::Dns, now);

    for _ in 0..crate::MAX_EVENTS {
        pool.handle_connected(key, dialed(), now);
        pool.handle_disconnected(key, Stack::Devp2p, false, Failure::TooManyPeers, now);
    }

    let events = std::iter::from_fn(|| pool.poll_event()).count();
    assert_eq!(events, crate::MAX_EVENTS + 1);
    assert_eq!(pool.summary().events_dropped, crate::MAX_EVENTS as u64);
}

#[test]
fn the_dashboard_gets_camel_case() {
    let now = Instant::now();
    let mut pool = pool(now);
    let key = take(&mut pool, 1, Source::Discv5, now);
    pool.handle_connected(key, dialed(), now);
    let client = "x".repeat(1_000);
    pool.handle_connected(key, Connected { client, ..on(Stack::Libp2p, true, Role::Relay) }, now);

    let peers = serde_json::to_value(pool.peers(now + secs(5))).expect("json");
    let summary = serde_json::to_value(pool.summary()).expect("json");

    assert_eq!(peers[0]["state"], "connected");
    assert_eq!(peers[0]["connectedFor"], 5);
    assert_eq!(peers[0]["stacks"], serde_json::json!(["devp2p", "libp2p"]));
    assert_eq!(peers[0]["role"], "relay");
    assert_eq!(peers[0]["client"].as_str().map(str::len), Some(crate::MAX_CLIENT));
    assert_eq!(summary["roles"][2]["connected"], 1);
    assert_eq!(summary["eventsDropped"], 0);
}

#[test]
fn searches_are_frequent_below_target_and_rare_at_it() {
    let now = Instant::now();
    let mut pool = pool(now);

    let first = pool.poll_search(now).expect("at once");
    assert_eq!((first.fast, first.missing), (true, vec![(Role::LesFullNode, 2), (Role::Relay, 1)]));
    assert_eq!(pool.poll_search(now + secs(2)), None);
    assert!(pool.poll_search(now + Duration::from_millis(3_301)).is_some());

    for number in 1..=2 {
        let key = take(&mut pool, number, Source::Dns, now);
        pool.handle_connected(key, dialed(), now);
    }
    pool.handle_record(signed(3, 1, &relay_node(3)), Source::Dns, now).expect("taken in");
    pool.handle_connected(record(3).key(), on(Stack::Libp2p, false, Role::Relay), now);
    let due = pool.poll_timeout().expect("a slow search");
    assert!(due >= now + secs(27) && due <= now + secs(37));
    assert_eq!(pool.poll_search(due - secs(1)), None);
    let slow = pool.poll_search(due).expect("due");
    assert_eq!((slow.fast, slow.missing.len()), (false, 0));

    pool.handle_failure(record(3).key(), Failure::Left, due + secs(4));
    assert!(pool.poll_search(due + secs(4)).is_some_and(|search| search.fast));
}

#[test]
fn a_search_that_finds_nobody_for_long_slows_down() {
    let mut now = Instant::now();
    let mut pool = pool(now);

    let mut searches = 0;
    let end = now + secs(3_600);
    while now < end {
        searches += usize::from(pool.poll_search(now).is_some());
        now = pool.poll_timeout().expect("searching");
    }

    assert!((250..450).contains(&searches), "{searches}");
}
