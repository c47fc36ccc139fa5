//! Bodies and receipts against the roots of their header.

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::root::ordered_trie_root_encoded;

use super::items::{self, Item};
use super::{Lie, Verdict};

/// First bytes of typed transactions and receipts (EIP-2718); above are lists and what is reserved.
const TYPES: std::ops::RangeInclusive<u8> = 0..=0x7f;

/// One body against its header: transactions, uncles and withdrawals roots. `body` is its raw RLP list.
///
/// # Errors
/// The root that does not fit, or what is malformed.
pub fn body(header: &Header, body: &[u8]) -> Result<(), Lie> {
    let parts = Parts::of(body)?;
    let root = ordered_trie_root_encoded(&parts.transactions()?);
    matches("transactions root", header.transactions_root, root)?;
    matches("hash of uncles", header.ommers_hash, keccak256(parts.uncles.raw))?;
    match (header.withdrawals_root, parts.withdrawals) {
        (Some(expected), Some(withdrawals)) => {
            let items = items::split("list of withdrawals", withdrawals.payload)?;
            let raw: Vec<_> = items.iter().map(|item| item.raw).collect();
            matches("withdrawals root", expected, ordered_trie_root_encoded(&raw))
        }
        (None, None) => Ok(()),
        (root, _) => Err(Lie::Presence { what: "list of withdrawals", due: root.is_some() }),
    }
}

/// One block's receipts (raw RLP list, consensus form) against its header.
///
/// # Errors
/// As [`body`].
pub fn receipts(header: &Header, receipts: &[u8]) -> Result<(), Lie> {
    let items = items::list("list of receipts", receipts)?;
    let values = items.iter().map(|item| typed("receipt", item)).collect::<Result<Vec<_>, _>>()?;
    matches("receipts root", header.receipts_root, ordered_trie_root_encoded(&values))
}

/// Matches a list of answers to a list of asked headers in order, items left out allowed, each checked by `one`.
///
/// # Errors
/// If an answer fits none of the headers that remain, or there are too many.
pub fn in_order(
    headers: &[&Header],
    answers: &[Bytes],
    one: fn(&Header, &[u8]) -> Result<(), Lie>,
) -> Result<Verdict, Lie> {
    Verdict::align(headers.len(), answers.len(), |asked, answer| {
        match (headers.get(asked), answers.get(answer)) {
            (Some(header), Some(bytes)) => one(header, bytes),
            _ => Err(Lie::TooMany { what: "answers", found: answers.len(), asked: headers.len() }),
        }
    })
}

/// The transactions of a body, each in its canonical form: a legacy one's RLP list, or a typed one's
/// `type || payload`.
///
/// # Errors
/// If it is not a body.
pub fn transactions(body: &[u8]) -> Result<Vec<Bytes>, Lie> {
    Ok(Parts::of(body)?.transactions()?.into_iter().map(Bytes::copy_from_slice).collect())
}

/// The hash of a transaction in canonical form.
pub fn transaction_hash(canonical: &[u8]) -> B256 {
    keccak256(canonical)
}

/// Whether a transaction is at an index of a body that was checked before.
///
/// # Errors
/// If another is there, or none.
pub fn transaction_at(body: &[u8], hash: &B256, index: u64) -> Result<(), Lie> {
    let parts = Parts::of(body)?;
    let transactions = parts.transactions()?;
    let found = usize::try_from(index).ok().and_then(|index| transactions.get(index)).map(keccak256);
    if found == Some(*hash) { Ok(()) } else { Err(Lie::Transaction { index, expected: *hash, found }) }
}

/// The two or three lists of a body.
struct Parts<'a> {
    transactions: Item<'a>,
    uncles: Item<'a>,
    withdrawals: Option<Item<'a>>,
}

impl<'a> Parts<'a> {
    fn of(body: &'a [u8]) -> Result<Self, Lie> {
        let items = items::list("body", body)?;
        let (transactions, uncles, withdrawals) = match *items.as_slice() {
            [transactions, uncles] => (transactions, uncles, None),
            [transactions, uncles, withdrawals] => (transactions, uncles, Some(withdrawals)),
            _ => return Err(Lie::Malformed { what: "body", reason: "neither two nor three lists" }),
        };
        if items.iter().all(|item| item.is_list) {
            Ok(Self { transactions, uncles, withdrawals })
        } else {
            Err(Lie::Malformed { what: "body", reason: "a string in place of a list" })
        }
    }

    fn transactions(&self) -> Result<Vec<&'a [u8]>, Lie> {
        let items = items::split("list of transactions", self.transactions.payload)?;
        items.iter().map(|item| typed("transaction", item)).collect()
    }
}

/// The value in the trie: a legacy item's whole list, a typed item's content. A string that holds a legacy
/// list would give the same root by other bytes, so its first byte has to be a type.
fn typed<'a>(what: &'static str, item: &Item<'a>) -> Result<&'a [u8], Lie> {
    if item.is_list {
        return Ok(item.raw);
    }
    match item.payload {
        [kind, _, ..] if TYPES.contains(kind) => Ok(item.payload),
        _ => Err(Lie::Malformed { what, reason: "not a typed one" }),
    }
}

fn matches(what: &'static str, expected: B256, found: B256) -> Result<(), Lie> {
    if expected == found { Ok(()) } else { Err(Lie::Root { what, expected, found }) }
}

#[cfg(test)]
mod tests;
