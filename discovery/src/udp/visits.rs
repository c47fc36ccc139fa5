//! When to ping which node: after it came to us, when our record changed, and in turn.
//!
//! A PONG tells that the node lives, which address it sees us at, and whether its record is newer than ours of it;
//! our PING tells it the same of us. The crate itself pings those who came to us only after minutes.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use discv5::Enr;
use enr::NodeId;

/// Nodes waiting for a visit; those beyond are met by lookups, or next time.
const MAX_WAITING: usize = 1024;

/// Visits under way at once.
const MAX_UNDER_WAY: usize = 16;

/// Between two visits: 50 a second.
const PACE: Duration = Duration::from_millis(20);

/// Who waits for a visit, by when it is due.
#[derive(Debug, Default)]
pub(super) struct Visits {
    waiting: BTreeMap<(Instant, u64), Enr>,
    queued: HashSet<NodeId>,
    under_way: usize,
    counter: u64,
    next: Option<Instant>,
}

impl Visits {
    /// Plans a visit, unless the node waits for one already.
    pub(super) fn plan(&mut self, node: Enr, due: Instant) {
        if self.waiting.len() < MAX_WAITING && self.queued.insert(node.node_id()) {
            self.counter += 1;
            self.waiting.insert((due, self.counter), node);
        }
    }

    /// The next node that is due.
    pub(super) fn start(&mut self, now: Instant) -> Option<Enr> {
        if self.under_way >= MAX_UNDER_WAY || self.next.is_some_and(|next| now < next) {
            return None;
        }
        let first = self.waiting.first_entry().filter(|entry| entry.key().0 <= now)?;
        let node = first.remove();
        self.queued.remove(&node.node_id());
        self.under_way += 1;
        self.next = Some(now + PACE);
        Some(node)
    }

    /// A visit that [`Visits::start`] gave is over.
    pub(super) fn done(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// When [`Visits::start`] has something to give, if not before a visit is over.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.under_way >= MAX_UNDER_WAY {
            return None;
        }
        let ((due, _), _) = self.waiting.first_key_value()?;
        Some(self.next.map_or(*due, |next| next.max(*due)))
    }
}

#[cfg(test)]
mod tests {
    use enr::CombinedKey;

    use super::*;

    fn node() -> Enr {
        Enr::empty(&CombinedKey::generate_secp256k1()).expect("fits")
    }

    #[test]
    fn visits_come_when_due_and_one_after_the_other() {
        let start = Instant::now();
        let mut visits = Visits::default();
        let (early, late) = (node(), node());
        visits.plan(late.clone(), start + Duration::from_secs(1));
        visits.plan(early.clone(), start);
        visits.plan(early.clone(), start);

        assert_eq!(visits.start(start), Some(early));
        assert_eq!(visits.start(start + PACE), None);
        assert_eq!(visits.due(), Some(start + Duration::from_secs(1)));
        assert_eq!(visits.start(start + Duration::from_secs(1)), Some(late));
        assert_eq!(visits.due(), None);
    }

    #[test]
    fn no_more_than_a_few_are_under_way_and_the_queue_is_bounded() {
        let start = Instant::now();
        let mut visits = Visits::default();
        for _ in 0..MAX_WAITING + 1 {
            visits.plan(node(), start);
        }
        assert_eq!(visits.waiting.len(), MAX_WAITING);

        let started = (1..100).filter(|step| visits.start(start + PACE * *step).is_some()).count();

        assert_eq!((started, visits.due()), (MAX_UNDER_WAY, None));
        visits.done();
        assert!(visits.start(start + Duration::from_secs(60)).is_some());
    }
}
