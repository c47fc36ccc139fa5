//! What a connected peer is, on either stack: a session with its capabilities, messages in, events out.
//!
//! Owns: sessions, dialing and listening on both stacks, their limits and windows.
//! Must not know: what messages mean.
//! Start at: [`Transports`].  Told by: the tests at the end of each file, `tests/tests/hostile_bytes.rs`.

mod session;

pub use session::{CloseReason, Incoming, SendError, Session, SessionEvent, Slot};
