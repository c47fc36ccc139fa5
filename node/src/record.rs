//! What we say of ourselves: enode URL and node record.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use causeway_records::{Contents, Enode, Record};
use causeway_transports::Transports;
use secp256k1::SecretKey;

/// Our node record as text. Addresses go in as far as they are bound to one; which ones the world sees is
/// for discovery to find out.
///
/// # Errors
/// If it cannot be signed.
pub(crate) fn build(secret_key: &SecretKey, transports: &Transports) -> anyhow::Result<String> {
    let mut contents = Contents { seq: 1, ..Contents::default() };
    if let Some(addr) = transports.devp2p_addr() {
        match addr.ip() {
            IpAddr::V4(ip) if !ip.is_unspecified() => contents.ip = Some(ip),
            IpAddr::V6(ip) if !ip.is_unspecified() => contents.ip6 = Some(ip),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
        contents.tcp = Some(addr.port());
    }
    contents.quic = transports.multiaddrs().iter().find_map(|address| quic_port(address));
    Record::sign(secret_key, &contents).map(|record| record.to_string()).context("signing our node record")
}

/// The port in `/ip4/…/udp/PORT/quic-v1/…`.
fn quic_port(multiaddr: &str) -> Option<u16> {
    let mut parts = multiaddr.split('/').skip(1);
    if parts.next() != Some("ip4") {
        return None;
    }
    let (_, udp, port, quic) = (parts.next(), parts.next()?, parts.next()?, parts.next()?);
    (udp == "udp" && quic == "quic-v1").then(|| port.parse().ok())?
}

/// Our enode URL; with the loopback address where we listen on all.
pub(crate) fn enode(transports: &Transports) -> String {
    let addr = transports.devp2p_addr().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let ip = match addr.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    };
    Enode::new(transports.node_key(), SocketAddr::new(ip, addr.port())).to_string()
}
