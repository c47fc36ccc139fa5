//! Nodes that a registrar tells of, so that those who ask it get to know nodes near their topic.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use causeway_records::Record;

use crate::{draw::Draw, topic::Topic};

/// Most nodes that a registrar tells of; each costs up to about a kilobyte.
pub const MAX_NEIGHBOURS: usize = 512;

/// Most nodes in one answer, as FINDNODE's.
pub const MAX_AUXILIARY: usize = 16;

/// Live nodes that take part in topic discovery, by their ids.
#[derive(Debug, Default)]
pub(super) struct Neighbours(BTreeMap<B256, Record>);

impl Neighbours {
    /// Takes in a node, or a newer record of one; false if there is no room.
    pub(super) fn insert(&mut self, record: Record) -> bool {
        let node = record.node_id();
        let is_full = self.0.len() >= MAX_NEIGHBOURS;
        match self.0.get_mut(&node) {
            Some(known) if known.seq() >= record.seq() => {}
            Some(known) => *known = record,
            None if is_full => return false,
            None => {
                self.0.insert(node, record);
            }
        }
        true
    }

    pub(super) fn remove(&mut self, node: B256) {
        self.0.remove(&node);
    }

    /// One node for each of `distances` from `topic` at which there are any, chosen anew each time.
    pub(super) fn at(&self, topic: Topic, distances: &[u16], asker: B256, draw: &mut Draw) -> Vec<&Record> {
        let mut wanted: BTreeMap<u16, Vec<&Record>> =
            distances.iter().map(|distance| (*distance, Vec::new())).collect();
        for (node, record) in self.0.iter().filter(|(node, _)| **node != asker) {
            if let Some(at) = topic.distance(*node).and_then(|distance| wanted.get_mut(&distance)) {
                at.push(record);
            }
        }
        // The farthest first: most nodes are there.
        let one_each = wanted.into_values().rev().filter_map(|at| draw.some(at, 1).pop());
        one_each.take(MAX_AUXILIARY).collect()
    }
}

#[cfg(test)]
impl Neighbours {
    pub(super) fn insert_for_test(&mut self, node: B256, record: Record) {
        self.0.insert(node, record);
    }
}
