//! One relayed connection's part in hole punching; on direct connections there is none.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    future::{Future as _, Ready, ready},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncWriteExt as _, FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    Multiaddr, Stream, StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use tokio::time::{Sleep, sleep};
use tracing::debug;

use super::{
    Candidates,
    exchange::{self, EXCHANGE, Failed},
};

/// libp2p's name for it.
pub(super) const PROTOCOL: StreamProtocol = StreamProtocol::new("/libp2p/dcutr");

/// Times that a caller may be asked to meet on one connection: three tries, and as many more for a peer that
/// counts differently.
const MAX_ASKED: usize = 6;

/// Who of the two was called; he begins, and is the server of what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Called,
    Caller,
}

/// It is time to dial these, or no time was agreed on.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(super) part: Part,
    pub(super) addresses: Result<Vec<Multiaddr>, Failed>,
}

/// Begin to punch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    pub(super) after: Duration,
}

/// The handler of one connection.
pub(crate) struct Handler {
    candidates: Candidates,
    /// On direct connections nothing is spoken.
    relayed: bool,
    /// When the next exchange begins; the behaviour orders one at a time.
    begin: Option<Pin<Box<Sleep>>>,
    asked: usize,
    exchanges: FuturesUnordered<BoxFuture<'static, Agreed>>,
    failed: VecDeque<Agreed>,
}

impl Handler {
    pub(super) fn new(candidates: Candidates, relayed: bool) -> Self {
        Self {
            candidates,
            relayed,
            begin: None,
            asked: 0,
            exchanges: FuturesUnordered::new(),
            failed: VecDeque::new(),
        }
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("relayed", &self.relayed)
            .field("exchanges", &self.exchanges.len())
            .finish_non_exhaustive()
    }
}

/// Agrees on the protocol on relayed connections; on direct ones there is nothing to agree on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered(bool);

impl UpgradeInfo for Offered {
    type Info = StreamProtocol;
    type InfoIter = std::option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.then_some(PROTOCOL).into_iter()
    }
}

impl InboundUpgrade<Stream> for Offered {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _protocol: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl OutboundUpgrade<Stream> for Offered {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _protocol: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Begin;
    type ToBehaviour = Agreed;
    type InboundProtocol = Offered;
    type OutboundProtocol = Offered;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Offered> {
        SubstreamProtocol::new(Offered(self.relayed), ()).with_timeout(EXCHANGE)
    }

    fn on_behaviour_event(&mut self, begin: Begin) {
        self.begin = Some(Box::pin(sleep(begin.after)));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Offered, (), Agreed>> {
        if let Some(failed) = self.failed.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(failed));
        }
        if let Poll::Ready(Some(agreed)) = self.exchanges.poll_next_unpin(cx) {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(agreed));
        }
        if let Some(begin) = &mut self.begin
            && begin.as_mut().poll(cx).is_ready()
        {
            self.begin = None;
            let protocol = SubstreamProtocol::new(Offered(true), ()).with_timeout(EXCHANGE);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offered, Offered, (), ()>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.asked += 1;
                if self.asked > MAX_ASKED || !self.exchanges.is_empty() {
                    debug!("asked to punch too often");
                    return;
                }
                let (mut stream, candidates) = (protocol, self.candidates.clone());
                let exchange = async move {
                    let addresses = exchange::answer(&mut stream, || candidates.all()).await;
                    let _ = stream.close().await; // everything was said
                    Agreed { part: Part::Caller, addresses }
                };
                self.exchanges.push(exchange.boxed());
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                let (mut stream, candidates) = (protocol, self.candidates.clone());
                let exchange = async move {
                    let addresses = exchange::begin(&mut stream, candidates.all()).await;
                    let _ = stream.close().await; // everything was said
                    Agreed { part: Part::Called, addresses }
                };
                self.exchanges.push(exchange.boxed());
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                let error = match error {
                    StreamUpgradeError::Timeout => Failed::Timeout,
                    StreamUpgradeError::NegotiationFailed => Failed::Unsupported,
                    StreamUpgradeError::Io(error) => Failed::Io(error),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                self.failed.push_back(Agreed { part: Part::Called, addresses: Err(error) });
            }
            _ => {} // addresses and lists of protocols
        }
    }
}
