//! Our estimate of what a server lets us spend (les.md 4.3): always at or below the server's own count.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use causeway_wire::RequestId;

use crate::recharge::Recharge;

/// Requests whose cost is remembered although nobody waits for their answer any more: a late answer still
/// tells the buffer. Beyond this many the oldest are forgotten, and their late answers tell nothing.
const MAX_REMEMBERED: usize = 1024;

/// What may be sent to one server.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    limit: u64,
    estimate: u64,
    recharge: Recharge,
    /// Off while the buffer is full: when a request arrives at the server, and its recharge begins, is unknown
    /// until the first answer.
    recharging: bool,
    sent: u128,
    /// For each request its place in the order of sending, and [`Self::sent`] including it.
    pending: BTreeMap<RequestId, (u64, u128)>,
    order: BTreeMap<u64, RequestId>,
    next: u64,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaySend {
    /// It may.
    Now,
    /// After this time, if nothing comes before.
    After(Duration),
    /// When the server said what is left.
    AfterAnswer,
}

impl Allowance {
    /// A full buffer of a server that promised this limit and rate.
    pub(crate) fn new(limit: u64, rate: u64, now: Instant) -> Self {
        Self {
            limit,
            estimate: limit,
            recharge: Recharge::new(rate, now),
            recharging: false,
            sent: 0,
            pending: BTreeMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }

    /// Whether a request of this worst case may be sent now, with a millisecond of recharge to spare.
    pub(crate) fn may_send(&mut self, cost: u64, now: Instant) -> MaySend {
        self.recalculate(now);
        let needed = cost.saturating_add(self.recharge.rate()).min(self.limit);
        match needed.checked_sub(self.estimate) {
            None | Some(0) => MaySend::Now,
            Some(missing) if self.recharging => MaySend::After(self.recharge.time_for(missing)),
            Some(_) => MaySend::AfterAnswer,
        }
    }

    /// Reserves the worst case of a request that goes out now.
    pub(crate) fn sent(&mut self, id: RequestId, cost: u64, now: Instant) {
        self.recalculate(now);
        let cost = cost.min(self.limit);
        self.estimate = self.estimate.saturating_sub(cost);
        self.sent += u128::from(cost);
        self.pending.insert(id, (self.next, self.sent));
        self.order.insert(self.next, id);
        self.next += 1;
        if self.order.len() > MAX_REMEMBERED
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.pending.remove(&oldest);
        }
    }

    /// Takes over the buffer that an answer tells. It never lowers the estimate.
    pub(crate) fn answered(&mut self, id: RequestId, buffer: u64, now: Instant) {
        self.recalculate(now);
        let Some((place, sent)) = self.pending.remove(&id) else { return };
        self.order.remove(&place);
        let later = u64::try_from(self.sent - sent).unwrap_or(u64::MAX);
        self.estimate = self.estimate.max(buffer.min(self.limit).saturating_sub(later));
        self.start_recharging(now);
    }

    /// A request was given up. Its cost stays reserved until another answer tells the buffer, but it has long
    /// reached the server, so the recharge counts from now on.
    pub(crate) fn given_up(&mut self, now: Instant) {
        self.recalculate(now);
        self.start_recharging(now);
    }

    /// The server stopped us and has forgotten all requests; what is left comes with Resume.
    pub(crate) fn stopped(&mut self) {
        self.pending.clear();
        self.order.clear();
    }

    /// The server goes on, with this buffer.
    pub(crate) fn resumed(&mut self, buffer: u64, now: Instant) {
        self.recalculate(now);
        self.stopped();
        self.estimate = buffer.min(self.limit);
        self.recharging = false;
        self.start_recharging(now);
    }

    /// The server promises something else from now on.
    pub(crate) fn promised(&mut self, limit: u64, rate: u64, now: Instant) {
        self.recalculate(now);
        self.estimate = match limit.checked_sub(self.limit) {
            Some(more) => self.estimate.saturating_add(more),
            None => self.estimate.min(limit),
        };
        self.limit = limit;
        self.recharge = Recharge::new(rate, now);
        self.recharging &= self.estimate < self.limit;
    }

    /// What may be spent by our own count.
    #[cfg(test)]
    pub(crate) fn estimate(&mut self, now: Instant) -> u64 {
        self.recalculate(now);
        self.estimate
    }

    fn recalculate(&mut self, now: Instant) {
        if !self.recharging {
            return;
        }
        self.estimate = self.estimate.saturating_add(self.recharge.gained(now)).min(self.limit);
        self.recharging = self.estimate < self.limit;
    }

    fn start_recharging(&mut self, now: Instant) {
        let low = self.estimate < self.limit;
        if low && !self.recharging {
            self.recharge = Recharge::new(self.recharge.rate(), now);
        }
        self.recharging = low;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn allowance(start: Instant) -> Allowance {
        Allowance::new(1000, 10, start)
    }

    #[test]
    fn recharge_starts_with_the_first_answer() {
        let start = Instant::now();
        let mut ours = allowance(start);
        ours.sent(RequestId(1), 400, start);

        assert_eq!(ours.may_send(700, start + 500 * MS), MaySend::AfterAnswer);
        ours.answered(RequestId(1), 600, start + 500 * MS);

        assert_eq!(ours.may_send(700, start + 500 * MS), MaySend::After(11 * MS));
        assert_eq!(ours.may_send(700, start + 511 * MS), MaySend::Now);
    }

    #[test]
    fn the_millisecond_of_safety_never_asks_for_more_than_the_buffer() {
        let start = Instant::now();
        let mut ours = allowance(start);

        assert_eq!(ours.may_send(1000, start), MaySend::Now);
        assert_eq!(ours.may_send(u64::MAX, start), MaySend::Now);
    }

    #[test]
    fn later_requests_are_subtracted_from_what_an_answer_tells() {
        let start = Instant::now();
        let mut ours = allowance(start);
        ours.sent(RequestId(1), 300, start);
        ours.sent(RequestId(2), 200, start);

        ours.answered(RequestId(1), 950, start);

        assert_eq!(ours.estimate(start), 750);
    }

    #[test]
    fn an_answer_never_lowers_the_estimate_nor_raises_it_above_the_limit() {
        let start = Instant::now();
        let mut ours = allowance(start);
        ours.sent(RequestId(1), 300, start);
        ours.sent(RequestId(2), 1, start);

        ours.answered(RequestId(1), 0, start);
        assert_eq!(ours.estimate(start), 699);
        ours.answered(RequestId(2), u64::MAX, start);
        assert_eq!(ours.estimate(start), 1000);
        ours.answered(RequestId(2), 5, start);
        assert_eq!(ours.estimate(start), 1000, "an unknown id tells nothing");
    }

    #[test]
    fn resume_tells_the_bare_buffer() {
        let start = Instant::now();
        let mut ours = allowance(start);
        ours.sent(RequestId(1), 900, start);
        ours.stopped();
        ours.resumed(125, start + 700 * MS);

        assert_eq!(ours.estimate(start + 701 * MS), 135);
        ours.answered(RequestId(1), 1000, start + 701 * MS);
        assert_eq!(ours.estimate(start + 701 * MS), 135);
    }

    #[test]
    fn a_larger_limit_adds_the_difference_and_a_smaller_one_caps() {
        let start = Instant::now();
        let mut ours = allowance(start);
        ours.sent(RequestId(1), 400, start);

        ours.promised(1500, 20, start);
        assert_eq!(ours.estimate(start), 1100);
        ours.promised(800, 5, start);
        assert_eq!(ours.estimate(start), 800);
    }

    #[test]
    fn a_request_given_up_starts_the_recharge() {
        let start = Instant::now();
        let mut ours = allowance(start);
        ours.sent(RequestId(1), 1000, start);

        ours.given_up(start + 10_000 * MS);

        assert_eq!(ours.may_send(90, start + 10_000 * MS), MaySend::After(10 * MS));
    }

    #[test]
    fn memory_of_unanswered_requests_is_bounded() {
        let start = Instant::now();
        let mut ours = allowance(start);

        for id in 0..5000 {
            ours.sent(RequestId(id), 0, start);
        }

        assert_eq!(ours.pending.len(), MAX_REMEMBERED);
        assert_eq!(ours.order.len(), MAX_REMEMBERED);
    }
}
