//! The shell around the decisions: light peers on one side, full nodes on the other.
//!
//! Owns: tasks and channels between sessions, the translator, upstreams and verification.
//! Must not know: discovery, config files, byte layouts.
//! Start at: [`Service`] for light peers, [`Verified`] for full nodes, [`Backend`] between them, [`Keeper`] for a
//! light peer's own session.
//! Told by: `tests/tests/light_request.rs`, `tests/tests/lying_upstream.rs`, `tests/tests/sleeping.rs`.

mod account_key;
mod backend;
mod cache;
mod follower;
mod full_nodes;
mod keeper;
mod service;
mod split;
mod upstream;
mod usher;
mod verified;

use std::{future::pending, time::Instant};

pub use backend::{Backend, BackendError};
pub use follower::Follower;
pub use full_nodes::{AdmitError, BANISHMENT, FullNodes};
pub use keeper::{Keeper, KeeperConfig, Link, Path, Route, Search};
pub use service::{Counts, Service};
pub use upstream::{GreetError, Tip, Upstream};
pub use usher::{Ushered, usher};
pub use verified::{Verified, VerifiedConfig};

/// Sleeps until an instant; for ever if there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => pending().await,
    }
}
