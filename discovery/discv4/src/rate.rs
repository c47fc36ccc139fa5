//! Token buckets, kept as the moment at which the next token is there.

use std::time::{Duration, Instant};

use crate::recent::Recent;

/// So many a second, and so many at once after a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    interval: Duration,
    slack: Duration,
}

/// One bucket; full when it is new.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// When it is full again.
    full_at: Option<Instant>,
}

/// A bucket for each key, for as many keys as were seen last.
#[derive(Clone, Debug)]
pub(crate) struct Buckets<K> {
    rate: Rate,
    buckets: Recent<K, Bucket>,
}

impl Rate {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(per_second).unwrap_or(Duration::MAX / 2);
        Self { interval, slack: interval.saturating_mul(burst.saturating_sub(1)) }
    }
}

impl Bucket {
    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let is_free = self.full_at.is_none_or(|full_at| full_at <= now + rate.slack);
        if is_free {
            let from = self.full_at.map_or(now, |full_at| full_at.max(now));
            self.full_at = from.checked_add(rate.interval);
        }
        is_free
    }

    /// When there is a token; `None`: there is one.
    pub(crate) fn next(&self, rate: Rate) -> Option<Instant> {
        self.full_at?.checked_sub(rate.slack)
    }
}

impl<K: Copy + Ord> Buckets<K> {
    pub(crate) const fn new(rate: Rate, capacity: usize) -> Self {
        Self { rate, buckets: Recent::new(capacity) }
    }

    /// Takes a token from the bucket of `key`, if there is one.
    pub(crate) fn take(&mut self, key: K, now: Instant) -> bool {
        let mut bucket = self.buckets.remove(&key).unwrap_or_default();
        let taken = bucket.take(self.rate, now);
        self.buckets.insert(key, bucket);
        taken
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let start = Instant::now();
        let rate = Rate::new(10, 3);
        let mut bucket = Bucket::default();

        let at_once = (0..5).filter(|_| bucket.take(rate, start)).count();
        let within_a_second =
            (1..=1000).filter(|ms| bucket.take(rate, start + Duration::from_millis(*ms))).count();
        let after_a_pause = (0..5).filter(|_| bucket.take(rate, start + Duration::from_secs(9))).count();

        assert_eq!((at_once, within_a_second, after_a_pause), (3, 10, 3));
    }

    #[test]
    fn keys_do_not_share_and_are_bounded() {
        let start = Instant::now();
        let mut buckets = Buckets::new(Rate::new(1, 1), 4);

        assert!(buckets.take(1, start) && buckets.take(2, start) && !buckets.take(1, start));
        for key in 0..100 {
            buckets.take(key, start);
        }
        assert_eq!(buckets.len(), 4);
    }
}
