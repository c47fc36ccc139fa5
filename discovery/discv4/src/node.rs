//! A node of the network: its key, where it is, and the two as one key of a map.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use alloy_primitives::B256;
use causeway_records::{Enode, Host};
use causeway_wire::NodeKey;

use crate::{
    network::{host, host_end},
    packet::{Endpoint, Neighbor},
};

/// A node at an address. Whether it is there is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) key: NodeKey,
    /// `keccak256(key)`
    pub(crate) id: B256,
    /// Where its discovery is.
    pub(crate) addr: SocketAddr,
    /// Port of RLPx; 0 if none is known.
    pub(crate) tcp: u16,
}

/// One node at one address: what an endpoint proof is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Peer {
    /// First, so that the peers of one host stand together.
    pub(crate) addr: SocketAddr,
    pub(crate) id: B256,
}

impl Node {
    pub(crate) fn new(key: NodeKey, addr: SocketAddr, tcp: u16) -> Self {
        Self { key, id: key.node_id(), addr: canonical(addr), tcp }
    }

    /// `None` if the URL has a name, or no port of discovery.
    pub(crate) fn of_enode(enode: &Enode) -> Option<Self> {
        match enode.host {
            Host::Ip(ip) if enode.udp != 0 && !ip.is_unspecified() => {
                Some(Self::new(enode.key, SocketAddr::new(ip, enode.udp), enode.tcp))
            }
            Host::Ip(_) | Host::Name(_) => None,
        }
    }

    pub(crate) const fn peer(&self) -> Peer {
        Peer { addr: self.addr, id: self.id }
    }

    pub(crate) fn neighbor(&self) -> Neighbor {
        Neighbor { endpoint: Endpoint::new(self.addr, self.tcp), key: self.key }
    }
}

impl Peer {
    /// All peers on the machine of `ip`.
    pub(crate) fn at_host(ip: IpAddr) -> RangeInclusive<Self> {
        let first = Self { addr: SocketAddr::new(host(ip), 0), id: B256::ZERO };
        let last = Self { addr: SocketAddr::new(host_end(ip), u16::MAX), id: B256::repeat_byte(0xff) };
        first..=last
    }

    /// All peers at `addr`.
    pub(crate) const fn at(addr: SocketAddr) -> RangeInclusive<Self> {
        Self { addr, id: B256::ZERO }..=Self { addr, id: B256::repeat_byte(0xff) }
    }
}

/// The one form of an address: v4 as v4, no flow, no scope.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// How far two ids are apart: the first bit in which they differ, counted from the end; 0 if they are equal.
pub(crate) fn log_distance(a: B256, b: B256) -> usize {
    let zeros = (a ^ b).iter().fold((0, true), |(zeros, leading), byte| match (leading, *byte) {
        (true, 0) => (zeros + 8, true),
        (true, byte) => (zeros + byte.leading_zeros(), false),
        (false, _) => (zeros, false),
    });
    256 - zeros.0 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_that_of_the_first_differing_bit() {
        let mut near = B256::ZERO;
        near[31] = 1;
        let mut far = B256::ZERO;
        far[0] = 0x80;
        let mut middle = B256::ZERO;
        middle[1] = 0x10;

        assert_eq!(log_distance(B256::ZERO, B256::ZERO), 0);
        assert_eq!(log_distance(B256::ZERO, near), 1);
        assert_eq!(log_distance(B256::ZERO, far), 256);
        assert_eq!(log_distance(B256::ZERO, middle), 245);
    }

    #[test]
    fn peers_of_a_host_are_one_range() {
        let peer =
            |addr: &str, id| Peer { addr: addr.parse().expect("an address"), id: B256::repeat_byte(id) };
        let range = Peer::at_host([9, 8, 7, 6].into());
        let range6 = Peer::at_host("2a01::1".parse().expect("an address"));

        assert!(range.contains(&peer("9.8.7.6:1", 0)) && range.contains(&peer("9.8.7.6:65535", 0xff)));
        assert!(!range.contains(&peer("9.8.7.7:1", 0)) && !range.contains(&peer("[2a01::1]:1", 0)));
        assert!(
            range6.contains(&peer("[2a01::ffff:1]:9", 3)) && !range6.contains(&peer("[2a01:0:0:1::]:9", 3))
        );
    }
}
