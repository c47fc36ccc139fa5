//! A peer that may be asked: its connections, and how often it was asked.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use libp2p_core::Multiaddr;
use libp2p_swarm::ConnectionId;

use super::Config;
use crate::{
    Scope,
    address::{Target, ip_of, is_relayed},
    ip::Networks,
};

const MINUTE: Duration = Duration::from_secs(60);

/// First pause after a server rejected a question or left it unanswered; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// Doublings of that pause: at most some half hour.
const MAX_DOUBLINGS: u32 = 5;

/// Connections of a peer that are looked at: the first ones.
const MAX_CONNECTIONS: usize = 8;

/// A connected peer.
#[derive(Debug, Default)]
pub(super) struct Server {
    connections: BTreeMap<ConnectionId, Connection>,
    /// The owner says that it is one.
    named: bool,
    /// A question is under way.
    pub(super) busy: bool,
    /// Within the last minute, oldest first.
    asked: VecDeque<Instant>,
    strikes: u32,
    paused_until: Option<Instant>,
}

/// One of its connections.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) since: Instant,
    /// The peer dialed us.
    pub(super) inbound: bool,
    /// Our side's address.
    pub(super) local: Multiaddr,
    pub(super) remote: Multiaddr,
    serves: bool,
}

impl Connection {
    pub(super) fn new(since: Instant, inbound: bool, local: Multiaddr, remote: Multiaddr) -> Self {
        Self { since, inbound, local, remote, serves: false }
    }
}

impl Server {
    pub(super) fn connect(&mut self, id: ConnectionId, connection: Connection) {
        if self.connections.len() < MAX_CONNECTIONS {
            self.connections.insert(id, connection);
        }
    }

    pub(super) fn disconnect(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.connections.is_empty()
    }

    pub(super) fn set_serves(&mut self, id: ConnectionId, serves: bool) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.serves = serves;
        }
    }

    pub(super) fn set_named(&mut self) {
        self.named = true;
    }

    /// Whether it may be asked at all.
    pub(super) fn serves(&self) -> bool {
        self.named || self.connections.values().any(|connection| connection.serves)
    }

    pub(super) fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// The connection over which it can be asked about this address, newest first.
    ///
    /// One that sits beside us, or behind the same router, would tell how that router treats its own side.
    pub(super) fn way(&self, target: &Target, scope: Scope) -> Option<ConnectionId> {
        if !self.serves() {
            return None;
        }
        let elsewhere = |ip: IpAddr| scope.allows(ip) && (ip != target.ip || ip.is_loopback());
        self.connections.iter().rev().find_map(|(id, connection)| {
            let ip = ip_of(&connection.remote)?.to_canonical();
            (!is_relayed(&connection.remote) && elsewhere(ip)).then_some(*id)
        })
    }

    pub(super) fn network(&self) -> Option<Networks> {
        self.connections.values().find_map(|connection| ip_of(&connection.remote)).map(Networks::of)
    }

    /// When it may be asked again; `None` while it is being asked.
    pub(super) fn free_at(&self, config: &Config, now: Instant) -> Option<Instant> {
        if self.busy {
            return None;
        }
        let recent: Vec<Instant> =
            self.asked.iter().map(|asked| *asked + MINUTE).filter(|over| *over > now).collect();
        let excess = recent.len().checked_sub(config.questions_per_minute.max(1));
        let rate = excess.and_then(|excess| recent.get(excess).copied()).unwrap_or(now);
        Some(self.paused_until.unwrap_or(now).max(rate).max(now))
    }

    pub(super) fn ask(&mut self, now: Instant) {
        self.busy = true;
        self.asked.retain(|asked| *asked + MINUTE > now);
        self.asked.push_back(now);
    }

    /// It answered to the point.
    pub(super) fn praise(&mut self) {
        self.busy = false;
        self.strikes = 0;
        self.paused_until = None;
    }

    /// It did not.
    pub(super) fn strike(&mut self, now: Instant) {
        self.busy = false;
        self.paused_until = Some(now + FIRST_PAUSE * 2_u32.pow(self.strikes.min(MAX_DOUBLINGS)));
        self.strikes = self.strikes.saturating_add(1);
    }
}
