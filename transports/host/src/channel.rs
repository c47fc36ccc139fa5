//! A protocol stream shared by its two halves and by its connection's handler.
//!
//! The handler must know whether a stream has ended even while its owner does not read: a peer that closes a
//! stream and opens another at once is to get it. So the handler may read ahead, within a limit, until it meets
//! the end; the reader takes those bytes first.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use futures::{
    AsyncRead, AsyncWrite,
    task::{ArcWake, AtomicWaker, waker},
};
use tokio_util::sync::CancellationToken;

use crate::streams::Usage;

/// How far the handler reads ahead in search of the end: one window of yamux, so what a peer had sent before it
/// closed the stream without waiting for us. Held only while another stream of the connection waits.
const LOOK_AHEAD: usize = 256 * 1024;

/// Bytes taken from the stream at once; a frame of noise or yamux is no larger.
const CHUNK: usize = 16 * 1024;

/// The stream itself. The halves hold a [`Half`] each, the handler holds this.
#[derive(Debug)]
pub(crate) struct Channel {
    state: Mutex<State>,
    wakers: Arc<ReadWakers>,
    /// `wakers` as a waker, made once.
    read_waker: Waker,
    /// Tells the owner that the stream is over.
    ended: CancellationToken,
    /// Of the connection.
    usage: Arc<Usage>,
}

struct State {
    /// Gone once both halves are dropped.
    stream: Option<BoxedStream>,
    /// Read by the handler, not yet by the reader.
    ahead: BytesMut,
    /// How the peer's direction ended, once it has.
    end: Option<End>,
}

/// A stream of libp2p's, or in tests one of ours.
trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

type BoxedStream = Pin<Box<dyn Duplex>>;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("open", &self.stream.is_some())
            .field("ahead", &self.ahead.len())
            .field("end", &self.end)
            .finish()
    }
}

#[derive(Debug, Clone)]
enum End {
    Finished,
    Failed(io::ErrorKind, String),
}

/// The stream knows one reading task; two of ours may wait on it.
#[derive(Debug, Default)]
struct ReadWakers {
    reader: AtomicWaker,
    handler: AtomicWaker,
}

impl ArcWake for ReadWakers {
    fn wake_by_ref(this: &Arc<Self>) {
        this.reader.wake();
        this.handler.wake();
    }
}

impl Channel {
    /// Shares `stream`: one part for the handler, one for each half.
    pub(crate) fn share(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        usage: Arc<Usage>,
    ) -> (Arc<Self>, Half, Half) {
        usage.begin();
        let wakers = Arc::new(ReadWakers::default());
        let channel = Arc::new(Self {
            state: Mutex::new(State { stream: Some(Box::pin(stream)), ahead: BytesMut::new(), end: None }),
            read_waker: waker(wakers.clone()),
            wakers,
            ended: CancellationToken::new(),
            usage,
        });
        let ownership = Arc::new(Ownership(channel.clone()));
        (channel, Half(ownership.clone()), Half(ownership))
    }

    /// Cancelled when the stream is known to be over.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Whether both halves are gone; wakes the handler when they go.
    pub(crate) fn poll_released(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.wakers.handler.register(cx.waker());
        if self.state().stream.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Looks for the end of what the peer sends, reading ahead; wakes the handler when there may be more to see.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.wakers.handler.register(cx.waker());
        let mut chunk = [0; CHUNK];
        let mut state = self.state();
        loop {
            if state.end.is_some() || state.stream.is_none() {
                return Poll::Ready(());
            }
            if state.ahead.len() >= LOOK_AHEAD {
                return Poll::Pending; // until the reader has taken some
            }
            // An end shows as `end` in the next round.
            if let Ok(count @ 1..) = ready!(self.poll_stream(&mut state, &mut chunk)) {
                state.ahead.extend_from_slice(&chunk[..count]);
                self.wakers.reader.wake();
            }
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, chunk: &mut [u8]) -> Poll<io::Result<usize>> {
        self.wakers.reader.register(cx.waker());
        let mut state = self.state();
        if state.ahead.is_empty() {
            return self.poll_stream(&mut state, chunk);
        }
        let count = chunk.len().min(state.ahead.len());
        state.ahead.copy_to_slice(&mut chunk[..count]);
        if state.ahead.is_empty() {
            state.ahead = BytesMut::new();
        }
        self.wakers.handler.wake();
        Poll::Ready(Ok(count))
    }

    /// Reads from the stream itself and keeps its end. The caller has registered its waker.
    fn poll_stream(&self, state: &mut State, chunk: &mut [u8]) -> Poll<io::Result<usize>> {
        match &state.end {
            Some(End::Finished) => return Poll::Ready(Ok(0)),
            Some(End::Failed(kind, text)) => return Poll::Ready(Err(io::Error::new(*kind, text.clone()))),
            None => {}
        }
        let Some(stream) = state.stream.as_mut() else { return Poll::Ready(Ok(0)) };
        let mut cx = Context::from_waker(&self.read_waker);
        let result = ready!(stream.as_mut().poll_read(&mut cx, chunk));
        match &result {
            Ok(0) => state.end = Some(End::Finished),
            Ok(_) => self.usage.touch(),
            Err(error) => state.end = Some(End::Failed(error.kind(), error.to_string())),
        }
        Poll::Ready(result)
    }

    /// The lock is held for single polls only, never over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by both halves together; when the last goes, so does the stream.
#[derive(Debug)]
struct Ownership(Arc<Channel>);

impl Drop for Ownership {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.ahead = BytesMut::new();
        let stream = state.stream.take();
        drop(state);
        drop(stream);
        self.0.usage.end();
        self.0.ended.cancel();
        self.0.wakers.handler.wake();
    }
}

/// The part of a channel that a reader or a writer holds.
#[derive(Debug, Clone)]
pub(crate) struct Half(Arc<Ownership>);

impl Half {
    /// Takes what has arrived, at most one chunk, and passes it to `take`; 0 is the end.
    pub(crate) fn poll_chunk(
        &self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        let mut chunk = [0; CHUNK];
        let count = ready!(self.0.0.poll_read(cx, &mut chunk))?;
        take(&chunk[..count]);
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with_stream(|stream| stream.poll_write(cx, bytes))
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_stream(|stream| stream.poll_flush(cx))
    }

    pub(crate) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_stream(|stream| stream.poll_close(cx))
    }

    fn with_stream<T>(
        &self,
        act: impl FnOnce(Pin<&mut dyn Duplex>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match self.0.0.state().stream.as_mut() {
            Some(stream) => act(stream.as_mut()),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::FutureExt;
    use tokio::io::AsyncWriteExt;
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;

    /// A channel over memory, and the peer's end of it.
    fn channel(room: usize) -> (Arc<Channel>, Half, Half, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(room);
        let (channel, reader, writer) = Channel::share(ours.compat(), Arc::default());
        (channel, reader, writer, theirs)
    }

    fn end_is_seen(channel: &Channel) -> bool {
        poll_fn(|cx| channel.poll_end(cx)).now_or_never().is_some()
    }

    async fn read_all(reader: &Half) -> Vec<u8> {
        let mut all = Vec::new();
        while poll_fn(|cx| reader.poll_chunk(cx, |bytes| all.extend_from_slice(bytes))).await.expect("read")
            > 0
        {}
        all
    }

    #[tokio::test]
    async fn end_is_seen_ahead_of_the_reader_and_nothing_is_lost() {
        let (channel, reader, _writer, mut peer) = channel(100_000);
        peer.write_all(&[1; 50_000]).await.expect("room");
        assert!(!end_is_seen(&channel));
        peer.write_all(&[2; 10_000]).await.expect("room");
        drop(peer);

        assert!(end_is_seen(&channel));

        let all = read_all(&reader).await;
        assert_eq!(all, [vec![1; 50_000], vec![2; 10_000]].concat());
        assert!(end_is_seen(&channel), "the end stays");
    }

    #[tokio::test]
    async fn look_ahead_is_bounded_and_goes_on_when_the_reader_does() {
        let (channel, reader, _writer, mut peer) = channel(4 * LOOK_AHEAD);
        peer.write_all(&vec![0; 2 * LOOK_AHEAD]).await.expect("room");
        drop(peer);

        assert!(!end_is_seen(&channel));
        assert!(channel.state().ahead.len() < LOOK_AHEAD + CHUNK);

        let seen = tokio::spawn({
            let channel = channel.clone();
            async move { poll_fn(|cx| channel.poll_end(cx)).await }
        });
        assert_eq!(read_all(&reader).await.len(), 2 * LOOK_AHEAD);
        seen.await.expect("woken by the reader's progress");
    }

    #[tokio::test]
    async fn reader_and_handler_are_both_woken() {
        let (channel, reader, _writer, mut peer) = channel(100);
        let reading = tokio::spawn(async move { read_all(&reader).await });
        let watching = tokio::spawn({
            let channel = channel.clone();
            async move { poll_fn(|cx| channel.poll_end(cx)).await }
        });
        tokio::task::yield_now().await;

        peer.write_all(&[7; 10]).await.expect("room");
        drop(peer);

        watching.await.expect("woken");
        assert_eq!(reading.await.expect("woken"), [7; 10]);
    }

    #[tokio::test]
    async fn place_is_free_when_both_halves_are_gone() {
        let (channel, reader, writer, _peer) = channel(100);
        let released = || poll_fn(|cx| channel.poll_released(cx)).now_or_never().is_some();

        drop(reader);
        assert!(!released());
        assert!(channel.usage.has_streams());
        drop(writer);

        assert!(released());
        assert!(!channel.usage.has_streams());
        assert!(channel.ended().is_cancelled());
    }
}
