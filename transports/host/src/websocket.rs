//! WebSockets within limits, on soketto, which libp2p-websocket uses, too.
//!
//! libp2p-websocket 0.46 does not bound what a server that it dials announces (one header of ten bytes makes room for
//! 256 MiB), nor its answer to the request. And soketto 0.8 forgets how long a message is so far when a pong comes into
//! it, whereupon a message without end is kept without limit. Here both have one.

mod carried;
mod dialing;
mod listening;

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::Multiaddr;
use soketto::connection::Builder;

pub(crate) use self::{
    carried::Carried,
    dialing::{Dialing, connector},
    listening::Listening,
};

/// Largest frame, and largest message, in bytes.
pub(crate) const MAX_FRAME: usize = 1024 * 1024;

/// Longest request for a WebSocket and longest answer to it, in bytes; most have some hundred.
const MAX_REQUEST: usize = 16 * 1024;

/// Why no WebSocket came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebSocketError<E: std::error::Error + 'static> {
    #[error(transparent)]
    Beneath(E),
    #[error("{0} is no address of a WebSocket")]
    Address(Multiaddr),
    #[error("TLS")]
    Tls(#[source] io::Error),
    #[error("request for a WebSocket")]
    Handshake(#[from] soketto::handshake::Error),
    #[error("the request for a WebSocket was answered with status {0}")]
    Status(u16),
}

/// A stream of bytes, whatever it is made of.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytes for S {}

/// A stream of which only so much is read until there is a WebSocket.
struct Asking {
    stream: Box<dyn Bytes>,
    left: Arc<AtomicUsize>,
}

impl Asking {
    /// The stream, and what lifts its limit.
    fn new(stream: Box<dyn Bytes>) -> (Self, Agreed) {
        let left = Arc::new(AtomicUsize::new(MAX_REQUEST));
        (Self { stream, left: Arc::clone(&left) }, Agreed(left))
    }
}

/// Lifts the limit of a request.
struct Agreed(Arc<AtomicUsize>);

impl Agreed {
    /// There is a WebSocket: what it carries.
    fn carry(self, mut builder: Builder<Asking>) -> Carried {
        self.0.store(usize::MAX, Ordering::Relaxed);
        builder.set_max_frame_size(MAX_FRAME);
        builder.set_max_message_size(MAX_FRAME);
        Carried::new(builder)
    }
}

impl AsyncRead for Asking {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            let reason = format!("the request or its answer is longer than {MAX_REQUEST} bytes");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        let most = buf.len().min(left);
        let length = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf[..most]))?;
        if left != usize::MAX {
            self.left.store(left.saturating_sub(length), Ordering::Relaxed);
        }
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Asking {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests;
