//! A lookup: asks those closest to a target for others that are closer, until there are none.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use causeway_wire::NodeKey;

use crate::{
    node::{Node, Peer},
    table::BUCKET_SIZE,
};

/// Nodes that one lookup asks at a time (`alpha` of Kademlia).
pub const ALPHA: usize = 3;
/// Nodes that one lookup asks in all: liars can always name closer ones.
pub const MAX_ASKED: usize = 64;
/// Nodes that one lookup keeps in mind.
pub const MAX_CANDIDATES: usize = 64;

#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) target: NodeKey,
    pub(crate) purpose: Purpose,
    target_id: B256,
    /// By distance from the target.
    candidates: BTreeMap<B256, Candidate>,
    /// All that were ever named, at most [`BUCKET_SIZE`] by each that was asked.
    seen: BTreeSet<B256>,
    asked: usize,
    answered: usize,
}

/// Whose lookup it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Asked for from outside, who hears of its end.
    Caller,
    /// Our own, to fill the table.
    Refresh,
}

#[derive(Debug)]
struct Candidate {
    node: Node,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Fresh,
    /// Its proof of us, or ours of it, is under way.
    Bonding,
    /// It was asked.
    Asked,
    Answered,
    Failed,
}

impl Lookup {
    pub(crate) fn new(target: NodeKey, purpose: Purpose, own: B256, start: Vec<Node>) -> Self {
        let mut lookup = Self {
            target,
            purpose,
            target_id: target.node_id(),
            candidates: BTreeMap::new(),
            seen: BTreeSet::from([own]),
            asked: 0,
            answered: 0,
        };
        lookup.learn(start);
        lookup
    }

    /// Nodes that one of the asked has named.
    pub(crate) fn learn(&mut self, nodes: Vec<Node>) {
        for node in nodes {
            if self.seen.insert(node.id) {
                self.candidates.insert(node.id ^ self.target_id, Candidate { node, state: State::Fresh });
            }
        }
        while self.candidates.len() > MAX_CANDIDATES {
            self.candidates.pop_last(); // whoever was asked is near, or gone from among the nearest for good
        }
    }

    /// Whom to ask next, passing over those that are `busy` with another question of ours.
    pub(crate) fn next(&self, busy: impl Fn(&Node) -> bool) -> Option<Node> {
        if self.in_flight() >= ALPHA {
            return None;
        }
        self.eligible().find(|node| !busy(node))
    }

    pub(crate) fn set(&mut self, peer: Peer, state: State) {
        let Some(candidate) = self.candidates.get_mut(&(peer.id ^ self.target_id)) else { return };
        if candidate.node.peer() != peer {
            return;
        }
        if candidate.state == State::Fresh && state != State::Failed {
            self.asked += 1;
        }
        if state == State::Answered && candidate.state != State::Answered {
            self.answered += 1;
        }
        candidate.state = state;
    }

    /// Whether `peer` is awaited before it can be asked.
    pub(crate) fn awaits(&self, peer: Peer) -> bool {
        let candidate = self.candidates.get(&(peer.id ^ self.target_id));
        candidate.is_some_and(|candidate| candidate.state == State::Bonding && candidate.node.peer() == peer)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.in_flight() == 0 && self.eligible().next().is_none()
    }

    /// How many nodes answered.
    pub(crate) const fn found(&self) -> usize {
        self.answered
    }

    fn in_flight(&self) -> usize {
        let states = self.candidates.values().map(|candidate| candidate.state);
        states.filter(|state| matches!(state, State::Bonding | State::Asked)).count()
    }

    /// Those of the closest that can be asked; who failed does not count among the closest.
    fn eligible(&self) -> impl Iterator<Item = Node> {
        let limit = if self.asked < MAX_ASKED { BUCKET_SIZE } else { 0 };
        let alive = self.candidates.values().filter(|candidate| candidate.state != State::Failed);
        alive.take(limit).filter(|candidate| candidate.state == State::Fresh).map(|candidate| candidate.node)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B512, keccak256};

    use super::*;

    const TARGET: NodeKey = NodeKey(B512::ZERO);

    /// The node at distance `n` from the target.
    fn node(n: u64) -> Node {
        let mut id = TARGET.node_id();
        for (byte, n) in id.0.iter_mut().skip(24).zip(n.to_be_bytes()) {
            *byte ^= n;
        }
        Node { key: TARGET, id, addr: ([9, 9, 9, 9], 9).into(), tcp: 0 }
    }

    fn nodes(range: std::ops::Range<u64>) -> Vec<Node> {
        range.map(node).collect()
    }

    fn lookup(start: Vec<Node>) -> Lookup {
        Lookup::new(TARGET, Purpose::Caller, keccak256("us"), start)
    }

    #[test]
    fn three_are_asked_at_a_time_the_closest_first() {
        let mut lookup = lookup(nodes(5..30));

        for n in 5..8 {
            assert_eq!(lookup.next(|_| false), Some(node(n)));
            lookup.set(node(n).peer(), State::Bonding);
        }
        assert_eq!(lookup.next(|_| false), None);

        lookup.set(node(6).peer(), State::Answered);
        assert_eq!(lookup.next(|busy| busy.id == node(8).id), Some(node(9)));
        assert!(!lookup.is_done());
    }

    #[test]
    fn it_ends_when_the_closest_have_answered_and_the_failed_do_not_count() {
        let mut lookup = lookup(nodes(0..40));

        while let Some(node) = lookup.next(|_| false) {
            let failed = node.id[31].abs_diff(TARGET.node_id()[31]) == 0;
            lookup.set(node.peer(), State::Asked);
            lookup.set(node.peer(), if failed { State::Failed } else { State::Answered });
        }

        assert!(lookup.is_done());
        assert_eq!(lookup.found(), BUCKET_SIZE);
    }

    #[test]
    fn liars_do_not_keep_it_going() {
        let mut lookup = lookup(nodes(100_000..100_016));
        let mut closer = 100_000;

        while let Some(node) = lookup.next(|_| false) {
            lookup.set(node.peer(), State::Asked);
            closer -= 16;
            lookup.learn(nodes(closer..closer + 16));
            lookup.set(node.peer(), State::Answered);
            assert!(lookup.candidates.len() <= MAX_CANDIDATES);
        }

        assert!(lookup.is_done());
        assert_eq!(lookup.found(), MAX_ASKED);
    }

    #[test]
    fn nobody_to_ask_is_done() {
        assert!(lookup(Vec::new()).is_done());
    }
}
