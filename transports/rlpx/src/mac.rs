//! The running MAC of one direction: a Keccak state that is never finished, stirred by AES
//! (rlpx.md section 4).
//!
//! ```text
//! step(seed16):  H.update(AES(H.digest()[0..16]) ^ seed16), then H.digest()[0..16] is the MAC
//! header: step(sealed header)        body: H.update(sealed body); step(H.digest()[0..16])
//! ```

use aes::{
    Aes256Enc,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use sha3::{Digest, Keccak256};

/// Bytes of a MAC on the wire.
pub(crate) const MAC: usize = 16;

/// The MAC of all that went in one direction so far.
pub(crate) struct Mac {
    cipher: Aes256Enc,
    state: Keccak256,
    /// Digest of `state` when the last step ended: the next header's step begins with it.
    sum: [u8; MAC],
}

impl Mac {
    /// A MAC under `key` that begins with the seed and the handshake packet of its direction.
    pub(crate) fn new(key: &[u8; 32], seed: &[u8; 32], packet: &[u8]) -> Self {
        let state = Keccak256::new().chain_update(seed).chain_update(packet);
        let sum = digest(&state);
        Self { cipher: Aes256Enc::new(key.into()), state, sum }
    }

    /// The MAC of a sealed frame header.
    pub(crate) fn header(&mut self, sealed: &[u8; 16]) -> [u8; MAC] {
        self.step(self.sum, sealed)
    }

    /// Takes in a part of a sealed frame body.
    pub(crate) fn absorb(&mut self, sealed: &[u8]) {
        self.state.update(sealed);
    }

    /// The MAC of the frame body that was absorbed since the header.
    pub(crate) fn body(&mut self) -> [u8; MAC] {
        let sum = digest(&self.state);
        self.step(sum, &sum)
    }

    fn step(&mut self, sum: [u8; MAC], seed: &[u8; MAC]) -> [u8; MAC] {
        let mut block = sum.into();
        self.cipher.encrypt_block(&mut block);
        for (byte, seed) in block.iter_mut().zip(seed) {
            *byte ^= seed;
        }
        self.state.update(block);
        self.sum = digest(&self.state);
        self.sum
    }
}

/// Whether two MACs are equal, without a branch on where they differ.
pub(crate) fn equal(left: [u8; MAC], right: [u8; MAC]) -> bool {
    u128::from_ne_bytes(left) ^ u128::from_ne_bytes(right) == 0
}

/// The first half of the state's digest, of which a copy is finished.
fn digest(state: &Keccak256) -> [u8; MAC] {
    let full: [u8; 32] = state.clone().finalize().into();
    let mut half = [0; MAC];
    half.copy_from_slice(&full[..MAC]);
    half
}

#[cfg(test)]
impl Mac {
    /// The whole digest of the state after `more` (what EIP-8 and rlpx.md 10.3 give).
    pub(crate) fn digest_after(&self, more: &[u8]) -> [u8; 32] {
        self.state.clone().chain_update(more).finalize().into()
    }
}
