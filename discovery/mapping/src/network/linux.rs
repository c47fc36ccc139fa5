//! Routes and addresses as Linux tells them in `/proc/net`.

use std::{
    fs::File,
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};

use super::{CONTROL_PORT, Network, Path};
use crate::is_public;

/// So much of a table is read; home machines have a few lines.
const MAX_TABLE: u64 = 1 << 20;

/// Flags of a route: in use, through a gateway.
const UP: u32 = 1;
const THROUGH_GATEWAY: u32 = 2;

/// Flags of an address of IPv6 that does not last or is not usable.
const TEMPORARY: u32 = 0x01;
const UNUSABLE: u32 = 0x08 | 0x20 | 0x40;

pub(crate) fn look() -> Network {
    Network { ipv4: look_v4(), ipv6: look_v6() }
}

fn look_v4() -> Option<Path> {
    let routes = routes_v4(&read("/proc/net/route"));
    let default = routes.iter().filter(|route| route.is_default()).min_by_key(|route| route.metric)?;
    let address = address_towards(default.gateway)?;
    let on_link = routes.iter().filter(|route| {
        route.interface == default.interface && route.flags & THROUGH_GATEWAY == 0 && route.contains(address)
    });
    let prefix = on_link.map(|route| route.mask.leading_ones()).max().unwrap_or(32);
    Some(Path::new(default.gateway.into(), 0, address.into(), u8::try_from(prefix).ok()?))
}

fn look_v6() -> Option<Path> {
    let routes = routes_v6(&read("/proc/net/ipv6_route"));
    let default = routes.iter().min_by_key(|route| route.metric)?;
    let addresses = addresses_v6(&read("/proc/net/if_inet6"));
    let ours = addresses.iter().filter(|address| {
        address.interface == default.interface
            && address.flags & UNUSABLE == 0
            && is_public(address.address.into())
    });
    // One that lasts, if there is one: others are to reach us there for more than a day.
    let ours = ours.min_by_key(|address| address.flags & TEMPORARY)?;
    Some(Path::new(default.gateway.into(), ours.index, ours.address.into(), ours.prefix))
}

/// Nothing is sent: the system only chooses.
fn address_towards(gateway: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((gateway, CONTROL_PORT)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

fn read(path: &str) -> String {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(MAX_TABLE).read_to_string(&mut text)) {
        Ok(_) => text,
        Err(_) => String::new(), // without IPv6 the file is not there
    }
}

#[derive(Debug, PartialEq, Eq)]
struct RouteV4 {
    interface: String,
    destination: u32,
    gateway: Ipv4Addr,
    flags: u32,
    metric: u32,
    mask: u32,
}

impl RouteV4 {
    fn is_default(&self) -> bool {
        self.destination == 0 && self.mask == 0 && self.flags & (UP | THROUGH_GATEWAY) == UP | THROUGH_GATEWAY
    }

    fn contains(&self, address: Ipv4Addr) -> bool {
        self.mask != 0 && address.to_bits() & self.mask == self.destination
    }
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`; addresses in the machine's own order of octets.
fn routes_v4(table: &str) -> Vec<RouteV4> {
    let address = |word: &str| Some(u32::from_be_bytes(u32::from_str_radix(word, 16).ok()?.to_ne_bytes()));
    let route = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = words[..] else { return None };
        Some(RouteV4 {
            interface: interface.to_owned(),
            destination: address(destination)?,
            gateway: Ipv4Addr::from_bits(address(gateway)?),
            flags: u32::from_str_radix(flags, 16).ok()?,
            metric: metric.parse().ok()?,
            mask: address(mask)?,
        })
    };
    table.lines().filter_map(route).collect()
}

#[derive(Debug, PartialEq, Eq)]
struct DefaultV6 {
    interface: String,
    gateway: Ipv6Addr,
    metric: u32,
}

/// `destination length source length gateway metric references uses flags interface`, all hexadecimal.
fn routes_v6(table: &str) -> Vec<DefaultV6> {
    let route = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [destination, length, _, _, gateway, metric, _, _, flags, interface] = words[..] else {
            return None;
        };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let default = u128::from_str_radix(destination, 16).ok()? == 0 && length == "00";
        let usable = flags & (UP | THROUGH_GATEWAY) == UP | THROUGH_GATEWAY;
        (default && usable).then_some(())?;
        Some(DefaultV6 {
            interface: interface.to_owned(),
            gateway: Ipv6Addr::from_bits(u128::from_str_radix(gateway, 16).ok()?),
            metric: u32::from_str_radix(metric, 16).ok()?,
        })
    };
    table.lines().filter_map(route).collect()
}

#[derive(Debug, PartialEq, Eq)]
struct AddressV6 {
    interface: String,
    index: u32,
    address: Ipv6Addr,
    prefix: u8,
    flags: u32,
}

/// `address index prefix scope flags interface`, all hexadecimal.
fn addresses_v6(table: &str) -> Vec<AddressV6> {
    let address = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [address, index, prefix, _, flags, interface] = words[..] else { return None };
        Some(AddressV6 {
            interface: interface.to_owned(),
            index: u32::from_str_radix(index, 16).ok()?,
            address: Ipv6Addr::from_bits(u128::from_str_radix(address, 16).ok()?),
            prefix: u8::from_str_radix(prefix, 16).ok()?,
            flags: u32::from_str_radix(flags, 16).ok()?,
        })
    };
    table.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_ipv4_are_read() {
        // On a machine with the least octet first.
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
            tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0\n\
            nonsense\n";
        let [default, on_link, tunnel] = &routes_v4(table)[..] else { panic!("three routes") };

        assert!(default.is_default());
        if cfg!(target_endian = "little") {
            assert_eq!(default.gateway, Ipv4Addr::new(192, 168, 1, 1));
            assert!(on_link.contains([192, 168, 1, 10].into()));
            assert_eq!(on_link.mask.leading_ones(), 24);
        }
        assert!(!tunnel.is_default(), "a tunnel has no router");
    }

    #[test]
    fn routes_and_addresses_of_ipv6_are_read() {
        let zero = "0".repeat(32);
        let router = "fe80000000000000021122fffe334455";
        let routes = format!(
            "{zero} 00 {zero} 00 {router} 00000400 00000001 00000000 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
        );
        let addresses = "2a000000000000000000000000000001 02 40 00 80 eth0\nshort line\n";

        let gateway = "fe80::211:22ff:fe33:4455".parse().expect("an address");
        let default = DefaultV6 { interface: "eth0".to_owned(), gateway, metric: 0x400 };
        assert_eq!(routes_v6(&routes), [default]);
        let address = "2a00::1".parse().expect("an address");
        let interface = "eth0".to_owned();
        assert_eq!(
            addresses_v6(addresses),
            [AddressV6 { interface, index: 2, address, prefix: 64, flags: 0x80 }]
        );
    }
}
