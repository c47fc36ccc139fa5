//! Finds peers worth dialing and says when to dial them.
//!
//! Owns: candidates, the list of full nodes that the user named, the patience between dials, reading of node lists
//! from the DNS.
//! Must not know: sessions, what peers are asked.
//! Start at: [`FixedNodes`] and [`DnsLists`].  Told by: the tests at the end of each file, `tests/dns.rs`.

mod bootstrap;
mod candidate;
mod dns;
mod fixed;
pub mod udp;

pub use bootstrap::{bootnodes, dns_lists};
pub use candidate::{Candidate, Origin};
pub use dns::{DnsClient, DnsClientError, DnsLists, Pace, Reading, Trees};
pub use fixed::{DialFailure, FixedNodes};
pub use udp::{Bootnode, External, Found, Sockets, TalkRegistry, Udp, UdpConfig, UdpError, UdpLimits, UdpStats};
