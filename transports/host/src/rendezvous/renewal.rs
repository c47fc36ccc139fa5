//! When to register again: well before a registration is over, later and later where that fails. No clock.

use std::time::Duration;

use tokio::time::Instant;

/// Longest time between two registrations: a rendezvous point that was started anew has forgotten us.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// First pause after a failure; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(15);

/// Longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// The schedule of one registration at one rendezvous point.
///
/// At half its time a registration is renewed, so that one that fails can be tried again before it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    due: Instant,
    failures: u32,
}

impl Renewal {
    /// Due at once.
    pub fn new(now: Instant) -> Self {
        Self { due: now, failures: 0 }
    }

    /// When to register next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Notes that the registration was granted for `ttl`.
    pub fn granted(&mut self, ttl: Duration, now: Instant) {
        *self = Self { due: now + (ttl / 2).clamp(Duration::from_secs(1), LONGEST), failures: 0 };
    }

    /// Notes that it failed.
    pub fn failed(&mut self, now: Instant) {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_PAUSE);
        *self = Self { due: now + pause, failures: self.failures.saturating_add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_at_half_its_time_and_after_an_hour_at_last() {
        let now = Instant::now();
        let mut renewal = Renewal::new(now);
        assert_eq!(renewal.due(), now);

        renewal.granted(Duration::from_secs(120), now);
        assert_eq!(renewal.due(), now + Duration::from_secs(60));

        renewal.granted(Duration::from_secs(u64::MAX), now);
        assert_eq!(renewal.due(), now + LONGEST);

        renewal.granted(Duration::ZERO, now);
        assert_eq!(renewal.due(), now + Duration::from_secs(1), "never in a tight loop");
    }

    #[test]
    fn failures_are_retried_later_and_later() {
        let now = Instant::now();
        let mut renewal = Renewal::new(now);
        let pauses: Vec<u64> = (0..40)
            .map(|_| {
                renewal.failed(now);
                (renewal.due() - now).as_secs()
            })
            .collect();

        assert_eq!(pauses.get(..4), Some([15, 30, 60, 120].as_slice()));
        assert_eq!(pauses.last(), Some(&900));
    }
}
