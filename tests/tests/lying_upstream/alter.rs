//! How answers are altered.

use alloy_consensus::Header;
use alloy_primitives::Bytes;
use alloy_rlp::Encodable;

/// Flips the lowest bit of a byte, counted from the end.
pub(crate) fn flip(bytes: &Bytes, from_end: usize) -> Bytes {
    let mut altered = bytes.to_vec();
    let place = altered.len() - 1 - from_end;
    altered[place] ^= 1;
    altered.into()
}

/// A header with one thing altered.
pub(crate) fn header(rlp: &Bytes, alter: impl FnOnce(&mut Header)) -> Bytes {
    let mut header: Header = alloy_rlp::decode_exact(rlp).expect("it is a header");
    alter(&mut header);
    alloy_rlp::encode(header).into()
}

/// The items of a list, each with its own header.
pub(crate) fn items(list: &[u8]) -> Vec<Bytes> {
    let mut rest = list;
    let header = alloy_rlp::Header::decode(&mut rest).expect("it is RLP");
    assert!(header.list, "it is a list");
    let mut items = Vec::new();
    while !rest.is_empty() {
        let before = rest;
        let item = alloy_rlp::Header::decode(&mut rest).expect("it is RLP");
        rest = &rest[item.payload_length..];
        items.push(Bytes::copy_from_slice(&before[..before.len() - rest.len()]));
    }
    items
}

/// A list of items.
pub(crate) fn list(items: &[Bytes]) -> Bytes {
    let payload_length = items.iter().map(|item| item.len()).sum();
    let mut out = Vec::new();
    alloy_rlp::Header { list: true, payload_length }.encode(&mut out);
    items.iter().for_each(|item| out.extend_from_slice(item));
    out.into()
}

/// The content of a string item.
pub(crate) fn string(item: &[u8]) -> Bytes {
    let mut rest = item;
    alloy_rlp::Header::decode(&mut rest).expect("it is RLP");
    Bytes::copy_from_slice(rest)
}

/// A string item.
pub(crate) fn as_string(content: &[u8]) -> Bytes {
    let mut out = Vec::new();
    content.encode(&mut out);
    out.into()
}
