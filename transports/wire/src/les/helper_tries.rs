//! Helper trie proofs (codes 11 and 12).
//!
//! ```text
//! GetHelperTrieProofs  [reqID, [[type, section, key, fromLevel, auxReq], ...]]
//! HelperTrieProofs     [reqID, BV, [[node, ...], [aux, ...]]]    nodes are lists, aux strings
//! ```
//!
//! devp2p `caps/les.md`, "GetHelperTrieProofs".

use alloy_primitives::Bytes;

use super::{DecodeFlaw, items::Bound, limit};
use crate::{
    Answer, HelperTrie, HelperTrieRequest,
    rlp::{Error, Reader, put_list, put_raw_list, put_string, put_string_list, put_uint},
};

/// Longest key that is read; the tries have keys of 8 and 10 bytes.
const MAX_KEY: usize = 32;

pub(super) fn decode_queries(
    payload: &Bytes,
    mut items: Reader<'_>,
) -> Result<Vec<HelperTrieRequest>, DecodeFlaw> {
    let mut requests = Vec::new();
    while !items.is_empty() {
        let mut fields = items.list()?;
        requests.push(HelperTrieRequest {
            trie: trie(fields.uint()?)?,
            section: fields.uint()?,
            key: key(payload, fields.string()?)?,
            from_level: fields.uint()?,
            auxiliary: fields.uint()?,
        });
        fields.finish()?;
    }
    Ok(requests)
}

fn trie(number: u64) -> Result<HelperTrie, DecodeFlaw> {
    match number {
        0 => Ok(HelperTrie::CanonicalHash),
        1 => Ok(HelperTrie::BloomBits),
        _ => Err(DecodeFlaw::over("helper trie type", number, 1)),
    }
}

fn key(payload: &Bytes, key: &[u8]) -> Result<Bytes, Error> {
    if key.len() > MAX_KEY {
        return Err(Error::Length);
    }
    Ok(payload.slice_ref(key))
}

pub(super) fn put_queries(out: &mut Vec<u8>, requests: &[HelperTrieRequest]) {
    put_list(out, |out| {
        for request in requests {
            put_list(out, |out| {
                put_uint(
                    out,
                    match request.trie {
                        HelperTrie::CanonicalHash => 0,
                        HelperTrie::BloomBits => 1,
                    },
                );
                put_uint(out, request.section);
                put_string(out, &request.key);
                put_uint(out, request.from_level);
                put_uint(out, request.auxiliary);
            });
        }
    });
}

pub(super) fn decode_answer(payload: &Bytes, mut lists: Reader<'_>) -> Result<Answer, DecodeFlaw> {
    let nodes = Bound { what: "helper trie nodes", limit: limit::NODES }.lists(payload, lists.list()?)?;
    let bound = Bound { what: "auxiliary items", limit: limit::HELPER_TRIES };
    let auxiliary = bound.strings(payload, lists.list()?)?;
    lists.finish()?;
    Ok(Answer::HelperTries { nodes, auxiliary })
}

pub(super) fn put_answer(out: &mut Vec<u8>, nodes: &[Bytes], auxiliary: &[Bytes]) {
    put_list(out, |out| {
        put_raw_list(out, nodes);
        put_string_list(out, auxiliary);
    });
}
