//! What may be believed: one code for the relay and for the light peer.
//!
//! Owns: chain specifications, the header index, seals, and the checks of bodies, receipts, state, code,
//! helper tries and signed announcements against it.
//! Must not know: who asked, who answered, time, sockets.
//! Start at: [`HeaderChain`] and [`check`].  Told by: the tests at the end of each file, `tests/tests/lying_upstream.rs`.

pub mod chain;
pub mod chain_spec;
pub mod check;
pub mod seal;

pub use chain::{HeaderChain, HeaderError, Inserted, Known, Root, Rule};
pub use chain_spec::{ChainSpec, ChainSpecError, Engine, Forks};
pub use check::{Lie, Quorum, Verdict};
pub use seal::clique::{clique_seal_hash, clique_signer};

#[cfg(test)]
mod vectors;
