//! The table: nodes that answered, sorted into buckets by their distance from us.

use std::{collections::VecDeque, time::Instant};

use alloy_primitives::B256;

use crate::{
    network::{is_public, subnet},
    node::{Node, Peer, log_distance},
    random::Random,
};

/// Buckets: one for each of the largest distances, and one for all others, which hardly occur (geth).
pub const BUCKETS: usize = 17;
/// Nodes of a bucket, and of an answer (`k` of Kademlia).
pub const BUCKET_SIZE: usize = 16;
/// Nodes that wait for a place in a bucket.
pub const MAX_REPLACEMENTS: usize = 10;
/// Nodes of one public /24 (IPv6: /48) in a bucket, waiting ones too (geth, `bucketIPLimit`).
pub const BUCKET_SUBNET_LIMIT: usize = 2;
/// The same in the whole table (geth, `tableIPLimit`).
pub const TABLE_SUBNET_LIMIT: usize = 10;
/// Questions in a row that a node of the table may leave unanswered (geth, `maxFindnodeFailures`).
pub const MAX_FAILURES: u32 = 5;

/// With fewer in a bucket, even a node that leaves questions unanswered stays (geth).
const FEW: usize = BUCKET_SIZE / 4;
/// What the count of answered pings is divided by when one is not (geth).
const FORGIVENESS: u32 = 3;

#[derive(Debug)]
pub(crate) struct Table {
    own: B256,
    buckets: Vec<Bucket>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Who was heard last stands last.
    entries: Vec<Entry>,
    /// Who was heard last stands first.
    replacements: VecDeque<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    node: Node,
    checked: Instant,
    /// Pings answered, less what was forgiven.
    checks: u32,
    /// Questions left unanswered in a row.
    failures: u32,
}

impl Table {
    pub(crate) fn new(own: B256) -> Self {
        Self { own, buckets: (0..BUCKETS).map(|_| Bucket::default()).collect() }
    }

    /// Takes in `node`, which has just answered. It waits if its bucket is full, and is passed over if too many
    /// of its site are there.
    pub(crate) fn answered_ping(&mut self, node: Node, now: Instant) {
        let Some(index) = self.index(node.id) else { return };
        let fits = self.has_room_for_site(index, &node);
        let Some(bucket) = self.buckets.get_mut(index) else { return };
        let listed = bucket.entries.iter_mut().chain(&mut bucket.replacements);
        if let Some(entry) = listed.into_iter().find(|entry| entry.node.id == node.id) {
            entry.heard(node, fits, now);
        } else if fits && bucket.entries.len() < BUCKET_SIZE {
            bucket.entries.push(Entry::new(node, now));
        } else if fits {
            bucket.replacements.push_front(Entry::new(node, now));
            bucket.replacements.truncate(MAX_REPLACEMENTS);
        }
    }

    /// `peer` did not answer a ping. When it has no credit left, one that waits takes its place. That it is
    /// not at another address, which anybody may have named, does not count.
    pub(crate) fn missed_ping(&mut self, peer: Peer, random: &mut Random, now: Instant) {
        let Some(bucket) = self.bucket_mut(peer.id) else { return };
        let Some(entry) = bucket.entry_mut(peer) else { return };
        entry.checks /= FORGIVENESS;
        entry.checked = now;
        if entry.checks == 0 {
            bucket.replace(peer, random);
        }
    }

    /// `peer` left a question unanswered.
    pub(crate) fn missed_question(&mut self, peer: Peer, random: &mut Random) {
        let Some(bucket) = self.bucket_mut(peer.id) else { return };
        let spare = bucket.entries.len() >= FEW;
        let Some(entry) = bucket.entry_mut(peer) else { return };
        entry.failures += 1;
        if entry.failures >= MAX_FAILURES && spare {
            bucket.replace(peer, random);
        }
    }

    /// `peer` answered a question.
    pub(crate) fn answered_question(&mut self, peer: Peer) {
        if let Some(entry) = self.bucket_mut(peer.id).and_then(|bucket| bucket.entry_mut(peer)) {
            entry.failures = 0;
        }
    }

    pub(crate) fn contains(&self, peer: Peer) -> bool {
        self.entries().any(|entry| entry.node.peer() == peer)
    }

    /// The nodes closest to `target`, the closest first.
    pub(crate) fn closest(&self, target: B256) -> Vec<Node> {
        let mut nodes: Vec<Node> = self.entries().map(|entry| entry.node).collect();
        nodes.sort_by_key(|node| node.id ^ target);
        nodes
    }

    /// Who was not heard of for the longest time, and since when.
    pub(crate) fn oldest(&self) -> Option<(Node, Instant)> {
        self.entries().map(|entry| (entry.node, entry.checked)).min_by_key(|(_, checked)| *checked)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries().count()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.entries)
    }

    fn has_room_for_site(&self, index: usize, node: &Node) -> bool {
        let ip = node.addr.ip();
        if !is_public(ip) {
            return true;
        }
        let site = subnet(ip);
        let of_site = |bucket: &Bucket| {
            let listed = bucket.entries.iter().chain(&bucket.replacements);
            listed.filter(|entry| entry.node.id != node.id && subnet(entry.node.addr.ip()) == site).count()
        };
        self.buckets.get(index).is_some_and(|bucket| of_site(bucket) < BUCKET_SUBNET_LIMIT)
            && self.buckets.iter().map(of_site).sum::<usize>() < TABLE_SUBNET_LIMIT
    }

    fn bucket_mut(&mut self, id: B256) -> Option<&mut Bucket> {
        let index = self.index(id)?;
        self.buckets.get_mut(index)
    }

    /// `None` for our own id.
    fn index(&self, id: B256) -> Option<usize> {
        match log_distance(self.own, id) {
            0 => None,
            distance => Some(distance.saturating_sub(256 - BUCKETS + 1)),
        }
    }
}

impl Bucket {
    fn entry_mut(&mut self, peer: Peer) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.node.peer() == peer)
    }

    fn replace(&mut self, peer: Peer, random: &mut Random) {
        self.entries.retain(|entry| entry.node.peer() != peer);
        let chosen = random.below(self.replacements.len());
        self.entries.extend(self.replacements.remove(chosen));
    }
}

impl Entry {
    const fn new(node: Node, now: Instant) -> Self {
        Self { node, checked: now, checks: 1, failures: 0 }
    }

    /// The node answered, here or at another address, which it may move to if there is room for its new site.
    fn heard(&mut self, node: Node, fits: bool, now: Instant) {
        if node.addr == self.node.addr {
            self.checked = now;
            self.checks = self.checks.saturating_add(1);
            if node.tcp != 0 {
                self.node.tcp = node.tcp;
            }
        } else if fits {
            *self = Self::new(node, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use alloy_primitives::B512;
    use causeway_wire::NodeKey;

    use super::*;

    const OWN: B256 = B256::ZERO;

    /// A node whose id has `first` and `second` in front, at its own site.
    fn node(first: u8, second: u8) -> Node {
        at(first, second, ([20 + first / 8, first, second, 1], 30303).into())
    }

    fn at(first: u8, second: u8, addr: SocketAddr) -> Node {
        let mut id = B256::ZERO;
        (id[0], id[1]) = (first, second);
        Node { key: NodeKey(B512::ZERO), id, addr, tcp: 30303 }
    }

    #[test]
    fn a_bucket_is_bounded_and_so_are_those_who_wait() {
        let now = Instant::now();
        let mut table = Table::new(OWN);

        for second in 0..100 {
            table.answered_ping(node(0x80, second), now);
        }

        assert_eq!(table.len(), BUCKET_SIZE);
        assert_eq!(table.buckets[16].replacements.len(), MAX_REPLACEMENTS);
    }

    #[test]
    fn the_table_is_bounded() {
        let now = Instant::now();
        let mut table = Table::new(OWN);

        for n in 0..60_000_u32 {
            let [_, a, b, c] = n.to_be_bytes();
            let mut node = at(0, 0, ([11 + a, b, c, 1], 1).into());
            node.id = alloy_primitives::keccak256(n.to_be_bytes());
            table.answered_ping(node, now);
        }

        assert!(table.len() <= BUCKETS * BUCKET_SIZE);
        assert!(table.buckets.iter().all(|bucket| bucket.replacements.len() <= MAX_REPLACEMENTS));
    }

    #[test]
    fn a_public_site_has_two_places_in_a_bucket_and_ten_in_the_table() {
        let now = Instant::now();
        let mut table = Table::new(OWN);
        for bit in 0..8 {
            for second in 0..4 {
                table.answered_ping(at(0x80 >> bit, second, ([9, 8, 7, second], 1).into()), now);
            }
        }

        let counts: Vec<_> = table.buckets.iter().map(|bucket| bucket.entries.len()).collect();

        assert_eq!(counts, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn a_local_network_has_all_places() {
        let now = Instant::now();
        let mut table = Table::new(OWN);

        for second in 0..16 {
            table.answered_ping(at(0x80, second, ([127, 0, 0, 1], 1000).into()), now);
        }

        assert_eq!(table.len(), 16);
    }

    #[test]
    fn a_dead_node_gives_its_place_to_one_that_waits() {
        let now = Instant::now();
        let mut table = Table::new(OWN);
        for second in 0..17 {
            table.answered_ping(node(0x80, second), now);
        }
        for _ in 0..2 {
            table.answered_ping(node(0x80, 0), now); // three answers are good for one silence
        }
        let is_there = |table: &Table, second| table.closest(OWN).contains(&node(0x80, second));

        table.missed_ping(node(0x80, 0).peer(), &mut Random::new([0; 32]), now);
        assert!(is_there(&table, 0) && !is_there(&table, 16));

        table.missed_ping(node(0x80, 0).peer(), &mut Random::new([0; 32]), now);
        assert!(!is_there(&table, 0) && is_there(&table, 16));
    }

    #[test]
    fn a_node_that_leaves_questions_unanswered_goes_if_there_are_others() {
        let now = Instant::now();
        let mut random = Random::new([0; 32]);
        let mut table = Table::new(OWN);
        table.answered_ping(node(0x80, 0), now);

        (0..MAX_FAILURES).for_each(|_| table.missed_question(node(0x80, 0).peer(), &mut random));
        assert_eq!(table.len(), 1);

        (1..4).for_each(|second| table.answered_ping(node(0x80, second), now));
        table.answered_question(node(0x80, 0).peer());
        (1..MAX_FAILURES).for_each(|_| table.missed_question(node(0x80, 0).peer(), &mut random));
        assert_eq!(table.len(), 4);
        table.missed_question(node(0x80, 0).peer(), &mut random);
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn the_closest_come_first_and_the_longest_unheard_is_known() {
        let now = Instant::now();
        let mut table = Table::new(OWN);
        for (late, first) in [1, 2, 4, 8].into_iter().enumerate() {
            table.answered_ping(node(first, 0), now + Duration::from_secs(late as u64));
        }
        table.answered_ping(node(1, 0), now + Duration::from_secs(9));

        let closest: Vec<u8> = table.closest(node(5, 0).id).iter().map(|node| node.id[0]).collect();

        assert_eq!(closest, [4, 1, 2, 8]);
        assert_eq!(table.oldest(), Some((node(2, 0), now + Duration::from_secs(1))));
    }

    #[test]
    fn silence_at_an_address_that_others_named_does_no_harm() {
        let now = Instant::now();
        let mut table = Table::new(OWN);
        table.answered_ping(node(0x80, 0), now);

        table.missed_ping(at(0x80, 0, ([6, 6, 6, 6], 6).into()).peer(), &mut Random::new([0; 32]), now);

        assert!(table.contains(node(0x80, 0).peer()));
    }

    #[test]
    fn we_are_not_in_our_table() {
        let mut table = Table::new(OWN);

        table.answered_ping(node(0, 0), Instant::now());

        assert_eq!(table.len(), 0);
    }
}
