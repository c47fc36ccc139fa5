//! What a connection is made of: our identity and capabilities, limits, times, randomness.

use std::time::Duration;

use alloy_primitives::keccak256;
use causeway_wire::{Capability, NodeKey};
use secp256k1::SecretKey;

use crate::ecies;

/// What all connections of one node have in common.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's static key.
    pub secret_key: SecretKey,
    /// How we call ourselves in Hello: `Name/vX.Y.Z/os-arch/lang`. Peers take a Hello of at most 2 KiB.
    pub client_id: String,
    /// What we offer; each version is an entry of its own.
    pub capabilities: Vec<Capability>,
    /// The TCP port to announce in Hello; 0 for none.
    pub listen_port: u16,
    /// Largest messages accepted.
    pub message_limits: MessageLimits,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl Config {
    /// A node with default limits and times that listens on no port.
    pub fn new(secret_key: SecretKey, client_id: String, capabilities: Vec<Capability>) -> Self {
        Self {
            secret_key,
            client_id,
            capabilities,
            listen_port: 0,
            message_limits: MessageLimits::default(),
            timeouts: Timeouts::default(),
        }
    }

    /// The public half of [`Config::secret_key`], as Hello and enode URLs carry it.
    pub fn node_key(&self) -> NodeKey {
        ecies::node_key(&self.secret_key.public_key())
    }
}

/// Largest payloads of sub-protocol messages that are accepted, in bytes after decompression. They
/// are checked against the length that the message claims, before anything is decompressed, and
/// bound what is buffered of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// For codes that [`MessageLimits::by_code`] does not name.
    pub default: usize,
    /// Capability name, code local to it, limit.
    pub by_code: Vec<(&'static str, u64, usize)>,
}

impl MessageLimits {
    /// What geth accepts of `eth`, `snap` and `les` messages.
    pub const DEFAULT: usize = 10 * 1024 * 1024;

    /// The limit of message `code` of the capability called `name`.
    pub fn of(&self, name: &str, code: u64) -> usize {
        self.by_code
            .iter()
            .find(|(capability, local, _)| *capability == name && *local == code)
            .map_or(self.default, |(.., limit)| *limit)
    }
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self { default: Self::DEFAULT, by_code: Vec::new() }
    }
}

/// How long a connection waits for what (rlpx.md section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the TCP connection to agreed keys.
    pub handshake: Duration,
    /// From agreed keys to the peer's Hello.
    pub hello: Duration,
    /// Between two pings of ours, until [`Connection::set_heartbeat`](crate::Connection::set_heartbeat) says
    /// otherwise; they are sent whatever else is. 5 to 600 s.
    pub ping: Duration,
    /// Without a whole frame from the peer, the connection is over. With another interval than [`Self::ping`] it is
    /// longer or shorter by the difference.
    pub silence: Duration,
    /// For whoever owns the socket: the longest time that one write may take.
    pub write: Duration,
    /// For whoever owns the socket: how long it may take to write the last Disconnect and to wait for
    /// the peer's end.
    pub farewell: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            hello: Duration::from_secs(5),
            ping: Duration::from_secs(15),
            silence: Duration::from_secs(45),
            write: Duration::from_secs(20),
            farewell: Duration::from_secs(1),
        }
    }
}

/// What one handshake needs of chance. Never use it twice.
#[derive(Clone, Debug)]
pub struct Randomness {
    /// Our ephemeral key, from which the connection's keys are derived.
    pub ephemeral: SecretKey,
    /// Our nonce.
    pub nonce: [u8; 32],
    /// The key that seals our handshake packet.
    pub ecies_ephemeral: SecretKey,
    /// The IV of our handshake packet.
    pub iv: [u8; 16],
    /// Varies the length of our handshake packet.
    pub padding: u8,
}

impl Randomness {
    /// Stretches 32 bytes of a cryptographic random source into all that a handshake needs.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let part = |label: u8| -> [u8; 32] {
            let mut input = [0; 33];
            input[..32].copy_from_slice(&seed);
            input[32] = label;
            keccak256(input).0
        };
        let rest = part(3);
        let mut iv = [0; 16];
        iv.copy_from_slice(&rest[..16]);
        Self {
            ephemeral: secret_key(part(0)),
            nonce: part(1),
            ecies_ephemeral: secret_key(part(2)),
            iv,
            padding: rest[16],
        }
    }
}

/// The secret key with these bytes. One hash in 2^127 is no key; its hash will be.
fn secret_key(bytes: [u8; 32]) -> SecretKey {
    SecretKey::from_secret_bytes(bytes).unwrap_or_else(|_| secret_key(keccak256(bytes).0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_go_by_capability_and_code() {
        let limits = MessageLimits { default: 128, by_code: vec![("les", 0x13, 1024)] };

        assert_eq!(limits.of("les", 0x13), 1024);
        assert_eq!(limits.of("les", 0x12), 128);
        assert_eq!(limits.of("eth", 0x13), 128);
    }

    #[test]
    fn every_part_of_randomness_differs_and_follows_from_the_seed() {
        let (one, again) = (Randomness::from_seed([1; 32]), Randomness::from_seed([1; 32]));
        let other = Randomness::from_seed([2; 32]);

        assert_eq!((one.ephemeral, one.nonce, one.iv), (again.ephemeral, again.nonce, again.iv));
        assert_ne!(one.ephemeral, one.ecies_ephemeral);
        assert_ne!(one.ephemeral.to_secret_bytes(), one.nonce);
        assert_ne!(one.ephemeral, other.ephemeral);
        assert_ne!(one.nonce, other.nonce);
        assert_ne!(one.iv, other.iv);
    }

    #[test]
    fn bytes_that_are_no_key_are_hashed_until_they_are() {
        assert_ne!(secret_key([0; 32]).to_secret_bytes(), [0; 32]);
        assert_ne!(secret_key([0xff; 32]).to_secret_bytes(), [0xff; 32]);
    }
}
