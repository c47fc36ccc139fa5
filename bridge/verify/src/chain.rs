//! The header index: what links to the root, by hash and by number, with total difficulty.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, U256};

use crate::ChainSpec;

/// A header of the verified chain.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its hash.
    pub hash: B256,
    /// Its fields.
    pub header: Header,
    /// Its bytes as they came.
    pub rlp: Bytes,
    /// Total difficulty up to and including it.
    pub td: U256,
}

/// What the chain hangs on.
#[derive(Clone, Debug)]
pub enum Root {
    /// The genesis of the specification.
    Genesis,
    /// A block that the user trusts, with its header's bytes (checked against the hash), and its total
    /// difficulty if known (else counted from zero, which the status says).
    Checkpoint {
        /// The trusted hash.
        hash: B256,
        /// The header's RLP.
        rlp: Bytes,
        /// Its total difficulty.
        td: Option<U256>,
    },
}

/// What an insertion changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// Headers that were new.
    pub new: usize,
    /// Whether the head moved.
    pub head_moved: bool,
    /// Blocks of the old canonical chain that were rolled back.
    pub reorg_depth: u64,
}

/// Why a header is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Its parent is not known: fetch further back. Not a lie.
    #[error("parent {parent} of block {number} is not known")]
    UnknownParent {
        /// The parent's hash.
        parent: B256,
        /// The block's number.
        number: u64,
    },
    /// It breaks a rule of the chain; the owner of this crate adds variants per rule.
    #[error("block {number} breaks the rules: {rule}")]
    Rule {
        /// The block's number.
        number: u64,
        /// Which rule.
        rule: &'static str,
    },
}

/// The verified chain. Canonical is the branch with the most total difficulty (first seen wins a tie).
#[derive(Debug)]
pub struct HeaderChain {}

impl HeaderChain {
    /// A chain of only its root. `keep`: number of recent headers kept whole; of older ones only hash and
    /// total difficulty are kept, and side branches below are dropped.
    ///
    /// # Errors
    /// If a checkpoint's bytes do not have its hash.
    pub fn new(spec: Arc<ChainSpec>, root: Root, keep: usize) -> Result<Self, HeaderError> {
        let _ = (spec, root, keep);
        todo!()
    }

    /// The chain's specification.
    pub fn spec(&self) -> &Arc<ChainSpec> {
        todo!()
    }

    /// Adds headers, ascending, each the child of the one before. Known ones are passed over.
    ///
    /// # Errors
    /// At the first header that does not fit; those before it stay.
    pub fn insert(&mut self, headers: &[Bytes]) -> Result<Inserted, HeaderError> {
        let _ = headers;
        todo!()
    }

    /// The canonical head.
    pub fn head(&self) -> &Arc<Known> {
        todo!()
    }

    /// The root's number: nothing below is known by number.
    pub fn root_number(&self) -> u64 {
        todo!()
    }

    /// A header kept whole, canonical or on a side branch.
    pub fn by_hash(&self, hash: &B256) -> Option<&Arc<Known>> {
        let _ = hash;
        todo!()
    }

    /// The number of a known block, also where only its hash is kept.
    pub fn number_of(&self, hash: &B256) -> Option<u64> {
        let _ = hash;
        todo!()
    }

    /// The canonical hash and total difficulty at a number.
    pub fn canonical(&self, number: u64) -> Option<(B256, U256)> {
        let _ = number;
        todo!()
    }

    /// Checks the bytes of a header that is known by hash only, and gives its fields.
    ///
    /// # Errors
    /// If the bytes are not those of a known block.
    pub fn recognise(&self, rlp: &Bytes) -> Result<Arc<Known>, HeaderError> {
        let _ = rlp;
        todo!()
    }

    /// Whether this chain's seals are checked, and if not, why (for the status and the light peer's `by`).
    pub fn seal_rule(&self) -> &'static str {
        todo!()
    }
}
