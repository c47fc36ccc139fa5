//! Why a packet was of no use: for counting and logs.

use causeway_records::RecordError;

use crate::{machine::MAX_AHEAD, packet::DecodeError};

/// Why a packet was of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// From port 0, or from an address that belongs to no one node.
    #[error("the packet comes from where no node can be")]
    Source,
    /// Its machine, its site or all strangers together send too much.
    #[error("too many packets at a time from this machine, its site, or strangers")]
    TooMany,
    /// Not a packet.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Signed by our key.
    #[error("the packet is signed by our own key")]
    OwnKey,
    /// Out of date.
    #[error("the packet expired at {expiration}, {now} is now")]
    Expired {
        /// Its end.
        expiration: u64,
        /// The time here.
        now: u64,
    },
    /// Ends more than [`MAX_AHEAD`] from now.
    #[error("the packet expires at {expiration}, more than {limit} s after {now}", limit = MAX_AHEAD.as_secs())]
    TooFarAhead {
        /// Its end.
        expiration: u64,
        /// The time here.
        now: u64,
    },
    /// A question of a node that has not proven its endpoint.
    #[error("a question without a proof of the endpoint")]
    NoProof,
    /// An answer without a question.
    #[error("an answer to no question of ours")]
    Unsolicited,
    /// The record that was asked for is none.
    #[error("the record that was asked for cannot be read")]
    Record(#[from] RecordError),
    /// The record is another node's.
    #[error("the record that was asked for is another node's")]
    ForeignRecord,
    /// The record is older than what the node said it has.
    #[error("the record has sequence number {seq}, {announced} was announced")]
    OldRecord {
        /// Its number.
        seq: u64,
        /// What the node's ping or pong said.
        announced: u64,
    },
    /// The record has an address that its node must not name to us.
    #[error("the record names an address to which the node must not send us")]
    RecordAddress,
}
