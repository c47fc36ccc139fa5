//! What a host is told before it starts: its key, where it listens, which protocols it offers, its limits.

use std::{fmt, net::SocketAddr, time::Duration};

use causeway_wire::{Capability, heartbeat};

use crate::{CertificateFiles, DialGuard, ItemLimits, Lists, MemoryBudget, ReachConfig, RendezvousLimits};

/// Names one connection of a host; never reused while the host lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey(pub u64);

impl fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A socket to listen on; port 0 takes a free one. The unspecified IPv6 address `::` means every address of the
/// machine, those of IPv4 included, on one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP with noise or TLS, and yamux.
    Tcp(SocketAddr),
    /// QUIC version 1 over UDP.
    Quic(SocketAddr),
    /// WebSocket over TCP with noise and yamux; what browsers dial from pages without TLS.
    WebSocket(SocketAddr),
    /// WebSocket over TLS with noise and yamux within; what browsers dial from everywhere. It needs a
    /// [`HostConfig::certificate`].
    SecureWebSocket(SocketAddr),
    /// WebTransport over QUIC, on a UDP port of its own; what browsers dial from everywhere without a certificate
    /// of ours being known to anybody: its hash is in the address.
    WebTransport(SocketAddr),
    /// WebRTC-direct, on a UDP port of its own; for browsers that lack WebTransport. Experimental.
    WebRtcDirect(SocketAddr),
}

/// What [`Host::start`](crate::Host::start) is given.
#[derive(Clone)]
pub struct HostConfig {
    /// The node's secp256k1 secret key; its public half is the `PeerId`.
    pub secret_key: [u8; 32],
    /// Where to listen; empty for a host that only dials.
    pub listen: Vec<Listen>,
    /// What secure WebSockets show.
    pub certificate: Option<CertificateFiles>,
    /// Roots that are trusted when secure WebSockets are dialed, beside those of the web; DER.
    pub trusted_roots: Vec<Vec<u8>>,
    /// Protocols taken from others, preferred first. Empty: streams are only opened, none is taken.
    pub protocols: Vec<Capability>,
    /// How the host calls itself in identify.
    pub agent: String,
    /// Multiaddrs told to others by identify. Listen addresses are never told: they may be private, and
    /// they lie about TLS when a proxy stands before the WebSocket.
    ///
    /// They can be changed while the host runs: [`Host::set_external_addresses`](crate::Host::set_external_addresses).
    pub external_addresses: Vec<String>,
    /// Which IP addresses [`Host::open`](crate::Host::open) dials, after names were resolved. Addresses that the
    /// user named are dialed wherever they lead, by [`Host::open_named`](crate::Host::open_named).
    pub dial_guard: DialGuard,
    /// Makes the host a rendezvous point, at which others register and find each other. Default: it is none.
    pub rendezvous_server: Option<RendezvousLimits>,
    /// What is done to be reached, and for others to be.
    pub reach: ReachConfig,
    /// Largest items read from streams that others opened. Streams that we open start with it too and may be
    /// given other limits by [`ItemReader::set_limits`](crate::ItemReader::set_limits).
    pub item_limits: ItemLimits,
    /// Limits of connections and streams.
    pub limits: HostLimits,
    /// Who is let in; can be changed while the host runs: [`Host::set_lists`](crate::Host::set_lists).
    pub lists: Lists,
}

impl HostConfig {
    /// A host that listens nowhere, with default limits.
    pub fn new(secret_key: [u8; 32], protocols: Vec<Capability>) -> Self {
        Self {
            secret_key,
            listen: Vec::new(),
            certificate: None,
            trusted_roots: Vec::new(),
            protocols,
            agent: concat!("causeway/", env!("CARGO_PKG_VERSION")).to_owned(),
            external_addresses: Vec::new(),
            dial_guard: DialGuard::Any,
            rendezvous_server: None,
            reach: ReachConfig::default(),
            item_limits: ItemLimits::default(),
            limits: HostLimits::default(),
            lists: Lists::default(),
        }
    }
}

/// Without the key.
impl fmt::Debug for HostConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostConfig")
            .field("listen", &self.listen)
            .field("certificate", &self.certificate)
            .field("protocols", &self.protocols)
            .field("agent", &self.agent)
            .field("external_addresses", &self.external_addresses)
            .field("dial_guard", &self.dial_guard)
            .field("rendezvous_server", &self.rendezvous_server)
            .field("reach", &self.reach)
            .field("item_limits", &self.item_limits)
            .field("limits", &self.limits)
            .field("lists", &self.lists)
            .finish_non_exhaustive()
    }
}

/// Limits of connections and streams. Addresses of the loopback, and those of allowed networks
/// ([`Lists::allow`]), are exempt from the limits per address and network.
///
/// An idle connection costs 40 to 80 kB, so the default total may take 320 MB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLimits {
    /// Established connections, both directions.
    pub connections: usize,
    /// Established connections that others opened.
    pub incoming: usize,
    /// Established connections that we opened.
    pub outgoing: usize,
    /// Handshakes under way on connections that others opened.
    pub pending_incoming: usize,
    /// New connections a second from one IPv4 address or IPv6 /64; four times as many at once.
    pub handshakes_per_ip: u32,
    /// Dials under way.
    pub pending_outgoing: usize,
    /// Connections with one peer.
    pub per_peer: usize,
    /// Connections, pending ones included, from one IPv4 address.
    pub per_ipv4: usize,
    /// Connections, pending ones included, from one IPv4 /24.
    pub per_ipv4_24: usize,
    /// Connections, pending ones included, from one IPv6 /64.
    pub per_ipv6_64: usize,
    /// Connections, pending ones included, from one IPv6 /56, which many providers give to one customer.
    pub per_ipv6_56: usize,
    /// Connections, pending ones included, from one IPv6 /48.
    pub per_ipv6_48: usize,
    /// Streams of one connection, ours and theirs; a peer that opens more loses the connection (yamux) or
    /// waits (QUIC).
    pub streams: usize,
    /// Streams of one connection that are still agreeing on a protocol.
    pub negotiating_streams: usize,
    /// Protocol streams that we open on one connection.
    pub outbound_protocol_streams: usize,
    /// Streams of others that wait for the owner to take them from the receiver; the next stay in their handler.
    pub untaken_streams: usize,
    /// Connections that came through relays, pending ones included: they have no address that could be counted.
    pub relayed: usize,
    /// How long a connection without streams is kept.
    pub idle_timeout: Duration,
    /// The longest heartbeat that our own sessions will wish for: QUIC leaves connections that we dial alone for so
    /// long. Those of others are left alone for as long as any of them may wish.
    pub heartbeat: Duration,
    /// Handshake of a connection, from the first byte to the agreed muxer.
    pub handshake_timeout: Duration,
    /// Everything that [`Host::open`](crate::Host::open) does.
    pub open_timeout: Duration,
    /// What the process may take. From 80 % of it on nobody new is let in; from 90 % on idle connections of others
    /// are closed, a few at a time: first those without a protocol stream, then those whose peers have asked nothing
    /// for longest. `None` (the default): memory is not looked at.
    pub memory: Option<MemoryBudget>,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            connections: 4_000,
            incoming: 3_500,
            outgoing: 500,
            pending_incoming: 256,
            handshakes_per_ip: 5,
            pending_outgoing: 64,
            per_peer: 4,
            per_ipv4: 16,
            per_ipv4_24: 64,
            per_ipv6_64: 8,
            per_ipv6_56: 16,
            per_ipv6_48: 64,
            streams: 64,
            negotiating_streams: 32,
            outbound_protocol_streams: 16,
            untaken_streams: 64,
            relayed: 512,
            idle_timeout: Duration::from_secs(120),
            heartbeat: heartbeat::DEFAULT,
            handshake_timeout: Duration::from_secs(10),
            open_timeout: Duration::from_secs(20),
            memory: None,
        }
    }
}
