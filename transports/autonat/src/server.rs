//! The server: tells peers whether they can be dialed at an address, by dialing them.

mod behaviour;
mod config;
mod handler;
mod machine;
mod rates;
#[cfg(test)]
mod tests;

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;

pub use behaviour::Behaviour;
pub use config::{Config, Limits, Patience};
pub use handler::{Handler, In as HandlerIn, Out as HandlerOut};
pub use rates::OverLimit;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who asked.
    pub asker: PeerId,
    /// Where the asker was to be dialed, if it came to that.
    pub address: Option<Multiaddr>,
    /// What came of it.
    pub outcome: Outcome,
    /// Bytes that the asker sent for it; 0 where none were asked for.
    pub paid: u64,
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Dialed, and the nonce was handed over (`OK`).
    Reachable,
    /// No connection (`E_DIAL_ERROR`).
    Unreachable,
    /// A connection, but the nonce was not taken there (`E_DIAL_BACK_ERROR`).
    NotHandedOver,
    /// Nothing that we are willing to dial (`E_DIAL_REFUSED`).
    Refused,
    /// Beyond a limit (`E_REQUEST_REJECTED`).
    Rejected(OverLimit),
    /// The asker left, stalled or broke the rules. What had been dialed by then is not told.
    Forsaken,
}

/// Sums since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that came to an end of any kind.
    pub requests: u64,
    /// Of them beyond a limit.
    pub rejected: u64,
    /// Of them without an address that we are willing to dial.
    pub refused: u64,
    /// Streams that stalled, ended early, or carried something else.
    pub broken: u64,
    /// Dials that the swarm was told to make.
    pub dials: u64,
    /// Data that askers sent, in bytes.
    pub paid_bytes: u64,
    /// Dial backs whose connection was made.
    pub connected: u64,
    /// Requests under way now.
    pub under_way: usize,
}
