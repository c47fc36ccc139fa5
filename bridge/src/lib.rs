//! The shell around the decisions: light peers on one side, full nodes on the other.
//!
//! Owns: tasks and channels between sessions, the translator, upstreams and verification.
//! Must not know: discovery, config files, byte layouts.
//! Start at: [`Backend`].  Told by: `tests/tests/light_request.rs`, `lying_upstream.rs`.

mod backend;

pub use backend::{Backend, BackendError};
