//! When the sources should look for more.

use std::time::{Duration, Instant};

use super::{Pool, ROLES};
use crate::Role;

/// Searches in a row below target without anybody new, about ten minutes, after which the pauses grow: there may
/// be nobody to be found.
const FRUITLESS: u32 = 200;

/// Parts in a thousand by which a pause is longer or shorter, lest everybody who started together asks together.
const JITTER: u64 = 100;

/// What the sources should look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Peers are missing.
    pub fast: bool,
    /// How many of which role; empty at target, when it is only about staying in touch with the network.
    pub missing: Vec<(Role, usize)>,
}

/// The clock of searches.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    last: Option<Instant>,
    /// Of the pause that follows.
    jitter: u64,
    fruitless: u32,
    pub(super) searches: u64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { start: now, last: None, jitter: JITTER, fruitless: 0, searches: 0 }
    }

    /// Somebody came or went.
    pub(super) fn reset(&mut self) {
        self.fruitless = 0;
    }

    fn due(&self, pause: Duration) -> Option<Instant> {
        let Some(last) = self.last else { return Some(self.start) };
        let thousandths = 1_000 - JITTER + self.jitter;
        last.checked_add(pause.mul_f64(thousandths as f64 / 1_000.0))
    }
}

impl Pool {
    /// Whether the sources should look for more now: often below target, seldom at it, never if nobody is wanted.
    pub fn poll_search(&mut self, now: Instant) -> Option<Search> {
        if self.next_search()? > now {
            return None;
        }
        let tally = self.tally();
        let missing = ROLES.map(|role| (role, self.missing(&tally, role)));
        let missing: Vec<(Role, usize)> = missing.into_iter().filter(|(_, missing)| *missing > 0).collect();
        self.pace.last = Some(now);
        self.pace.jitter = self.random.below(2 * JITTER + 1);
        self.pace.searches = self.pace.searches.saturating_add(1);
        self.pace.fruitless = if missing.is_empty() { 0 } else { self.pace.fruitless.saturating_add(1) };
        self.events.counts_changed = true;
        Some(Search { fast: !missing.is_empty(), missing })
    }

    pub(super) fn next_search(&self) -> Option<Instant> {
        if self.config.targets.is_none() {
            return None;
        }
        let tally = self.tally();
        let at_target = ROLES.iter().all(|role| self.missing(&tally, *role) == 0);
        let pause =
            if at_target || self.pace.fruitless > FRUITLESS { self.config.slow } else { self.config.fast };
        self.pace.due(pause)
    }
}
