//! What a user of the transport chooses.

use std::{sync::Arc, time::Duration};

use libp2p_identity::Keypair;

use crate::{
    certificate::{CertificateError, Certificates},
    clock::{Clock, SystemClock},
};

/// What a stranger may take of us. Each listener of a transport shares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections in all, with those whose handshake is under way. Default 2,000.
    pub connections: usize,
    /// Connections of one IPv4 address or one IPv6 network of 64 bits. Default 32.
    pub connections_of_one: usize,
    /// Handshakes under way in all. Default 256.
    pub handshakes: usize,
    /// Handshakes under way of one IPv4 address or one IPv6 network of 64 bits. Default 32.
    pub handshakes_of_one: usize,
    /// From how many handshakes under way on clients have to show, by QUIC's Retry, that they receive at
    /// their address; this costs them a round trip. 0: always. Default 64.
    pub retry_from: usize,
    /// Time for QUIC, CONNECT and Noise together. Default 10 s.
    pub handshake_time: Duration,
    /// Most bytes of the request's header fields, packed and unpacked. Default 8 KiB.
    pub headers: usize,
    /// Streams of the peer open at once; quinn takes room for each from the start. Default 64.
    pub streams: u32,
    /// Bytes of one stream that may wait unread. Default 1 MiB; with the round trip time it bounds the speed.
    pub stream_window: u32,
    /// Bytes of all streams of a connection that may wait unread. Default 4 MiB.
    pub connection_window: u32,
    /// Bytes of a connection that are kept until the peer has confirmed them. Default 4 MiB.
    pub send_window: u64,
    /// How long a connection lives without a packet. Default 30 s.
    pub idle: Duration,
    /// How often a packet is sent that keeps a connection alive, if at all. Default 15 s.
    pub keep_alive: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2_000,
            connections_of_one: 32,
            handshakes: 256,
            handshakes_of_one: 32,
            retry_from: 64,
            handshake_time: Duration::from_secs(10),
            headers: 8 << 10,
            streams: 64,
            stream_window: 1 << 20,
            connection_window: 4 << 20,
            send_window: 4 << 20,
            idle: Duration::from_secs(30),
            keep_alive: Some(Duration::from_secs(15)),
        }
    }
}

/// All that a [`Transport`](crate::Transport) is made of.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Who we are; Noise shows it.
    pub identity: Keypair,
    /// The certificates.
    pub certificates: Certificates,
    /// The clock they are rolled by.
    pub clock: Arc<dyn Clock>,
    /// The limits.
    pub limits: Limits,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { identity, certificates, clock: _, limits } = self;
        f.debug_struct("Config")
            .field("identity", &identity.public())
            .field("certificates", certificates)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// The defaults, with certificates derived from the identity.
    ///
    /// # Errors
    /// If nothing can be derived from it, as from an RSA key: then use
    /// [`with_certificates`](Self::with_certificates).
    pub fn new(identity: &Keypair) -> Result<Self, CertificateError> {
        Ok(Self::with_certificates(identity, Certificates::of_identity(identity)?))
    }

    /// The defaults, with these certificates.
    pub fn with_certificates(identity: &Keypair, certificates: Certificates) -> Self {
        Self {
            identity: identity.clone(),
            certificates,
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
        }
    }
}
