//! Both stacks together: started, dialed from, shut down.

mod reaching;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use causeway_host::{
    DialGuard, Discovered, Host, HostConfig, HostError, Listen, Lists, ReachConfig, RendezvousError,
    RendezvousLimits, Rules,
};
use causeway_wire::{Capability, NodeKey, PeerId, SharedCapability, Stack};
use secp256k1::SecretKey;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, info_span, warn};

use crate::{
    Address, DialError, Incoming, Limits, SecureWebSocket, TransportsError,
    dialer::{self, Word},
    gate::Passed,
    listener,
    peers::{Connected, Direction, Peers, Place},
    secure::{self, Name},
    session::{QUITTING, SessionEnd},
    stream,
    tcp::{self, Link},
};

/// Devp2p reason "useless peer", for whom the lists deny: it keeps geth from coming back at once.
const DENIED: u8 = 0x03;

/// What [`Transports::start`] is given. With no socket to listen on, it only dials.
#[derive(Clone)]
pub struct TransportsConfig {
    /// The node's key on both stacks.
    pub secret_key: SecretKey,
    /// How we call ourselves: `Name/vX.Y.Z/os-arch/lang`.
    pub client_id: String,
    /// What we speak, preferred first.
    pub capabilities: Vec<Capability>,
    /// Where to listen for RLPx; port 0 takes a free one.
    pub devp2p: Option<SocketAddr>,
    /// Where to listen for libp2p over TCP; port 0 takes a free one.
    pub libp2p_tcp: Option<SocketAddr>,
    /// Where to listen for libp2p over QUIC; port 0 takes a free one. UDP, so it may have the number of
    /// [`TransportsConfig::libp2p_tcp`].
    pub libp2p_quic: Option<SocketAddr>,
    /// Where to listen for libp2p over WebSocket; port 0 takes a free one.
    pub websocket: Option<SocketAddr>,
    /// Where to listen for libp2p over WebSocket with TLS.
    pub secure_websocket: Option<SecureWebSocket>,
    /// Where to listen for libp2p over WebTransport (UDP); port 0 takes a free one.
    pub webtransport: Option<SocketAddr>,
    /// Where to listen for libp2p over WebRTC-direct (UDP); port 0 takes a free one. Experimental.
    pub webrtc_direct: Option<SocketAddr>,
    /// Certificates that are trusted as roots when WebSockets over TLS are dialed, beside those of the web; DER, see
    /// [`read_roots`](crate::read_roots).
    pub trusted_roots: Vec<Vec<u8>>,
    /// Multiaddrs under which others reach the libp2p side; told by identify and registered at rendezvous points.
    pub external_addresses: Vec<String>,
    /// Which IP addresses are dialed on a stranger's word, on either stack: see [`Transports::dial`].
    pub dial_guard: DialGuard,
    /// Makes the libp2p side a rendezvous point for others.
    pub rendezvous_server: Option<RendezvousLimits>,
    /// What is done to be reached on the libp2p side, and for others to be.
    pub reach: ReachConfig,
    /// Every bound.
    pub limits: Limits,
    /// Who is let in, on either stack; can be changed: [`Transports::set_lists`].
    pub lists: Lists,
}

/// Without the key.
impl fmt::Debug for TransportsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportsConfig")
            .field("client_id", &self.client_id)
            .field("capabilities", &self.capabilities)
            .field("devp2p", &self.devp2p)
            .field("libp2p_tcp", &self.libp2p_tcp)
            .field("libp2p_quic", &self.libp2p_quic)
            .field("websocket", &self.websocket)
            .field("secure_websocket", &self.secure_websocket)
            .field("webtransport", &self.webtransport)
            .field("webrtc_direct", &self.webrtc_direct)
            .field("trusted_roots", &self.trusted_roots.len())
            .field("external_addresses", &self.external_addresses)
            .field("dial_guard", &self.dial_guard)
            .field("rendezvous_server", &self.rendezvous_server)
            .field("reach", &self.reach)
            .field("limits", &self.limits)
            .field("lists", &self.lists)
            .finish_non_exhaustive()
    }
}

/// What is alive; all zero after [`Transports::shutdown`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// RLPx sessions that others opened.
    pub devp2p_inbound: usize,
    /// RLPx sessions that we opened.
    pub devp2p_dialed: usize,
    /// libp2p sessions that others opened.
    pub libp2p_inbound: usize,
    /// libp2p sessions that we opened.
    pub libp2p_dialed: usize,
    /// Tasks: listeners, handshakes, sessions, farewells.
    pub tasks: usize,
}

impl Counts {
    /// Live sessions on both stacks.
    pub fn sessions(&self) -> usize {
        self.devp2p_inbound + self.devp2p_dialed + self.libp2p_inbound + self.libp2p_dialed
    }
}

/// Both stacks, running. Cheap to clone; they run until [`Transports::shutdown`].
#[derive(Clone, Debug)]
pub struct Transports {
    shared: Arc<Shared>,
}

/// What the tasks of this room share.
pub(crate) struct Shared {
    pub(crate) node_key: NodeKey,
    pub(crate) capabilities: Vec<Capability>,
    /// For RLPx connections of others, with the limits of light peers.
    pub(crate) inbound: Arc<causeway_rlpx::Config>,
    /// For RLPx connections of ours, with the limits of servers.
    pub(crate) dialed: Arc<causeway_rlpx::Config>,
    /// For dials on a stranger's word; the host has the same.
    pub(crate) guard: DialGuard,
    pub(crate) limits: Arc<Limits>,
    pub(crate) host: Host,
    pub(crate) peers: Peers,
    /// Of the secure WebSocket, with how they are told.
    names: Option<(Vec<Name>, &'static str)>,
    /// The host has the same.
    rules: RwLock<Arc<Rules>>,
    pub(crate) incoming: mpsc::Sender<Incoming>,
    /// No new sessions.
    pub(crate) closing: CancellationToken,
    /// No patience left: every task ends where it stands.
    kill: CancellationToken,
    tasks: TaskTracker,
    devp2p_addr: Option<SocketAddr>,
}

/// Without keys.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("node_key", &self.node_key)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}

impl Transports {
    /// Binds every listener and starts. Sessions that others open arrive on the receiver, which holds
    /// [`Limits::incoming`] of them; what happens to the next is said there. Dropping the receiver refuses
    /// all of them.
    ///
    /// # Errors
    /// If a socket cannot be bound.
    pub async fn start(
        config: TransportsConfig,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), TransportsError> {
        let TransportsConfig {
            secret_key,
            client_id,
            capabilities,
            devp2p,
            libp2p_tcp,
            libp2p_quic,
            websocket,
            secure_websocket,
            webtransport,
            webrtc_direct,
            trusted_roots,
            external_addresses,
            dial_guard,
            rendezvous_server,
            reach,
            limits,
            lists,
        } = config;
        let listener = match devp2p {
            Some(addr) => {
                Some(listener::bind(addr).map_err(|source| TransportsError::Bind { addr, source })?)
            }
            None => None,
        };
        let devp2p_addr = listener.as_ref().and_then(|listener| listener.local_addr().ok());

        let mut host = HostConfig::new(secret_key.to_secret_bytes(), capabilities.clone());
        host.agent = client_id.clone();
        host.limits = limits.libp2p.clone();
        host.external_addresses = external_addresses;
        host.dial_guard = dial_guard.clone();
        host.rendezvous_server = rendezvous_server;
        host.reach = reach;
        host.lists = lists.clone();
        host.trusted_roots = trusted_roots;
        let secure = secure_websocket.as_ref().map(|secure| Listen::SecureWebSocket(secure.addr));
        let plain =
            [libp2p_tcp.map(Listen::Tcp), libp2p_quic.map(Listen::Quic), websocket.map(Listen::WebSocket)];
        let webtransport = webtransport.map(Listen::WebTransport);
        let webrtc_direct = webrtc_direct.map(Listen::WebRtcDirect);
        host.listen = plain.into_iter().chain([secure, webtransport, webrtc_direct]).flatten().collect();
        let names = match secure_websocket {
            Some(secure) => {
                let names = secure.names.iter().map(|name| Name::parse(name)).collect::<Result<_, _>>()?;
                host.certificate = Some(secure.certificate);
                Some((names, secure::dns_of(secure.addr)))
            }
            None => None,
        };
        if host.listen.is_empty() {
            host.protocols = Vec::new(); // streams are only opened
        }
        let (host, streams) = Host::start(host).await?;

        let mut inbound = causeway_rlpx::Config::new(secret_key, client_id, capabilities.clone());
        inbound.listen_port = devp2p_addr.map_or(0, |addr| addr.port());
        let mut dialed = inbound.clone();
        inbound.message_limits = limits.messages.rlpx_inbound();
        dialed.message_limits = limits.messages.rlpx_dialed();

        let (incoming, arrivals) = mpsc::channel(limits.incoming.max(1));
        let shared = Arc::new(Shared {
            node_key: inbound.node_key(),
            capabilities,
            inbound: Arc::new(inbound),
            dialed: Arc::new(dialed),
            guard: dial_guard,
            limits: Arc::new(limits),
            host,
            peers: Peers::default(),
            names,
            rules: RwLock::new(Arc::new(Rules::new(&lists))),
            incoming,
            closing: CancellationToken::new(),
            kill: CancellationToken::new(),
            tasks: TaskTracker::new(),
            devp2p_addr,
        });
        if let Some(listener) = listener {
            shared.spawn(listener::run(Arc::clone(&shared), listener));
        }
        shared.spawn(stream::run(Arc::clone(&shared), streams));
        let transports = Self { shared };
        let mut told = transports.named_multiaddrs();
        if !told.is_empty() {
            let more = transports.external_addresses().into_iter();
            told.extend(more.filter(|address| !told.contains(address)).collect::<Vec<_>>());
            transports.set_external_addresses(told).await?;
        }
        Ok((transports, arrivals))
    }

    /// Opens a session at an address that strangers may have made up: it is dialed only where
    /// [`TransportsConfig::dial_guard`] allows that, after names were resolved. Dropping the future gives it up.
    ///
    /// # Errors
    /// See [`DialError`]; each says what to do.
    pub async fn dial(&self, address: &Address) -> Result<Incoming, DialError> {
        dialer::dial(&self.shared, address, Word::Stranger).await
    }

    /// The same at an address that the user named: it is dialed wherever it leads.
    ///
    /// # Errors
    /// See [`DialError`]; each says what to do.
    pub async fn dial_named(&self, address: &Address) -> Result<Incoming, DialError> {
        dialer::dial(&self.shared, address, Word::User).await
    }

    /// Who is connected now. A session that was replaced by a newer one and is about to end is not in the list.
    pub fn connected(&self) -> Vec<Connected> {
        self.shared.peers.connected()
    }

    /// Changes with every session that begins or ends, so that [`Transports::connected`] is worth another look.
    /// Only the newest value is kept: who is slow sees that something changed, not how often.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.peers.changes()
    }

    /// Our public key on devp2p.
    pub fn node_key(&self) -> NodeKey {
        self.shared.node_key
    }

    /// Our libp2p PeerId, `16Uiu2…`.
    pub fn peer_id_text(&self) -> String {
        self.shared.host.peer_id_text()
    }

    /// Where RLPx listens, with the real port; the address may be the unspecified one.
    pub fn devp2p_addr(&self) -> Option<SocketAddr> {
        self.shared.devp2p_addr
    }

    /// Where libp2p listens, dialable as they stand: real ports, no unspecified address, `/p2p/` at the end.
    pub fn multiaddrs(&self) -> Vec<String> {
        self.shared.host.addresses()
    }

    /// The secure WebSocket's multiaddrs with DNS names, as configured or else as its certificate says:
    /// `/dns4/NAME/tcp/PORT/tls/ws`.
    pub fn named_multiaddrs(&self) -> Vec<String> {
        let Some((names, dns)) = &self.shared.names else { return Vec::new() };
        let listening = self.multiaddrs();
        let port = listening.iter().find_map(|address| {
            let (before, _) = address.split_once("/tls/ws")?;
            before.rsplit_once('/')?.1.parse::<u16>().ok()
        });
        let Some(port) = port else { return Vec::new() };
        let certified: Vec<Name>;
        let names = if names.is_empty() {
            let said = self.shared.host.certificate_names();
            certified = said.iter().filter_map(|name| Name::parse(name).ok()).collect();
            &certified
        } else {
            names
        };
        names.iter().map(|name| name.multiaddr(port, dns)).collect()
    }

    /// Reads the certificate's files now, without waiting until it is seen that they changed.
    ///
    /// # Errors
    /// If they cannot be used; the certificate that was read before stays in use. If there is none.
    pub async fn reload_certificate(&self) -> Result<(), HostError> {
        self.shared.host.reload_certificate().await
    }

    /// Replaces the lists of who is let in, on both stacks, at once: whoever they deny is disconnected, others
    /// stay as they are. Returns how many connections were closed.
    ///
    /// # Errors
    /// If the host is shut down; the RLPx side goes by the new lists then.
    pub async fn set_lists(&self, lists: &Lists) -> Result<usize, HostError> {
        let rules = Arc::new(Rules::new(lists));
        *self.shared.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&rules);
        let closed = self.shared.peers.close_denied(&rules, DENIED);
        Ok(closed + self.shared.host.set_lists(lists).await?)
    }

    /// The multiaddrs that others are told.
    pub fn external_addresses(&self) -> Vec<String> {
        self.shared.host.external_addresses()
    }

    /// Replaces the multiaddrs that others are told from now on.
    ///
    /// # Errors
    /// See [`HostError`]; the old ones stay then.
    pub async fn set_external_addresses(&self, addresses: Vec<String>) -> Result<(), HostError> {
        self.shared.host.set_external_addresses(addresses).await
    }

    /// Registers `addresses` as ours at a rendezvous point; returns the time granted. See [`Host::register`].
    ///
    /// # Errors
    /// See [`RendezvousError`].
    pub async fn register_as(
        &self,
        at: &str,
        namespace: &str,
        ttl: Duration,
        addresses: &[String],
    ) -> Result<Duration, RendezvousError> {
        self.shared.host.register_as(at, namespace, ttl, addresses).await
    }

    /// Up to `limit` peers that registered in `namespace` at a rendezvous point. What they say of themselves is
    /// signed, and still strangers' words: dial it with [`Transports::dial`].
    ///
    /// # Errors
    /// See [`RendezvousError`].
    pub async fn discover(
        &self,
        at: &str,
        namespace: &str,
        limit: usize,
    ) -> Result<Vec<Discovered>, RendezvousError> {
        self.shared.host.discover(at, namespace, limit).await
    }

    /// How often the libp2p side had to be built anew; see [`Host::restarts`]. RLPx sessions are not touched by it.
    pub fn restarts(&self) -> u64 {
        self.shared.host.restarts()
    }

    /// Makes the libp2p side panic, for tests of what comes then.
    #[doc(hidden)]
    pub async fn panic_host_for_test(&self) {
        self.shared.host.panic_for_test().await;
    }

    /// What is alive.
    pub fn counts(&self) -> Counts {
        let live = |stack, direction| self.shared.peers.live(stack, direction);
        Counts {
            devp2p_inbound: live(Stack::Devp2p, Direction::Inbound),
            devp2p_dialed: live(Stack::Devp2p, Direction::Dialed),
            libp2p_inbound: live(Stack::Libp2p, Direction::Inbound),
            libp2p_dialed: live(Stack::Libp2p, Direction::Dialed),
            tasks: self.shared.tasks.len(),
        }
    }

    /// Takes nobody in any more, ends all sessions ("client quitting" on devp2p) and waits for the tasks;
    /// those that are not done `within` the time are cut off and named in the log.
    pub async fn shutdown(&self, within: Duration) {
        let Shared { closing, peers, tasks, kill, host, .. } = &*self.shared;
        closing.cancel();
        peers.close_all(QUITTING);
        tasks.close();
        if tokio::time::timeout(within, tasks.wait()).await.is_err() {
            warn!(tasks = tasks.len(), sessions = self.counts().sessions(), "tasks cut off at shutdown");
            kill.cancel();
            tasks.wait().await;
        }
        host.clone().shutdown().await;
    }
}

impl Shared {
    /// Who is let in.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The only way to start a task here: tracked, and cut off when patience ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let kill = self.kill.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = kill.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Starts a session's task in its span.
    pub(crate) fn spawn_session(&self, peer: PeerId, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(task.instrument(info_span!("session", %peer, stack = %peer.stack())));
    }

    /// Starts the task of an RLPx session; `passed` is its entry at the gate if it came through it.
    pub(crate) fn spawn_rlpx(
        &self,
        link: Link,
        capability: SharedCapability,
        session: SessionEnd,
        place: Place,
        peer: PeerId,
        passed: Option<Passed>,
    ) {
        let limits = Arc::clone(&self.limits);
        let due = passed.is_some().then(|| Instant::now() + limits.first_message);
        self.spawn_session(peer, async move {
            tcp::run(link, capability, session, place, &limits, due).await;
            drop(passed);
        });
    }

    /// Lets a connection that came to nothing say goodbye.
    pub(crate) fn spawn_farewell(&self, link: Link) {
        self.spawn(link.finish(self.farewell_due()));
    }

    /// When a farewell that begins now has to be over.
    pub(crate) fn farewell_due(&self) -> Instant {
        Instant::now() + self.limits.farewell
    }
}
