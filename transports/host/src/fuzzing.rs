//! What a stranger's bytes reach first, for fuzz targets. Not part of the interface.

use std::{
    fmt, future, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite, FutureExt, TryFutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent},
    },
    identity::Keypair,
};

use crate::{
    HostLimits, punching,
    rendezvous::{Request, Response},
    stack, websocket,
};

/// Bytes of the largest WebSocket frame, and of the largest message, that is taken.
pub const MAX_WEBSOCKET_FRAME: usize = websocket::MAX_FRAME;

/// Where the streams seem to come from.
const ADDRESS: &str = "/ip4/192.0.2.1/tcp/1";

/// A stream of a stranger.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// A peer that has shown who it is.
pub type Peer = (PeerId, StreamMuxerBox);

/// The stream that frames carry.
pub type Carried = Box<dyn Stream>;

/// A WebSocket listener set up as the host's, on streams that are handed to it.
pub struct WebSockets<S, O> {
    transport: Boxed<O>,
    next: Arc<Mutex<Option<S>>>,
}

impl<S, O> fmt::Debug for WebSockets<S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSockets").finish_non_exhaustive()
    }
}

impl<S: Stream, O: 'static> WebSockets<S, O> {
    fn listen(next: Arc<Mutex<Option<S>>>, mut transport: Boxed<O>) -> Self {
        let address = format!("{ADDRESS}/ws").parse().expect("the address is a constant");
        transport.listen_on(ListenerId::next(), address).expect("a WebSocket is listened on");
        Self { transport, next }
    }

    /// What becomes of `stream`, up to where the listener hands it on.
    pub fn accept(&mut self, stream: S) -> BoxFuture<'static, Result<O, String>> {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        let mut cx = Context::from_waker(futures::task::noop_waker_ref());
        match Pin::new(&mut self.transport).poll(&mut cx) {
            Poll::Ready(TransportEvent::Incoming { upgrade, .. }) => {
                upgrade.map_err(|error| error.to_string()).boxed()
            }
            other => panic!("no connection comes in: {other:?}"),
        }
    }
}

/// WebSockets as far as their frames go: gives the stream that they carry.
pub fn websocket_frames<S: Stream>() -> WebSockets<S, Carried> {
    let next = Arc::default();
    let transport = websocket::Listening::new(Streams::new(&next));
    let boxed = transport.map(|stream, _| Box::new(stream) as Carried).boxed();
    WebSockets::listen(next, boxed)
}

/// WebSockets with all that is on them: gives who the peer is.
pub fn websocket_peers<S: Stream>() -> WebSockets<S, Peer> {
    let next = Arc::default();
    let keypair = Keypair::ed25519_from_bytes([7; 32]).expect("32 bytes are a key");
    let limits = HostLimits::default();
    let transport = stack::websocket_listeners(Streams::new(&next), &keypair, &limits);
    WebSockets::listen(next, transport.expect("noise is set up"))
}

/// Reads a message of `/libp2p/dcutr`; what was read is written so that it is read alike.
pub fn punching_message(bytes: &[u8]) {
    if let Some(written) = punching::read_again(bytes) {
        assert_eq!(punching::read_again(&written), Some(written));
    }
}

/// Reads what a rendezvous point is asked, and what it answers with at most `most` registrations.
pub fn rendezvous_message(bytes: &[u8], most: usize) {
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    if let Ok(response) = Response::decode(bytes, most) {
        assert_eq!(Response::decode(&response.encode(), most), Ok(response));
    }
}

/// Takes the stream that is put in for a connection.
struct Streams<S> {
    next: Arc<Mutex<Option<S>>>,
    listener: Option<ListenerId>,
}

impl<S> Streams<S> {
    fn new(next: &Arc<Mutex<Option<S>>>) -> Self {
        Self { next: Arc::clone(next), listener: None }
    }
}

impl<S: Stream> Transport for Streams<S> {
    type Output = S;
    type Error = io::Error;
    type ListenerUpgrade = future::Ready<io::Result<S>>;
    type Dial = future::Pending<io::Result<S>>;

    fn listen_on(&mut self, id: ListenerId, _: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.listener = Some(id);
        Ok(())
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(stream), Some(listener_id)) = (next, self.listener) else { return Poll::Pending };
        let address: Multiaddr = ADDRESS.parse().expect("the address is a constant");
        Poll::Ready(TransportEvent::Incoming {
            listener_id,
            upgrade: future::ready(Ok(stream)),
            local_addr: address.clone(),
            send_back_addr: address,
        })
    }
}
