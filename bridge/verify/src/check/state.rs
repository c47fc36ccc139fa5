//! Accounts, storage and code: presence and absence in a state that a header commits to.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::{EMPTY_ROOT_HASH, TrieAccount};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use causeway_wire::ProofRequest;

use super::node::{self, Step};
use super::{Lie, Verdict};

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
    nodes: BTreeMap<B256, Bytes>,
    unread: BTreeSet<B256>,
}

impl NodeSet {
    /// From the nodes of one answer.
    ///
    /// # Errors
    /// If a node comes twice.
    pub fn new(nodes: &[Bytes]) -> Result<Self, Lie> {
        let mut by_hash = BTreeMap::new();
        for node in nodes {
            let hash = keccak256(node);
            if by_hash.insert(hash, node.clone()).is_some() {
                return Err(Lie::DuplicateNode { hash });
            }
        }
        Ok(Self { unread: by_hash.keys().copied().collect(), nodes: by_hash })
    }

    /// Walks from `root` along `key` (unhashed nibbles of the 32-byte, or for helper tries shorter, key).
    ///
    /// # Errors
    /// If a node on the way is malformed.
    pub fn walk(&mut self, root: B256, key: &[u8]) -> Result<Shown, Lie> {
        let (shown, path) = self.trace(root, key)?;
        if shown != Shown::LeftOut {
            for hash in path {
                self.unread.remove(&hash);
            }
        }
        Ok(shown)
    }

    /// # Errors
    /// If a node was never read: geth's clients refuse such answers, so we do not pass them on.
    pub fn all_used(&self) -> Result<(), Lie> {
        match self.unread.first() {
            Some(hash) => Err(Lie::UselessNode { hash: *hash }),
            None => Ok(()),
        }
    }

    /// What a path shows, and the hashes of the nodes on it, the root's first.
    fn trace(&self, root: B256, key: &[u8]) -> Result<(Shown, Vec<B256>), Lie> {
        let mut path = Vec::new();
        if root == EMPTY_ROOT_HASH {
            return Ok((Shown::Absent, path));
        }
        let nibbles: Vec<u8> = node::unpack(key).collect();
        let mut rest = nibbles.as_slice();
        let mut step = Step::Hash(root, 0);
        // Ends: each step but the first, which uses up nothing, shortens `rest` or ends the walk.
        loop {
            let (bytes, used) = match step {
                Step::Value(value) => return Ok((Shown::Present(Bytes::copy_from_slice(value)), path)),
                Step::Nothing => return Ok((Shown::Absent, path)),
                Step::Inline(bytes, used) => (bytes, used),
                Step::Hash(hash, used) => {
                    let Some(node) = self.nodes.get(&hash) else { return Ok((Shown::LeftOut, path)) };
                    path.push(hash);
                    (node.as_ref(), used)
                }
            };
            rest = rest.get(used..).unwrap_or_default();
            step = node::step(bytes, rest)?;
        }
    }
}

/// Checks a `Proofs` answer. `state_root` gives the state root of a block of the query (known header).
/// For storage paths the account itself must be provable: its storage root is taken from `storage_root`
/// (proven before, by block and account hash), else from an account proof in the same answer. Gives what
/// each path shows. A path whose root nobody knows is [`Shown::LeftOut`], and nodes are then not counted
/// as useless: ask for the account first.
///
/// # Errors
/// A wrong or useless node.
pub fn proofs(
    requests: &[ProofRequest],
    nodes: &[Bytes],
    state_root: &dyn Fn(&B256) -> Option<B256>,
    storage_root: &dyn Fn(&B256, &B256) -> Option<B256>,
) -> Result<Vec<Shown>, Lie> {
    let mut set = NodeSet::new(nodes)?;
    let mut found = vec![Shown::LeftOut; requests.len()];
    let mut storage_roots = BTreeMap::new();
    let mut all_roots_known = true;
    for (request, found) in requests.iter().zip(&mut found).filter(|(request, _)| request.account.is_none()) {
        let Some(root) = state_root(&request.block) else {
            all_roots_known = false;
            continue;
        };
        *found = set.walk(root, request.key.as_slice())?;
        let storage = match &*found {
            Shown::Present(value) => account(value)?.storage_root,
            Shown::Absent => EMPTY_ROOT_HASH,
            Shown::LeftOut => continue,
        };
        storage_roots.insert((request.block, request.key), storage);
    }
    for (request, found) in requests.iter().zip(&mut found) {
        let Some(account) = request.account.as_ref().map(causeway_wire::AccountKey::hash) else { continue };
        let proven = || storage_roots.get(&(request.block, account)).copied();
        match storage_root(&request.block, &account).or_else(proven) {
            Some(root) => *found = set.walk(root, request.key.as_slice())?,
            None => all_roots_known = false,
        }
    }
    if all_roots_known {
        set.all_used()?;
    }
    Ok(found)
}

/// The account in a proven trie value.
///
/// # Errors
/// If it is not an account.
pub fn account(value: &[u8]) -> Result<TrieAccount, Lie> {
    alloy_rlp::decode_exact(value).map_err(|_| Lie::Malformed {
        what: "account",
        reason: "not nonce, balance, storage root and code hash",
    })
}

/// The content of a storage slot in a proven trie value.
///
/// # Errors
/// If it is not one.
pub fn slot_value(value: &[u8]) -> Result<U256, Lie> {
    alloy_rlp::decode_exact(value)
        .map_err(|_| Lie::Malformed { what: "storage value", reason: "not an integer of at most 32 bytes" })
}

/// Checks a `Codes` answer against the code hashes of the asked accounts, each proven before. Items may be
/// left out; for an account without code geth sends nothing, others an empty string, and both are right.
///
/// # Errors
/// A code that is none of those asked for, or out of order.
pub fn codes(hashes: &[B256], codes: &[Bytes]) -> Result<Verdict, Lie> {
    let found: Vec<B256> = codes.iter().map(keccak256).collect();
    Verdict::align(hashes.len(), codes.len(), |asked, answer| match (hashes.get(asked), found.get(answer)) {
        (Some(expected), Some(found)) if expected == found => Ok(()),
        (_, found) => Err(Lie::Code { found: found.copied().unwrap_or_default() }),
    })
}

/// Drops from a checked full node list what askers have already (`from_level` of each request), keeping first-seen order.
/// `roots` gives the root in which a request's path starts: a state root or a storage root.
pub fn prune(
    requests: &[ProofRequest],
    nodes: &[Bytes],
    roots: &dyn Fn(&ProofRequest) -> Option<B256>,
) -> Vec<Bytes> {
    let by_hash: BTreeMap<B256, Bytes> = nodes.iter().map(|node| (keccak256(node), node.clone())).collect();
    let set = NodeSet { nodes: by_hash, unread: BTreeSet::new() };
    let mut kept = Vec::new();
    let mut seen = BTreeSet::new();
    for request in requests {
        let Some(root) = roots(request) else { continue };
        let Ok((shown, path)) = set.trace(root, request.key.as_slice()) else { continue };
        if shown == Shown::LeftOut {
            continue;
        }
        let from = usize::try_from(request.from_level).unwrap_or(usize::MAX);
        for hash in path.into_iter().skip(from).filter(|hash| seen.insert(*hash)) {
            kept.extend(set.nodes.get(&hash).cloned());
        }
    }
    kept
}

#[cfg(test)]
mod tests;
