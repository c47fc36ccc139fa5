//! An embedded full node over a small live clique chain that it makes up itself.
//!
//! Owns: the development chain: genesis and its public keys, execution, sealing, the pool of sent transactions.
//! Must not know: sessions, LES, who asks.
//! Start at: [`DevBackend`].  Told by: `tests/chain.rs`, `tests/blocks_verify.rs`.

mod account;
mod answer;
mod backend;
mod chain;
mod config;
mod execute;
pub mod genesis;
mod pool;
mod seal;
mod state;
mod traffic;
mod transaction;
mod trie;

pub use account::{DevAccount, NAMES};
pub use backend::DevBackend;
pub use chain::{Counts, DevChain, Sample};
pub use config::{Config, DevError, MAX_BLOCKS};
pub use genesis::genesis_json;
