//! The checks of answers against known headers. All take raw bytes and give a verdict or the lie.

use std::collections::BTreeMap;

use alloy_consensus::{Header, TrieAccount};
use alloy_primitives::{B256, Bytes, U256};
use causeway_wire::ProofRequest;

/// An answer that is false: its author is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    /// The owner of this crate adds a variant for each way to lie.
    #[error("placeholder")]
    Placeholder,
}

/// What a check established for multi-item answers: which of the asked items the answer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Per asked item, the index of its answer; `None` for one that was left out.
    pub items: Vec<Option<usize>>,
}

/// One body against its header: transactions, uncles and withdrawals roots. `body` is its raw RLP list.
///
/// # Errors
/// The root that does not fit, or what is malformed.
pub fn body(header: &Header, body: &[u8]) -> Result<(), Lie> {
    let _ = (header, body);
    todo!()
}

/// One block's receipts (raw RLP list, consensus form) against its header.
///
/// # Errors
/// As [`body`].
pub fn receipts(header: &Header, receipts: &[u8]) -> Result<(), Lie> {
    let _ = (header, receipts);
    todo!()
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
    let _ = (headers, answers, one);
    todo!()
}

/// What a proof shows about one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The value at the path (RLP as in the trie).
    Present(Bytes),
    /// Nothing is there.
    Absent,
    /// The nodes do not reach far enough: this item was left out of the answer.
    LeftOut,
}

/// Nodes by hash, with a record of which were read.
#[derive(Clone, Debug)]
pub struct NodeSet {
    #[allow(dead_code)]
    nodes: BTreeMap<B256, Bytes>,
}

impl NodeSet {
    /// From the nodes of one answer.
    ///
    /// # Errors
    /// If a node comes twice.
    pub fn new(nodes: &[Bytes]) -> Result<Self, Lie> {
        let _ = nodes;
        todo!()
    }

    /// Walks from `root` along `key` (unhashed nibbles of the 32-byte, or for helper tries shorter, key).
    ///
    /// # Errors
    /// If a node on the way is malformed.
    pub fn walk(&mut self, root: B256, key: &[u8]) -> Result<Shown, Lie> {
        let _ = (root, key);
        todo!()
    }

    /// # Errors
    /// If a node was never read: geth's clients refuse such answers, so we do not pass them on.
    pub fn all_used(&self) -> Result<(), Lie> {
        todo!()
    }
}

/// Checks a `Proofs` answer. `state_root` gives the state root of a block of the query (known header).
/// For storage paths the account itself must be provable: its storage root is taken from `accounts`
/// (proven before, by block and account hash). Gives what each path shows.
///
/// # Errors
/// A wrong or useless node.
pub fn proofs(
    requests: &[ProofRequest],
    nodes: &[Bytes],
    state_root: &dyn Fn(&B256) -> Option<B256>,
    storage_root: &dyn Fn(&B256, &B256) -> Option<B256>,
) -> Result<Vec<Shown>, Lie> {
    let _ = (requests, nodes, state_root, storage_root);
    todo!()
}

/// The account in a proven trie value.
///
/// # Errors
/// If it is not an account.
pub fn account(value: &[u8]) -> Result<TrieAccount, Lie> {
    let _ = value;
    todo!()
}

/// Drops from a checked full node list what askers have already (`from_level` of each request), keeping first-seen order.
pub fn prune(requests: &[ProofRequest], nodes: &[Bytes], roots: &dyn Fn(&ProofRequest) -> Option<B256>) -> Vec<Bytes> {
    let _ = (requests, nodes, roots);
    todo!()
}

/// The root of the canonical hash trie of a section, from hashes and total difficulties of blocks `0..32768 * (section + 1)`.
pub fn cht_root(blocks: impl Iterator<Item = (u64, B256, U256)>) -> B256 {
    let _ = blocks.count();
    todo!()
}
