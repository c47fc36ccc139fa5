//! Who is let in: limits of connections in total, under way, per peer and per address, and of how fast they come.
//!
//! libp2p's own `connection-limits` knows no addresses and keeps an empty entry for every peer that ever came.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    task::{Context, Poll},
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol as Part,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

use crate::{
    Denied, HandshakeRate, HostLimits, Rules, TooFast, identity::wire_peer_id, lists::SharedRules,
    memory::Level,
};

/// Addresses that are dialed at once to meet one peer.
const MAX_ADDRESSES: usize = 16;

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("limit of {limit} {what} is reached")]
    Full { what: &'static str, limit: usize },
    #[error("memory is short")]
    NoMemory,
    #[error(transparent)]
    TooFast(#[from] TooFast),
    #[error(transparent)]
    Denied(#[from] Denied),
}

/// What the lists had against a connection that was denied, if it was them.
pub(crate) fn refused_by_lists(cause: &ConnectionDenied) -> Option<Denied> {
    let mut source = std::error::Error::source(cause);
    while let Some(error) = source {
        if let Some(Refused::Denied(denied)) = error.downcast_ref() {
            return Some(*denied);
        }
        source = error.source();
    }
    None
}

/// The behaviour; it has no handlers and no events.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: HostLimits,
    /// The transports ask them too.
    rules: SharedRules,
    pending_incoming: HashSet<ConnectionId>,
    pending_outgoing: HashSet<ConnectionId>,
    established: HashMap<ConnectionId, Established>,
    incoming: usize,
    per_peer: Counts<PeerId>,
    /// Incoming connections from pending on.
    origins: HashMap<ConnectionId, IpAddr>,
    per_origin: Counts<Origin>,
    /// Incoming ones that relays carry, from pending on.
    relayed: HashSet<ConnectionId>,
    rate: HandshakeRate,
    memory: Level,
}

#[derive(Debug)]
struct Established {
    peer: PeerId,
    incoming: bool,
    /// Unknown where a name was dialed.
    ip: Option<IpAddr>,
    /// Being closed because the lists deny it.
    denied: bool,
}

/// What shares a limit of addresses. Who has one IPv6 address has a /64, at home often a /56, and who rents a
/// server often a /48; a /24 is the smallest IPv4 network that is routed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    V4(Ipv4Addr),
    V4Net24(u32),
    V6Net64(u64),
    V6Net56(u64),
    V6Net48(u64),
}

impl Gate {
    pub(crate) fn new(limits: HostLimits, rules: SharedRules) -> Self {
        Self {
            rate: HandshakeRate::new(limits.handshakes_per_ip),
            limits,
            rules,
            pending_incoming: HashSet::new(),
            pending_outgoing: HashSet::new(),
            established: HashMap::new(),
            incoming: 0,
            per_peer: Counts::default(),
            origins: HashMap::new(),
            per_origin: Counts::default(),
            relayed: HashSet::new(),
            memory: Level::default(),
        }
    }

    /// Lets nobody new in while memory is short.
    pub(crate) fn set_memory(&mut self, memory: Level) {
        self.memory = memory;
    }

    /// Goes by other rules from now on; returns the connections that they deny and that are not being closed
    /// for it yet.
    pub(crate) fn set_rules(&mut self, rules: Rules) -> Vec<ConnectionId> {
        self.rules.set(rules);
        let rules = self.rules.current();
        let mut denied = Vec::new();
        for (id, connection) in &mut self.established {
            let refused = rules.check(&wire_peer_id(&connection.peer), connection.ip).is_err();
            if refused && !connection.denied {
                connection.denied = true;
                denied.push(*id);
            }
        }
        denied
    }

    /// A connection of somebody else at the door, before any handshake.
    fn knock(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
        now: Instant,
    ) -> Result<(), Refused> {
        let limits = &self.limits;
        let ip = remote_ip(remote);
        if let Some(ip) = ip {
            self.rules.current().check_ip(ip)?;
        }
        self.afford()?;
        below("connections", self.established.len(), limits.connections)?;
        below("incoming connections", self.incoming, limits.incoming)?;
        below("incoming handshakes", self.pending_incoming.len(), limits.pending_incoming)?;
        if let Some(ip) = ip.filter(|ip| !ip.is_loopback() && !self.rules.current().exempts(*ip)) {
            for origin in origins_of(ip) {
                let (what, limit) = match origin {
                    Origin::V4(_) => ("connections from one IPv4 address", limits.per_ipv4),
                    Origin::V4Net24(_) => ("connections from one IPv4 /24", limits.per_ipv4_24),
                    Origin::V6Net56(_) => ("connections from one IPv6 /56", limits.per_ipv6_56),
                    Origin::V6Net64(_) => ("connections from one IPv6 /64", limits.per_ipv6_64),
                    Origin::V6Net48(_) => ("connections from one IPv6 /48", limits.per_ipv6_48),
                };
                below(what, self.per_origin.of(&origin), limit)?;
            }
            self.rate.take(ip, now)?; // last: only who is let in uses up his share
            self.origins.insert(connection, ip);
            origins_of(ip).for_each(|origin| self.per_origin.add(origin));
        }
        if local.iter().any(|part| part == Part::P2pCircuit) {
            below("connections through relays", self.relayed.len(), limits.relayed)?;
            self.relayed.insert(connection);
        }
        self.pending_incoming.insert(connection);
        Ok(())
    }

    /// Whether anything speaks against a dial, as far as it is known whom it leads to.
    fn may_dial(&self, peer: Option<&PeerId>, addresses: &[Multiaddr]) -> Result<(), Refused> {
        self.afford()?;
        // Who wants to be met half way names his addresses, and each costs us packets to wherever it leads.
        below("addresses in one dial", addresses.len(), MAX_ADDRESSES + 1)?;
        for ip in addresses.iter().filter_map(remote_ip) {
            self.rules.current().check_ip(ip)?;
        }
        match peer.map(|peer| self.rules.current().check(&wire_peer_id(peer), None)) {
            Some(Err(Denied::Peer)) => Err(Denied::Peer.into()),
            _ => Ok(()), // whether it is an allowed one is seen after the handshake
        }
    }

    fn afford(&self) -> Result<(), Refused> {
        if self.memory == Level::Enough { Ok(()) } else { Err(Refused::NoMemory) }
    }

    /// A connection after its handshake.
    fn enter(&self, peer: &PeerId, remote: &Multiaddr, incoming: bool) -> Result<(), Refused> {
        let limits = &self.limits;
        self.rules.current().check(&wire_peer_id(peer), remote_ip(remote))?;
        below("connections", self.established.len(), limits.connections)?;
        if incoming {
            below("incoming connections", self.incoming, limits.incoming)?;
        } else {
            below("outgoing connections", self.established.len() - self.incoming, limits.outgoing)?;
        }
        below("connections with one peer", self.per_peer.of(peer), limits.per_peer)
    }

    fn entered(&mut self, connection: ConnectionId, peer: PeerId, remote: &Multiaddr, incoming: bool) {
        self.pending_incoming.remove(&connection);
        self.pending_outgoing.remove(&connection);
        let established = Established { peer, incoming, ip: remote_ip(remote), denied: false };
        if self.established.insert(connection, established).is_none() {
            self.incoming += usize::from(incoming);
            self.per_peer.add(peer);
        }
    }

    /// A connection that is gone, established or not.
    fn left(&mut self, connection: ConnectionId) {
        self.pending_incoming.remove(&connection);
        self.pending_outgoing.remove(&connection);
        self.relayed.remove(&connection);
        if let Some(Established { peer, incoming, .. }) = self.established.remove(&connection) {
            self.incoming -= usize::from(incoming);
            self.per_peer.remove(&peer);
        }
        if let Some(ip) = self.origins.remove(&connection) {
            origins_of(ip).for_each(|origin| self.per_origin.remove(&origin));
        }
    }
}

fn below(what: &'static str, count: usize, limit: usize) -> Result<(), Refused> {
    if count < limit { Ok(()) } else { Err(Refused::Full { what, limit }) }
}

/// The address at the other end; none if it was dialed by name.
pub(crate) fn remote_ip(remote: &Multiaddr) -> Option<IpAddr> {
    match remote.iter().next()? {
        Part::Ip4(ip) => Some(IpAddr::V4(ip)),
        Part::Ip6(ip) => Some(IpAddr::V6(ip).to_canonical()), // an IPv4 address mapped into IPv6 is that IPv4 address
        _ => None,
    }
}

/// The narrowest origin of `remote`; none for the loopback.
pub(crate) fn origin_of(remote: &Multiaddr) -> Option<Origin> {
    origins_of(remote_ip(remote).filter(|ip| !ip.is_loopback())?).next()
}

pub(crate) fn origins_of(ip: IpAddr) -> impl Iterator<Item = Origin> {
    let prefix = |ip: Ipv6Addr| (u128::from(ip) >> 64) as u64;
    let (first, second, third) = match ip {
        IpAddr::V4(ip) => (Origin::V4(ip), Origin::V4Net24(ip.to_bits() >> 8), None),
        IpAddr::V6(ip) => {
            let net = prefix(ip);
            (Origin::V6Net64(net), Origin::V6Net56(net >> 8), Some(Origin::V6Net48(net >> 16)))
        }
    };
    [Some(first), Some(second), third].into_iter().flatten()
}

/// Counts that forget what is at zero.
#[derive(Debug)]
pub(crate) struct Counts<K>(HashMap<K, usize>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Counts<K> {
    pub(crate) fn of(&self, key: &K) -> usize {
        self.0.get(key).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, key: K) {
        *self.0.entry(key).or_insert(0) += 1;
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(count) = self.0.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.knock(connection, local, remote, Instant::now()).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _connection: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.enter(&peer, remote, true).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.may_dial(peer.as_ref(), addresses).map_err(ConnectionDenied::new)?;
        below("dials under way", self.pending_outgoing.len(), self.limits.pending_outgoing)
            .map_err(ConnectionDenied::new)?;
        self.pending_outgoing.insert(connection);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.enter(&peer, address, false).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                let remote = event.endpoint.get_remote_address();
                self.entered(event.connection_id, event.peer_id, remote, event.endpoint.is_listener());
            }
            FromSwarm::ConnectionClosed(event) => self.left(event.connection_id),
            FromSwarm::DialFailure(event) => self.left(event.connection_id),
            FromSwarm::ListenFailure(event) => self.left(event.connection_id),
            _ => {} // the rest concerns listeners and addresses
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
