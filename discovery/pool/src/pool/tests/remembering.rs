//! What an earlier run leaves.

use super::*;
use crate::{MAX_REMEMBERED, Memory, MemoryError, Value};

const UNIX: u64 = 1_800_000_000;

/// A memory of one worthy and one worthless full node, last seen at [`UNIX`].
fn memory(now: Instant) -> Memory {
    let mut pool = pool(now);
    for number in 1..=3 {
        take(&mut pool, number, Source::Dns, now);
    }
    let worthy = record(1).key();
    pool.handle_connected(worthy, dialed(), now);
    pool.handle_connected(record(2).key(), dialed(), now);
    let value = Value { answers: 1_000, failures: 1, latency: Duration::from_millis(30) };
    pool.handle_value(worthy, value, now);
    pool.memory(now, UNIX)
}

#[test]
fn what_worked_is_remembered_the_worthy_first() {
    let now = Instant::now();

    let memory = memory(now);
    let text = memory.to_json().expect("written");
    let read = Memory::from_json(&text).expect("what we wrote");
    let mut pool = pool(now);

    assert!(text.contains("\"version\": 1"), "{text}");
    assert_eq!(read, memory);
    assert_eq!(pool.remember(read, now, UNIX), 2);
    let dial = pool.poll_dial(now).expect("due");
    assert_eq!((dial.key, dial.source), (record(1).key(), Source::Cache));
}

#[test]
fn the_worthless_are_forgotten_after_an_hour_and_the_worthy_after_a_week() {
    let now = Instant::now();
    let after = |seconds| pool(now).remember(memory(now), now, UNIX + seconds);

    assert_eq!([after(3_599), after(3_600), after(5 * 86_400), after(7 * 86_400)], [2, 1, 1, 0]);
    assert_eq!(pool(now).remember(memory(now), now, 0), 2, "a clock that went back");
}

#[test]
fn the_time_without_a_session_adds_up_over_restarts() {
    let now = Instant::now();
    let first = memory(now);
    let mut second = pool(now);
    second.remember(first.clone(), now, UNIX + 1_800);

    assert_eq!(second.memory(now, UNIX + 1_800), first);
    assert_eq!(second.memory(now + secs(1_800), UNIX + 3_600).len(), 1);
}

#[test]
fn damaged_and_hostile_texts_are_refused_with_the_reason() {
    let now = Instant::now();
    let text = memory(now).to_json().expect("written");
    let read = |text: &str| Memory::from_json(text).expect_err("refused");

    assert!(matches!(read(&text[..text.len() / 2]), MemoryError::Json(_)));
    assert!(matches!(read(""), MemoryError::Json(_)));
    assert!(matches!(
        read(&text.replace("\"version\": 1", "\"version\": 2")),
        MemoryError::Version { version: 2 }
    ));
    assert!(matches!(read(&" ".repeat(crate::MAX_MEMORY + 1)), MemoryError::TooLong { .. }));
    let other_key = text.replacen(&record(1).key().to_string(), &record(2).key().to_string(), 1);
    let MemoryError::Peer { number: 1, what } = read(&other_key) else { panic!("{:?}", read(&other_key)) };
    assert_eq!(what, "a record by another key");
    assert!(matches!(read(&text.replacen("enr:-", "enr:", 1)), MemoryError::Peer { number: 1, .. }));
    assert!(matches!(read(&text.replacen("\"minutes\"", "\"hours\"", 1)), MemoryError::Json(_)));

    let mut value: serde_json::Value = serde_json::from_str(&text).expect("json");
    let peer = value["peers"][0].clone();
    value["peers"] = vec![peer; MAX_REMEMBERED + 1].into();
    assert!(matches!(read(&value.to_string()), MemoryError::TooMany { .. }));
}

#[test]
fn huge_numbers_in_a_text_do_no_harm() {
    let now = Instant::now();
    let mut value: serde_json::Value =
        serde_json::from_str(&memory(now).to_json().expect("written")).expect("json");
    for field in ["answers", "failures", "minutes", "latencyMs"] {
        value["peers"][0]["value"][field] = u64::MAX.into();
    }
    value["peers"][0]["failures"] = u32::MAX.into();
    value["peers"][0]["lastSeen"] = u64::MAX.into();

    let hostile = Memory::from_json(&value.to_string()).expect("well formed");
    let mut pool = pool(now);
    pool.remember(hostile, now, UNIX);

    dials(&mut pool, now);
    pool.handle_failure(record(1).key(), Failure::Unreachable, now);
    assert!(pool.memory(now, UNIX).len() <= 2);
}

#[test]
fn the_text_is_bounded() {
    let now = Instant::now();
    let long = format!("/dns4/{}example.org/tcp/443/wss", format!("{}.", "a".repeat(60)).repeat(3));
    let mut pool = pool_of(PoolConfig { candidates_per_subnet: 1_000, ..config() }, now);
    for number in 0..400_u64 {
        let key = NodeKey(B512::left_padding_from(&number.to_be_bytes()));
        let addrs = vec![long.parse().expect("valid"); crate::MAX_ADDRESSES];
        pool.handle_addresses(key, Role::Relay, addrs, Source::Rendezvous, now).expect("taken in");
        pool.handle_connected(key, on(Stack::Libp2p, false, Role::Relay), now);
    }

    let memory = pool.memory(now, UNIX);
    let text = memory.to_json().expect("written");

    assert_eq!(memory.len(), MAX_REMEMBERED);
    assert!(text.len() <= crate::MAX_MEMORY, "{}", text.len());
    assert!(!Memory::from_json(&text).expect("what we wrote").is_empty());
}
