//! How often our record changes because of how others reach us.

use std::time::Duration;

use tokio::time::Instant;

/// Between two changes in the long run: each is fetched by all who know us.
const PAUSE: Duration = Duration::from_secs(30);

/// So many come at once after a quiet time: at the start an address is seen, then places are found, and who waits for
/// those must not wait for the pause, too.
const AT_ONCE: u32 = 3;

/// When the record may change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Until then the changes so far would have been spread out.
    until: Option<Instant>,
}

impl Pace {
    pub(super) fn allows(&self, now: Instant) -> bool {
        let ahead = self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        ahead <= PAUSE * (AT_ONCE - 1)
    }

    pub(super) fn note(&mut self, now: Instant) {
        self.until = Some(self.until.map_or(now, |until| until.max(now)) + PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_changes_come_at_once_and_then_one_after_each_pause() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let changes: Vec<u64> = (0..200)
            .filter(|second| {
                let now = start + Duration::from_secs(*second);
                let allowed = pace.allows(now);
                if allowed {
                    pace.note(now);
                }
                allowed
            })
            .collect();

        assert_eq!(changes, [0, 1, 2, 30, 60, 90, 120, 150, 180]);
        assert!(pace.allows(start + Duration::from_secs(500)));
    }
}
