//! Which stack a record's node is on, and at which of its addresses it may be dialed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use alloy_eip2124::{ForkFilter, ForkHash, ValidationError};
use causeway_wire::Stack;

use crate::{AddressFault, Enode, EntryError, Libp2pAddrs, Multiaddr, Record};

/// Which addresses strangers' records may send us to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of the public internet.
    Public,
    /// Those of our own network and machine, too: for tests and closed networks.
    Local,
}

/// What decides about a record.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Which addresses may be dialed.
    pub reach: Reach,
    /// Our chain, as of our head.
    pub forks: &'a ForkFilter,
    /// The stack that is tried first if the node is on both.
    pub first: Stack,
}

/// A way to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By RLPx, at these addresses in turn.
    Devp2p(Vec<Enode>),
    /// By libp2p, at these addresses at once.
    Libp2p(Vec<Multiaddr>),
}

/// Why a node is not dialed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A consensus client's record.
    #[error("a consensus client serves no chain data to us")]
    Consensus,
    /// It does not say its chain.
    #[error("the record does not say which chain the node is on")]
    NoChain,
    /// On another chain, or on ours without having taken a fork.
    #[error("the node is on another chain, or behind one of its forks")]
    OtherChain(#[source] ValidationError),
    /// A key that cannot be read.
    #[error("the record's chain cannot be read")]
    Entry(#[from] EntryError),
    /// No address, or none that we speak.
    #[error("the record has no address that we can dial")]
    NoAddress,
    /// Addresses, and none of them usable: this is what is wrong with the first.
    #[error("no address of the record can be used")]
    Address(#[source] AddressFault),
    /// Only addresses that strangers' records may not send us to.
    #[error("the record names only private, loopback, multicast or reserved addresses ({first} is one)")]
    NotPublic {
        /// The first of them.
        first: IpAddr,
    },
}

/// The ways to the node of `record`, the one to try first first; at least one. They lead to the same key:
/// whoever is met on both stacks is one peer.
///
/// # Errors
/// [`Refusal`]
pub fn choose(record: &Record, rules: Rules<'_>) -> Result<Vec<Way>, Refusal> {
    let Libp2pAddrs { addresses: libp2p, faults } = record.libp2p();
    let unusable = faults.into_iter().next();
    let eth = record.eth()?;
    match eth {
        // A light peer's or a relay's record may have no room for the chain; a devp2p node's always has it.
        None if record.is_consensus() => return Err(Refusal::Consensus),
        None if record.les()?.is_some() => return Err(Refusal::NoChain),
        None if libp2p.is_empty() => return Err(unusable.map_or(Refusal::NoChain, Refusal::Address)),
        None => {}
        Some(theirs) => rules
            .forks
            .validate(alloy_eip2124::ForkId { hash: ForkHash(theirs.hash), next: theirs.next })
            .map_err(Refusal::OtherChain)?,
    }
    let devp2p = if eth.is_some() { record.tcp_addrs() } else { Vec::new() };
    let named: Vec<IpAddr> =
        devp2p.iter().map(SocketAddr::ip).chain(libp2p.iter().filter_map(Multiaddr::ip)).collect();
    let udp = record.udp().filter(|port| *port != 0);
    let enodes: Vec<Enode> = devp2p
        .into_iter()
        .filter(|addr| is_allowed(addr.ip(), rules.reach))
        .map(|addr| Enode { udp: udp.unwrap_or_else(|| addr.port()), ..Enode::new(record.key(), addr) })
        .collect();
    // What a name resolves to is checked by whoever resolves it, with `is_allowed`.
    let multiaddrs: Vec<Multiaddr> =
        libp2p.into_iter().filter(|addr| addr.ip().is_none_or(|ip| is_allowed(ip, rules.reach))).collect();
    let mut ways = Vec::new();
    if !enodes.is_empty() {
        ways.push(Way::Devp2p(enodes));
    }
    if !multiaddrs.is_empty() {
        let at = if rules.first == Stack::Libp2p { 0 } else { ways.len() };
        ways.insert(at, Way::Libp2p(multiaddrs));
    }
    if ways.is_empty() {
        return Err(match (named.first(), unusable) {
            (Some(first), _) => Refusal::NotPublic { first: *first },
            (None, Some(fault)) => Refusal::Address(fault),
            (None, None) => Refusal::NoAddress,
        });
    }
    Ok(ways)
}

/// Whether a stranger may send us to `ip`. Nobody may send us to an address that belongs to no one node.
pub fn is_allowed(ip: IpAddr, reach: Reach) -> bool {
    let ip = ip.to_canonical(); // ::ffff:127.0.0.1 is 127.0.0.1
    let one_node = match ip {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            first != 0 && first < 224 // "this network"; multicast, reserved, broadcast
        }
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    one_node
        && match (reach, ip) {
            (Reach::Local, _) => true,
            (Reach::Public, IpAddr::V4(ip)) => is_public4(ip),
            (Reach::Public, IpAddr::V6(ip)) => is_public6(ip),
        }
}

/// IANA's special-purpose registry, as far as it is not globally reachable.
fn is_public4(ip: Ipv4Addr) -> bool {
    let special = match ip.octets() {
        [100, second, ..] => (64..128).contains(&second), // carrier-grade NAT
        [192, 0, 0, _] => true,                           // protocol assignments
        [198, 18 | 19, ..] => true,                       // benchmarks
        _ => false,
    };
    !(special || ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_documentation())
}

fn is_public6(ip: Ipv6Addr) -> bool {
    let [first, second, third, ..] = ip.segments();
    let documentation = (first, second) == (0x2001, 0x0db8) || first == 0x3fff;
    match first {
        // 6to4 and Teredo carry a v4 address that would have to be judged, and nobody needs them any more.
        0x2002 => false,
        0x2001 if second == 0 => false,
        // NAT64 as providers use it; the local form of it is not for strangers.
        0x0064 => (second, third) == (0xff9b, 0) && is_public4(embedded4(ip)),
        _ => (first & 0xe000) == 0x2000 && !documentation, // global unicast: 2000::/3
    }
}

/// The v4 address in the last 32 bits.
fn embedded4(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = ip.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use alloy_eip2124::{ForkFilterKey, Head};
    use alloy_primitives::B256;
    use causeway_wire::ForkId;
    use secp256k1::SecretKey;

    use super::*;
    use crate::Contents;

    /// A chain with one fork, taken at 10.
    fn forks() -> ForkFilter {
        let head = Head { number: 100, ..Head::default() };
        ForkFilter::new(head, B256::repeat_byte(1), 0, [ForkFilterKey::Block(10)])
    }

    fn ours() -> ForkId {
        let current = forks().current();
        ForkId { hash: current.hash.0, next: current.next }
    }

    fn relay() -> Contents {
        Contents {
            ip: Some(Ipv4Addr::new(8, 8, 4, 4)),
            tcp: Some(30313),
            udp: Some(30314),
            quic: Some(30315),
            eth: Some(ours()),
            les: true,
            multiaddrs: vec!["/dns4/relay.example.org/tcp/443/wss".parse().expect("valid")],
            ..Contents::default()
        }
    }

    fn record(contents: &Contents) -> Record {
        let secret = SecretKey::from_secret_bytes([7; 32]).expect("valid secret");
        Record::sign(&secret, 1, contents).expect("fits").record
    }

    fn ways(contents: &Contents, reach: Reach, first: Stack) -> Result<Vec<Way>, Refusal> {
        choose(&record(contents), Rules { reach, forks: &forks(), first })
    }

    #[test]
    fn a_node_on_both_stacks_is_tried_on_both_in_the_order_asked_for() {
        let devp2p = ways(&relay(), Reach::Public, Stack::Devp2p).expect("ways");
        let libp2p = ways(&relay(), Reach::Public, Stack::Libp2p).expect("ways");

        let [Way::Devp2p(enodes), Way::Libp2p(addrs)] = devp2p.as_slice() else { panic!("{devp2p:?}") };
        assert_eq!((enodes.len(), enodes[0].tcp, enodes[0].udp), (1, 30313, 30314));
        let texts: Vec<_> = addrs.iter().map(ToString::to_string).collect();
        assert!(texts[0].starts_with("/ip4/8.8.4.4/udp/30315/quic-v1/p2p/16Uiu2"), "{texts:?}");
        assert!(texts[1].starts_with("/dns4/relay.example.org/tcp/443/wss/p2p/16Uiu2"), "{texts:?}");
        assert!(matches!(libp2p.as_slice(), [Way::Libp2p(_), Way::Devp2p(_)]));
    }

    #[test]
    fn a_full_node_is_on_devp2p_and_a_bare_libp2p_node_on_libp2p() {
        let full = Contents { quic: None, multiaddrs: Vec::new(), ..relay() };
        let light = Contents { eth: None, les: false, tcp: None, ..relay() };

        let full = ways(&full, Reach::Public, Stack::Libp2p).expect("ways");
        let light = ways(&light, Reach::Public, Stack::Devp2p).expect("ways");

        assert!(matches!(full.as_slice(), [Way::Devp2p(_)]));
        assert!(matches!(light.as_slice(), [Way::Libp2p(_)]));
    }

    #[test]
    fn other_chains_are_not_dialed() {
        let other = Contents { eth: Some(ForkId { hash: [1, 2, 3, 4], next: 0 }), ..relay() };
        let unsaid = Contents { eth: None, ..relay() };
        let nothing = Contents { ip: Some(Ipv4Addr::new(8, 8, 4, 4)), udp: Some(1), ..Contents::default() };

        assert!(matches!(ways(&other, Reach::Public, Stack::Devp2p), Err(Refusal::OtherChain(_))));
        assert_eq!(ways(&unsaid, Reach::Public, Stack::Devp2p), Err(Refusal::NoChain));
        assert_eq!(ways(&nothing, Reach::Public, Stack::Devp2p), Err(Refusal::NoChain));
    }

    #[test]
    fn addresses_that_are_nobodys_or_ours_are_not_dialed() {
        let home = Contents { ip: Some(Ipv4Addr::new(192, 168, 1, 7)), multiaddrs: Vec::new(), ..relay() };
        let no_address = Contents { ip: None, multiaddrs: Vec::new(), ..relay() };

        let first = IpAddr::from([192, 168, 1, 7]);
        assert_eq!(ways(&home, Reach::Public, Stack::Devp2p), Err(Refusal::NotPublic { first }));
        assert_eq!(ways(&home, Reach::Local, Stack::Devp2p).map(|ways| ways.len()), Ok(2));
        assert_eq!(ways(&no_address, Reach::Local, Stack::Devp2p), Err(Refusal::NoAddress));
    }

    #[test]
    fn only_the_public_internet_is_public() {
        for ip in ["8.8.4.4", "2606:4700::1", "64:ff9b::808:808", "100.63.0.1", "100.128.0.1"] {
            assert!(is_allowed(ip.parse().expect("valid"), Reach::Public), "{ip}");
        }
        let local = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "fe80::1",
            "fc00::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::808:808",
        ];
        for ip in local {
            assert!(!is_allowed(ip.parse().expect("valid"), Reach::Public), "{ip}");
            assert!(is_allowed(ip.parse().expect("valid"), Reach::Local), "{ip}");
        }
        for ip in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1"] {
            assert!(!is_allowed(ip.parse().expect("valid"), Reach::Local), "{ip}");
        }
    }
}
