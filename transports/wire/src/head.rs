//! Heads of chains and how they move.

use std::sync::Arc;

use alloy_primitives::{B256, U256};

use crate::les::Origin;

/// The head of a chain: what Status and Announce carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The block's hash.
    pub hash: B256,
    /// Its number.
    pub number: u64,
    /// Total difficulty up to and including this block.
    pub td: U256,
}

/// A chain's fork id (EIP-2124): a checksum of the forks passed, and the next one known (0: none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkId {
    /// CRC32 of the genesis hash and the passed forks.
    pub hash: [u8; 4],
    /// Block number or time of the next fork; 0 if none is known.
    pub next: u64,
}

/// A new verified head, with enough of its line to tell how deep a reorg was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadUpdate {
    /// The head.
    pub head: Head,
    /// Its timestamp in seconds, for fork ids that go by time.
    pub timestamp: u64,
    /// Hashes of the canonical blocks `number, number - 1, ...`, at most [`Self::LINEAGE`] of them.
    pub lineage: Arc<[B256]>,
    /// Signed announcements of this head by full nodes, as received (`causeway/origins`, design section 2).
    pub origins: Arc<[Origin]>,
}

impl HeadUpdate {
    /// Longest lineage that is carried; a deeper reorg counts as one of this depth or more.
    pub const LINEAGE: usize = 192;

    /// Number of blocks to roll back from `previous` until it meets this head's line.
    /// A meeting point further back than both lineages counts as their whole reach.
    pub fn reorg_depth(&self, previous: &Self) -> u64 {
        let canonical = |number: u64| {
            let back = usize::try_from(self.head.number.checked_sub(number)?).ok()?;
            self.lineage.get(back)
        };
        let mut depth = 0;
        for (back, hash) in previous.lineage.iter().enumerate() {
            let Some(number) = previous.head.number.checked_sub(back as u64) else { break };
            if number <= self.head.number {
                match canonical(number) {
                    Some(ours) if ours == hash => return depth,
                    Some(_) => {}
                    // Further back than this head's lineage reaches: a plain extension by many blocks.
                    None => return depth,
                }
            }
            depth += 1;
        }
        depth
    }
}
