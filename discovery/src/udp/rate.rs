//! How often each of many strangers may ask.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// Strangers counted at once; those beyond get nothing until others have been quiet for long enough.
const MAX_COUNTED: usize = 4096;

/// How much one stranger may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Asked at once.
    pub burst: u32,
    /// Then one more each time that this has passed.
    pub every: Duration,
}

/// A bucket of tokens for each key, kept as the time at which it will be full again.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    full_at: HashMap<K, Instant>,
}

impl<K: Hash + Eq> Buckets<K> {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, full_at: HashMap::new() }
    }

    /// Whether `key` may ask once more; if so, it is counted.
    pub(super) fn take(&mut self, key: K, now: Instant) -> bool {
        if self.full_at.len() >= MAX_COUNTED && !self.full_at.contains_key(&key) {
            self.full_at.retain(|_, full| *full > now);
            if self.full_at.len() >= MAX_COUNTED {
                return false;
            }
        }
        let full = self.full_at.get(&key).map_or(now, |full| (*full).max(now)) + self.rate.every;
        let allowed = full.duration_since(now) <= self.rate.every * self.rate.burst;
        if allowed {
            self.full_at.insert(key, full);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, every: Duration::from_millis(100) };

    #[test]
    fn a_burst_is_served_and_then_one_at_a_time() {
        let start = Instant::now();
        let mut buckets = Buckets::new(RATE);

        let burst = (0..5).filter(|_| buckets.take("a", start)).count();

        assert_eq!(burst, 3);
        assert!(buckets.take("b", start), "another is not held to it");
        assert!(!buckets.take("a", start + Duration::from_millis(99)));
        assert!(buckets.take("a", start + Duration::from_millis(100)));
        assert!(!buckets.take("a", start + Duration::from_millis(100)));
    }

    #[test]
    fn many_strangers_take_bounded_memory() {
        let start = Instant::now();
        let mut buckets = Buckets::new(RATE);

        let served = (0..MAX_COUNTED + 10).filter(|stranger| buckets.take(*stranger, start)).count();

        assert_eq!(served, MAX_COUNTED);
        assert_eq!(buckets.full_at.len(), MAX_COUNTED);
        assert!(
            buckets.take(MAX_COUNTED + 1, start + Duration::from_secs(1)),
            "the quiet ones are forgotten"
        );
        assert_eq!(buckets.full_at.len(), 1);
    }
}
