//! The relay in a swarm: carries out what [`Admission`] decides.

mod service;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroU64,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use futures::FutureExt;
use libp2p_core::{Endpoint, Multiaddr, transport::PortUse};
use libp2p_identity::{Keypair, PeerId};
use libp2p_swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use tokio::time::Sleep;

use crate::{
    Accounts, Config, Event, Everybody, Policy, ReservationEnd,
    admission::{Admission, CircuitId},
    handler::{Command, Handler, In, Out, Report, RequestId},
    message::Limit,
    origin::{self, Origin},
    pacer::Pacer,
    splice::Terms,
};

/// Addresses that a reservation lists; a message has no place for many more.
pub const MAX_ADDRESSES: usize = 16;

/// Longest address that is listed.
const MAX_ADDRESS: usize = 160;

/// A circuit relay v2 server. Off until [`Behaviour::set_enabled`].
pub struct Behaviour {
    key: Keypair,
    local: PeerId,
    config: Config,
    policy: Arc<dyn Policy>,
    enabled: bool,
    /// Encoded, as they are told.
    addresses: Vec<Vec<u8>>,
    limit: Limit,
    terms: Terms,
    admission: Admission,
    accounts: Accounts,
    connections: BTreeMap<PeerId, BTreeMap<ConnectionId, Link>>,
    peers: BTreeMap<ConnectionId, PeerId>,
    /// Whose request a circuit is, as long as its source has no answer.
    asked: BTreeMap<CircuitId, RequestId>,
    /// Holds what follows from events of connections, each of which has a bounded number of requests
    /// and circuits under way.
    queue: VecDeque<ToSwarm<Event, Command>>,
    timer: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
}

/// A connection as far as it matters here.
#[derive(Clone, Debug)]
struct Link {
    address: Multiaddr,
    relayed: bool,
    origin: Option<Origin>,
}

impl std::fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut behaviour = f.debug_struct("Behaviour");
        behaviour.field("local", &self.local).field("enabled", &self.enabled);
        behaviour.field("admission", &self.admission).finish_non_exhaustive()
    }
}

impl Behaviour {
    /// The key is the relay's own: reservations name its peer id, and vouchers are signed with it.
    pub fn new(key: &Keypair, config: Config) -> Self {
        let limits = &config.limits;
        let pace = |rate: NonZeroU64| Pacer::new(rate, now());
        let limit = limits.circuit;
        Self {
            local: key.public().to_peer_id(),
            key: key.clone(),
            policy: Arc::new(Everybody),
            enabled: false,
            addresses: Vec::new(),
            limit: Limit {
                seconds: limit.time.map(|time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1)),
                bytes: limit.bytes,
            },
            terms: Terms { limit, idle: limits.circuit_idle, pacer: config.bytes_per_second.map(pace) },
            admission: Admission::new(limits.clone()),
            accounts: Accounts::new(limits.accounts),
            connections: BTreeMap::new(),
            peers: BTreeMap::new(),
            asked: BTreeMap::new(),
            queue: VecDeque::new(),
            timer: None,
            waker: None,
            config,
        }
    }

    /// Who may use the relay; everybody unless said otherwise.
    #[must_use]
    pub fn with_policy(mut self, policy: Arc<dyn Policy>) -> Self {
        self.policy = policy;
        self
    }

    /// Switches the service on or off. While it is off the protocol is not offered, and connected
    /// peers that asked for our protocols learn so. Switching it off ends reservations at once, while
    /// open circuits go on to their own limits.
    pub fn set_enabled(&mut self, enabled: bool) {
        if self.enabled == enabled {
            return;
        }
        self.enabled = enabled;
        let everybody: Vec<_> = self
            .connections
            .iter()
            .flat_map(|(peer, links)| links.keys().map(|connection| (*peer, *connection)))
            .collect();
        for (peer, connection) in everybody {
            self.tell(peer, connection, In::Offer(enabled));
        }
        if !enabled {
            for ended in self.admission.withdraw() {
                self.reservation_ended(ended, ReservationEnd::Off);
            }
        }
        self.wake();
    }

    /// Whether the service is on.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Addresses under which others reach us; reservations list them, the first [`MAX_ADDRESSES`] of
    /// them. Our peer id is added; addresses that name another peer are left out. Without any, clients
    /// get reservations that they cannot tell anybody about.
    pub fn set_addresses(&mut self, addresses: impl IntoIterator<Item = Multiaddr>) {
        let mut seen = BTreeSet::new();
        self.addresses = addresses
            .into_iter()
            .filter_map(|address| address.with_p2p(self.local).ok())
            .map(|address| address.to_vec())
            .filter(|address| address.len() <= MAX_ADDRESS && seen.insert(address.clone()))
            .take(MAX_ADDRESSES)
            .collect();
    }

    /// What each peer takes of the relay; readable from anywhere.
    pub fn accounts(&self) -> Accounts {
        self.accounts.clone()
    }

    /// Who has a reservation, and until when.
    pub fn reservations(&self) -> impl Iterator<Item = (PeerId, Instant)> {
        self.admission.reservations().map(|(peer, held)| (*peer, held.expires))
    }

    /// Whether a peer has a reservation.
    pub fn has_reservation(&self, peer: &PeerId) -> bool {
        self.admission.has_reservation(peer)
    }

    /// Circuits that are open or about to be.
    pub fn circuits(&self) -> usize {
        self.admission.circuits()
    }

    fn tell(&mut self, peer: PeerId, connection: ConnectionId, command: In) {
        let event = Command(command);
        let handler = NotifyHandler::One(connection);
        self.queue.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event });
    }

    fn report(&mut self, event: Event) {
        self.queue.push_back(ToSwarm::GenerateEvent(event));
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn connected(&mut self, peer: PeerId, connection: ConnectionId, address: &Multiaddr) -> Handler {
        let relayed = origin::is_relayed(address);
        let ip = origin::ip(address);
        let limited = ip.is_none_or(|ip| self.policy.is_limited(ip));
        let link = Link { address: address.clone(), relayed, origin: limited.then(|| Origin::of(ip)) };
        self.connections.entry(peer).or_default().insert(connection, link);
        self.peers.insert(connection, peer);
        Handler::new(self.enabled, &self.config.limits, self.terms.clone())
    }

    /// Runs timers until nothing is due.
    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        while let Some(due) = self.admission.poll_timeout() {
            let due = tokio::time::Instant::from_std(due);
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            if timer.poll_unpin(cx).is_pending() {
                return;
            }
            self.time_passed(now());
        }
    }
}

/// The runtime's time, which is what timers go by.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // A relayed connection's remote address may not say how it came; the local one does.
        let came_by = if origin::is_relayed(local) { local } else { remote };
        Ok(self.connected(peer, connection, came_by))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.connected(peer, connection, address))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.disconnected(peer_id, connection_id);
            }
            // Another behaviour denied it after it was given a handler.
            FromSwarm::ListenFailure(failure) => self.forget(failure.connection_id),
            FromSwarm::DialFailure(failure) => self.forget(failure.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        Report(report): THandlerOutEvent<Self>,
    ) {
        let now = now();
        match report {
            Out::Asked { request, what } => self.asked(peer, connection, request, what, now),
            Out::Unreadable { request } => self.unreadable(peer, connection, request),
            Out::Opened { circuit, stream } => self.opened(circuit, stream, now),
            Out::Ended { circuit, why } => self.ended(circuit, why, now),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        self.poll_timer(cx);
        if let Some(event) = self.queue.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
