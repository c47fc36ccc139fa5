//! How much a connection is used: by what the peer sends on its protocol streams. What we send says nothing, as heads
//! are announced to the forgotten too.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Shared by a connection's streams and whoever judges it.
#[derive(Debug)]
pub(crate) struct Usage {
    came: Instant,
    /// Milliseconds from `came` on.
    last: AtomicU64,
    streams: AtomicUsize,
    /// Being closed already.
    closing: AtomicBool,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            came: Instant::now(),
            last: AtomicU64::new(0),
            streams: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
        }
    }
}

impl Usage {
    /// A protocol stream began.
    pub(crate) fn begin(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// A protocol stream is over.
    pub(crate) fn end(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
        self.touch();
    }

    /// The peer sent something.
    pub(crate) fn touch(&self) {
        let since = u64::try_from(self.came.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    pub(crate) fn has_streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn idle(&self) -> Duration {
        self.came.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }

    /// The connection is being closed.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}
