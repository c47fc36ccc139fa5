//! Half-open handshakes over UDP: first packets of QUIC from many sockets, and connections that never become
//! WebTransport sessions.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use futures::future::join_all;
use quinn_proto::crypto::rustls::QuicClientConfig;
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    net::UdpSocket,
    sync::Semaphore,
    time::{Instant, sleep_until, timeout_at},
};

use super::{CROWD, LENGTH};

/// Between two first packets of one socket.
const AGAIN: Duration = Duration::from_secs(2);

/// Connections that dial at once; with more, packets are lost before anybody has seen them.
const DIALING: usize = 32;

/// Sockets that dial; a socket carries many connections.
const ENDPOINTS: usize = 4;

/// First packets from a thousand sockets, each of another connection, and no further word.
pub(super) async fn first_packets(addr: SocketAddr, protocol: &'static [u8]) -> anyhow::Result<String> {
    let config = client_config(protocol)?;
    let mut sockets = Vec::new();
    for _ in 0..CROWD {
        sockets.push(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    }
    let (mut packets, end) = (0, Instant::now() + LENGTH);
    let mut answers = vec![0; 2048];
    let mut answered = 0;
    while Instant::now() < end {
        let next = Instant::now() + AGAIN;
        for socket in &sockets {
            socket.send_to(&first_packet(config.clone(), addr)?, addr).await?;
            packets += 1;
            if packets % DIALING == 0 {
                tokio::task::yield_now().await;
            }
        }
        for socket in &sockets {
            while socket.try_recv(&mut answers).is_ok() {
                answered += 1;
            }
        }
        sleep_until(next.min(end)).await;
    }
    Ok(format!("{packets} first packets from {CROWD} sockets, {answered} packets back"))
}

/// The first datagram of a new connection.
fn first_packet(config: quinn::ClientConfig, addr: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let mut endpoint = quinn_proto::Endpoint::new(Arc::default(), None, true, None);
    let now = std::time::Instant::now();
    let (_, mut connection) = endpoint.connect(now, config, addr, "localhost")?;
    let mut packet = Vec::new();
    let transmit = connection.poll_transmit(now, 1, &mut packet).context("a first packet")?;
    packet.truncate(transmit.size);
    Ok(packet)
}

/// A thousand connections that end their QUIC handshake and ask for nothing; who is sent away comes again.
pub(super) async fn without_settings(addr: SocketAddr) -> anyhow::Result<String> {
    let config = client_config(b"h3")?;
    let mut endpoints = Vec::new();
    for _ in 0..ENDPOINTS {
        let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        endpoint.set_default_client_config(config.clone());
        endpoints.push(endpoint);
    }
    let (slots, end) = (Semaphore::new(DIALING), Instant::now() + LENGTH);
    let (connected, refused, ended) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let one = async |endpoint: &quinn::Endpoint| {
        while Instant::now() < end {
            let Ok(Ok(slot)) = timeout_at(end, slots.acquire()).await else { return };
            let Ok(connecting) = endpoint.connect(addr, "localhost") else { return };
            match timeout_at(end, connecting).await {
                Ok(Ok(connection)) => {
                    connected.fetch_add(1, Ordering::Relaxed);
                    drop(slot);
                    if timeout_at(end, connection.closed()).await.is_ok() {
                        ended.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(Err(_)) => {
                    refused.fetch_add(1, Ordering::Relaxed);
                    drop(slot);
                    sleep_until((Instant::now() + AGAIN).min(end)).await;
                }
                Err(_elapsed) => return,
            }
        }
    };
    join_all((0..CROWD).map(|index| one(&endpoints[index % ENDPOINTS]))).await;
    let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    Ok(format!(
        "{} connections, {} of them ended by the relay, {} refused",
        of(&connected),
        of(&ended),
        of(&refused)
    ))
}

fn client_config(protocol: &[u8]) -> anyhow::Result<quinn::ClientConfig> {
    let mut tls = rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol.to_vec()];
    Ok(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)))
}

/// Takes whoever answers: a stranger who means ill does not care.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}
