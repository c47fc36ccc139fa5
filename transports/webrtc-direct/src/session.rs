//! A session: the muxer of a connection, whose streams are data channels; and how a client gets one.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p_core::{
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::OutboundConnectionUpgrade,
};
use libp2p_identity::PeerId;
use libp2p_noise as noise;

use crate::{
    certificate::prologue,
    channels::Key,
    config::Limits,
    connection::Connection,
    error::{HandshakeError, SessionError},
};

/// The name of Noise, which is not negotiated here.
const NOISE: &str = "/noise";

/// The muxer of a connection: each data channel is a stream of libp2p.
pub struct Session(Arc<Connection>);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("remote", &self.0.remote()).finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.0.close(); // without effect if it has ended
    }
}

/// Waits for DTLS and SCTP, and asks the client who it is.
pub(crate) async fn establish(
    session: Session,
    noise: noise::Config,
    digest: [u8; 32],
    limits: Limits,
) -> Result<(PeerId, Session), HandshakeError> {
    let agree = async {
        let key = poll_fn(|cx| session.0.poll_established(cx)).await?;
        let stream = Stream { connection: Arc::clone(&session.0), key };
        let client = session.0.fingerprint().ok_or(HandshakeError::NoCertificate)?;
        let noise = noise.with_prologue(prologue(&client, &digest));
        // The server begins: with DTLS 1.2 it is the one that can send first.
        let (peer, secured) = noise.upgrade_outbound(stream, NOISE).await?;
        drop(secured); // DTLS seals the streams; the channel closes once Noise's last message is there
        Ok::<_, HandshakeError>(peer)
    };
    let limit = limits.handshake_time;
    let peer = tokio::time::timeout(limit, agree).await.map_err(|_| HandshakeError::Timeout(limit))??;
    session.0.establish();
    Ok((peer, session))
}

impl Session {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self(connection)
    }

    fn stream(&self, key: Key) -> Stream {
        Stream { connection: Arc::clone(&self.0), key }
    }
}

impl StreamMuxer for Session {
    type Substream = Stream;
    type Error = SessionError;

    fn poll_inbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, SessionError>> {
        let key = ready!(self.0.poll_accept(cx))?;
        Poll::Ready(Ok(self.stream(key)))
    }

    fn poll_outbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, SessionError>> {
        let key = ready!(self.0.poll_open(cx))?;
        Poll::Ready(Ok(self.stream(key)))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        self.0.close();
        Poll::Ready(Ok(()))
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, SessionError>> {
        let error = ready!(self.0.poll_end(cx));
        Poll::Ready(Err(error))
    }
}

/// One data channel of a session.
///
/// Dropped without being closed, its sending side ends as if it were closed, as that of libp2p's QUIC does;
/// what is not read is no longer wanted.
pub struct Stream {
    connection: Arc<Connection>,
    key: Key,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.release(self.key);
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.connection.poll_read(self.key, cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.connection.poll_write(self.key, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // the connection's task sends at once
    }

    /// Sends that nothing more comes. The peer's confirmation is waited for by the channel, not by the caller.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.connection.end_sending(self.key))
    }
}
