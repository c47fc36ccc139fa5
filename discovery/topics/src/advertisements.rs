//! The table of advertisements: bounded, one for each topic and node, gone after their lifetime.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_records::Record;

use crate::{
    draw::Draw,
    parameters::Parameters,
    topic::Topic,
    waiting::{IpTrees, LowerBound, WaitingTime},
};

/// An advertisement that was admitted.
#[derive(Clone, Debug)]
struct Advertisement {
    record: Record,
    ip: IpAddr,
    expires: Instant,
}

/// A topic that has advertisements.
#[derive(Debug)]
struct Shelf {
    advertisements: BTreeMap<B256, Advertisement>,
    bound: LowerBound,
}

/// The advertisements that a registrar holds.
#[derive(Debug)]
pub struct Advertisements {
    parameters: Parameters,
    shelves: BTreeMap<Topic, Shelf>,
    /// All of them, the oldest first: they all live equally long.
    order: VecDeque<(Instant, Topic, B256)>,
    addresses: IpTrees,
}

/// Why an advertisement does not enter the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// As many as it may hold.
    #[error("the table holds {capacity} advertisements, its limit")]
    Full {
        /// The limit.
        capacity: usize,
    },
    /// The node advertises the topic already.
    #[error("the node advertises the topic already")]
    Present,
}

impl Advertisements {
    /// An empty table.
    pub fn new(parameters: Parameters) -> Self {
        let parameters = parameters.bounded();
        Self { parameters, shelves: BTreeMap::new(), order: VecDeque::new(), addresses: IpTrees::default() }
    }

    /// Takes in an advertisement of the node whose record it is.
    ///
    /// # Errors
    /// [`TableError`]
    pub fn insert(
        &mut self,
        topic: Topic,
        record: Record,
        ip: IpAddr,
        now: Instant,
    ) -> Result<(), TableError> {
        let node = record.node_id();
        if self.expiry(topic, node).is_some() {
            return Err(TableError::Present);
        }
        if self.is_full() {
            return Err(TableError::Full { capacity: self.parameters.capacity });
        }
        let expires = now + self.parameters.lifetime;
        let shelf = self.shelves.entry(topic);
        let shelf =
            shelf.or_insert_with(|| Shelf { advertisements: BTreeMap::new(), bound: LowerBound::new(now) });
        shelf.advertisements.insert(node, Advertisement { record, ip, expires });
        self.order.push_back((expires, topic, node));
        self.addresses.insert(ip, now);
        Ok(())
    }

    /// Takes out those whose lifetime is over.
    pub fn expire(&mut self, now: Instant) {
        while let Some((_, topic, node)) = self.order.pop_front_if(|(expires, ..)| *expires <= now) {
            let Some(shelf) = self.shelves.get_mut(&topic) else { continue };
            if let Some(advertisement) = shelf.advertisements.remove(&node) {
                self.addresses.remove(advertisement.ip);
            }
            if shelf.advertisements.is_empty() {
                self.shelves.remove(&topic);
            }
        }
    }

    /// How long an advertisement of `topic` from `ip` has to wait in all, as the table is now. The time counts
    /// as given out: no like advertisement gets a shorter one by asking later.
    pub fn waiting_time(&mut self, topic: Topic, ip: IpAddr, now: Instant) -> Duration {
        let score = self.addresses.score(ip);
        let fresh = WaitingTime::new(&self.parameters, self.len(), self.count(topic), score);
        let for_topic = match self.shelves.get_mut(&topic) {
            Some(shelf) => shelf.bound.apply(fresh.topic, now),
            None => fresh.topic,
        };
        let for_ip = self.addresses.bounded(ip, fresh.ip, now);
        WaitingTime { topic: for_topic, ip: for_ip, ..fresh }.total()
    }

    /// Up to `wanted` advertisers of `topic` other than `asker`, chosen anew each time.
    pub(crate) fn pick(&self, topic: Topic, asker: B256, wanted: usize, draw: &mut Draw) -> Vec<&Record> {
        let all = self.shelves.get(&topic).into_iter().flat_map(|shelf| &shelf.advertisements);
        let others = all.filter(|(node, _)| **node != asker).map(|(_, advertisement)| &advertisement.record);
        draw.some(others.collect(), wanted)
    }

    /// When the node's advertisement of `topic` expires, if there is one.
    pub fn expiry(&self, topic: Topic, node: B256) -> Option<Instant> {
        Some(self.shelves.get(&topic)?.advertisements.get(&node)?.expires)
    }

    /// When the next one expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.order.front().map(|(expires, ..)| *expires)
    }

    /// Advertisements of `topic`.
    pub fn count(&self, topic: Topic) -> usize {
        self.shelves.get(&topic).map_or(0, |shelf| shelf.advertisements.len())
    }

    /// The topics that have advertisements, and how many.
    pub fn topics(&self) -> impl Iterator<Item = (Topic, usize)> {
        self.shelves.iter().map(|(topic, shelf)| (*topic, shelf.advertisements.len()))
    }

    /// Advertisements in all.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether there is no room for another one.
    pub fn is_full(&self) -> bool {
        self.len() >= self.parameters.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        parameters::{LIFETIME, LONGEST_WAIT},
        tests::{ip_of, record},
    };

    fn table(capacity: usize) -> Advertisements {
        Advertisements::new(Parameters { capacity, ..Parameters::default() })
    }

    #[test]
    fn a_node_advertises_a_topic_once() {
        let now = Instant::now();
        let mut table = table(10);
        let [les, waku] = ["les", "waku"].map(Topic::of);

        assert_eq!(table.insert(les, record(1), ip_of(1), now), Ok(()));
        assert_eq!(table.insert(les, record(1), ip_of(1), now), Err(TableError::Present));
        assert_eq!(table.insert(waku, record(1), ip_of(1), now), Ok(()));

        assert_eq!((table.len(), table.count(les), table.count(waku)), (2, 1, 1));
    }

    #[test]
    fn the_table_has_an_end() {
        let now = Instant::now();
        let mut table = table(3);
        for n in 0..3 {
            assert_eq!(table.insert(Topic::of("les"), record(n), ip_of(n), now), Ok(()));
        }

        assert_eq!(
            table.insert(Topic::of("les"), record(3), ip_of(3), now),
            Err(TableError::Full { capacity: 3 })
        );
        assert_eq!(table.waiting_time(Topic::of("waku"), ip_of(3), now), LONGEST_WAIT);
    }

    #[test]
    fn what_expired_leaves_nothing_behind() {
        let start = Instant::now();
        let mut table = table(10);
        let les = Topic::of("les");
        for n in 0..4 {
            let later = start + Duration::from_secs(u64::from(n));
            assert_eq!(table.insert(les, record(n), ip_of(n), later), Ok(()));
        }

        table.expire(start + LIFETIME - Duration::from_millis(1));
        assert_eq!(table.len(), 4);
        assert_eq!(table.next_expiry(), Some(start + LIFETIME));
        table.expire(start + LIFETIME + Duration::from_secs(1));
        assert_eq!((table.len(), table.count(les)), (2, 2));
        assert_eq!(table.expiry(les, record(0).node_id()), None);
        table.expire(start + LIFETIME * 2);

        assert!(table.is_empty());
        assert_eq!((table.topics().count(), table.addresses.vertices()), (0, 0));
    }

    #[test]
    fn common_topics_wait_longer_than_rare_ones() {
        let now = Instant::now();
        let mut table = table(1000);
        for n in 0..20 {
            let topic = Topic::of(if n < 18 { "common" } else { "rare" });
            assert_eq!(table.insert(topic, record(n), ip_of(n), now), Ok(()));
        }

        let mut wait = |topic| table.waiting_time(Topic::of(topic), ip_of(200), now);
        let (common, rare, new) = (wait("common"), wait("rare"), wait("new"));

        assert!(common > rare && rare > new, "{common:?} {rare:?} {new:?}");
        assert!(common - new > LIFETIME * 18 / 20);
    }

    #[test]
    fn advertisers_are_picked_anew_each_time() {
        let now = Instant::now();
        let mut table = table(100);
        let les = Topic::of("les");
        for n in 0..30 {
            assert_eq!(table.insert(les, record(n), ip_of(n), now), Ok(()));
        }
        let mut draw = Draw::new(B256::ZERO);
        let asker = record(0).node_id();

        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..40 {
            let picked = table.pick(les, asker, 10, &mut draw);
            assert_eq!(picked.len(), 10);
            seen.extend(picked.into_iter().map(Record::node_id));
        }

        assert_eq!(seen.len(), 29);
        assert!(!seen.contains(&asker));
    }
}
