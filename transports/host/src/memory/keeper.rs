//! Decides what a shortage of memory means: who is not let in, and which connections go. No clock, no system.

use std::{cmp::Reverse, time::Duration};

use super::MemoryBudget;

/// Percent of the budget from which nobody new is let in.
const DENY: u64 = 80;

/// Percent of the budget from which idle connections are closed.
const CLOSE: u64 = 90;

/// A connection over which the peer asked nothing for so long is idle: no answer takes longer.
const IDLE: Duration = Duration::from_secs(10);

/// What closing an idle connection gives back, about: 40 to 80 kB, and something in the kernel.
const PER_CONNECTION: u64 = 100 * 1024;

/// Connections closed at once. What they give back shows only later, and what the allocator keeps never does: so
/// the next wait for another look.
const BATCH: u64 = 64;

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    #[default]
    Enough,
    /// Nobody new is let in.
    Tight,
    /// Idle connections go.
    Short,
}

/// An incoming connection that may be closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<I> {
    pub(crate) id: I,
    /// Whether it carries a protocol stream.
    pub(crate) streams: bool,
    /// Since the peer last sent something on such a stream, or since there is none, or since it came.
    pub(crate) idle: Duration,
}

/// Compares what the process has with what it may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeper {
    budget: MemoryBudget,
}

impl Keeper {
    pub(crate) fn new(budget: MemoryBudget) -> Self {
        Self { budget }
    }

    pub(crate) fn level(&self, resident: u64) -> Level {
        if resident >= self.budget.share(CLOSE) {
            Level::Short
        } else if resident >= self.budget.share(DENY) {
            Level::Tight
        } else {
            Level::Enough
        }
    }

    /// Whom to close now: those without a stream first, the longest idle of them before the others.
    pub(crate) fn leaving<I>(
        &self,
        resident: u64,
        candidates: impl IntoIterator<Item = Candidate<I>>,
    ) -> Vec<I> {
        if self.level(resident) < Level::Short {
            return Vec::new();
        }
        let excess = resident - self.budget.share(CLOSE);
        let count = (excess / PER_CONNECTION + 1).min(BATCH) as usize;
        let mut idle: Vec<_> = candidates.into_iter().filter(|candidate| candidate.idle >= IDLE).collect();
        idle.sort_by_key(|candidate| (candidate.streams, Reverse(candidate.idle)));
        idle.into_iter().take(count).map(|candidate| candidate.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn keeper() -> Keeper {
        Keeper::new(MemoryBudget::new(1_000 * MIB))
    }

    fn candidate(id: u64, streams: bool, idle: u64) -> Candidate<u64> {
        Candidate { id, streams, idle: Duration::from_secs(idle) }
    }

    #[test]
    fn four_fifths_close_the_door_and_nine_tenths_send_people_home() {
        for (resident, level) in [
            (0, Level::Enough),
            (799, Level::Enough),
            (801, Level::Tight),
            (899, Level::Tight),
            (901, Level::Short),
            (u64::MAX / MIB, Level::Short),
        ] {
            assert_eq!(keeper().level(resident * MIB), level, "{resident} MiB");
        }
        assert_eq!(Keeper::new(MemoryBudget::new(0)).level(0), Level::Short);
        assert_eq!(Keeper::new(MemoryBudget::new(u64::MAX)).level(1 << 60), Level::Enough);
    }

    #[test]
    fn the_least_useful_go_first_and_the_busy_never() {
        let all = [
            candidate(1, true, 600),
            candidate(2, false, 10),
            candidate(3, true, 9),
            candidate(4, false, 60),
            candidate(5, false, 9),
            candidate(6, true, 10),
        ];

        assert_eq!(keeper().leaving(950 * MIB, all), [4, 2, 1, 6]);
        assert_eq!(keeper().leaving(900 * MIB, all), [4], "no more than are needed");
        assert_eq!(keeper().leaving(900 * MIB + 2 * PER_CONNECTION, all), [4, 2, 1]);
        assert_eq!(keeper().leaving(899 * MIB, all), []);
        assert_eq!(keeper().leaving::<u64>(990 * MIB, []), []);
    }

    #[test]
    fn only_so_many_go_at_once() {
        let many = (0..10_000).map(|id| candidate(id, false, 10));

        assert_eq!(keeper().leaving(u64::MAX, many).len(), BATCH as usize);
    }
}
