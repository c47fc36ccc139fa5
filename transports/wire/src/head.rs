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
    /// A meeting point further back than both lineages counts as their whole reach. A head so far
    /// ahead that its lineage does not reach back to `previous` counts as an extension of it.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of `branch` at `number`, a branch that leaves the branch `0` behind block `fork`;
    /// `reach` blocks of its line are known.
    fn head(branch: u8, fork: u64, number: u64, reach: u64) -> HeadUpdate {
        let block = |number: u64| {
            let mut hash = B256::left_padding_from(&number.to_be_bytes());
            hash.0[0] = if number > fork { branch } else { 0 };
            hash
        };
        let first = (number + 1).saturating_sub(reach);
        HeadUpdate {
            head: Head { hash: block(number), number, td: U256::from(number) },
            timestamp: 0,
            lineage: (first..=number).rev().map(block).collect(),
            origins: Arc::from([]),
        }
    }

    /// The head of the main line at `number`.
    fn main_line(number: u64) -> HeadUpdate {
        head(0, 0, number, 192)
    }

    #[test]
    fn same_head_rolls_nothing_back() {
        assert_eq!(main_line(500).reorg_depth(&main_line(500)), 0);
    }

    #[test]
    fn extension_rolls_nothing_back() {
        assert_eq!(main_line(501).reorg_depth(&main_line(500)), 0);
        assert_eq!(main_line(600).reorg_depth(&main_line(500)), 0);
    }

    #[test]
    fn extension_beyond_the_lineage_rolls_nothing_back() {
        assert_eq!(main_line(691).reorg_depth(&main_line(500)), 0);
        assert_eq!(main_line(692).reorg_depth(&main_line(500)), 0);
        assert_eq!(main_line(10_000).reorg_depth(&main_line(500)), 0);
    }

    #[test]
    fn branch_of_equal_length_rolls_back_to_the_fork() {
        assert_eq!(head(1, 499, 500, 192).reorg_depth(&main_line(500)), 1);
        assert_eq!(head(1, 490, 500, 192).reorg_depth(&main_line(500)), 10);
    }

    #[test]
    fn longer_branch_rolls_back_to_the_fork() {
        assert_eq!(head(1, 495, 520, 192).reorg_depth(&main_line(500)), 5);
    }

    #[test]
    fn shorter_branch_rolls_back_to_the_fork() {
        assert_eq!(head(1, 490, 495, 192).reorg_depth(&main_line(500)), 10);
    }

    #[test]
    fn rewind_on_the_same_line_rolls_back_the_difference() {
        assert_eq!(main_line(480).reorg_depth(&main_line(500)), 20);
    }

    #[test]
    fn branch_between_two_side_branches_rolls_back_to_their_common_block() {
        assert_eq!(head(2, 470, 510, 192).reorg_depth(&head(1, 480, 500, 192)), 30);
    }

    #[test]
    fn reorg_deeper_than_the_lineage_counts_as_its_reach() {
        assert_eq!(head(1, 100, 500, 192).reorg_depth(&main_line(500)), 192);
        assert_eq!(main_line(10).reorg_depth(&main_line(500)), 192);
    }

    #[test]
    fn short_lineage_of_the_new_head_ends_the_count() {
        assert_eq!(head(1, 100, 500, 7).reorg_depth(&main_line(500)), 7);
    }

    #[test]
    fn reorg_down_to_genesis_stops_there() {
        assert_eq!(head(1, 0, 4, 192).reorg_depth(&main_line(3)), 3);
    }
}
