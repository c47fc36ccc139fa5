//! Peers that had a reservation lately.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;

/// No more than `capacity` of them; the one seen longest ago goes first.
#[derive(Debug)]
pub(super) struct Known {
    memory: Duration,
    capacity: usize,
    seen: BTreeMap<PeerId, Instant>,
    oldest: BTreeSet<(Instant, PeerId)>,
}

impl Known {
    pub(super) fn new(memory: Duration, capacity: usize) -> Self {
        Self { memory, capacity, seen: BTreeMap::new(), oldest: BTreeSet::new() }
    }

    pub(super) fn see(&mut self, peer: PeerId, now: Instant) {
        if let Some(before) = self.seen.insert(peer, now) {
            self.oldest.remove(&(before, peer));
        }
        self.oldest.insert((now, peer));
        while self.seen.len() > self.capacity {
            let Some((_, peer)) = self.oldest.pop_first() else { break };
            self.seen.remove(&peer);
        }
    }

    pub(super) fn is_known(&self, peer: &PeerId, now: Instant) -> bool {
        self.seen.get(peer).is_some_and(|seen| now.saturating_duration_since(*seen) <= self.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_seen_longest_ago_is_forgotten_first() {
        let start = Instant::now();
        let peers: Vec<_> = (0..4).map(|_| PeerId::random()).collect();
        let mut known = Known::new(Duration::from_secs(60), 3);

        for (seconds, peer) in [0, 1, 2, 0, 3].into_iter().enumerate() {
            known.see(peers[peer], start + Duration::from_secs(seconds as u64));
        }

        let now = start + Duration::from_secs(5);
        let left: Vec<_> = peers.iter().map(|peer| known.is_known(peer, now)).collect();
        assert_eq!(left, [true, false, true, true]);
        assert!(!known.is_known(&peers[2], start + Duration::from_secs(63)));
        assert_eq!((known.seen.len(), known.oldest.len()), (3, 3));
    }
}
