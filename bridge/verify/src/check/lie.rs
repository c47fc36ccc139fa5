//! The ways to lie.

use alloy_primitives::{B256, U256};

/// An answer that is false: its author is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    /// Bytes that are not the RLP of what they should be.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A root or hash that is not the header's.
    #[error("{what} is {found}, but the header says {expected}")]
    Root {
        /// Which.
        what: &'static str,
        /// The header's.
        expected: B256,
        /// That of the answer.
        found: B256,
    },
    /// A part of a body that must be there and is not, or the other way round.
    #[error("{what} must{} be there", if *.due { "" } else { " not" })]
    Presence {
        /// The part.
        what: &'static str,
        /// Whether it must be there.
        due: bool,
    },
    /// More items than were asked for.
    #[error("{found} {what}, but only {asked} were asked for")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many came.
        found: usize,
        /// How many were asked for.
        asked: usize,
    },
    /// An answer that is none of the items that remain, in the order in which they were asked for.
    #[error("answer {index} is none of the items that remain")]
    OutOfPlace {
        /// Its place among the answers.
        index: usize,
    },
    /// Fewer items than have to come.
    #[error("{found} {what}, but {expected} have to come")]
    TooFew {
        /// Of what.
        what: &'static str,
        /// How many came.
        found: usize,
        /// How many have to.
        expected: usize,
    },
    /// A trie node that came twice.
    #[error("trie node {hash} comes twice")]
    DuplicateNode {
        /// Its hash.
        hash: B256,
    },
    /// A trie node that no path leads through.
    #[error("trie node {hash} proves nothing")]
    UselessNode {
        /// Its hash.
        hash: B256,
    },
    /// Code that no account has.
    #[error("code with hash {found} is none of those asked for")]
    Code {
        /// Its hash.
        found: B256,
    },
    /// A header that is not the one asked for.
    #[error("header {index} of the answer has {what} {found}, but {expected} was due")]
    Header {
        /// Its place in the answer.
        index: usize,
        /// What of it.
        what: &'static str,
        /// As found.
        found: String,
        /// As asked.
        expected: String,
    },
    /// A header of the right number that is not ours. It may come of a reorg that one side has not yet
    /// seen; see [`Lie::may_be_reorg`].
    #[error("block {number} is {found} in the answer, but {canonical} on the known chain")]
    NotCanonical {
        /// The number.
        number: u64,
        /// The answer's hash.
        found: B256,
        /// Ours.
        canonical: B256,
    },
    /// An announced head with another number than the block has.
    #[error("head {hash} is announced with number {announced}, but has {number}")]
    AnnouncedNumber {
        /// The head.
        hash: B256,
        /// As announced.
        announced: u64,
        /// As it is.
        number: u64,
    },
    /// An announced head with another total difficulty than the block has.
    #[error("head {hash} is announced with total difficulty {announced}, but has {td}")]
    AnnouncedTd {
        /// The head.
        hash: B256,
        /// As announced.
        announced: U256,
        /// As it is.
        td: U256,
    },
    /// A signature that is not the announcing node's.
    #[error("announcement is not signed by the node that it names")]
    Signature,
    /// A transaction that is not where it is said to be.
    #[error("transaction {index} of the block is {}, not {expected}", .found.map_or("not there".to_owned(), |hash| hash.to_string()))]
    Transaction {
        /// The claimed index.
        index: u64,
        /// The transaction asked about.
        expected: B256,
        /// The one at that place.
        found: Option<B256>,
    },
}

impl Lie {
    /// Whether an honest node can say this in the moment of a reorg: near the head, ask again before
    /// judging.
    pub fn may_be_reorg(&self) -> bool {
        matches!(self, Self::NotCanonical { .. })
    }
}
