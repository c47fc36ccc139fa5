//! An address that is tested, and what servers said of it.

use std::time::{Duration, Instant};

use libp2p_identity::PeerId;

use super::Config;
use crate::{address::Target, ip::Networks};

/// Servers that are asked about an address in one round, those included that give no usable answer.
const MAX_ASKED: usize = 8;

/// Rounds without success after which a candidate that only the swarm named is dropped, if it no longer names it.
const MAX_FAILURES: u32 = 4;

/// Time after which the swarm counts as no longer naming a candidate.
const FORGET: Duration = Duration::from_secs(60 * 60);

/// What a server's answer says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vote {
    /// Not answered yet.
    Open,
    Reachable,
    Unreachable,
    /// Nothing usable.
    Blank,
}

/// A server that was asked in this round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ballot {
    pub(super) server: PeerId,
    pub(super) network: Option<Networks>,
    pub(super) vote: Vote,
}

/// What is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) reachable: bool,
    pub(super) confirmations: usize,
    expires: Instant,
}

/// What the votes of a round come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Verdict {
        reachable: bool,
        confirmations: usize,
        server: PeerId,
    },
    /// All were asked who could be, and nothing is known.
    Nothing,
}

/// A candidate.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) target: Target,
    /// The owner named it.
    pub(super) owners: bool,
    /// The swarm named it, last at this time.
    pub(super) seen: Option<Instant>,
    pub(super) verdict: Option<Verdict>,
    /// When the next round begins.
    due: Instant,
    /// This round's, or the last one's.
    pub(super) ballots: Vec<Ballot>,
    /// The round goes on.
    open: bool,
    /// Rounds without success, one after the other.
    pub(super) failures: u32,
}

impl Candidate {
    pub(super) fn new(target: Target, now: Instant) -> Self {
        Self {
            target,
            owners: false,
            seen: None,
            verdict: None,
            due: now,
            ballots: Vec::new(),
            open: false,
            failures: 0,
        }
    }

    /// Begins a round if one is due.
    pub(super) fn begin(&mut self, now: Instant) {
        if !self.open && self.due <= now {
            self.open = true;
            self.ballots.clear();
        }
    }

    /// Tests anew what is not known to be reachable.
    pub(super) fn hasten(&mut self, now: Instant) {
        if !self.open && self.verdict.is_none_or(|verdict| !verdict.reachable) {
            self.due = now;
            self.failures = 0;
        }
    }

    /// How many more servers are to be asked now.
    pub(super) fn wants(&self, config: &Config) -> usize {
        if !self.is_unsure(config) || self.ballots.len() >= MAX_ASKED {
            return 0;
        }
        let (yes, no, open) =
            (self.count(Vote::Reachable), self.count(Vote::Unreachable), self.count(Vote::Open));
        let for_agreement = config.confirmations.max(1).saturating_sub(yes.max(no) + open);
        for_agreement.min(self.most(config).saturating_sub(yes + no + open))
    }

    /// Whether a further server's word would count: the round is open, or it ended for want of servers.
    fn is_unsure(&self, config: &Config) -> bool {
        let said = self.count(Vote::Reachable) + self.count(Vote::Unreachable);
        let agreed = self.count(Vote::Reachable).max(self.count(Vote::Unreachable));
        let ended_early = !self.ballots.is_empty() && said < self.most(config);
        (self.open || ended_early) && agreed < config.confirmations.max(1)
    }

    fn most(&self, config: &Config) -> usize {
        config.servers_per_address.max(config.confirmations).max(1)
    }

    pub(super) fn was_asked(&self, server: PeerId) -> bool {
        self.ballots.iter().any(|ballot| ballot.server == server)
    }

    pub(super) fn ask(&mut self, server: PeerId, network: Option<Networks>) {
        self.open = true;
        self.ballots.push(Ballot { server, network, vote: Vote::Open });
    }

    pub(super) fn vote(&mut self, server: PeerId, vote: Vote) {
        if let Some(ballot) = self.ballots.iter_mut().find(|ballot| ballot.server == server) {
            ballot.vote = vote;
        }
    }

    /// Ends the round if it can be ended. `more` says that there is a further server to ask, if not now then later.
    pub(super) fn settle(
        &mut self,
        config: &Config,
        more: bool,
        jitter: f64,
        now: Instant,
    ) -> Option<Finding> {
        if !self.open || self.ballots.is_empty() {
            return None; // nobody to ask: it stays open
        }
        let (yes, no) = (self.count(Vote::Reachable), self.count(Vote::Unreachable));
        let agreed = yes.max(no) >= config.confirmations.max(1);
        let exhausted = self.count(Vote::Open) == 0
            && (!more || yes + no >= self.most(config) || self.ballots.len() >= MAX_ASKED);
        if !agreed && !exhausted {
            return None;
        }
        self.open = false;
        if yes == no {
            self.failures = self.failures.saturating_add(1);
            self.due = now + self.pause(config, jitter);
            return Some(Finding::Nothing);
        }
        let reachable = yes > no;
        self.failures = if reachable { 0 } else { self.failures.saturating_add(1) };
        self.due = now + if reachable { config.recheck.mul_f64(jitter) } else { self.pause(config, jitter) };
        let (confirmations, decisive) =
            if reachable { (yes, Vote::Reachable) } else { (no, Vote::Unreachable) };
        self.verdict = Some(Verdict { reachable, confirmations, expires: self.due + config.grace });
        let server = self.ballots.iter().rfind(|ballot| ballot.vote == decisive)?.server;
        Some(Finding::Verdict { reachable, confirmations, server })
    }

    fn pause(&self, config: &Config, jitter: f64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        config.first_retry.saturating_mul(1 << doublings).min(config.longest_retry).mul_f64(jitter)
    }

    /// Takes the verdict away if its time is over.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        self.verdict.take_if(|verdict| verdict.expires <= now).is_some()
    }

    /// Whether nobody names it any more, nor is it of use.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        let unnamed = !self.owners && self.seen.is_none_or(|seen| seen + FORGET <= now);
        unnamed && self.failures >= MAX_FAILURES && !self.is_testing()
    }

    /// When there is something to do without any event.
    pub(super) fn next(&self) -> Option<Instant> {
        let due = (!self.open).then_some(self.due);
        due.into_iter().chain(self.verdict.map(|verdict| verdict.expires)).min()
    }

    pub(super) fn is_testing(&self) -> bool {
        self.count(Vote::Open) > 0
    }

    fn count(&self, vote: Vote) -> usize {
        self.ballots.iter().filter(|ballot| ballot.vote == vote).count()
    }
}
