//! A stream of libp2p.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use quinn::{RecvStream, SendStream};

use crate::http3::code;

/// One bidirectional stream of a session.
///
/// Dropped without being closed, its sending side ends as if it were closed, as that of libp2p's QUIC does;
/// what is not read is no longer wanted.
#[derive(Debug)]
pub struct Stream {
    send: SendStream,
    recv: RecvStream,
}

impl Stream {
    pub(super) fn new(send: SendStream, recv: RecvStream) -> Self {
        Self { send, recv }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // An error where all was read. The code must be WebTransport's: receivers cannot convert a plain 0.
        let _ = self.recv.stop(code::quic(code::WT_ZERO));
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        AsyncRead::poll_read(Pin::new(&mut self.recv), cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.send.finish(); // an error where it was finished or reset before
        Poll::Ready(Ok(()))
    }
}
