//! libp2p's WebTransport, listening side: browsers and go-libp2p dial it without a domain name.
//!
//! Owns: certificates that are known by their hash, HTTP/3 as far as CONNECT takes it, sessions and their
//! streams, the addresses a listener has, and its limits.
//! Must not know: which protocols run on the streams, who the peers are, what they are let do.
//! Start at: [`Transport`].  Told by: `tests/listener.rs`, `tests/limits.rs`, `tests/go_libp2p.rs`.

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
