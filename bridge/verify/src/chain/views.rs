//! What can be asked of the index.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, U256, keccak256};
use causeway_wire::les::Origin;
use causeway_wire::{Head, HeadUpdate};

use super::{HeaderChain, HeaderError, Known, decode_header};
use crate::ChainSpec;
use crate::check::Lie;

impl HeaderChain {
    /// The chain's specification.
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// The canonical head.
    pub fn head(&self) -> &Arc<Known> {
        &self.head
    }

    /// The head as Status and Announce carry it.
    pub fn wire_head(&self) -> Head {
        Head { hash: self.head.hash, number: self.head.header.number, td: self.head.td }
    }

    /// The head with its line, for those who announce it.
    pub fn head_update(&self, origins: Arc<[Origin]>) -> HeadUpdate {
        HeadUpdate {
            head: self.wire_head(),
            timestamp: self.head.header.timestamp,
            lineage: self.lineage(HeadUpdate::LINEAGE).into(),
            origins,
        }
    }

    /// The root's number: nothing below is known by number.
    pub fn root_number(&self) -> u64 {
        self.root_number
    }

    /// Whether total difficulties are counted from a known one, not from zero at a checkpoint.
    pub fn knows_total_difficulty(&self) -> bool {
        self.td_known
    }

    /// A header kept whole, canonical or on a side branch.
    pub fn by_hash(&self, hash: &B256) -> Option<&Arc<Known>> {
        self.entries.get(hash).map(|entry| &entry.known)
    }

    /// A canonical header kept whole.
    pub fn by_number(&self, number: u64) -> Option<&Arc<Known>> {
        self.by_hash(&self.canonical(number)?.0)
    }

    /// The number of a known block, also where only its hash is kept.
    pub fn number_of(&self, hash: &B256) -> Option<u64> {
        let whole = || self.entries.get(hash).map(|entry| entry.known.header.number);
        self.numbers.get(hash).copied().or_else(whole)
    }

    /// Whether a block is on the canonical chain.
    pub fn is_canonical(&self, hash: &B256) -> bool {
        self.numbers.contains_key(hash)
    }

    /// The canonical hash and total difficulty at a number.
    pub fn canonical(&self, number: u64) -> Option<(B256, U256)> {
        let index = usize::try_from(number.checked_sub(self.root_number)?).ok()?;
        self.canonical.get(index).copied()
    }

    /// Number, hash and total difficulty of all canonical blocks, ascending from the root.
    pub fn canonical_blocks(&self) -> impl Iterator<Item = (u64, B256, U256)> {
        (self.root_number..).zip(&self.canonical).map(|(number, (hash, td))| (number, *hash, *td))
    }

    /// The hash of the block `generations` before a known one, on that block's own branch.
    pub fn ancestor(&self, hash: &B256, generations: u64) -> Option<B256> {
        let target = self.number_of(hash)?.checked_sub(generations)?;
        let mut hash = *hash;
        loop {
            if self.is_canonical(&hash) {
                return Some(self.canonical(target)?.0);
            }
            let header = &self.entries.get(&hash)?.known.header;
            if header.number == target {
                return Some(hash);
            }
            hash = header.parent_hash;
        }
    }

    /// Checks the bytes of a header that is known by hash only, and gives its fields.
    ///
    /// # Errors
    /// If the bytes are not those of a known block.
    pub fn recognise(&self, rlp: &Bytes) -> Result<Arc<Known>, HeaderError> {
        let hash = keccak256(rlp);
        if let Some(entry) = self.entries.get(&hash) {
            return Ok(Arc::clone(&entry.known));
        }
        let (_, td) = self
            .numbers
            .get(&hash)
            .and_then(|number| self.canonical(*number))
            .ok_or(HeaderError::NotKnown { hash })?;
        let header = decode_header(rlp).map_err(|rule| HeaderError::Rule { number: 0, rule })?;
        Ok(Arc::new(Known { hash, header, rlp: rlp.clone(), td }))
    }

    /// Compares an announced head with what is known of that block.
    ///
    /// # Errors
    /// If the block is known under another number or total difficulty. An unknown block is no lie.
    pub fn check_announced(&self, head: &Head) -> Result<(), Lie> {
        let Some(number) = self.number_of(&head.hash) else { return Ok(()) };
        if head.number != number {
            return Err(Lie::AnnouncedNumber { hash: head.hash, announced: head.number, number });
        }
        let whole = self.by_hash(&head.hash).map(|known| known.td);
        match whole.or_else(|| Some(self.canonical(number)?.1)) {
            Some(td) if self.td_known && td != head.td => {
                Err(Lie::AnnouncedTd { hash: head.hash, announced: head.td, td })
            }
            _ => Ok(()),
        }
    }

    /// The newest `count` canonical hashes, the head's first (see [`HeadUpdate::lineage`]).
    pub fn lineage(&self, count: usize) -> Vec<B256> {
        self.canonical.iter().rev().take(count).map(|(hash, _)| *hash).collect()
    }
}
