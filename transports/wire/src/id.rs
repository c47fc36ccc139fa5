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
