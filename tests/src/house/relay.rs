//! The relay of a house, put together as the product does.

use std::{sync::Arc, time::Duration};

use alloy_primitives::B256;
use causeway_bridge::{
    AdmitError, Counts, Follower, FullNodes, Service, Upstream, Ushered, Verified, VerifiedConfig, usher,
};
use causeway_translate::{AccountKeyForm, ClientConfig, ServerConfig};
use causeway_transports::{Address, ReachConfig, Transports};
use causeway_verify::{HeaderChain, Root};
use causeway_wire::{PeerId, les::FlowControl};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    FAREWELL, Way, any_port, chain_identity, devp2p_address, eventually, fresh_key, server_config, spec,
    transports_config,
};

/// Pause before a lost full node is dialed again.
const REDIAL: Duration = Duration::from_millis(50);

/// Recent headers kept whole.
const KEEP_HEADERS: usize = 16_384;

/// What a story may want otherwise.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// How long a light peer's question may take in all.
    pub patience: Duration,
    /// How long one full node may take for an answer.
    pub upstream_patience: Duration,
    /// What light peers are promised.
    pub flow: FlowControl,
    /// Light peers at once.
    pub max_sessions: usize,
    /// Bytes of verified answers kept.
    pub cache_bytes: u64,
    /// What the verified chain hangs on.
    pub root: Root,
    /// Which relays hand it over, and whether it is one for others.
    pub reach: ReachConfig,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(20),
            upstream_patience: Duration::from_secs(8),
            flow: ServerConfig::default_flow(),
            max_sessions: 1000,
            cache_bytes: 16 * 1024 * 1024,
            root: Root::Genesis,
            reach: ReachConfig::default(),
        }
    }
}

/// A relay on all transports.
#[derive(Debug)]
pub struct Relay {
    /// Its sockets.
    pub transports: Transports,
    /// Its full nodes.
    pub nodes: Arc<FullNodes>,
    /// Its verified chain.
    pub follower: Arc<Follower>,
    /// Full nodes that came by themselves.
    pub full_nodes: mpsc::Receiver<PeerId>,
    counts: Arc<Counts>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Relay {
    /// A relay without full nodes.
    pub async fn start(options: RelayOptions) -> Self {
        let secret_key = fresh_key();
        let mut config = transports_config(secret_key, "Relay");
        config.devp2p = Some(any_port());
        config.libp2p_tcp = Some(any_port());
        config.libp2p_quic = Some(any_port());
        config.websocket = Some(any_port());
        config.reach = options.reach.clone();
        let (transports, incoming) = Transports::start(config).await.expect("ports are free");
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let client = client_config(options.upstream_patience);
        let nodes = Arc::new(FullNodes::new(client, tasks.clone()));
        let chain = HeaderChain::new(spec(), options.root.clone(), KEEP_HEADERS).expect("a root that holds");
        let follower = Arc::new(Follower::new(chain, Arc::clone(&nodes)));
        let RelayOptions { patience, flow, max_sessions, cache_bytes, .. } = options;
        let verified = VerifiedConfig { cache_bytes, patience, ..VerifiedConfig::default() };
        let verified = Arc::new(Verified::new(Arc::clone(&follower), Arc::clone(&nodes), verified));
        let server = ServerConfig {
            flow,
            max_sessions,
            ..server_config(secret_key, patience + Duration::from_secs(1))
        };
        let service = Service::new(verified, server, tasks.clone());
        let counts = service.counts();
        let Ushered { light_peers, full_nodes } = usher(incoming, &tasks, stop.clone());
        tasks.spawn(service.run(light_peers, stop.clone()));
        Self { transports, nodes, follower, full_nodes, counts, tasks, stop }
    }

    /// Dials a full node, greets it and follows it until its session ends.
    ///
    /// # Errors
    /// If it was banished, or does not agree with us.
    pub async fn admit(&self, address: &Address) -> Result<Upstream, AdmitError> {
        let incoming = self.transports.dial(address).await.expect("the full node is there");
        let upstream = self.nodes.admit(incoming).await?;
        let (follower, followed) = (Arc::clone(&self.follower), upstream.clone());
        self.tasks.spawn(async move { follower.follow(followed).await });
        Ok(upstream)
    }

    /// Dials a full node, and again whenever it is lost.
    pub fn keep_connected(&self, address: Address) {
        let (transports, nodes) = (self.transports.clone(), Arc::clone(&self.nodes));
        let (follower, stop) = (Arc::clone(&self.follower), self.stop.clone());
        self.tasks.spawn(async move {
            while !stop.is_cancelled() {
                let admit = async {
                    let incoming = transports.dial(&address).await.ok()?;
                    nodes.admit(incoming).await.ok()
                };
                if let Some(Some(upstream)) = stop.run_until_cancelled(admit).await {
                    let follow = follower.follow(upstream.clone());
                    if stop.run_until_cancelled(follow).await.is_none() {
                        upstream.leave();
                        nodes.dismiss(&upstream);
                    }
                }
                stop.run_until_cancelled(tokio::time::sleep(REDIAL)).await;
            }
        });
    }

    /// Where a light peer dials it.
    pub fn address(&self, way: Way) -> Address {
        if way == Way::Rlpx {
            return devp2p_address(&self.transports);
        }
        let found = self.transports.multiaddrs().into_iter().find(|multiaddr| way.is(multiaddr));
        Address::Multiaddr(found.expect("it listens on every transport"))
    }

    /// Waits until its verified head is this block.
    pub async fn reaches(&self, head: B256) {
        let mut heads = self.follower.heads();
        let reached = heads.wait_for(|update| update.as_ref().is_some_and(|update| update.head.hash == head));
        let reached = tokio::time::timeout(super::PATIENCE, reached).await;
        assert!(matches!(reached, Ok(Ok(_))), "the relay does not follow the chain");
    }

    /// What is under way for light peers.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Waits until nothing of any light peer is left.
    pub async fn is_idle(&self) {
        let counts = &self.counts;
        eventually("no light peer's question or message is left", || {
            counts.sessions() == 0 && counts.tickets() == 0 && counts.messages() == 0
        })
        .await;
    }

    /// Says goodbye to everybody and ends.
    ///
    /// # Panics
    /// If anything is left.
    pub async fn stop(self) {
        self.stop.cancel();
        for upstream in self.nodes.all() {
            upstream.leave();
        }
        self.transports.shutdown(FAREWELL).await;
        self.tasks.close();
        let ended = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
        assert!(ended.is_ok(), "{} tasks of the relay are left", self.tasks.len());
        let Self { transports, nodes, counts, .. } = self;
        assert_eq!(transports.counts(), causeway_transports::Counts::default());
        assert_eq!((counts.sessions(), counts.tickets(), counts.messages()), (0, 0, 0));
        assert_eq!(nodes.count(), 0);
    }
}

/// How full nodes are greeted.
pub(crate) fn client_config(patience: Duration) -> ClientConfig {
    ClientConfig {
        chain: chain_identity(),
        signed: true,
        origins: true,
        heartbeat: None,
        patience,
        max_queue: 1024,
        account_key: AccountKeyForm::Hash,
    }
}
