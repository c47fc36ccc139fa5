//! Node Discovery v4 as a machine: packets and time in, packets and found nodes out.
//!
//! Owns: packets of discv4 with EIP-868, endpoint proofs, the table of nodes, lookups, and their limits.
//! Must not know: sockets, clocks, OS randomness, what a found node is used for.
//! Start at: [`Discv4`], then [`packet`].  Told by: `tests`, and the end of each file.

mod bonds;
mod dropped;
mod intake;
mod lookup;
mod machine;
mod network;
mod node;
pub mod packet;
mod probes;
mod random;
mod rate;
mod recent;
mod requests;
mod table;

pub use bonds::{BOND_LIFE, MAX_BONDS, MAX_BONDS_PER_HOST};
pub use dropped::Dropped;
pub use intake::{
    HOST_BURST, HOST_RATE, MAX_TRACKED, STRANGER_BURST, STRANGER_RATE, SUBNET_BURST, SUBNET_RATE,
};
pub use lookup::{ALPHA, MAX_ASKED, MAX_CANDIDATES};
pub use machine::{
    Config, Discv4, EXPIRATION, Event, FOUND_AGAIN, Limits, MAX_AHEAD, REFRESH_INTERVAL,
    REVALIDATION_INTERVAL, Stats, Transmit,
};
pub use probes::{MAX_PROBES, MAX_PROBES_PER_HOST};
pub use requests::REQUEST_TIMEOUT;
pub use table::{
    BUCKET_SIZE, BUCKET_SUBNET_LIMIT, BUCKETS, MAX_FAILURES, MAX_REPLACEMENTS, TABLE_SUBNET_LIMIT,
};
