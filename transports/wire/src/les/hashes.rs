//! The requests that are a list of hashes: bodies (04), receipts (06), transaction statuses (14).
//!
//! ```text
//! GetBlockBodies  [reqID, [blockHash, ...]]
//! GetReceipts     [reqID, [blockHash, ...]]
//! GetTxStatus     [reqID, [txHash, ...]]
//! ```
//!
//! Bodies come back as one list each, `[transactions, uncles(, withdrawals)]`; receipts as one list for
//! each block, in consensus form with bloom; both stay raw.

use alloy_primitives::B256;

use super::DecodeFlaw;
use crate::rlp::{Reader, put_string_list};

pub(super) fn decode(mut items: Reader<'_>) -> Result<Vec<B256>, DecodeFlaw> {
    let mut hashes = Vec::new();
    while !items.is_empty() {
        hashes.push(items.hash()?);
    }
    Ok(hashes)
}

pub(super) fn put(out: &mut Vec<u8>, hashes: &[B256]) {
    put_string_list(out, hashes);
}
