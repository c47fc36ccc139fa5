//! LES messages as bytes: the published forms, what other nodes make of them, and what nobody should.

mod arbitrary;
mod deviations;
mod limits;
mod vectors;

use alloy_primitives::Bytes;
use causeway_wire::rlp;

/// A list of items that are RLP already.
fn list<T: AsRef<[u8]>>(items: &[T]) -> Vec<u8> {
    let mut out = Vec::new();
    rlp::put_raw_list(&mut out, items);
    out
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    rlp::put_string(&mut out, bytes);
    out
}

fn uint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    rlp::put_uint(&mut out, value);
    out
}

/// An entry of a key/value list.
fn entry(key: &str, value: Vec<u8>) -> Vec<u8> {
    list(&[string(key.as_bytes()), value])
}

fn unhex(text: &str) -> Bytes {
    hex::decode(text).expect("hex").into()
}
