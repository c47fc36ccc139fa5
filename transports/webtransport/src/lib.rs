//! libp2p's WebTransport, listening side: browsers and go-libp2p dial it without a domain name.
//!
//! Owns: certificates that are known by their hash, HTTP/3 as far as CONNECT takes it, sessions and their
//! streams, the addresses a listener has, and its limits.
//! Must not know: which protocols run on the streams, who the peers are, what they are let do.
//! Start at: [`Transport`].  Told by: `tests/listener.rs`, `limits.rs`, `storms.rs`, `go_libp2p.rs`.
//!
//! ```no_run
//! use libp2p::{SwarmBuilder, ping};
//! use webtransport::{Config, Transport};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut swarm = SwarmBuilder::with_new_identity()
//!     .with_tokio()
//!     .with_other_transport(|identity| Ok(Transport::new(Config::new(identity)?)?))?
//!     .with_behaviour(|_| ping::Behaviour::default())?
//!     .build();
//! swarm.listen_on("/ip4/0.0.0.0/udp/4001/quic-v1/webtransport".parse()?)?;
//! # Ok(())
//! # }
//! ```

mod address;
mod certificate;
mod clock;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod http3;
mod listener;
mod quic;
mod session;
mod transport;
mod varint;

pub use certificate::{Certhash, Certificate, CertificateError, Certificates, SKEW, WINDOW, Window};
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{Config, Limits};
pub use error::{Error, HandshakeError, SessionError};
pub use gate::{Full, GateReport};
pub use http3::{
    capsule::CapsuleError, frame::FrameError, qpack::QpackError, request::RequestError,
    settings::SettingsError,
};
pub use session::{Session, Stream};
pub use transport::{Handle, Transport};
