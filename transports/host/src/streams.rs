//! The behaviour that carries protocol streams: one handler for each connection, and who is connected.

mod handler;
mod usage;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Agent, ConnectionKey, HostLimits, ItemLimits, ItemReader, ItemWriter, OpenError, ProtocolStream,
    channel::Channel,
    convert::{Protocol, RELAYED, transport_name},
    heart::{Heart, Hearts},
    identity::wire_peer_id,
    memory::Candidate,
};
use handler::Handler;
pub(crate) use usage::Usage;

/// What handlers need of the host; the same for all, whichever swarm carries them.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Protocols taken from others.
    pub(crate) offered: Arc<[Protocol]>,
    pub(crate) item_limits: ItemLimits,
    pub(crate) limits: HostLimits,
    /// Where streams of others go.
    pub(crate) inbox: mpsc::Sender<ProtocolStream>,
    /// Keys given to connections.
    pub(crate) keys: AtomicU64,
}

/// What is known of one connection.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) key: ConnectionKey,
    pub(crate) peer: PeerId,
    pub(crate) transport: &'static str,
    pub(crate) heart: Heart,
    /// Whether the peer opened it.
    incoming: bool,
    since: Instant,
    usage: Arc<Usage>,
    /// From identify.
    agent: Agent,
}

impl Facts {
    /// The halves of a fresh stream on this connection, and the handler's part of it.
    fn stream(
        &self,
        stream: libp2p::Stream,
        protocol: &Protocol,
        limits: &ItemLimits,
    ) -> (Arc<Channel>, ProtocolStream) {
        let (channel, reader, writer) = Channel::share(stream, Arc::clone(&self.usage));
        let stream = ProtocolStream {
            peer: wire_peer_id(&self.peer),
            connection: self.key,
            transport: self.transport,
            capability: protocol.capability.clone(),
            agent: self.agent.clone(),
            ended: channel.ended().clone(),
            heart: self.heart.clone(),
            reader: ItemReader::new(reader, limits.clone()),
            writer: ItemWriter::new(writer),
        };
        (channel, stream)
    }
}

/// Asks a connection's handler for a stream.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    /// Proposed in this order.
    pub(crate) protocols: Arc<[Protocol]>,
    /// Dropped without an answer if the connection goes.
    pub(crate) reply: oneshot::Sender<Result<ProtocolStream, OpenError>>,
}

/// The behaviour.
#[derive(Debug)]
pub(crate) struct Streams {
    terms: Arc<Terms>,
    connections: HashMap<ConnectionId, Arc<Facts>>,
    by_key: BTreeMap<ConnectionKey, ConnectionId>,
    requests: VecDeque<(PeerId, ConnectionId, OpenRequest)>,
    /// Those of all connections; the ping behaviour beats them.
    hearts: Hearts,
}

impl Streams {
    pub(crate) fn new(terms: Arc<Terms>) -> Self {
        Self {
            terms,
            connections: HashMap::new(),
            by_key: BTreeMap::new(),
            requests: VecDeque::new(),
            hearts: Hearts::default(),
        }
    }

    pub(crate) fn hearts(&self) -> Hearts {
        self.hearts.clone()
    }

    /// Opens a stream on an established connection. The swarm is to be polled next; it takes the request at once.
    pub(crate) fn open(&mut self, connection: ConnectionId, request: OpenRequest) {
        if let Some(facts) = self.connections.get(&connection) {
            self.requests.push_back((facts.peer, connection, request));
        }
    }

    /// Has the tasks of the direct connections with `peer` look at everything once more.
    pub(crate) fn nudge(&mut self, peer: &PeerId) {
        let direct = self
            .connections
            .iter()
            .filter(|(_, facts)| facts.peer == *peer && facts.transport != RELAYED)
            .map(|(connection, _)| *connection);
        for connection in direct.collect::<Vec<_>>() {
            // Nobody waits for the answer, so nothing is opened.
            let (reply, _) = oneshot::channel();
            let nothing = OpenRequest { protocols: Arc::default(), reply };
            self.requests.push_back((*peer, connection, nothing));
        }
    }

    /// The newest connection with `peer` over `transport`, or over any.
    pub(crate) fn connection_with(&self, peer: &PeerId, transport: Option<&str>) -> Option<ConnectionId> {
        self.connections
            .iter()
            .filter(|(_, facts)| {
                facts.peer == *peer && transport.is_none_or(|transport| facts.transport == transport)
            })
            .max_by_key(|(_, facts)| facts.key)
            .map(|(connection, _)| *connection)
    }

    /// The newest connection with `peer` that no relay carries.
    pub(crate) fn direct_connection_with(&self, peer: &PeerId) -> Option<ConnectionId> {
        self.connections
            .iter()
            .filter(|(_, facts)| facts.peer == *peer && facts.transport != RELAYED)
            .max_by_key(|(_, facts)| facts.key)
            .map(|(connection, _)| *connection)
    }

    /// The connections with `peer` that no relay carries and that are at least so old.
    pub(crate) fn old_connections_with(&self, peer: &PeerId, age: Duration) -> Vec<ConnectionId> {
        let direct = self.connections.iter().filter(|(_, facts)| {
            facts.peer == *peer && facts.transport != RELAYED && facts.since.elapsed() >= age
        });
        direct.map(|(connection, _)| *connection).collect()
    }

    /// Whether a relay carries a connection.
    pub(crate) fn is_relayed(&self, connection: ConnectionId) -> bool {
        self.transport_of(connection) == Some(RELAYED)
    }

    pub(crate) fn transport_of(&self, connection: ConnectionId) -> Option<&'static str> {
        self.connections.get(&connection).map(|facts| facts.transport)
    }

    pub(crate) fn connection(&self, key: ConnectionKey) -> Option<ConnectionId> {
        self.by_key.get(&key).copied()
    }

    /// Connections of others, as they are judged when memory is short; without those that are being closed for it.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = Candidate<ConnectionId>> {
        let open = self.connections.iter().filter(|(_, facts)| facts.incoming && !facts.usage.is_closing());
        open.map(|(id, facts)| Candidate {
            id: *id,
            streams: facts.usage.has_streams(),
            idle: facts.usage.idle(),
        })
    }

    /// Notes that a connection is being closed because memory is short.
    pub(crate) fn sent_home(&self, connection: ConnectionId) {
        if let Some(facts) = self.connections.get(&connection) {
            facts.usage.close();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.connections.keys().copied().collect()
    }

    pub(crate) fn set_agent(&self, connection: ConnectionId, agent: String) {
        if let Some(facts) = self.connections.get(&connection) {
            facts.agent.set(agent);
        }
    }

    fn arrive(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        transport: &'static str,
        incoming: bool,
    ) -> Handler {
        let key = ConnectionKey(self.terms.keys.fetch_add(1, Ordering::Relaxed));
        let facts = Arc::new(Facts {
            key,
            peer,
            transport,
            heart: self.hearts.of(connection),
            incoming,
            since: Instant::now(),
            usage: Arc::default(),
            agent: Agent::default(),
        });
        self.connections.insert(connection, facts.clone());
        self.by_key.insert(key, connection);
        Handler::new(self.terms.clone(), facts)
    }

    fn leave(&mut self, connection: ConnectionId) {
        self.hearts.forget(connection);
        if let Some(facts) = self.connections.remove(&connection) {
            self.by_key.remove(&facts.key);
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.arrive(connection, peer, transport_name(local), true))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.arrive(connection, peer, transport_name(address), false))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(event) => self.leave(event.connection_id),
            // Another behaviour refused a connection that this one had let in.
            FromSwarm::DialFailure(event) => self.leave(event.connection_id),
            FromSwarm::ListenFailure(event) => self.leave(event.connection_id),
            _ => {}
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
        match self.requests.pop_front() {
            Some((peer_id, connection, event)) => {
                let handler = NotifyHandler::One(connection);
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event })
            }
            None => Poll::Pending,
        }
    }
}
