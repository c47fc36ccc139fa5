//! Where something listens, or is seen: a transport at an address.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use causeway_records::{Multiaddr, Part};
use serde::Serialize;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// That of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// What carries a transport's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// What a listener speaks; the more useful to light peers, the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// libp2p over QUIC.
    Quic,
    /// libp2p over TCP.
    Tcp,
    /// libp2p over WebTransport.
    #[serde(rename = "webtransport")]
    WebTransport,
    /// libp2p over WebSocket with TLS.
    Wss,
    /// libp2p over WebSocket.
    Ws,
    /// libp2p over WebRTC-direct.
    #[serde(rename = "webrtc-direct")]
    WebRtcDirect,
    /// RLPx.
    Devp2p,
    /// discv5 and discv4.
    Discovery,
}

impl Transport {
    /// What carries it.
    pub fn carrier(self) -> Carrier {
        match self {
            Self::Tcp | Self::Ws | Self::Wss | Self::Devp2p => Carrier::Tcp,
            Self::Quic | Self::WebTransport | Self::WebRtcDirect | Self::Discovery => Carrier::Udp,
        }
    }

    /// Whether holes can be punched for it (DCUtR): both sides dial from the port that they listen at.
    pub fn can_punch(self) -> bool {
        matches!(self, Self::Quic | Self::Tcp)
    }

    /// Whether libp2p peers use it, so that they can test it and relay to it.
    pub fn is_libp2p(self) -> bool {
        !matches!(self, Self::Devp2p | Self::Discovery)
    }

    /// Its name, as sessions have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tcp => "tcp",
            Self::WebTransport => "webtransport",
            Self::Wss => "wss",
            Self::Ws => "ws",
            Self::WebRtcDirect => "webrtc-direct",
            Self::Devp2p => "devp2p",
            Self::Discovery => "discovery",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Quic,
            Self::Tcp,
            Self::WebTransport,
            Self::Wss,
            Self::Ws,
            Self::WebRtcDirect,
            Self::Devp2p,
            Self::Discovery,
        ];
        all.into_iter().find(|transport| transport.name() == name)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A transport at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// What is spoken there.
    pub transport: Transport,
    /// The address; of a listener it may be the unspecified one.
    pub addr: SocketAddr,
}

impl Place {
    /// The family.
    pub fn family(&self) -> Family {
        Family::of(self.addr.ip())
    }

    /// What a multiaddr says; `None` if it begins with a name, goes through a relay, or is over something else.
    pub fn of(address: &Multiaddr) -> Option<Self> {
        let ip = address.ip()?;
        let [_, rest @ ..] = address.parts() else { return None };
        if rest.contains(&Part::Circuit) {
            return None;
        }
        let (transport, port) = match rest {
            [Part::Udp(port), Part::QuicV1, Part::WebTransport, ..] => (Transport::WebTransport, *port),
            [Part::Udp(port), Part::QuicV1, ..] => (Transport::Quic, *port),
            [Part::Udp(port), Part::WebRtcDirect, ..] => (Transport::WebRtcDirect, *port),
            [Part::Tcp(port), Part::Ws, ..] => (Transport::Ws, *port),
            [Part::Tcp(port), Part::Wss | Part::Tls, ..] => (Transport::Wss, *port),
            [Part::Tcp(port)] | [Part::Tcp(port), Part::P2p(_)] => (Transport::Tcp, *port),
            _ => return None,
        };
        Some(Self { transport, addr: SocketAddr::new(ip, port) })
    }

    /// The same of a multiaddr's text.
    pub fn read(text: &str) -> Option<Self> {
        Self::of(&text.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "/p2p/16Uiu2HAmT14ttcUrwsTn5fwCUc4qY4twN2HqyZgSgZKUMtVei6SC";

    #[test]
    fn each_transport_is_read_from_its_multiaddr() {
        let hash = "/certhash/uEiAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for (text, transport) in [
            ("/ip4/1.2.3.4/udp/5/quic-v1".to_owned(), Transport::Quic),
            ("/ip4/1.2.3.4/tcp/5".to_owned(), Transport::Tcp),
            (format!("/ip4/1.2.3.4/tcp/5{ID}"), Transport::Tcp),
            (format!("/ip4/1.2.3.4/tcp/5/ws{ID}"), Transport::Ws),
            ("/ip4/1.2.3.4/tcp/5/wss".to_owned(), Transport::Wss),
            ("/ip4/1.2.3.4/tcp/5/tls/ws".to_owned(), Transport::Wss),
            (format!("/ip4/1.2.3.4/udp/5/quic-v1/webtransport{hash}"), Transport::WebTransport),
            (format!("/ip4/1.2.3.4/udp/5/webrtc-direct{hash}"), Transport::WebRtcDirect),
        ] {
            let place = Place { transport, addr: ([1, 2, 3, 4], 5).into() };
            assert_eq!(Place::read(&text), Some(place), "{text}");
            assert_eq!(Transport::named(transport.name()), Some(transport));
        }
        let relayed = format!("/ip4/1.2.3.4/udp/5/quic-v1{ID}/p2p-circuit{ID}");
        for other in [relayed.as_str(), "/dns4/example.org/tcp/443/wss", "/ip4/1.2.3.4/udp/5", "nothing"] {
            assert_eq!(Place::read(other), None, "{other}");
        }
    }
}
