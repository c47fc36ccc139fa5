//! What was reported lately, so that it is not reported again and again.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use alloy_primitives::B256;

/// Nodes remembered; the one reported longest ago is forgotten first.
const MAX_SEEN: usize = 8192;

/// After so long a node is reported again though it has not changed: it is still heard of.
const AGAIN: Duration = Duration::from_secs(600);

/// Nodes reported lately.
#[derive(Debug, Default)]
pub(super) struct Seen {
    nodes: HashMap<B256, (u64, Instant)>,
    /// In the order of reporting; a node reported twice is in it twice.
    order: VecDeque<(B256, Instant)>,
}

impl Seen {
    /// Whether to report the node: it was not for a while, or its record is newer. It counts as reported then.
    pub(super) fn is_news(&mut self, node: B256, seq: u64, now: Instant) -> bool {
        let known = self.nodes.get(&node);
        if known.is_some_and(|(last, at)| seq <= *last && now.duration_since(*at) < AGAIN) {
            return false;
        }
        let seq = known.map_or(seq, |(last, _)| seq.max(*last));
        self.nodes.insert(node, (seq, now));
        self.order.push_back((node, now));
        while self.order.len() > MAX_SEEN {
            let Some((oldest, at)) = self.order.pop_front() else { break };
            if self.nodes.get(&oldest).is_some_and(|(_, last)| *last == at) {
                self.nodes.remove(&oldest);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: usize) -> B256 {
        B256::left_padding_from(&number.to_be_bytes())
    }

    #[test]
    fn only_a_newer_record_or_time_makes_news() {
        let start = Instant::now();
        let mut seen = Seen::default();

        assert!(seen.is_news(node(1), 5, start));
        assert!(!seen.is_news(node(1), 5, start));
        assert!(!seen.is_news(node(1), 4, start));
        assert!(seen.is_news(node(1), 6, start));
        assert!(seen.is_news(node(1), 6, start + AGAIN));
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let mut seen = Seen::default();

        for number in 0..3 * MAX_SEEN {
            assert!(seen.is_news(node(number), 1, start));
        }
        for seq in 2..3 * MAX_SEEN as u64 {
            assert!(seen.is_news(node(0), seq, start + Duration::from_nanos(seq)));
        }

        assert!(seen.order.len() <= MAX_SEEN && seen.nodes.len() <= MAX_SEEN);
    }
}
