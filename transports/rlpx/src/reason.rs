//! Why a node disconnects, and the many ways in which nodes have written that (rlpx.md section 6.1).

use std::fmt;

/// The reason in a Disconnect message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DisconnectReason {
    /// 00: it was asked to; geth's LES server also says so to a client that it evicts.
    Requested,
    /// 01
    TcpError,
    /// 02: bad code or encoding at the base protocol; reth and Nethermind also for another chain.
    BreachOfProtocol,
    /// 03: no shared capability; geth's les/2 also for a breach of flow control.
    UselessPeer,
    /// 04: to be read as "later".
    TooManyPeers,
    /// 05
    AlreadyConnected,
    /// 06
    IncompatibleVersion,
    /// 07
    NullIdentity,
    /// 08
    ClientQuitting,
    /// 09: Hello names another key than the handshake proved.
    UnexpectedIdentity,
    /// 0a
    ConnectedToSelf,
    /// 0b
    Timeout,
    /// 10: whatever a sub-protocol objects to.
    SubprotocolError,
    /// Any other.
    Other(u8),
}

impl DisconnectReason {
    /// The reason with this number.
    pub const fn from_code(code: u8) -> Self {
        match code {
            0x00 => Self::Requested,
            0x01 => Self::TcpError,
            0x02 => Self::BreachOfProtocol,
            0x03 => Self::UselessPeer,
            0x04 => Self::TooManyPeers,
            0x05 => Self::AlreadyConnected,
            0x06 => Self::IncompatibleVersion,
            0x07 => Self::NullIdentity,
            0x08 => Self::ClientQuitting,
            0x09 => Self::UnexpectedIdentity,
            0x0a => Self::ConnectedToSelf,
            0x0b => Self::Timeout,
            0x10 => Self::SubprotocolError,
            other => Self::Other(other),
        }
    }

    /// Its number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Requested => 0x00,
            Self::TcpError => 0x01,
            Self::BreachOfProtocol => 0x02,
            Self::UselessPeer => 0x03,
            Self::TooManyPeers => 0x04,
            Self::AlreadyConnected => 0x05,
            Self::IncompatibleVersion => 0x06,
            Self::NullIdentity => 0x07,
            Self::ClientQuitting => 0x08,
            Self::UnexpectedIdentity => 0x09,
            Self::ConnectedToSelf => 0x0a,
            Self::Timeout => 0x0b,
            Self::SubprotocolError => 0x10,
            Self::Other(code) => code,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "requested",
            Self::TcpError => "TCP error",
            Self::BreachOfProtocol => "breach of protocol",
            Self::UselessPeer => "useless peer",
            Self::TooManyPeers => "too many peers",
            Self::AlreadyConnected => "already connected",
            Self::IncompatibleVersion => "incompatible p2p version",
            Self::NullIdentity => "null identity",
            Self::ClientQuitting => "client quitting",
            Self::UnexpectedIdentity => "unexpected identity",
            Self::ConnectedToSelf => "connected to self",
            Self::Timeout => "timeout",
            Self::SubprotocolError => "sub-protocol error",
            Self::Other(code) => return write!(f, "reason {code:#04x}"),
        })
    }
}
