//! libp2p's rendezvous protocol, `/rendezvous/1.0.0`: peers register where they are at a point that others ask.
//!
//! This is our own server and client. Those of libp2p-rendezvous 0.18 cannot be bounded: its server keeps a record
//! of up to 1 MiB and a timer of up to 72 hours for every renewal, also of those that a newer one replaced, has no
//! limit on namespaces, requests or answers, and refuses renewals at its limit per peer; its client adds what
//! strangers registered to the addresses that the swarm dials.

mod client;
mod error;
mod handler;
mod limits;
mod message;
mod record;
mod registry;
mod renewal;
mod server;
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

pub use client::Discovered;
pub use error::RendezvousError;
pub(crate) use handler::Ask;
use handler::Handler;
pub use limits::RendezvousLimits;
pub use message::{Malformed, RendezvousStatus};
pub(crate) use message::{Request, Response};
pub use renewal::Renewal;
use server::Asker;
pub(crate) use server::Server;

use crate::gate::origin_of;

/// The protocol's id.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/rendezvous/1.0.0");

/// The behaviour.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    /// None where only questions are asked.
    server: Option<Arc<Server>>,
    asks: VecDeque<(PeerId, ConnectionId, Ask)>,
}

impl Rendezvous {
    pub(crate) fn new(server: Option<Arc<Server>>) -> Self {
        Self { server, asks: VecDeque::new() }
    }

    /// Asks over an established connection. The swarm is to be polled next; it takes the question at once.
    pub(crate) fn ask(&mut self, peer: PeerId, connection: ConnectionId, ask: Ask) {
        self.asks.push_back((peer, connection, ask));
    }

    fn handler(&self, peer: PeerId, remote: &Multiaddr) -> Handler {
        Handler::new(Asker { peer, origin: origin_of(remote) }, self.server.clone())
    }
}

impl NetworkBehaviour for Rendezvous {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _connection: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer, remote))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(peer, address))
    }

    fn on_swarm_event(&mut self, _event: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        match self.asks.pop_front() {
            Some((peer_id, connection, event)) => {
                let handler = NotifyHandler::One(connection);
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler, event })
            }
            None => Poll::Pending,
        }
    }
}
