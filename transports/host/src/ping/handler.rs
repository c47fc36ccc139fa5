//! One connection's pings, libp2p `ping/ping.md`: the peer's are answered whatever becomes of ours.
//!
//! ```text
//! /ipfs/ping/1.0.0      32 bytes there, the same 32 bytes back, as often as the opener likes
//! ```

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use causeway_wire::heartbeat;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, future::BoxFuture};
use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::ReadyUpgrade,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use tokio::{
    task::yield_now,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tracing::debug;

use super::Finding;
use crate::heart::Heart;

pub(super) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/ping/1.0.0");

/// Bytes of a ping, and of its answer.
pub(super) const PAYLOAD: usize = 32;

/// Time for the peer's answer, and before that for agreeing on the protocol; less where pings are frequent.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Longest rest for which the stream of a ping is kept for the next: we and go-libp2p end those that rest for a minute,
/// and that would wake a phone which asked for quiet.
const KEEP_STREAM: Duration = Duration::from_secs(30);

/// Unanswered pings in a row after which the peer counts as silent. The first is free: on a slow line a ping may
/// wait behind a large answer.
const MAX_MISSED: u32 = 2;

/// The peer's ping streams that are answered at a time, as the specification asks for; a further one ends the
/// oldest, which may be a forgotten one.
pub(super) const MAX_STREAMS: usize = 2;

/// Longest time from one of the peer's pings to the next on a stream, the answer included.
pub(super) const STALL: Duration = Duration::from_secs(60);

/// Time to say goodbye on a stream that the peer has ended.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time after which the swarm forgets a stream that we asked for. We give it up before; its clock is not tokio's.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Numbers the streams that we ask for: of those that were given up nothing is heard.
type Attempt = u64;

type Event = ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, Attempt, Finding>;

/// The handler of one connection.
pub(crate) struct Handler {
    /// The peer's streams, oldest first.
    answering: VecDeque<BoxFuture<'static, ()>>,
    asking: Asking,
    heart: Heart,
    /// As `alarm` was set by it.
    interval: Duration,
    /// When the rest before the next ping began; `None` if that is due at once.
    resting_since: Option<Instant>,
    /// When the next ping is due, or when a stream for it is no longer waited for.
    alarm: Pin<Box<Sleep>>,
    attempt: Attempt,
    /// To be told.
    finding: Option<Finding>,
}

/// Where our ping is.
enum Asking {
    /// Until the alarm; with the stream of the ping before, if that lives.
    Resting(Option<Stream>),
    Opening,
    Asked(BoxFuture<'static, Result<Answered, AskError>>, Opened),
    /// The peer does not take pings.
    Never,
}

/// Since when a ping's stream is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    /// It carried pings before: the peer may have ended it since.
    Before,
    /// For this ping.
    Now,
}

impl Handler {
    pub(super) fn new(heart: Heart) -> Self {
        Self {
            answering: VecDeque::with_capacity(MAX_STREAMS),
            asking: Asking::Resting(None),
            interval: heart.read().interval,
            heart,
            resting_since: None,
            alarm: Box::pin(sleep_until(Instant::now())),
            attempt: 0,
            finding: None,
        }
    }

    fn poll_asking(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if let Some(finding) = self.finding.take() {
                return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(finding));
            }
            self.follow_interval(cx);
            match &mut self.asking {
                Asking::Resting(stream) => {
                    ready!(self.alarm.as_mut().poll(cx));
                    match stream.take() {
                        Some(stream) => self.ask(stream, Opened::Before),
                        None => {
                            return Poll::Ready(self.open());
                        }
                    }
                }
                Asking::Asked(answer, opened) => {
                    let opened = *opened;
                    match ready!(answer.poll_unpin(cx)) {
                        Ok(Answered { stream, took }) => {
                            self.heart.answered(took);
                            self.rest((self.interval <= KEEP_STREAM).then_some(stream));
                        }
                        Err(AskError::Timeout) => self.miss(),
                        Err(AskError::Stream(error)) => self.lose(&error, opened),
                    }
                }
                Asking::Opening => {
                    ready!(self.alarm.as_mut().poll(cx));
                    self.miss();
                }
                Asking::Never => return Poll::Pending,
            }
        }
    }

    /// Sets the alarm anew if the interval was changed.
    fn follow_interval(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(interval) = self.heart.poll_changed(cx, self.interval) {
            self.interval = interval;
            if let Some(since) = self.resting_since {
                self.alarm.as_mut().reset(since + interval);
            }
        }
    }

    fn open(&mut self) -> Event {
        self.asking = Asking::Opening;
        self.resting_since = None;
        let given_up = Instant::now() + self.timeout();
        self.alarm.as_mut().reset(given_up);
        self.attempt += 1;
        let protocol =
            SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), self.attempt).with_timeout(OPEN_TIMEOUT);
        ConnectionHandlerEvent::OutboundSubstreamRequest { protocol }
    }

    fn ask(&mut self, stream: Stream, opened: Opened) {
        self.asking = Asking::Asked(ask(stream, self.timeout()).boxed(), opened);
    }

    fn timeout(&self) -> Duration {
        heartbeat::patience(self.interval, TIMEOUT)
    }

    fn rest(&mut self, stream: Option<Stream>) {
        let now = Instant::now();
        self.asking = Asking::Resting(stream);
        self.resting_since = Some(now);
        self.alarm.as_mut().reset(now + self.interval);
    }

    /// The next ping goes out at once, on a stream of its own.
    fn ask_again(&mut self) {
        self.asking = Asking::Resting(None);
        self.resting_since = None;
        self.alarm.as_mut().reset(Instant::now());
    }

    /// No answer in time. The next ping goes out at once: it has waited long enough.
    fn miss(&mut self) {
        self.ask_again();
        if self.heart.miss() >= MAX_MISSED {
            self.finding = Some(Finding::Silent);
        }
    }

    /// The peer may take one ping a stream, or end streams that rest: that is no reason to part.
    fn lose(&mut self, error: &io::Error, opened: Opened) {
        debug!(%error, "ping stream ended");
        match opened {
            Opened::Before => self.ask_again(),
            Opened::Now => self.rest(None),
        }
    }

    fn awaits(&self, attempt: Attempt) -> bool {
        matches!(self.asking, Asking::Opening) && attempt == self.attempt
    }

    fn not_opened(&mut self, error: StreamUpgradeError<Infallible>) {
        match error {
            StreamUpgradeError::NegotiationFailed => {
                self.asking = Asking::Never;
                self.finding = Some(Finding::Unsupported);
            }
            StreamUpgradeError::Timeout => self.miss(),
            StreamUpgradeError::Io(error) => self.lose(&error, Opened::Now),
            StreamUpgradeError::Apply(never) => match never {},
        }
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("answering", &self.answering.len())
            .field("heart", &self.heart)
            .finish_non_exhaustive()
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Finding;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Attempt;

    fn listen_protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ()).with_timeout(TIMEOUT)
    }

    fn on_behaviour_event(&mut self, never: Infallible) {
        match never {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.answering.retain_mut(|stream| stream.poll_unpin(cx).is_pending());
        self.poll_asking(cx)
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, ReadyUpgrade<StreamProtocol>, ReadyUpgrade<StreamProtocol>, (), Attempt>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                let mut stream = protocol;
                stream.ignore_for_keep_alive();
                if self.answering.len() >= MAX_STREAMS {
                    self.answering.pop_front();
                }
                self.answering.push_back(answer(stream).boxed());
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info })
                if self.awaits(info) =>
            {
                let mut stream = protocol;
                stream.ignore_for_keep_alive();
                self.ask(stream, Opened::Now);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, info }) if self.awaits(info) => {
                self.not_opened(error);
            }
            _ => {} // streams that were given up, addresses and lists of protocols
        }
    }
}

/// Answers pings until the peer ends the stream or stalls.
pub(super) async fn answer<S>(mut stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Ok(Ok(())) = timeout(STALL, echo(&mut stream)).await {
        yield_now().await; // a flood of pings takes turns with the connection's other streams
    }
    // If this fails the stream is reset by being dropped, which ends it just as well.
    let _ = timeout(CLOSE_TIMEOUT, stream.close()).await;
}

async fn echo<S>(stream: &mut S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut payload = [0; PAYLOAD];
    stream.read_exact(&mut payload).await?;
    stream.write_all(&payload).await?;
    stream.flush().await
}

/// Why a ping has no answer.
#[derive(Debug)]
enum AskError {
    Timeout,
    /// The stream ended, or something else than the ping came back.
    Stream(io::Error),
}

/// What a ping came to.
struct Answered {
    /// For the next.
    stream: Stream,
    took: Duration,
}

/// Sends a ping and waits for its answer.
async fn ask(mut stream: Stream, limit: Duration) -> Result<Answered, AskError> {
    let begun = Instant::now();
    let round = async {
        let payload: [u8; PAYLOAD] = rand::random();
        stream.write_all(&payload).await?;
        stream.flush().await?;
        let mut answer = [0; PAYLOAD];
        stream.read_exact(&mut answer).await?;
        if answer == payload { Ok(()) } else { Err(io::Error::other("not what was sent came back")) }
    };
    match timeout(limit, round).await {
        Ok(Ok(())) => Ok(Answered { stream, took: begun.elapsed() }),
        Ok(Err(error)) => Err(AskError::Stream(error)),
        Err(_elapsed) => Err(AskError::Timeout),
    }
}
