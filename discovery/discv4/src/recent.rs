//! A map that forgets what was not renewed for the longest time.

use std::{collections::BTreeMap, ops::RangeInclusive};

/// At most `capacity` entries; a further one takes the place of the oldest.
#[derive(Clone, Debug)]
pub(crate) struct Recent<K, V> {
    capacity: usize,
    /// Each with its place in `order`.
    entries: BTreeMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
}

impl<K: Copy + Ord, V> Recent<K, V> {
    pub(crate) const fn new(capacity: usize) -> Self {
        Self { capacity, entries: BTreeMap::new(), order: BTreeMap::new(), next: 0 }
    }

    /// Enters or replaces `key`, which becomes the newest.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some((place, _)) = self.entries.remove(&key) {
            self.order.remove(&place);
        }
        while self.entries.len() >= self.capacity {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.entries.remove(&oldest);
        }
        self.order.insert(self.next, key);
        self.entries.insert(key, (self.next, value));
        self.next += 1;
    }

    /// As [`Self::insert`], but of the keys in `range` only `limit` are kept.
    pub(crate) fn insert_within(&mut self, key: K, value: V, range: RangeInclusive<K>, limit: usize) {
        if !self.entries.contains_key(&key) && self.entries.range(range.clone()).count() >= limit {
            let oldest = self.entries.range(range).min_by_key(|(_, (place, _))| *place);
            if let Some(oldest) = oldest.map(|(oldest, _)| *oldest) {
                self.remove(&oldest);
            }
        }
        self.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (place, value) = self.entries.remove(key)?;
        self.order.remove(&place);
        Some(value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(crate) fn range(&self, range: RangeInclusive<K>) -> impl Iterator<Item = &V> {
        self.entries.range(range).map(|(_, (_, value))| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let mut recent = Recent::new(2);

        recent.insert(1, 'a');
        recent.insert(2, 'b');
        recent.insert(1, 'c');
        recent.insert(3, 'd');

        assert_eq!((recent.get(&1), recent.get(&2), recent.get(&3)), (Some(&'c'), None, Some(&'d')));
        assert_eq!((recent.len(), recent.order.len()), (2, 2));
    }

    #[test]
    fn a_range_makes_room_within_itself() {
        let mut recent = Recent::new(10);
        recent.insert(50, ());

        for key in 0..10 {
            recent.insert_within(key, (), 0..=9, 3);
        }

        assert_eq!(recent.len(), 4);
        assert!(recent.get(&50).is_some() && recent.get(&9).is_some() && recent.get(&6).is_none());
    }
}
