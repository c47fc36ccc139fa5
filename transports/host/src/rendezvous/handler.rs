//! One connection's rendezvous streams: those of the peer that are served, and those on which we ask.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    AsyncRead, AsyncWrite, AsyncWriteExt as _, FutureExt, StreamExt, future::BoxFuture,
    stream::FuturesUnordered,
};
use libp2p::{
    Stream, StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};
use tokio::{sync::oneshot, time::timeout};
use tracing::debug;

use super::{
    PROTOCOL, RendezvousError,
    server::{Asker, Server},
};
use crate::{
    frame::{self, FrameError},
    identity::wire_peer_id,
};

/// Streams of one connection that are served at a time; the next are dropped.
const SERVED: usize = 4;

/// Our own questions under way on one connection; the next wait.
const ASKED: usize = 4;

/// Time to agree on the protocol.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Time from an opened stream to the answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer read; rust-libp2p sends no larger ones.
const MAX_ANSWER: usize = 1024 * 1024;

pub(crate) type Reply = oneshot::Sender<Result<Vec<u8>, RendezvousError>>;

/// A request to a rendezvous point.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) request: Vec<u8>,
    pub(crate) answered: Answered,
    /// Gets the answer's bytes, none if there is no answer to it. Dropped if the connection goes.
    pub(crate) reply: Reply,
}

/// Whether the other end says something in return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    Yes,
    No,
}

/// The handler of one connection.
pub(crate) struct Handler {
    asker: Asker,
    server: Option<Arc<Server>>,
    serving: FuturesUnordered<BoxFuture<'static, ()>>,
    asks: VecDeque<Ask>,
    opening: usize,
    asking: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Handler {
    pub(super) fn new(asker: Asker, server: Option<Arc<Server>>) -> Self {
        Self {
            asker,
            server,
            serving: FuturesUnordered::new(),
            asks: VecDeque::new(),
            opening: 0,
            asking: FuturesUnordered::new(),
        }
    }

    fn serve(&self, stream: Stream) {
        let Some(server) = self.server.clone() else { return };
        let asker = self.asker;
        if self.serving.len() >= SERVED {
            debug!(peer = %wire_peer_id(&asker.peer), limit = SERVED, "rendezvous stream refused: too many");
            return;
        }
        let serving = async move {
            if let Err(reason) = server.serve(asker, stream).await {
                debug!(peer = %wire_peer_id(&asker.peer), %reason, "rendezvous stream given up");
            }
        };
        self.serving.push(serving.boxed());
    }

    fn ask(&self, mut stream: Stream, ask: Ask) {
        let Ask { request, answered, mut reply } = ask;
        let asking = async move {
            let result = tokio::select! {
                biased;
                () = reply.closed() => return, // who asked has given up
                result = timeout(ANSWER_TIMEOUT, exchange(&mut stream, &request, answered)) => result,
            };
            let limit = ANSWER_TIMEOUT;
            let _ = reply.send(result.unwrap_or(Err(RendezvousError::Timeout { limit })));
            let _ = timeout(ANSWER_TIMEOUT, stream.close()).await;
        };
        self.asking.push(asking.boxed());
    }
}

async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    answered: Answered,
) -> Result<Vec<u8>, RendezvousError> {
    let lost = |error: std::io::Error| RendezvousError::Lost(error.to_string());
    frame::write(stream, request).await.map_err(lost)?;
    if answered == Answered::No {
        return Ok(Vec::new());
    }
    match frame::read(stream, MAX_ANSWER).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(RendezvousError::Lost("the stream was closed without an answer".to_owned())),
        Err(FrameError::TooLarge { size, limit }) => Err(RendezvousError::TooLarge { size, limit }),
        Err(error @ (FrameError::Length | FrameError::Truncated)) => {
            Err(RendezvousError::Lost(error.to_string()))
        }
        Err(FrameError::Io(error)) => Err(lost(error)),
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("asker", &self.asker)
            .field("serving", &self.serving.len())
            .field("asking", &self.asking.len())
            .finish_non_exhaustive()
    }
}

/// Agrees on the protocol where it is spoken, and nothing more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upgrade {
    spoken: bool,
}

impl UpgradeInfo for Upgrade {
    type Info = StreamProtocol;
    type InfoIter = std::option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.spoken.then_some(PROTOCOL).into_iter()
    }
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _protocol: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _protocol: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Ask;
    type ToBehaviour = Infallible;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Ask;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        let upgrade = Upgrade { spoken: self.server.is_some() };
        SubstreamProtocol::new(upgrade, ()).with_timeout(NEGOTIATION_TIMEOUT)
    }

    fn on_behaviour_event(&mut self, ask: Ask) {
        self.asks.push_back(ask); // as many as the owner of the host asks for
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Upgrade, Ask, Infallible>> {
        while let Poll::Ready(Some(())) = self.serving.poll_next_unpin(cx) {}
        while let Poll::Ready(Some(())) = self.asking.poll_next_unpin(cx) {}
        while self.opening + self.asking.len() < ASKED {
            let Some(ask) = self.asks.pop_front() else { break };
            if ask.reply.is_closed() {
                continue;
            }
            self.opening += 1;
            let protocol =
                SubstreamProtocol::new(Upgrade { spoken: true }, ask).with_timeout(NEGOTIATION_TIMEOUT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), Ask>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.serve(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                self.opening -= 1;
                self.ask(protocol, info);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.opening -= 1;
                let error = match error {
                    StreamUpgradeError::Timeout => RendezvousError::Timeout { limit: NEGOTIATION_TIMEOUT },
                    StreamUpgradeError::NegotiationFailed => RendezvousError::Unsupported,
                    StreamUpgradeError::Io(error) => RendezvousError::Lost(error.to_string()),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = info.reply.send(Err(error)); // nobody waits any more: fine
            }
            _ => {} // addresses and lists of protocols
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::compat::TokioAsyncReadCompatExt as _;

    use super::*;

    /// What we make of a rendezvous point that answers with `bytes`, or not at all.
    async fn answered_with(bytes: Option<&[u8]>) -> Result<Vec<u8>, RendezvousError> {
        let (near, far) = tokio::io::duplex(4096);
        let (mut near, mut far) = (near.compat(), far.compat());
        let point = async {
            let asked = frame::read(&mut far, 100).await.expect("read").expect("a question");
            assert_eq!(asked, b"question");
            match bytes {
                Some(bytes) => {
                    far.write_all(bytes).await.expect("sent");
                    far.close().await.expect("closed");
                }
                None => std::future::pending().await,
            }
        };
        let asking = timeout(ANSWER_TIMEOUT, exchange(&mut near, b"question", Answered::Yes));
        tokio::select! {
            biased;
            result = asking => result.unwrap_or(Err(RendezvousError::Timeout { limit: ANSWER_TIMEOUT })),
            () = async { point.await; std::future::pending().await } => unreachable!("never ends"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hostile_points_cost_little_and_have_names() {
        assert_eq!(answered_with(Some(&[2, 7, 8])).await, Ok(vec![7, 8]));
        assert_eq!(
            answered_with(Some(&[0xff, 0xff, 0xff, 0x7f])).await,
            Err(RendezvousError::TooLarge { size: 0x0fff_ffff, limit: MAX_ANSWER })
        );
        for torn in [[].as_slice(), &[5, 1], &[0x80], &[0xff; 8]] {
            let answer = answered_with(Some(torn)).await;
            assert!(matches!(answer, Err(RendezvousError::Lost(_))), "{torn:?} {answer:?}");
        }
        assert_eq!(answered_with(None).await, Err(RendezvousError::Timeout { limit: ANSWER_TIMEOUT }));
    }
}
