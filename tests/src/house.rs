//! A whole house in one process: full nodes over a development chain, and a relay before them, on the loopback.

mod relay;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use causeway_bridge::{Counts, Service};
use causeway_devnet::{Config, DevBackend, genesis};
use causeway_translate::{ChainIdentity, ServerConfig};
use causeway_transports::{Address, Limits, Transports, TransportsConfig};
use causeway_verify::ChainSpec;
use causeway_wire::{HeadUpdate, les::Version};
use secp256k1::SecretKey;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::relay::client_config;
pub use self::relay::{Relay, RelayOptions};

/// Longest wait for what should happen at once; generous, as the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The time at which every chain begins its life here.
const NOW: u64 = 1_750_000_000;

/// How often a condition is looked at that tells nobody when it comes true.
const LOOK: Duration = Duration::from_millis(5);

/// How long connections may take to end.
pub(crate) const FAREWELL: Duration = Duration::from_secs(5);

/// The development chain's specification.
pub fn spec() -> Arc<ChainSpec> {
    static SPEC: LazyLock<Arc<ChainSpec>> = LazyLock::new(|| {
        let spec = ChainSpec::from_genesis_json("dev", &genesis::genesis_json());
        Arc::new(spec.expect("the development chain's genesis is one"))
    });
    Arc::clone(&SPEC)
}

/// A key nobody else has.
pub fn fresh_key() -> SecretKey {
    loop {
        if let Ok(key) = SecretKey::from_secret_bytes(rand::random()) {
            return key;
        }
    }
}

/// Waits until `holds`.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// What carries a light peer's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// libp2p over TCP.
    Tcp,
    /// libp2p over QUIC.
    Quic,
    /// libp2p over WebSocket.
    WebSocket,
    /// RLPx.
    Rlpx,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Quic, Self::WebSocket, Self::Rlpx];

    /// Whether a multiaddr is of this way.
    fn is(self, multiaddr: &str) -> bool {
        match self {
            Self::Tcp => multiaddr.contains("/tcp/") && !multiaddr.contains("/ws/"),
            Self::Quic => multiaddr.contains("/quic-v1/"),
            Self::WebSocket => multiaddr.contains("/ws/"),
            Self::Rlpx => false,
        }
    }
}

/// A node's transports that listen nowhere.
pub fn transports_config(secret_key: SecretKey, name: &str) -> TransportsConfig {
    TransportsConfig {
        secret_key,
        client_id: format!("{name}/v0.0.0/test"),
        capabilities: Version::ALL.map(Version::capability).to_vec(),
        devp2p: None,
        libp2p_tcp: None,
        libp2p_quic: None,
        websocket: None,
        secure_websocket: None,
        webtransport: None,
        webrtc_direct: None,
        trusted_roots: Vec::new(),
        external_addresses: Vec::new(),
        dial_guard: causeway_transports::DialGuard::Any,
        rendezvous_server: None,
        reach: causeway_transports::ReachConfig::default(),
        limits: Limits { farewell: FAREWELL, ..Limits::default() },
        lists: causeway_transports::Lists::default(),
    }
}

/// A socket on the loopback, with a free port.
pub fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// The development chain as LES names it, at its beginning.
pub(crate) fn chain_identity() -> ChainIdentity {
    let spec = spec();
    ChainIdentity {
        network: spec.network,
        genesis: spec.genesis_hash,
        genesis_td: spec.genesis.difficulty,
        forks: spec.fork_filter(spec.genesis.number, spec.genesis.timestamp),
    }
}

/// A server with the default promise, whose questions may take `patience`.
pub fn server_config(signing_key: SecretKey, patience: Duration) -> ServerConfig {
    ServerConfig {
        chain: chain_identity(),
        flow: ServerConfig::default_flow(),
        max_sessions: 1000,
        signing_key,
        patience,
        recent_state: 124,
    }
}

/// A development chain that grows when it is told to.
#[derive(Debug)]
pub struct Chain {
    /// The chain.
    pub backend: Arc<DevBackend>,
    clock: AtomicU64,
}

impl Chain {
    /// A chain of `history` blocks behind genesis.
    pub fn new(history: u64) -> Self {
        let config = Config { history, ..Config::at(NOW) };
        let backend = DevBackend::new(config).expect("the history fits behind genesis");
        Self { backend: Arc::new(backend), clock: AtomicU64::new(NOW) }
    }

    /// One more block.
    pub fn grow(&self) -> Arc<HeadUpdate> {
        let now = self.clock.fetch_add(genesis::PERIOD, Ordering::Relaxed) + genesis::PERIOD;
        self.backend.advance(now).expect("the chain is short").expect("a period has passed")
    }

    /// Another branch that leaves `depth` blocks before the head and is longer by one.
    pub fn reorg(&self, depth: u64) -> Arc<HeadUpdate> {
        let step = genesis::PERIOD * (depth + 2);
        let now = self.clock.fetch_add(step, Ordering::Relaxed) + step;
        self.backend.reorg(depth, now).expect("so many states are kept")
    }

    /// The head.
    pub fn head(&self) -> Arc<HeadUpdate> {
        self.backend.head()
    }
}

/// An honest full node: the product's own LES server over a development chain.
#[derive(Debug)]
pub struct FullNode {
    transports: Transports,
    counts: Arc<Counts>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl FullNode {
    /// On a free port, with a key of its own.
    pub async fn start(chain: &Chain) -> Self {
        Self::start_at(chain, fresh_key(), any_port()).await
    }

    /// With this key, at this address.
    pub async fn start_at(chain: &Chain, secret_key: SecretKey, addr: SocketAddr) -> Self {
        let mut config = transports_config(secret_key, "FullNode");
        config.devp2p = Some(addr);
        let (transports, incoming) = Transports::start(config).await.expect("a port is free");
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let server = server_config(secret_key, PATIENCE);
        let service = Service::new(Arc::clone(&chain.backend), server, tasks.clone());
        let counts = service.counts();
        tasks.spawn(service.run(incoming, stop.clone()));
        Self { transports, counts, tasks, stop }
    }

    /// Where it is dialed.
    pub fn address(&self) -> Address {
        devp2p_address(&self.transports)
    }

    /// Where it listens.
    pub fn socket(&self) -> SocketAddr {
        self.transports.devp2p_addr().expect("it listens")
    }

    /// What is under way.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Says goodbye and ends.
    pub async fn stop(self) {
        self.stop.cancel();
        self.transports.shutdown(FAREWELL).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Where RLPx listens.
///
/// # Panics
/// If it does not.
pub fn devp2p_address(transports: &Transports) -> Address {
    let addr = transports.devp2p_addr().expect("it listens");
    Address::Devp2p { key: transports.node_key(), addr }
}
