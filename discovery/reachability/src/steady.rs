//! Verdicts that do not flap: what was found is contradicted twice before it changes.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{Cause, Evidence, Family, Finding, Outcome, Reachability, State, Transport, judge};

/// Another finding counts without a further test once it has held for so long.
pub const STEADY: Duration = Duration::from_secs(60);

/// Looks at the evidence again and again, and remembers what was found.
#[derive(Debug, Default)]
pub struct Judge {
    held: BTreeMap<(Family, Transport), Held>,
}

#[derive(Debug)]
struct Held {
    finding: Finding,
    doubt: Option<Doubt>,
}

/// Another finding, found once.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    state: State,
    since: SystemTime,
    tested: Option<SystemTime>,
}

impl Judge {
    /// What follows from `evidence`, as of `now`.
    pub fn weigh(&mut self, evidence: &Evidence, now: SystemTime) -> Reachability {
        let mut held = BTreeMap::new();
        let mut findings = Vec::new();
        for finding in judge::findings(evidence, now) {
            let key = (finding.family, finding.transport);
            let next = match self.held.remove(&key) {
                None => Held { finding, doubt: None },
                Some(before) => before.then(finding, evidence, now),
            };
            findings.push(next.finding.clone());
            held.insert(key, next);
        }
        self.held = held;
        judge::sum_up(findings, evidence)
    }
}

impl Held {
    fn then(self, next: Finding, evidence: &Evidence, now: SystemTime) -> Self {
        if self.finding.state == next.state || self.finding.needs_no_doubt(&next, evidence) {
            return Self { finding: next, doubt: None };
        }
        let again = self.doubt.filter(|doubt| doubt.state == next.state);
        let Some(doubt) = again else {
            let doubt = Doubt { state: next.state, since: now, tested: next.tested };
            return Self { doubt: Some(doubt), ..self };
        };
        let tested_again = next.tested > doubt.tested;
        let lasted = now.duration_since(doubt.since).is_ok_and(|lasted| lasted >= STEADY);
        if tested_again || lasted {
            return Self { finding: next, doubt: None };
        }
        // A clock that was set back begins to count again.
        let since = doubt.since.min(now);
        Self { doubt: Some(Doubt { since, ..doubt }), ..self }
    }
}

impl Finding {
    /// Whether the change is no judgement but a fact: nothing was known before, the router closed the port or opened
    /// one, or all is as before but that a relay keeps a place for us, or none does any more.
    fn needs_no_doubt(&self, next: &Self, evidence: &Evidence) -> bool {
        let own = |cause: &Cause| matches!(cause, Cause::OwnSetting { .. });
        let open = matches!(
            evidence.mapping(self.family, self.transport.carrier(), self.port),
            Some(Outcome::Open { .. })
        );
        let closed = self.state == State::Mapped && !open;
        let opened = matches!(next.cause, Cause::MappedUntested { .. }) && self.addresses.is_empty();
        let same = self.cause == next.cause;
        self.state == State::Unknown || same || closed || opened || own(&self.cause) || own(&next.cause)
    }
}

#[cfg(test)]
mod tests {
    use causeway_records::Reach;

    use super::*;
    use crate::{Confidence, Hop, Place, Verdict};

    const HOME: &str = "192.168.1.10:30314";
    const OUTSIDE: &str = "8.8.4.4:30314";

    fn quic(addr: &str) -> Place {
        Place { transport: Transport::Quic, addr: addr.parse().expect("an address") }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn tested(reachable: bool, seconds: u64) -> Evidence {
        let mut evidence = Evidence::none(Reach::Public);
        evidence.listeners = vec![quic(HOME)];
        evidence.verdicts =
            vec![Verdict { place: quic(OUTSIDE), reachable, confirmations: 3, at: at(seconds) }];
        evidence
    }

    #[test]
    fn the_first_verdict_counts_at_once() {
        let mut judge = Judge::default();
        let mut none = tested(true, 0);
        none.verdicts.clear();

        assert_eq!(judge.weigh(&none, at(0)).state, State::Unknown);
        let reached = judge.weigh(&tested(true, 1), at(1));

        assert_eq!((reached.state, reached.confidence), (State::Public, Confidence::High));
    }

    #[test]
    fn one_contradiction_changes_nothing_and_a_second_test_does() {
        let mut judge = Judge::default();
        judge.weigh(&tested(true, 0), at(0));

        assert_eq!(judge.weigh(&tested(false, 10), at(10)).state, State::Public);
        assert_eq!(judge.weigh(&tested(false, 10), at(11)).state, State::Public);
        assert_eq!(judge.weigh(&tested(false, 12), at(12)).state, State::Unreachable);
    }

    #[test]
    fn a_contradiction_that_lasts_changes_it_without_a_further_test() {
        let mut judge = Judge::default();
        judge.weigh(&tested(true, 0), at(0));
        judge.weigh(&tested(false, 10), at(10));

        assert_eq!(judge.weigh(&tested(false, 10), at(69)).state, State::Public);
        assert_eq!(judge.weigh(&tested(false, 10), at(70)).state, State::Unreachable);
    }

    #[test]
    fn what_comes_and_goes_never_shows() {
        let mut judge = Judge::default();
        judge.weigh(&tested(true, 0), at(0));

        for second in 1..500 {
            let found = judge.weigh(&tested(second % 2 == 0, second), at(second));
            assert_eq!(found.state, State::Public, "{second}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_delays_the_change_only() {
        let mut judge = Judge::default();
        judge.weigh(&tested(true, 1000), at(1000));
        judge.weigh(&tested(false, 1000), at(1000));
        judge.weigh(&tested(false, 1000), at(10));

        assert_eq!(judge.weigh(&tested(false, 1000), at(69)).state, State::Public);
        assert_eq!(judge.weigh(&tested(false, 1000), at(70)).state, State::Unreachable);
    }

    #[test]
    fn a_place_at_a_relay_shows_at_once() {
        let mut judge = Judge::default();
        let mut evidence = tested(false, 0);
        assert_eq!(judge.weigh(&evidence, at(0)).state, State::Unreachable);

        evidence.reservations = vec![Hop { relay: "R".to_owned(), addresses: Vec::new() }];
        let found = judge.weigh(&evidence, at(1));

        assert_eq!(found.findings.first().map(|finding| finding.state), Some(State::RelayedOnly));
    }

    #[test]
    fn an_old_verdict_is_none_in_the_end() {
        let mut judge = Judge::default();
        let evidence = tested(true, 0);
        let old = crate::VERDICT_LIFE.as_secs();
        judge.weigh(&evidence, at(0));

        assert_eq!(judge.weigh(&evidence, at(old)).state, State::Public);
        assert_eq!(judge.weigh(&evidence, at(old + STEADY.as_secs())).state, State::Unknown);
    }

    #[test]
    fn a_listener_that_is_gone_is_not_told_of() {
        let mut judge = Judge::default();
        judge.weigh(&tested(true, 0), at(0));

        let found = judge.weigh(&Evidence::none(Reach::Public), at(1));

        assert_eq!((found.findings.len(), found.state), (0, State::Unknown));
    }
}
