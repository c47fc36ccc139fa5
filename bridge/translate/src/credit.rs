//! Our promise to a light peer: its buffer (`BL`, `MRR`) and the `BV` of each answer (les.md 4.2).

use std::time::{Duration, Instant};

use crate::recharge::Recharge;

/// What a light peer may still spend.
#[derive(Clone, Debug)]
pub(crate) struct Credit {
    limit: u64,
    value: u64,
    recharge: Recharge,
    /// Worst cases of all requests ever accepted.
    accepted: u128,
}

/// A request that was accepted and not yet settled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    worst_case: u64,
    /// [`Credit::accepted`] including this one.
    accepted: u128,
}

impl Reservation {
    /// What was taken from the buffer for it.
    pub(crate) fn worst_case(&self) -> u64 {
        self.worst_case
    }
}

/// A request that costs more than is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Underrun {
    pub(crate) needed: u64,
    pub(crate) left: u64,
}

impl Credit {
    /// A full buffer.
    pub(crate) fn new(limit: u64, rate: u64, now: Instant) -> Self {
        Self { limit, value: limit, recharge: Recharge::new(rate, now), accepted: 0 }
    }

    /// Takes a request's worst case, which counts as the whole buffer if it is larger.
    pub(crate) fn accept(&mut self, worst_case: u64, now: Instant) -> Result<Reservation, Underrun> {
        let left = self.left(now);
        let worst_case = worst_case.min(self.limit);
        let Some(rest) = left.checked_sub(worst_case) else {
            return Err(Underrun { needed: worst_case, left });
        };
        self.value = rest;
        self.accepted += u128::from(worst_case);
        Ok(Reservation { worst_case, accepted: self.accepted })
    }

    /// Gives back what a request did not really cost. Returns `BV`: the buffer as if no later request had
    /// been accepted.
    pub(crate) fn settle(&mut self, reservation: &Reservation, real_cost: u64, now: Instant) -> u64 {
        let unspent = reservation.worst_case.saturating_sub(real_cost);
        self.value = self.left(now).saturating_add(unspent).min(self.limit);
        let later = u64::try_from(self.accepted - reservation.accepted).unwrap_or(u64::MAX);
        self.value.saturating_add(later).min(self.limit)
    }

    /// Takes `cost`, or all that is left.
    pub(crate) fn charge(&mut self, cost: u64, now: Instant) {
        self.value = self.left(now).saturating_sub(cost);
    }

    /// What may be spent now.
    pub(crate) fn left(&mut self, now: Instant) -> u64 {
        self.value = self.value.saturating_add(self.recharge.gained(now)).min(self.limit);
        self.value
    }

    /// An eighth of the buffer: a stopped peer goes on above it.
    pub(crate) fn resume_level(&self) -> u64 {
        self.limit / 8
    }

    /// How long it takes until more than `level` may be spent.
    pub(crate) fn time_above(&mut self, level: u64, now: Instant) -> Duration {
        let missing = level.saturating_add(1).min(self.limit).saturating_sub(self.left(now));
        self.recharge.time_for(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn recharges_up_to_the_limit() {
        let start = Instant::now();
        let mut credit = Credit::new(1000, 10, start);

        let first = credit.accept(900, start).unwrap();
        assert_eq!(credit.left(start + 20 * MS), 300);
        assert_eq!(credit.left(start + 2000 * MS), 1000);

        assert_eq!(credit.settle(&first, 0, start + 2000 * MS), 1000);
    }

    #[test]
    fn buffer_is_told_as_if_no_later_request_had_been_accepted() {
        let start = Instant::now();
        let mut credit = Credit::new(1000, 0, start);

        let first = credit.accept(300, start).unwrap();
        let second = credit.accept(200, start).unwrap();
        let third = credit.accept(100, start).unwrap();

        assert_eq!(credit.settle(&second, 50, start), 400 + 150 + 100);
        assert_eq!(credit.settle(&first, 300, start), 550 + 300);
        assert_eq!(credit.settle(&third, 100, start), 550);
    }

    #[test]
    fn buffer_is_never_told_above_the_limit() {
        let start = Instant::now();
        let mut credit = Credit::new(1000, 10, start);

        let first = credit.accept(300, start).unwrap();
        let _later = credit.accept(500, start + MS).unwrap();

        assert_eq!(credit.settle(&first, 0, start + 60 * MS), 1000);
    }

    #[test]
    fn spending_more_than_is_left_takes_nothing() {
        let start = Instant::now();
        let mut credit = Credit::new(1000, 0, start);
        let _ = credit.accept(600, start).unwrap();

        assert_eq!(credit.accept(401, start), Err(Underrun { needed: 401, left: 400 }));
        assert_eq!(credit.left(start), 400);
    }

    #[test]
    fn a_request_larger_than_the_buffer_costs_the_whole_buffer() {
        let start = Instant::now();
        let mut credit = Credit::new(1000, 1, start);

        assert_eq!(credit.accept(u64::MAX, start).unwrap().worst_case(), 1000);
        assert_eq!(credit.time_above(credit.resume_level(), start), 126 * MS);
    }
}
