//! Being reached from outside: what a host does about routers before it, and what it found out about them.

pub(crate) mod keeper;
pub(crate) mod log;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

/// What a host does to be reached, and for others to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReachConfig {
    /// Relays that the user named, multiaddrs with `/p2p/`: a reservation is kept at the first ones that grant it.
    pub relays: Vec<String>,
    /// At how many relays reservations are kept at a time, named or offered ones
    /// ([`Host::offer_relays`](crate::Host::offer_relays)).
    pub reservations: usize,
    /// Whether circuits are served for others.
    pub circuits: CircuitService,
    /// Whether others may have their addresses tested by us (AutoNAT v2).
    pub dial_back: bool,
    /// Private addresses count as others do: for laboratories and closed networks.
    pub allow_private: bool,
}

/// Whether a host serves circuits for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CircuitService {
    /// Not at all.
    #[default]
    Never,
    /// Once somebody found one of its addresses reachable.
    WhenReachable,
    /// Always.
    Always,
}

/// What a host found out about how it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReachFacts {
    /// Where it listens, without relays.
    pub listeners: Vec<String>,
    /// How others saw it, newest last; one entry for each peer, listener and address.
    pub observed: Vec<Observed>,
    /// What came of tests by others, by address.
    pub verdicts: Vec<Verdict>,
    /// Reservations held now.
    pub reservations: Vec<Reservation>,
    /// Hole punches by the transport that was tried: how many were tried and how many came to a connection. Those that
    /// failed count under `any`, as each tries all transports.
    pub punches: BTreeMap<String, Punches>,
    /// Connections that others opened without a relay between, by transport, from other networks than our own.
    pub direct: BTreeMap<String, u64>,
}

/// How a peer saw us on a connection that we opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The multiaddr of ours that the peer saw.
    pub address: String,
    /// From which of our sockets the connection came, if it was one that also listens.
    pub listener: Option<String>,
    /// The peer's id.
    pub by: String,
    /// The IP address at which we dialed it, if it was one.
    pub at: Option<std::net::IpAddr>,
}

/// What others found when they dialed an address of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The multiaddr.
    pub address: String,
    /// Whether they came through.
    pub reachable: bool,
    /// How many said so.
    pub confirmations: u32,
    /// When it was said last.
    pub at: SystemTime,
}

/// A place at a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The relay's id.
    pub relay: String,
    /// Where others reach us through it, with our id at the end.
    pub addresses: Vec<String>,
    /// Since when.
    pub since: SystemTime,
    /// When it was last granted.
    pub granted: SystemTime,
    /// What a circuit may move in each direction, if the relay said it.
    pub bytes: Option<u64>,
    /// How long a circuit may last, if the relay said it.
    pub time: Option<Duration>,
}

/// What others take of the circuits that we relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayUsage {
    /// Peers that hold a place with us.
    pub reservations: u64,
    /// Circuits open now.
    pub open: u64,
    /// Circuits so far.
    pub circuits: u64,
    /// Bytes relayed.
    pub bytes: u64,
    /// Requests refused.
    pub refusals: u64,
    /// Bytes relayed from and to each peer that is remembered, who took most first.
    pub peers: Vec<(String, u64)>,
}

/// How hole punches went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Punches {
    /// How many were tried.
    pub tried: u64,
    /// How many came to a direct connection.
    pub succeeded: u64,
}
