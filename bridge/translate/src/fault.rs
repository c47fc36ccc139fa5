//! What a peer did wrong, and what the wire says about it.

use alloy_primitives::{B256, U256};
use causeway_wire::{ForkId, NetworkId, les::DecodeError};

/// What a peer did wrong; ends its session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An unknown code, or a payload that is not what its code says.
    #[error("undecodable message: {0}")]
    Undecodable(#[source] DecodeError),
    /// A message larger than its kind may be.
    #[error("message {code:#x} of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// The message's code.
        code: u64,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A message that only the other role sends.
    #[error("message {code:#x} is not for this role")]
    WrongDirection {
        /// The message's code.
        code: u64,
    },
    /// A message before the Status.
    #[error("message {code:#x} came before a status")]
    NoStatus {
        /// The message's code.
        code: u64,
    },
    /// A second Status.
    #[error("a second status")]
    SecondStatus,
    /// No Status in time.
    #[error("no status within {seconds} s")]
    StatusTimeout {
        /// How long was waited.
        seconds: u64,
    },
    /// The Status names another version than the one agreed upon.
    #[error("status of version {theirs}, agreed was {ours}")]
    WrongVersion {
        /// What the Status says.
        theirs: u64,
        /// The agreed version.
        ours: u64,
    },
    /// Another network.
    #[error("network {}, ours is {}", theirs.0, ours.0)]
    WrongNetwork {
        /// Theirs.
        theirs: NetworkId,
        /// Ours.
        ours: NetworkId,
    },
    /// Another chain.
    #[error("genesis {theirs}, ours is {ours}")]
    WrongGenesis {
        /// Theirs.
        theirs: B256,
        /// Ours.
        ours: B256,
    },
    /// Other forks (EIP-2124).
    #[error("fork id {theirs:?} is incompatible with ours, {ours:?}")]
    WrongFork {
        /// Theirs.
        theirs: ForkId,
        /// Ours.
        ours: ForkId,
    },
    /// A Status without a key that this role and version must have.
    #[error("status without the key {key}")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// The peer is itself a server, and sent something behind its Status.
    #[error("another server sent message {code:#x}")]
    ServerTalks {
        /// The message's code.
        code: u64,
    },
    /// A les/2 client spent more than it had; later versions are stopped instead.
    #[error("request of cost {needed} with a buffer of {left}")]
    Overspent {
        /// What the request may cost.
        needed: u64,
        /// What was left.
        left: u64,
    },
    /// More light peers than we serve.
    #[error("more than {limit} light peers")]
    TooManyPeers {
        /// How many we serve.
        limit: usize,
    },
    /// An answer of another kind than the request with its id.
    #[error("message {answer:#x} answers request {request:#x}")]
    WrongAnswer {
        /// The request's code.
        request: u64,
        /// The answer's code.
        answer: u64,
    },
    /// An answer with more items than were asked for.
    #[error("answer {answer:#x} with {items} items, over the limit of {limit}")]
    TooManyItems {
        /// The answer's code.
        answer: u64,
        /// How many items it has.
        items: usize,
        /// How many it may have.
        limit: usize,
    },
    /// Not one status for each transaction.
    #[error("{statuses} statuses for {transactions} transactions")]
    StatusCount {
        /// How many statuses came.
        statuses: usize,
        /// How many transactions were asked about.
        transactions: u64,
    },
    /// A total difficulty that did not grow since the last announcement.
    #[error("announced total difficulty {announced} after {previous}")]
    TotalDifficultyNotGrowing {
        /// The one before.
        previous: U256,
        /// The announced one.
        announced: U256,
    },
    /// A total difficulty of absurd length.
    #[error("total difficulty of {bits} bits, over the limit of {limit}")]
    TotalDifficultyTooLong {
        /// Its length.
        bits: usize,
        /// The limit.
        limit: usize,
    },
    /// An announcement without the signature that was asked for.
    #[error("announcement without a signature")]
    Unsigned,
    /// An announcement whose signature is not by the server's node key.
    #[error("announcement not signed by the server's key")]
    BadSignature,
    /// More bytes of parameter updates than the budget holds.
    #[error("{bytes} bytes of updates with a budget of {left}")]
    TooManyUpdates {
        /// Bytes of the update.
        bytes: u64,
        /// What the budget held.
        left: u64,
    },
    /// Flow control parameters with which nothing could ever be asked.
    #[error("flow control with buffer limit {buffer_limit} and recharge {recharge}")]
    UselessFlowControl {
        /// `flowControl/BL`
        buffer_limit: u64,
        /// `flowControl/MRR`
        recharge: u64,
    },
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::MissingKey { key } => Self::MissingKey { key },
            DecodeError::UnknownCode { .. } | DecodeError::Rlp { .. } | DecodeError::OverLimit { .. } => {
                Self::Undecodable(error)
            }
        }
    }
}

impl Fault {
    /// The devp2p disconnect reason for it (rlpx.md 6.1): 0x10 for most, 0x0b for timeouts, 0x04 when we
    /// are full, 0x03 for les/2 overspending.
    pub fn reason(&self) -> u8 {
        match self {
            Self::Overspent { .. } => 0x03,
            Self::TooManyPeers { .. } => 0x04,
            Self::StatusTimeout { .. } => 0x0b,
            Self::Undecodable(_)
            | Self::TooLarge { .. }
            | Self::WrongDirection { .. }
            | Self::NoStatus { .. }
            | Self::SecondStatus
            | Self::WrongVersion { .. }
            | Self::WrongNetwork { .. }
            | Self::WrongGenesis { .. }
            | Self::WrongFork { .. }
            | Self::MissingKey { .. }
            | Self::ServerTalks { .. }
            | Self::WrongAnswer { .. }
            | Self::TooManyItems { .. }
            | Self::StatusCount { .. }
            | Self::TotalDifficultyNotGrowing { .. }
            | Self::TotalDifficultyTooLong { .. }
            | Self::Unsigned
            | Self::BadSignature
            | Self::TooManyUpdates { .. }
            | Self::UselessFlowControl { .. } => 0x10,
        }
    }
}
