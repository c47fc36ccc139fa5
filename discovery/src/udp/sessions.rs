//! Where the node of each session is: the crate does not tell with a TALKREQ.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

use enr::NodeId;

/// Where nodes with a session were last heard.
#[derive(Debug)]
pub(super) struct Sessions {
    capacity: usize,
    addrs: HashMap<NodeId, SocketAddr>,
    order: VecDeque<NodeId>,
}

impl Sessions {
    /// Remembers `capacity` nodes, as many as the crate has sessions.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, addrs: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn opened(&mut self, node: NodeId, addr: SocketAddr) {
        if self.addrs.insert(node, addr).is_none() {
            self.order.push_back(node);
        }
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.addrs.remove(&oldest);
            }
        }
    }

    pub(super) fn addr(&self, node: &NodeId) -> Option<SocketAddr> {
        self.addrs.get(node).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_address_counts_and_memory_is_bounded() {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut sessions = Sessions::new(10);
        let first = NodeId::random();

        sessions.opened(first, addr(1));
        sessions.opened(first, addr(2));
        assert_eq!(sessions.addr(&first), Some(addr(2)));

        for port in 0..20 {
            sessions.opened(NodeId::random(), addr(port));
        }
        assert_eq!((sessions.addr(&first), sessions.addrs.len(), sessions.order.len()), (None, 10, 10));
    }
}
