//! Carries out what the machine decides: on connections, and by dialing.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use libp2p_core::{ConnectedPoint, Endpoint, Multiaddr, transport::PortUse};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm,
    NetworkBehaviour, NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    behaviour::ConnectionEstablished,
    dial_opts::{DialOpts, PeerCondition},
};
use tokio::time::{Sleep, sleep_until};

use super::{
    Config, Counters, Event, Handler,
    handler::{In, News, Order, Out},
    machine::{Command, Key, Machine},
};
use crate::address::{ip_of, is_relayed};

/// Serves requests on all connections that are no circuits, while it is enabled.
#[derive(Debug)]
pub struct Behaviour {
    machine: Machine,
    connections: HashMap<ConnectionId, Asker>,
    /// Dials and connections of our own, with the request that they are for.
    dials: HashMap<ConnectionId, Key>,
    /// At most one or two for each event that was handed in, and one for each connection.
    actions: VecDeque<ToSwarm<Event, In>>,
    timer: Option<Pin<Box<Sleep>>>,
    connected: u64,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Asker {
    peer: PeerId,
    address: Multiaddr,
    /// Neither through a relay nor dialed by us to hand over a nonce.
    may_ask: bool,
}

/// A connection of our own dial came when nobody waited for it any more.
#[derive(Debug, thiserror::Error)]
#[error("dialed for a request that is over")]
struct TooLate;

impl Behaviour {
    /// A server.
    pub fn new(config: Config) -> Self {
        Self {
            machine: Machine::new(config, rand::make_rng()),
            connections: HashMap::new(),
            dials: HashMap::new(),
            actions: VecDeque::new(),
            timer: None,
            connected: 0,
            waker: None,
        }
    }

    /// Serves requests from now on, or no longer. The protocol appears or disappears on all connections. Requests
    /// under way are brought to their end.
    pub fn set_enabled(&mut self, enabled: bool) {
        if self.machine.config().enabled == enabled {
            return;
        }
        self.machine.config_mut().enabled = enabled;
        for (connection, asker) in &self.connections {
            self.actions.push_back(notify(asker.peer, *connection, Order::Offer(enabled)));
        }
        self.wake();
    }

    /// Whether requests are served.
    pub fn is_enabled(&self) -> bool {
        self.machine.config().enabled
    }

    /// Tells which families lead into the internet; addresses of others are refused.
    pub fn set_families(&mut self, ipv4: bool, ipv6: bool) {
        let config = self.machine.config_mut();
        config.ipv4 = ipv4;
        config.ipv6 = ipv6;
    }

    /// Whether this connection is one that we dialed to hand over a nonce. It is closed as soon as that is done: no
    /// other protocol should begin anything on it.
    pub fn is_dial_back(&self, connection: ConnectionId) -> bool {
        self.dials.contains_key(&connection)
    }

    /// Sums since the start.
    pub fn counters(&self) -> Counters {
        Counters { connected: self.connected, ..self.machine.counters() }
    }

    /// The protocol is offered on all connections: peers remember what identify told them on the last one.
    fn handler(&self, nonce: Option<u64>) -> Handler {
        let config = self.machine.config();
        Handler::new(config.enabled, nonce, config.patience.clone())
    }

    /// Turns the machine's decisions into what the swarm understands.
    fn carry_out(&mut self) {
        while let Some(command) = self.machine.poll_command() {
            let action = match command {
                Command::Read { asker, key } => notify(asker, key.connection, Order::Read(key.stream)),
                Command::Charge { asker, key, request } => {
                    notify(asker, key.connection, Order::Charge(key.stream, request))
                }
                Command::Answer { asker, key, response } => {
                    notify(asker, key.connection, Order::Answer(key.stream, response))
                }
                Command::Dial { asker, key, address } => {
                    let opts = DialOpts::peer_id(asker)
                        .condition(PeerCondition::Always)
                        .addresses(vec![address])
                        .allocate_new_port()
                        .build();
                    self.dials.insert(opts.connection_id(), key);
                    ToSwarm::Dial { opts }
                }
                Command::Report(event) => ToSwarm::GenerateEvent(event),
            };
            self.actions.push_back(action);
        }
        self.timer = self.machine.poll_timeout().map(|due| Box::pin(sleep_until(due.into())));
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handle_news(&mut self, peer: PeerId, connection: ConnectionId, news: News) {
        let now = now();
        let key = |stream| Key { connection, stream };
        match news {
            News::Opened(stream) => match self.connections.get(&connection) {
                Some(asker) if asker.may_ask => {
                    self.machine.handle_stream(key(stream), peer, ip_of(&asker.address), now);
                }
                _ => self.machine.handle_misplaced(key(stream), peer),
            },
            News::Requested(stream, request) => self.machine.handle_request(key(stream), &request, now),
            News::Paid(stream) => self.machine.handle_payment(key(stream), now),
            News::Broken(stream) => self.machine.handle_broken(key(stream)),
            News::DialedBack(delivered) => {
                if let Some(key) = self.dials.get(&connection) {
                    self.machine.handle_dialed_back(*key, delivered);
                    self.actions.push_back(ToSwarm::CloseConnection {
                        peer_id: peer,
                        connection: CloseConnection::One(connection),
                    });
                }
            }
        }
    }

    fn handle_closed(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.machine.handle_closed(connection);
        if let Some(key) = self.dials.remove(&connection) {
            self.machine.handle_dialed_back(key, false); // counts only if nothing was told before
        }
    }
}

/// Through tokio, whose clock tests can turn.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn notify(peer_id: PeerId, connection: ConnectionId, order: Order) -> ToSwarm<Event, In> {
    ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(connection), event: In(order) }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _connection: ConnectionId,
        _peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(None))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        _peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let Some(key) = self.dials.get(&connection) else { return Ok(self.handler(None)) };
        let nonce = self.machine.handle_connected(*key).ok_or_else(|| ConnectionDenied::new(TooLate))?;
        self.connected += 1;
        Ok(self.handler(Some(nonce)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => {
                let address = endpoint.get_remote_address().clone();
                let may_ask = !self.dials.contains_key(&connection_id) && !is_relayed(&address);
                self.connections.insert(connection_id, Asker { peer: peer_id, address, may_ask });
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.handle_closed(connection_id);
            }
            FromSwarm::AddressChange(change) => {
                if let Some(asker) = self.connections.get_mut(&change.connection_id) {
                    asker.address = ConnectedPoint::get_remote_address(change.new).clone();
                }
            }
            FromSwarm::DialFailure(DialFailure { connection_id, .. }) => {
                if let Some(key) = self.dials.remove(&connection_id) {
                    self.machine.handle_dial_failed(key);
                }
            }
            _ => return,
        }
        self.carry_out();
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        Out(news): THandlerOutEvent<Self>,
    ) {
        self.handle_news(peer, connection, news);
        self.carry_out();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Poll::Ready(action);
            }
            match self.timer.as_mut().map(|timer| timer.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => {
                    self.machine.handle_timeout(now());
                    self.carry_out();
                }
                Some(Poll::Pending) | None => break,
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
