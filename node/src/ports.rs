//! Where each listener binds, from the flags.

use std::net::{IpAddr, SocketAddr};

use anyhow::bail;
use causeway_reachability::{Place, Transport};
use causeway_transports::{CertificateFiles, DialGuard, Limits, Lists, SecureWebSocket, TransportsConfig};
use causeway_wire::les::Version;
use secp256k1::SecretKey;

use crate::{app::client_id, cli::ListenArgs};

/// WebSocket over TLS unless --port.wss says otherwise.
const WSS_PORT: u16 = 30316;

/// Where each listener binds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    addr: IpAddr,
    devp2p: u16,
    libp2p: u16,
    ws: u16,
    webtransport: u16,
    webrtc: u16,
    http: SocketAddr,
}

impl Ports {
    /// From the flags; `default_addr` where `--addr` is not given.
    pub(crate) fn new(args: &ListenArgs, default_addr: IpAddr) -> Self {
        let port = |own: Option<u16>, default: u16| own.or(args.ports).unwrap_or(default);
        Self {
            addr: args.addr.unwrap_or(default_addr),
            devp2p: port(args.port_devp2p, 30313),
            libp2p: port(args.port_libp2p, 30314),
            ws: port(args.port_ws, 30315),
            webtransport: port(args.port_webtransport, 30315),
            webrtc: port(args.port_webrtc, 30316),
            http: SocketAddr::new(args.http_addr, port(args.port_http, 8688)),
        }
    }

    /// The address that listeners bind.
    pub(crate) fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Where status and health listen.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// What listens where, without the secure WebSocket.
    pub(crate) fn listeners(&self) -> [Place; 7] {
        let at = |transport, port| Place { transport, addr: SocketAddr::new(self.addr, port) };
        [
            at(Transport::Devp2p, self.devp2p),
            at(Transport::Discovery, self.devp2p),
            at(Transport::Tcp, self.libp2p),
            at(Transport::Quic, self.libp2p),
            at(Transport::Ws, self.ws),
            at(Transport::WebTransport, self.webtransport),
            at(Transport::WebRtcDirect, self.webrtc),
        ]
    }

    /// The port of devp2p that was asked for.
    pub(crate) fn devp2p(&self) -> u16 {
        self.devp2p
    }
}

/// WebSocket over TLS, if there is a certificate for it.
///
/// # Errors
/// If only a part of what it needs was given.
pub(crate) fn secure_websocket(
    args: &ListenArgs,
    default_addr: IpAddr,
) -> anyhow::Result<Option<SecureWebSocket>> {
    match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Ok(Some(SecureWebSocket {
            addr: SocketAddr::new(
                args.addr.unwrap_or(default_addr),
                args.port_wss.or(args.ports).unwrap_or(WSS_PORT),
            ),
            certificate: CertificateFiles { cert: cert.clone(), key: key.clone() },
            names: args.tls_names.clone(),
        })),
        (Some(_), None) => bail!("--tls.cert needs --tls.key: the certificate's private key, as a PEM file"),
        (None, Some(_)) => bail!("--tls.key needs --tls.cert: the certificate of this key, as a PEM file"),
        (None, None) if args.port_wss.is_some() || !args.tls_names.is_empty() => bail!(
            "--port.wss and --tls.name are for WebSocket over TLS: name a certificate with --tls.cert and its key \
             with --tls.key, too"
        ),
        (None, None) => Ok(None),
    }
}

/// The transports of a node with these ports.
pub(crate) fn transports_config(secret_key: SecretKey, ports: Option<Ports>) -> TransportsConfig {
    let at = |port: fn(&Ports) -> u16| ports.map(|ports| SocketAddr::new(ports.addr, port(&ports)));
    TransportsConfig {
        secret_key,
        client_id: client_id(),
        capabilities: Version::ALL.into_iter().map(Version::capability).collect(),
        devp2p: at(|ports| ports.devp2p),
        libp2p_tcp: at(|ports| ports.libp2p),
        libp2p_quic: at(|ports| ports.libp2p),
        websocket: at(|ports| ports.ws),
        secure_websocket: None,
        webtransport: at(|ports| ports.webtransport),
        webrtc_direct: at(|ports| ports.webrtc),
        trusted_roots: Vec::new(),
        limits: Limits::default(),
        lists: Lists::default(),
        external_addresses: Vec::new(),
        dial_guard: DialGuard::Any,
        rendezvous_server: None,
        reach: causeway_transports::ReachConfig::default(),
    }
}
