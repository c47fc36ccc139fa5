//! What a keeper works with, and what it tells.

use std::{fmt, sync::Arc};

use causeway_transports::Transports;
use futures::future::BoxFuture;

use super::route::Route;
use crate::{follower::Follower, full_nodes::FullNodes, upstream::Upstream};

/// How things stand with the server.
#[derive(Clone, Debug)]
pub enum Link {
    /// There is a session.
    Up(Upstream),
    /// There is none; it is being sought.
    Down,
    /// There will be none any more: why.
    Over(String),
}

/// Finds further ways to the server, when the known ones lead nowhere.
pub type Search = Arc<dyn Fn() -> BoxFuture<'static, Vec<Route>> + Send + Sync>;

/// What a keeper works with.
pub struct KeeperConfig {
    /// Dials.
    pub transports: Transports,
    /// Where the session is entered; it greets.
    pub nodes: Arc<FullNodes>,
    /// Follows each session.
    pub follower: Arc<Follower>,
    /// The ways to the server that are known, of which so many are remembered: 16.
    pub routes: Vec<Route>,
    /// Finds further ones.
    pub search: Option<Search>,
}

impl fmt::Debug for KeeperConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeeperConfig").field("routes", &self.routes).finish_non_exhaustive()
    }
}
