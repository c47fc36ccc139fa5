//! ECIES once more, from the text of the protocol, so that fuzzed fields arrive in packets that open.
//!
//! ```text
//! R(65) || iv(16) || c(len m) || d(32)
//! S = x(r * K)    SHA256(00000001 || S) = kE(16) || kM(16)
//! c = AES-128-CTR(kE, iv, m)    d = HMAC-SHA256(SHA256(kM), iv || c || authdata)
//! ```

use aes::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use secp256k1::{PublicKey, SecretKey, ecdh::shared_secret_point};
use sha2::{Digest, Sha256};

const IV: [u8; 16] = [9; 16];
const OVERHEAD: usize = 65 + 16 + 32;

/// `message` for the holder of `recipient`'s secret; `authdata` is covered by the tag.
pub(crate) fn seal(recipient: &PublicKey, message: &[u8], authdata: &[u8]) -> Vec<u8> {
    let ephemeral = SecretKey::from_secret_bytes([0x5e; 32]).expect("a key");
    let shared = shared_secret_point(recipient, &ephemeral);
    let keys = Sha256::new().chain_update([0, 0, 0, 1]).chain_update(&shared[..32]).finalize();
    let mut text = message.to_vec();
    ctr::Ctr128BE::<aes::Aes128>::new_from_slices(&keys[..16], &IV)
        .expect("lengths of key and IV")
        .apply_keystream(&mut text);
    let tag = Hmac::<Sha256>::new_from_slice(&Sha256::digest(&keys[16..]))
        .expect("any length")
        .chain_update(IV)
        .chain_update(&text)
        .chain_update(authdata)
        .finalize()
        .into_bytes();
    [&ephemeral.public_key().serialize_uncompressed()[..], &IV, &text, &tag].concat()
}

/// The same behind its length, as EIP-8 has it.
pub(crate) fn seal_prefixed(recipient: &PublicKey, message: &[u8]) -> Vec<u8> {
    let size = u16::try_from(message.len() + OVERHEAD).unwrap_or(u16::MAX).to_be_bytes();
    [&size[..], &seal(recipient, message, &size)].concat()
}
