//! The product's own light side as `causeway light` runs it: one session, kept whatever happens to it.

use std::{sync::Arc, time::Duration};

use causeway_bridge::{
    Follower, FullNodes, Keeper, KeeperConfig, Link, Path, Route, Verified, VerifiedConfig,
};
use causeway_transports::{Address, Transports, TransportsConfig};
use causeway_verify::{HeaderChain, Root};
use tokio_util::task::TaskTracker;

use crate::house::{FAREWELL, PATIENCE, client_config, fresh_key, spec, transports_config};

/// Recent headers kept whole.
const KEEP_HEADERS: usize = 1024;

/// A light peer that comes back.
#[derive(Debug)]
pub struct KeptPeer {
    /// Its stacks.
    pub transports: Transports,
    /// Its verified chain.
    pub follower: Arc<Follower>,
    /// Its checked answers.
    pub verified: Arc<Verified>,
    /// Its session.
    pub keeper: Keeper,
    tasks: TaskTracker,
}

impl KeptPeer {
    /// Connects by the first of `addresses` and keeps the session by any of them. A question may take `patience` in
    /// all.
    ///
    /// # Panics
    /// If the server does not agree, or its chain does not verify in time.
    pub async fn connect(addresses: &[Address], patience: Duration) -> Self {
        Self::connect_with(transports_config(fresh_key(), "KeptPeer"), addresses, patience).await
    }

    /// The same with these transports.
    pub async fn connect_with(config: TransportsConfig, addresses: &[Address], patience: Duration) -> Self {
        let (transports, _) = Transports::start(config).await.expect("its sockets are free");
        let tasks = TaskTracker::new();
        let nodes = Arc::new(FullNodes::new(client_config(Duration::from_secs(8)), tasks.clone()));
        let chain = HeaderChain::new(spec(), Root::Genesis, KEEP_HEADERS).expect("genesis is a root");
        let follower = Arc::new(Follower::new(chain, Arc::clone(&nodes)));
        let incoming = transports.dial_named(&addresses[0]).await.expect("the server takes light peers");
        let first = nodes.admit(incoming).await.expect("the Statuses agree");
        let routes =
            addresses.iter().map(|address| Route { address: address.clone(), named: true }).collect();
        let config = KeeperConfig {
            transports: transports.clone(),
            nodes: Arc::clone(&nodes),
            follower: Arc::clone(&follower),
            routes,
            search: None,
        };
        let keeper = Keeper::start(config, first, &tasks);
        let mut heads = follower.heads();
        let known = tokio::time::timeout(PATIENCE, heads.wait_for(Option::is_some)).await;
        assert!(matches!(known, Ok(Ok(_))), "the server's chain does not verify");
        let config = VerifiedConfig { patience, cache_bytes: 0, spread: 1 };
        let verified = Arc::new(Verified::new(Arc::clone(&follower), nodes, config));
        Self { transports, follower, verified, keeper, tasks }
    }

    /// How its session goes now, if there is one: path and transport.
    pub fn path(&self) -> Option<(Path, &'static str)> {
        match &*self.keeper.link().borrow() {
            Link::Up(session) => Some((Path::of(session), session.transport())),
            Link::Down | Link::Over(_) => None,
        }
    }

    /// Says goodbye.
    pub async fn leave(self) {
        self.keeper.leave();
        self.transports.shutdown(FAREWELL).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}
