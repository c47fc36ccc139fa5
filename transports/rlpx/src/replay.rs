//! Remembers the auth packets of late, so that a recorded one opens no second connection.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

/// A digest of what makes an auth packet unique.
type Mark = [u8; 16];

/// The initiators' nonces and ephemeral keys seen of late; one for all connections of a listener.
///
/// Only packets that decrypted and whose signature recovered enter, so filling it costs the sender a
/// connection and two curve operations for each entry; the oldest leaves when it is full.
#[derive(Debug)]
pub struct SeenAuths {
    capacity: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    marks: BTreeSet<Mark>,
    order: VecDeque<Mark>,
}

impl SeenAuths {
    /// Entries that [`SeenAuths::default`] keeps: about half a megabyte.
    pub const CAPACITY: usize = 8192;

    /// A memory of `capacity` packets, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), seen: Mutex::default() }
    }

    /// Notes `mark`; false if it was there already.
    pub(crate) fn insert(&self, mark: Mark) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.marks.insert(mark) {
            return false;
        }
        seen.order.push_back(mark);
        if seen.order.len() > self.capacity
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.marks.remove(&oldest);
        }
        true
    }
}

impl Default for SeenAuths {
    fn default() -> Self {
        Self::new(Self::CAPACITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_new_once() {
        let seen = SeenAuths::default();

        assert!(seen.insert([1; 16]));
        assert!(!seen.insert([1; 16]));
        assert!(seen.insert([2; 16]));
    }

    #[test]
    fn the_oldest_leaves_when_it_is_full() {
        let seen = SeenAuths::new(2);
        for byte in 1..=3 {
            assert!(seen.insert([byte; 16]));
        }

        assert!(!seen.insert([2; 16]));
        assert!(!seen.insert([3; 16]));
        assert!(seen.insert([1; 16]));
        assert_eq!(seen.seen.lock().expect("not poisoned").marks.len(), 2);
    }
}
