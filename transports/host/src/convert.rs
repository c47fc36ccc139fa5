//! libp2p's words and ours: protocol ids and capabilities, multiaddrs and where they lead.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use causeway_wire::Capability;
use libp2p::{Multiaddr, PeerId, StreamProtocol, multiaddr::Protocol as Part};

use crate::{Listen, OpenError};

/// A capability with its protocol id, `/name/version`.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) id: StreamProtocol,
    pub(crate) capability: Capability,
}

impl Protocol {
    /// `None` if the name cannot stand in a protocol id.
    pub(crate) fn new(capability: &Capability) -> Option<Self> {
        let name = capability.name.as_ref();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(plain) {
            return None;
        }
        let id = StreamProtocol::try_from_owned(format!("/{name}/{}", capability.version)).ok()?;
        Some(Self { id, capability: capability.clone() })
    }
}

impl AsRef<str> for Protocol {
    fn as_ref(&self) -> &str {
        self.id.as_ref()
    }
}

/// What carries a connection through a relay, as sessions and logs call it.
pub(crate) const RELAYED: &str = "relay";

/// The transports by the names that sessions and logs use.
pub(crate) fn transport_name(address: &Multiaddr) -> &'static str {
    let (mut name, mut tls) = ("tcp", false);
    for part in address {
        match part {
            Part::P2pCircuit => return RELAYED,
            Part::QuicV1 => name = "quic",
            Part::WebTransport => return "webtransport",
            Part::WebRTCDirect => return "webrtc-direct",
            Part::Tls => tls = true,
            Part::Ws(_) => name = if tls { "wss" } else { "ws" },
            Part::Wss(_) => name = "wss",
            _ => {}
        }
    }
    name
}

/// What to dial: an address of one of our transports, and who should answer.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// As it was given, for messages.
    pub(crate) text: String,
    /// Without `/p2p/`.
    pub(crate) address: Multiaddr,
    pub(crate) peer: Option<PeerId>,
    pub(crate) transport: &'static str,
    /// The relay through which it is reached, if there is one between.
    pub(crate) via: Option<Box<Self>>,
}

impl Target {
    /// Somebody whose address is known to be one that can be dialed.
    pub(crate) fn direct(address: Multiaddr, peer: PeerId) -> Self {
        let text = address.clone().with(Part::P2p(peer)).to_string();
        let transport = transport_name(&address);
        Self { text, address, peer: Some(peer), transport, via: None }
    }

    /// `ADDRESS/p2p/RELAY/p2p-circuit/p2p/PEER`.
    fn parse_circuit(text: &str, address: &Multiaddr) -> Result<Self, OpenError> {
        let refuse =
            |reason: &str| OpenError::Address { address: text.to_owned(), reason: reason.to_owned() };
        let mut parts = address.iter();
        let before: Multiaddr = parts.by_ref().take_while(|part| *part != Part::P2pCircuit).collect();
        let (Some(Part::P2p(peer)), None) = (parts.next(), parts.next()) else {
            return Err(refuse("behind /p2p-circuit there must be the peer that is meant, as /p2p/16Uiu2…"));
        };
        let relay = Self::parse(&before.to_string())?;
        if relay.peer.is_none() {
            return Err(refuse("before /p2p-circuit there must be the relay, as /p2p/16Uiu2…"));
        }
        Ok(Self {
            text: text.to_owned(),
            address: before.with(Part::P2pCircuit),
            peer: Some(peer),
            transport: RELAYED,
            via: Some(Box::new(relay)),
        })
    }

    pub(crate) fn parse(text: &str) -> Result<Self, OpenError> {
        let refuse =
            |reason: &str| OpenError::Address { address: text.to_owned(), reason: reason.to_owned() };
        let mut address: Multiaddr = text.parse().map_err(|error| refuse(&format!("{error}")))?;
        if address.iter().any(|part| part == Part::P2pCircuit) {
            return Self::parse_circuit(text, &address);
        }
        let peer = match address.iter().last() {
            Some(Part::P2p(peer)) => {
                address.pop();
                Some(peer)
            }
            _ => None,
        };
        let mut parts = address.iter();
        match parts.next() {
            Some(Part::Ip4(_) | Part::Ip6(_) | Part::Dns(_) | Part::Dns4(_) | Part::Dns6(_)) => {}
            Some(Part::Dnsaddr(_)) => {
                return Err(refuse("dnsaddr names many peers; give the address of one of them"));
            }
            _ => return Err(refuse("it starts with neither an IP address nor a DNS name")),
        }
        let known = match parts.next() {
            Some(Part::Udp(port)) => {
                port != 0 && matches!((parts.next(), parts.next()), (Some(Part::QuicV1), None))
            }
            Some(Part::Tcp(port)) => {
                port != 0
                    && parts.all(|part| matches!(part, Part::Ws(_) | Part::Wss(_) | Part::Tls | Part::Sni(_)))
            }
            _ => false,
        };
        if !known {
            return Err(refuse(
                "only /tcp/N, /tcp/N/ws, /tcp/N/tls/ws and /udp/N/quic-v1 are spoken, and these of a relay before /p2p-circuit",
            ));
        }
        let transport = transport_name(&address);
        Ok(Self { text: text.to_owned(), address, peer, transport, via: None })
    }
}

/// The IPv4 half of a listener on every address of the machine: the transports bind `::` for IPv6 only.
pub(crate) fn ipv4_half(listen: &Listen) -> Option<Listen> {
    let half = |address: &SocketAddr| {
        let all = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        all.then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
    };
    match listen {
        Listen::Tcp(address) => half(address).map(Listen::Tcp),
        Listen::Quic(address) => half(address).map(Listen::Quic),
        Listen::WebSocket(address) => half(address).map(Listen::WebSocket),
        Listen::SecureWebSocket(address) => half(address).map(Listen::SecureWebSocket),
        Listen::WebTransport(address) => half(address).map(Listen::WebTransport),
        Listen::WebRtcDirect(address) => half(address).map(Listen::WebRtcDirect),
    }
}

/// `listen` on another port.
pub(crate) fn at_port(mut listen: Listen, port: u16) -> Listen {
    match &mut listen {
        Listen::Tcp(address)
        | Listen::Quic(address)
        | Listen::WebSocket(address)
        | Listen::SecureWebSocket(address)
        | Listen::WebTransport(address)
        | Listen::WebRtcDirect(address) => address.set_port(port),
    }
    listen
}

/// The TCP or UDP port in `address`.
pub(crate) fn port_of(address: &Multiaddr) -> Option<u16> {
    address.iter().find_map(|part| match part {
        Part::Tcp(port) | Part::Udp(port) => Some(port),
        _ => None,
    })
}

/// The multiaddr to bind for `listen`.
pub(crate) fn listen_address(listen: &Listen) -> Multiaddr {
    let ip = |address: &SocketAddr| Multiaddr::from(address.ip());
    match listen {
        Listen::Tcp(address) => ip(address).with(Part::Tcp(address.port())),
        Listen::Quic(address) => ip(address).with(Part::Udp(address.port())).with(Part::QuicV1),
        Listen::WebSocket(address) => ip(address).with(Part::Tcp(address.port())).with(Part::Ws("/".into())),
        Listen::WebTransport(address) => {
            ip(address).with(Part::Udp(address.port())).with(Part::QuicV1).with(Part::WebTransport)
        }
        Listen::WebRtcDirect(address) => ip(address).with(Part::Udp(address.port())).with(Part::WebRTCDirect),
        Listen::SecureWebSocket(address) => {
            ip(address).with(Part::Tcp(address.port())).with(Part::Tls).with(Part::Ws("/".into()))
        }
    }
}

/// Longest agent text kept; it ends up in logs and on status pages.
const MAX_AGENT: usize = 128;

/// A peer's own name for itself, made fit for a log line.
pub(crate) fn clean_agent(agent: &str) -> String {
    agent.chars().filter(|character| !character.is_control()).take(MAX_AGENT).collect()
}

/// An error with everything behind it, in one line.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "16Uiu2HAmSyrLhdYmzw1sfQFqsuD8PvZHRLh3JCLdtuVUBTeHZSeR";

    #[test]
    fn capability_becomes_a_protocol_id() {
        let protocol = Protocol::new(&Capability::new("les", 4)).expect("plain");

        assert_eq!(protocol.as_ref(), "/les/4");
        assert!(Protocol::new(&Capability::new("", 4)).is_none());
        assert!(Protocol::new(&Capability::new("a/b", 4)).is_none());
    }

    #[test]
    fn targets_of_our_transports_are_taken() {
        for (text, transport) in [
            ("/ip4/127.0.0.1/tcp/30314", "tcp"),
            ("/ip6/::1/tcp/30314", "tcp"),
            ("/ip4/127.0.0.1/udp/30314/quic-v1", "quic"),
            ("/ip4/127.0.0.1/tcp/30315/ws", "ws"),
            ("/dns4/relay.example.org/tcp/443/tls/ws", "wss"),
            ("/dns6/relay.example.org/tcp/443/tls/sni/relay.example.org/ws", "wss"),
            ("/dns/relay.example.org/tcp/443/wss", "wss"),
        ] {
            let target = Target::parse(&format!("{text}/p2p/{PEER}")).expect(text);
            assert_eq!(target.transport, transport);
            assert_eq!(target.address.to_string(), text);
            assert_eq!(target.peer.map(|peer| peer.to_base58()).as_deref(), Some(PEER));
            assert_eq!(Target::parse(text).expect(text).peer, None);
        }
    }

    #[test]
    fn other_targets_are_named() {
        for text in [
            "",
            "enode://00",
            "/ip4/127.0.0.1",
            "/ip4/127.0.0.1/udp/30314",
            "/ip4/127.0.0.1/tcp/0",
            "/ip4/127.0.0.1/udp/1/quic-v1/webtransport",
            "/dnsaddr/bootstrap.example.org",
        ] {
            assert!(matches!(Target::parse(text), Err(OpenError::Address { .. })), "{text}");
        }
    }

    #[test]
    fn a_peer_behind_a_relay_is_taken_whole_or_not_at_all() {
        const RELAY: &str = "16Uiu2HAmT14ttcUrwsTn5fwCUc4qY4twN2HqyZgSgZKUMtVei6SC";
        let direct = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{RELAY}");

        let target = Target::parse(&format!("{direct}/p2p-circuit/p2p/{PEER}")).expect("relayed");

        assert_eq!(target.transport, RELAYED);
        assert_eq!(target.address.to_string(), format!("{direct}/p2p-circuit"));
        assert_eq!(target.peer.map(|peer| peer.to_base58()).as_deref(), Some(PEER));
        let via = target.via.expect("a relay");
        assert_eq!((via.text.as_str(), via.transport), (direct.as_str(), "quic"));
        for text in [
            format!("{direct}/p2p-circuit"),
            format!("/ip4/127.0.0.1/tcp/1/p2p-circuit/p2p/{PEER}"),
            format!("/p2p/{RELAY}/p2p-circuit/p2p/{PEER}"),
            format!("{direct}/p2p-circuit/p2p/{PEER}/tcp/1"),
            format!("{direct}/p2p-circuit/p2p/{RELAY}/p2p-circuit/p2p/{PEER}"),
        ] {
            assert!(matches!(Target::parse(&text), Err(OpenError::Address { .. })), "{text}");
        }
    }

    #[test]
    fn agents_are_cut_and_cleaned() {
        assert_eq!(clean_agent("a\nb\u{1b}[31m"), "ab[31m");
        assert_eq!(clean_agent(&"ä".repeat(500)).chars().count(), MAX_AGENT);
    }
}
