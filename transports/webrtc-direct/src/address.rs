//! Addresses: `/ip4|ip6/.../udp/.../webrtc-direct`, with the hash of the certificate when announced.

use std::net::{IpAddr, SocketAddr};

use libp2p_core::multiaddr::{Multiaddr, Protocol};

use crate::certificate::Certhash;

/// What an address is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It can be listened on.
    Listen(SocketAddr),
    /// It names a hash, as announced ones do: it can only be dialled.
    Dial,
    /// It belongs to another transport.
    Other,
}

pub(crate) fn kind(address: &Multiaddr) -> Kind {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => Some(IpAddr::V4(ip)),
        Some(Protocol::Ip6(ip)) => Some(IpAddr::V6(ip)),
        Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)) => None,
        _ => return Kind::Other,
    };
    let Some(Protocol::Udp(port)) = parts.next() else { return Kind::Other };
    if parts.next() != Some(Protocol::WebRTCDirect) {
        return Kind::Other;
    }
    let mut plain = true;
    for part in parts {
        match part {
            Protocol::Certhash(_) | Protocol::P2p(_) => plain = false,
            _ => return Kind::Other, // a circuit through a relay that is reached this way
        }
    }
    match ip {
        Some(ip) if plain => Kind::Listen(SocketAddr::new(ip, port)),
        _ => Kind::Dial,
    }
}

pub(crate) fn without_hash(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Udp(socket.port())).with(Protocol::WebRTCDirect)
}

/// An address without a hash, as peers observe ours, with it; `None` if it is no such address.
///
/// A `/p2p` at its end stays there.
pub(crate) fn complete(address: &Multiaddr, hash: Certhash) -> Option<Multiaddr> {
    let mut base = address.clone();
    let peer = match base.iter().last() {
        Some(Protocol::P2p(peer)) => {
            base.pop();
            Some(peer)
        }
        _ => None,
    };
    let ends = base.iter().last() == Some(Protocol::WebRTCDirect);
    let full = ends.then(|| base.with(Protocol::Certhash(hash)))?;
    Some(match peer {
        Some(peer) => full.with(Protocol::P2p(peer)),
        None => full,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Certificate;

    fn of(text: &str) -> Kind {
        kind(&text.parse().expect("an address"))
    }

    #[test]
    fn addresses_are_told_apart() {
        assert_eq!(
            of("/ip4/127.0.0.1/udp/9/webrtc-direct"),
            Kind::Listen("127.0.0.1:9".parse().expect("a socket address"))
        );
        assert_eq!(
            of("/ip6/::/udp/0/webrtc-direct"),
            Kind::Listen("[::]:0".parse().expect("a socket address"))
        );
        assert_eq!(of("/dns4/example.org/udp/9/webrtc-direct"), Kind::Dial);
        for other in [
            "/ip4/1.2.3.4/udp/9/quic-v1",
            "/ip4/1.2.3.4/udp/9/quic-v1/webtransport",
            "/ip4/1.2.3.4/udp/9/webrtc",
            "/ip4/1.2.3.4/tcp/9/webrtc-direct",
            "/ip4/1.2.3.4/udp/9/webrtc-direct/p2p-circuit",
        ] {
            assert_eq!(of(other), Kind::Other, "{other}");
        }
    }

    #[test]
    fn observed_addresses_get_our_hash_before_the_peer() {
        let hash = Certificate::from_secret([1; 32]).expect("a certificate").hash();
        let peer = libp2p_identity::Keypair::generate_ed25519().public().to_peer_id();
        let observed: Multiaddr = "/ip4/1.2.3.4/udp/9/webrtc-direct".parse().expect("an address");

        let full = complete(&observed.clone().with(Protocol::P2p(peer)), hash).expect("completed");

        assert_eq!(full, observed.with(Protocol::Certhash(hash)).with(Protocol::P2p(peer)));
        assert_eq!(kind(&full), Kind::Dial);
        assert_eq!(complete(&full, hash), None);
        assert_eq!(complete(&"/ip4/1.2.3.4/udp/9/quic-v1".parse().expect("an address"), hash), None);
    }
}
