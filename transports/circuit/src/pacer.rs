//! One rate for the bytes of all circuits.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// As much as a tenth of a second is let through at once, and so much at least.
const LEAST_BURST: u64 = 64 << 10;

/// Shared by all circuits; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    bytes_per_second: NonZeroU64,
    /// When all that was let through will have been paid for.
    paid: Arc<Mutex<Instant>>,
}

impl Pacer {
    pub(crate) fn new(bytes_per_second: NonZeroU64, now: Instant) -> Self {
        Self { bytes_per_second, paid: Arc::new(Mutex::new(now)) }
    }

    /// Charges bytes that went through.
    pub(crate) fn charge(&self, bytes: u64, now: Instant) {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let from = (*paid).max(now);
        *paid = from.checked_add(self.time_of(bytes)).unwrap_or(from);
    }

    /// How long to wait until more may go through; `None` if it may now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let paid = *self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let burst = self.time_of((self.bytes_per_second.get() / 10).max(LEAST_BURST));
        let ahead = paid.saturating_duration_since(now);
        ahead.checked_sub(burst).filter(|wait| !wait.is_zero())
    }

    fn time_of(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_ten_seconds_no_more_goes_through_than_the_rate_and_a_burst() {
        let rate = 1_000_000;
        let start = Instant::now();
        let pacer = Pacer::new(NonZeroU64::new(rate).expect("not zero"), start);
        let (mut now, mut bytes) = (start, 0);

        while now < start + Duration::from_secs(10) {
            match pacer.wait(now) {
                Some(wait) => now += wait,
                None => {
                    pacer.charge(32 << 10, now);
                    bytes += 32 << 10;
                }
            }
        }

        assert!((10 * rate..10 * rate + rate / 10 + (64 << 10)).contains(&bytes), "{bytes}");
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let start = Instant::now();
        let pacer = Pacer::new(NonZeroU64::new(1_000_000).expect("not zero"), start);
        let later = start + Duration::from_secs(3600);

        pacer.charge(1_000_000, later);

        let wait = pacer.wait(later).expect("more than a burst went through");
        assert_eq!(wait, Duration::from_millis(900));
    }
}
