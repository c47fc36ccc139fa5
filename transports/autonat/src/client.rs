//! The client: finds out at which addresses others can dial us, by asking servers to do it.

mod behaviour;
mod candidate;
mod config;
mod handler;
mod machine;
mod question;
mod server;
#[cfg(test)]
mod tests;

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;

pub use behaviour::Behaviour;
pub use config::Config;
pub use handler::{Handler, In as HandlerIn, Out as HandlerOut};
pub use question::Ask;

/// What became known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Servers agree on an address, or the only one there is has spoken. Told again each time that this is renewed.
    Verdict {
        /// The address, without our peer id.
        address: Multiaddr,
        /// Whether others can dial it.
        reachable: bool,
        /// How many servers say so.
        confirmations: usize,
        /// The one that said so last.
        server: PeerId,
    },
    /// A verdict could not be renewed in time, or the address is no longer a candidate.
    Expired {
        /// The address, without our peer id.
        address: Multiaddr,
    },
}

/// What is known of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The address, without our peer id.
    pub address: Multiaddr,
    /// Whether it is reachable, if that is known.
    pub reachable: Option<bool>,
    /// How many servers say so.
    pub confirmations: usize,
    /// Whether it is being tested.
    pub testing: bool,
}

/// Sums since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Questions asked.
    pub questions: u64,
    /// Nonces that came back.
    pub dial_backs: u64,
    /// Dial backs that were refused: an unknown nonce, or not over a new connection, or through another transport.
    pub false_dial_backs: u64,
    /// Servers that claimed a dial back that we never saw.
    pub false_answers: u64,
    /// Servers that did not want to: too much to do.
    pub rejections: u64,
    /// Servers that do not dial such an address.
    pub refusals: u64,
    /// Questions that came to nothing in other ways.
    pub failures: u64,
    /// Data that was sent to servers, in bytes.
    pub paid_bytes: u64,
    /// Candidates that were not taken: out of scope, circuits, names.
    pub unfit_candidates: u64,
}
