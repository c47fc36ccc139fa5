//! The laboratory's network as a shell script that lays it.

use std::{fmt::Write as _, net::Ipv4Addr};

use super::nat::Nat;

/// A router and the hosts behind it.
#[derive(Clone, Copy, Debug)]
pub(in crate::interop) struct Home {
    pub(in crate::interop) nat: Nat,
    pub(in crate::interop) hosts: u8,
}

/// What is to be built.
#[derive(Clone, Debug)]
pub(in crate::interop) struct Plan {
    /// Machines with a public address of their own.
    pub(in crate::interop) machines: u8,
    pub(in crate::interop) homes: Vec<Home>,
}

/// The public addresses look public, so that nobody needs to be told that he is in a laboratory; each machine and
/// each home has a /24 of its own, as limits count by it.
pub(super) fn machine_address(machine: u8) -> Ipv4Addr {
    Ipv4Addr::new(25, 1, machine, 2)
}

/// The address from which a home is seen.
pub(super) fn wan_address(home: u8) -> Ipv4Addr {
    Ipv4Addr::new(25, 2, home, 2)
}

/// Every home counts its hosts alike.
pub(super) fn host_address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 1, 10 + host)
}

pub(super) fn machine_name(machine: u8) -> String {
    format!("machine-{machine}")
}

pub(super) fn router_name(home: u8) -> String {
    format!("router-{home}")
}

pub(super) fn host_name(home: u8, host: u8) -> String {
    format!("home-{home}-{host}")
}

/// The neighbour of an address that ends in 2.
fn gateway(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// Packets to private addresses, which only somebody sends who was talked into it; counted where they are made.
const WATCH: &str = "\
table ip watch {
  counter private { }
  chain made {
    type filter hook output priority 0
    oifname != lo ip daddr { 10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 127.0.0.0/8 } counter name private
  }
}
";

impl Plan {
    /// A script that needs a network and a mount namespace of its own; `nat-KIND.nft` must be beside it.
    pub(super) fn script(&self) -> String {
        let mut script = "\
set -eu
mount -t tmpfs none /run
mkdir /run/netns
cat >watch.nft <<END
"
        .to_owned();
        script += WATCH;
        script += "\
END
space() {
    ip netns add \"$1\"
    ip -n \"$1\" link set lo up
}
# A wire with the outside: name there, space, address, gateway, name here.
outside() {
    ip link add \"$5\" netns \"$2\" type veth peer name \"$1\" netns public
    ip -n public link set \"$1\" addrgenmode none up
    ip -n public addr add \"$4/24\" dev \"$1\"
    ip -n \"$2\" link set \"$5\" addrgenmode none up
    ip -n \"$2\" addr add \"$3/24\" dev \"$5\"
    ip -n \"$2\" route add default via \"$4\"
}
machine() {
    space \"$2\"
    outside \"$1\" \"$2\" \"$3\" \"$4\" eth0
    ip netns exec \"$2\" nft -f watch.nft
}
# Name outside, space, address, gateway, rules.
router() {
    space \"$2\"
    outside \"$1\" \"$2\" \"$3\" \"$4\" wan
    ip -n \"$2\" link add lan type bridge
    ip -n \"$2\" addr add 192.168.1.1/24 dev lan
    ip -n \"$2\" link set lan addrgenmode none up
    ip netns exec \"$2\" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    ip netns exec \"$2\" nft -f \"$5\"
}
# Space, router, port there, address.
host() {
    space \"$1\"
    ip link add eth0 netns \"$1\" type veth peer name \"$3\" netns \"$2\"
    ip -n \"$2\" link set \"$3\" master lan addrgenmode none up
    ip -n \"$1\" link set eth0 addrgenmode none up
    ip -n \"$1\" addr add \"$4/24\" dev eth0
    ip -n \"$1\" route add default via 192.168.1.1
    ip netns exec \"$1\" nft -f watch.nft
}
space public
ip netns exec public sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
";
        for machine in 0..self.machines {
            let (name, address) = (machine_name(machine), machine_address(machine));
            let _ = writeln!(script, "machine m{machine} {name} {address} {}", gateway(address));
        }
        for (number, home) in (0..).zip(&self.homes) {
            let (router, address) = (router_name(number), wan_address(number));
            let rules = rules_file(home.nat);
            let _ = writeln!(script, "router r{number} {router} {address} {} '{rules}'", gateway(address));
            for host in 0..home.hosts {
                let (name, address) = (host_name(number, host), host_address(host));
                let _ = writeln!(script, "host {name} {router} p{host} {address}");
            }
        }
        // It ends, and everything with it, when its stdin does.
        script += "echo '{\"event\": \"ready\"}'\nexec cat\n";
        script
    }
}

pub(super) fn rules_file(nat: Nat) -> String {
    format!("nat-{}.nft", nat.name().replace(' ', "-"))
}
