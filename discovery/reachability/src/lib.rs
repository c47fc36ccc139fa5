//! Whether others can reach us, by which way, why not, and what a person can do: one value for the user.
//!
//! Owns: what the evidence means (dial-backs, mappings, what peers see), the words for it, how long evidence counts,
//! that a verdict does not flap, which addresses are worth a test and which are told to others.
//! Must not know: sockets, clocks, who tests, how a router is asked.
//! Start at: [`Evidence`] and [`Judge`].  Told by: the tests at the end of each file, `tests/table.rs` (each row of
//! the advice), `tests/telling.rs`.
//!
//! Dial-backs by others decide. What peers see us at says only why a dial-back failed, and what else may work.

mod cause;
mod evidence;
mod finding;
mod judge;
mod place;
mod steady;
mod telling;
mod translation;
mod words;

pub use cause::Cause;
pub use evidence::{
    Arrival, Evidence, Hop, MappedPort, Observed, Outcome, Punches, UdpSeen, VERDICT_LIFE, Verdict,
};
pub use finding::{Confidence, Finding, Reachability, State, Telling};
pub use place::{Carrier, Family, Place, Transport};
pub use steady::{Judge, STEADY};
pub use telling::{MAX_TOLD, Own, Policy, Told, candidates, tell};
pub use translation::Translation;
