//! The bytes that a WebSocket carries: each message as it comes, one message for each write.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{
    AsyncRead, AsyncWrite, FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream, stream::BoxStream,
};
use soketto::{
    Incoming,
    connection::{Builder, Error, Sender},
};

use super::{Asking, MAX_FRAME};

/// Bytes to a peer and from it.
pub(crate) struct Carried {
    incoming: BoxStream<'static, io::Result<Vec<u8>>>,
    unread: io::Cursor<Vec<u8>>,
    outgoing: Outgoing,
}

enum Outgoing {
    Idle(Box<Sender<Asking>>),
    /// A message is on its way.
    Busy(BoxFuture<'static, Result<Box<Sender<Asking>>, Error>>),
    Closing(BoxFuture<'static, Result<(), Error>>),
    Over,
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").finish_non_exhaustive()
    }
}

impl Carried {
    pub(super) fn new(builder: Builder<Asking>) -> Self {
        let (sender, receiver) = builder.finish();
        let incoming = stream::try_unfold(receiver, |mut receiver| async move {
            let mut message = Vec::new();
            loop {
                match receiver.receive(&mut message).await {
                    Ok(Incoming::Data(_)) => return Ok(Some((message, receiver))),
                    Ok(Incoming::Pong(_)) if message.is_empty() => {}
                    // soketto has forgotten the message's kind and length; we never ask for a pong.
                    Ok(Incoming::Pong(_)) => {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "a pong within a message"));
                    }
                    Ok(Incoming::Closed(_)) | Err(Error::Closed) => return Ok(None),
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
        });
        Self {
            incoming: incoming.boxed(),
            unread: io::Cursor::default(),
            outgoing: Outgoing::Idle(Box::new(sender)),
        }
    }

    /// Waits for the message that is on its way.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Outgoing::Busy(sending) = &mut self.outgoing {
            match ready!(sending.poll_unpin(cx)) {
                Ok(sender) => self.outgoing = Outgoing::Idle(sender),
                Err(error) => {
                    self.outgoing = Outgoing::Over;
                    return Poll::Ready(Err(io::Error::other(error)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Carried {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let length = io::Read::read(&mut self.unread, buf)?;
            if length > 0 || buf.is_empty() {
                return Poll::Ready(Ok(length));
            }
            self.unread = io::Cursor::default(); // nothing of it is held while the next one is waited for
            match ready!(self.incoming.try_poll_next_unpin(cx)?) {
                Some(message) => self.unread = io::Cursor::new(message),
                None => return Poll::Ready(Ok(0)),
            }
        }
    }
}

impl AsyncWrite for Carried {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(cx))?;
        match std::mem::replace(&mut self.outgoing, Outgoing::Over) {
            Outgoing::Idle(mut sender) => {
                let length = buf.len().min(MAX_FRAME);
                let mut message = buf[..length].to_vec();
                let sending = async move {
                    sender.send_binary_mut(&mut message).await?;
                    sender.flush().await?;
                    Ok(sender)
                };
                self.outgoing = Outgoing::Busy(sending.boxed());
                Poll::Ready(Ok(length))
            }
            other => {
                self.outgoing = other;
                Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        match std::mem::replace(&mut self.outgoing, Outgoing::Over) {
            Outgoing::Idle(mut sender) => {
                self.outgoing = Outgoing::Closing(async move { sender.close().await }.boxed());
            }
            other => self.outgoing = other,
        }
        if let Outgoing::Closing(closing) = &mut self.outgoing {
            let closed = ready!(closing.poll_unpin(cx));
            self.outgoing = Outgoing::Over;
            // Where the peer was faster there is nothing left to close.
            if let Err(error) = closed
                && !matches!(error, Error::Closed)
            {
                return Poll::Ready(Err(io::Error::other(error)));
            }
        }
        Poll::Ready(Ok(()))
    }
}
