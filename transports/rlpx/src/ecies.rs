//! ECIES as RLPx uses it (rlpx.md section 2): a packet sealed for the holder of a secp256k1 key.
//!
//! ```text
//! R(65) || iv(16) || c(len m) || d(32)
//! S = x(r * K)    K = SHA256(00000001 || S) = kE(16) || kM(16)
//! c = AES-128-CTR(kE, iv, m)    d = HMAC-SHA256(SHA256(kM), iv || c || authdata)
//! ```

use aes::cipher::{KeyIvInit, StreamCipher};
use alloy_primitives::B512;
use causeway_wire::NodeKey;
use hmac::{Hmac, KeyInit, Mac};
use secp256k1::{PublicKey, SecretKey, ecdh::shared_secret_point};
use sha2::{Digest, Sha256};

use crate::HandshakeError;

type Aes128Ctr = ctr::Ctr128BE<aes::Aes128>;

/// Bytes of an uncompressed point with its first byte `04`.
pub(crate) const POINT: usize = 65;
const IV: usize = 16;
const TAG: usize = 32;
/// What sealing adds to a message.
pub(crate) const OVERHEAD: usize = POINT + IV + TAG;

/// The x coordinate of `secret * public`, padded to 32 bytes on the left.
pub(crate) fn shared_x(secret: &SecretKey, public: &PublicKey) -> [u8; 32] {
    let mut x = [0; 32];
    x.copy_from_slice(&shared_secret_point(public, secret)[..32]);
    x
}

/// A public key as the wire carries it.
pub(crate) fn node_key(public: &PublicKey) -> NodeKey {
    NodeKey(B512::from_slice(&public.serialize_uncompressed()[1..]))
}

/// The point that a node key names, if it is on the curve.
pub(crate) fn point(key: &NodeKey, what: &'static str) -> Result<PublicKey, HandshakeError> {
    let mut uncompressed = [4; POINT];
    uncompressed[1..].copy_from_slice(key.0.as_slice());
    PublicKey::from_slice(&uncompressed).map_err(|_| HandshakeError::Point { what })
}

/// Whether `bytes` begin with an uncompressed point of the curve.
pub(crate) fn begins_with_point(bytes: &[u8]) -> bool {
    bytes.first() == Some(&4) && bytes.get(..POINT).is_some_and(|point| PublicKey::from_slice(point).is_ok())
}

/// Appends `message`, sealed for `recipient`, to `out`. `authdata` is covered by the tag but not sent.
pub(crate) fn seal(
    recipient: &PublicKey,
    ephemeral: &SecretKey,
    iv: &[u8; IV],
    message: &[u8],
    authdata: &[u8],
    out: &mut Vec<u8>,
) {
    let keys = Keys::new(&shared_x(ephemeral, recipient));
    out.extend_from_slice(&ephemeral.public_key().serialize_uncompressed());
    let covered = out.len();
    out.extend_from_slice(iv);
    let text = out.len();
    out.extend_from_slice(message);
    keys.cipher(iv).apply_keystream(&mut out[text..]);
    let tag = keys.mac(&out[covered..], authdata).finalize().into_bytes();
    out.extend_from_slice(&tag);
}

/// The message in `packet`, which somebody sealed for `secret`.
pub(crate) fn open(secret: &SecretKey, packet: &[u8], authdata: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let (point, rest) = packet.split_first_chunk::<POINT>().ok_or(HandshakeError::Malformed)?;
    let (covered, tag) = rest.split_last_chunk::<TAG>().ok_or(HandshakeError::Malformed)?;
    let (iv, text) = covered.split_first_chunk::<IV>().ok_or(HandshakeError::Malformed)?;
    if point[0] != 4 {
        return Err(HandshakeError::Point { what: "sealing key" });
    }
    let ephemeral =
        PublicKey::from_slice(point).map_err(|_| HandshakeError::Point { what: "sealing key" })?;
    let keys = Keys::new(&shared_x(secret, &ephemeral));
    keys.mac(covered, authdata).verify_slice(tag).map_err(|_| HandshakeError::Sealed)?;
    let mut message = text.to_vec();
    keys.cipher(iv).apply_keystream(&mut message);
    Ok(message)
}

struct Keys {
    encryption: [u8; 16],
    mac: [u8; 32],
}

impl Keys {
    fn new(shared: &[u8; 32]) -> Self {
        let derived: [u8; 32] =
            Sha256::new().chain_update([0, 0, 0, 1]).chain_update(shared).finalize().into();
        let mut encryption = [0; 16];
        encryption.copy_from_slice(&derived[..16]);
        Self { encryption, mac: Sha256::digest(&derived[16..]).into() }
    }

    fn cipher(&self, iv: &[u8; IV]) -> Aes128Ctr {
        Aes128Ctr::new(&self.encryption.into(), iv.into())
    }

    fn mac(&self, covered: &[u8], authdata: &[u8]) -> Hmac<Sha256> {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.mac);
        mac.expect("HMAC takes keys of any length").chain_update(covered).chain_update(authdata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(message: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        seal(&key(1).public_key(), &key(2), &[3; IV], message, b"size", &mut packet);
        packet
    }

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_secret_bytes([seed; 32]).expect("a key")
    }

    #[test]
    fn only_its_recipient_opens_a_packet_and_only_with_its_authdata() {
        let packet = sealed(b"message");
        assert_eq!(packet.len(), b"message".len() + OVERHEAD);

        assert_eq!(open(&key(1), &packet, b"size"), Ok(b"message".to_vec()));
        assert_eq!(open(&key(2), &packet, b"size"), Err(HandshakeError::Sealed));
        assert_eq!(open(&key(1), &packet, b"sixe"), Err(HandshakeError::Sealed));
        assert_eq!(open(&key(1), &packet, b""), Err(HandshakeError::Sealed));
    }

    #[test]
    fn a_truncated_packet_is_malformed_or_not_sealed() {
        let packet = sealed(b"message");
        for length in 0..packet.len() {
            let expected = if length < OVERHEAD { HandshakeError::Malformed } else { HandshakeError::Sealed };
            assert_eq!(open(&key(1), &packet[..length], b"size"), Err(expected), "{length} bytes");
        }
    }

    #[test]
    fn only_uncompressed_points_on_the_curve_are_taken() {
        let refused = Err(HandshakeError::Point { what: "sealing key" });
        for first in [0, 2, 3, 5, 6, 7] {
            let mut packet = sealed(b"message");
            packet[0] = first;
            assert_eq!(open(&key(1), &packet, b"size"), refused, "first byte {first}");
        }
        let mut packet = sealed(b"message");
        packet[1..POINT].fill(0);
        assert_eq!(open(&key(1), &packet, b"size"), refused);
    }
}
