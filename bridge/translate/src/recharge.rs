//! Units gained over time, exactly.

use std::time::{Duration, Instant};

/// Longest time that is ever waited for: bounds what absurd parameters of a peer can do to clocks.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Nanoseconds in a millisecond, the unit of `flowControl/MRR`.
const NANOS: u128 = 1_000_000;

/// Counts units that flow in at a rate per millisecond; fractions of a unit are kept, not lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recharge {
    rate: u64,
    last: Instant,
    carry: u128,
}

impl Recharge {
    /// Starts counting `now`, at `rate` units per millisecond.
    pub(crate) fn new(rate: u64, now: Instant) -> Self {
        Self { rate, last: now, carry: 0 }
    }

    /// Units per millisecond.
    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    /// The units gained since this was last asked. A clock that goes back gains nothing.
    pub(crate) fn gained(&mut self, now: Instant) -> u64 {
        let nanos = now.saturating_duration_since(self.last).as_nanos();
        self.last = self.last.max(now);
        let total = nanos.saturating_mul(u128::from(self.rate)).saturating_add(self.carry);
        self.carry = total % NANOS;
        u64::try_from(total / NANOS).unwrap_or(u64::MAX)
    }

    /// The time in which `units` flow in, at most an hour.
    pub(crate) fn time_for(&self, units: u64) -> Duration {
        if self.rate == 0 {
            return MAX_WAIT;
        }
        let nanos = (u128::from(units) * NANOS).div_ceil(u128::from(self.rate));
        u64::try_from(nanos).map_or(MAX_WAIT, Duration::from_nanos).min(MAX_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_kept() {
        let start = Instant::now();
        let mut recharge = Recharge::new(1, start);

        let gained: u64 = (1..=1000).map(|i| recharge.gained(start + Duration::from_micros(i * 100))).sum();

        assert_eq!(gained, 100);
    }

    #[test]
    fn time_going_back_gains_nothing() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut recharge = Recharge::new(10, start);

        assert_eq!(recharge.gained(start - Duration::from_secs(5)), 0);
        assert_eq!(recharge.gained(start + Duration::from_millis(3)), 30);
    }

    #[test]
    fn waits_are_bounded_and_sufficient() {
        let start = Instant::now();
        let recharge = Recharge::new(3, start);

        assert_eq!(recharge.time_for(u64::MAX), MAX_WAIT);
        assert_eq!(Recharge::new(0, start).time_for(1), MAX_WAIT);
        assert!(Recharge::new(3, start).gained(start + recharge.time_for(10)) >= 10);
    }
}
