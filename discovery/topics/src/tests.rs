//! Records of made-up nodes, and stories of many nodes.

mod simulation;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
};

use alloy_primitives::keccak256;
use causeway_records::{Contents, MAX_RECORD, Record};
use enr::Enr;
use secp256k1::SecretKey;

pub(crate) fn secret(n: u8) -> SecretKey {
    numbered_secret(u32::from(n))
}

fn numbered_secret(n: u32) -> SecretKey {
    SecretKey::from_secret_bytes(keccak256(n.to_be_bytes()).0).expect("a hash is a key")
}

/// A public address for each number, all in networks of their own.
pub(crate) fn ip_of(n: u8) -> IpAddr {
    numbered_ip(u32::from(n))
}

fn numbered_ip(n: u32) -> IpAddr {
    let [a, b, c, d, ..] = keccak256([&b"ip"[..], &n.to_be_bytes()].concat()).0;
    let first = [5, 8, 23, 31, 45, 62, 77, 80, 93, 109, 130, 151, 176, 185, 203, 217][usize::from(a % 16)];
    IpAddr::V4(Ipv4Addr::new(first, b, c, d))
}

pub(crate) fn record(n: u8) -> Record {
    record_at(n, ip_of(n))
}

pub(crate) fn record_at(n: u8, ip: IpAddr) -> Record {
    numbered_record(u32::from(n), ip)
}

/// The same each time: a record signed anew has another signature.
fn numbered_record(n: u32, ip: IpAddr) -> Record {
    static MADE: Mutex<BTreeMap<(u32, IpAddr), Record>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.entry((n, ip)).or_insert_with(|| signed(n, ip)).clone()
}

fn signed(n: u32, ip: IpAddr) -> Record {
    let contents = match ip {
        IpAddr::V4(ip) => Contents { ip: Some(ip), udp: Some(30303), ..Contents::default() },
        IpAddr::V6(ip) => Contents { ip6: Some(ip), udp6: Some(30303), ..Contents::default() },
    };
    Record::sign(&numbered_secret(n), 1, &contents).expect("signs").record
}

pub(crate) fn renumbered(n: u8, seq: u64) -> Record {
    let IpAddr::V4(ip) = ip_of(n) else { unreachable!("they are all of v4") };
    let contents = Contents { ip: Some(ip), udp: Some(30303), ..Contents::default() };
    Record::sign(&secret(n), seq, &contents).expect("signs").record
}

pub(crate) fn without_address(n: u8) -> Record {
    Record::sign(&secret(n), 1, &Contents::default()).expect("signs").record
}

/// A record with the entry of topic discovery.
pub(crate) fn announcing(n: u8, value: &[u8]) -> Record {
    try_entry(n, "topic-discovery", value.to_vec()).expect("fits")
}

/// A record of the largest size that can be made.
pub(crate) fn large_record(n: u8) -> Record {
    let filler = |length| alloy_rlp::encode(&vec![0xffu8; length][..]);
    let record = (100..200).rev().find_map(|length| try_entry(n, "zz", filler(length))).expect("one fits");
    assert!(record.size() > MAX_RECORD - 8, "{}", record.size());
    record
}

fn try_entry(n: u8, key: &str, value: Vec<u8>) -> Option<Record> {
    let IpAddr::V4(ip) = ip_of(n) else { unreachable!("they are all of v4") };
    let mut builder = Enr::builder();
    builder.ip4(ip).udp4(30303).add_value_rlp(key, value.into());
    let record = builder.build(&secret(n)).ok()?;
    Some(Record::decode(&alloy_rlp::encode(&record)).expect("valid"))
}
