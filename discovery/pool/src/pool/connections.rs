//! Who is connected, who goes, and what a failure means for the next dial.

use std::time::{Duration, Instant};

use causeway_wire::{NodeKey, Stack};
use tracing::debug;

use super::{Pool, ROLES};
use crate::{
    BANISHED, Failure, Role, STABLE, Source, Value,
    info::PoolEvent,
    node::{Connection, Link, Node},
    patience::{Manner, Patience},
    shunned::Cause,
};

/// Most connected peers that the pool keeps count of; the limits of the listeners are far below.
pub const MAX_CONNECTED: usize = 10_000;

/// Longest name of a client's software that is kept, in bytes.
pub const MAX_CLIENT: usize = 128;

/// A node that failed too often is not heard of for this time: sources keep naming the dead.
const GIVEN_UP: Duration = Duration::from_secs(60 * 60);

/// A stranger's wait is lengthened by up to this part of itself, lest all that fail together return together.
const JITTER: u32 = 4;

/// A connection that stands: greeted, on the same chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The stack.
    pub stack: Stack,
    /// Whether it came to us.
    pub inbound: bool,
    /// What it is good for.
    pub role: Role,
    /// Its software, as it says; kept up to [`MAX_CLIENT`].
    pub client: String,
}

pub(super) fn is_dialed(connection: &Connection) -> bool {
    connection.is_dialed()
}

impl Pool {
    /// A dial succeeded, or somebody came. A peer that is met on both stacks is one peer.
    pub fn handle_connected(&mut self, key: NodeKey, connected: Connected, now: Instant) {
        if key == self.config.me {
            return;
        }
        let Connected { stack, inbound, role, mut client } = connected;
        client.truncate(client.floor_char_boundary(MAX_CLIENT));
        if !self.nodes.contains_key(&key) {
            if self.nodes.values().filter(|node| node.connected.is_some()).count() >= MAX_CONNECTED {
                return;
            }
            let lot = self.random.next();
            self.nodes.insert(key, Node::new(Source::Inbound, Some(role), lot));
        }
        self.shunned.pardon_failed(key);
        let banished = self.shunned.cause(key, now).is_some();
        let Some(node) = self.nodes.get_mut(&key) else { return };
        if !inbound {
            node.dialing = None;
        }
        // A relay shows itself as a light peer where it asks, and as a full node over devp2p.
        let recorded = node.recorded_role();
        let role = if recorded == Some(Role::Relay) { Role::Relay } else { role };
        // Who asks on this session may serve when dialed.
        node.role = if role == Role::LightPeer { recorded.or(node.role).or(Some(role)) } else { Some(role) };
        node.note_seen(now);
        let link = Link { stack, inbound };
        match &mut node.connected {
            Some(connection) => {
                if !connection.links.contains(&link) {
                    connection.links.push(link);
                }
                connection.role = role;
                if !client.is_empty() {
                    connection.client = client;
                }
                self.events.counts_changed = true;
            }
            None => {
                // A liar that returns is shown out by `poll_evict`.
                let connection = Connection { since: now, links: vec![link], role, client, leaving: false };
                node.connected = Some(connection);
                let source = node.source;
                self.events.push(PoolEvent::Connected { key, role, stack, inbound, source });
                if !banished {
                    self.pace.reset();
                }
            }
        }
    }

    /// What a connected peer is good for showed only later, or has changed.
    pub fn handle_role(&mut self, key: NodeKey, role: Role) {
        let Some(node) = self.nodes.get_mut(&key) else { return };
        node.role = Some(role);
        if let Some(connection) = &mut node.connected {
            connection.role = role;
        }
        self.events.counts_changed = true;
    }

    /// A peer that came by itself says that it serves. As it came to be served, that session is ended: it is dialed
    /// in its place if such a peer is wanted, and at once.
    pub fn handle_offer(&mut self, key: NodeKey, now: Instant) {
        let Some(node) = self.nodes.get_mut(&key) else { return };
        node.role = node.recorded_role().or(Some(Role::LesFullNode));
        if node.connected.is_some() {
            node.offered = true;
        } else if node.dialing.is_none() && !node.dropped {
            node.due = Some(now);
        }
    }

    /// A session ended. The peer is gone when it was the last one. Of two who dial each other at the same time one
    /// session takes the other's place, and the end of the one may be told after the beginning of the other: so it
    /// matters whether it was the `inbound` one that ended.
    pub fn handle_disconnected(
        &mut self,
        key: NodeKey,
        stack: Stack,
        inbound: bool,
        why: Failure,
        now: Instant,
    ) {
        let Some(node) = self.nodes.get_mut(&key) else { return };
        let Some(connection) = &mut node.connected else { return };
        connection.links.retain(|link| *link != Link { stack, inbound });
        self.events.counts_changed = true;
        if connection.links.is_empty() {
            self.end(key, why, now);
        }
    }

    /// A dial failed. If none was under way, every session with the peer ended.
    pub fn handle_failure(&mut self, key: NodeKey, why: Failure, now: Instant) {
        let Some(node) = self.nodes.get_mut(&key) else { return };
        let was_dialed = node.dialing.take().is_some();
        if was_dialed {
            self.failed_dials = self.failed_dials.saturating_add(1);
            self.events.counts_changed = true;
        }
        match (was_dialed, node.connected.is_some()) {
            // It came to us meanwhile: that is as good.
            (true, true) => {}
            (false, true) => self.end(key, why, now),
            (true | false, false) => {
                self.settle(key, why, now);
                self.trim();
            }
        }
    }

    /// A connected peer's work since the last call.
    pub fn handle_value(&mut self, key: NodeKey, value: Value, now: Instant) {
        if let Some(node) = self.nodes.get_mut(&key) {
            node.worth.add(value);
            if node.connected.is_some() {
                node.note_seen(now);
            }
        }
    }

    /// What it said was found wrong. A stranger is forgotten and banished for [`BANISHED`]; if it is still
    /// connected, `poll_evict` names it. A node that the user named is left alone for a while: its answers are
    /// checked like everybody's.
    pub fn handle_lie(&mut self, key: NodeKey, now: Instant) {
        if key == self.config.me {
            return;
        }
        if self.nodes.get(&key).is_some_and(Node::is_named) {
            if self.nodes.get(&key).is_some_and(|node| node.connected.is_none()) {
                self.settle(key, Failure::Lied, now);
            }
            return;
        }
        self.shunned.insert(key, Cause::Lied, now.checked_add(BANISHED), now);
        debug!("a peer lied and is banished");
        let Some(node) = self.nodes.get_mut(&key) else { return };
        self.events.counts_changed = true;
        if node.is_busy() {
            node.worked = None; // no memory of it
            node.worth = crate::worth::Worth::default();
        } else {
            self.nodes.remove(&key);
        }
    }

    /// Whom to let go: a banished peer; then one more than [`crate::PoolConfig::most`], or than are wanted of its
    /// role, the least worthy first. Each is named once. Never one that the user named, nor one that came by
    /// itself without lying: the listeners' limits are for those.
    pub fn poll_evict(&mut self, now: Instant) -> Option<NodeKey> {
        let key = self.to_evict(now)?;
        let connection = self.nodes.get_mut(&key)?.connected.as_mut()?;
        connection.leaving = true;
        self.events.counts_changed = true;
        Some(key)
    }

    fn to_evict(&self, now: Instant) -> Option<NodeKey> {
        let strangers = || {
            self.nodes.iter().filter_map(|(key, node)| {
                let connection = node.connected.as_ref()?;
                let may_leave = !node.is_named() && !connection.leaving;
                may_leave.then_some((*key, node, connection))
            })
        };
        let liar = strangers().find(|(key, ..)| self.shunned.cause(*key, now).is_some());
        if let Some((key, ..)) = liar {
            return Some(key);
        }
        let tally = self.tally();
        let too_many = tally.dialed - tally.leaving > self.config.most;
        let surplus = ROLES.map(|role| (role, tally.of(role).dialed > self.config.targets.of(role)));
        let has_surplus = |role| surplus.contains(&(role, true));
        strangers()
            .filter(|(_, _, connection)| connection.is_dialed())
            .filter(|(_, _, connection)| too_many || has_surplus(connection.role))
            // Of equals the newest goes.
            .min_by_key(|(_, node, connection)| {
                let since = std::cmp::Reverse(connection.since);
                (!has_surplus(connection.role), node.worth.score(), since)
            })
            .map(|(key, ..)| key)
    }

    /// The last session of a peer ended.
    fn end(&mut self, key: NodeKey, why: Failure, now: Instant) {
        let Some(node) = self.nodes.get_mut(&key) else { return };
        let Some(connection) = node.connected.take() else { return };
        let lasted = now.saturating_duration_since(connection.since);
        let role = connection.role;
        self.events.push(PoolEvent::Disconnected { key, role, why, lasted });
        if lasted >= STABLE {
            node.patience = Patience::default();
            node.worth.add_session(lasted);
            node.note_seen(now);
        }
        self.pace.reset();
        if node.dialing.is_some() {
            return;
        }
        self.settle(key, why, now);
        // A session that ended after a good while is no reason to doubt the node.
        if lasted >= STABLE
            && let Some(node) = self.nodes.get_mut(&key)
        {
            node.patience.forgive();
        }
        self.trim();
    }

    /// Neither connected nor dialed any more: when is it dialed again, if ever?
    fn settle(&mut self, key: NodeKey, why: Failure, now: Instant) {
        let alone = self.nodes.values().all(|node| node.connected.is_none());
        let jitter = self.random.below(1_000);
        let shunned = self.shunned.cause(key, now).is_some();
        let Some(node) = self.nodes.get_mut(&key) else { return };
        if std::mem::take(&mut node.offered) && !shunned && !node.contact.is_empty() {
            node.due = Some(now);
            return;
        }
        let manner = match (node.is_named(), alone) {
            (true, _) => Manner::Named,
            (false, true) => Manner::StrangerAlone,
            (false, false) => Manner::Stranger,
        };
        let wait = node.patience.note(why, manner);
        let Some(wait) = wait else {
            if manner == Manner::Named {
                node.dropped = true;
            } else {
                self.nodes.remove(&key);
                self.shunned.insert(key, Cause::Myself, None, now);
            }
            return;
        };
        if manner == Manner::Named {
            node.due = now.checked_add(wait);
            return;
        }
        let jitter = (wait / JITTER).mul_f64(jitter as f64 / 1_000.0);
        node.due = now.checked_add(wait.saturating_add(jitter));
        let spent = node.patience.is_at_end();
        if why == Failure::Lied {
            self.shunned.insert(key, Cause::Lied, now.checked_add(BANISHED), now);
        } else if spent {
            self.shunned.insert(key, Cause::Failed, now.checked_add(GIVEN_UP), now);
        }
        if why == Failure::Lied || spent || shunned || node.contact.is_empty() {
            self.nodes.remove(&key);
        }
    }
}
