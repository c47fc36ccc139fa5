//! What a user of the transport chooses.

use std::time::Duration;

use libp2p_identity::Keypair;

use crate::certificate::{Certificate, CertificateError};

/// What a stranger may take of us. Each listener of a transport shares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections in all, with those whose handshake is under way. Default 1,000.
    pub connections: usize,
    /// Connections of one IPv4 address or one IPv6 network of 64 bits. Default 32.
    pub connections_of_one: usize,
    /// Handshakes under way in all. Default 128.
    pub handshakes: usize,
    /// Handshakes under way of one IPv4 address or one IPv6 network of 64 bits. Default 16.
    pub handshakes_of_one: usize,
    /// Handshakes that one IPv4 address or one IPv6 network of 64 bits may begin in a second, on average.
    /// Default 8.
    pub handshake_rate: u32,
    /// Handshakes that it may begin at once, after a pause. Default 32.
    pub handshake_burst: u32,
    /// Addresses that have sent STUN and nothing else yet. Each takes some 200 bytes; the oldest goes when
    /// another comes. Default 4,096.
    pub bindings: usize,
    /// Time for DTLS, SCTP and Noise together. Default 10 s.
    pub handshake_time: Duration,
    /// Streams open at once, of both sides together, with those that wait for the peer to confirm their end.
    /// Default 128.
    pub streams: usize,
    /// Bytes of one stream that may wait unread, besides 512 KiB of all streams of a connection. Default 64 KiB.
    pub receive_buffer: usize,
    /// Bytes of a connection that are kept until the peer has confirmed them; with the round trip time it
    /// bounds the speed. Default 512 KiB.
    pub send_buffer: usize,
    /// How long a connection lives without a sign of the peer. Clients send one every few seconds.
    /// Default 30 s.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000,
            connections_of_one: 32,
            handshakes: 128,
            handshakes_of_one: 16,
            handshake_rate: 8,
            handshake_burst: 32,
            bindings: 4_096,
            handshake_time: Duration::from_secs(10),
            streams: 128,
            receive_buffer: 64 << 10,
            send_buffer: 512 << 10,
            idle: Duration::from_secs(30),
        }
    }
}

/// All that a [`Transport`](crate::Transport) is made of.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Who we are; Noise shows it.
    pub identity: Keypair,
    /// What DTLS shows; the address names its hash.
    pub certificate: Certificate,
    /// The limits.
    pub limits: Limits,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { identity, certificate, limits } = self;
        f.debug_struct("Config")
            .field("identity", &identity.public())
            .field("certificate", certificate)
            .field("limits", limits)
            .finish()
    }
}

impl Config {
    /// The defaults, with a certificate derived from the identity.
    ///
    /// # Errors
    /// If nothing can be derived from it, as from an RSA key: then use
    /// [`with_certificate`](Self::with_certificate).
    pub fn new(identity: &Keypair) -> Result<Self, CertificateError> {
        Ok(Self::with_certificate(identity, Certificate::of_identity(identity)?))
    }

    /// The defaults, with this certificate.
    pub fn with_certificate(identity: &Keypair, certificate: Certificate) -> Self {
        Self { identity: identity.clone(), certificate, limits: Limits::default() }
    }
}
