//! A verifying light peer: one session, its own header chain, every answer checked here.

pub(crate) mod json;
pub(crate) mod read;
mod server;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy_primitives::B256;
use anyhow::{Context, bail};
use causeway_bridge::{Follower, FullNodes, Upstream, Verified, VerifiedConfig};
use causeway_transports::Transports;
use causeway_verify::{ChainSpec, HeaderChain, Quorum, Root};
use causeway_wire::{HeadUpdate, heartbeat};
use tokio_util::task::TaskTracker;

pub(crate) use self::server::Server;
use crate::{app, dialing, identity, ports};

/// How long the goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes of verified answers that a light peer keeps.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// A connected light peer whose chain stands at its server's head.
#[derive(Debug)]
pub(crate) struct LightPeer {
    transports: Transports,
    verified: Verified,
    upstream: Upstream,
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
        }
    }
}

impl LightPeer {
    /// Connects and follows the chain to the server's head.
    ///
    /// # Errors
    /// If the server cannot be reached, is on another chain, or shows a chain that does not verify.
    pub(crate) async fn connect(server: &Server, config: LightConfig) -> anyhow::Result<Self> {
        let LightConfig { spec, checkpoint, quorum, heartbeat: interval, trusted_roots } = config;
        let mut config = ports::transports_config(identity::generate(), None);
        config.dial_guard = server.dial_guard();
        config.limits.libp2p.heartbeat = interval;
        config.trusted_roots = trusted_roots;
        let (transports, _) = Transports::start(config).await.context("starting the network stacks")?;
        let tasks = TaskTracker::new();
        let mut client = app::client_config(&spec, spec.genesis.timestamp);
        client.heartbeat = (interval != heartbeat::DEFAULT).then_some(interval.as_secs());
        let nodes = Arc::new(FullNodes::new(client, tasks.clone()));
        let upstream = server.connect(&transports, &nodes, &spec).await?;
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
        let config = VerifiedConfig { cache_bytes: CACHE_BYTES, spread: 1, ..VerifiedConfig::default() };
        let verified = Verified::new(Arc::clone(&follower), nodes, config);
        let mut heads = follower.heads();
        let following = Arc::clone(&follower);
        let followed = upstream.clone();
        tasks.spawn(async move { following.follow(followed).await });
        let peer =
            Self { transports, verified, upstream, tasks, quorum: quorum.map(Mutex::new), root: root_text };
        tokio::select! {
            known = heads.wait_for(Option::is_some) => { known.context("following the chain")?; }
            () = peer.upstream.closed() => bail!("{}", peer.why_gone()),
        }
        if peer.quorum.is_some() {
            peer.await_quorum().await?;
        }
        Ok(peer)
    }

    /// Why the server is gone.
    fn why_gone(&self) -> String {
        let lie = self.verified.nodes().lie_of(&self.upstream.peer());
        lie.map_or_else(
            || "the server left".to_owned(),
            |lie| format!("the server did not tell the truth: {lie}"),
        )
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
                () = self.upstream.closed() => bail!("the server left before enough trusted full nodes had signed a head"),
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

    /// The server.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// What headers were checked against.
    pub(crate) fn header_rule(&self) -> String {
        let rule = self.verified.follower().chain().seal_rule();
        let quorum = if self.quorum.is_some() { ", head signed by the trusted full nodes" } else { "" };
        format!("headers from {} by {rule}{quorum}", self.root)
    }

    /// Says goodbye.
    pub(crate) async fn leave(self) {
        self.upstream.leave();
        self.transports.shutdown(FAREWELL).await;
        self.tasks.close();
        let _ = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
    }
}
