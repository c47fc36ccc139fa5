//! The engine's rule for a header: who may make a block, and how heavy it is.

pub mod clique;
pub mod ethash;

use alloy_primitives::{Address, B256, keccak256};
use causeway_wire::NodeKey;
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

/// The key that made a 65-byte signature `r || s || v` (v 0 to 3) over a digest.
pub(crate) fn recover(digest: B256, signature: &[u8; 65]) -> Option<NodeKey> {
    let [compact @ .., v] = signature;
    let id = RecoveryId::try_from(i32::from(*v)).ok()?;
    let key =
        RecoverableSignature::from_compact(compact, id).ok()?.recover(Message::from_digest(digest.0)).ok()?;
    let [_, point @ ..] = key.serialize_uncompressed();
    Some(NodeKey(point.into()))
}

/// The account of a key.
pub(crate) fn address(key: &NodeKey) -> Address {
    Address::from_word(keccak256(key.0))
}
