//! What a connection tells its owner, and why it does not send.

use bytes::Bytes;
use causeway_wire::{NodeKey, SharedCapability};

use crate::{DisconnectReason, Fault, HandshakeError, Timeout};

/// What a connection tells its owner, in order; [`Event::Closed`] is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Both Hellos are through; from now on messages can be sent.
    Connected {
        /// The peer's key, proven by the handshake.
        peer: NodeKey,
        /// How the peer calls itself; control characters replaced, at most 256 characters.
        client_id: String,
        /// The base protocol's version in the peer's Hello.
        version: u64,
        /// What both have, sorted by name; never empty.
        capabilities: Vec<SharedCapability>,
        /// The TCP port that the peer says it listens on; 0 for none. A hint at best.
        listen_port: u64,
    },
    /// A message of a shared capability.
    Message {
        /// Whose.
        capability: SharedCapability,
        /// Its code, local to the capability and below its length.
        code: u64,
        /// Its payload, decompressed, within its limit.
        payload: Bytes,
    },
    /// The connection is over. Bytes left in
    /// [`poll_transmit`](crate::Connection::poll_transmit) are the farewell.
    Closed(Closed),
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// We closed it.
    Local(DisconnectReason),
    /// The peer said Disconnect, with its reason if it gave one.
    Remote(Option<DisconnectReason>),
    /// The peer broke a rule.
    Fault(Fault),
    /// The peer did not do something in time.
    Timeout(Timeout),
    /// The peer's stream ended without a word.
    Ended,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer's Hello has not come yet.
    #[error("not connected yet")]
    NotConnected,
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
    /// The capability is not shared on this connection.
    #[error("not a shared capability of this connection")]
    UnknownCapability,
    /// The capability has no such code.
    #[error("code {code:#x} in a capability of {length} codes")]
    UnknownCode {
        /// The code.
        code: u64,
        /// The capability's length.
        length: u64,
    },
    /// The payload is larger than any peer accepts.
    #[error("payload of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

impl From<Fault> for Closed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<HandshakeError> for Closed {
    fn from(error: HandshakeError) -> Self {
        Self::Fault(error.into())
    }
}
