//! A session: one connection, whose bidirectional streams are libp2p's.
//!
//! ```text
//! client -> server   uni   0: control, 2 and 3: QPACK            read to the end of the connection
//!                    bidi  the CONNECT request, then capsules    its end is the end of the session
//!                    bidi  0x41 | session | Noise, then nothing
//! both ways          bidi  0x41 | session | a stream of libp2p
//! server -> client   uni   0: control
//! ```
//! Datagrams are announced, because clients insist, and never read: quinn keeps the newest few kilobytes.
//! Unidirectional streams of WebTransport are refused; libp2p has none.

pub(crate) mod frames;
pub(crate) mod handshake;
mod life;
mod stream;
pub(crate) mod unidirectional;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p_core::muxing::{StreamMuxer, StreamMuxerEvent};
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::oneshot;

pub use stream::Stream;

use crate::{
    error::SessionError,
    gate::Place,
    http3::{code, frame::WT_STREAM},
    varint,
};

/// Streams whose header has not come yet; more wait in quinn, within the limit on streams.
const MAX_HEADERLESS: usize = 64;

/// How long a stream's header may take. It comes with the stream's first bytes.
const HEADER_TIME: Duration = Duration::from_secs(10);

type Opened = Result<(SendStream, RecvStream), quinn::ConnectionError>;

/// The muxer of a connection: each bidirectional stream of the session is a stream of libp2p.
pub struct Session {
    connection: Connection,
    id: u64,
    accept: BoxFuture<'static, Opened>,
    headerless: FuturesUnordered<BoxFuture<'static, Option<Stream>>>,
    open: Option<BoxFuture<'static, Result<Stream, SessionError>>>,
    /// All that is not a stream of the session; ends when the session does.
    life: BoxFuture<'static, SessionError>,
    ended: bool,
    /// Tells `life` to close the session.
    close: Option<oneshot::Sender<()>>,
    _place: Place,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("remote", &self.connection.remote_address())
            .field("headerless", &self.headerless.len())
            .finish_non_exhaustive()
    }
}

impl Session {
    fn new(
        connection: Connection,
        id: u64,
        life: impl FnOnce(oneshot::Receiver<()>) -> BoxFuture<'static, SessionError>,
        place: Place,
    ) -> Self {
        let (close, closed) = oneshot::channel();
        Self {
            accept: accept(connection.clone()).boxed(),
            headerless: FuturesUnordered::new(),
            open: None,
            life: life(closed),
            ended: false,
            close: Some(close),
            connection,
            id,
            _place: place,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Streams that are still held keep the connection otherwise. Without effect if it has ended.
        self.connection.close(code::quic(code::H3_NO_ERROR), b"");
    }
}

async fn accept(connection: Connection) -> Opened {
    connection.accept_bi().await
}

/// Reads the header of a stream of the peer; `None` where it is none of this session.
async fn accept_header(mut send: SendStream, mut recv: RecvStream, session: u64) -> Option<Stream> {
    let header = async { Some((read_varint(&mut recv).await?, read_varint(&mut recv).await?)) };
    let refusal = match tokio::time::timeout(HEADER_TIME, header).await {
        Ok(Some((WT_STREAM, id))) if id == session => return Some(Stream::new(send, recv)),
        Ok(Some((WT_STREAM, _))) => code::WT_BUFFERED_STREAM_REJECTED,
        // A further request, or a stream that was reset before its header came.
        Ok(_) | Err(_) => code::H3_REQUEST_REJECTED,
    };
    tracing::debug!(code = refusal, "stream refused");
    let _ = recv.stop(code::quic(refusal)); // an error if it was reset
    let _ = send.reset(code::quic(refusal)); // an error if it was stopped
    None
}

async fn open(connection: Connection, session: u64) -> Result<Stream, SessionError> {
    let (mut send, recv) = connection.open_bi().await?;
    let mut header = Vec::with_capacity(2 * varint::MAX_LEN);
    varint::write(&mut header, WT_STREAM);
    varint::write(&mut header, session);
    send.write_all(&header).await?;
    Ok(Stream::new(send, recv))
}

async fn read_varint(recv: &mut RecvStream) -> Option<u64> {
    let mut bytes = [0; varint::MAX_LEN];
    let (first, rest) = bytes.split_first_mut()?;
    recv.read_exact(std::slice::from_mut(first)).await.ok()?;
    recv.read_exact(rest.get_mut(..varint::len(*first) - 1)?).await.ok()?;
    varint::read(&bytes).map(|(value, _)| value)
}

impl StreamMuxer for Session {
    type Substream = Stream;
    type Error = SessionError;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, SessionError>> {
        let this = &mut *self;
        loop {
            match this.headerless.poll_next_unpin(cx) {
                Poll::Ready(Some(Some(stream))) => return Poll::Ready(Ok(stream)),
                Poll::Ready(Some(None)) => continue,
                Poll::Ready(None) | Poll::Pending => {}
            }
            if this.headerless.len() >= MAX_HEADERLESS {
                return Poll::Pending;
            }
            let opened = ready!(this.accept.poll_unpin(cx));
            this.accept = accept(this.connection.clone()).boxed();
            let (send, recv) = opened?;
            this.headerless.push(accept_header(send, recv, this.id).boxed());
        }
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, SessionError>> {
        let this = &mut *self;
        let opening = this.open.get_or_insert_with(|| open(this.connection.clone(), this.id).boxed());
        let stream = ready!(opening.poll_unpin(cx));
        this.open = None;
        Poll::Ready(stream)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        if let Some(close) = self.close.take() {
            let _ = close.send(()); // an error if the session has ended by itself
        }
        if !self.ended {
            ready!(self.life.poll_unpin(cx));
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, SessionError>> {
        if self.ended {
            return Poll::Ready(Err(SessionError::ClosedHere));
        }
        let error = ready!(self.life.poll_unpin(cx));
        self.ended = true;
        Poll::Ready(Err(error))
    }
}
