//! libp2p's WebRTC-direct, listening side: browsers and go-libp2p dial it without a domain name.
//!
//! Owns: the passive side of ICE, DTLS and SCTP of a connection, data channels as streams, the certificate that an
//! address names, the addresses a listener has, and its limits.
//! Must not know: which protocols run on the streams, who the peers are, what they are let do.
//! Start at: [`Transport`].  Told by: `src/pair/tests.rs`, `tests/storms.rs`, `go_libp2p.rs`.
//!
//! ```no_run
//! use libp2p::{SwarmBuilder, ping};
//! use webrtc_direct::{Config, Transport};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut swarm = SwarmBuilder::with_new_identity()
//!     .with_tokio()
//!     .with_other_transport(|identity| Ok(Transport::new(Config::new(identity)?)?))?
//!     .with_behaviour(|_| ping::Behaviour::default())?
//!     .build();
//! swarm.listen_on("/ip4/0.0.0.0/udp/4001/webrtc-direct".parse()?)?;
//! # Ok(())
//! # }
//! ```

mod address;
mod certificate;
mod channels;
mod config;
mod connection;
mod dcep;
mod endpoint;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod halves;
mod listener;
mod machine;
mod message;
#[cfg(test)]
mod pair;
mod session;
mod stun;
mod transport;

pub use certificate::{Certhash, Certificate, CertificateError};
pub use config::{Config, Limits};
pub use error::{Error, HandshakeError, SessionError};
pub use gate::{Full, GateReport};
pub use session::{Session, Stream};
pub use transport::{Handle, Transport};
