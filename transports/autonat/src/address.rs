//! Multiaddrs that are tested: an IP address, a port, a transport, and nothing else in between.

use std::net::IpAddr;

use libp2p_core::{
    Multiaddr,
    multiaddr::Protocol::{
        self, Certhash, Ip4, Ip6, P2p, QuicV1, Tcp, Tls, Udp, WebRTCDirect, WebTransport, Ws, Wss,
    },
};
use libp2p_identity::PeerId;

/// What stands behind the IP address and the port of a multiaddr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// `/tcp/PORT`
    Tcp,
    /// `/udp/PORT/quic-v1`
    Quic,
    /// `/tcp/PORT/ws`
    WebSocket,
    /// `/tcp/PORT/tls/ws` or `/tcp/PORT/wss`
    SecureWebSocket,
    /// `/udp/PORT/quic-v1/webtransport`, with the hashes of its certificates
    WebTransport,
    /// `/udp/PORT/webrtc-direct`, with the hash of its certificate
    WebRtcDirect,
}

impl Transport {
    /// Whether a connection that arrived through `self` can be one that was dialed at an address of `other`. TLS may
    /// end before the listener, so that it sees plain WebSocket.
    pub(crate) fn can_be(self, other: Self) -> bool {
        let plain = |transport| if transport == Self::SecureWebSocket { Self::WebSocket } else { transport };
        plain(self) == plain(other)
    }
}

/// Hashes of certificates in one address: those of today, tomorrow and yesterday, and one to spare.
const MAX_CERTHASHES: usize = 4;

/// Why an address is not tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATarget {
    /// The first part is a name or something else than an IP address.
    #[error("it does not begin with an IP address")]
    NoIp,
    /// What follows the IP address is not one of [`Transport`], written in the usual way: names, circuits, second
    /// addresses among it.
    #[error("what follows the IP address is no known transport")]
    Odd,
    /// Port 0.
    #[error("its port is 0")]
    NoPort,
    /// It ends with the id of another peer.
    #[error("it belongs to another peer")]
    OtherPeer,
    /// The IP address is outside the [`Scope`](crate::Scope).
    #[error("{0} is not dialed")]
    OutOfScope(IpAddr),
    /// The transport is not among those that are configured.
    #[error("this transport or family is not configured")]
    CannotDial,
}

/// An address that can be tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) ip: IpAddr,
    pub(crate) transport: Transport,
    /// Without the peer's id.
    pub(crate) address: Multiaddr,
}

impl Target {
    /// Reads an address of `peer`.
    pub(crate) fn parse(address: &Multiaddr, peer: PeerId) -> Result<Self, NotATarget> {
        let mut address = address.clone();
        if let Some(P2p(owner)) = address.iter().last() {
            if owner != peer {
                return Err(NotATarget::OtherPeer);
            }
            address.pop();
        }
        let ip = ip_of(&address).ok_or(NotATarget::NoIp)?;
        let transport = transport_of(&address)?;
        Ok(Self { ip, transport, address })
    }
}

/// The IP address that `address` begins with.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Ip4(ip) => Some(IpAddr::V4(ip)),
        Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    }
}

/// Whether a connection with this address goes through a relay.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// What stands behind the first part.
pub(crate) fn transport_of(address: &Multiaddr) -> Result<Transport, NotATarget> {
    let mut parts: Vec<_> = address.iter().skip(1).take(4 + MAX_CERTHASHES).collect();
    let hashes = parts.iter().rev().take_while(|part| matches!(part, Certhash(_))).count();
    if hashes > MAX_CERTHASHES {
        return Err(NotATarget::Odd);
    }
    parts.truncate(parts.len() - hashes);
    let (port, transport) = match (parts.as_slice(), hashes) {
        ([Tcp(port)], 0) => (port, Transport::Tcp),
        ([Tcp(port), Ws(path)], 0) if path == "/" => (port, Transport::WebSocket),
        ([Tcp(port), Wss(path)], 0) if path == "/" => (port, Transport::SecureWebSocket),
        ([Tcp(port), Tls, Ws(path)], 0) if path == "/" => (port, Transport::SecureWebSocket),
        ([Udp(port), QuicV1], 0) => (port, Transport::Quic),
        ([Udp(port), QuicV1, WebTransport], _) => (port, Transport::WebTransport),
        ([Udp(port), WebRTCDirect], _) => (port, Transport::WebRtcDirect),
        _ => return Err(NotATarget::Odd),
    };
    if *port == 0 { Err(NotATarget::NoPort) } else { Ok(transport) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g";

    fn parse(address: &str) -> Result<Transport, NotATarget> {
        let peer = "12D3KooWRGrTSAGaVWNUHjkxzcpDVaTQBJxDJ2oWHcMgs8hLQ8Ly".parse().expect("a peer");
        Target::parse(&address.parse().expect("a multiaddr"), peer).map(|target| target.transport)
    }

    #[test]
    fn usual_addresses_are_read() {
        for (address, transport) in [
            ("/ip4/1.2.3.4/tcp/1".to_owned(), Transport::Tcp),
            (
                "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWRGrTSAGaVWNUHjkxzcpDVaTQBJxDJ2oWHcMgs8hLQ8Ly".to_owned(),
                Transport::Tcp,
            ),
            ("/ip6/2606::1/tcp/1/ws".to_owned(), Transport::WebSocket),
            ("/ip4/1.2.3.4/tcp/1/wss".to_owned(), Transport::SecureWebSocket),
            ("/ip4/1.2.3.4/tcp/1/tls/ws".to_owned(), Transport::SecureWebSocket),
            ("/ip4/1.2.3.4/udp/1/quic-v1".to_owned(), Transport::Quic),
            (
                format!("/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/{HASH}/certhash/{HASH}"),
                Transport::WebTransport,
            ),
            (format!("/ip4/1.2.3.4/udp/1/webrtc-direct/certhash/{HASH}"), Transport::WebRtcDirect),
        ] {
            assert_eq!(parse(&address), Ok(transport), "{address}");
        }
    }

    #[test]
    fn odd_addresses_are_refused() {
        let other = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";
        for (address, why) in [
            ("/dns4/localhost/tcp/1".to_owned(), NotATarget::NoIp),
            ("/dnsaddr/example.org".to_owned(), NotATarget::NoIp),
            ("/memory/1".to_owned(), NotATarget::NoIp),
            ("/ip6zone/eth0/ip6/fe80::1/tcp/1".to_owned(), NotATarget::NoIp),
            (String::new(), NotATarget::NoIp),
            ("/ip4/1.2.3.4".to_owned(), NotATarget::Odd),
            ("/ip4/1.2.3.4/ip4/127.0.0.1/tcp/1".to_owned(), NotATarget::Odd),
            ("/ip4/1.2.3.4/tcp/1/ip4/127.0.0.1/tcp/1".to_owned(), NotATarget::Odd),
            ("/ip4/1.2.3.4/tcp/1/dns4/localhost".to_owned(), NotATarget::Odd),
            ("/ip4/1.2.3.4/tcp/1/tls/sni/localhost/ws".to_owned(), NotATarget::Odd),
            ("/ip4/1.2.3.4/udp/1".to_owned(), NotATarget::Odd),
            ("/ip4/1.2.3.4/udp/1/quic".to_owned(), NotATarget::Odd),
            ("/ip4/1.2.3.4/tcp/1/p2p-circuit".to_owned(), NotATarget::Odd),
            (format!("/ip4/1.2.3.4/tcp/1/p2p/{other}/p2p-circuit"), NotATarget::Odd),
            (format!("/ip4/1.2.3.4/tcp/1/p2p/{other}"), NotATarget::OtherPeer),
            (format!("/ip4/1.2.3.4/tcp/1/certhash/{HASH}"), NotATarget::Odd),
            (
                format!("/ip4/1.2.3.4/udp/1/webrtc-direct{}", format!("/certhash/{HASH}").repeat(9)),
                NotATarget::Odd,
            ),
            ("/ip4/1.2.3.4/tcp/0".to_owned(), NotATarget::NoPort),
        ] {
            assert_eq!(parse(&address), Err(why), "{address}");
        }
    }
}
