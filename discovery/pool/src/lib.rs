//! The pool of peers of both stacks: which are wanted, dialed, remembered and let go.
//!
//! Owns: targets per role, the order of dials, patience after failures, shares of subnets, what a peer has been
//! worth, what is remembered of it, who goes when there are too many.
//! Must not know: sockets, clocks, how a peer is found or what it is asked.
//! Start at: [`Pool`] and [`PoolConfig`].  Told by: the tests at the end of each file, `src/pool/tests.rs`,
//! `tests/simulation` (a network with dead records, churn and blocked bootnodes), `tests/model.rs`.

mod config;
mod contact;
mod info;
mod memory;
mod node;
mod patience;
mod pool;
mod random;
mod role;
mod shunned;
mod source;
mod subnet;
mod worth;

pub use config::{
    CANDIDATES, CANDIDATES_PER_SUBNET, FAST_SEARCH, PoolConfig, SLOW_SEARCH, SUBNET_DIALS, SUBNET_PEERS,
    Targets,
};
pub use contact::{MAX_ADDRESS, MAX_ADDRESSES, Named};
pub use info::{MAX_EVENTS, PeerInfo, PeerState, PoolEvent, RoleSummary, SourceSummary, Summary};
pub use memory::{MAX_MEMORY, MAX_REMEMBERED, Memory, MemoryError};
pub use patience::{BANISHED, Failure, GIVE_UP, STABLE};
pub use pool::{Connected, Dial, MAX_CLIENT, MAX_CONNECTED, MAX_NAMED, Pool, Refused, Search};
pub use role::Role;
pub use shunned::MAX_SHUNNED;
pub use source::Source;
pub use worth::{LONGEST_MEMORY, MOST_WORTH, SHORTEST_MEMORY, Value};
