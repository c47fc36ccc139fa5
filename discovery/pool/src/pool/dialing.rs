//! Who is dialed next.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use causeway_records::{Network, Way};
use causeway_wire::NodeKey;
use tracing::trace;

use super::{Pool, ROLES, Tally};
use crate::{
    Role, Source,
    node::{Dialing, HANGING, Node},
    subnet,
};

/// One dial in so many goes to a node that was never tried, even if proven ones wait: who only returns to those
/// it knows never learns of better ones.
const EXPLORE: u64 = 8;

/// A candidate that our rules are against is judged again after this time, or when our forks change.
const RULED_OUT: Duration = Duration::from_secs(15 * 60);

/// A candidate whose subnet has its share of peers is looked at again after this time.
const SUBNET_SERVED: Duration = Duration::from_secs(60);

/// A dial for the caller to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Whom.
    pub key: NodeKey,
    /// How: one way after the other, at least one.
    pub ways: Vec<Way>,
    /// What the node is hoped to be.
    pub role: Role,
    /// Where it was heard of.
    pub source: Source,
}

impl Pool {
    /// The next dial to make, if one is due. It is under way from now until `handle_connected` or
    /// `handle_failure`.
    pub fn poll_dial(&mut self, now: Instant) -> Option<Dial> {
        for dialing in self.nodes.values_mut().filter_map(|node| node.dialing.as_mut()) {
            dialing.hanging |= now.saturating_duration_since(dialing.since) >= HANGING;
        }
        if let Some(dial) = self.dial_named(now) {
            return Some(dial);
        }
        loop {
            let key = self.pick(now)?;
            // Without a dial it has been put off, so that the loop ends.
            if let Some(dial) = self.dial_stranger(key, now) {
                return Some(dial);
            }
        }
    }

    /// When a dial may become due: the caller has drained [`Pool::poll_dial`] before.
    pub(super) fn next_dial(&self) -> Option<Instant> {
        let tally = self.tally();
        let open = self.has_room(&tally);
        let dues = self.nodes.values().filter_map(|node| {
            let wanted = node.is_named() || (open && self.is_wanted(&tally, node));
            let idle = !node.is_busy() && !node.dropped;
            if wanted && idle { node.due } else { None }
        });
        let fresh = self.nodes.values().filter_map(|node| node.dialing.as_ref());
        let hanging = fresh
            .filter(|dialing| open && !dialing.hanging && self.missing(&tally, dialing.role) > 0)
            .filter_map(|dialing| dialing.since.checked_add(HANGING));
        dues.chain(hanging).min()
    }

    /// The user's nodes are dialed whatever the limits.
    fn dial_named(&mut self, now: Instant) -> Option<Dial> {
        let due = self.nodes.iter().filter(|(_, node)| node.is_named() && node.is_due(now));
        let (_, _, key) = due.map(|(key, node)| (node.source, node.lot, *key)).min()?;
        let ways = self.nodes.get(&key)?.contact.named_ways(self.config.first)?;
        self.start(key, ways, now)
    }

    /// Whether strangers may be dialed at all.
    fn has_room(&self, tally: &Tally) -> bool {
        let waiting = self.nodes.values().filter(|node| node.is_named() && !node.is_busy() && !node.dropped);
        let reserved = tally.dialed + tally.dialing + waiting.count();
        tally.strangers_dialing < self.config.dials_at_once && reserved < self.config.most
    }

    fn is_wanted(&self, tally: &Tally, node: &Node) -> bool {
        let role = node.dialed_as();
        self.missing(tally, role) > tally.of(role).fresh_dials
    }

    /// The most promising candidate that is due, or sometimes one that was never tried.
    fn pick(&mut self, now: Instant) -> Option<NodeKey> {
        let tally = self.tally();
        if !self.has_room(&tally) {
            return None;
        }
        let wanted = ROLES.map(|role| self.missing(&tally, role) > tally.of(role).fresh_dials);
        if !wanted.contains(&true) {
            return None;
        }
        // A role of which nobody is there at all comes first.
        let lacks_all = |role| tally.of(role).towards(self.config.targets.of(role)) == 0;
        let due = self
            .nodes
            .iter()
            .filter(|(_, node)| !node.is_named() && node.is_due(now) && self.is_wanted(&tally, node));
        let mut best = None;
        let mut fresh = None;
        for (key, node) in due {
            let rank = (!lacks_all(node.dialed_as()), node.rank(), *key);
            if !node.tried && !node.rank().is_last_resort() {
                fresh = fresh.into_iter().chain([(node.lot, *key)]).min();
            }
            best = best.into_iter().chain([rank]).min();
        }
        let (_, _, best) = best?;
        match fresh {
            Some((_, fresh)) if self.random.below(EXPLORE) == 0 => Some(fresh),
            Some(_) | None => Some(best),
        }
    }

    fn dial_stranger(&mut self, key: NodeKey, now: Instant) -> Option<Dial> {
        let judged = self.nodes.get(&key)?.contact.ways(self.rules());
        let ways = match judged {
            Ok(ways) => ways,
            Err(error) => {
                trace!(%error, "a candidate is not dialed");
                let node = self.nodes.get_mut(&key)?;
                node.ruled_out = true;
                node.due = now.checked_add(RULED_OUT);
                return None;
            }
        };
        let subnets = subnet::of_ways(&ways);
        let busy = self.recent.free_at(&subnets, self.config.subnet_dials, now);
        let served = if self.is_served(&subnets) { now.checked_add(SUBNET_SERVED) } else { None };
        if let Some(free) = busy.max(served) {
            self.nodes.get_mut(&key)?.due = Some(free);
            return None;
        }
        self.recent.note(&subnets, now);
        self.nodes.get_mut(&key)?.subnets = subnets;
        self.start(key, ways, now)
    }

    /// Whether one of the subnets has its share of the peers that we dialed.
    fn is_served(&self, subnets: &BTreeSet<Network>) -> bool {
        let counts = |node: &&Node| {
            let dialed = node.connected.as_ref().is_some_and(super::connections::is_dialed);
            !node.is_named() && (dialed || node.dialing.is_some())
        };
        let busy: Vec<&Node> = self.nodes.values().filter(counts).collect();
        let peers = |subnet| busy.iter().filter(|node| node.subnets.contains(subnet)).count();
        subnets.iter().any(|subnet| peers(subnet) >= self.config.subnet_peers)
    }

    fn start(&mut self, key: NodeKey, ways: Vec<Way>, now: Instant) -> Option<Dial> {
        let node = self.nodes.get_mut(&key)?;
        let role = node.dialed_as();
        node.dialing = Some(Dialing { since: now, role, hanging: false });
        node.tried = true;
        self.dials = self.dials.saturating_add(1);
        self.events.counts_changed = true;
        Some(Dial { key, ways, role, source: node.source })
    }
}
