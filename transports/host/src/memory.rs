//! How much memory there is, and who goes when it becomes short.
//!
//! libp2p's own `memory-connection-limits` knows nothing of cgroups, closes nothing, and reads the map of every page
//! of the process on the swarm's task.

mod budget;
mod keeper;

pub use budget::MemoryBudget;
pub(crate) use budget::resident;
pub(crate) use keeper::{Candidate, Keeper, Level};
