//! Which IP addresses lead into the internet, and which ones belong to one network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses are tested and dialed. What no host has for its own is never dialed: multicast, the unspecified
/// address, link-local addresses, and IPv6 addresses with an IPv4 address inside (mapped, 6to4, Teredo, NAT64,
/// ISATAP).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Only what the internet can reach.
    #[default]
    Global,
    /// Also private networks: RFC 1918, 100.64.0.0/10, fc00::/7, and those for documentation and benchmarks. For
    /// laboratories: a server then dials into the networks around it.
    Private,
    /// Also the loopback. For tests on one machine.
    Loopback,
}

impl Scope {
    /// Whether `ip` may be dialed.
    pub fn allows(self, ip: IpAddr) -> bool {
        narrowest(ip).is_some_and(|narrowest| narrowest <= self)
    }
}

/// The narrowest scope that `ip` is in; `None` if it is never dialed.
fn narrowest(ip: IpAddr) -> Option<Scope> {
    match ip {
        IpAddr::V4(ip) => narrowest_v4(ip),
        IpAddr::V6(ip) => narrowest_v6(ip),
    }
}

fn narrowest_v4(ip: Ipv4Addr) -> Option<Scope> {
    match ip.octets() {
        [0 | 224..=255, ..] => None, // "this network", multicast, reserved, broadcast
        [169, 254, ..] => None,      // link-local; clouds serve secrets there
        [192, 0, 0, _] | [192, 88, 99, _] => None, // protocol assignments, 6to4 relays
        [127, ..] => Some(Scope::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Some(Scope::Private),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some(Scope::Private), // documentation
        [198, 18 | 19, ..] => Some(Scope::Private),                                    // benchmarks
        _ => Some(Scope::Global),
    }
}

fn narrowest_v6(ip: Ipv6Addr) -> Option<Scope> {
    if ip.is_loopback() {
        return Some(Scope::Loopback);
    }
    match ip.segments() {
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => None, // ISATAP
        [0xfc00..=0xfdff, ..] => Some(Scope::Private),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Some(Scope::Private), // documentation
        [0x2001, 2, 0, ..] => Some(Scope::Private),                             // benchmarks
        [0x2001, 0..=0x1ff, ..] => None,                                        // Teredo, ORCHID and others
        [0x2002, ..] => None,                                                   // 6to4
        [0x2000..=0x3fff, ..] => Some(Scope::Global),
        _ => None, // not given out: mapped, NAT64, link-local, site-local, multicast among it
    }
}

/// The networks that an address is in, as far as its owner likely has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Networks {
    /// A /24.
    V4(u32),
    /// A /64; the /48 around it is a part of it.
    V6(u64),
}

impl Networks {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits() >> 8),
            IpAddr::V6(ip) => Self::V6((ip.to_bits() >> 64) as u64),
        }
    }

    /// Whether both are in one IPv6 /48, or in one IPv4 /24.
    pub(crate) fn is_near(self, other: Self) -> bool {
        match (self, other) {
            (Self::V6(one), Self::V6(other)) => one >> 16 == other >> 16,
            _ => self == other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an IP address")
    }

    #[test]
    fn what_the_internet_reaches_is_allowed_everywhere() {
        for global in ["1.1.1.1", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "2606:4700::1"] {
            assert!(Scope::Global.allows(ip(global)), "{global}");
        }
    }

    #[test]
    fn private_networks_are_for_laboratories() {
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "198.18.0.1",
            "198.19.255.255",
            "fc00::1",
            "fd12::1",
            "2001:db8::1",
            "3fff::1",
            "2001:2::1",
        ] {
            assert!(!Scope::Global.allows(ip(private)), "{private}");
            assert!(Scope::Private.allows(ip(private)), "{private}");
        }
    }

    #[test]
    fn the_loopback_is_for_tests() {
        for loopback in ["127.0.0.1", "127.255.0.1", "::1"] {
            assert!(!Scope::Private.allows(ip(loopback)), "{loopback}");
            assert!(Scope::Loopback.allows(ip(loopback)), "{loopback}");
        }
    }

    #[test]
    fn what_no_host_has_is_never_allowed() {
        for never in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "192.0.0.1",
            "192.88.99.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::10.0.0.1",
            "2002:a00:1::",
            "2002:7f00:1::1",
            "2001:0:4136:e378:8000:63bf:f5ff:fffe",
            "2001:10::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "4000::1",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:10.0.0.1",
        ] {
            assert!(!Scope::Loopback.allows(ip(never)), "{never}");
        }
    }

    #[test]
    fn networks_are_24_48_and_64_bits_wide() {
        let networks = |text| Networks::of(ip(text));

        assert_eq!(networks("1.2.3.4"), networks("1.2.3.255"));
        assert_ne!(networks("1.2.3.4"), networks("1.2.4.4"));
        assert_eq!(networks("::ffff:1.2.3.4"), networks("1.2.3.4"));
        assert_eq!(networks("2606:0:0:1::1"), networks("2606:0:0:1:ffff::1"));
        assert_ne!(networks("2606:0:0:1::1"), networks("2606:0:0:2::1"));
        assert!(networks("2606:0:0:1::1").is_near(networks("2606:0:0:2::1")));
        assert!(!networks("2606:0:0:1::1").is_near(networks("2606:0:1:1::1")));
    }
}
