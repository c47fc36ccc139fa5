//! A devp2p connection as a machine without sockets: bytes and time in, sealed bytes and events out.
//!
//! Owns: the ECIES handshake, frames and their MACs, snappy, Hello, keepalive, codes of capabilities.
//! Must not know: sockets, runtimes, clocks, OS randomness; what sub-protocol messages mean.
//! Start at: [`Connection`].  Told by: `src/handshake/tests.rs`, `src/connection/tests/*.rs`.

mod config;
mod connection;
mod ecies;
mod event;
mod fault;
mod frame;
mod handshake;
mod hello;
mod keepalive;
mod mac;
mod mux;
mod outbox;
mod reason;
mod replay;
mod secrets;
mod snappy;

pub use config::{Config, MessageLimits, Randomness, Timeouts};
pub use connection::Connection;
pub use event::{Closed, Event, SendError};
pub use fault::{Fault, HandshakeError, HelloError, Timeout};
pub use reason::DisconnectReason;
pub use replay::SeenAuths;
