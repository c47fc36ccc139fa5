//! Where the node of each session is: the crate does not tell with a TALKREQ.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

use enr::NodeId;

/// Nodes remembered for each session.
const SPARE: usize = 4;

/// Where nodes with a session were last heard.
#[derive(Debug)]
pub(super) struct Sessions {
    capacity: usize,
    addrs: HashMap<NodeId, SocketAddr>,
    order: VecDeque<NodeId>,
}

impl Sessions {
    /// Remembers more nodes than the crate has `sessions`: the crate forgets those used longest ago, this the
    /// oldest.
    pub(super) fn new(sessions: usize) -> Self {
        Self { capacity: sessions.saturating_mul(SPARE), addrs: HashMap::new(), order: VecDeque::new() }
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

        for port in 0..80 {
            sessions.opened(NodeId::random(), addr(port));
        }
        assert_eq!((sessions.addr(&first), sessions.addrs.len(), sessions.order.len()), (None, 40, 40));
    }
}
