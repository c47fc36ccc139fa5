//! What we ask by ourselves: lookups, pings of named nodes, refresh and revalidation.

use std::time::{Duration, Instant};

use causeway_wire::NodeKey;

use super::{
    Discv4, Event, FOUND_AGAIN, MAX_REFRESH_RETRY, REFRESH_INTERVAL, REFRESH_RETRY, REVALIDATION_INTERVAL,
    UNREACHABLE_PAUSE,
};
use crate::{
    lookup::{Lookup, Purpose, State},
    node::{Node, Peer},
    requests::{Kind, Request},
    table::BUCKET_SIZE,
};

/// Random targets that a refresh looks for after ourselves (geth).
const REFRESH_TARGETS: u8 = 3;
/// A node that was heard within this time is not pinged to see whether it is alive.
const REVALIDATION_AGE: Duration = Duration::from_secs(30);

impl Discv4 {
    /// Carries on with everything that can be carried on.
    pub(super) fn run(&mut self, now: Instant, unix: u64) {
        self.wake = None;
        let numbers: Vec<u64> = self.lookups.keys().copied().collect();
        for number in numbers {
            self.advance(number, now, unix);
            if self.lookups.get(&number).is_some_and(Lookup::is_done)
                && let Some(lookup) = self.lookups.remove(&number)
            {
                self.finish(&lookup, now);
            }
        }
        self.probe(now, unix);
    }

    pub(super) fn start_lookup(&mut self, target: NodeKey, purpose: Purpose) {
        let mut start = self.table.closest(target.node_id());
        start.truncate(BUCKET_SIZE);
        if start.len() < BUCKET_SIZE {
            start.extend(&self.seeds);
        }
        let lookup = Lookup::new(target, purpose, self.own.id, start);
        self.lookups.insert(self.next_lookup, lookup);
        self.next_lookup += 1;
    }

    /// A node has proven its endpoint: what waited for that goes on, when it has our proof, too.
    pub(super) fn proven(&mut self, node: Node, now: Instant, unix: u64) {
        let peer = node.peer();
        let is_awaited = self.lookups.values().any(|lookup| lookup.awaits(peer));
        if !is_awaited && !self.wants_record(peer, now) {
            self.tell_found(node, now);
        } else if self.bonds.knows_us(peer, now) || !self.requests.push(node, Kind::Callback, now) {
            self.ready(node, now, unix);
        }
    }

    /// The proofs are there in both directions, as far as we can know: questions are asked now.
    pub(super) fn ready(&mut self, node: Node, now: Instant, unix: u64) {
        let peer = node.peer();
        // A node that knew us already does not ping back. If it does not answer, this is forgotten again.
        if self.bonds.is_proven(peer, now) {
            self.bonds.called(peer, now);
        }
        let waiting: Vec<u64> = self
            .lookups
            .iter()
            .filter(|(_, lookup)| lookup.awaits(peer))
            .map(|(number, _)| *number)
            .collect();
        for number in waiting {
            let is_asked = self.send_find_node(node, number, now, unix);
            self.set(number, peer, if is_asked { State::Asked } else { State::Fresh });
        }
        if !self.ask_for_record(node, now, unix) {
            self.tell_found(node, now);
        }
    }

    /// Somebody named `node`.
    pub(super) fn named(&mut self, node: Node, now: Instant) {
        let peer = node.peer();
        let proof = self.bonds.proof_mut(peer, now);
        let (is_proven, told) = proof.map_or((false, None), |proof| (true, proof.told));
        if told.is_some_and(|told| is_within(told, FOUND_AGAIN, now)) {
            return;
        }
        if is_proven && self.table.contains(peer) {
            self.tell_found(node, now);
        } else if !self.is_unreachable(peer, now) {
            self.probes.push(node);
        }
    }

    pub(super) fn unanswered(&mut self, request: Request, now: Instant, unix: u64) {
        let Request { node, kind, .. } = request;
        let peer = node.peer();
        match kind {
            Kind::Ping { .. } => {
                self.unreachable.insert(peer, now);
                self.table.missed_ping(peer, &mut self.random, now);
                let waiting = self.lookups.values_mut().filter(|lookup| lookup.awaits(peer));
                waiting.for_each(|lookup| lookup.set(peer, State::Failed));
            }
            Kind::Callback => self.ready(node, now, unix),
            Kind::Record { .. } => {
                self.bonds.forget_call(peer); // perhaps it does not know us any more
                self.tell_found(node, now);
            }
            Kind::FindNode { lookup, answered: true, .. } => {
                self.table.answered_question(peer);
                self.set(lookup, peer, State::Answered);
            }
            Kind::FindNode { lookup, answered: false, .. } => {
                self.bonds.forget_call(peer);
                self.table.missed_question(peer, &mut self.random);
                self.set(lookup, peer, State::Failed);
            }
        }
    }

    pub(super) fn refresh(&mut self, now: Instant) {
        if now < self.refresh_at {
            return;
        }
        self.refresh_at = now + REFRESH_INTERVAL;
        if !self.lookups.values().any(|lookup| lookup.purpose == Purpose::Refresh) {
            self.refresh_left = REFRESH_TARGETS;
            self.start_lookup(self.own.key, Purpose::Refresh);
        }
    }

    pub(super) fn revalidate(&mut self, now: Instant, unix: u64) {
        if self.revalidation_at().is_some_and(|at| at <= now)
            && let Some((node, _)) = self.table.oldest()
        {
            self.revalidated = now;
            self.send_ping(node, now, unix);
        }
    }

    pub(super) fn revalidation_at(&self) -> Option<Instant> {
        let (_, checked) = self.table.oldest()?;
        Some((self.revalidated + REVALIDATION_INTERVAL).max(checked + REVALIDATION_AGE))
    }

    fn advance(&mut self, number: u64, now: Instant, unix: u64) {
        loop {
            let Some(lookup) = self.lookups.get(&number) else { return };
            let Some(node) = lookup.next(|node| self.is_asking(node.peer())) else { return };
            let peer = node.peer();
            let state = if self.is_unreachable(peer, now) && !self.is_seed(peer) {
                State::Failed
            } else if self.bonds.is_proven(peer, now) && self.bonds.knows_us(peer, now) {
                if !self.send_find_node(node, number, now, unix) {
                    return; // goes on when one of the others has ended
                }
                State::Asked
            } else if self.is_bonding(peer) || self.ping_stranger(node, now, unix) {
                State::Bonding
            } else {
                return;
            };
            self.set(number, peer, state);
        }
    }

    /// Pings those who wait for it, as far as the rate allows.
    fn probe(&mut self, now: Instant, unix: u64) {
        while let Some(node) = self.probes.first() {
            if !self.is_bonding(node.peer()) && !self.ping_stranger(node, now, unix) {
                return;
            }
            self.probes.remove(node.peer());
        }
    }

    /// Pings a node that may not be there, if the rate allows; if not, time will tell when.
    fn ping_stranger(&mut self, node: Node, now: Instant, unix: u64) -> bool {
        let rate = self.ping_rate();
        if self.requests.is_full() {
            return false;
        }
        if !self.pings.take(rate, now) {
            self.wake_at(self.pings.next(rate).unwrap_or(now));
            return false;
        }
        self.send_ping(node, now, unix)
    }

    fn finish(&mut self, lookup: &Lookup, now: Instant) {
        match lookup.purpose {
            Purpose::Caller => self.tell(Event::LookupDone { found: lookup.found() }),
            Purpose::Refresh if lookup.found() == 0 => {
                if !self.seeds.is_empty() {
                    self.refresh_at = now + self.refresh_retry;
                    self.refresh_retry = (2 * self.refresh_retry).min(MAX_REFRESH_RETRY);
                }
            }
            Purpose::Refresh => {
                self.refresh_retry = REFRESH_RETRY;
                if let Some(left) = self.refresh_left.checked_sub(1) {
                    self.refresh_left = left;
                    let target = self.random.target();
                    self.start_lookup(target, Purpose::Refresh);
                    self.wake_at(now);
                }
            }
        }
    }

    fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    fn set(&mut self, lookup: u64, peer: Peer, state: State) {
        if let Some(lookup) = self.lookups.get_mut(&lookup) {
            lookup.set(peer, state);
        }
    }

    fn is_bonding(&self, peer: Peer) -> bool {
        let is_bond = |kind: &Kind| matches!(kind, Kind::Ping { .. } | Kind::Callback);
        self.requests.find(peer, is_bond).is_some()
    }

    pub(super) fn is_unreachable(&self, peer: Peer, now: Instant) -> bool {
        self.unreachable.get(&peer).is_some_and(|at| is_within(*at, UNREACHABLE_PAUSE, now))
    }
}

fn is_within(at: Instant, time: Duration, now: Instant) -> bool {
    now.saturating_duration_since(at) < time
}
