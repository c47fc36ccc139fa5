//! Two hosts, one of which listens on the loopback.

#![allow(dead_code, unreachable_pub)] // each test binary uses a part

pub mod certificate;

use std::{net::SocketAddr, time::Duration};

use causeway_host::{Host, HostConfig, Listen, ProtocolStream, install_crypto_provider};
use causeway_wire::{Capability, rlp};
use tokio::{sync::mpsc, time::timeout};

use certificate::Certificate;

pub const LES: [Capability; 3] =
    [Capability::new("les", 4), Capability::new("les", 3), Capability::new("les", 2)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Quic,
    WebSocket,
    SecureWebSocket,
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
        }
    }

    pub fn listen(self) -> Listen {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        match self {
            Self::Tcp => Listen::Tcp(any_port),
            Self::Quic => Listen::Quic(any_port),
            Self::WebSocket => Listen::WebSocket(any_port),
            Self::SecureWebSocket => Listen::SecureWebSocket(any_port),
        }
    }
}

pub struct Pair {
    pub server: Host,
    pub client: Host,
    /// What the server is given.
    pub streams: mpsc::Receiver<ProtocolStream>,
    /// What a secure WebSocket shows, and the client trusts.
    pub certificate: Option<Certificate>,
}

impl Pair {
    pub async fn start(transport: Transport) -> Self {
        Self::with(transport, |_| {}).await
    }

    pub async fn with(transport: Transport, change: impl FnOnce(&mut HostConfig)) -> Self {
        install_crypto_provider();
        let mut config = HostConfig::new([1; 32], LES.to_vec());
        config.listen = vec![transport.listen()];
        let certificate = (transport == Transport::SecureWebSocket).then(Certificate::localhost);
        config.certificate = certificate.as_ref().map(Certificate::files);
        change(&mut config);
        let (server, streams) = Host::start(config).await.expect("server");
        let mut config = HostConfig::new([2; 32], Vec::new());
        config.trusted_roots = certificate.iter().map(Certificate::der).collect();
        let (client, _) = Host::start(config).await.expect("client");
        Self { server, client, streams, certificate }
    }

    pub fn address(&self) -> String {
        self.server.addresses().first().expect("listening").clone()
    }

    pub async fn open(&self) -> ProtocolStream {
        self.client.open(&self.address(), &LES).await.expect("opened")
    }

    pub async fn shutdown(self) {
        self.client.shutdown().await;
        self.server.shutdown().await;
    }
}

/// A host that only dials.
pub async fn client(key: u8) -> Host {
    install_crypto_provider();
    Host::start(HostConfig::new([key; 32], Vec::new())).await.expect("client").0
}

pub async fn next(streams: &mut mpsc::Receiver<ProtocolStream>) -> ProtocolStream {
    timeout(Duration::from_secs(30), streams.recv()).await.expect("a stream in time").expect("a living host")
}

/// An RLP string of `length` bytes.
pub fn string(length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    rlp::put_string(&mut out, &vec![0xaa; length]);
    out
}
