//! The task that owns the swarm: binds, dials, carries out what handles ask for, and goes down in order.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, Swarm, TransportError,
    core::transport::ListenerId,
    identify,
    multiaddr::Protocol as Part,
    swarm::{
        ConnectionId, DialError, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    ConnectionKey, HostError, Listen, OpenError, Rules,
    behaviour::{Behaviour, BehaviourEvent},
    convert::{Target, at_port, clean_agent, in_full, ipv4_half, listen_address, port_of},
    gate::refused_by_lists,
    guard::{Naming, NotDialed, Word, why_refused},
    identity::wire_peer_id,
    ping::{self, Finding},
    rendezvous::Ask,
    streams::OpenRequest,
};

/// Time for every listener to be bound.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the IPv6 half of a listener on every address to have one; a machine may have none.
const SECOND_FAMILY: Duration = Duration::from_secs(1);

/// Time for the last packets of closed connections to leave when the host goes down.
const LAST_PACKETS: Duration = Duration::from_millis(20);

/// Time for connections to say goodbye when the host goes down.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// What handles ask of the task.
#[derive(Debug)]
pub(crate) enum Order {
    Open(Open),
    /// Tell others these addresses from now on, and no others.
    Announce(Vec<Multiaddr>),
    /// Let these in from now on; says how many connections were closed for it.
    Lists(Rules, oneshot::Sender<usize>),
}

/// A connection with `target`, and what is to be done on it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) target: Target,
    pub(crate) word: Word,
    pub(crate) reuse: Reuse,
    pub(crate) job: Job,
}

/// What a connection is wanted for.
#[derive(Debug)]
pub(crate) enum Job {
    Stream(OpenRequest),
    Ask(Ask),
}

impl Job {
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Stream(request) => request.reply.is_closed(),
            Self::Ask(ask) => ask.reply.is_closed(),
        }
    }

    /// Says why there is no connection; if nobody waits any more, that is fine.
    fn fail(self, error: OpenError) {
        debug!(%error, "no connection");
        match self {
            Self::Stream(request) => drop(request.reply.send(Err(error))),
            Self::Ask(ask) => drop(ask.reply.send(Err(error.into()))),
        }
    }
}

/// Whether an open connection may carry the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    Allowed,
    No,
}

/// What the task shows to the handles.
#[derive(Debug, Default)]
pub(crate) struct Board {
    addresses: Mutex<BTreeMap<ListenerOrder, Vec<Multiaddr>>>,
    /// What others are told.
    external: Mutex<Vec<Multiaddr>>,
    /// Connections to close, until the task looks.
    closing: Mutex<BTreeSet<ConnectionKey>>,
    work: Notify,
    connections: AtomicUsize,
    /// Asks the task to end.
    pub(crate) stop: CancellationToken,
    /// The task has ended.
    pub(crate) done: CancellationToken,
}

/// Whether a listener without an address is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Needed,
    /// Addresses may come later.
    Optional,
}

/// Listeners in the order in which they were configured.
type ListenerOrder = usize;

impl Board {
    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        locked(&self.addresses).values().flatten().cloned().collect()
    }

    pub(crate) fn external(&self) -> Vec<Multiaddr> {
        locked(&self.external).clone()
    }

    pub(crate) fn set_external(&self, addresses: Vec<Multiaddr>) {
        *locked(&self.external) = addresses;
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self, connection: ConnectionKey) {
        if !self.done.is_cancelled() {
            locked(&self.closing).insert(connection);
            self.work.notify_one();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task's state.
pub(crate) struct Task {
    swarm: Swarm<Behaviour>,
    board: Arc<Board>,
    /// Tells the transports on whose word is dialed.
    naming: Naming,
    orders: mpsc::Receiver<Order>,
    listeners: HashMap<ListenerId, ListenerOrder>,
    /// Dials under way; the gate bounds them.
    dials: HashMap<ConnectionId, (Target, Job)>,
}

impl Task {
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        naming: Naming,
        board: Arc<Board>,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        Self { swarm, board, naming, orders, listeners: HashMap::new(), dials: HashMap::new() }
    }

    /// Binds all listeners; they are not heard before [`Task::run`].
    pub(crate) async fn bind(&mut self, listen: &[Listen]) -> Result<(), HostError> {
        for (order, listen) in listen.iter().enumerate() {
            match ipv4_half(listen) {
                None => self.bind_one(order, listen, Patience::Needed).await?,
                Some(half) => {
                    // IPv4 first: there is always an address of it, which tells the port if none was named.
                    self.bind_one(order, &half, Patience::Needed).await?;
                    let port =
                        locked(&self.board.addresses).get(&order).and_then(|all| port_of(all.first()?));
                    let listen = port.map_or(*listen, |port| at_port(*listen, port));
                    self.bind_one(order, &listen, Patience::Optional).await?;
                }
            }
        }
        // A listener on the unspecified address tells one address after the other: take what is there.
        while let Some(Some(event)) = self.swarm.next().now_or_never() {
            self.handle(event);
        }
        Ok(())
    }

    async fn bind_one(
        &mut self,
        order: ListenerOrder,
        listen: &Listen,
        patience: Patience,
    ) -> Result<(), HostError> {
        let address = listen_address(listen);
        let refuse = |reason| HostError::Bind { address: address.to_string(), reason };
        let listener = self.swarm.listen_on(address.clone()).map_err(|error| refuse(in_full(&error)))?;
        self.listeners.insert(listener, order);
        let limit = match patience {
            Patience::Needed => BIND_TIMEOUT,
            Patience::Optional => SECOND_FAMILY,
        };
        match (timeout(limit, self.bound(listener)).await, patience) {
            (Ok(result), _) => result.map_err(refuse),
            (Err(_elapsed), Patience::Needed) => Err(refuse("the system gave no address for it".to_owned())),
            (Err(_elapsed), Patience::Optional) => {
                info!(%address, "no IPv6 address yet");
                Ok(())
            }
        }
    }

    /// Waits for the listener's first address.
    async fn bound(&mut self, listener: ListenerId) -> Result<(), String> {
        loop {
            let event = self.swarm.select_next_some().await;
            let result = match &event {
                SwarmEvent::NewListenAddr { listener_id, .. } if *listener_id == listener => Some(Ok(())),
                SwarmEvent::ListenerError { listener_id, error } if *listener_id == listener => {
                    Some(Err(in_full(error)))
                }
                SwarmEvent::ListenerClosed { listener_id, reason, .. } if *listener_id == listener => {
                    let reason =
                        reason.as_ref().err().map_or_else(|| "closed".to_owned(), |error| in_full(error));
                    Some(Err(reason))
                }
                _ => None,
            };
            self.handle(event);
            if let Some(result) = result {
                return result;
            }
        }
    }

    /// Runs until it is stopped, every handle is gone, or something panics; then marks the host as ended.
    pub(crate) async fn supervise(self) {
        let board = self.board.clone();
        let _ended = board.done.clone().drop_guard();
        if AssertUnwindSafe(self.run()).catch_unwind().await.is_err() {
            error!("the libp2p host panicked and has ended");
        }
        board.connections.store(0, Ordering::Relaxed);
        locked(&board.addresses).clear();
    }

    async fn run(mut self) {
        loop {
            self.close_asked();
            tokio::select! {
                biased;
                () = self.board.stop.cancelled() => break,
                () = self.board.work.notified() => {}
                order = self.orders.recv() => match order {
                    Some(Order::Open(open)) => self.open(open),
                    Some(Order::Announce(addresses)) => self.announce(addresses),
                    Some(Order::Lists(rules, reply)) => {
                        let _ = reply.send(self.set_rules(rules)); // who asked may have gone
                    }
                    None => break,
                },
                event = self.swarm.select_next_some() => self.handle(event),
            }
        }
        self.go_down().await;
    }

    fn close_asked(&mut self) {
        let asked = std::mem::take(&mut *locked(&self.board.closing));
        for key in asked {
            if let Some(connection) = self.swarm.behaviour().streams.connection(key) {
                self.swarm.close_connection(connection);
            }
        }
    }

    async fn go_down(mut self) {
        for listener in self.listeners.keys() {
            self.swarm.remove_listener(*listener);
        }
        let had_connections = self.swarm.behaviour().streams.len() > 0;
        for connection in self.swarm.behaviour().streams.ids() {
            self.swarm.close_connection(connection);
        }
        let goodbye = async {
            while self.swarm.behaviour().streams.len() > 0 {
                self.swarm.select_next_some().await;
            }
        };
        if timeout(SHUTDOWN_TIMEOUT, goodbye).await.is_err() {
            let left = self.swarm.behaviour().streams.len();
            warn!(left, "connections did not close in time and were cut");
        }
        if had_connections {
            // QUIC counts a connection as closed before its last packet has left; without that the other side
            // waits for its idle timeout.
            tokio::time::sleep(LAST_PACKETS).await;
        }
    }

    fn open(&mut self, open: Open) {
        let Open { target, word, reuse, job } = open;
        if reuse == Reuse::Allowed
            && let Some(peer) = target.peer
            && let Some(connection) = self.connection_for(&job, &peer, target.transport)
        {
            self.begin(peer, connection, job);
            return;
        }
        let options = dial_options(&target);
        let connection = options.connection_id();
        let naming = self.naming.clone();
        match naming.on_word(word, || self.swarm.dial(options)) {
            Ok(()) => {
                self.dials.insert(connection, (target, job));
            }
            Err(error) => job.fail(dial_error(&target, &error)),
        }
    }

    /// An open connection: a protocol stream goes over the transport that was named, a question over any.
    fn connection_for(&self, job: &Job, peer: &PeerId, transport: &str) -> Option<ConnectionId> {
        let streams = &self.swarm.behaviour().streams;
        match job {
            Job::Stream(_) => streams.connection_with(peer, Some(transport)),
            Job::Ask(_) => streams.connection_with(peer, None),
        }
    }

    fn begin(&mut self, peer: PeerId, connection: ConnectionId, job: Job) {
        let behaviour = self.swarm.behaviour_mut();
        match job {
            Job::Stream(request) => behaviour.streams.open(connection, request),
            Job::Ask(ask) => behaviour.rendezvous.ask(peer, connection, ask),
        }
    }

    /// Closes what the rules deny, without waiting for goodbyes.
    fn set_rules(&mut self, rules: Rules) -> usize {
        let denied = self.swarm.behaviour_mut().gate.set_rules(rules);
        for connection in &denied {
            self.swarm.close_connection(*connection);
        }
        denied.len()
    }

    fn announce(&mut self, addresses: Vec<Multiaddr>) {
        let old: Vec<Multiaddr> = self.swarm.external_addresses().cloned().collect();
        for address in old.iter().filter(|address| !addresses.contains(address)) {
            self.swarm.remove_external_address(address);
        }
        for address in addresses {
            if !old.contains(&address) {
                self.swarm.add_external_address(address);
            }
        }
    }

    fn handle(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let peer = wire_peer_id(&peer_id);
                debug!(%peer, incoming = endpoint.is_listener(), "connection established");
                self.count();
                self.dialed(peer_id, connection_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, cause, .. } => {
                let peer = wire_peer_id(&peer_id);
                let cause = cause.map_or_else(|| "closed".to_owned(), |error| in_full(&error));
                debug!(%peer, cause, "connection closed");
                self.count();
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some((target, job)) = self.dials.remove(&connection_id) {
                    job.fail(dial_error(&target, &error));
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                debug!(reason = in_full(&error), "incoming connection failed");
            }
            SwarmEvent::NewListenAddr { listener_id, address } => self.add_address(listener_id, address),
            SwarmEvent::ExpiredListenAddr { listener_id, address } => {
                self.remove_address(listener_id, &address);
            }
            SwarmEvent::ListenerError { error, .. } => warn!(reason = in_full(&error), "listener error"),
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                addresses.iter().for_each(|address| self.remove_address(listener_id, address));
                let reason = reason.err().map_or_else(|| "closed".to_owned(), |error| in_full(&error));
                error!(reason, "a listener is gone");
            }
            SwarmEvent::Behaviour(event) => self.handle_behaviour(event),
            _ => {} // attempts and address candidates, which nobody waits for
        }
    }

    fn handle_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { connection_id, info, .. }) => {
                let agent = clean_agent(&info.agent_version);
                self.swarm.behaviour().streams.set_agent(connection_id, agent);
            }
            BehaviourEvent::Ping(ping::Event { peer, connection, finding }) => match finding {
                Finding::Silent => {
                    debug!(peer = %wire_peer_id(&peer), "peer does not answer pings; connection closed");
                    self.swarm.close_connection(connection);
                }
                Finding::Unsupported => {
                    debug!(peer = %wire_peer_id(&peer), "peer takes no pings; connection kept");
                }
            },
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Gate(never)
            | BehaviourEvent::Memory(never)
            | BehaviourEvent::Rendezvous(never)
            | BehaviourEvent::Streams(never) => match never {},
        }
    }

    /// A connection that we may have dialed for somebody.
    fn dialed(&mut self, peer: PeerId, connection: ConnectionId) {
        let Some((_, job)) = self.dials.remove(&connection) else { return };
        if job.is_abandoned() {
            self.swarm.close_connection(connection); // who asked has given up
        } else {
            self.begin(peer, connection, job);
        }
    }

    fn count(&self) {
        self.board.connections.store(self.swarm.behaviour().streams.len(), Ordering::Relaxed);
    }

    fn add_address(&mut self, listener: ListenerId, address: Multiaddr) {
        let Some(order) = self.listeners.get(&listener) else { return };
        info!(%address, "listening");
        let mut addresses = locked(&self.board.addresses);
        let addresses = addresses.entry(*order).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    fn remove_address(&mut self, listener: ListenerId, address: &Multiaddr) {
        let Some(order) = self.listeners.get(&listener) else { return };
        if let Some(addresses) = locked(&self.board.addresses).get_mut(order) {
            addresses.retain(|known| known != address);
        }
    }
}

fn dial_options(target: &Target) -> DialOpts {
    let address = target.address.clone();
    match target.peer {
        Some(peer) => {
            let options = DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![address]);
            // A second TCP connection from the listening port to the same place would clash with the first.
            if target.transport == "quic" { options.build() } else { options.allocate_new_port().build() }
        }
        None => {
            let options = DialOpts::unknown_peer_id().address(address);
            if target.transport == "quic" { options.build() } else { options.allocate_new_port().build() }
        }
    }
}

fn dial_error(target: &Target, error: &DialError) -> OpenError {
    let address = target.text.clone();
    match error {
        DialError::WrongPeerId { obtained, .. } => OpenError::WrongPeer {
            address,
            expected: target.peer.as_ref().map(PeerId::to_string).unwrap_or_default(),
            obtained: obtained.to_string(),
        },
        // The swarm takes the addresses on which we listen out of the one address that it is given.
        DialError::LocalPeerId { .. } | DialError::NoAddresses => OpenError::Oneself(address),
        DialError::Denied { cause } => match refused_by_lists(cause) {
            Some(denied) => OpenError::Denied(denied),
            None => OpenError::Refused(in_full(cause)),
        },
        DialError::Aborted | DialError::DialPeerConditionFalse(_) => OpenError::ConnectionLost,
        DialError::Transport(attempts) => {
            if let [(_, TransportError::MultiaddrNotSupported(_))] = attempts.as_slice() {
                let reason = "no transport of this host dials it".to_owned();
                return OpenError::Address { address, reason };
            }
            if let [(_, TransportError::Other(error))] = attempts.as_slice()
                && let Some(why) = why_refused(error)
            {
                return match why {
                    NotDialed::StrangersWord(ip) => OpenError::NotAllowed { ip },
                    NotDialed::Denied(denied) => OpenError::Denied(denied),
                };
            }
            let reasons: Vec<String> = attempts.iter().map(|(_, error)| in_full(error)).collect();
            OpenError::Unreachable { address, reason: reasons.join("; ") }
        }
    }
}

/// `address` with the peer behind it, dialable as it stands.
pub(crate) fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    match address.iter().last() {
        Some(Part::P2p(_)) => address,
        _ => address.with(Part::P2p(peer)),
    }
}
