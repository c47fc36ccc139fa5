//! What a development chain starts from, how long it may become, and what it refuses.

/// Longest chain: a week at one block every two seconds, about 250 MB of headers. All headers are kept,
/// because light peers start from genesis; a longer chain ends with [`DevError::Full`].
pub const MAX_BLOCKS: u64 = 302_400;

/// What a chain starts from. The same values give the same blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Now, in unix seconds: the timestamp of the first head.
    pub now: u64,
    /// Blocks after genesis that exist at the start.
    pub history: u64,
    /// States that are kept and served, counted back from the head: geth keeps 128.
    pub states_kept: u64,
    /// Bodies and receipts that are kept and served, counted back from the head: about 2 KB each.
    pub bodies_kept: u64,
}

impl Config {
    /// 64 blocks of history, 128 states, 8,192 bodies.
    pub fn at(now: u64) -> Self {
        Self { now, history: 64, states_kept: 128, bodies_kept: 8_192 }
    }
}

/// Why the chain does not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DevError {
    /// It does not grow any more.
    #[error("the development chain has reached its {MAX_BLOCKS} blocks and ends here; start a new one")]
    Full,
    /// The clock is too close to genesis for the history, or to the fork point for a branch.
    #[error("it is {now}, and the new head can be at {earliest} at the earliest")]
    TooEarly {
        /// The time that was given.
        now: u64,
        /// The earliest that is possible.
        earliest: u64,
    },
    /// The state to build on is gone, or would be before genesis.
    #[error("a reorganisation of {depth} blocks was asked for, and {most} are possible")]
    TooDeep {
        /// The depth that was given.
        depth: u64,
        /// The most that is possible now.
        most: u64,
    },
    /// The bodies of old blocks are gone.
    #[error("the body of block {number} is no longer kept")]
    Pruned {
        /// The first block without a body.
        number: u64,
    },
}
