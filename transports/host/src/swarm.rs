//! The task that owns the swarm: binds, dials, carries out what handles ask for, and goes down in order.

mod board;
mod circuits;
mod dialing;
mod executor;
mod factory;
mod listening;
mod memory;
mod service;
mod supervisor;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::transport::ListenerId,
    identify,
    swarm::{ConnectionId, SwarmEvent},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tracing::{debug, error, warn};

use crate::{
    CircuitService, Listen, MemoryBudget, ReachConfig, Rules,
    behaviour::{Behaviour, BehaviourEvent},
    convert::{RELAYED, Target, clean_agent, in_full, transport_name},
    guard::Naming,
    identity::wire_peer_id,
    ping::{self, Finding},
    reach::keeper::Relay,
    streams::OpenRequest,
};

pub(crate) use board::Board;
use board::{SocketIndex, locked};
use circuits::Circuits;
use dialing::dial_error;
pub(crate) use dialing::{Job, Open, Reuse};
pub(crate) use factory::Factory;
use listening::Retry;
pub(crate) use listening::with_peer;
use memory::Watch;
pub(crate) use supervisor::Supervisor;

/// Time for the last packets of closed connections to leave when the host goes down.
const LAST_PACKETS: Duration = Duration::from_millis(20);

/// Time for connections to say goodbye when the host goes down.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections whose tasks panicked after which the swarm is built anew: it never learns of their end, and
/// counts them for ever.
const MANY_BROKEN: usize = 64;

/// What handles ask of the task.
#[derive(Debug)]
pub(crate) enum Order {
    Open(Open),
    /// Tell others these addresses from now on, and no others.
    Announce(Vec<Multiaddr>),
    /// Let these in from now on; says how many connections were closed for it.
    Lists(Rules, oneshot::Sender<usize>),
    /// Opens a stream on a direct connection, once there is one.
    Direct(PeerId, OpenRequest),
    /// Relays that may be asked for places, in place of those offered before.
    Relays(Vec<Relay>),
    /// Have these addresses of ours tested by others.
    Candidates(Vec<Multiaddr>),
    /// For tests of what comes then.
    Panic,
}

/// The task's state.
pub(crate) struct Task {
    swarm: Swarm<Behaviour>,
    board: Arc<Board>,
    /// Tells the transports on whose word is dialed.
    naming: Naming,
    /// What is to be listened on, with real ports once bound.
    sockets: Vec<Listen>,
    listeners: HashMap<ListenerId, SocketIndex>,
    /// Sockets without a listener.
    unbound: BTreeMap<SocketIndex, Retry>,
    /// Dials under way; the gate bounds them.
    dials: HashMap<ConnectionId, (Target, Job)>,
    circuits: Circuits,
    /// Whether circuits are relayed for others.
    service: CircuitService,
    /// Whether addresses are tested for others.
    dial_back: bool,
    /// When to say anew what we offer.
    offer_due: Option<Instant>,
    /// If memory is looked at.
    memory: Option<Watch>,
}

/// Why a swarm is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failed {
    #[error("every listener is gone")]
    Deaf,
    #[error("the tasks of {0} connections panicked")]
    Broken(usize),
}

impl Task {
    fn new(
        swarm: Swarm<Behaviour>,
        naming: Naming,
        board: Arc<Board>,
        budget: Option<MemoryBudget>,
        reach: &ReachConfig,
    ) -> Self {
        Self {
            swarm,
            board,
            naming,
            sockets: Vec::new(),
            listeners: HashMap::new(),
            unbound: BTreeMap::new(),
            dials: HashMap::new(),
            circuits: Circuits::new(reach),
            service: reach.circuits,
            dial_back: reach.dial_back,
            offer_due: None,
            memory: budget.map(Watch::new),
        }
    }

    /// Runs until it is stopped or every handle is gone.
    async fn run(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<(), Failed> {
        self.circuits.offered(self.board.reach.offered());
        self.tend_relays();
        self.test_addresses(self.board.reach.candidates());
        self.tend_service();
        loop {
            self.close_asked();
            let broken = self.board.broken();
            if broken >= MANY_BROKEN {
                return Err(Failed::Broken(broken));
            }
            tokio::select! {
                biased;
                () = self.board.stop.cancelled() => break,
                () = self.board.work.notified() => {}
                () = until(self.next_bind()) => self.bind_due(),
                () = until(self.circuits.due()) => self.tend_relays(),
                () = until(self.offer_due) => self.say_what_we_offer(),
                () = until(self.memory.as_ref().map(Watch::due)) => self.look_at_memory(),
                order = orders.recv() => match order {
                    Some(order) => self.carry_out(order),
                    None => break,
                },
                event = self.swarm.select_next_some() => {
                    let closed = match &event {
                        SwarmEvent::ListenerClosed { listener_id, .. } => !self.circuits.has(*listener_id),
                        _ => false,
                    };
                    self.handle(event);
                    if closed && self.listeners.is_empty() {
                        return Err(Failed::Deaf);
                    }
                }
            }
        }
        self.go_down().await;
        Ok(())
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Open(open) => self.open(open),
            Order::Announce(addresses) => self.announce(addresses),
            Order::Lists(rules, reply) => {
                let _ = reply.send(self.set_rules(rules)); // who asked may have gone
            }
            Order::Direct(peer, request) => self.open_direct(peer, request),
            Order::Relays(relays) => self.offer_relays(relays),
            Order::Candidates(candidates) => self.test_addresses(candidates),
            Order::Panic => panic!("a test asked for it"),
        }
    }

    fn close_asked(&mut self) {
        let asked = std::mem::take(&mut *locked(&self.board.closing));
        for key in asked {
            if let Some(connection) = self.swarm.behaviour().streams.connection(key) {
                self.swarm.close_connection(connection);
            }
        }
    }

    async fn go_down(&mut self) {
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

    /// Closes what the rules deny, without waiting for goodbyes.
    fn set_rules(&mut self, rules: Rules) -> usize {
        let denied = self.swarm.behaviour_mut().gate.set_rules(rules);
        for connection in &denied {
            self.swarm.close_connection(*connection);
        }
        denied.len()
    }

    fn announce(&mut self, addresses: Vec<Multiaddr>) {
        self.tend_service();
        let old: Vec<Multiaddr> = self.swarm.external_addresses().cloned().collect();
        let relayed: Vec<&Multiaddr> = self.circuits.all_addresses().collect();
        for address in old.iter().filter(|address| !addresses.contains(address) && !relayed.contains(address))
        {
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
                self.connected(peer_id, connection_id, &endpoint);
                self.dialed(peer_id, connection_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, cause, connection_id, num_established, .. } => {
                let peer = wire_peer_id(&peer_id);
                let cause = cause.map_or_else(|| "closed".to_owned(), |error| in_full(&error));
                debug!(%peer, cause, "connection closed");
                self.count();
                self.disconnected(peer_id, connection_id, num_established);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some((target, job)) = self.dials.remove(&connection_id) {
                    self.dial_failed(job, dial_error(&target, &error));
                }
            }
            SwarmEvent::IncomingConnection { local_addr, .. } if transport_name(&local_addr) == RELAYED => {
                self.handed_over();
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                debug!(reason = in_full(&error), "incoming connection failed");
            }
            SwarmEvent::NewListenAddr { listener_id, address } if self.circuits.has(listener_id) => {
                self.relayed_address(listener_id, &address);
            }
            SwarmEvent::NewListenAddr { listener_id, address } => self.add_address(listener_id, address),
            SwarmEvent::ExpiredListenAddr { listener_id, address } => {
                self.remove_address(listener_id, &address);
            }
            SwarmEvent::ListenerClosed { listener_id, .. } if self.circuits.has(listener_id) => {
                self.circuit_closed(listener_id);
            }
            SwarmEvent::ListenerError { error, .. } => warn!(reason = in_full(&error), "listener error"),
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                self.listener_closed(listener_id, &addresses);
                let reason = reason.err().map_or_else(|| "closed".to_owned(), |error| in_full(&error));
                error!(reason, "a listener is gone");
            }
            SwarmEvent::Behaviour(event) => self.handle_behaviour(event),
            _ => {} // attempts and address candidates, which nobody waits for
        }
    }

    fn handle_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { connection_id, peer_id, info }) => {
                self.identified(peer_id, connection_id, &info);
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
            BehaviourEvent::Reachable(event) => self.handle_verdict(event),
            BehaviourEvent::DialBack(event) => debug!(?event, "an address of a peer was tested"),
            BehaviourEvent::Circuit(event) => self.handle_circuit(event),
            BehaviourEvent::Relay(event) => self.handle_relay(event),
            BehaviourEvent::Punching(event) => self.handle_punch(&event),
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Gate(never)
            | BehaviourEvent::Rendezvous(never)
            | BehaviourEvent::Streams(never) => match never {},
        }
    }

    fn count(&self) {
        self.board.connections.store(self.swarm.behaviour().streams.len(), Ordering::Relaxed);
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
