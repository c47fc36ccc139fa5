//! One connection of a server: requests on it are read and answered, or the nonce is handed over on it.

use std::{
    collections::VecDeque,
    fmt, io,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt as _, FutureExt as _, future::BoxFuture};
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, SubstreamProtocol,
    handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
};
use tracing::debug;

use super::Patience;
use crate::{
    frame::{self, StreamError},
    message::{DialBack, DialBackResponse, DialDataRequest, DialRequest, DialResponse, Message},
    offer::{DIAL_BACK, DIAL_REQUEST, Offer},
};

/// Streams of a peer on one connection, those included that wait to be rejected. A further one is dropped.
const MAX_STREAMS: usize = 4;

/// Longest message of a request; go-libp2p takes as much.
const MAX_MESSAGE: usize = 8192;

/// Longest answer to a nonce.
const MAX_DIAL_BACK_RESPONSE: usize = 1024;

/// Least data in a message that is not the last one: many small ones would cost us more than the peer.
const MIN_DATA: usize = 100;

/// Time to write an answer down.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the behaviour tells a connection.
#[derive(Debug)]
pub struct In(pub(super) Order);

/// What a connection tells the behaviour.
#[derive(Debug)]
pub struct Out(pub(super) News);

#[derive(Debug)]
pub(super) enum Order {
    /// Offer the protocol, or no longer.
    Offer(bool),
    Read(u64),
    Charge(u64, DialDataRequest),
    Answer(u64, DialResponse),
}

#[derive(Debug)]
pub(super) enum News {
    Opened(u64),
    Requested(u64, DialRequest),
    Paid(u64),
    Broken(u64),
    /// Whether the nonce was handed over.
    DialedBack(bool),
}

/// The handler of one connection.
pub struct Handler {
    offered: bool,
    streams: Vec<Served>,
    next_stream: u64,
    /// If we dialed, to hand over a nonce.
    dial_back: Option<DialingBack>,
    patience: Patience,
    news: VecDeque<News>,
    waker: Option<Waker>,
}

struct DialingBack {
    nonce: u64,
    step: Step,
}

struct Served {
    id: u64,
    stage: Stage,
}

enum Stage {
    /// The behaviour thinks about it.
    Parked(Stream),
    Reading(BoxFuture<'static, Result<(Stream, DialRequest), StreamError>>),
    Charging(BoxFuture<'static, Result<Stream, StreamError>>),
    Answering(BoxFuture<'static, ()>),
    Gone,
}

enum Step {
    Open,
    Opening,
    Handing(BoxFuture<'static, Result<(), StreamError>>),
    Done,
}

impl Handler {
    /// With a nonce, that is handed over first of all.
    pub(super) fn new(offered: bool, nonce: Option<u64>, patience: Patience) -> Self {
        Self {
            offered,
            streams: Vec::new(),
            next_stream: 0,
            dial_back: nonce.map(|nonce| DialingBack { nonce, step: Step::Open }),
            patience,
            news: VecDeque::new(),
            waker: None,
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn take_in(&mut self, stream: Stream) {
        if self.streams.len() >= MAX_STREAMS {
            debug!(limit = MAX_STREAMS, "too many streams of one connection: dropped");
            return;
        }
        let id = self.next_stream;
        self.next_stream += 1;
        self.streams.push(Served { id, stage: Stage::Parked(stream) });
        self.news.push_back(News::Opened(id));
        self.wake();
    }

    fn advance(&mut self, id: u64, work: impl FnOnce(Stream, &Patience) -> Stage) {
        let Some(served) = self.streams.iter_mut().find(|served| served.id == id) else { return };
        served.stage = match std::mem::replace(&mut served.stage, Stage::Gone) {
            Stage::Parked(stream) => work(stream, &self.patience),
            other => other,
        };
        self.wake();
    }

    fn handed_over(&mut self, result: bool) {
        if let Some(dial_back) = &mut self.dial_back {
            dial_back.step = Step::Done;
            self.news.push_back(News::DialedBack(result));
        }
        self.wake();
    }
}

impl Served {
    /// What there is to tell; with `Stage::Gone` afterwards that was all.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<News> {
        match &mut self.stage {
            Stage::Parked(_) | Stage::Gone => None,
            Stage::Reading(reading) => match reading.poll_unpin(cx) {
                Poll::Pending => None,
                Poll::Ready(Ok((stream, request))) => {
                    self.stage = Stage::Parked(stream);
                    Some(News::Requested(self.id, request))
                }
                Poll::Ready(Err(error)) => Some(self.broken(&error)),
            },
            Stage::Charging(charging) => match charging.poll_unpin(cx) {
                Poll::Pending => None,
                Poll::Ready(Ok(stream)) => {
                    self.stage = Stage::Parked(stream);
                    Some(News::Paid(self.id))
                }
                Poll::Ready(Err(error)) => Some(self.broken(&error)),
            },
            Stage::Answering(answering) => {
                if answering.poll_unpin(cx).is_ready() {
                    self.stage = Stage::Gone;
                }
                None
            }
        }
    }

    fn broken(&mut self, error: &StreamError) -> News {
        debug!(%error, "request broken off");
        self.stage = Stage::Gone;
        News::Broken(self.id)
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = In;
    type ToBehaviour = Out;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        let offer = Offer(self.offered.then_some(DIAL_REQUEST));
        SubstreamProtocol::new(offer, ()).with_timeout(self.patience.request)
    }

    /// Until the nonce was handed over; requests keep the connection by their streams.
    fn connection_keep_alive(&self) -> bool {
        self.dial_back.as_ref().is_some_and(|dial_back| !matches!(dial_back.step, Step::Done))
    }

    fn on_behaviour_event(&mut self, In(order): In) {
        match order {
            Order::Offer(offer) => {
                self.offered = offer;
                self.wake();
            }
            Order::Read(id) => {
                self.advance(id, |stream, patience| Stage::Reading(read(stream, patience.request).boxed()));
            }
            Order::Charge(id, request) => self.advance(id, |stream, patience| {
                Stage::Charging(charge(stream, request, patience.payment).boxed())
            }),
            Order::Answer(id, response) => {
                self.advance(id, |stream, _| Stage::Answering(answer(stream, response).boxed()));
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Offer, (), Out>> {
        for served in &mut self.streams {
            self.news.extend(served.poll(cx));
        }
        self.streams.retain(|served| !matches!(served.stage, Stage::Gone));
        match self.dial_back.as_mut().map(|dial_back| &mut dial_back.step) {
            Some(step @ Step::Open) => {
                *step = Step::Opening;
                let protocol =
                    SubstreamProtocol::new(Offer(Some(DIAL_BACK)), ()).with_timeout(self.patience.dial_back);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
            Some(Step::Handing(handing)) => {
                if let Poll::Ready(result) = handing.poll_unpin(cx) {
                    if let Err(error) = &result {
                        debug!(%error, "nonce not handed over");
                    }
                    self.handed_over(result.is_ok());
                }
            }
            Some(Step::Opening | Step::Done) | None => {}
        }
        if let Some(news) = self.news.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Out(news)));
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.take_in(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                let limit = self.patience.dial_back;
                if let Some(DialingBack { nonce, step }) = &mut self.dial_back {
                    *step = Step::Handing(frame::within(limit, hand_over(protocol, *nonce)).boxed());
                }
                self.wake();
            }
            ConnectionEvent::DialUpgradeError(error) => {
                debug!(error = %error.error, "no stream for the nonce");
                self.handed_over(false);
            }
            _ => {} // protocols and addresses of the peer
        }
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("offered", &self.offered)
            .field("streams", &self.streams.len())
            .field("dials_back", &self.dial_back.is_some())
            .finish_non_exhaustive()
    }
}

async fn read<S: AsyncRead + Unpin>(mut stream: S, limit: Duration) -> Result<(S, DialRequest), StreamError> {
    frame::within(limit, async {
        match Message::decode(&frame::read(&mut stream, MAX_MESSAGE).await?)? {
            Message::Ask(request) => Ok((stream, request)),
            _ => Err(StreamError::Unexpected),
        }
    })
    .await
}

async fn charge<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    request: DialDataRequest,
    limit: Duration,
) -> Result<S, StreamError> {
    frame::within(limit, async {
        frame::write(&mut stream, &Message::Charge(request).encode()).await?;
        let mut missing = request.bytes;
        while missing > 0 {
            let message = Message::decode(&frame::read(&mut stream, MAX_MESSAGE).await?)?;
            let Message::Data(data) = message else { return Err(StreamError::Unexpected) };
            missing = missing.saturating_sub(data.length as u64);
            if missing > 0 && data.length < MIN_DATA {
                return Err(StreamError::Unexpected);
            }
        }
        Ok(stream)
    })
    .await
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, response: DialResponse) {
    let message = Message::Answer(response).encode();
    match frame::within(ANSWER_TIMEOUT, frame::write(&mut stream, &message)).await {
        Ok(()) => frame::finish(stream).await,
        Err(error) => debug!(%error, "answer not taken"),
    }
}

/// Hands over the nonce, and waits for the answer or at least the end of the stream.
///
/// go-libp2p v0.51 resets the stream right after its answer, which is lost then on QUIC: a reset tells that the
/// stream was looked at, too. Whether the nonce was the right one is the asker's to judge.
async fn hand_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, nonce: u64) -> Result<(), StreamError> {
    frame::write(&mut stream, &DialBack { nonce }.encode()).await?;
    stream.close().await?;
    match frame::read(&mut stream, MAX_DIAL_BACK_RESPONSE).await {
        Ok(response) => DialBackResponse::decode(&response).map(drop).map_err(StreamError::from),
        Err(StreamError::Ended) => Ok(()),
        Err(StreamError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
    }
}
