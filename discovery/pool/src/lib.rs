//! The pool of peers of both stacks: which are wanted, dialed, remembered and let go.
//!
//! Owns: targets per role, patience after failures, what is remembered of a peer, who goes when there are too many.
//! Must not know: sockets, clocks, how a peer is found or what it is asked.
//! Start at: the pool.  Told by: the tests at the end of each file and the simulation.

mod role;
mod source;

pub use role::Role;
pub use source::Source;
