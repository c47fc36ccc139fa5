//! Node records that say whatever the fuzzer likes, signed.

use alloy_primitives::keccak256;
use alloy_rlp::Header;
use secp256k1::{Message, SecretKey, ecdsa};

/// The record of `content`: its number, keys and values in RLP. The same each time.
pub(crate) fn signed_record(content: &[u8], key: &SecretKey) -> Vec<u8> {
    let digest = keccak256(list(content));
    let signature = ecdsa::sign(Message::from_digest(digest.0), key).serialize_compact();
    list(&[&[0xb8, 64][..], &signature, content].concat())
}

/// `payload` as a list in RLP.
pub(crate) fn list(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Header { list: true, payload_length: payload.len() }.encode(&mut out);
    out.extend_from_slice(payload);
    out
}
