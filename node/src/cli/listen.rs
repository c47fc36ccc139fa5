//! The arguments that say where to listen.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

/// Where to listen.
#[derive(Clone, Debug, Args)]
pub(crate) struct ListenArgs {
    /// Address that every listener binds.
    #[arg(long, value_name = "IP", env = "CAUSEWAY_ADDR")]
    pub(crate) addr: Option<IpAddr>,
    /// Sets every port; only 0 (a free port for each) makes sense.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=0))]
    pub(crate) ports: Option<u16>,
    /// Port of devp2p (TCP); 30313 unless said otherwise.
    #[arg(long = "port.devp2p", value_name = "N", env = "CAUSEWAY_PORT__DEVP2P")]
    pub(crate) port_devp2p: Option<u16>,
    /// Port of libp2p (QUIC on UDP, TCP); 30314 unless said otherwise.
    #[arg(long = "port.libp2p", value_name = "N", env = "CAUSEWAY_PORT__LIBP2P")]
    pub(crate) port_libp2p: Option<u16>,
    /// Port of WebSocket (TCP); 30315 unless said otherwise.
    #[arg(long = "port.ws", value_name = "N", env = "CAUSEWAY_PORT__WS")]
    pub(crate) port_ws: Option<u16>,
    /// Port of WebSocket over TLS (TCP), which browsers dial from every page; 30316 unless said otherwise. Needs
    /// --tls.cert and --tls.key.
    #[arg(long = "port.wss", value_name = "N", env = "CAUSEWAY_PORT__WSS")]
    pub(crate) port_wss: Option<u16>,
    /// Certificate for WebSocket over TLS, with its chain, as a PEM file (fullchain.pem); read again when it
    /// changes.
    #[arg(long = "tls.cert", value_name = "FILE", env = "CAUSEWAY_TLS__CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key, as a PEM file (privkey.pem).
    #[arg(long = "tls.key", value_name = "FILE", env = "CAUSEWAY_TLS__KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// DNS name under which WebSocket over TLS is reached, NAME:PORT where the port is another outside; repeat the
    /// flag or separate with commas. Those of the certificate unless given.
    #[arg(long = "tls.name", value_name = "NAME[:PORT]", value_delimiter = ',', env = "CAUSEWAY_TLS__NAME")]
    pub(crate) tls_names: Vec<String>,
    /// Port of WebTransport (UDP), which browsers dial from every page without a certificate that anybody knows;
    /// 30315 unless said otherwise.
    #[arg(long = "port.webtransport", value_name = "N", env = "CAUSEWAY_PORT__WEBTRANSPORT")]
    pub(crate) port_webtransport: Option<u16>,
    /// Port of WebRTC-direct (UDP), for browsers without WebTransport; 30316 unless said otherwise.
    #[arg(long = "port.webrtc", value_name = "N", env = "CAUSEWAY_PORT__WEBRTC")]
    pub(crate) port_webrtc: Option<u16>,
    /// Port of status and health, always on 127.0.0.1 unless --http.addr says otherwise; 8688.
    #[arg(long = "port.http", value_name = "N", env = "CAUSEWAY_PORT__HTTP")]
    pub(crate) port_http: Option<u16>,
    /// Address of status and health.
    #[arg(long = "http.addr", value_name = "IP", default_value = "127.0.0.1", env = "CAUSEWAY_HTTP__ADDR")]
    pub(crate) http_addr: IpAddr,
    /// Do not look for peers; use only those named here.
    #[arg(long, env = "CAUSEWAY_NO_DISCOVERY")]
    pub(crate) no_discovery: bool,
    /// File with the node key, 64 hex characters as geth writes it; made if it is not there.
    #[arg(long, value_name = "FILE", env = "CAUSEWAY_NODEKEY")]
    pub(crate) nodekey: Option<PathBuf>,
}
