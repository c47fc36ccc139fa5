//! From a finished key exchange to the ciphers and MACs of both directions (rlpx.md section 3.3).

use alloy_primitives::Keccak256;

use crate::{
    frame::{Opener, Sealer},
    mac::Mac,
};

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sent auth.
    Initiator,
    /// Sent ack.
    Recipient,
}

/// All that the secrets are derived from.
pub(crate) struct Exchange<'a> {
    /// The x coordinate that the two ephemeral keys share.
    pub(crate) ephemeral: [u8; 32],
    pub(crate) initiator_nonce: [u8; 32],
    pub(crate) recipient_nonce: [u8; 32],
    /// The auth packet as it was sent, with its size prefix and padding.
    pub(crate) auth: &'a [u8],
    /// The ack packet likewise.
    pub(crate) ack: &'a [u8],
}

/// The keys of both directions, and the MACs in their first states.
pub(crate) struct Secrets {
    pub(crate) aes: [u8; 32],
    #[cfg(test)]
    pub(crate) mac: [u8; 32],
    pub(crate) egress: Mac,
    pub(crate) ingress: Mac,
}

impl Secrets {
    pub(crate) fn derive(exchange: &Exchange<'_>, role: Role) -> Self {
        let ephemeral = &exchange.ephemeral;
        let nonces = hash(&exchange.recipient_nonce, &exchange.initiator_nonce);
        let shared = hash(ephemeral, &nonces);
        let aes = hash(ephemeral, &shared);
        let mac = hash(ephemeral, &aes);
        let of_initiator = || Mac::new(&mac, &xor(&mac, &exchange.recipient_nonce), exchange.auth);
        let of_recipient = || Mac::new(&mac, &xor(&mac, &exchange.initiator_nonce), exchange.ack);
        let (egress, ingress) = match role {
            Role::Initiator => (of_initiator(), of_recipient()),
            Role::Recipient => (of_recipient(), of_initiator()),
        };
        Self {
            aes,
            #[cfg(test)]
            mac,
            egress,
            ingress,
        }
    }

    /// What seals and what opens frames with these keys.
    pub(crate) fn split(self) -> (Sealer, Opener) {
        (Sealer::new(&self.aes, self.egress), Opener::new(&self.aes, self.ingress))
    }
}

/// Keys, nonces and digests are all 32 bytes.
pub(crate) fn xor(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    std::array::from_fn(|index| left[index] ^ right[index])
}

fn hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hasher = Keccak256::new();
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().0
}
