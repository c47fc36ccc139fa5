//! One listener: its socket, the addresses it announces, and who is let in.

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use futures::{FutureExt, Stream, future::BoxFuture};
use if_watch::{IfEvent, tokio::IfWatcher};
use libp2p_core::{
    multiaddr::Multiaddr,
    transport::{ListenerId, TransportEvent},
};
use libp2p_identity::PeerId;
use libp2p_noise as noise;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use crate::{
    address,
    certificate::Rotation,
    config::Limits,
    error::Error,
    gate::{Gate, Verdict},
    session::{
        Session,
        handshake::{Terms, establish},
    },
};

/// A handshake under way.
pub(crate) type Upgrade = BoxFuture<'static, Result<(PeerId, Session), Error>>;

pub(crate) type Event = TransportEvent<Upgrade, Error>;

/// Clients turned away in a row before others get their turn.
const MAX_REFUSALS: usize = 64;

pub(crate) struct Listener {
    id: ListenerId,
    endpoint: quinn::Endpoint,
    bound: SocketAddr,
    /// For a socket that is bound to all addresses.
    interfaces: Option<IfWatcher>,
    /// Addresses of the machine that are announced.
    announced: BTreeSet<IpAddr>,
    rotation: Arc<Rotation>,
    noise: noise::Config,
    limits: Limits,
    gate: Gate,
    accept: BoxFuture<'static, Option<quinn::Incoming>>,
    events: VecDeque<Event>,
    closed: bool,
    ending: watch::Sender<bool>,
    waker: Option<Waker>,
}

impl Listener {
    pub(crate) fn new(
        id: ListenerId,
        address: SocketAddr,
        quic: quinn::ServerConfig,
        rotation: Arc<Rotation>,
        noise: noise::Config,
        (limits, gate): (Limits, Gate),
    ) -> Result<Self, Error> {
        let socket = socket(address).map_err(Error::Socket)?;
        let endpoint = quinn::Endpoint::new(
            quinn::EndpointConfig::default(),
            Some(quic),
            socket,
            Arc::new(quinn::TokioRuntime),
        )
        .map_err(Error::Socket)?;
        let bound = endpoint.local_addr().map_err(Error::Socket)?;
        let interfaces = if bound.ip().is_unspecified() {
            Some(IfWatcher::new().map_err(Error::Interfaces)?)
        } else {
            None
        };
        let mut listener = Self {
            id,
            accept: accept(endpoint.clone()),
            endpoint,
            bound,
            announced: BTreeSet::new(),
            rotation,
            noise,
            limits,
            gate,
            events: VecDeque::new(),
            closed: false,
            ending: watch::Sender::new(false),
            waker: None,
            interfaces,
        };
        if listener.interfaces.is_none() {
            listener.appear(bound.ip());
        }
        Ok(listener)
    }

    pub(crate) fn id(&self) -> ListenerId {
        self.id
    }

    /// Shows the certificate of another window: its addresses first, then the end of the old ones.
    pub(crate) fn roll(&mut self, rotation: &Arc<Rotation>) {
        let old = std::mem::replace(&mut self.rotation, Arc::clone(rotation));
        if self.closed || old.announced == rotation.announced {
            return;
        }
        let ips: Vec<_> = self.announced.iter().copied().collect();
        for ip in &ips {
            let listen_addr = self.address(*ip);
            self.events.push_back(Event::NewAddress { listener_id: self.id, listen_addr });
        }
        for ip in ips {
            let listen_addr = self.address_of(ip, &old);
            self.events.push_back(Event::AddressExpired { listener_id: self.id, listen_addr });
        }
        self.wake();
    }

    /// Lets nobody in any more and tells those who are in. They stay; the socket goes with the last of them.
    pub(crate) fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.endpoint.set_server_config(None);
        self.ending.send_replace(true);
        for ip in std::mem::take(&mut self.announced) {
            let listen_addr = self.address(ip);
            self.events.push_back(Event::AddressExpired { listener_id: self.id, listen_addr });
        }
        self.events.push_back(Event::ListenerClosed { listener_id: self.id, reason: Ok(()) });
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn address(&self, ip: IpAddr) -> Multiaddr {
        self.address_of(ip, &self.rotation)
    }

    fn address_of(&self, ip: IpAddr, rotation: &Rotation) -> Multiaddr {
        let base = address::without_hashes(SocketAddr::new(ip, self.bound.port()));
        address::with_hashes(base, &rotation.announced)
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

    /// Ready when somebody came; among the events if he was let in.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(incoming) = ready!(self.accept.poll_unpin(cx)) else {
            self.close();
            return Poll::Ready(());
        };
        self.accept = accept(self.endpoint.clone());
        let remote = incoming.remote_address();
        let validated = incoming.remote_address_validated() || !incoming.may_retry();
        match self.gate.judge(remote.ip(), validated) {
            Verdict::Accept(place) => {
                let ip = incoming.local_ip().unwrap_or_else(|| self.bound.ip());
                let local_addr = self.address(ip.to_canonical());
                let terms = Terms {
                    noise: self.noise.clone().with_webtransport_certhashes(self.rotation.confirmed.clone()),
                    limits: self.limits,
                    ending: self.ending.subscribe(),
                };
                let upgrade = establish(incoming, terms, place).map(|result| Ok(result?)).boxed();
                self.events.push_back(Event::Incoming {
                    listener_id: self.id,
                    upgrade,
                    local_addr,
                    send_back_addr: address::without_hashes(remote),
                });
            }
            Verdict::Retry => {
                if let Err(error) = incoming.retry() {
                    tracing::debug!(%error, "cannot ask a client for its address");
                }
            }
            Verdict::Refuse(full) => {
                tracing::debug!(%full, "client refused");
                incoming.refuse();
            }
        }
        Poll::Ready(())
    }
}

impl Stream for Listener {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        for _ in 0..MAX_REFUSALS {
            if let Some(event) = this.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            if this.closed {
                return Poll::Ready(None);
            }
            if this.poll_interfaces(cx).is_ready() {
                continue;
            }
            if this.poll_accept(cx).is_pending() {
                this.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn accept(endpoint: quinn::Endpoint) -> BoxFuture<'static, Option<quinn::Incoming>> {
    async move { endpoint.accept().await }.boxed()
}

fn socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // so that the same port can be had for IPv4
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
