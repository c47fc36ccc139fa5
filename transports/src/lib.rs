//! What a connected peer is, on either stack: a session with its capabilities, messages in, events out.
//!
//! Owns: sessions, dialing and listening on both stacks, their limits and windows.
//! Must not know: what messages mean.
//! Start at: [`Transports`].  Told by: the tests at the end of each file, `tests/*.rs` here, `tests/tests/hostile_bytes.rs`.

mod dialer;
mod error;
mod gate;
mod limits;
mod listener;
mod peers;
mod random;
mod secure;
mod session;
mod stream;
mod tcp;
mod transports;

pub use causeway_host::{
    CertificateError, CertificateFiles, Denied, DialGuard, Discovered, HostError, HostLimits, InvalidListed,
    InvalidSubnet, Listed, Lists, MemoryBudget, OpenError, RendezvousError, RendezvousLimits,
    RendezvousStatus, Renewal, Subnet, install_crypto_provider, node_key, peer_id_text, read_roots,
};
pub use causeway_host::{
    CircuitService, Observed, Punches, ReachConfig, ReachFacts, RelayUsage, Reservation, Verdict,
};
pub use dialer::Address;
pub use error::{DialError, Reason, TransportsError};
pub use limits::{Limits, MessageLimit, MessageLimits};
pub use peers::Connected;
pub use secure::SecureWebSocket;
pub use session::{CloseReason, Incoming, SendError, Session, SessionEvent, Slot};
pub use transports::{Counts, Transports, TransportsConfig};

use transports::Shared;
