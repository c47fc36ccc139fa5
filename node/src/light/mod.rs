//! A verifying light peer: one session at a time, its own header chain, every answer checked here.

mod finding;
pub(crate) mod json;
mod race;
pub(crate) mod read;
mod server;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy_primitives::B256;
use anyhow::{Context, bail};
use causeway_bridge::{Follower, FullNodes, Keeper, KeeperConfig, Link, Upstream, Verified, VerifiedConfig};
use causeway_transports::Transports;
use causeway_verify::{ChainSpec, HeaderChain, Quorum, Root};
use causeway_wire::{HeadUpdate, heartbeat};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use self::server::Met;
pub(crate) use self::server::{Server, Whereabouts};
use crate::{app, dialing, identity, ports};

/// How long the goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A free port on every address.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Bytes of verified answers that a light peer keeps.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// A connected light peer whose chain stands at its server's head.
#[derive(Debug)]
pub(crate) struct LightPeer {
    transports: Transports,
    verified: Verified,
    keeper: Keeper,
    tasks: TaskTracker,
    quorum: Option<Mutex<Quorum>>,
    root: String,
}

/// What a light peer goes by.
#[derive(Debug)]
pub(crate) struct LightConfig {
    /// The chain.
    pub(crate) spec: Arc<ChainSpec>,
    /// A trusted block to follow headers from; else genesis.
    pub(crate) checkpoint: Option<(u64, B256)>,
    /// Who must have signed a head.
    pub(crate) quorum: Option<Quorum>,
    /// Time between two pings, which the server is asked for.
    pub(crate) heartbeat: Duration,
    /// Roots for WebSocket over TLS, beside those of the web.
    pub(crate) trusted_roots: Vec<Vec<u8>>,
    /// How long a question may take in all, waiting for a session that was lost to come back included.
    pub(crate) patience: Duration,
}

impl LightConfig {
    /// A light peer that trusts the genesis block and nothing else.
    pub(crate) fn new(spec: Arc<ChainSpec>) -> Self {
        Self {
            spec,
            checkpoint: None,
            quorum: None,
            heartbeat: heartbeat::DEFAULT,
            trusted_roots: Vec::new(),
            patience: VerifiedConfig::default().patience,
        }
    }
}

impl LightPeer {
    /// Connects and follows the chain to the server's head.
    ///
    /// # Errors
    /// If the server cannot be reached, is on another chain, or shows a chain that does not verify.
    pub(crate) async fn connect(server: &Server, config: LightConfig) -> anyhow::Result<Self> {
        let LightConfig { spec, checkpoint, quorum, heartbeat: interval, trusted_roots, patience } = config;
        let mut config = ports::transports_config(identity::generate(), None);
        config.dial_guard = server.dial_guard();
        config.limits.libp2p.heartbeat = interval;
        config.trusted_roots = trusted_roots;
        if server.may_be_relayed() {
            // Where the direct connections come in that follow a relayed one. Nobody else is served: there is no
            // owner of sessions that others open.
            config.libp2p_tcp = Some(ANY);
            config.libp2p_quic = Some(ANY);
        }
        let (transports, _) = Transports::start(config).await.context("starting the network stacks")?;
        let tasks = TaskTracker::new();
        let mut client = app::client_config(&spec, spec.genesis.timestamp);
        client.heartbeat = (interval != heartbeat::DEFAULT).then_some(interval.as_secs());
        let nodes = Arc::new(FullNodes::new(client, tasks.clone()));
        let Met { upstream, routes } = server.connect(&transports, &nodes, &spec).await?;
        let search = server.search(&transports, &spec);
        let (root, root_text) = match checkpoint {
            None => (Root::Genesis, format!("genesis {}", spec.genesis_hash)),
            Some((number, hash)) => {
                let root = dialing::root_from(&upstream, number, hash)
                    .await
                    .context("the server does not show the checkpoint's header")?;
                (root, format!("checkpoint {number}:{hash}"))
            }
        };
        let chain =
            HeaderChain::new(spec, root, app::KEEP_HEADERS).context("the checkpoint cannot be used")?;
        let follower = Arc::new(Follower::new(chain, Arc::clone(&nodes)));
        let keeper = KeeperConfig {
            transports: transports.clone(),
            nodes: Arc::clone(&nodes),
            follower: Arc::clone(&follower),
            routes,
            search,
        };
        let keeper = Keeper::start(keeper, upstream, &tasks);
        let config = VerifiedConfig { cache_bytes: CACHE_BYTES, spread: 1, patience };
        let verified = Verified::new(Arc::clone(&follower), nodes, config);
        let mut heads = follower.heads();
        let peer =
            Self { transports, verified, keeper, tasks, quorum: quorum.map(Mutex::new), root: root_text };
        tokio::select! {
            known = heads.wait_for(Option::is_some) => { known.context("following the chain")?; }
            why = peer.over() => bail!("{why}"),
        }
        if peer.quorum.is_some() {
            peer.await_quorum().await?;
        }
        Ok(peer)
    }

    /// Waits until the server is not worth being asked any more; why.
    pub(crate) async fn over(&self) -> String {
        let mut link = self.keeper.link();
        let over = link.wait_for(|link| matches!(link, Link::Over(_))).await;
        match over.as_deref() {
            Ok(Link::Over(why)) => why.clone(),
            Ok(Link::Up(_) | Link::Down) | Err(_) => "the server left".to_owned(),
        }
    }

    /// Waits until enough trusted full nodes signed a head that the server announced.
    async fn await_quorum(&self) -> anyhow::Result<()> {
        let mut heads = self.verified.follower().heads();
        loop {
            let head = heads.borrow_and_update().clone();
            if head.is_some_and(|head| self.has_quorum(&head)) {
                return Ok(());
            }
            tokio::select! {
                changed = heads.changed() => changed.context("following the chain")?,
                why = self.over() => bail!("{why}; not enough trusted full nodes had signed a head by then"),
            }
        }
    }

    /// Whether enough trusted full nodes signed this head; true where none are configured.
    pub(crate) fn has_quorum(&self, head: &HeadUpdate) -> bool {
        let Some(quorum) = &self.quorum else { return true };
        let mut quorum = quorum.lock().unwrap_or_else(PoisonError::into_inner);
        // Their signatures were checked when they came.
        let _ = quorum.announce_all(&self.verified.follower().origins_of(&head.head.hash));
        quorum.is_trusted(&head.head)
    }

    /// The head.
    pub(crate) fn head(&self) -> anyhow::Result<Arc<HeadUpdate>> {
        self.verified.follower().heads().borrow().clone().context("no head is known")
    }

    /// The checked answers.
    pub(crate) fn verified(&self) -> &Verified {
        &self.verified
    }

    /// How things stand with the server, now and as they change.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.keeper.link()
    }

    /// The session, unless it is lost at present.
    pub(crate) fn session(&self) -> Option<Upstream> {
        match &*self.keeper.link().borrow() {
            Link::Up(upstream) => Some(upstream.clone()),
            Link::Down | Link::Over(_) => None,
        }
    }

    /// What headers were checked against.
    pub(crate) fn header_rule(&self) -> String {
        let rule = self.verified.follower().chain().seal_rule();
        let quorum = if self.quorum.is_some() { ", head signed by the trusted full nodes" } else { "" };
        format!("headers from {} by {rule}{quorum}", self.root)
    }

    /// Says goodbye.
    pub(crate) async fn leave(self) {
        self.keeper.leave();
        self.transports.shutdown(FAREWELL).await;
        self.tasks.close();
        let _ = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
    }
}
