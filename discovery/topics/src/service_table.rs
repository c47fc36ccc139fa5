//! The table of nodes around a topic, `B(s)`: whom to ask, how far from the topic, and whom not for a while.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_records::{Reach, Record, is_allowed};

use crate::{
    message::Nodes,
    topic::{MAX_DISTANCE, Registrars, Topic},
};

/// Nodes in a bucket, as in the table of nodes (`k`).
pub const BUCKET_SIZE: usize = 16;

/// Nodes of one network (/24, /48) in a bucket, as geth has it and our discv4; those that are not public
/// count as unlike.
pub const MAX_PER_NETWORK: usize = 2;

/// Distances that a request names.
pub const MAX_HINTS: usize = 16;

/// How long a node that failed once is left alone; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// Doublings of [`FIRST_PAUSE`]: 16 minutes.
const MAX_DOUBLINGS: u32 = 5;

#[derive(Clone, Debug)]
struct Entry {
    record: Record,
    failures: u32,
    paused_until: Option<Instant>,
}

impl Entry {
    fn is_ready(&self, now: Instant) -> bool {
        self.paused_until.is_none_or(|until| until <= now)
    }
}

/// Nodes by their distance from a topic.
#[derive(Clone, Debug)]
pub struct ServiceTable {
    topic: Topic,
    ourselves: B256,
    registrars: Registrars,
    buckets: BTreeMap<u16, BTreeMap<B256, Entry>>,
}

impl ServiceTable {
    /// An empty table around `topic`, which never holds `ourselves`.
    pub fn new(topic: Topic, ourselves: B256, registrars: Registrars) -> Self {
        Self { topic, ourselves, registrars, buckets: BTreeMap::new() }
    }

    /// Takes in a node, or a newer record of one; false if it is not wanted or there is no room.
    pub fn insert(&mut self, record: Record, now: Instant) -> bool {
        let node = record.node_id();
        let is_reachable = record.ip().is_some() && record.udp().is_some_and(|port| port != 0);
        if node == self.ourselves || !is_reachable || !self.registrars.admit(&record) {
            return false;
        }
        let Some(distance) = self.topic.distance(node) else { return false };
        let bucket = self.buckets.entry(distance).or_default();
        if let Some(known) = bucket.get_mut(&node) {
            if known.record.seq() < record.seq() {
                known.record = record;
            }
            return true;
        }
        if let Some(network) = network(&record)
            && bucket.values().filter(|entry| self::network(&entry.record) == Some(network)).count()
                >= MAX_PER_NETWORK
        {
            return false;
        }
        if bucket.len() >= BUCKET_SIZE {
            // Whoever does not answer makes room.
            let paused = bucket.iter().find(|(_, entry)| !entry.is_ready(now)).map(|(node, _)| *node);
            let Some(paused) = paused else { return false };
            bucket.remove(&paused);
        }
        bucket.insert(node, Entry { record, failures: 0, paused_until: None });
        true
    }

    /// Takes in what an answer says of nodes near the topic: one for each distance, so that no single registrar
    /// fills a bucket.
    pub fn insert_auxiliary(&mut self, nodes: Nodes, now: Instant) {
        let mut taken = std::collections::BTreeSet::new();
        for record in nodes.records {
            let distance = self.topic.distance(record.node_id());
            if distance.is_some_and(|distance| taken.insert(distance)) {
                self.insert(record, now);
            }
        }
    }

    /// Takes a node out.
    pub fn remove(&mut self, node: B256) {
        if let Some(distance) = self.topic.distance(node)
            && let Some(bucket) = self.buckets.get_mut(&distance)
        {
            bucket.remove(&node);
        }
    }

    /// The node answered as it should.
    pub fn succeeded(&mut self, node: B256) {
        if let Some(entry) = self.entry(node) {
            (entry.failures, entry.paused_until) = (0, None);
        }
    }

    /// The node did not answer, or not as it should: it is left alone for a while.
    pub fn failed(&mut self, node: B256, now: Instant) {
        if let Some(entry) = self.entry(node) {
            let pause = FIRST_PAUSE * 2u32.pow(entry.failures.min(MAX_DOUBLINGS));
            entry.failures = entry.failures.saturating_add(1);
            entry.paused_until = Some(now + pause);
        }
    }

    /// The distances at which there are nodes, the farthest first.
    pub fn distances(&self) -> Vec<u16> {
        let filled = self.buckets.iter().filter(|(_, bucket)| !bucket.is_empty());
        filled.rev().map(|(distance, _)| *distance).collect()
    }

    /// The nodes at `distance` that may be asked.
    pub fn ready(&self, distance: u16, now: Instant) -> impl Iterator<Item = (B256, &Record)> {
        let entries = self.buckets.get(&distance).into_iter().flatten();
        entries.filter(move |(_, entry)| entry.is_ready(now)).map(|(node, entry)| (*node, &entry.record))
    }

    /// When the first of those that are left alone may be asked again.
    pub fn next_return(&self, now: Instant) -> Option<Instant> {
        let paused = self.buckets.values().flat_map(BTreeMap::values).filter_map(|entry| entry.paused_until);
        paused.filter(|until| *until > now).min()
    }

    /// The farthest distances at which there is room, for requests to name.
    pub fn hints(&self) -> Vec<u16> {
        let has_room = |distance: &u16| self.buckets.get(distance).is_none_or(|at| at.len() < BUCKET_SIZE);
        (1..=MAX_DISTANCE).rev().filter(has_room).take(MAX_HINTS).collect()
    }

    /// The topic.
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// Nodes in all.
    pub fn len(&self) -> usize {
        self.buckets.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entry(&mut self, node: B256) -> Option<&mut Entry> {
        let distance = self.topic.distance(node)?;
        self.buckets.get_mut(&distance)?.get_mut(&node)
    }
}

/// The network that a node is in, if it is a public one.
fn network(record: &Record) -> Option<u64> {
    let ip = record.ip().filter(|ip| is_allowed(*ip, Reach::Public))?;
    Some(match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
        IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 80).unwrap_or_default() | 1 << 63,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::RequestId,
        tests::{announcing, record, record_at},
    };

    fn table(registrars: Registrars) -> ServiceTable {
        ServiceTable::new(Topic::of("les"), B256::ZERO, registrars)
    }

    #[test]
    fn only_registrars_that_can_be_reached_enter() {
        let now = Instant::now();
        let mut strict = table(Registrars::Announced);
        assert!(!strict.insert(record(1), now));
        assert!(!strict.insert(announcing(1, &[2]), now));
        assert!(strict.insert(announcing(1, &[1]), now));

        let mut open = ServiceTable::new(Topic::of("les"), record(1).node_id(), Registrars::Any);
        assert!(!open.insert(record(1), now)); // ourselves
        assert!(open.insert(record(2), now));
        assert!(!open.insert(crate::tests::without_address(3), now));
    }

    #[test]
    fn buckets_and_networks_have_their_limits() {
        let now = Instant::now();
        let mut near = table(Registrars::Any);
        for n in 0..250 {
            near.insert(record_at(n, [8, 8, 8, n].into()), now);
        }
        assert!(near.distances().iter().all(|at| near.ready(*at, now).count() <= MAX_PER_NETWORK));

        let mut far = table(Registrars::Any);
        for n in 0..250 {
            far.insert(record(n), now);
        }
        assert_eq!(far.ready(MAX_DISTANCE, now).count(), BUCKET_SIZE);
        assert!(far.len() < 120);
        assert!(!far.hints().contains(&MAX_DISTANCE));
        assert_eq!(far.hints().len(), MAX_HINTS);
    }

    #[test]
    fn who_fails_is_left_alone_longer_each_time_and_makes_room() {
        let start = Instant::now();
        let mut table = table(Registrars::Any);
        table.insert(record(1), start);
        let (node, distance) = (record(1).node_id(), table.distances()[0]);

        table.failed(node, start);
        assert_eq!(table.ready(distance, start).count(), 0);
        assert_eq!(table.next_return(start), Some(start + FIRST_PAUSE));
        assert_eq!(table.ready(distance, start + FIRST_PAUSE).count(), 1);
        table.failed(node, start);
        assert_eq!(table.next_return(start), Some(start + FIRST_PAUSE * 2));
        (0..100).for_each(|_| table.failed(node, start));
        assert_eq!(table.next_return(start), Some(start + FIRST_PAUSE * 32));
        table.succeeded(node);
        assert_eq!((table.ready(distance, start).count(), table.next_return(start)), (1, None));
    }

    #[test]
    fn one_answer_gives_one_node_for_each_distance() {
        let now = Instant::now();
        let mut table = table(Registrars::Any);
        let records = (0..18).map(record).collect();

        table.insert_auxiliary(Nodes { id: RequestId::from([0; 8]), total: 1, records, refused: 0 }, now);

        assert!(table.len() > 1);
        assert_eq!(table.distances().len(), table.len());
    }
}
