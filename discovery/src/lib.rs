//! Finds peers worth dialing and says when to dial them.
//!
//! Owns: candidates, the list of full nodes that the user named, the patience between dials.
//! Must not know: sessions, sockets, what peers are asked.
//! Start at: [`FixedNodes`].  Told by: the tests at the end of each file.

mod candidate;
mod fixed;

pub use candidate::{Candidate, Origin};
pub use fixed::{DialFailure, FixedNodes};
