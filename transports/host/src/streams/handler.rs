//! One connection's protocol streams: a single one of the peer's at a time, and those that we open.
//!
//! A stream of the peer's that arrives while another lives waits a moment: the other may have ended without its
//! owner having noticed. So its end is looked for, and its owner is told; if it lives on, the newcomer is dropped
//! before anything is sent on it.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Stream,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::PollSender;
use tracing::{debug, info};

use super::{Facts, OpenRequest, Terms};
use crate::{OpenError, ProtocolStream, channel::Channel, convert::Protocol};

/// How long a newcomer waits for signs that the living stream has ended. Streams of QUIC are independent: the end of
/// one may arrive after the beginning of the next, by a retransmission.
const GRACE: Duration = Duration::from_secs(1);

/// How long a newcomer waits for the owner of an ended stream to let go of it, or for room in the inbox.
const PATIENCE: Duration = Duration::from_secs(10);

/// Streams that may wait; the next are dropped at once.
const MAX_WAITING: usize = 4;

/// Time to agree on a protocol.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Dropped streams of one connection after which a line in the log is due.
const MANY_REFUSALS: u64 = 100;

pub(crate) type Reply = oneshot::Sender<Result<ProtocolStream, OpenError>>;

/// The handler of one connection.
pub(crate) struct Handler {
    terms: Arc<Terms>,
    facts: Arc<Facts>,
    inbox: PollSender<ProtocolStream>,
    /// The peer's living stream.
    live: Option<Live>,
    /// The peer's newer streams, oldest first.
    waiting: VecDeque<Waiting>,
    /// Wakes us when the next of them has waited too long.
    alarm: Pin<Box<Sleep>>,
    refused: u64,
    /// Ours.
    outbound: Vec<Arc<Channel>>,
    /// Ours that are being agreed on.
    opening: usize,
    requests: VecDeque<OpenRequest>,
}

#[derive(Debug)]
struct Live {
    channel: Arc<Channel>,
    /// When its end was seen here.
    ended_at: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    stream: Stream,
    protocol: Protocol,
    since: Instant,
}

impl Handler {
    pub(super) fn new(terms: Arc<Terms>, facts: Arc<Facts>) -> Self {
        Self {
            inbox: PollSender::new(terms.inbox.clone()),
            terms,
            facts,
            live: None,
            waiting: VecDeque::new(),
            alarm: Box::pin(sleep_until(Instant::now())),
            refused: 0,
            outbound: Vec::new(),
            opening: 0,
            requests: VecDeque::new(),
        }
    }

    fn arrived(&mut self, stream: Stream, protocol: Protocol) {
        if self.waiting.len() >= MAX_WAITING {
            drop(stream);
            self.count_refusal("too many streams at once");
            return;
        }
        self.waiting.push_back(Waiting { stream, protocol, since: Instant::now() });
    }

    /// Hands out the oldest waiting stream if there is place for it, drops those that waited too long.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) {
        loop {
            if self.live.as_ref().is_some_and(|live| live.channel.poll_released(cx).is_ready()) {
                self.live = None;
            }
            if self.waiting.is_empty() {
                self.inbox.abort_send(); // gives back a reserved place
                return;
            }
            match &mut self.live {
                Some(live) => {
                    if live.ended_at.is_none() && live.channel.poll_end(cx).is_ready() {
                        live.ended_at = Some(Instant::now());
                        live.channel.ended().cancel();
                    }
                }
                None => match self.inbox.poll_reserve(cx) {
                    Poll::Ready(Ok(())) => {
                        self.hand_out();
                        continue;
                    }
                    Poll::Ready(Err(_closed)) => {
                        self.waiting.clear(); // nobody takes streams any more
                        return;
                    }
                    Poll::Pending => {}
                },
            }
            if !self.drop_expired(cx) {
                return;
            }
        }
    }

    fn hand_out(&mut self) {
        let Some(Waiting { stream, protocol, .. }) = self.waiting.pop_front() else { return };
        let (channel, stream) = self.facts.stream(stream, &protocol, &self.terms.item_limits);
        // A failed send drops the stream, and with it the halves: the place is free in the next round.
        if self.inbox.send_item(stream).is_ok() {
            debug!(peer = %super::wire_peer_id(&self.facts.peer), connection = %self.facts.key,
                protocol = %protocol.capability, "protocol stream opened by the peer");
        }
        self.live = Some(Live { channel, ended_at: None });
    }

    /// Drops the oldest waiting stream if its time is up, else sets the alarm for it.
    fn drop_expired(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(oldest) = self.waiting.front() else { return false };
        let deadline = match &self.live {
            Some(Live { ended_at: None, .. }) => oldest.since + GRACE,
            Some(Live { ended_at: Some(ended_at), .. }) => *ended_at.max(&oldest.since) + PATIENCE,
            None => oldest.since + PATIENCE,
        };
        if self.alarm.deadline() != deadline {
            self.alarm.as_mut().reset(deadline);
        }
        if self.alarm.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.waiting.pop_front();
        self.count_refusal(match &self.live {
            Some(Live { ended_at: None, .. }) => "another stream of the connection lives",
            Some(Live { ended_at: Some(_), .. }) => "the ended stream was not let go",
            None => "nobody takes streams",
        });
        true
    }

    fn count_refusal(&mut self, reason: &'static str) {
        self.refused += 1;
        let peer = super::wire_peer_id(&self.facts.peer);
        let (connection, refused) = (self.facts.key, self.refused);
        debug!(%peer, %connection, refused, reason, "protocol stream refused");
        if refused == MANY_REFUSALS {
            info!(%peer, %connection, refused, reason, "peer opens one refused stream after the other");
        }
    }

    fn opened(&mut self, stream: Stream, protocol: &Protocol, reply: Reply) {
        let (channel, stream) = self.facts.stream(stream, protocol, &self.terms.item_limits);
        self.outbound.push(channel);
        // Nobody waits any more: the stream is dropped here, and its place freed.
        let _ = reply.send(Ok(stream));
    }

    fn poll_requests(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Option<ConnectionHandlerEvent<Upgrade, Opening, Infallible>> {
        self.outbound.retain(|channel| channel.poll_released(cx).is_pending());
        while let Some(OpenRequest { protocols, reply }) = self.requests.pop_front() {
            let limit = self.terms.limits.outbound_protocol_streams;
            if reply.is_closed() {
                continue;
            }
            if self.outbound.len() + self.opening >= limit {
                let _ = reply.send(Err(OpenError::TooManyStreams { limit }));
                continue;
            }
            self.opening += 1;
            let info = Opening { reply, proposed: protocols.clone() };
            let protocol = SubstreamProtocol::new(Upgrade(protocols), info).with_timeout(NEGOTIATION_TIMEOUT);
            return Some(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        None
    }
}

/// The connection is gone: nobody who waits for a stream's end is to wait on.
impl Drop for Handler {
    fn drop(&mut self) {
        let inbound = self.live.iter().map(|live| &live.channel);
        inbound.chain(&self.outbound).for_each(|channel| channel.ended().cancel());
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("facts", &self.facts)
            .field("live", &self.live)
            .field("waiting", &self.waiting.len())
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

/// Who waits for a stream, and what was proposed for it.
#[derive(Debug)]
pub(crate) struct Opening {
    reply: Reply,
    proposed: Arc<[Protocol]>,
}

impl Opening {
    fn fail(self, error: OpenError) {
        let _ = self.reply.send(Err(error)); // nobody waits any more: fine
    }

    fn proposed(&self) -> String {
        self.proposed.iter().map(|protocol| protocol.capability.to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Agrees on one of several protocols, and nothing more.
#[derive(Clone, Debug)]
pub(crate) struct Upgrade(Arc<[Protocol]>);

impl UpgradeInfo for Upgrade {
    type Info = Protocol;
    type InfoIter = std::vec::IntoIter<Protocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        Vec::from(&*self.0).into_iter()
    }
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, Protocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, protocol: Protocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, Protocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, stream: Stream, protocol: Protocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = OpenRequest;
    type ToBehaviour = Infallible;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opening;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        SubstreamProtocol::new(Upgrade(self.terms.offered.clone()), ()).with_timeout(NEGOTIATION_TIMEOUT)
    }

    fn on_behaviour_event(&mut self, request: OpenRequest) {
        self.requests.push_back(request); // as many as the owner of the host asks for
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Upgrade, Opening, Infallible>> {
        self.poll_waiting(cx);
        match self.poll_requests(cx) {
            Some(event) => Poll::Ready(event),
            None => Poll::Pending,
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), Opening>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                let (stream, protocol) = protocol;
                self.arrived(stream, protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opening -= 1;
                let (stream, protocol) = protocol;
                self.opened(stream, &protocol, info.reply);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.opening -= 1;
                let error = match error {
                    StreamUpgradeError::Timeout => OpenError::Timeout { limit: NEGOTIATION_TIMEOUT },
                    StreamUpgradeError::NegotiationFailed => {
                        OpenError::NoSharedProtocol { proposed: info.proposed() }
                    }
                    StreamUpgradeError::Io(_) => OpenError::ConnectionLost,
                    StreamUpgradeError::Apply(never) => match never {},
                };
                info.fail(error);
            }
            _ => {} // addresses and lists of protocols
        }
    }
}
