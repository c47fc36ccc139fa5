//! Finds peers worth dialing and says when to dial them.
//!
//! Owns: the task around the pool of peers, our own record, discv5 and discv4 on one UDP port, topics in TALKREQ,
//! the reading of node lists from the DNS, where to begin on the built-in networks.
//! Must not know: sessions, what peers are asked.
//! Start at: [`Discovery`], [`udp::Udp`] and [`DnsLists`].  Told by: the tests at the end of each file,
//! `tests/udp/`, `tests/topics.rs`, `tests/dns.rs`, and the pool's own.

mod bootstrap;
mod discovery;
mod dns;
mod own_record;
mod topics;
pub mod udp;

pub use bootstrap::{bootnodes, dns_lists};
pub use discovery::{Discovery, DiscoveryConfig, DiscoveryError, Looking, Order, Report, View};
pub use dns::{DnsClient, DnsClientError, DnsLists, Pace, Reading, Trees};
pub use own_record::{OwnRecord, now_millis, read_record};
pub use topics::{TOPICS_PROTOCOL, TopicStats, Topics, TopicsConfig};
pub use udp::{
    Bootnode, External, Found, Sockets, TalkRegistry, Udp, UdpConfig, UdpError, UdpLimits, UdpStats,
};
