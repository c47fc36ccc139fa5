//! For how long a full node has owed us a word.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Since when nothing was heard although something was asked.
#[derive(Debug)]
pub(super) struct Silence {
    origin: Instant,
    /// Milliseconds since `origin`.
    since: AtomicU64,
}

impl Silence {
    /// Nothing was heard yet.
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, since: AtomicU64::new(0) }
    }

    /// Something was heard, or asked after a pause.
    pub(super) fn begin(&self, now: Instant) {
        let since = now.saturating_duration_since(self.origin).as_millis();
        self.since.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// For how long.
    pub(super) fn lasts(&self, now: Instant) -> Duration {
        let since = Duration::from_millis(self.since.load(Ordering::Relaxed));
        now.saturating_duration_since(self.origin).saturating_sub(since)
    }
}
