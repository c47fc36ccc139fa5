//! What both ends of a connection know of each other's liveness, on either stack, and how they agree on the interval.
//!
//! ```text
//! causeway/heartbeat    seconds between two pings, in a LES Status
//! ```
//!
//! Our own key; other programs ignore it, as go-ethereum v1.10.26 ignores every key that it does not know. A side that
//! wishes for an interval says so in its Status. What both apply is [`agreed`].

use std::time::Duration;

/// Time between two pings where nobody wished for another.
pub const DEFAULT: Duration = Duration::from_secs(15);

/// Shortest time between two pings, whatever is wished: more of them tell nothing more.
pub const SHORTEST: Duration = Duration::from_secs(5);

/// Longest time between two pings, whatever is wished: a session that is gone is not kept for longer.
pub const LONGEST: Duration = Duration::from_secs(600);

/// The interval for a connection whose sides wished for so many seconds: the longer of two wishes, the only wish
/// if there is one, else [`DEFAULT`]; never outside of [`SHORTEST`] and [`LONGEST`].
pub fn agreed(ours: Option<u64>, theirs: Option<u64>) -> Duration {
    ours.max(theirs).map_or(DEFAULT, |seconds| clamped(Duration::from_secs(seconds)))
}

/// The nearest interval that is allowed.
pub fn clamped(interval: Duration) -> Duration {
    interval.clamp(SHORTEST, LONGEST)
}

/// The state of one connection's heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Time between two of our pings.
    pub interval: Duration,
    /// How long answers took; `None` before the first.
    pub round_trip: Option<RoundTrip>,
    /// Pings in a row without a sign of life.
    pub missed: u32,
    /// Pings without a sign of life since the beginning.
    pub missed_ever: u64,
}

/// How long answers to pings took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// The last one.
    pub last: Duration,
    /// Smoothed as RFC 6298 does: a new one counts for an eighth.
    pub smoothed: Duration,
    /// The shortest.
    pub shortest: Duration,
}

/// What a new round trip leaves of the smoothed one, in eighths.
const KEPT_EIGHTHS: u32 = 7;

impl Heartbeat {
    /// That of a new connection.
    pub fn new(interval: Duration) -> Self {
        Self { interval: clamped(interval), round_trip: None, missed: 0, missed_ever: 0 }
    }

    /// A ping was answered after `took`.
    pub fn answered(&mut self, took: Duration) {
        self.missed = 0;
        self.round_trip = Some(match self.round_trip {
            None => RoundTrip { last: took, smoothed: took, shortest: took },
            Some(before) => RoundTrip {
                last: took,
                smoothed: before.smoothed.saturating_mul(KEPT_EIGHTHS).saturating_add(took) / 8,
                shortest: before.shortest.min(took),
            },
        });
    }

    /// A ping was left without a sign of life for too long.
    pub fn miss(&mut self) {
        self.missed = self.missed.saturating_add(1);
        self.missed_ever = self.missed_ever.saturating_add(1);
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

/// How long an answer may take before the ping counts as missed: `usual`, or less where pings are frequent.
pub fn patience(interval: Duration, usual: Duration) -> Duration {
    usual.min(interval.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn longer_wish_counts_and_the_only_one_does() {
        let seconds = |ours, theirs| agreed(ours, theirs).as_secs();

        assert_eq!(seconds(None, None), 15);
        assert_eq!(seconds(None, Some(5)), 5);
        assert_eq!(seconds(Some(60), None), 60);
        assert_eq!(seconds(Some(60), Some(300)), 300);
        assert_eq!(seconds(Some(300), Some(60)), 300);
    }

    #[test]
    fn no_wish_leads_out_of_bounds() {
        for wish in [0, 1, 4] {
            assert_eq!(agreed(None, Some(wish)), SHORTEST);
        }
        for wish in [600, 601, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(agreed(None, Some(wish)), LONGEST);
            assert_eq!(agreed(Some(15), Some(wish)), LONGEST);
        }
        assert_eq!(Heartbeat::new(Duration::MAX).interval, LONGEST);
        assert_eq!(Heartbeat::new(Duration::ZERO).interval, SHORTEST);
    }

    #[test]
    fn round_trips_are_smoothed() {
        let mut heartbeat = Heartbeat::default();
        for took in [80, 160, 40] {
            heartbeat.answered(took * MILLISECOND);
        }

        let expected = RoundTrip {
            last: 40 * MILLISECOND,
            smoothed: Duration::from_micros(83_750), // (7 * 90 + 40) / 8
            shortest: 40 * MILLISECOND,
        };
        assert_eq!(heartbeat.round_trip, Some(expected));
    }

    #[test]
    fn answer_ends_a_row_of_misses_and_forgets_none() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.miss();
        heartbeat.miss();
        assert_eq!((heartbeat.missed, heartbeat.missed_ever), (2, 2));

        heartbeat.answered(MILLISECOND);

        assert_eq!((heartbeat.missed, heartbeat.missed_ever), (0, 2));
    }

    #[test]
    fn round_trip_of_any_length_is_borne() {
        let mut heartbeat = Heartbeat::default();
        for took in [Duration::MAX, Duration::MAX, Duration::ZERO] {
            heartbeat.answered(took);
        }

        assert_eq!(heartbeat.round_trip.map(|trip| trip.shortest), Some(Duration::ZERO));
    }

    #[test]
    fn frequent_pings_are_waited_for_less() {
        let usual = Duration::from_secs(20);

        assert_eq!(patience(SHORTEST, usual), Duration::from_secs(10));
        assert_eq!(patience(DEFAULT, usual), usual);
        assert_eq!(patience(LONGEST, usual), usual);
    }
}
