//! What the pool tells of itself: to `causeway peers`, the dashboard and the log.

use std::{collections::VecDeque, time::Duration};

use causeway_wire::{NodeKey, Stack};
use serde::Serialize;

use crate::{Failure, Role, Source};

/// Events that wait for the caller; the oldest is dropped for the newest, and counted.
pub const MAX_EVENTS: usize = 256;

/// Something that happened in the pool.
#[derive(Clone, Debug, PartialEq)]
pub enum PoolEvent {
    /// A peer is there, on its first stack.
    Connected {
        /// Who.
        key: NodeKey,
        /// What it is good for.
        role: Role,
        /// The stack.
        stack: Stack,
        /// Whether it came to us.
        inbound: bool,
        /// Where it was heard of.
        source: Source,
    },
    /// A peer is gone, from its last stack.
    Disconnected {
        /// Who.
        key: NodeKey,
        /// What it was good for.
        role: Role,
        /// Why.
        why: Failure,
        /// How long it was there.
        lasted: Duration,
    },
    /// The counts, after they changed.
    Summary(Summary),
}

/// How the pool stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// By role.
    pub roles: Vec<RoleSummary>,
    /// Peers connected, whoever dialed.
    pub connected: usize,
    /// Those that we dialed.
    pub dialed: usize,
    /// Dials under way.
    pub dialing: usize,
    /// Nodes known that may be dialed.
    pub candidates: usize,
    /// Candidates by where they were heard of.
    pub sources: Vec<SourceSummary>,
    /// Nodes not heard of for a while: liars, and those that failed too often.
    pub shunned: usize,
    /// Dials since the start.
    pub dials: u64,
    /// Dials since the start that failed.
    pub failed_dials: u64,
    /// Searches since the start.
    pub searches: u64,
    /// Events dropped because nobody fetched them.
    pub events_dropped: u64,
}

/// How the pool stands with one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleSummary {
    /// The role.
    pub role: Role,
    /// How many are wanted.
    pub target: usize,
    /// How many are connected.
    pub connected: usize,
    /// How many are being dialed.
    pub dialing: usize,
    /// How many more are known.
    pub candidates: usize,
}

/// How many candidates one source gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSummary {
    /// The source.
    pub source: Source,
    /// How many.
    pub candidates: usize,
}

/// One node that the pool knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerInfo {
    /// Its public key, 128 hex digits.
    #[serde(rename = "nodeKey")]
    pub key: String,
    /// What it is good for; absent before it was met, if no record says it.
    pub role: Option<Role>,
    /// Where it was heard of.
    pub source: Source,
    /// How it stands.
    pub state: PeerState,
    /// The stacks on which it is connected.
    pub stacks: Vec<String>,
    /// Whether it came to us on every one of them.
    pub inbound: bool,
    /// Its software, as it says.
    pub client: String,
    /// Connected for so long, in seconds.
    pub connected_for: Option<u64>,
    /// Dialed again in so many seconds.
    pub wait: Option<u64>,
    /// From 0 to 1,000.
    pub worth: u32,
    /// Milliseconds that an answer takes.
    pub latency_ms: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
    /// Last seen connected so many seconds ago.
    pub last_seen: Option<u64>,
    /// Its record, if one is known.
    pub record: Option<String>,
    /// Its addresses beyond the record's: enode URLs and multiaddrs.
    pub addresses: Vec<String>,
}

/// How a node stands with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// Connected.
    Connected,
    /// Being dialed.
    Dialing,
    /// May be dialed.
    Candidate,
    /// Left alone for a while.
    Waiting,
    /// Never dialed again: it is ourselves.
    Dropped,
}

/// Events for the caller.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: VecDeque<PoolEvent>,
    pub(crate) dropped: u64,
    /// The counts changed since the last summary.
    pub(crate) counts_changed: bool,
}

impl Events {
    pub(crate) fn push(&mut self, event: PoolEvent) {
        if self.queue.len() >= MAX_EVENTS {
            self.queue.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.queue.push_back(event);
        self.counts_changed = true;
    }

    pub(crate) fn pop(&mut self) -> Option<PoolEvent> {
        self.queue.pop_front()
    }
}
