//! How much like the addresses in the table an address is: a binary tree over their bits.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::LowerBound;

/// Levels of the tree of v4 addresses: all their bits.
const LEVELS4: u8 = 32;

/// Levels of the tree of v6 addresses: the network half. The other half is at its holder's free choice, so
/// differences there say nothing, and a tree over it would make an address of a /64 look unlike its neighbours.
const LEVELS6: u8 = 64;

/// The leading `length` bits of an address, the rest zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    length: u8,
    bits: u64,
}

#[derive(Clone, Copy, Debug)]
struct Vertex {
    /// Addresses in the table with this prefix.
    count: u32,
    /// The longest of the waiting times given out to addresses that match no longer prefix.
    bound: LowerBound,
}

/// The addresses of one family that are in the table; at most one vertex for each of their bits.
#[derive(Clone, Debug)]
pub struct IpTree {
    levels: u8,
    vertices: BTreeMap<Prefix, Vertex>,
}

impl IpTree {
    fn new(levels: u8) -> Self {
        Self { levels, vertices: BTreeMap::new() }
    }

    fn path(levels: u8, bits: u64) -> impl Iterator<Item = Prefix> {
        (0..=levels).map(move |length| {
            let mask = u64::MAX.checked_shl(64 - u32::from(length)).unwrap_or(0);
            Prefix { length, bits: bits & mask }
        })
    }

    fn insert(&mut self, bits: u64, now: Instant) {
        for prefix in Self::path(self.levels, bits) {
            let vertex = self.vertices.entry(prefix);
            vertex.or_insert_with(|| Vertex { count: 0, bound: LowerBound::new(now) }).count += 1;
        }
    }

    fn remove(&mut self, bits: u64) {
        if !Self::path(self.levels, bits).all(|prefix| self.vertices.contains_key(&prefix)) {
            return; // it is not in the table
        }
        for prefix in Self::path(self.levels, bits) {
            let Some(vertex) = self.vertices.get_mut(&prefix) else { return };
            vertex.count = vertex.count.saturating_sub(1);
            if vertex.count == 0 {
                self.vertices.remove(&prefix);
            }
        }
    }

    /// The share of the levels at which more addresses have the prefix than in a balanced tree, where each level
    /// halves them.
    fn score(&self, bits: u64) -> f64 {
        let counts = Self::path(self.levels, bits).map_while(|prefix| self.vertices.get(&prefix));
        let counts = counts.map(|vertex| f64::from(vertex.count));
        let mut expected = None;
        let mut crowded = 0u8;
        for count in counts {
            let fair = *expected.get_or_insert(count); // the root's count
            if count > fair {
                crowded += 1;
            }
            expected = Some(fair / 2.0);
        }
        f64::from(crowded) / f64::from(self.levels)
    }

    fn bounded(&mut self, bits: u64, fresh: Duration, now: Instant) -> Duration {
        let longest =
            Self::path(self.levels, bits).take_while(|prefix| self.vertices.contains_key(prefix)).last();
        match longest.and_then(|prefix| self.vertices.get_mut(&prefix)) {
            Some(vertex) => vertex.bound.apply(fresh, now),
            None => fresh,
        }
    }
}

/// The trees of both families. They are apart, as their addresses have nothing in common; an address of v4
/// written as one of v6 counts as what it is.
#[derive(Clone, Debug)]
pub struct IpTrees {
    v4: IpTree,
    v6: IpTree,
}

impl Default for IpTrees {
    fn default() -> Self {
        Self { v4: IpTree::new(LEVELS4), v6: IpTree::new(LEVELS6) }
    }
}

impl IpTrees {
    /// Counts an address that entered the table.
    pub fn insert(&mut self, ip: IpAddr, now: Instant) {
        let (tree, bits) = self.tree(ip);
        tree.insert(bits, now);
    }

    /// Counts an address out.
    pub fn remove(&mut self, ip: IpAddr) {
        let (tree, bits) = self.tree(ip);
        tree.remove(bits);
    }

    /// The longer of `fresh` and what was given out to like addresses before, less the time since.
    pub fn bounded(&mut self, ip: IpAddr, fresh: Duration, now: Instant) -> Duration {
        let (tree, bits) = self.tree(ip);
        tree.bounded(bits, fresh, now)
    }

    /// How crowded the address's surroundings are, from 0 to 1.
    pub fn score(&self, ip: IpAddr) -> f64 {
        match leading_bits(ip) {
            (Family::V4, bits) => self.v4.score(bits),
            (Family::V6, bits) => self.v6.score(bits),
        }
    }

    /// Vertices in both trees.
    pub fn vertices(&self) -> usize {
        self.v4.vertices.len() + self.v6.vertices.len()
    }

    fn tree(&mut self, ip: IpAddr) -> (&mut IpTree, u64) {
        match leading_bits(ip) {
            (Family::V4, bits) => (&mut self.v4, bits),
            (Family::V6, bits) => (&mut self.v6, bits),
        }
    }
}

enum Family {
    V4,
    V6,
}

/// The address's bits, the first one the highest; of v6 the network half.
fn leading_bits(ip: IpAddr) -> (Family, u64) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (Family::V4, u64::from(ip.to_bits()) << 32),
        IpAddr::V6(ip) => (Family::V6, u64::try_from(ip.to_bits() >> 64).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn trees(addresses: &[&str]) -> IpTrees {
        let mut trees = IpTrees::default();
        addresses.iter().for_each(|address| trees.insert(ip(address), Instant::now()));
        trees
    }

    fn near(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-12
    }

    #[test]
    fn nothing_is_like_an_empty_table() {
        assert!(near(trees(&[]).score(ip("1.2.3.4")), 0.0));
        assert!(near(trees(&["1.2.3.4"]).score(ip("2001:4860::1")), 0.0));
    }

    #[test]
    fn the_same_address_scores_highest() {
        assert!(near(trees(&["1.2.3.4"]).score(ip("1.2.3.4")), 1.0));
        assert!(near(trees(&["1.2.3.4"]).score(ip("::ffff:1.2.3.4")), 1.0));
        assert!(near(trees(&["2001:4860::1"]).score(ip("2001:4860::2")), 1.0)); // one network
    }

    #[test]
    fn scores_count_the_levels_that_are_crowded() {
        // One address: each level shared with it has 1 where 1/2, 1/4, … is fair.
        assert!(near(trees(&["1.2.3.0"]).score(ip("1.2.3.128")), 24.0 / 32.0));
        assert!(near(trees(&["0.0.0.0"]).score(ip("128.0.0.0")), 0.0));
        // Four, one in each quarter: 2 of 4, 1 of 4 are fair, then one alone is more than 1/2.
        let spread = trees(&["0.0.0.0", "64.0.0.0", "128.0.0.0", "192.0.0.0"]);
        assert!(near(spread.score(ip("32.0.0.0")), 0.0));
        assert!(near(spread.score(ip("16.0.0.0")), 1.0 / 32.0));
        // v6: 2000::/3 in common.
        assert!(near(trees(&["2000::"]).score(ip("3000::")), 3.0 / 64.0));
    }

    #[test]
    fn addresses_that_left_are_forgotten() {
        let mut trees = trees(&["1.2.3.4", "1.2.3.4", "2001::1"]);
        assert_eq!(trees.vertices(), 33 + 65);

        for address in ["1.2.3.4", "2001::1", "9.9.9.9"] {
            trees.remove(ip(address));
        }
        assert!(near(trees.score(ip("1.2.3.4")), 1.0));
        trees.remove(ip("1.2.3.4"));

        assert_eq!(trees.vertices(), 0);
    }

    #[test]
    fn like_addresses_share_a_bound_and_make_no_new_vertices() {
        let now = Instant::now();
        let mut trees = trees(&["1.2.3.4", "200.0.0.1"]);
        let vertices = trees.vertices();
        let [short, long] = [10, 100].map(Duration::from_secs);

        assert_eq!(trees.bounded(ip("1.2.3.128"), long, now), long);

        assert_eq!(trees.bounded(ip("1.2.3.129"), short, now + short), Duration::from_secs(90));
        assert_eq!(trees.bounded(ip("201.0.0.1"), short, now), short); // other surroundings
        assert_eq!(trees.vertices(), vertices);
    }
}
