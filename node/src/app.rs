//! The relay, built and alive: transports, full nodes, the verified chain, the service for light peers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use alloy_primitives::B256;
use anyhow::Context;
use causeway_bridge::{
    Backend, Counts, Follower, FullNodes, Service, Ushered, Verified, VerifiedConfig, usher,
};
use causeway_discovery::{Discovery, Order};
use causeway_records::Reach;
use causeway_translate::{AccountKeyForm, ChainIdentity, ClientConfig, ServerConfig};
use causeway_transports::{Incoming, MemoryBudget, ReachConfig, SecureWebSocket, Transports};
use causeway_verify::{ChainSpec, HeaderChain, Root};
use secp256k1::SecretKey;
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, info, info_span, warn};

use crate::{
    access::Access,
    dialing::{self, Dialer},
    http,
    mapping::{self, PortMapping},
    peering::{self, Listeners, Peering},
    ports::{Ports, transports_config},
    reachability::{Watch, Watched},
    record,
};

/// Recent headers kept whole; of older ones only hash and total difficulty.
pub(crate) const KEEP_HEADERS: usize = 16_384;

/// How long one full node may take for an answer.
const UPSTREAM_PATIENCE: Duration = Duration::from_secs(8);

/// How long a light peer's question may take in all, waiting for a full node to come back included.
const QUESTION_PATIENCE: Duration = Duration::from_secs(25);

/// What light peers are told of how far back states are served: what geth says of itself (les.md 3.1).
const RECENT_STATE: u64 = 124;

/// Questions that may wait for one full node's credit.
const UPSTREAM_QUEUE: usize = 1024;

/// How long connections may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a relay is made from.
#[derive(Debug)]
pub(crate) struct RelayConfig {
    /// The chain.
    pub(crate) spec: Arc<ChainSpec>,
    /// A trusted block to follow headers from; else genesis.
    pub(crate) checkpoint: Option<(u64, B256)>,
    /// How it comes to its peers.
    pub(crate) peering: Peering,
    /// The node key.
    pub(crate) secret_key: SecretKey,
    /// Where to listen.
    pub(crate) ports: Ports,
    /// Where browsers come in from pages with TLS.
    pub(crate) secure_websocket: Option<SecureWebSocket>,
    /// Who is let in.
    pub(crate) access: Access,
    /// How it is reached.
    pub(crate) reach: ReachConfig,
    /// Light peers served at once.
    pub(crate) light_peers: usize,
    /// Bytes of verified answers kept.
    pub(crate) cache_bytes: u64,
}

/// A relay that is up.
#[derive(Debug)]
pub(crate) struct Relay {
    transports: Transports,
    discovery: Discovery,
    http: SocketAddr,
    enode: String,
    mapping: PortMapping,
    stop: CancellationToken,
    tasks: TaskTracker,
    state: Arc<http::State>,
}

/// How Causeway names itself: `causeway/v0.1.0/linux-x86_64/rust`.
pub(crate) fn client_id() -> String {
    format!(
        "causeway/v{}/{}-{}/rust",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

/// Who we are talking about, at a head.
pub(crate) fn chain_identity(spec: &ChainSpec, number: u64, timestamp: u64) -> ChainIdentity {
    ChainIdentity {
        network: spec.network,
        genesis: spec.genesis_hash,
        genesis_td: spec.genesis.difficulty,
        forks: spec.fork_filter(number, timestamp),
    }
}

/// How full nodes are greeted. Their forks are judged from the far end of our own schedule: whatever head we
/// have, a full node ahead of us is welcome, one that left our schedule is not.
pub(crate) fn client_config(spec: &ChainSpec, timestamp: u64) -> ClientConfig {
    ClientConfig {
        chain: chain_identity(spec, spec.genesis.number, timestamp),
        signed: true,
        origins: true,
        heartbeat: None,
        patience: UPSTREAM_PATIENCE,
        max_queue: UPSTREAM_QUEUE,
        account_key: AccountKeyForm::Hash,
    }
}

/// How light peers are served.
pub(crate) fn server_config(spec: &ChainSpec, secret_key: SecretKey, max_sessions: usize) -> ServerConfig {
    ServerConfig {
        chain: chain_identity(spec, 0, spec.genesis.timestamp),
        flow: ServerConfig::default_flow(),
        max_sessions,
        signing_key: secret_key,
        patience: QUESTION_PATIENCE + Duration::from_secs(1),
        recent_state: RECENT_STATE,
    }
}

impl Relay {
    /// Builds everything and starts it. Once this returns, all listeners are up.
    ///
    /// # Errors
    /// If a listener cannot bind; the message names it.
    pub(crate) async fn start(config: RelayConfig) -> anyhow::Result<Self> {
        let RelayConfig {
            spec,
            checkpoint,
            peering,
            secret_key,
            ports,
            secure_websocket,
            access,
            reach,
            light_peers,
            cache_bytes,
        } = config;
        let listener = TcpListener::bind(ports.http()).await.with_context(|| {
            format!("binding status and health to {}; choose another with --port.http", ports.http())
        })?;
        let http = listener.local_addr()?;
        let mut config = transports_config(secret_key, Some(ports));
        config.secure_websocket = secure_websocket;
        config.reach = reach;
        config.lists = access.read()?;
        config.limits.libp2p.memory = MemoryBudget::detect();
        config.dial_guard = peering.dial_guard();
        config.rendezvous_server = Some(crate::rendezvous::limits(&spec));
        let (transports, incoming) = Transports::start(config).await.context(
            "starting the listeners (their ports: --port.devp2p, --port.libp2p, --port.ws, --port.wss, \
             --port.webtransport)",
        )?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let follow = access.follow(transports.clone(), stop.clone());
        tasks.spawn(async {
            if let Err(error) = follow.await {
                warn!(%error, "the lists are not read again");
            }
        });
        let (nat, outside) = (peering.nat, peering.reach);
        let listeners = Listeners { transports: &transports, ports, secret_key };
        let (discovery, orders, udp) = peering.start(&spec, checkpoint, listeners, &tasks, &stop).await?;
        let enode = record::enode(&transports);
        let wishes = mapping::wishes(transports.devp2p_addr(), udp, &transports.multiaddrs());
        let mapping = PortMapping::start(nat, wishes, outside == Reach::Local);
        let watch = Watch {
            transports: transports.clone(),
            discovery: discovery.clone(),
            mapping: mapping.status(),
            nat,
            reach: outside,
            udp,
        };
        let (reached, watching) = watch.start(stop.clone());
        tasks.spawn(watching.instrument(info_span!("reachability")));
        let nodes = Arc::new(FullNodes::new(client_config(&spec, spec.genesis.timestamp), tasks.clone()));
        let state = Arc::new(http::State::new(
            Arc::clone(&spec),
            Arc::clone(&nodes),
            transports.clone(),
            discovery.clone(),
            reached.clone(),
            tasks.clone(),
            stop.clone(),
        ));
        tasks.spawn(http::serve(listener, Arc::clone(&state)));
        let house = House {
            spec,
            nodes,
            transports: transports.clone(),
            discovery: discovery.clone(),
            reached,
            state: Arc::clone(&state),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let serve = house.serve(checkpoint, orders, secret_key, light_peers, cache_bytes, incoming);
        tasks.spawn(serve.instrument(info_span!("relay")));
        Ok(Self { transports, discovery, http, enode, mapping, stop, tasks, state })
    }

    /// The ready line (design section 4).
    pub(crate) fn ready(&self) -> serde_json::Value {
        json!({
            "schema": 1,
            "ready": true,
            "peerId": self.transports.peer_id_text(),
            "enode": self.enode,
            "enr": self.discovery.record().borrow().to_string(),
            "multiaddrs": self.transports.multiaddrs(),
            "http": format!("http://{}", self.http),
        })
    }

    /// Where libp2p peers can dial it.
    pub(crate) fn multiaddrs(&self) -> Vec<String> {
        self.transports.multiaddrs()
    }

    /// Says goodbye to everybody and ends every task.
    pub(crate) async fn shutdown(self) {
        self.state.drain();
        // While the sockets are still there, so that no other device's packets ever come to what was ours.
        self.mapping.end().await;
        self.stop.cancel();
        self.transports.shutdown(FAREWELL).await;
        self.tasks.close();
        if tokio::time::timeout(FAREWELL, self.tasks.wait()).await.is_err() {
            warn!(tasks = self.tasks.len(), "tasks did not end in time");
        }
    }
}

/// The parts that the serving task holds.
struct House {
    spec: Arc<ChainSpec>,
    nodes: Arc<FullNodes>,
    transports: Transports,
    discovery: Discovery,
    reached: Watched,
    state: Arc<http::State>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl House {
    async fn serve(
        self,
        checkpoint: Option<(u64, B256)>,
        orders: mpsc::Receiver<Order>,
        secret_key: SecretKey,
        light_peers: usize,
        cache_bytes: u64,
        incoming: mpsc::Receiver<Incoming>,
    ) {
        let known = watch::Sender::new(None);
        let search = Arc::new(Notify::new());
        let dialer = Dialer {
            transports: self.transports.clone(),
            nodes: Arc::clone(&self.nodes),
            discovery: self.discovery.clone(),
            follower: known.subscribe(),
            tasks: self.tasks.clone(),
            search: Arc::clone(&search),
        };
        self.tasks.spawn(dialer.run(orders, self.stop.clone()));
        let root = match checkpoint {
            None => Root::Genesis,
            Some((number, hash)) => {
                let fetch = dialing::fetch_root(&self.nodes, number, hash);
                tokio::select! {
                    root = fetch => root,
                    () = self.stop.cancelled() => return,
                }
            }
        };
        let chain = match HeaderChain::new(Arc::clone(&self.spec), root, KEEP_HEADERS) {
            Ok(chain) => chain,
            Err(error) => {
                tracing::error!(%error, "the checkpoint cannot be used: not serving; start again with another");
                return;
            }
        };
        let follower = Arc::new(Follower::new(chain, Arc::clone(&self.nodes)));
        known.send_replace(Some(Arc::clone(&follower)));
        let config = VerifiedConfig { cache_bytes, patience: QUESTION_PATIENCE, ..VerifiedConfig::default() };
        let verified = Arc::new(Verified::new(Arc::clone(&follower), Arc::clone(&self.nodes), config));
        let server = server_config(&self.spec, secret_key, light_peers);
        let service = Service::new(Arc::clone(&verified), server, self.tasks.clone());
        self.state.serving(Arc::clone(&follower), service.counts());
        let forks = peering::follow_forks(
            Arc::clone(&self.spec),
            follower,
            self.discovery.clone(),
            self.stop.clone(),
        );
        self.tasks.spawn(forks);
        let inbound =
            crate::inbound::tell(self.transports.clone(), self.discovery.clone(), self.stop.clone());
        self.tasks.spawn(inbound);
        let rendezvous = crate::rendezvous::Rendezvous {
            transports: self.transports.clone(),
            discovery: self.discovery.clone(),
            namespace: crate::rendezvous::namespace(&self.spec),
            told: self.reached.told(),
            search,
        };
        self.tasks.spawn(rendezvous.run(self.stop.clone()));
        let Ushered { light_peers, full_nodes } = usher(incoming, &self.tasks, self.stop.clone());
        self.tasks.spawn(crate::inbound::offer(full_nodes, self.discovery.clone(), self.stop.clone()));
        info!(network = %self.spec.name, "serving light peers");
        service.run(light_peers, self.stop).await;
        drop(known); // kept until here: the dialer waits for it while there is no root
    }
}

/// Serves a backend of our own (the embedded full node) to whoever connects.
pub(crate) fn serve_backend<B: Backend>(
    backend: Arc<B>,
    config: ServerConfig,
    incoming: mpsc::Receiver<Incoming>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Arc<Counts> {
    let service = Service::new(backend, config, tasks.clone());
    let counts = service.counts();
    tasks.spawn(service.run(incoming, stop).instrument(info_span!("full_node")));
    counts
}
