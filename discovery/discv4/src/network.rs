//! Whose an address is: one host's, one site's; and whom another node may name to us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_records::{Reach, is_allowed};

/// Bits that the addresses of one site share: geth's /24, and a /48 of IPv6, more than the /56 of
/// [`causeway_records::Network`]: whoever rents a server often has one, and a table must not be theirs.
const SUBNET: (u32, u32) = (24, 48);
/// Bits that the addresses of one machine share: it has a whole /64 of IPv6 to itself.
const HOST: (u32, u32) = (32, 64);

/// The network that stands for `ip`'s site.
pub(crate) fn subnet(ip: IpAddr) -> IpAddr {
    masked(ip, SUBNET)
}

/// The address that stands for `ip`'s machine.
pub(crate) fn host(ip: IpAddr) -> IpAddr {
    masked(ip, HOST)
}

/// The last address that [`host`] maps to the same.
pub(crate) fn host_end(ip: IpAddr) -> IpAddr {
    match host(ip) {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() | u128::from(u64::MAX)).into(),
    }
}

/// Whether `ip` is one of the public internet: on others, many nodes at one address are nothing suspicious.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    is_allowed(ip, Reach::Public)
}

/// Whether a node at `sender` may name `ip` to us: nobody outside may send us to machines of our own network
/// (geth, `netutil.CheckRelayIP`).
pub(crate) fn may_relay(sender: IpAddr, ip: IpAddr, reach: Reach) -> bool {
    let (sender, ip) = (sender.to_canonical(), ip.to_canonical());
    is_allowed(ip, reach)
        && !is_special(ip)
        && (!ip.is_loopback() || sender.is_loopback())
        && (!is_local(ip) || is_local(sender))
}

/// Addresses of our own machine and network (geth, `netutil.AddrIsLAN`).
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Neither local nor public: documentation, benchmarks, tunnels.
fn is_special(ip: IpAddr) -> bool {
    !is_local(ip) && !is_public(ip)
}

fn masked(ip: IpAddr, (bits4, bits6): (u32, u32)) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            Ipv4Addr::from_bits(ip.to_bits() & !(u32::MAX.checked_shr(bits4).unwrap_or(0))).into()
        }
        IpAddr::V6(ip) => {
            Ipv6Addr::from_bits(ip.to_bits() & !(u128::MAX.checked_shr(bits6).unwrap_or(0))).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn sites_and_machines_are_told_apart() {
        assert_eq!(subnet(ip("9.8.7.6")), ip("9.8.7.0"));
        assert_eq!(subnet(ip("::ffff:9.8.7.6")), ip("9.8.7.0"));
        assert_eq!(host(ip("9.8.7.6")), ip("9.8.7.6"));
        assert_eq!(host_end(ip("9.8.7.6")), ip("9.8.7.6"));
        assert_eq!(subnet(ip("2a01:4f8:1:2::3")), ip("2a01:4f8:1::"));
        assert_eq!(host(ip("2a01:4f8:1:2::3")), ip("2a01:4f8:1:2::"));
        assert_eq!(host_end(ip("2a01:4f8:1:2::3")), ip("2a01:4f8:1:2:ffff:ffff:ffff:ffff"));
    }

    /// The rows of geth's `TestCheckRelayIP` (v1.13.5) that are about IPv4 and IPv6.
    #[test]
    fn relayed_addresses_are_judged_as_geth_does() {
        for (sender, addr, allowed) in [
            ("127.0.0.1", "0.0.0.0", false),
            ("192.168.0.1", "0.0.0.0", false),
            ("23.55.1.242", "0.0.0.0", false),
            ("127.0.0.1", "255.255.255.255", false),
            ("23.55.1.242", "255.255.255.255", false),
            ("192.168.0.1", "127.0.2.19", false),
            ("23.55.1.242", "192.168.0.1", false),
            ("127.0.0.1", "127.0.2.19", true),
            ("127.0.0.1", "192.168.0.1", true),
            ("127.0.0.1", "23.55.1.242", true),
            ("192.168.0.1", "192.168.0.1", true),
            ("192.168.0.1", "23.55.1.242", true),
            ("23.55.1.242", "23.55.1.242", true),
            ("23.55.1.242", "198.51.100.7", false),
            ("23.55.1.242", "fd00::1", false),
            ("fd00::2", "fd00::1", true),
        ] {
            assert_eq!(may_relay(ip(sender), ip(addr), Reach::Local), allowed, "{addr} by {sender}");
        }
    }

    #[test]
    fn a_public_node_is_told_of_public_addresses_only() {
        assert!(!may_relay(ip("192.168.0.1"), ip("192.168.0.2"), Reach::Public));
        assert!(may_relay(ip("192.168.0.1"), ip("23.55.1.242"), Reach::Public));
    }
}
