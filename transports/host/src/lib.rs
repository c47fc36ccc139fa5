//! The libp2p host: TCP, QUIC, WebSocket and secure WebSocket put together, and protocol streams cut into RLP items.
//!
//! Owns: the swarm, its transports and limits, the one-stream-per-connection rule, the stream framing, rendezvous,
//! places at relays, hole punching.
//! Must not know: RLPx, what LES means, who may ask what.
//! Start at: [`Host`].  Told by: the tests at the end of each file, `tests/*.rs`.

mod agent;
mod behaviour;
mod certificate;
mod channel;
mod config;
mod convert;
mod error;
mod frame;
mod framing;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod guard;
mod heart;
mod host;
mod identity;
mod item_io;
mod lists;
mod memory;
mod ping;
mod protobuf;
mod punching;
mod rate;
mod reach;
mod rendezvous;
mod stack;
mod streams;
mod swarm;
mod tls;
mod websocket;

pub use agent::Agent;
pub use certificate::{CertificateError, CertificateFiles, is_dns_name, read_roots};
pub use config::{ConnectionKey, HostConfig, HostLimits, Listen};
pub use error::{HostError, OpenError};
pub use framing::{CutError, Item, ItemCutter, ItemLimits, encode_item};
pub use guard::DialGuard;
pub use heart::Heart;
pub use host::{Host, ProtocolStream};
pub use identity::{InvalidSecretKey, node_key, parse_peer_id, peer_id_of, peer_id_text};
pub use item_io::{
    ITEM_TIMEOUT, ItemReader, ItemWriter, ReadError, SLOWEST_READER, WRITE_TIMEOUT, WriteError,
};
pub use lists::{Denied, InvalidListed, InvalidSubnet, Listed, Lists, Rules, Subnet};
pub use memory::MemoryBudget;
pub use rate::{HandshakeRate, TooFast};
pub use reach::{
    CircuitService, Observed, Punches, ReachConfig, ReachFacts, RelayUsage, Reservation, Verdict,
};
pub use rendezvous::{Discovered, Malformed, RendezvousError, RendezvousLimits, RendezvousStatus, Renewal};
pub use stack::install_crypto_provider;
