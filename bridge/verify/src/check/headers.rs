//! A run of headers against its query and the known chain.

use std::fmt::Display;

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, keccak256};
use causeway_wire::{HashOrNumber, Query};

use super::Lie;
use crate::HeaderChain;
use crate::chain::decode_header;

/// The fields of [`Query::Headers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderQuery {
    /// The first block.
    pub start: HashOrNumber,
    /// How many at most.
    pub amount: u64,
    /// Blocks left out between two results.
    pub skip: u64,
    /// Towards genesis.
    pub reverse: bool,
}

impl HeaderQuery {
    /// If the query is for headers.
    pub fn of(query: &Query) -> Option<Self> {
        match *query {
            Query::Headers { start, amount, skip, reverse } => Some(Self { start, amount, skip, reverse }),
            Query::Bodies(_)
            | Query::Receipts(_)
            | Query::Codes(_)
            | Query::Proofs(_)
            | Query::HelperTries(_)
            | Query::SendTransactions(_)
            | Query::TransactionStatus(_) => None,
        }
    }

    /// The number of the `index`th header, the first having `first`; `None` beyond all numbers.
    fn number(&self, first: u64, index: usize) -> Option<u64> {
        let distance = self.skip.checked_add(1)?.checked_mul(u64::try_from(index).ok()?)?;
        if self.reverse { first.checked_sub(distance) } else { first.checked_add(distance) }
    }
}

/// A header that fits its query.
#[derive(Clone, Debug)]
pub struct CheckedHeader {
    /// Its hash.
    pub hash: B256,
    /// Its fields.
    pub header: Header,
    /// Whether the known chain vouches for it: it is on it, or on a branch beside it. Others only fit the
    /// query (and link to each other, if none are left out between them).
    pub known: bool,
}

/// Checks a `Headers` answer: count, first block, numbers, links, and equality with the known chain where
/// that reaches. Fewer than asked for is right: nobody can tell where the answerer's chain ends.
///
/// # Errors
/// What does not fit. A block of the right number that is not ours is [`Lie::NotCanonical`].
pub fn headers(
    chain: &HeaderChain,
    query: &HeaderQuery,
    answers: &[Bytes],
) -> Result<Vec<CheckedHeader>, Lie> {
    let asked = usize::try_from(query.amount).unwrap_or(usize::MAX);
    if answers.len() > asked {
        return Err(Lie::TooMany { what: "headers", found: answers.len(), asked });
    }
    let mut checked: Vec<CheckedHeader> = Vec::with_capacity(answers.len());
    for (index, rlp) in answers.iter().enumerate() {
        let header =
            decode_header(rlp).map_err(|_| Lie::Malformed { what: "header", reason: "not its RLP" })?;
        let hash = keccak256(rlp);
        match (checked.first(), checked.last()) {
            (Some(first), Some(previous)) => {
                check_number(query, index, first.header.number, &header)?;
                check_link(query, index, previous, hash, &header)?;
            }
            _ => check_start(query, hash, &header)?,
        }
        let known = check_known(chain, query, checked.first(), index, hash, &header)?;
        checked.push(CheckedHeader { hash, header, known });
    }
    Ok(checked)
}

fn check_start(query: &HeaderQuery, hash: B256, header: &Header) -> Result<(), Lie> {
    match query.start {
        HashOrNumber::Hash(expected) if expected != hash => Err(wrong(0, "hash", hash, expected)),
        HashOrNumber::Number(expected) if expected != header.number => {
            Err(wrong(0, "number", header.number, expected))
        }
        HashOrNumber::Hash(_) | HashOrNumber::Number(_) => Ok(()),
    }
}

fn check_number(query: &HeaderQuery, index: usize, first: u64, header: &Header) -> Result<(), Lie> {
    match query.number(first, index) {
        Some(expected) if expected == header.number => Ok(()),
        Some(expected) => Err(wrong(index, "number", header.number, expected)),
        None => Err(wrong(index, "number", header.number, "none")),
    }
}

fn check_link(
    query: &HeaderQuery,
    index: usize,
    previous: &CheckedHeader,
    hash: B256,
    header: &Header,
) -> Result<(), Lie> {
    let (child, parent) =
        if query.reverse { (previous.header.parent_hash, hash) } else { (header.parent_hash, previous.hash) };
    if query.skip == 0 && child != parent {
        return Err(wrong(index, if query.reverse { "hash" } else { "parent" }, parent, child));
    }
    Ok(())
}

/// Compares a header with the known chain; whether that knows it.
fn check_known(
    chain: &HeaderChain,
    query: &HeaderQuery,
    first: Option<&CheckedHeader>,
    index: usize,
    hash: B256,
    header: &Header,
) -> Result<bool, Lie> {
    let by_hash = matches!(query.start, HashOrNumber::Hash(_));
    let expected = match first {
        // Asked for by its hash, and it has it: it may be on any branch.
        None if by_hash => return Ok(chain.number_of(&hash).is_some()),
        // Towards genesis from a block: that block's own branch.
        Some(first) if by_hash && query.reverse => {
            let back = first.header.number.saturating_sub(header.number);
            chain.ancestor(&first.hash, back)
        }
        // Upwards from a block: only along the canonical chain, so a side branch ends at once.
        Some(first) if by_hash && first.known && !chain.is_canonical(&first.hash) => {
            return Err(wrong(index, "place", "behind a block off the canonical chain", "none"));
        }
        Some(_) | None => chain.canonical(header.number).map(|(canonical, _)| canonical),
    };
    match expected {
        Some(canonical) if canonical != hash => {
            Err(Lie::NotCanonical { number: header.number, found: hash, canonical })
        }
        Some(_) => Ok(true),
        None => Ok(chain.number_of(&hash).is_some()),
    }
}

fn wrong(index: usize, what: &'static str, found: impl Display, expected: impl Display) -> Lie {
    Lie::Header { index, what, found: found.to_string(), expected: expected.to_string() }
}

#[cfg(test)]
mod tests;
