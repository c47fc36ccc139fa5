//! Nodes that others named, waiting to be pinged.

use std::collections::VecDeque;

use crate::{
    network::{host, is_public},
    node::{Node, Peer},
};

/// Nodes that wait to be pinged; further ones are let go.
pub const MAX_PROBES: usize = 256;
/// Of these, how many on one public machine: whoever names them may want us to bother it.
pub const MAX_PROBES_PER_HOST: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Probes {
    waiting: VecDeque<Node>,
    /// How many found no place.
    pub(crate) dropped: u64,
}

impl Probes {
    pub(crate) fn push(&mut self, node: Node) {
        if self.waiting.iter().any(|waiting| waiting.peer() == node.peer()) {
            return;
        }
        let ip = node.addr.ip();
        let of_host = || self.waiting.iter().filter(|waiting| host(waiting.addr.ip()) == host(ip)).count();
        if self.waiting.len() >= MAX_PROBES || (is_public(ip) && of_host() >= MAX_PROBES_PER_HOST) {
            self.dropped += 1;
        } else {
            self.waiting.push_back(node);
        }
    }

    pub(crate) fn first(&self) -> Option<Node> {
        self.waiting.front().copied()
    }

    /// The node got its ping in another way.
    pub(crate) fn remove(&mut self, peer: Peer) {
        self.waiting.retain(|node| node.peer() != peer);
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B512;
    use causeway_wire::NodeKey;

    use super::*;

    fn node(ip: [u8; 4], port: u16) -> Node {
        Node::new(NodeKey(B512::ZERO), (ip, port).into(), 0)
    }

    #[test]
    fn those_who_wait_are_bounded_in_all_and_for_a_public_machine() {
        let mut probes = Probes::default();

        for port in 1..100 {
            probes.push(node([9, 8, 7, 6], port));
            probes.push(node([127, 0, 0, 1], port));
        }
        assert_eq!(probes.len(), 99 + MAX_PROBES_PER_HOST);

        for ip in 0..1000_u16 {
            probes.push(node([11, 1, ip.to_be_bytes()[0], ip.to_be_bytes()[1]], 1));
        }
        assert_eq!(probes.len(), MAX_PROBES);
        assert!(probes.dropped > 0);
    }

    #[test]
    fn nobody_waits_twice() {
        let mut probes = Probes::default();

        probes.push(node([9, 8, 7, 6], 1));
        probes.push(node([9, 8, 7, 6], 1));

        assert_eq!((probes.len(), probes.dropped), (1, 0));
        probes.remove(node([9, 8, 7, 6], 1).peer());
        assert_eq!(probes.len(), 0);
    }
}
