//! The machine: what it knows, what is asked of it, what it says.

mod incoming;
mod outgoing;
mod questions;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use causeway_records::{Enode, Reach, Record, node_key};
use causeway_wire::NodeKey;
use secp256k1::SecretKey;

use crate::{
    Dropped,
    bonds::Bonds,
    intake::Intake,
    lookup::{Lookup, Purpose},
    network::host,
    node::{Node, Peer},
    packet::Endpoint,
    probes::Probes,
    random::Random,
    rate::{Bucket, Buckets, Rate},
    recent::Recent,
    requests::Requests,
    table::Table,
};

/// How long our packets hold (geth).
pub const EXPIRATION: Duration = Duration::from_secs(20);
/// How far ahead the end of a packet may lie. Captured ones can be sent again until then; and whoever's clock
/// goes wrong by more takes nobody's packets, as those of geth hold for [`EXPIRATION`].
pub const MAX_AHEAD: Duration = Duration::from_secs(600);
/// How often the table is filled again.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// How often the node that was not heard of for the longest time is pinged (geth, `PingInterval`).
pub const REVALIDATION_INTERVAL: Duration = Duration::from_secs(3);
/// How soon a known node is told again if it is found again.
pub const FOUND_AGAIN: Duration = Duration::from_secs(600);

/// The first wait after a refresh that nobody answered; each further one is twice as long.
const REFRESH_RETRY: Duration = Duration::from_secs(10);
/// The longest.
const MAX_REFRESH_RETRY: Duration = Duration::from_secs(300);
/// Nodes that were given to us and are asked when the table is nearly empty.
const MAX_SEEDS: usize = 256;
/// Nodes that did not answer and are left alone for [`UNREACHABLE_PAUSE`].
const MAX_UNREACHABLE: usize = 1024;
const UNREACHABLE_PAUSE: Duration = Duration::from_secs(60);
/// Machines for which pings back are counted.
const MAX_CALLBACK_HOSTS: usize = 1024;
/// How soon a record that was not given is asked for again.
const RECORD_PAUSE: Duration = Duration::from_secs(300);

/// Who we are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's key.
    pub secret_key: SecretKey,
    /// Our port of RLPx; 0 if we have none.
    pub tcp: u16,
    /// Which addresses others may send us to.
    pub reach: Reach,
    /// How much is done at a time.
    pub limits: Limits,
}

/// How much is done at a time. The worst case in memory is about 10 MB with the defaults, most of it records
/// of [`crate::MAX_BONDS`] nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Questions under way.
    pub requests: usize,
    /// Lookups under way by [`Discv4::lookup`].
    pub lookups: usize,
    /// Packets that wait to be sent; further ones are dropped and counted.
    pub transmits: usize,
    /// Events that wait to be taken; further ones are dropped and counted.
    pub events: usize,
    /// Pings a second to nodes that only others have named.
    pub pings_per_second: u32,
    /// Pings a second to strangers who pinged us.
    pub callbacks_per_second: u32,
    /// The same for one machine; six times as many at once.
    pub callbacks_per_host: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 256,
            lookups: 4,
            transmits: 1024,
            events: 1024,
            pings_per_second: 25,
            callbacks_per_second: 50,
            callbacks_per_host: 5,
        }
    }
}

/// A packet to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// To where; an IPv4 address is never written as IPv6.
    pub to: SocketAddr,
    /// At most [`crate::packet::MAX_PACKET`] bytes.
    pub packet: Bytes,
}

/// What came to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node answered at its address. Told again with another record, and after [`FOUND_AGAIN`] if it is found
    /// again.
    Found {
        /// The node; its TCP port is 0 if it did not say one.
        enode: Enode,
        /// Its record, whose key is the node's and whose addresses it may name; `None` if it has none.
        record: Option<Record>,
    },
    /// A lookup of [`Discv4::lookup`] has ended.
    LookupDone {
        /// How many nodes answered it.
        found: usize,
    },
    /// A node we pinged says where our packet came from: a vote on our address.
    Observed {
        /// Where it sees us.
        ours: SocketAddr,
        /// Where it is.
        by: SocketAddr,
    },
}

/// What the machine holds and has let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Nodes in the table.
    pub table: usize,
    /// Endpoint proofs remembered.
    pub bonds: usize,
    /// Questions under way.
    pub requests: usize,
    /// Lookups under way, our own too.
    pub lookups: usize,
    /// Nodes that wait to be pinged.
    pub probes: usize,
    /// Nodes that found no place among those.
    pub probes_dropped: u64,
    /// Packets that found no place among those to be sent.
    pub transmits_dropped: u64,
    /// Events that found no place among those to be taken.
    pub events_dropped: u64,
}

/// Node Discovery v4. Give it packets ([`Self::handle_packet`]) and time ([`Self::handle_timeout`], when
/// [`Self::poll_timeout`] says so); after each, take out what it has to say ([`Self::poll_transmit`],
/// [`Self::poll_event`]).
#[derive(Debug)]
pub struct Discv4 {
    config: Config,
    own: Node,
    endpoint: Endpoint,
    record: Record,
    random: Random,
    intake: Intake,
    bonds: Bonds,
    table: Table,
    requests: Requests,
    lookups: BTreeMap<u64, Lookup>,
    next_lookup: u64,
    probes: Probes,
    seeds: Vec<Node>,
    unreachable: Recent<Peer, Instant>,
    pings: Bucket,
    callbacks: Bucket,
    host_callbacks: Buckets<std::net::IpAddr>,
    refresh_at: Instant,
    refresh_retry: Duration,
    /// Lookups of random targets that are still to come in this refresh.
    refresh_left: u8,
    revalidated: Instant,
    /// When something waits that only time is missing for.
    wake: Option<Instant>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    transmits_dropped: u64,
    events_dropped: u64,
}

impl Discv4 {
    /// A node that knows nobody yet. `record` is our record, `seed` what chance comes from.
    pub fn new(config: Config, record: Record, seed: [u8; 32], now: Instant) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let own = Node::new(node_key(&config.secret_key), nowhere, config.tcp);
        let per_host = Rate::new(config.limits.callbacks_per_host, 6 * config.limits.callbacks_per_host);
        Self {
            endpoint: Endpoint::unknown(config.tcp),
            own,
            record,
            random: Random::new(seed),
            intake: Intake::new(),
            bonds: Bonds::new(),
            table: Table::new(own.id),
            requests: Requests::new(config.limits.requests),
            lookups: BTreeMap::new(),
            next_lookup: 0,
            probes: Probes::default(),
            seeds: Vec::new(),
            unreachable: Recent::new(MAX_UNREACHABLE),
            pings: Bucket::default(),
            callbacks: Bucket::default(),
            host_callbacks: Buckets::new(per_host, MAX_CALLBACK_HOSTS),
            refresh_at: now,
            refresh_retry: REFRESH_RETRY,
            refresh_left: 0,
            revalidated: now,
            wake: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            transmits_dropped: 0,
            events_dropped: 0,
            config,
        }
    }

    /// Our record has changed: its number is said from now on, and it is given to those who ask.
    pub fn set_record(&mut self, record: Record) {
        self.record = record;
    }

    /// Where our pings say they come from; `None` if that is not known.
    pub fn set_endpoint(&mut self, udp: Option<SocketAddr>) {
        let tcp = self.config.tcp;
        self.endpoint = udp.map_or_else(|| Endpoint::unknown(tcp), |udp| Endpoint::new(udp, tcp));
    }

    /// A node known from elsewhere: of a list, or from the last time. It is pinged soon, and again whenever the
    /// table is nearly empty. One without an address or a port of discovery is passed over.
    pub fn add_node(&mut self, enode: &Enode, now: Instant) {
        let Some(node) = Node::of_enode(enode).filter(|node| node.id != self.own.id) else { return };
        if self.seeds.len() < MAX_SEEDS && !self.is_seed(node.peer()) {
            self.seeds.push(node);
        }
        self.probes.push(node);
        self.wake = Some(now);
        if self.table.len() == 0 {
            self.refresh_at = self.refresh_at.min(now);
            self.refresh_retry = REFRESH_RETRY;
        }
    }

    /// A datagram came in.
    ///
    /// # Errors
    /// Why it was of no use; for counting.
    pub fn handle_packet(
        &mut self,
        from: SocketAddr,
        packet: &[u8],
        now: Instant,
        unix_seconds: u64,
    ) -> Result<(), Dropped> {
        let outcome = self.take(from, packet, now, unix_seconds);
        self.run(now, unix_seconds);
        outcome
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant, unix_seconds: u64) {
        while let Some(request) = self.requests.pop_expired(now) {
            self.unanswered(request, now, unix_seconds);
        }
        self.refresh(now);
        self.revalidate(now, unix_seconds);
        self.run(now, unix_seconds);
    }

    /// Looks for the nodes closest to `target`, any 64 bytes; what is found on the way comes as events. `false`:
    /// too many lookups are under way.
    pub fn lookup(&mut self, target: NodeKey, now: Instant, unix_seconds: u64) -> bool {
        let under_way = self.lookups.values().filter(|lookup| lookup.purpose == Purpose::Caller).count();
        if under_way >= self.config.limits.lookups {
            return false;
        }
        self.start_lookup(target, Purpose::Caller);
        self.run(now, unix_seconds);
        true
    }

    /// A packet to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// Something that came to be known.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due; may lie in the past.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let revalidation = self.revalidation_at();
        [self.requests.next_deadline(), Some(self.refresh_at), revalidation, self.wake]
            .into_iter()
            .flatten()
            .min()
    }

    /// How many nodes are in the table.
    pub fn table_len(&self) -> usize {
        self.table.len()
    }

    /// What is held and was let go.
    pub fn stats(&self) -> Stats {
        Stats {
            table: self.table.len(),
            bonds: self.bonds.len(),
            requests: self.requests.len(),
            lookups: self.lookups.len(),
            probes: self.probes.len(),
            probes_dropped: self.probes.dropped,
            transmits_dropped: self.transmits_dropped,
            events_dropped: self.events_dropped,
        }
    }

    fn is_seed(&self, peer: Peer) -> bool {
        self.seeds.iter().any(|seed| seed.peer() == peer)
    }

    /// Whether we deal with whoever is at `peer`: strangers must be within reach, those given to us need not.
    fn is_welcome(&self, peer: Peer) -> bool {
        causeway_records::is_allowed(peer.addr.ip(), self.config.reach) || self.is_seed(peer)
    }

    /// Takes from what there is of pings back to strangers.
    fn may_call_back(&mut self, peer: Peer, now: Instant) -> bool {
        let limits = self.config.limits;
        let all = Rate::new(limits.callbacks_per_second, 2 * limits.callbacks_per_second);
        self.host_callbacks.take(host(peer.addr.ip()), now) && self.callbacks.take(all, now)
    }

    fn ping_rate(&self) -> Rate {
        let per_second = self.config.limits.pings_per_second;
        Rate::new(per_second, 2 * per_second)
    }
}

#[cfg(test)]
mod tests;
