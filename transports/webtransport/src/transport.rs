//! The transport: listeners, and the certificate that all of them show.

use std::{
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll, Waker},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::SelectAll};
use libp2p_core::{
    multiaddr::Multiaddr,
    transport::{DialOpts, ListenerId, TransportError, TransportEvent},
};
use libp2p_identity::PeerId;
use libp2p_noise as noise;
use rustls::{
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{
    address::{self, Kind},
    certificate::{Certhash, Rotation},
    config::{Config, Limits},
    error::Error,
    gate::{Gate, GateReport},
    listener::{Listener, Upgrade},
    quic::ServerCrypto,
    session::{Session, unidirectional},
};

/// The protocol in TLS.
const ALPN: &[u8] = b"h3";

/// Datagrams of a connection that are kept, in bytes. Nobody reads them; clients want them to be possible.
const DATAGRAMS: usize = 4 << 10;

/// Packets of a client that are kept until its handshake begins, in bytes; and of all clients.
const MAX_EARLY: u64 = 16 << 10;
const MAX_EARLY_OF_ALL: u64 = 4 << 20;

/// Streams of the client that are not libp2p's: CONNECT, and the one that Noise runs on.
const OTHER_STREAMS: u32 = 2;

/// libp2p's WebTransport, listening side. Needs a tokio runtime.
///
/// It yields `(PeerId, Session)`: who the peer is, and the muxer. No further upgrade is needed or possible.
pub struct Transport {
    config: Config,
    noise: noise::Config,
    quic: quinn::ServerConfig,
    gate: Gate,
    served: Arc<Served>,
    listeners: SelectAll<Listener>,
    roll: BoxFuture<'static, ()>,
    waker: Option<Waker>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("config", &self.config)
            .field("listeners", &self.listeners.len())
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// A transport without listeners.
    ///
    /// # Errors
    /// If Noise refuses the identity, or TLS the certificate.
    pub fn new(config: Config) -> Result<Self, Error> {
        let noise = noise::Config::new(&config.identity).map_err(Error::Identity)?;
        let rotation = config.certificates.rotation(config.clock.now())?;
        let roll = config.clock.until(rotation.ends);
        let served = Arc::new(Served(RwLock::new(Arc::new(rotation))));
        let quic = quic(Arc::clone(&served), &config.limits)?;
        Ok(Self {
            noise,
            quic,
            gate: Gate::new(config.limits),
            served,
            listeners: SelectAll::new(),
            roll,
            waker: None,
            config,
        })
    }

    /// Tells what holds now, also once the transport has gone into a swarm.
    pub fn handle(&self) -> Handle {
        Handle { gate: self.gate.clone(), served: Arc::clone(&self.served) }
    }

    /// Rolls the certificate as often as the clock says.
    fn poll_roll(&mut self, cx: &mut Context<'_>) {
        while self.roll.poll_unpin(cx).is_ready() {
            let now = self.config.clock.now();
            let mut ends = self.served.rotation().ends;
            if self.config.certificates.window(now) != self.served.rotation().window {
                match self.config.certificates.rotation(now) {
                    Ok(rotation) => {
                        ends = rotation.ends;
                        self.show(Arc::new(rotation));
                    }
                    Err(error) => tracing::error!(%error, "the certificate cannot be rolled"),
                }
            }
            self.roll = if ends > now {
                self.config.clock.until(ends)
            } else {
                std::future::pending().boxed() // at the end of the calendar
            };
        }
    }

    fn show(&mut self, rotation: Arc<Rotation>) {
        tracing::debug!(window = ?rotation.window, "certificate rolled");
        self.served.show(Arc::clone(&rotation));
        for listener in self.listeners.iter_mut() {
            listener.roll(&rotation);
        }
    }
}

impl libp2p_core::Transport for Transport {
    type Output = (PeerId, Session);
    type Error = Error;
    type ListenerUpgrade = Upgrade;
    type Dial = std::future::Pending<Result<Self::Output, Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Error>> {
        let socket = match address::kind(&address) {
            Kind::Listen(socket) => socket,
            Kind::Dial => return Err(TransportError::Other(Error::CerthashInListenAddress)),
            Kind::Other => return Err(TransportError::MultiaddrNotSupported(address)),
        };
        let listener = Listener::new(
            id,
            socket,
            self.quic.clone(),
            self.served.rotation(),
            self.noise.clone(),
            (self.config.limits, self.gate.clone()),
        )
        .map_err(TransportError::Other)?;
        self.listeners.push(listener);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let listener = self.listeners.iter_mut().find(|listener| listener.id() == id);
        listener.map(Listener::close).is_some()
    }

    /// Always an error: [`Error::DialingUnsupported`] for addresses of WebTransport, and for others the one
    /// that lets another transport try.
    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<Error>> {
        match address::kind(&address) {
            Kind::Listen(_) | Kind::Dial => Err(TransportError::Other(Error::DialingUnsupported)),
            Kind::Other => Err(TransportError::MultiaddrNotSupported(address)),
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Error>> {
        self.poll_roll(cx);
        if let Poll::Ready(Some(event)) = self.listeners.poll_next_unpin(cx) {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Tells what holds now in a [`Transport`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    gate: Gate,
    served: Arc<Served>,
}

impl Handle {
    /// How full it is.
    pub fn report(&self) -> GateReport {
        self.gate.report()
    }

    /// The hashes in an address: of the certificate that is served, and of the one after it.
    pub fn certhashes(&self) -> [Certhash; 2] {
        self.served.rotation().announced
    }

    /// An address of ours that ends in `/webtransport`, with the hashes; `None` if it does not.
    ///
    /// Peers observe our address without them, and without them nobody can dial it.
    pub fn complete(&self, address: &Multiaddr) -> Option<Multiaddr> {
        address::complete(address, &self.certhashes())
    }
}

/// The certificate that TLS shows to clients.
#[derive(Debug)]
struct Served(RwLock<Arc<Rotation>>);

impl Served {
    fn rotation(&self) -> Arc<Rotation> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, rotation: Arc<Rotation>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rotation;
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.rotation().served))
    }
}

fn quic(served: Arc<Served>, limits: &Limits) -> Result<quinn::ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(served);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed connection would not look at the certificate again.
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.streams.saturating_add(OTHER_STREAMS).into())
        .max_concurrent_uni_streams(unidirectional::MAX_STREAMS.into())
        .stream_receive_window(limits.stream_window.into())
        .receive_window(limits.connection_window.into())
        .send_window(limits.send_window)
        .datagram_receive_buffer_size(Some(DATAGRAMS))
        .datagram_send_buffer_size(0)
        .max_idle_timeout(limits.idle.try_into().ok())
        .keep_alive_interval(limits.keep_alive);
    let mut quic = quinn::ServerConfig::with_crypto(Arc::new(ServerCrypto::new(tls)?));
    quic.transport_config(Arc::new(transport))
        .migration(false) // a swarm counts a connection by the address it came from
        .max_incoming(limits.handshakes)
        .incoming_buffer_size(MAX_EARLY)
        .incoming_buffer_size_total(MAX_EARLY_OF_ALL);
    Ok(quic)
}
