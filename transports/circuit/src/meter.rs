//! Bytes that went through a circuit, while it is open.

use std::sync::atomic::{AtomicU64, Ordering};

/// Written by the circuit, read by whoever wants to know.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    forth: AtomicU64,
    back: AtomicU64,
}

/// Bytes each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// From the source to the destination.
    pub forth: u64,
    /// From the destination to the source.
    pub back: u64,
}

impl Bytes {
    /// Both ways together.
    pub fn total(self) -> u64 {
        self.forth.saturating_add(self.back)
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Forth,
    Back,
}

impl Meter {
    pub(crate) fn add(&self, way: Way, bytes: u64) {
        let counter = match way {
            Way::Forth => &self.forth,
            Way::Back => &self.back,
        };
        counter.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Bytes {
        Bytes { forth: self.forth.load(Ordering::Relaxed), back: self.back.load(Ordering::Relaxed) }
    }
}
