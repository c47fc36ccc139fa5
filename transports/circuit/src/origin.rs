//! Where a peer comes from, as far as limits are concerned.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p_core::{Multiaddr, multiaddr::Protocol};

/// What one party is likely to have to itself: an IPv4 address, or an IPv6 /64 within a /48.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    V4(Ipv4Addr),
    /// The /64 as its upper half.
    V6(u64),
    /// An address without IP. All of these together count as one.
    Other,
}

/// A /48, which sites are given as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Site(u64);

impl Origin {
    pub(crate) fn of(ip: Option<IpAddr>) -> Self {
        match ip {
            Some(IpAddr::V4(ip)) => Self::V4(ip),
            Some(IpAddr::V6(ip)) => Self::of_v6(ip),
            None => Self::Other,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        match ip.to_ipv4_mapped() {
            Some(ip) => Self::V4(ip),
            None => Self::V6((ip.to_bits() >> 64) as u64),
        }
    }

    pub(crate) fn site(self) -> Option<Site> {
        match self {
            Self::V6(upper) => Some(Site(upper >> 16)),
            Self::V4(_) | Self::Other => None,
        }
    }
}

/// The IP address a connection comes from; it stands first.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Whether a connection comes through a relay.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::of(ip(&address.parse().expect("an address")))
    }

    #[test]
    fn neighbours_in_a_64_are_one_origin_and_in_a_48_one_site() {
        let [a, b, c, d] = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::", "2001:db8:1:3::1", "2001:db8:2::1"]
            .map(|ip| origin(&format!("/ip6/{ip}/tcp/1")));

        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_eq!(a.site(), c.site());
        assert_ne!(a.site(), d.site());
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        assert_eq!(origin("/ip6/::ffff:192.0.2.1/udp/1/quic-v1"), origin("/ip4/192.0.2.1/tcp/9"));
        assert_eq!(origin("/ip4/192.0.2.1/tcp/9").site(), None);
    }

    #[test]
    fn what_has_no_ip_is_one_origin() {
        assert_eq!(origin("/memory/1"), origin("/dns4/example.org/tcp/1"));
    }
}
