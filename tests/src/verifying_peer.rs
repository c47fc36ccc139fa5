//! The product's own light side on one session: follows the headers and checks every answer.

use std::{sync::Arc, time::Duration};

use causeway_bridge::{Follower, FullNodes, Upstream, Verified, VerifiedConfig};
use causeway_transports::{Address, Transports};
use causeway_verify::{HeaderChain, Root};
use tokio_util::task::TaskTracker;

use crate::house::{FAREWELL, PATIENCE, client_config, fresh_key, spec, transports_config};

/// Recent headers kept whole.
const KEEP_HEADERS: usize = 1024;

/// A light peer that believes nothing.
#[derive(Debug)]
pub struct VerifyingPeer {
    transports: Transports,
    /// Its verified chain.
    pub follower: Arc<Follower>,
    /// Its checked answers.
    pub verified: Verified,
    /// Its server.
    pub upstream: Upstream,
    tasks: TaskTracker,
}

impl VerifyingPeer {
    /// Connects, and follows the chain to the server's head.
    ///
    /// # Panics
    /// If the server does not agree, or its chain does not verify in time.
    pub async fn connect(address: &Address) -> Self {
        let config = transports_config(fresh_key(), "VerifyingPeer");
        let (transports, _) = Transports::start(config).await.expect("nothing has to be bound");
        let tasks = TaskTracker::new();
        let nodes = Arc::new(FullNodes::new(client_config(Duration::from_secs(8)), tasks.clone()));
        let chain = HeaderChain::new(spec(), Root::Genesis, KEEP_HEADERS).expect("genesis is a root");
        let follower = Arc::new(Follower::new(chain, Arc::clone(&nodes)));
        let incoming = transports.dial(address).await.expect("the server takes light peers");
        let upstream = nodes.admit(incoming).await.expect("the Statuses agree");
        let (following, followed) = (Arc::clone(&follower), upstream.clone());
        tasks.spawn(async move { following.follow(followed).await });
        let mut heads = follower.heads();
        let known = tokio::time::timeout(PATIENCE, heads.wait_for(Option::is_some)).await;
        assert!(matches!(known, Ok(Ok(_))), "the server's chain does not verify");
        let verified = Verified::new(Arc::clone(&follower), nodes, VerifiedConfig::default());
        Self { transports, follower, verified, upstream, tasks }
    }

    /// Says goodbye.
    pub async fn leave(self) {
        self.upstream.leave();
        self.transports.shutdown(FAREWELL).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}
