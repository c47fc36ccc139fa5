//! One listener: the addresses it announces, and the clients that its endpoint lets in.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use futures::{FutureExt, Stream, future::BoxFuture};
use if_watch::{IfEvent, tokio::IfWatcher};
use libp2p_core::{
    multiaddr::{Multiaddr, Protocol},
    transport::{ListenerId, TransportEvent},
};
use libp2p_identity::PeerId;
use socket2::{Domain, Protocol as SocketProtocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
};

use crate::{
    address,
    certificate::Certhash,
    config::Limits,
    endpoint::{Incoming, Parts, Shown, serve},
    error::Error,
    gate::Gate,
    machine::Terms,
    session::{Session, establish},
};

/// A handshake under way.
pub(crate) type Upgrade = BoxFuture<'static, Result<(PeerId, Session), Error>>;

pub(crate) type Event = TransportEvent<Upgrade, Error>;

/// Bytes that the socket is asked to hold, each way. The system may give less.
const SOCKET_BUFFER: usize = 1 << 20;

pub(crate) struct Listener {
    id: ListenerId,
    bound: SocketAddr,
    hash: Certhash,
    shown: Shown,
    limits: Limits,
    /// For a socket that is bound to all addresses.
    interfaces: Option<IfWatcher>,
    /// Addresses of the machine that are announced.
    announced: BTreeSet<IpAddr>,
    incoming: mpsc::Receiver<Incoming>,
    /// Tells the endpoint; it goes when this is dropped, too.
    closing: watch::Sender<bool>,
    closed: bool,
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

impl Listener {
    pub(crate) fn new(
        id: ListenerId,
        address: SocketAddr,
        hash: Certhash,
        shown: Shown,
        terms: Terms,
        (limits, gate): (Limits, Gate),
    ) -> Result<Self, Error> {
        let socket = socket(address).map_err(Error::Socket)?;
        let bound = socket.local_addr().map_err(Error::Socket)?;
        let interfaces = if bound.ip().is_unspecified() {
            Some(IfWatcher::new().map_err(Error::Interfaces)?)
        } else {
            None
        };
        let (tell, incoming) = mpsc::channel(limits.handshakes.max(1));
        let (closing, closed) = watch::channel(false);
        tokio::spawn(serve(Parts { socket, terms, limits, gate, incoming: tell, closed }));
        let mut listener = Self {
            id,
            bound,
            hash,
            shown,
            limits,
            interfaces,
            announced: BTreeSet::new(),
            incoming,
            closing,
            closed: false,
            events: VecDeque::new(),
            waker: None,
        };
        if listener.interfaces.is_none() {
            listener.appear(bound.ip());
        }
        Ok(listener)
    }

    pub(crate) fn id(&self) -> ListenerId {
        self.id
    }

    /// Lets nobody in any more. Who is in stays; the socket goes with the last of them.
    pub(crate) fn close(&mut self) {
        self.end(Ok(()));
    }

    fn end(&mut self, reason: Result<(), Error>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.closing.send_replace(true);
        for ip in std::mem::take(&mut self.announced) {
            let listen_addr = self.address(ip);
            self.events.push_back(Event::AddressExpired { listener_id: self.id, listen_addr });
        }
        self.events.push_back(Event::ListenerClosed { listener_id: self.id, reason });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn address(&self, ip: IpAddr) -> Multiaddr {
        address::without_hash(SocketAddr::new(ip, self.bound.port())).with(Protocol::Certhash(self.hash))
    }

    fn appear(&mut self, ip: IpAddr) {
        if ip.is_ipv4() == self.bound.is_ipv4() && self.announced.insert(ip) {
            let listen_addr = self.address(ip);
            self.events.push_back(Event::NewAddress { listener_id: self.id, listen_addr });
        }
    }

    fn vanish(&mut self, ip: IpAddr) {
        if self.announced.remove(&ip) {
            let listen_addr = self.address(ip);
            self.events.push_back(Event::AddressExpired { listener_id: self.id, listen_addr });
        }
    }

    /// Ready when something was put among the events.
    fn poll_interfaces(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(interfaces) = &mut self.interfaces else { return Poll::Pending };
        match ready!(interfaces.poll_if_event(cx)) {
            Ok(IfEvent::Up(net)) => self.appear(net.addr()),
            Ok(IfEvent::Down(net)) => self.vanish(net.addr()),
            Err(error) => {
                let error = Error::Interfaces(error);
                self.events.push_back(Event::ListenerError { listener_id: self.id, error });
            }
        }
        Poll::Ready(())
    }

    /// Ready when something was put among the events.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(Incoming { session, from }) = ready!(self.incoming.poll_recv(cx)) else {
            self.end(Err(Error::Socket(io::ErrorKind::NotConnected.into())));
            return Poll::Ready(());
        };
        let Shown { noise, digest } = self.shown.clone();
        let upgrade = establish(session, noise, digest, self.limits).map(|result| Ok(result?)).boxed();
        self.events.push_back(Event::Incoming {
            listener_id: self.id,
            upgrade,
            local_addr: self.address(self.bound.ip()),
            send_back_addr: address::without_hash(from),
        });
        Poll::Ready(())
    }
}

impl Stream for Listener {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            if this.closed {
                return Poll::Ready(None);
            }
            if this.poll_interfaces(cx).is_pending() && this.poll_incoming(cx).is_pending() {
                this.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(SocketProtocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // so that the same port can be had for IPv4
    }
    // Best effort: with less, more is sent again.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
