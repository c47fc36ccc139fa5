//! The behaviour that answers pings and sends them: one handler for each connection.
//!
//! libp2p's own stops answering once a peer has refused to be pinged. Peers that ping without being pingable
//! exist (js-libp2p without its ping service), and they end a connection whose pings go unanswered.

#[cfg(test)]
mod by_hand;
mod handler;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};

use crate::heart::Hearts;
use handler::Handler;

/// Something worth knowing about a connection.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) finding: Finding,
}

/// What our pings found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The peer does not take pings; it is not asked again.
    Unsupported,
    /// The peer left several pings in a row unanswered.
    Silent,
}

/// The behaviour.
#[derive(Debug, Default)]
pub(crate) struct Behaviour {
    hearts: Hearts,
    /// At most a few for each connection: a handler reports, then waits for the next ping.
    events: VecDeque<Event>,
}

impl Behaviour {
    /// Beats these hearts.
    pub(crate) fn new(hearts: Hearts) -> Self {
        Self { hearts, events: VecDeque::new() }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.hearts.of(connection)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        _peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.hearts.of(connection)))
    }

    fn on_swarm_event(&mut self, _event: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        finding: THandlerOutEvent<Self>,
    ) {
        self.events.push_back(Event { peer, connection, finding });
    }

    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(ToSwarm::GenerateEvent(event)),
            None => Poll::Pending,
        }
    }
}
