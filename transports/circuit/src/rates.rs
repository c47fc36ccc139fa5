//! Token buckets of many keys in bounded memory.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::Rate;

/// Looking through all buckets for full ones happens at most this often.
const SWEEP: Duration = Duration::from_secs(1);

/// A bucket as the time from which on it is full.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    full: Instant,
}

impl Bucket {
    fn allows(self, rate: Rate, now: Instant) -> bool {
        // Every token taken puts off the time of fullness by `every`; `burst` of them are the depth.
        self.full.saturating_duration_since(now) <= rate.every.saturating_mul(rate.burst.saturating_sub(1))
            && rate.burst > 0
    }

    fn take(&mut self, rate: Rate, now: Instant) {
        let from = self.full.max(now);
        self.full = from.checked_add(rate.every).unwrap_or(from);
    }
}

/// One bucket for each key; no more than `capacity` of them.
#[derive(Debug)]
pub(crate) struct Rates<Key> {
    rate: Rate,
    capacity: usize,
    buckets: BTreeMap<Key, Bucket>,
    /// Who comes when all places are taken shares this one.
    overflow: Option<Bucket>,
    swept: Option<Instant>,
}

impl<Key: Ord> Rates<Key> {
    pub(crate) fn new(rate: Rate, capacity: usize) -> Self {
        Self { rate, capacity, buckets: BTreeMap::new(), overflow: None, swept: None }
    }

    /// Whether `key` may do it now. Takes nothing, and does not remember it.
    pub(crate) fn allows(&mut self, key: &Key, now: Instant) -> bool {
        self.sweep(now);
        let bucket = match self.buckets.get(key) {
            Some(bucket) => *bucket,
            None if self.buckets.len() < self.capacity => Bucket { full: now },
            None => self.overflow.unwrap_or(Bucket { full: now }),
        };
        bucket.allows(self.rate, now)
    }

    /// Counts it.
    pub(crate) fn take(&mut self, key: Key, now: Instant) {
        if let Some(bucket) = self.buckets.get_mut(&key) {
            bucket.take(self.rate, now);
            return;
        }
        let mut bucket = Bucket { full: now };
        if self.buckets.len() < self.capacity {
            bucket.take(self.rate, now);
            self.buckets.insert(key, bucket);
        } else {
            self.overflow.get_or_insert(bucket).take(self.rate, now);
        }
    }

    /// A full bucket is as good as none.
    fn sweep(&mut self, now: Instant) {
        let due = self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP);
        if due && self.buckets.len() >= self.capacity {
            self.swept = Some(now);
            self.buckets.retain(|_, bucket| bucket.full > now);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, every: Duration::from_secs(10) };

    fn taken(rates: &mut Rates<u32>, key: u32, now: Instant) -> bool {
        let allowed = rates.allows(&key, now);
        if allowed {
            rates.take(key, now);
        }
        allowed
    }

    #[test]
    fn a_burst_and_then_one_at_a_time() {
        let start = Instant::now();
        let mut rates = Rates::new(RATE, 8);

        let burst = [(); 5].map(|()| taken(&mut rates, 1, start));
        let later = [(); 2].map(|()| taken(&mut rates, 1, start + RATE.every));

        assert_eq!(burst, [true, true, true, false, false]);
        assert_eq!(later, [true, false]);
        assert!(taken(&mut rates, 2, start), "others are not concerned");
    }

    #[test]
    fn many_keys_share_one_bucket_when_places_run_out() {
        let start = Instant::now();
        let mut rates = Rates::new(RATE, 8);

        let allowed = (0..100).filter(|key| taken(&mut rates, *key, start)).count();

        assert_eq!((allowed, rates.len()), (8 + 3, 8));
        assert!(taken(&mut rates, 1, start), "who was there keeps his own");
        assert!(taken(&mut rates, 200, start + 3 * RATE.every), "full buckets make room");
        assert_eq!(rates.len(), 1);
    }

    #[test]
    fn nothing_is_let_with_a_burst_of_none() {
        let mut rates = Rates::<u32>::new(Rate { burst: 0, every: Duration::ZERO }, 8);
        assert!(!rates.allows(&1, Instant::now()));
    }
}
