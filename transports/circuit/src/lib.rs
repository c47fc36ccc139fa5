//! A circuit relay v2 server: peers that nobody can reach are reached through it, within hard limits.
//!
//! Owns: who gets a reservation and a circuit, the hop and stop protocols, the bytes between two peers,
//! accounts of what each peer took.
//! Must not know: what circuits are used for, whether we can be reached, how addresses are found.
//! Start at: [`Behaviour`].  Told by: `tests/client.rs`, `limits.rs`, `storms.rs`, `go_libp2p.rs`.
//!
//! ```no_run
//! use circuit::{Behaviour, Config};
//! use libp2p::{SwarmBuilder, noise, tcp, yamux};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut swarm = SwarmBuilder::with_new_identity()
//!     .with_tokio()
//!     .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
//!     .with_behaviour(|key| Behaviour::new(key, Config::default()))?
//!     .build();
//! swarm.listen_on("/ip4/0.0.0.0/tcp/4001".parse()?)?;
//! // Once it is known that others can reach us, and where:
//! swarm.behaviour_mut().set_addresses(["/ip4/192.0.2.7/tcp/4001".parse()?]);
//! swarm.behaviour_mut().set_enabled(true);
//! # Ok(())
//! # }
//! ```

mod accounts;
mod admission;
mod behaviour;
mod config;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod message;
mod meter;
mod origin;
mod pacer;
mod policy;
mod rates;
mod splice;
mod voucher;

pub use accounts::{Accounts, Usage};
pub use admission::{CircuitId, Refusal};
pub use behaviour::{Behaviour, MAX_ADDRESSES};
pub use config::{CircuitLimit, Config, Limits, Rate};
pub use event::{CircuitEnd, Event, ReservationEnd};
pub use handler::{Command, HOP, Handler, Offer, Report, STOP};
pub use meter::Bytes;
pub use policy::{Everybody, Policy};
