//! A peer that opens ping streams when it is told, and hands out every stream as it is.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{
        Endpoint,
        transport::PortUse,
        upgrade::{InboundUpgrade, ReadyUpgrade, UpgradeInfo},
    },
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};

use super::handler::PROTOCOL;

/// Whether a peer takes pings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pingable {
    Yes,
    No,
}

/// A stream that the peer has.
#[derive(Debug)]
pub(super) enum Made {
    Opened(Stream),
    Taken(Stream),
}

/// The peer's behaviour.
pub(super) struct ByHand {
    pingable: Pingable,
    /// With whom a stream is to be opened.
    opens: VecDeque<PeerId>,
    streams: VecDeque<Made>,
}

impl ByHand {
    pub(super) fn new(pingable: Pingable) -> Self {
        Self { pingable, opens: VecDeque::new(), streams: VecDeque::new() }
    }

    pub(super) fn open(&mut self, peer: PeerId) {
        self.opens.push_back(peer);
    }
}

impl NetworkBehaviour for ByHand {
    type ConnectionHandler = ByHandHandler;
    type ToSwarm = Made;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(ByHandHandler { pingable: self.pingable, opens: 0, streams: VecDeque::new() })
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(ByHandHandler { pingable: self.pingable, opens: 0, streams: VecDeque::new() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, made: THandlerOutEvent<Self>) {
        self.streams.push_back(made);
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Made, THandlerInEvent<Self>>> {
        if let Some(made) = self.streams.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(made));
        }
        match self.opens.pop_front() {
            Some(peer_id) => {
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event: () })
            }
            None => Poll::Pending,
        }
    }
}

pub(super) struct ByHandHandler {
    pingable: Pingable,
    opens: usize,
    streams: VecDeque<Made>,
}

impl ConnectionHandler for ByHandHandler {
    type FromBehaviour = ();
    type ToBehaviour = Made;
    type InboundProtocol = Offer;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer(self.pingable), ())
    }

    fn on_behaviour_event(&mut self, (): ()) {
        self.opens += 1;
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), Made>> {
        if let Some(made) = self.streams.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(made));
        }
        if self.opens == 0 {
            return Poll::Pending;
        }
        self.opens -= 1;
        let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ());
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, ReadyUpgrade<StreamProtocol>>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.streams.push_back(Made::Taken(protocol));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                self.streams.push_back(Made::Opened(protocol));
            }
            ConnectionEvent::DialUpgradeError(error) => panic!("ping refused: {:?}", error.error),
            _ => {}
        }
    }
}

/// Ping, or nothing at all.
#[derive(Debug)]
pub(super) struct Offer(Pingable);

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = std::option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        match self.0 {
            Pingable::Yes => Some(PROTOCOL).into_iter(),
            Pingable::No => None.into_iter(),
        }
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
