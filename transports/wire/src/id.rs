//! Who and which: peers on either stack, sessions, requests, networks.

use std::fmt;

use alloy_primitives::{B256, B512, keccak256};

/// A secp256k1 public key as devp2p writes it: 64 bytes `X || Y`, without the `04` prefix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeKey(pub B512);

impl NodeKey {
    /// The 32-byte node id, `keccak256(X || Y)`, by which devp2p compares nodes.
    pub fn node_id(&self) -> B256 {
        keccak256(self.0)
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", hex_of(self.0.as_slice()))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", hex_of(&self.0[..8]))
    }
}

/// The protocol stack over which a peer is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stack {
    /// RLPx over TCP.
    Devp2p,
    /// libp2p over any of its transports.
    Libp2p,
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Devp2p => "devp2p",
            Self::Libp2p => "libp2p",
        })
    }
}

/// Longest peer id that is kept: a devp2p key is 64 bytes, a libp2p multihash at most 44.
pub const MAX_PEER_ID: usize = 64;

/// A remote peer's id with the stack it belongs to: the 64-byte node key on devp2p, the multihash on libp2p.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId {
    stack: Stack,
    length: u8,
    bytes: [u8; MAX_PEER_ID],
}

/// A libp2p peer id longer than [`MAX_PEER_ID`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("peer id of {length} bytes is over the limit of {MAX_PEER_ID}")]
pub struct PeerIdTooLong {
    /// Its length in bytes.
    pub length: usize,
}

impl PeerId {
    /// The devp2p peer with this node key.
    pub fn devp2p(key: NodeKey) -> Self {
        Self { stack: Stack::Devp2p, length: 64, bytes: key.0.0 }
    }

    /// The libp2p peer whose id is this multihash.
    ///
    /// # Errors
    /// If `multihash` is longer than [`MAX_PEER_ID`].
    pub fn libp2p(multihash: &[u8]) -> Result<Self, PeerIdTooLong> {
        let length = multihash.len();
        let mut bytes = [0; MAX_PEER_ID];
        bytes.get_mut(..length).ok_or(PeerIdTooLong { length })?.copy_from_slice(multihash);
        Ok(Self { stack: Stack::Libp2p, length: length as u8, bytes })
    }

    /// The stack this peer is on.
    pub fn stack(&self) -> Stack {
        self.stack
    }

    /// The id's bytes: 64 bytes of node key, or a multihash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The node key of a devp2p peer.
    pub fn node_key(&self) -> Option<NodeKey> {
        (self.stack == Stack::Devp2p).then(|| NodeKey(B512::from(self.bytes)))
    }
}

/// Short form for logs: the stack and the last four bytes (the first bytes of a multihash are alike).
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.as_bytes();
        let tail = &bytes[bytes.len().saturating_sub(4)..];
        write!(f, "{}:{}", self.stack, hex_of(tail))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

fn hex_of(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode(bytes)
}

/// One session of one peer; never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The id by which a LES response finds its request (`reqID`); chosen by who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// The network id of the Status messages (not always the chain id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkId(pub u64);

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;

    const KEY: NodeKey = NodeKey(B512::new([0xa4; 64]));

    #[test]
    fn node_id_is_the_hash_of_the_key() {
        let zeroes = NodeKey(B512::ZERO);

        assert_eq!(
            zeroes.node_id(),
            b256!("ad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5")
        );
    }

    #[test]
    fn devp2p_peer_gives_back_its_key() {
        let peer = PeerId::devp2p(KEY);

        assert_eq!(peer.stack(), Stack::Devp2p);
        assert_eq!(peer.as_bytes(), KEY.0.as_slice());
        assert_eq!(peer.node_key(), Some(KEY));
        assert_eq!(peer.to_string(), "devp2p:a4a4a4a4");
    }

    #[test]
    fn libp2p_peer_has_its_multihash_and_no_key() {
        let multihash = [&[0x12, 0x20][..], &[7; 32]].concat();

        let peer = PeerId::libp2p(&multihash).expect("short enough");

        assert_eq!(peer.stack(), Stack::Libp2p);
        assert_eq!(peer.as_bytes(), multihash);
        assert_eq!(peer.node_key(), None);
        assert_eq!(peer.to_string(), "libp2p:07070707");
    }

    #[test]
    fn libp2p_peer_id_is_bounded() {
        assert!(PeerId::libp2p(&[1; MAX_PEER_ID]).is_ok());
        assert_eq!(PeerId::libp2p(&[1; 65]), Err(PeerIdTooLong { length: 65 }));
        assert_eq!(PeerId::libp2p(&[]).map(|peer| peer.to_string()), Ok("libp2p:".to_owned()));
    }

    #[test]
    fn same_bytes_on_two_stacks_are_two_peers() {
        let other = PeerId::libp2p(KEY.0.as_slice()).expect("short enough");

        assert_ne!(PeerId::devp2p(KEY), other);
    }

    #[test]
    fn ids_that_end_in_zeroes_differ_from_shorter_ones() {
        assert_ne!(PeerId::libp2p(&[1, 0]), PeerId::libp2p(&[1]));
    }

    #[test]
    fn key_is_shown_whole_and_debugged_short() {
        assert_eq!(KEY.to_string().len(), 128);
        assert_eq!(format!("{KEY:?}"), "NodeKey(a4a4a4a4a4a4a4a4)");
    }
}
