//! One connection of a client: questions are asked on it, and nonces come over it.

use std::{
    collections::VecDeque,
    fmt,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt as _, FutureExt as _, future::BoxFuture};
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamUpgradeError, SubstreamProtocol,
    handler::{
        ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound, ProtocolsChange,
    },
};
use tracing::debug;

use super::question::{Answer, Ask, QuestionId};
use crate::{
    frame::{self, StreamError},
    message::{
        DialBack, DialBackResponse, DialData, DialDataRequest, DialRequest, DialResponse, DialStatus, Message,
    },
    offer::{DIAL_BACK, DIAL_REQUEST, Offer},
};

/// Streams with nonces on one connection. A further one is dropped.
const MAX_DIAL_BACKS: usize = 2;

/// Questions on one connection: a server is asked one thing at a time, so a second one is there while the first one
/// says goodbye.
const MAX_QUESTIONS: usize = 4;

/// Longest message on a stream with a nonce.
const MAX_DIAL_BACK: usize = 1024;

/// Longest answer.
const MAX_ANSWER: usize = 8192;

/// Data in one message, as the specification says.
const CHUNK: u64 = 4096;

/// Time for a nonce to come, and then for our thanks to go.
const DIAL_BACK_TIMEOUT: Duration = Duration::from_secs(5);

/// What the behaviour tells a connection.
#[derive(Debug)]
pub struct In(pub(super) Order);

/// What a connection tells the behaviour.
#[derive(Debug)]
pub struct Out(pub(super) News);

#[derive(Debug)]
pub(super) enum Order {
    Ask(Ask),
    /// The nonce on this stream is one of ours.
    Thank(u64),
    /// It is not.
    Dismiss(u64),
}

#[derive(Debug)]
pub(super) enum News {
    /// The peer offers to answer questions, or no longer.
    Serves(bool),
    Answered {
        id: QuestionId,
        answer: Answer,
        paid: u64,
    },
    DialBack {
        stream: u64,
        nonce: u64,
    },
}

/// The handler of one connection.
pub struct Handler {
    patience: Duration,
    /// To be opened; then asked.
    asks: VecDeque<Ask>,
    asking: Vec<BoxFuture<'static, Option<News>>>,
    dial_backs: Vec<Back>,
    next_dial_back: u64,
    news: VecDeque<News>,
    waker: Option<Waker>,
}

struct Back {
    id: u64,
    stage: Stage,
}

enum Stage {
    Reading(BoxFuture<'static, Result<(Stream, u64), StreamError>>),
    /// The behaviour looks at the nonce.
    Parked(Stream),
    Thanking(BoxFuture<'static, ()>),
    Gone,
}

impl Handler {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            asks: VecDeque::new(),
            asking: Vec::new(),
            dial_backs: Vec::new(),
            next_dial_back: 0,
            news: VecDeque::new(),
            waker: None,
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn answered(&mut self, id: QuestionId, answer: Answer) {
        self.news.push_back(News::Answered { id, answer, paid: 0 });
        self.wake();
    }

    fn take_in(&mut self, stream: Stream) {
        if self.dial_backs.len() >= MAX_DIAL_BACKS {
            debug!(limit = MAX_DIAL_BACKS, "too many streams with nonces: dropped");
            return;
        }
        let id = self.next_dial_back;
        self.next_dial_back += 1;
        self.dial_backs.push(Back { id, stage: Stage::Reading(read(stream).boxed()) });
        self.wake();
    }

    fn judge(&mut self, id: u64, ours: bool) {
        let Some(back) = self.dial_backs.iter_mut().find(|back| back.id == id) else { return };
        back.stage = match std::mem::replace(&mut back.stage, Stage::Gone) {
            Stage::Parked(stream) if ours => Stage::Thanking(thank(stream).boxed()),
            Stage::Parked(_) => Stage::Gone, // dropping it resets it
            other => other,
        };
        self.wake();
    }
}

impl Back {
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<News> {
        match &mut self.stage {
            Stage::Parked(_) | Stage::Gone => None,
            Stage::Reading(reading) => match reading.poll_unpin(cx) {
                Poll::Pending => None,
                Poll::Ready(Ok((stream, nonce))) => {
                    self.stage = Stage::Parked(stream);
                    Some(News::DialBack { stream: self.id, nonce })
                }
                Poll::Ready(Err(error)) => {
                    debug!(%error, "no nonce came");
                    self.stage = Stage::Gone;
                    None
                }
            },
            Stage::Thanking(thanking) => {
                if thanking.poll_unpin(cx).is_ready() {
                    self.stage = Stage::Gone;
                }
                None
            }
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = In;
    type ToBehaviour = Out;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Ask;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer(Some(DIAL_BACK)), ()).with_timeout(DIAL_BACK_TIMEOUT)
    }

    fn on_behaviour_event(&mut self, In(order): In) {
        match order {
            Order::Ask(ask) if self.asks.len() + self.asking.len() < MAX_QUESTIONS => {
                self.asks.push_back(ask);
                self.wake();
            }
            Order::Ask(ask) => self.answered(ask.id, Answer::Failed),
            Order::Thank(id) => self.judge(id, true),
            Order::Dismiss(id) => self.judge(id, false),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Offer, Ask, Out>> {
        if let Some(ask) = self.asks.pop_front() {
            let protocol = SubstreamProtocol::new(Offer(Some(DIAL_REQUEST)), ask).with_timeout(self.patience);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        for back in &mut self.dial_backs {
            self.news.extend(back.poll(cx));
        }
        self.dial_backs.retain(|back| !matches!(back.stage, Stage::Gone));
        let news = &mut self.news;
        self.asking.retain_mut(|asking| match asking.poll_unpin(cx) {
            Poll::Ready(answer) => {
                news.extend(answer);
                false
            }
            Poll::Pending => true,
        });
        if let Some(news) = self.news.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Out(news)));
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), Ask>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.take_in(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                let patience = self.patience;
                self.asking.push(ask(protocol, info, patience).map(Some).boxed());
                self.wake();
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                debug!(%error, "no stream for a question");
                if matches!(error, StreamUpgradeError::NegotiationFailed) {
                    self.news.push_back(News::Serves(false));
                }
                self.answered(info.id, Answer::Failed);
            }
            ConnectionEvent::RemoteProtocolsChange(change) => {
                let (serves, mut protocols) = match change {
                    ProtocolsChange::Added(protocols) => {
                        (true, protocols.map(|known| *known == DIAL_REQUEST).collect::<Vec<_>>())
                    }
                    ProtocolsChange::Removed(protocols) => {
                        (false, protocols.map(|known| *known == DIAL_REQUEST).collect())
                    }
                };
                protocols.retain(|is_ours| *is_ours);
                if !protocols.is_empty() {
                    self.news.push_back(News::Serves(serves));
                    self.wake();
                }
            }
            _ => {} // addresses, and protocols of our own
        }
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").field("asking", &self.asking.len()).finish_non_exhaustive()
    }
}

async fn read<S: AsyncRead + Unpin>(mut stream: S) -> Result<(S, u64), StreamError> {
    frame::within(DIAL_BACK_TIMEOUT, async {
        let DialBack { nonce } = DialBack::decode(&frame::read(&mut stream, MAX_DIAL_BACK).await?)?;
        Ok((stream, nonce))
    })
    .await
}

async fn thank(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let thanks = DialBackResponse.encode();
    match frame::within(DIAL_BACK_TIMEOUT, frame::write(&mut stream, &thanks)).await {
        Ok(()) => frame::finish(stream).await,
        Err(error) => debug!(%error, "thanks for a nonce not taken"),
    }
}

/// Asks, pays if need be, and tells what the server says.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, ask: Ask, patience: Duration) -> News {
    let mut paid = 0;
    let answer = match frame::within(patience, converse(&mut stream, &ask, &mut paid)).await {
        Ok(answer) => answer,
        Err(error) => {
            debug!(%error, "question not answered");
            Answer::Failed
        }
    };
    if !matches!(answer, Answer::Failed | Answer::TooDear) {
        // The other side has ended the stream, or is about to.
        let _ = frame::within(frame::FAREWELL, async { Ok(stream.close().await?) }).await;
    }
    News::Answered { id: ask.id, answer, paid }
}

async fn converse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ask: &Ask,
    paid: &mut u64,
) -> Result<Answer, StreamError> {
    let request = DialRequest { addresses: vec![ask.address.to_vec()], nonce: ask.nonce };
    frame::write(stream, &Message::Ask(request).encode()).await?;
    let mut message = Message::decode(&frame::read(stream, MAX_ANSWER).await?)?;
    if let Message::Charge(DialDataRequest { index, bytes }) = message {
        if index != 0 {
            return Err(StreamError::Unexpected);
        }
        if bytes > ask.budget {
            return Ok(Answer::TooDear);
        }
        while *paid < bytes {
            let length = (bytes - *paid).min(CHUNK);
            let data = DialData { length: usize::try_from(length).unwrap_or_default() };
            frame::write(stream, &Message::Data(data).encode()).await?;
            *paid += length;
        }
        message = Message::decode(&frame::read(stream, MAX_ANSWER).await?)?;
    }
    match message {
        Message::Answer(DialResponse::Dialed { index: 0, status }) => Ok(match status {
            DialStatus::Ok => Answer::Dialed,
            DialStatus::DialError => Answer::NotDialed,
            DialStatus::DialBackError => Answer::NotHandedOver,
        }),
        Message::Answer(DialResponse::Rejected) => Ok(Answer::Rejected),
        Message::Answer(DialResponse::Refused) => Ok(Answer::Refused),
        Message::Answer(DialResponse::Internal) => Ok(Answer::Failed),
        _ => Err(StreamError::Unexpected),
    }
}
