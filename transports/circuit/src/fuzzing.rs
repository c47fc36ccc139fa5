//! What fuzzers call: everything that reads a stranger's bytes. Not part of the interface.

use libp2p_identity::PeerId;

use crate::message::{Request, stop_answer};

/// What a relay understands of a hop message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// A RESERVE.
    Reserve,
    /// A CONNECT to this peer.
    Connect(PeerId),
    /// A STATUS.
    Status,
}

/// Reads a hop message, without the length before it.
pub fn hop(message: &[u8]) -> Option<Hop> {
    Some(match Request::decode(message).ok()? {
        Request::Reserve => Hop::Reserve,
        Request::Connect(peer) => Hop::Connect(peer),
        Request::Status => Hop::Status,
    })
}

/// Reads a destination's answer: whether it agrees, else its status.
pub fn stop(message: &[u8]) -> Option<Result<(), u64>> {
    stop_answer(message).ok()
}
