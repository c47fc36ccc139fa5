//! The datagrams of discv4: signed, hashed, at most 1280 bytes.
//!
//! ```text
//! packet = hash(32) || signature(65) || type(1) || data        data: an RLP list
//! hash = keccak256(signature || type || data)                  signature: of keccak256(type || data)
//! ```
//!
//! devp2p `discv4.md`. As EIP-8 asks, a reader ignores the version of a ping, further items in the list, and
//! whatever follows the list.

mod message;

use alloy_primitives::{B256, B512, keccak256};
use bytes::Bytes;
use causeway_wire::{NodeKey, rlp};
use secp256k1::{
    Message, PublicKey, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};

pub use message::{Endpoint, EnrRequest, EnrResponse, FindNode, Neighbor, Neighbors, Ping, Pong, VERSION};

/// Largest packet (`discv4.md`); geth cuts what is longer.
pub const MAX_PACKET: usize = 1280;

const HASH: usize = 32;
const SIGNATURE: usize = 65;
/// Hash and signature; the type follows.
const HEAD: usize = HASH + SIGNATURE;

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// 1
    Ping(Ping),
    /// 2
    Pong(Pong),
    /// 3
    FindNode(FindNode),
    /// 4
    Neighbors(Neighbors),
    /// 5
    EnrRequest(EnrRequest),
    /// 6
    EnrResponse(EnrResponse),
}

/// A packet whose hash and signature were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What it says.
    pub packet: Packet,
    /// Who signed it.
    pub from: NodeKey,
    /// Its hash, by which a reply names it.
    pub hash: B256,
}

/// Why bytes are not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than its head and type.
    #[error("{length} bytes are fewer than a packet's {least}", least = HEAD + 1)]
    TooShort {
        /// Its length.
        length: usize,
    },
    /// Longer than [`MAX_PACKET`].
    #[error("{length} bytes are over the limit of {MAX_PACKET}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// The hash is another one: most likely not discv4 at all.
    #[error("the packet does not begin with its hash")]
    Hash,
    /// No key can be recovered from the signature.
    #[error("no key can be recovered from the signature")]
    Signature,
    /// None of the six types.
    #[error("packet type {0} is unknown")]
    Type(u8),
    /// The list cannot be read.
    #[error("the data of {what} cannot be read")]
    Malformed {
        /// Which packet.
        what: &'static str,
        /// What is wrong with it.
        source: rlp::Error,
    },
}

impl Packet {
    /// Reads and checks a packet: its hash first, which costs little, then the signature.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub fn decode(bytes: &[u8]) -> Result<Opened, DecodeError> {
        let length = bytes.len();
        let short = DecodeError::TooShort { length };
        if length > MAX_PACKET {
            return Err(DecodeError::TooLong { length });
        }
        let (hash, hashed) = bytes.split_first_chunk::<HASH>().ok_or(short)?;
        let (signature, signed) = hashed.split_first_chunk::<SIGNATURE>().ok_or(short)?;
        let (kind, data) = signed.split_first().ok_or(short)?;
        let hash = B256::from(*hash);
        if keccak256(hashed) != hash {
            return Err(DecodeError::Hash);
        }
        let from = recover(signature, keccak256(signed))?;
        let packet = match kind {
            1 => Ping::decode(data).map(Self::Ping).map_err(malformed("a ping"))?,
            2 => Pong::decode(data).map(Self::Pong).map_err(malformed("a pong"))?,
            3 => FindNode::decode(data).map(Self::FindNode).map_err(malformed("a find-node"))?,
            4 => Neighbors::decode(data).map(Self::Neighbors).map_err(malformed("neighbors"))?,
            5 => EnrRequest::decode(data).map(Self::EnrRequest).map_err(malformed("a record request"))?,
            6 => EnrResponse::decode(data).map(Self::EnrResponse).map_err(malformed("a record response"))?,
            other => return Err(DecodeError::Type(*other)),
        };
        Ok(Opened { packet, from, hash })
    }

    /// The signed packet, and its hash.
    pub fn encode(&self, secret: &SecretKey) -> (Bytes, B256) {
        let mut signed = vec![self.kind()];
        match self {
            Self::Ping(ping) => ping.encode(&mut signed),
            Self::Pong(pong) => pong.encode(&mut signed),
            Self::FindNode(find) => find.encode(&mut signed),
            Self::Neighbors(neighbors) => neighbors.encode(&mut signed),
            Self::EnrRequest(request) => request.encode(&mut signed),
            Self::EnrResponse(response) => response.encode(&mut signed),
        }
        seal(&signed, secret)
    }

    /// The type's byte.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Ping(_) => 1,
            Self::Pong(_) => 2,
            Self::FindNode(_) => 3,
            Self::Neighbors(_) => 4,
            Self::EnrRequest(_) => 5,
            Self::EnrResponse(_) => 6,
        }
    }
}

/// Puts hash and signature before `signed`, a type with its data. For tests and fuzzers, too: what is signed
/// need not be a packet of ours.
pub fn seal(signed: &[u8], secret: &SecretKey) -> (Bytes, B256) {
    let digest = Message::from_digest(keccak256(signed).0);
    let (recovery, compact) =
        RecoverableSignature::sign_ecdsa_recoverable(digest, secret).serialize_compact();
    let mut packet = vec![0; HASH];
    packet.extend_from_slice(&compact);
    packet.push(recovery.to_u8());
    packet.extend_from_slice(signed);
    let hash = keccak256(packet.get(HASH..).unwrap_or_default());
    packet.splice(..HASH, hash.0);
    (packet.into(), hash)
}

/// Whether `key` is a point of the curve: a node named by a stranger may have any bytes for a key.
pub(crate) fn is_on_curve(key: &NodeKey) -> bool {
    let mut uncompressed = [4; 65];
    uncompressed[1..].copy_from_slice(key.0.as_slice());
    PublicKey::from_slice(&uncompressed).is_ok()
}

fn malformed(what: &'static str) -> impl FnOnce(rlp::Error) -> DecodeError {
    move |source| DecodeError::Malformed { what, source }
}

fn recover(signature: &[u8; SIGNATURE], digest: B256) -> Result<NodeKey, DecodeError> {
    let (compact, recovery) = signature.split_at(SIGNATURE - 1);
    let recovery = recovery.first().copied().unwrap_or(u8::MAX);
    let recovery = RecoveryId::try_from(i32::from(recovery)).map_err(|_| DecodeError::Signature)?;
    let key = RecoverableSignature::from_compact(compact, recovery)
        .and_then(|signature| signature.recover_ecdsa(Message::from_digest(digest.0)))
        .map_err(|_| DecodeError::Signature)?;
    Ok(NodeKey(B512::from_slice(&key.serialize_uncompressed()[1..]))) // 65 bytes: 04 || X || Y
}

#[cfg(test)]
mod tests;
