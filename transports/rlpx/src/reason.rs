//! Why a node disconnects, and the many ways in which nodes have written that (rlpx.md section 6.1).

use std::fmt;

use alloy_rlp::{Encodable, Header};

use crate::{hello, snappy};

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

impl DisconnectReason {
    /// The payload that says so, as a list: what geth writes since v1.15.0, and all that geth
    /// v1.13.5 reads.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut item = Vec::new();
        self.code().encode(&mut item);
        let mut payload = Vec::new();
        Header { list: true, payload_length: item.len() }.encode(&mut payload);
        payload.extend_from_slice(&item);
        payload
    }
}

/// The reason in a Disconnect, `Some(None)` if it gives none; `None` if this is no such payload.
///
/// Written as a list or, by geth before v1.15.0, as a bare number, with 0 as `80` or `00`.
pub(crate) fn read(mut payload: &[u8]) -> Option<Option<DisconnectReason>> {
    let listed = payload.first().is_some_and(|byte| *byte >= 0xc0);
    let items = if listed {
        let items = Header::decode_bytes(&mut payload, true).ok()?;
        payload.is_empty().then_some(items)?
    } else {
        payload
    };
    let code = match *items {
        [] => return Some(None),
        [code] if code <= 0x80 => code & 0x7f,
        [0x81, code] => code,
        // Items behind the reason, which no node sends so far.
        [code, _, ..] if listed && code <= 0x80 => code & 0x7f,
        _ => return None,
    };
    Some(Some(DisconnectReason::from_code(code)))
}

/// The reason in a Disconnect that may be compressed or not, whatever was agreed on: a peer that
/// refuses us may not have read our Hello yet. `None` if it gives none or cannot be read.
pub(crate) fn read_packed(payload: &[u8]) -> Option<DisconnectReason> {
    read(payload).or_else(|| read(&snappy::unpack(payload, hello::LIMIT).ok()?)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_in_which_nodes_write_a_reason() {
        let four = Some(DisconnectReason::TooManyPeers);
        let zero = Some(DisconnectReason::Requested);
        let written: [(&[u8], Option<DisconnectReason>); 12] = [
            (&[0x04], four),
            (&[0xc1, 0x04], four),
            (&[0x80], zero),
            (&[0x00], zero),
            (&[0xc1, 0x80], zero),
            (&[0xc1, 0x00], zero),
            (&[0xc0], None),
            (&[], None),
            (&[0xc2, 0x04, 0x01], four),
            (&[0x81, 0xff], Some(DisconnectReason::Other(0xff))),
            (&[0xc2, 0x81, 0xff], Some(DisconnectReason::Other(0xff))),
            (&[0x10], Some(DisconnectReason::SubprotocolError)),
        ];
        for (payload, reason) in written {
            assert_eq!(read(payload), Some(reason), "{payload:02x?}");
            assert_eq!(read_packed(payload), reason, "{payload:02x?}");
        }
    }

    #[test]
    fn reads_it_compressed_too() {
        assert_eq!(read_packed(&[0x02, 0x04, 0xc1, 0x04]), Some(DisconnectReason::TooManyPeers));
        assert_eq!(read_packed(&[0x01, 0x00, 0x04]), Some(DisconnectReason::TooManyPeers));
        assert_eq!(read_packed(&[0x01, 0x00, 0xc0]), None);
    }

    #[test]
    fn anything_else_is_a_disconnect_without_a_reason() {
        for payload in [&[0xff; 9][..], &[0x90, 1, 2], &[0xc1], &[0xc1, 0x04, 0x04], &[0x80; 2048], &[4, 4]] {
            assert_eq!(read(payload), None, "{payload:02x?}");
            assert_eq!(read_packed(payload), None, "{payload:02x?}");
        }
    }

    #[test]
    fn writes_a_list_that_it_reads() {
        assert_eq!(DisconnectReason::TooManyPeers.encode(), [0xc1, 0x04]);
        assert_eq!(DisconnectReason::Requested.encode(), [0xc1, 0x80]);
        for code in 0..=u8::MAX {
            let reason = DisconnectReason::from_code(code);
            assert_eq!(reason.code(), code);
            assert_eq!(read(&reason.encode()), Some(Some(reason)));
        }
    }
}
