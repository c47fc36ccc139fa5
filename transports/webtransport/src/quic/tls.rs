//! TLS for quinn's server that announces RESET_STREAM_AT and hides its frames from quinn.
//!
//! Draft 15 of WebTransport, as go-libp2p v0.51 speaks it, refuses a server whose transport parameters lack
//! the extension. quinn takes the cryptography of a connection through traits, which suffice for both halves:
//! the parameter is appended to the bytes that go into TLS, and frames are changed right after decryption.

use std::{any::Any, io::Cursor, sync::Arc};

use bytes::BytesMut;
use quinn_proto::{
    ConnectionId, Side, TransportError, TransportErrorCode,
    crypto::{
        self, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey,
        UnsupportedVersion,
        rustls::{HandshakeData, NoInitialCipherSuite, QuicServerConfig},
    },
    transport_parameters::TransportParameters,
};
use rustls::quic::{Connection, KeyChange, Secrets, ServerConnection, Suite, Version};

use super::rewrite;

/// `reset_stream_at`, empty, under its final identifier 0x1d and that of the drafts, 0x17f7586d2cb571.
const RESET_STREAM_AT: [u8; 11] = [0x1d, 0, 0xc0, 0x17, 0xf7, 0x58, 0x6d, 0x2c, 0xb5, 0x71, 0];

/// The version of QUIC that is served.
const V1: u32 = 1;

/// The cryptography of all connections of a listener.
pub(crate) struct ServerCrypto {
    tls: Arc<rustls::ServerConfig>,
    plain: QuicServerConfig,
    suite: Suite,
}

impl ServerCrypto {
    /// For a configuration of TLS 1.3 whose provider has the suite of QUIC's first packets.
    pub(crate) fn new(tls: rustls::ServerConfig) -> Result<Self, NoInitialCipherSuite> {
        let tls = Arc::new(tls);
        let plain = QuicServerConfig::try_from(Arc::clone(&tls))?;
        let suite = tls
            .crypto_provider()
            .cipher_suites
            .iter()
            .filter(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256)
            .find_map(|suite| suite.tls13()?.quic_suite())
            .expect("quinn has just found the same suite");
        Ok(Self { tls, plain, suite })
    }
}

impl crypto::ServerConfig for ServerCrypto {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        if version != V1 {
            return Err(UnsupportedVersion);
        }
        self.plain.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.plain.retry_tag(version, id, packet)
    }

    fn start_session(self: Arc<Self>, _: u32, parameters: &TransportParameters) -> Box<dyn crypto::Session> {
        let mut bytes = Vec::new();
        parameters.write(&mut bytes);
        bytes.extend_from_slice(&RESET_STREAM_AT);
        let connection = ServerConnection::new(Arc::clone(&self.tls), Version::V1, bytes)
            .expect("the configuration has TLS 1.3 and QUIC's suites, as `new` has seen");
        Box::new(Session {
            connection: Connection::Server(connection),
            suite: self.suite,
            next: None,
            announced: false,
        })
    }
}

/// TLS of one connection, server's side.
struct Session {
    connection: Connection,
    suite: Suite,
    /// Secrets of the keys after the present ones.
    next: Option<Secrets>,
    /// Whether quinn was told that there is handshake data.
    announced: bool,
}

impl crypto::Session for Session {
    fn initial_keys(&self, id: &ConnectionId, _: Side) -> Keys {
        keys(self.suite.keys(id, rustls::Side::Server, Version::V1))
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.announced.then(|| -> Box<dyn Any> {
            Box::new(HandshakeData {
                protocol: self.connection.alpn_protocol().map(Into::into),
                server_name: match &self.connection {
                    Connection::Server(server) => server.server_name().map(Into::into),
                    Connection::Client(_) => None,
                },
            })
        })
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None // clients have no certificate; Noise tells who they are
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None // no tickets are given out, so nothing can come early
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        if let Err(error) = self.connection.read_hs(bytes) {
            let code = match self.connection.alert() {
                Some(alert) => TransportErrorCode::crypto(alert.into()),
                None => TransportErrorCode::PROTOCOL_VIOLATION,
            };
            return Err(TransportError { code, frame: None, reason: error.to_string() });
        }
        let known = self.connection.alpn_protocol().is_some() || !self.connection.is_handshaking();
        let first = known && !self.announced;
        self.announced |= known;
        Ok(first)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(bytes) = self.connection.quic_transport_parameters() else { return Ok(None) };
        Ok(Some(TransportParameters::read(Side::Server, &mut Cursor::new(bytes))?))
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        match self.connection.write_hs(out)? {
            KeyChange::Handshake { keys: handshake } => Some(keys(handshake)),
            KeyChange::OneRtt { keys: data, next } => {
                self.next = Some(next);
                let mut data = keys(data);
                data.packet.remote = Box::new(Rewriting(data.packet.remote));
                Some(data)
            }
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let keys = self.next.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(keys.local), remote: Box::new(Rewriting(Box::new(keys.remote))) })
    }

    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false // only clients receive Retry
    }

    fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        match self.connection.export_keying_material(out, label, Some(context)) {
            Ok(_) => Ok(()),
            Err(_) => Err(ExportKeyingMaterialError),
        }
    }
}

fn keys(keys: rustls::quic::Keys) -> Keys {
    Keys {
        header: KeyPair { local: Box::new(keys.local.header), remote: Box::new(keys.remote.header) },
        packet: KeyPair { local: Box::new(keys.local.packet), remote: Box::new(keys.remote.packet) },
    }
}

/// The key for what the peer sends once the handshake is over.
struct Rewriting(Box<dyn PacketKey>);

impl PacketKey for Rewriting {
    fn encrypt(&self, packet: u64, bytes: &mut [u8], header_len: usize) {
        self.0.encrypt(packet, bytes, header_len);
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        self.0.decrypt(packet, header, payload)?;
        rewrite(payload);
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.0.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.0.integrity_limit()
    }
}
