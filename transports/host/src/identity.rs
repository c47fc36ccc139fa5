//! One secp256k1 key on both stacks: the libp2p identity of a node key, and the node key of an identity.

use causeway_wire::{NodeKey, PeerId, Stack};
use libp2p::identity::{self, Keypair, secp256k1};

/// A secret key of zero, or one beyond the order of secp256k1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a secp256k1 secret key: zero or beyond the order of the curve")]
pub struct InvalidSecretKey;

/// The libp2p peer id of the node with this secp256k1 secret key.
///
/// # Errors
/// If the key is zero or beyond the curve's order.
pub fn peer_id_of(secret_key: &[u8; 32]) -> Result<PeerId, InvalidSecretKey> {
    Ok(wire_peer_id(&keypair(secret_key)?.public().to_peer_id()))
}

/// The id as people write it: base58, `16Uiu2…` for a secp256k1 identity.
///
/// A devp2p id has no such form; its node key is given in hex.
pub fn peer_id_text(peer: &PeerId) -> String {
    match peer.node_key() {
        Some(key) => key.to_string(),
        None => libp2p_peer_id(peer).map(|id| id.to_base58()).unwrap_or_default(),
    }
}

/// Reads an id as [`peer_id_text`] writes it for libp2p.
pub fn parse_peer_id(text: &str) -> Option<PeerId> {
    text.parse().ok().map(|id| wire_peer_id(&id))
}

/// The node key of a libp2p peer whose identity is a secp256k1 key; of a devp2p peer, its own.
pub fn node_key(peer: &PeerId) -> Option<NodeKey> {
    match peer.stack() {
        Stack::Devp2p => peer.node_key(),
        Stack::Libp2p => {
            let [IDENTITY_MULTIHASH, _length, protobuf @ ..] = peer.as_bytes() else { return None };
            let key = identity::PublicKey::try_decode_protobuf(protobuf).ok()?;
            let point = key.try_into_secp256k1().ok()?.to_bytes_uncompressed();
            let (_tag, xy) = point.split_first()?;
            <[u8; 64]>::try_from(xy).ok().map(|xy| NodeKey(xy.into()))
        }
    }
}

/// Code of the multihash that holds its input instead of a hash of it; keys of up to 42 bytes use it.
const IDENTITY_MULTIHASH: u8 = 0;

pub(crate) fn keypair(secret_key: &[u8; 32]) -> Result<Keypair, InvalidSecretKey> {
    let mut copy = *secret_key; // zeroed by the call
    let secret = secp256k1::SecretKey::try_from_bytes(&mut copy).map_err(|_| InvalidSecretKey)?;
    Ok(secp256k1::Keypair::from(secret).into())
}

/// The wire form of a libp2p id. Ids are multihashes of at most 42 bytes, which always fit.
pub(crate) fn wire_peer_id(id: &libp2p::PeerId) -> PeerId {
    PeerId::libp2p(&id.to_bytes()).expect("a libp2p peer id is at most 42 bytes long")
}

pub(crate) fn libp2p_peer_id(peer: &PeerId) -> Option<libp2p::PeerId> {
    match peer.stack() {
        Stack::Devp2p => None,
        Stack::Libp2p => libp2p::PeerId::from_bytes(peer.as_bytes()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of EIP-778's example record; its public key is the record's `secp256k1` entry.
    const SECRET: [u8; 32] = [
        0xb7, 0x1c, 0x71, 0xa6, 0x7e, 0x11, 0x77, 0xad, 0x4e, 0x90, 0x16, 0x95, 0xe1, 0xb4, 0xb9, 0xee, 0x17,
        0xae, 0x16, 0xc6, 0x66, 0x8d, 0x31, 0x3e, 0xac, 0x2f, 0x96, 0xdb, 0xcd, 0xa3, 0xf2, 0x91,
    ];
    const COMPRESSED: [u8; 33] = [
        0x03, 0xca, 0x63, 0x4c, 0xae, 0x0d, 0x49, 0xac, 0xb4, 0x01, 0xd8, 0xa4, 0xc6, 0xb6, 0xfe, 0x8c, 0x55,
        0xb7, 0x0d, 0x11, 0x5b, 0xf4, 0x00, 0x76, 0x9c, 0xc1, 0x40, 0x0f, 0x32, 0x58, 0xcd, 0x31, 0x38,
    ];

    #[test]
    fn peer_id_is_the_public_key_of_the_record() {
        let id = peer_id_of(&SECRET).expect("key");

        let mut expected = vec![0x00, 0x25, 0x08, 0x02, 0x12, 0x21];
        expected.extend_from_slice(&COMPRESSED);
        assert_eq!(id.as_bytes(), expected);
        assert!(peer_id_text(&id).starts_with("16Uiu2"));
        assert_eq!(parse_peer_id(&peer_id_text(&id)), Some(id));
    }

    #[test]
    fn node_key_is_found_in_a_secp256k1_identity() {
        let id = peer_id_of(&SECRET).expect("key");

        let key = node_key(&id).expect("a secp256k1 identity");

        // The node id that EIP-778 gives for the record.
        assert_eq!(
            key.node_id().to_string(),
            "0xa448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7"
        );
    }

    #[test]
    fn other_identities_have_no_node_key() {
        let ed25519 = wire_peer_id(&Keypair::generate_ed25519().public().to_peer_id());

        assert_eq!(node_key(&ed25519), None);
    }

    #[test]
    fn zero_is_no_key() {
        assert_eq!(peer_id_of(&[0; 32]), Err(InvalidSecretKey));
        assert_eq!(peer_id_of(&[0xff; 32]), Err(InvalidSecretKey));
    }
}
