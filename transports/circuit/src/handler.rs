//! One connection: requests come in on hop streams, circuits go out on stop streams. What is decided
//! is decided by the behaviour; the bytes of a circuit run here, in the task of its source's connection.

mod exchange;
mod offer;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p_core::upgrade::ReadyUpgrade;
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, SubstreamProtocol,
    handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
};

use self::exchange::ExchangeError;
pub use self::offer::Offer;
use crate::{
    CircuitEnd, Limits,
    admission::CircuitId,
    message::Request,
    meter::Meter,
    splice::{Splice, Terms},
};

/// The protocol that clients speak to a relay.
pub const HOP: StreamProtocol = StreamProtocol::new("/libp2p/circuit/relay/0.2.0/hop");

/// The protocol that a relay speaks to those who are reached through it.
pub const STOP: StreamProtocol = StreamProtocol::new("/libp2p/circuit/relay/0.2.0/stop");

/// A request on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId(u64);

/// What the behaviour wants of a connection.
#[derive(Debug)]
pub(crate) enum In {
    /// Whether the service is offered.
    Offer(bool),
    /// Whether the connection has to stay for a reservation.
    Keep(bool),
    /// The answer to a request; it is the last.
    Answer { request: RequestId, reply: Vec<u8> },
    /// Ask the peer to take a circuit.
    Open { circuit: CircuitId, connect: Vec<u8> },
    /// The destination agreed: tell the source, and join the two.
    Join { request: RequestId, circuit: CircuitId, reply: Vec<u8>, destination: Stream, meter: Arc<Meter> },
}

/// What a connection tells the behaviour.
#[derive(Debug)]
pub(crate) enum Out {
    /// The peer asks something. It waits for an answer.
    Asked { request: RequestId, what: Request },
    /// What the peer sent is no request. It waits for an answer.
    Unreadable { request: RequestId },
    /// The peer took a circuit, or did not.
    Opened { circuit: CircuitId, stream: Option<Stream> },
    /// A circuit is over.
    Ended { circuit: CircuitId, why: CircuitEnd },
}

/// What a [`Handler`] is told.
#[derive(Debug)]
pub struct Command(pub(crate) In);

/// What a [`Handler`] tells.
#[derive(Debug)]
pub struct Report(pub(crate) Out);

/// What came of one of the streams.
enum Done {
    Asked(Stream, Result<Request, ExchangeError>),
    Answered(Result<(), ExchangeError>),
    Opened(CircuitId, Result<Stream, ExchangeError>),
    Ended(CircuitId, CircuitEnd),
}

/// The relay on one connection; the behaviour makes one for each.
pub struct Handler {
    offered: bool,
    kept: bool,
    handshake: Duration,
    most_requests: usize,
    terms: Terms,
    next: u64,
    /// Hop streams that are read, wait for their answer, or take it.
    requests: usize,
    /// Those that wait for their answer.
    waiting: HashMap<RequestId, Stream>,
    /// Stop streams that are not there yet: what is to be said on them.
    opening: HashMap<CircuitId, Vec<u8>>,
    working: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Circuits lead to one peer, so no more wait here than one peer may have; answers are given to
    /// requests that wait.
    events: VecDeque<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, CircuitId, Report>>,
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { offered, kept, requests, working, .. } = self;
        let mut handler = f.debug_struct("Handler");
        handler.field("offered", offered).field("kept", kept).field("requests", requests);
        handler.field("working", &working.len()).finish_non_exhaustive()
    }
}

impl Handler {
    pub(crate) fn new(offered: bool, limits: &Limits, terms: Terms) -> Self {
        Self {
            offered,
            kept: false,
            handshake: limits.handshake,
            most_requests: limits.requests_per_connection,
            terms,
            next: 0,
            requests: 0,
            waiting: HashMap::new(),
            opening: HashMap::new(),
            working: FuturesUnordered::new(),
            events: VecDeque::new(),
        }
    }

    /// A hop stream is there.
    fn take(&mut self, mut stream: Stream) {
        if self.requests >= self.most_requests {
            tracing::debug!(most = self.most_requests, "too many requests at once, stream reset");
            return;
        }
        self.requests += 1;
        let patience = self.handshake;
        self.work(async move {
            let asked = exchange::request(&mut stream, patience).await;
            Done::Asked(stream, asked)
        });
    }

    fn answer(&mut self, request: RequestId, reply: Vec<u8>) {
        let Some(mut stream) = self.waiting.remove(&request) else { return };
        let patience = self.handshake;
        self.work(async move { Done::Answered(exchange::last_reply(&mut stream, &reply, patience).await) });
    }

    fn open(&mut self, circuit: CircuitId, connect: Vec<u8>) {
        self.opening.insert(circuit, connect);
        let protocol = SubstreamProtocol::new(ReadyUpgrade::new(STOP), circuit).with_timeout(self.handshake);
        self.events.push_back(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
    }

    /// A stop stream is there.
    fn ask(&mut self, circuit: CircuitId, mut stream: Stream) {
        let Some(connect) = self.opening.remove(&circuit) else { return };
        let patience = self.handshake;
        self.work(async move {
            let agreed = exchange::stop(&mut stream, &connect, patience).await;
            Done::Opened(circuit, agreed.map(|()| stream))
        });
    }

    fn join(
        &mut self,
        request: RequestId,
        circuit: CircuitId,
        reply: Vec<u8>,
        destination: Stream,
        meter: Arc<Meter>,
    ) {
        let Some(mut source) = self.waiting.remove(&request) else {
            // The request was answered before: the circuit cannot be, and must not be left counted.
            self.tell(Out::Ended { circuit, why: CircuitEnd::SourceGone });
            return;
        };
        // From here on it counts as a circuit.
        self.requests = self.requests.saturating_sub(1);
        let (patience, terms) = (self.handshake, self.terms.clone());
        self.work(async move {
            if let Err(error) = exchange::reply(&mut source, &reply, patience).await {
                tracing::debug!(%error, "the source did not take the answer");
                return Done::Ended(circuit, CircuitEnd::SourceGone);
            }
            Done::Ended(circuit, Splice::new(source, destination, &terms, meter).await)
        });
    }

    fn work(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.working.push(work.boxed());
    }

    fn tell(&mut self, out: Out) {
        self.events.push_back(ConnectionHandlerEvent::NotifyBehaviour(Report(out)));
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Asked(stream, asked) => self.heard(stream, asked),
            Done::Answered(answered) => {
                self.requests = self.requests.saturating_sub(1);
                if let Err(error) = answered {
                    tracing::debug!(%error, "the peer did not take the answer");
                }
            }
            Done::Opened(circuit, opened) => {
                if let Err(error) = &opened {
                    tracing::debug!(%error, "the destination did not agree");
                }
                self.tell(Out::Opened { circuit, stream: opened.ok() });
            }
            Done::Ended(circuit, why) => self.tell(Out::Ended { circuit, why }),
        }
    }

    fn heard(&mut self, stream: Stream, asked: Result<Request, ExchangeError>) {
        let request = RequestId(self.next);
        self.next += 1;
        let out = match asked {
            Ok(what) => Out::Asked { request, what },
            Err(ExchangeError::Malformed(_)) => Out::Unreadable { request },
            Err(error) => {
                tracing::debug!(%error, "no request came");
                self.requests = self.requests.saturating_sub(1);
                return;
            }
        };
        self.waiting.insert(request, stream);
        self.tell(out);
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Command;
    type ToBehaviour = Report;
    type InboundProtocol = Offer;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = CircuitId;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer::new(self.offered.then_some(HOP)), ()).with_timeout(self.handshake)
    }

    /// Streams keep the connection by themselves; a reservation has none.
    fn connection_keep_alive(&self) -> bool {
        self.kept
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, CircuitId, Report>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            match self.working.poll_next_unpin(cx) {
                Poll::Ready(Some(done)) => self.finish(done),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn on_behaviour_event(&mut self, Command(command): Command) {
        match command {
            In::Offer(offered) => self.offered = offered,
            In::Keep(kept) => self.kept = kept,
            In::Answer { request, reply } => self.answer(request, reply),
            In::Open { circuit, connect } => self.open(circuit, connect),
            In::Join { request, circuit, reply, destination, meter } => {
                self.join(request, circuit, reply, destination, meter);
            }
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Offer, ReadyUpgrade<StreamProtocol>, (), CircuitId>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.take(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.ask(info, protocol);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                tracing::debug!(%error, "no stream to the destination");
                self.opening.remove(&info);
                self.tell(Out::Opened { circuit: info, stream: None });
            }
            _ => {}
        }
    }
}
