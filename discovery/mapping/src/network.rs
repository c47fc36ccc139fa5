//! Our way out: the router of each family, and the address that we have towards it.

#[cfg(not(target_os = "linux"))]
#[path = "network/elsewhere.rs"]
mod system;
#[cfg(target_os = "linux")]
#[path = "network/linux.rs"]
mod system;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

/// Where PCP and NAT-PMP servers listen.
const CONTROL_PORT: u16 = 5351;
/// Where UPnP devices are searched.
const SEARCH_PORT: u16 = 1900;
const SEARCH_GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// The way out in both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Over IPv4.
    pub ipv4: Option<Path>,
    /// Over IPv6.
    pub ipv6: Option<Path>,
}

/// The way out in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Where the router takes PCP and NAT-PMP.
    pub control: SocketAddr,
    /// Where UPnP routers are searched, in this order: the router itself, then everybody in the network.
    pub search: Vec<SocketAddrV4>,
    /// Our address, to which ports are to lead.
    pub address: IpAddr,
    /// So many bits of it are the network's.
    pub prefix: u8,
}

impl Path {
    /// The usual ports of a router. `scope` is the interface of a link-local address of IPv6, else 0.
    pub fn new(gateway: IpAddr, scope: u32, address: IpAddr, prefix: u8) -> Self {
        let (control, search) = match gateway {
            IpAddr::V4(gateway) => {
                let search = [gateway, SEARCH_GROUP].map(|to| SocketAddrV4::new(to, SEARCH_PORT));
                (SocketAddr::from((gateway, CONTROL_PORT)), search.to_vec())
            }
            IpAddr::V6(gateway) => {
                (std::net::SocketAddrV6::new(gateway, CONTROL_PORT, 0, scope).into(), Vec::new())
            }
        };
        Self { control, search, address, prefix }
    }

    /// The router.
    pub fn gateway(&self) -> IpAddr {
        self.control.ip()
    }

    /// Whether an address is in our network by its number, and none that the whole world shares.
    pub(crate) fn is_neighbour(&self, other: Ipv4Addr) -> bool {
        let IpAddr::V4(address) = self.address else { return false };
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.prefix.into())).unwrap_or(0);
        other.is_private() && self.prefix > 0 && address.to_bits() & mask == other.to_bits() & mask
    }
}

/// Asks the system; what cannot be read is not there.
pub(crate) fn look() -> Network {
    system::look()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_told_by_the_prefix() {
        let path = Path::new([192, 168, 1, 1].into(), 0, [192, 168, 1, 10].into(), 24);
        assert!(path.is_neighbour([192, 168, 1, 77].into()));
        assert!(!path.is_neighbour([192, 168, 2, 1].into()));
        assert!(!path.is_neighbour([8, 8, 8, 8].into()));
        for prefix in [0, 33, 255] {
            let wide = Path { prefix, ..path.clone() };
            assert!(!wide.is_neighbour([8, 8, 8, 8].into()), "{prefix}");
            assert!(!wide.is_neighbour([10, 0, 0, 1].into()), "{prefix}");
        }
    }

    #[test]
    fn the_system_is_asked_without_panic() {
        let _ = look();
    }
}
