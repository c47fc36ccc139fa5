//! What the pool tells of itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use causeway_wire::NodeKey;

use super::{Pool, ROLES};
use crate::{PeerInfo, PeerState, PoolEvent, RoleSummary, Source, Summary, info::SourceSummary, node::Node};

impl Pool {
    /// What happened; the counts come last, and only if they changed.
    pub fn poll_event(&mut self) -> Option<PoolEvent> {
        if let Some(event) = self.events.pop() {
            return Some(event);
        }
        if !std::mem::take(&mut self.events.counts_changed) {
            return None;
        }
        Some(PoolEvent::Summary(self.summary()))
    }

    /// Every node that the pool knows: the connected first, then those being dialed, then the rest.
    pub fn peers(&self, now: Instant) -> Vec<PeerInfo> {
        let mut peers: Vec<PeerInfo> = self.nodes.iter().map(|(key, node)| info(*key, node, now)).collect();
        peers.sort_by_key(|peer| (peer.state, std::cmp::Reverse(peer.worth)));
        peers
    }

    /// How the pool stands.
    pub fn summary(&self) -> Summary {
        let tally = self.tally();
        let mut sources: BTreeMap<Source, usize> = BTreeMap::new();
        let candidates = || self.nodes.values().filter(|node| !node.is_busy() && !node.dropped);
        for node in candidates() {
            *sources.entry(node.source).or_default() += 1;
        }
        let of_role = |role| {
            let counts = tally.of(role);
            RoleSummary {
                role,
                target: self.config.targets.of(role),
                connected: counts.dialed + counts.inbound + counts.leaving,
                dialing: self
                    .nodes
                    .values()
                    .filter_map(|node| node.dialing.as_ref())
                    .filter(|dialing| dialing.role == role)
                    .count(),
                candidates: candidates().filter(|node| node.role == Some(role)).count(),
            }
        };
        Summary {
            roles: ROLES.map(of_role).to_vec(),
            connected: self.nodes.values().filter(|node| node.connected.is_some()).count(),
            dialed: tally.dialed,
            dialing: tally.dialing,
            candidates: candidates().count(),
            sources: sources
                .into_iter()
                .map(|(source, candidates)| SourceSummary { source, candidates })
                .collect(),
            shunned: self.shunned.len(),
            dials: self.dials,
            failed_dials: self.failed_dials,
            searches: self.pace.searches,
            events_dropped: self.events.dropped,
        }
    }
}

fn info(key: NodeKey, node: &Node, now: Instant) -> PeerInfo {
    let since = |at: Instant| now.saturating_duration_since(at).as_secs();
    let connection = node.connected.as_ref();
    let wait = node.due.map(|due| due.saturating_duration_since(now).as_secs()).filter(|wait| *wait > 0);
    let state = match (connection, &node.dialing) {
        (Some(_), _) => PeerState::Connected,
        (None, Some(_)) => PeerState::Dialing,
        (None, None) if node.dropped => PeerState::Dropped,
        (None, None) if wait.is_some() => PeerState::Waiting,
        (None, None) => PeerState::Candidate,
    };
    let enodes = node.contact.enodes.iter().map(ToString::to_string);
    let addrs = node.contact.addrs.iter().map(ToString::to_string);
    PeerInfo {
        key: key.to_string(),
        role: node.role,
        source: node.source,
        state,
        stacks: connection
            .map(|connection| {
                let stacks: BTreeSet<_> = connection.links.iter().map(|link| link.stack).collect();
                stacks.into_iter().map(|stack| stack.to_string()).collect()
            })
            .unwrap_or_default(),
        inbound: connection.is_some_and(|connection| !connection.is_dialed()),
        client: connection.map(|connection| connection.client.clone()).unwrap_or_default(),
        connected_for: connection.map(|connection| since(connection.since)),
        wait: if state == PeerState::Waiting { wait } else { None },
        worth: node.worth.score(),
        latency_ms: node.worth.latency_ms(),
        failures: node.patience.failures(),
        last_seen: node.silence(now).map(|silence| silence.as_secs()),
        record: node.contact.record.as_ref().map(ToString::to_string),
        addresses: enodes.chain(addrs).collect(),
    }
}
