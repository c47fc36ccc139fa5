//! What can go wrong at a rendezvous point, and what to do about it.

use std::time::Duration;

use super::message::{Malformed, RendezvousStatus};
use crate::OpenError;

/// Why nothing was registered or discovered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RendezvousError {
    /// The rendezvous point could not be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The address does not say who should answer.
    #[error("address {0:?} of a rendezvous point must end in /p2p/ and its peer id")]
    NoPeer(String),
    /// A namespace that no rendezvous point takes.
    #[error("namespace of {length} bytes; 1 to {limit} are possible")]
    Namespace {
        /// Its length.
        length: usize,
        /// The longest one.
        limit: usize,
    },
    /// There is nothing to register.
    #[error("no address to register; say which ones are reachable from outside")]
    NoAddresses,
    /// An address of ours that cannot be registered.
    #[error("address {address:?} cannot be registered: {reason}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Our record could not be signed.
    #[error("our record could not be signed: {0}")]
    Sign(String),
    /// The peer is no rendezvous point.
    #[error("the peer does not speak /rendezvous/1.0.0; is it started as a rendezvous point?")]
    Unsupported,
    /// The rendezvous point refused.
    #[error("the rendezvous point refused: {status} ({text})")]
    Refused {
        /// Its reason.
        status: RendezvousStatus,
        /// Its words, cut and cleaned.
        text: String,
    },
    /// The answer is no message.
    #[error("the rendezvous point broke the protocol: {0}")]
    Malformed(#[from] Malformed),
    /// The answer belongs to another question.
    #[error("the rendezvous point answered another question")]
    Mismatch,
    /// The answer is too large.
    #[error("answer of {size} bytes, {limit} are read")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The most that is read.
        limit: usize,
    },
    /// The stream broke.
    #[error("the rendezvous point was lost: {0}; try again")]
    Lost(String),
    /// It took too long.
    #[error("no answer within {limit:?}; the rendezvous point is overloaded or the path drops packets")]
    Timeout {
        /// The limit.
        limit: Duration,
    },
}
