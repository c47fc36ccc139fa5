//! What a peer has been worth to us.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a peer did since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// Questions that it answered, verified.
    pub answers: u64,
    /// Questions that it did not answer, or wrongly.
    pub failures: u64,
    /// How long an answer took, on average. Zero if none came.
    pub latency: Duration,
}

/// Worth of a peer that answers everything at once and has done so for long.
pub const MOST_WORTH: u32 = 1_000;

/// The worthless are forgotten after this time without a session.
pub const SHORTEST_MEMORY: Duration = Duration::from_secs(60 * 60);

/// The most worthy are remembered for this time without a session.
pub const LONGEST_MEMORY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Both counts are halved when they reach this together: what was lately weighs more.
const HALVED_AT: u64 = 2_048;

/// Failures that count from the start, so that one answer does not make a peer reliable.
const DOUBT: u64 = 8;

/// A failure weighs as much as this many answers.
const FAILURE_WEIGHT: u64 = 4;

/// A peer that takes this long is worth half of one that answers at once.
const SLOW: Duration = Duration::from_millis(500);

/// The sum of what a peer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Worth {
    answers: u64,
    failures: u64,
    /// Connected so long; it may not have been asked while others answered faster.
    minutes: u64,
    latency_ms: u64,
}

impl Worth {
    pub(crate) fn add(&mut self, value: Value) {
        if value.answers > 0 {
            let latency = u64::try_from(value.latency.as_millis()).unwrap_or(u64::MAX);
            let known = self.answers > 0;
            self.latency_ms =
                if known { self.latency_ms.saturating_mul(3).saturating_add(latency) / 4 } else { latency };
        }
        self.answers = self.answers.saturating_add(value.answers);
        self.failures = self.failures.saturating_add(value.failures);
        self.bound();
    }

    pub(crate) fn add_session(&mut self, lasted: Duration) {
        self.minutes = self.minutes.saturating_add(lasted.as_secs() / 60);
        self.bound();
    }

    fn bound(&mut self) {
        while self.answers.saturating_add(self.failures).saturating_add(self.minutes) >= HALVED_AT {
            self.answers /= 2;
            self.failures /= 2;
            self.minutes /= 2;
        }
    }

    /// From 0 to [`MOST_WORTH`].
    pub(crate) fn score(&self) -> u32 {
        let good = self.answers.saturating_add(self.minutes).min(HALVED_AT);
        let bad = self.failures.min(HALVED_AT) * FAILURE_WEIGHT + DOUBT;
        let slow = u64::try_from(SLOW.as_millis()).unwrap_or(u64::MAX);
        let reliable = good * u64::from(MOST_WORTH) / (good + bad);
        let score = reliable.saturating_mul(slow) / slow.saturating_add(self.latency_ms);
        u32::try_from(score).unwrap_or(MOST_WORTH)
    }

    /// Milliseconds that an answer takes, if there was one.
    pub(crate) fn latency_ms(&self) -> Option<u64> {
        (self.answers > 0).then_some(self.latency_ms)
    }

    /// How long the peer is remembered after it was last connected.
    pub(crate) fn kept(&self) -> Duration {
        let span = LONGEST_MEMORY.saturating_sub(SHORTEST_MEMORY);
        SHORTEST_MEMORY.saturating_add(span.saturating_mul(self.score().min(MOST_WORTH)) / MOST_WORTH)
    }

    /// What a file says, brought into bounds.
    pub(crate) fn bounded(mut self) -> Self {
        self.answers = self.answers.min(HALVED_AT);
        self.failures = self.failures.min(HALVED_AT);
        self.minutes = self.minutes.min(HALVED_AT);
        self.bound();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(answers: u64, failures: u64, millis: u64) -> Worth {
        let mut worth = Worth::default();
        worth.add(Value { answers, failures, latency: Duration::from_millis(millis) });
        worth
    }

    #[test]
    fn reliable_fast_and_long_known_is_worth_most() {
        let scores = [
            worth(1_000, 0, 10).score(),
            worth(1_000, 0, 500).score(),
            worth(1_000, 300, 500).score(),
            worth(1, 0, 10).score(),
            worth(0, 50, 0).score(),
        ];

        assert!(scores.windows(2).all(|pair| pair[0] > pair[1]), "{scores:?}");
        assert_eq!(Worth::default().score(), 0);
    }

    #[test]
    fn the_worthless_are_forgotten_within_the_hour_and_the_worthy_after_a_week() {
        assert_eq!(Worth::default().kept(), SHORTEST_MEMORY);
        assert!(worth(2_000, 0, 1).kept() > LONGEST_MEMORY / 10 * 9);
        assert!(worth(2_000, 0, 1).kept() <= LONGEST_MEMORY);
    }

    #[test]
    fn an_idle_peer_that_stays_is_worth_something() {
        let mut idle = Worth::default();

        idle.add_session(Duration::from_secs(3_600));

        assert!(idle.score() > MOST_WORTH / 2);
    }

    #[test]
    fn no_report_overflows() {
        let mut worth = Worth::default();

        for _ in 0..3 {
            worth.add(Value { answers: u64::MAX, failures: u64::MAX, latency: Duration::MAX });
            worth.add_session(Duration::MAX);
        }

        assert!(worth.score() <= MOST_WORTH && worth.kept() <= LONGEST_MEMORY);
    }
}
