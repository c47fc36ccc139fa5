//! Carries out what the machine decides.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use libp2p_core::{ConnectedPoint, Endpoint, Multiaddr, transport::PortUse};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NewExternalAddrCandidate,
    NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, behaviour::ConnectionEstablished,
};
use tokio::time::{Sleep, sleep_until};

use super::{
    Config, Counters, Event, Handler, Status,
    handler::{In, News, Order, Out},
    machine::{Command, Machine},
    server::Connection,
};

/// Tests candidates with the help of connected peers that offer it.
#[derive(Debug)]
pub struct Behaviour {
    config: Config,
    machine: Machine,
    /// At most a few for each event that was handed in.
    actions: VecDeque<ToSwarm<Event, In>>,
    timer: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
}

impl Behaviour {
    /// A client of the peer `local`: addresses may end with its id.
    pub fn new(config: Config, local: PeerId) -> Self {
        let machine = Machine::new(config.clone(), local, rand::make_rng(), now());
        Self { config, machine, actions: VecDeque::new(), timer: None, waker: None }
    }

    /// The owner's candidates, in place of those before. Only IP addresses in scope are taken, no names, no circuits;
    /// at most 32. If they changed, all that is not known to be reachable is tested at once.
    pub fn set_candidates(&mut self, addresses: impl IntoIterator<Item = Multiaddr>) {
        let addresses: Vec<Multiaddr> = addresses.into_iter().collect();
        self.machine.set_candidates(&addresses, now());
        self.carry_out();
    }

    /// Says that this connected peer can be asked. What identify tells is known without.
    pub fn add_server(&mut self, peer: PeerId) {
        self.machine.handle_server(peer, now());
        self.carry_out();
    }

    /// All candidates, and what is known of them.
    pub fn candidates(&self) -> impl Iterator<Item = Status> + '_ {
        self.machine.statuses()
    }

    /// Sums since the start.
    pub fn counters(&self) -> Counters {
        self.machine.counters().clone()
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.machine.poll_command() {
            match command {
                Command::Ask { server, connection, ask } => {
                    self.actions.push_back(notify(server, connection, Order::Ask(ask)));
                }
                Command::Report(event) => {
                    if self.config.confirm_external {
                        self.actions.push_back(match &event {
                            Event::Verdict { address, reachable: true, .. } => {
                                ToSwarm::ExternalAddrConfirmed(address.clone())
                            }
                            Event::Verdict { address, .. } | Event::Expired { address } => {
                                ToSwarm::ExternalAddrExpired(address.clone())
                            }
                        });
                    }
                    self.actions.push_back(ToSwarm::GenerateEvent(event));
                }
            }
        }
        self.timer = self.machine.poll_timeout().map(|due| Box::pin(sleep_until(due.into())));
        if let Some(waker) = self.waker.take() {
            waker.wake();
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

fn connection(endpoint: &ConnectedPoint) -> Connection {
    match endpoint {
        ConnectedPoint::Dialer { address, .. } => {
            Connection::new(now(), false, Multiaddr::empty(), address.clone())
        }
        ConnectedPoint::Listener { local_addr, send_back_addr } => {
            Connection::new(now(), true, local_addr.clone(), send_back_addr.clone())
        }
    }
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
        Ok(Handler::new(self.config.patience))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _connection: ConnectionId,
        _peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.config.patience))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => self.machine.handle_connected(peer_id, connection_id, connection(endpoint)),
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                self.machine.handle_disconnected(peer_id, connection_id, now());
            }
            FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr }) => {
                self.machine.handle_candidate(addr, now());
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
        match news {
            News::Serves(serves) => self.machine.handle_serves(peer, connection, serves, now()),
            News::Answered { id, answer, paid } => self.machine.handle_answer(id, answer, paid, now()),
            News::DialBack { stream, nonce } => {
                let ours = self.machine.handle_dial_back(peer, connection, nonce, now());
                let order = if ours { Order::Thank(stream) } else { Order::Dismiss(stream) };
                self.actions.push_back(notify(peer, connection, order));
            }
        }
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
