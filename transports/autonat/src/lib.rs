//! AutoNAT v2 for libp2p: can others dial us at this address?
//!
//! Owns: the messages, which addresses may be tested at all, whom a client asks and when it believes what, what a
//! server dials for whom and how often.
//! Must not know: where candidates come from, what is done with a verdict, which transports the swarm is made of.
//! Start at: [`client::Behaviour`], [`server::Behaviour`].  Told by: `tests/loopback.rs`, `storm.rs`, `cost.rs`,
//! `arbitrary.rs`, `rust_libp2p.rs`, `go_libp2p.rs`.
//!
//! ```no_run
//! use autonat::{Scope, client, server};
//! use libp2p::{SwarmBuilder, identify, noise, swarm::NetworkBehaviour, tcp, yamux};
//!
//! #[derive(NetworkBehaviour)]
//! struct Behaviour {
//!     identify: identify::Behaviour,
//!     client: client::Behaviour,
//!     server: server::Behaviour,
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut swarm = SwarmBuilder::with_new_identity()
//!     .with_tokio()
//!     .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
//!     .with_behaviour(|key| Behaviour {
//!         identify: identify::Behaviour::new(identify::Config::new("/example/1".into(), key.public())),
//!         client: client::Behaviour::new(client::Config::default(), key.public().to_peer_id()),
//!         server: server::Behaviour::new(server::Config { enabled: true, ..Default::default() }),
//!     })?
//!     .build();
//! swarm.behaviour_mut().client.set_candidates(["/ip4/203.0.113.7/tcp/4001".parse()?]);
//! # Ok(())
//! # }
//! ```

mod address;
pub mod client;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod ip;
mod message;
mod offer;
pub mod server;

pub use address::{NotATarget, Transport};
pub use ip::Scope;
pub use offer::Offer;
