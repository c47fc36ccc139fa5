//! Questions under way. An answer that belongs to none counts for nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy_primitives::B256;

use crate::node::{Node, Peer};

/// How long an answer is waited for (geth, `respTimeout`); nothing is asked twice.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Requests {
    limit: usize,
    /// By number; all wait equally long, so this is the order in which they end.
    pending: BTreeMap<u64, Request>,
    next: u64,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) node: Node,
    pub(crate) kind: Kind,
    pub(crate) deadline: Instant,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Ping {
        hash: B256,
    },
    /// The node proved itself to us; it will ping us for the same, if it does not know us from before.
    Callback,
    FindNode {
        lookup: u64,
        named: usize,
        answered: bool,
    },
    Record {
        hash: B256,
    },
}

impl Requests {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, pending: BTreeMap::new(), next: 0 }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() >= self.limit
    }

    /// Whether the question fits; if not, it must not be asked.
    pub(crate) fn push(&mut self, node: Node, kind: Kind, now: Instant) -> bool {
        if self.is_full() {
            return false;
        }
        self.pending.insert(self.next, Request { node, kind, deadline: now + REQUEST_TIMEOUT });
        self.next += 1;
        true
    }

    /// The number of the question of `peer` that `is_it`.
    pub(crate) fn find(&self, peer: Peer, is_it: impl Fn(&Kind) -> bool) -> Option<u64> {
        let mut pending = self.pending.iter();
        pending
            .find(|(_, request)| request.node.peer() == peer && is_it(&request.kind))
            .map(|(number, _)| *number)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Request> {
        self.pending.get_mut(&number)
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Request> {
        self.pending.remove(&number)
    }

    /// Takes out a question whose time is up.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Request> {
        let first = self.pending.first_entry()?;
        (first.get().deadline <= now).then(|| first.remove())
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.pending.first_key_value().map(|(_, request)| request.deadline)
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B512;
    use causeway_wire::NodeKey;

    use super::*;

    fn node(port: u16) -> Node {
        Node::new(NodeKey(B512::ZERO), ([9, 9, 9, 9], port).into(), 0)
    }

    #[test]
    fn a_question_belongs_to_a_node_at_an_address() {
        let mut requests = Requests::new(9);
        requests.push(node(1), Kind::Callback, Instant::now());
        let stranger = Peer { id: B256::ZERO, ..node(1).peer() };
        let is_callback = |kind: &Kind| matches!(kind, Kind::Callback);

        assert!(requests.find(node(1).peer(), is_callback).is_some());
        assert!(requests.find(node(2).peer(), is_callback).is_none());
        assert!(requests.find(stranger, is_callback).is_none());
    }

    #[test]
    fn questions_end_in_their_order_and_are_bounded() {
        let now = Instant::now();
        let mut requests = Requests::new(2);

        assert!(requests.push(node(1), Kind::Callback, now));
        assert!(requests.push(node(2), Kind::Callback, now + REQUEST_TIMEOUT / 2));
        assert!(!requests.push(node(3), Kind::Callback, now));

        assert_eq!(requests.next_deadline(), Some(now + REQUEST_TIMEOUT));
        assert!(requests.pop_expired(now + REQUEST_TIMEOUT / 2).is_none());
        assert_eq!(requests.pop_expired(now + REQUEST_TIMEOUT).map(|request| request.node), Some(node(1)));
        assert!(requests.pop_expired(now + REQUEST_TIMEOUT).is_none());
    }
}
