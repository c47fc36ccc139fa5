//! A client of WebTransport, a step at a time.

use std::{
    collections::HashSet,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p_core::{Multiaddr, upgrade::OutboundConnectionUpgrade};
use libp2p_identity::{Keypair, PeerId};
use libp2p_noise as noise;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};
use webtransport::Certhash;

use super::target;

pub(crate) const PATH: &str = "/.well-known/libp2p-webtransport?type=noise";

/// A connection of QUIC, and what was opened on it.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    _endpoint: Endpoint,
    control: Option<SendStream>,
    pub(crate) connect: Option<(SendStream, RecvStream)>,
}

impl Client {
    /// QUIC only; the certificate must be one whose hash the address names.
    pub(crate) async fn dial(address: &Multiaddr) -> Result<Self, quinn::ConnectionError> {
        let local = if target(address).0.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let endpoint = Endpoint::client(local.parse().expect("an address")).expect("a socket");
        let (socket, hashes) = target(address);
        let connecting = endpoint.connect_with(client_config(hashes), socket, "localhost");
        let connection = connecting.expect("valid").await?;
        Ok(Self { connection, _endpoint: endpoint, control: None, connect: None })
    }

    /// Everything up to a session.
    pub(crate) async fn session(address: &Multiaddr, identity: &Keypair) -> Result<(Self, PeerId), String> {
        let mut client = Self::dial(address).await.map_err(|error| error.to_string())?;
        client.send_settings().await;
        client.send_request(&request(PATH)).await;
        let status = client.status().await?;
        if status != [0, 0, 0xd9] {
            return Err(format!("status {status:?}"));
        }
        let (_, hashes) = target(address);
        let config = noise::Config::new(identity)
            .expect("an identity")
            .with_webtransport_certhashes(HashSet::from_iter(hashes));
        let stream = client.open(client.id()).await;
        let (peer, _) = config.upgrade_outbound(stream, "/noise").await.map_err(|error| error.to_string())?;
        Ok((client, peer))
    }

    /// The control stream with settings as go-libp2p v0.51 has them.
    pub(crate) async fn send_settings(&mut self) {
        let mut settings = Vec::new();
        for value in [0x33, 1, 0x2c7c_f000, 1] {
            settings.extend(varint(value));
        }
        let control = self.unidirectional(&[vec![0], frame(4, &settings)].concat()).await;
        self.control = Some(control);
    }

    pub(crate) async fn unidirectional(&self, bytes: &[u8]) -> SendStream {
        let mut stream = self.connection.open_uni().await.expect("a stream");
        stream.write_all(bytes).await.expect("written");
        stream
    }

    /// Some bytes on a stream of CONNECT.
    pub(crate) async fn send_request(&mut self, bytes: &[u8]) {
        let (mut send, recv) = self.connection.open_bi().await.expect("a stream");
        send.write_all(bytes).await.expect("written");
        self.connect = Some((send, recv));
    }

    /// The header block of the answer.
    pub(crate) async fn status(&mut self) -> Result<Vec<u8>, String> {
        let (_, recv) = self.connect.as_mut().expect("a request was sent");
        let mut head = [0; 2];
        recv.read_exact(&mut head).await.map_err(|error| error.to_string())?;
        assert_eq!(head[0], 1, "HEADERS");
        let mut block = vec![0; usize::from(head[1])];
        recv.read_exact(&mut block).await.map_err(|error| error.to_string())?;
        Ok(block)
    }

    /// The payload of the next DATA frame on the stream of CONNECT; `None` at its end.
    pub(crate) async fn data(&mut self) -> Option<Vec<u8>> {
        let (_, recv) = self.connect.as_mut().expect("a request was sent");
        let mut head = [0; 2];
        recv.read_exact(&mut head).await.ok()?;
        assert_eq!(head[0], 0, "DATA");
        let mut payload = vec![0; usize::from(head[1])];
        recv.read_exact(&mut payload).await.expect("whole");
        Some(payload)
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        let (send, _) = self.connect.as_mut().expect("a request was sent");
        send.write_all(bytes).await.expect("written");
    }

    pub(crate) fn id(&self) -> u64 {
        self.connect.as_ref().expect("a request was sent").0.id().into()
    }

    /// A stream of a session.
    pub(crate) async fn open(&self, session: u64) -> Duplex {
        let (mut send, recv) = self.connection.open_bi().await.expect("a stream");
        send.write_all(&[varint(0x41), varint(session)].concat()).await.expect("written");
        Duplex { send, recv }
    }

    /// Whether what is sent comes back.
    pub(crate) async fn echoes(&self, bytes: &[u8]) -> bool {
        let mut stream = self.open(self.id()).await;
        stream.send.write_all(bytes).await.expect("written");
        stream.send.finish().expect("open");
        stream.recv.read_to_end(bytes.len() + 1).await.is_ok_and(|got| got == bytes)
    }

    /// Ends the control stream.
    pub(crate) fn end_control(&mut self) {
        self.control.as_mut().expect("settings were sent").finish().expect("open");
    }

    /// The code that the other side closed the connection with.
    pub(crate) async fn closed(&self) -> u64 {
        match self.connection.closed().await {
            quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into(),
            other => panic!("{other}"),
        }
    }
}

/// TLS that trusts certificates with these hashes.
pub(crate) fn client_config(hashes: Vec<Certhash>) -> quinn::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(ByHash { hashes, provider: Arc::clone(&provider) });
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let quic = quinn_proto::crypto::rustls::QuicClientConfig::try_from(tls).expect("QUIC's suite");
    quinn::ClientConfig::new(Arc::new(quic))
}

pub(crate) struct Duplex {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

impl AsyncRead for Duplex {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        AsyncRead::poll_read(Pin::new(&mut self.recv), cx, buf)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_close(Pin::new(&mut self.send), cx)
    }
}

pub(crate) fn varint(value: u64) -> Vec<u8> {
    match value {
        0..0x40 => vec![value as u8],
        0x40..0x4000 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        0x4000..0x4000_0000 => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
    }
}

pub(crate) fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    [varint(kind), varint(payload.len() as u64), payload.to_vec()].concat()
}

/// A capsule in a DATA frame.
pub(crate) fn capsule(kind: u64, value: &[u8]) -> Vec<u8> {
    frame(0, &frame(kind, value))
}

/// A HEADERS frame that asks for a session at `path`, each name and value spelt out.
pub(crate) fn request(path: &str) -> Vec<u8> {
    let mut block = vec![0, 0];
    for (name, value) in [
        (":method", "CONNECT"),
        (":protocol", "webtransport-h3"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
    ] {
        match u8::try_from(name.len()).expect("short") {
            length @ 0..7 => block.push(0x20 | length),
            length => block.extend([0x27, length - 7]),
        }
        block.extend(name.bytes());
        block.push(u8::try_from(value.len()).expect("short"));
        block.extend(value.bytes());
    }
    frame(1, &block)
}

/// Trusts certificates by their hash, as browsers do.
#[derive(Debug)]
struct ByHash {
    hashes: Vec<Certhash>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByHash {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let digest = Sha256::digest(certificate);
        if self.hashes.iter().any(|hash| hash.digest() == &digest[..]) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("no such hash".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
