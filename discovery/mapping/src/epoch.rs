//! A router's clock, which starts anew when the router forgot its mappings.

use std::time::Instant;

/// A router's seconds since it forgot everything, and when it said so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    seconds: u32,
    at: Instant,
}

/// What a router's clock tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// It went on.
    Steady,
    /// The router was restarted or lost its mappings.
    Reset,
}

/// So far the two clocks may differ before their speed matters, in seconds.
const SLACK: u64 = 2;
/// Clocks may go wrong by a sixteenth.
const DRIFT: u64 = 16;

impl Epoch {
    pub(crate) fn new(seconds: u32, at: Instant) -> Self {
        Self { seconds, at }
    }

    /// Compares with what the same router said later (RFC 6887, 8.5; RFC 6886, 3.6 is the same with an eighth).
    pub(crate) fn compare(self, later: Self) -> Clock {
        let ours = later.at.saturating_duration_since(self.at).as_secs();
        // One packet may overtake another.
        let Some(theirs) = (u64::from(later.seconds) + 1).checked_sub(u64::from(self.seconds)) else {
            return Clock::Reset;
        };
        let theirs = theirs.saturating_sub(1);
        let slower = ours + SLACK < theirs - theirs / DRIFT;
        let faster = theirs + SLACK < ours - ours / DRIFT;
        if slower || faster { Clock::Reset } else { Clock::Steady }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn compare(first: u32, elapsed: u64, then: u32) -> Clock {
        let start = Instant::now();
        Epoch::new(first, start).compare(Epoch::new(then, start + Duration::from_secs(elapsed)))
    }

    #[test]
    fn a_clock_that_goes_on_is_steady() {
        assert_eq!(compare(100, 60, 160), Clock::Steady);
        assert_eq!(compare(100, 60, 157), Clock::Steady);
        assert_eq!(compare(100, 0, 99), Clock::Steady); // overtaken
        assert_eq!(compare(100, 3600, 100 + 3600 - 200), Clock::Steady); // slow
        assert_eq!(compare(u32::MAX, 0, u32::MAX), Clock::Steady);
    }

    #[test]
    fn a_clock_that_starts_anew_is_noticed() {
        assert_eq!(compare(100, 60, 0), Clock::Reset);
        assert_eq!(compare(100, 60, 98), Clock::Reset);
        assert_eq!(compare(100, 600, 110), Clock::Reset); // restarted, and long ago
        assert_eq!(compare(100, 1, 900), Clock::Reset); // another router
        assert_eq!(compare(u32::MAX, 60, 0), Clock::Reset);
    }
}
