//! What a peer can do wrong on a connection, and what it is told about it.

use causeway_wire::NodeKey;

use crate::DisconnectReason;

/// Why a handshake packet was refused. There are no keys yet, so the peer is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The size prefix is outside of what an auth or ack can be.
    #[error("handshake packet of {size} bytes, allowed are {min} to {max}")]
    Size {
        /// What the prefix says.
        size: usize,
        /// Least.
        min: usize,
        /// Most.
        max: usize,
    },
    /// A public key that is no point of the curve.
    #[error("the {what} is not a point of the curve")]
    Point {
        /// Which key.
        what: &'static str,
    },
    /// The packet's tag does not fit: it was sealed for another key, or altered.
    #[error("handshake packet is not sealed for this key")]
    Sealed,
    /// What was sealed is not the list that it should be.
    #[error("malformed handshake packet")]
    Malformed,
    /// No key can be recovered from the signature.
    #[error("invalid signature in auth packet")]
    Signature,
    /// The auth packet has been received before.
    #[error("replayed auth packet")]
    Replayed,
}

/// What a Hello lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Not the RLP that Hello is.
    #[error("malformed RLP in {field}")]
    Rlp {
        /// In which field.
        field: &'static str,
    },
    /// A node key of another length than 64 bytes.
    #[error("node key of {length} bytes instead of 64")]
    KeyLength {
        /// Its length.
        length: usize,
    },
}

/// What a peer did wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its handshake packet.
    #[error("handshake failed")]
    Handshake(#[from] HandshakeError),
    /// The MAC of a frame's header is wrong.
    #[error("wrong MAC of a frame header")]
    HeaderMac,
    /// The MAC of a frame's body is wrong.
    #[error("wrong MAC of a frame body")]
    BodyMac,
    /// A frame is larger than any message that is allowed at this time.
    #[error("frame of {size} bytes is over the limit of {limit}")]
    FrameTooLarge {
        /// As its header says.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A frame that says it is a part of a message, as no node sends any more.
    #[error("message in several frames")]
    Chunked,
    /// A frame without a message code.
    #[error("frame without a message code")]
    NoCode,
    /// A message other than Hello or Disconnect before Hello.
    #[error("message {code:#x} before hello")]
    BeforeHello {
        /// Its code.
        code: u64,
    },
    /// A Hello after the first one.
    #[error("second hello")]
    SecondHello,
    /// Hello cannot be read.
    #[error("malformed hello")]
    Hello(#[from] HelloError),
    /// Hello's node key is zero.
    #[error("hello with a null identity")]
    NullIdentity,
    /// Hello names another key than the handshake proved.
    #[error("hello of {claimed} on a connection of {proven}")]
    UnexpectedIdentity {
        /// The key in Hello.
        claimed: Box<NodeKey>,
        /// The key of the handshake.
        proven: Box<NodeKey>,
    },
    /// The peer is this node.
    #[error("connected to self")]
    ConnectedToSelf,
    /// Hello lists no capability that we have.
    #[error("no shared capability among the {offered} offered")]
    NoSharedCapability {
        /// How many the peer listed.
        offered: usize,
    },
    /// A code that no shared capability owns.
    #[error("message code {code:#x} is beyond all shared capabilities, which end at {end:#x}")]
    UnknownCode {
        /// The code on the wire.
        code: u64,
        /// The first code after the last capability.
        end: u64,
    },
    /// A message larger than its limit.
    #[error("message {code:#x} of {size} bytes is over the limit of {limit}")]
    MessageTooLarge {
        /// Its code on the wire.
        code: u64,
        /// Its size after decompression, as it claims.
        size: usize,
        /// Its limit.
        limit: usize,
    },
    /// A payload that is not snappy.
    #[error("message {code:#x} does not decompress")]
    Snappy {
        /// Its code on the wire.
        code: u64,
    },
    /// Pings, pongs and unknown base messages faster than anyone needs them.
    #[error("flood of base protocol messages")]
    Flood,
}

impl Fault {
    /// What the peer is told. `None` where there are no keys to tell it with, or no longer.
    pub fn disconnect_reason(&self) -> Option<DisconnectReason> {
        Some(match self {
            Self::Handshake(_) | Self::HeaderMac | Self::BodyMac => return None,
            Self::FrameTooLarge { .. }
            | Self::Chunked
            | Self::NoCode
            | Self::BeforeHello { .. }
            | Self::SecondHello
            | Self::Hello(HelloError::Rlp { .. })
            | Self::UnknownCode { .. }
            | Self::Snappy { .. }
            | Self::Flood => DisconnectReason::BreachOfProtocol,
            Self::MessageTooLarge { code, .. } if *code < causeway_wire::BASE_LENGTH => {
                DisconnectReason::BreachOfProtocol
            }
            Self::MessageTooLarge { .. } => DisconnectReason::SubprotocolError,
            Self::Hello(HelloError::KeyLength { .. }) | Self::NullIdentity => DisconnectReason::NullIdentity,
            Self::UnexpectedIdentity { .. } => DisconnectReason::UnexpectedIdentity,
            Self::ConnectedToSelf => DisconnectReason::ConnectedToSelf,
            Self::NoSharedCapability { .. } => DisconnectReason::UselessPeer,
        })
    }
}

/// What a peer did not do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Timeout {
    /// Its handshake packet did not come.
    #[error("no handshake in time")]
    Handshake,
    /// Its Hello did not come.
    #[error("no hello in time")]
    Hello,
    /// It fell silent.
    #[error("peer is silent")]
    Silence,
}

impl Timeout {
    /// What the peer is told. `None` as long as there are no keys.
    pub const fn disconnect_reason(self) -> Option<DisconnectReason> {
        match self {
            Self::Handshake => None,
            Self::Hello | Self::Silence => Some(DisconnectReason::Timeout),
        }
    }
}
