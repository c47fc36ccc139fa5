//! Multiaddrs, as far as relays and light peers use them: text, bytes, and what they say.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use causeway_wire::NodeKey;
use data_encoding::BASE64URL_NOPAD;
use secp256k1::PublicKey;

use crate::enode::is_name;

/// Most parts of an address that is read; a relayed one with everything has ten.
pub const MAX_PARTS: usize = 12;

/// Longest peer id or certificate hash inside an address.
const MAX_HASH: usize = 64;

/// Longest text that is looked at.
const MAX_TEXT: usize = 1024;

/// One step of an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// `/ip4/…`
    Ip4(Ipv4Addr),
    /// `/ip6/…`
    Ip6(Ipv6Addr),
    /// `/dns/…`: either family.
    Dns(String),
    /// `/dns4/…`
    Dns4(String),
    /// `/dns6/…`
    Dns6(String),
    /// `/tcp/…`
    Tcp(u16),
    /// `/udp/…`
    Udp(u16),
    /// `/quic-v1`
    QuicV1,
    /// `/ws`
    Ws,
    /// `/wss`
    Wss,
    /// `/tls`
    Tls,
    /// `/sni/…`
    Sni(String),
    /// `/webtransport`
    WebTransport,
    /// `/webrtc-direct`
    WebRtcDirect,
    /// `/certhash/…`, a multihash.
    Certhash(Vec<u8>),
    /// `/p2p/…`, a PeerId's multihash.
    P2p(Vec<u8>),
    /// `/p2p-circuit`: through the relay named before it.
    Circuit,
}

/// Codes of the multiaddr table.
mod code {
    pub(super) const IP4: u64 = 0x04;
    pub(super) const TCP: u64 = 0x06;
    pub(super) const IP6: u64 = 0x29;
    pub(super) const DNS: u64 = 0x35;
    pub(super) const DNS4: u64 = 0x36;
    pub(super) const DNS6: u64 = 0x37;
    pub(super) const UDP: u64 = 0x0111;
    pub(super) const WEBRTC_DIRECT: u64 = 0x0118;
    pub(super) const CIRCUIT: u64 = 0x0122;
    pub(super) const P2P: u64 = 0x01a5;
    pub(super) const TLS: u64 = 0x01c0;
    pub(super) const SNI: u64 = 0x01c1;
    pub(super) const QUIC_V1: u64 = 0x01cd;
    pub(super) const WEBTRANSPORT: u64 = 0x01d1;
    pub(super) const CERTHASH: u64 = 0x01d2;
    pub(super) const WS: u64 = 0x01dd;
    pub(super) const WSS: u64 = 0x01de;
}

/// An address of a libp2p node: at least one [`Part`], at most [`MAX_PARTS`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Multiaddr(Vec<Part>);

/// Why text or bytes are not a multiaddr that we can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultiaddrError {
    /// Does not begin with `/`, or is nothing else.
    #[error("a multiaddr begins with / and a protocol")]
    Empty,
    /// Not among the protocols that we know.
    #[error("the multiaddr protocol {name:?} is not known here")]
    Protocol {
        /// Its name.
        name: String,
    },
    /// Not among the protocols that we know.
    #[error("the multiaddr protocol 0x{code:x} is not known here")]
    Code {
        /// Its number.
        code: u64,
    },
    /// A protocol without the value it needs, or one that does not parse.
    #[error("{value:?} is no value for the multiaddr protocol {name}")]
    Value {
        /// The protocol.
        name: String,
        /// The text.
        value: String,
    },
    /// The bytes end inside a part, or a part's value makes no sense.
    #[error("the multiaddr is cut short or holds a malformed value")]
    Malformed,
    /// More than [`MAX_PARTS`] parts, or a text too long for that.
    #[error("the multiaddr is longer than {MAX_PARTS} parts")]
    TooLong,
    /// A relayed address whose relay is the node itself.
    #[error("the relayed address names its own node as the relay")]
    RelaysItself,
}

impl Multiaddr {
    /// QUIC at this address.
    pub fn quic(addr: SocketAddr) -> Self {
        let host = match addr.ip() {
            IpAddr::V4(ip) => Part::Ip4(ip),
            IpAddr::V6(ip) => Part::Ip6(ip),
        };
        Self(vec![host, Part::Udp(addr.port()), Part::QuicV1])
    }

    /// Its parts, first to last.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The IP address it begins with, if it does not begin with a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.0.first()? {
            Part::Ip4(ip) => Some((*ip).into()),
            Part::Ip6(ip) => Some((*ip).into()),
            _ => None,
        }
    }

    /// The relay's PeerId, if the address goes through one.
    pub fn relay(&self) -> Option<&[u8]> {
        let circuit = self.0.iter().position(|part| *part == Part::Circuit)?;
        match self.0.get(..circuit)? {
            [.., Part::P2p(relay)] => Some(relay),
            _ => None,
        }
    }

    /// The address as a record carries it: without the node's own PeerId, which follows from the record's key;
    /// a relayed one ends with its relay (Waku RFC 31). `None` if nothing is left.
    pub fn for_record(&self) -> Option<Self> {
        let circuit = self.0.iter().position(|part| *part == Part::Circuit);
        let mut parts = self.0.get(..circuit.unwrap_or(self.0.len()))?.to_vec();
        if circuit.is_none() && matches!(parts.last(), Some(Part::P2p(_))) {
            parts.pop();
        }
        (!parts.is_empty()).then_some(Self(parts))
    }

    /// The address to dial the node with `key` at, from the form that its record carries.
    ///
    /// # Errors
    /// [`MultiaddrError::RelaysItself`] if the node would be its own relay.
    pub fn to_dial(&self, key: NodeKey) -> Result<Self, MultiaddrError> {
        let own = libp2p_peer_id(key);
        let circuit = self.0.iter().position(|part| *part == Part::Circuit);
        let mut parts = self.0.get(..circuit.unwrap_or(self.0.len())).unwrap_or_default().to_vec();
        if let Some(Part::P2p(relay)) = parts.last() {
            if *relay == own {
                return Err(MultiaddrError::RelaysItself);
            }
            parts.push(Part::Circuit);
        }
        parts.push(Part::P2p(own));
        Ok(Self(parts))
    }

    /// Whether the address uses transports that we can dial.
    pub fn is_dialable(&self) -> bool {
        use Part::{Circuit, Dns, Dns4, Dns6, Ip4, Ip6, P2p, QuicV1, Sni, Tcp, Tls, Udp, Ws, Wss};
        let [host, rest @ ..] = self.0.as_slice() else { return false };
        let transport = match rest {
            [transport @ .., P2p(_), Circuit, P2p(_)] | [transport @ .., P2p(_), Circuit] => transport,
            [transport @ .., P2p(_)] => transport,
            transport => transport,
        };
        let known = matches!(
            transport,
            [Tcp(_)] | [Tcp(_), Ws | Wss] | [Tcp(_), Tls, Ws] | [Tcp(_), Tls, Sni(_), Ws] | [Udp(_), QuicV1]
        );
        let open = !matches!(transport.first(), Some(Tcp(0) | Udp(0)));
        known && open && matches!(host, Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_))
    }

    /// The binary form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.0 {
            part.encode(&mut bytes);
        }
        bytes
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// [`MultiaddrError`]; an unknown protocol ends the reading, as its length cannot be known.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, MultiaddrError> {
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            if parts.len() == MAX_PARTS {
                return Err(MultiaddrError::TooLong);
            }
            parts.push(Part::decode(&mut bytes)?);
        }
        if parts.is_empty() { Err(MultiaddrError::Empty) } else { Ok(Self(parts)) }
    }
}

/// The multihash that is the libp2p PeerId of the node with `key`: the public key itself, in a protobuf.
pub fn libp2p_peer_id(key: NodeKey) -> Vec<u8> {
    let mut uncompressed = [4; 65];
    uncompressed[1..].copy_from_slice(key.0.as_slice());
    // identity multihash of 37 bytes: key type secp256k1, 33 bytes of data (libp2p.md section 9)
    let mut id = vec![0x00, 0x25, 0x08, 0x02, 0x12, 0x21];
    match PublicKey::from_slice(&uncompressed) {
        Ok(public) => id.extend(public.serialize()),
        // Not a point: no record and no enode URL has such a key, and nobody can prove this id.
        Err(_) => id.extend([0; 33]),
    }
    id
}

impl Part {
    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Ip4(ip) => fixed(bytes, code::IP4, &ip.octets()),
            Self::Ip6(ip) => fixed(bytes, code::IP6, &ip.octets()),
            Self::Dns(name) => sized(bytes, code::DNS, name.as_bytes()),
            Self::Dns4(name) => sized(bytes, code::DNS4, name.as_bytes()),
            Self::Dns6(name) => sized(bytes, code::DNS6, name.as_bytes()),
            Self::Tcp(port) => fixed(bytes, code::TCP, &port.to_be_bytes()),
            Self::Udp(port) => fixed(bytes, code::UDP, &port.to_be_bytes()),
            Self::QuicV1 => fixed(bytes, code::QUIC_V1, &[]),
            Self::Ws => fixed(bytes, code::WS, &[]),
            Self::Wss => fixed(bytes, code::WSS, &[]),
            Self::Tls => fixed(bytes, code::TLS, &[]),
            Self::Sni(name) => sized(bytes, code::SNI, name.as_bytes()),
            Self::WebTransport => fixed(bytes, code::WEBTRANSPORT, &[]),
            Self::WebRtcDirect => fixed(bytes, code::WEBRTC_DIRECT, &[]),
            Self::Certhash(hash) => sized(bytes, code::CERTHASH, hash),
            Self::P2p(id) => sized(bytes, code::P2P, id),
            Self::Circuit => fixed(bytes, code::CIRCUIT, &[]),
        }
    }

    fn decode(bytes: &mut &[u8]) -> Result<Self, MultiaddrError> {
        let code = varint(bytes).ok_or(MultiaddrError::Malformed)?;
        let part = match code {
            code::IP4 => array(bytes).map(|octets: [u8; 4]| Self::Ip4(octets.into())),
            code::IP6 => array(bytes).map(|octets: [u8; 16]| Self::Ip6(octets.into())),
            code::DNS => name(bytes).map(Self::Dns),
            code::DNS4 => name(bytes).map(Self::Dns4),
            code::DNS6 => name(bytes).map(Self::Dns6),
            code::SNI => name(bytes).map(Self::Sni),
            code::TCP => array(bytes).map(|port| Self::Tcp(u16::from_be_bytes(port))),
            code::UDP => array(bytes).map(|port| Self::Udp(u16::from_be_bytes(port))),
            code::QUIC_V1 => Some(Self::QuicV1),
            code::WS => Some(Self::Ws),
            code::WSS => Some(Self::Wss),
            code::TLS => Some(Self::Tls),
            code::WEBTRANSPORT => Some(Self::WebTransport),
            code::WEBRTC_DIRECT => Some(Self::WebRtcDirect),
            code::CIRCUIT => Some(Self::Circuit),
            code::CERTHASH => hash(bytes).map(Self::Certhash),
            code::P2P => hash(bytes).map(Self::P2p),
            code => return Err(MultiaddrError::Code { code }),
        };
        part.ok_or(MultiaddrError::Malformed)
    }

    fn parse<'a>(protocol: &str, values: &mut impl Iterator<Item = &'a str>) -> Result<Self, MultiaddrError> {
        Ok(match protocol {
            "quic-v1" => Self::QuicV1,
            "ws" => Self::Ws,
            "wss" => Self::Wss,
            "tls" => Self::Tls,
            "webtransport" => Self::WebTransport,
            "webrtc-direct" => Self::WebRtcDirect,
            "p2p-circuit" => Self::Circuit,
            "ip4" | "ip6" | "dns" | "dns4" | "dns6" | "sni" | "tcp" | "udp" | "certhash" | "p2p" => {
                let value = values.next().unwrap_or("");
                Self::with_value(protocol, value).ok_or_else(|| MultiaddrError::Value {
                    name: protocol.to_owned(),
                    value: value.to_owned(),
                })?
            }
            _ => return Err(MultiaddrError::Protocol { name: protocol.to_owned() }),
        })
    }

    fn with_value(protocol: &str, value: &str) -> Option<Self> {
        let name = || is_name(value).then(|| value.to_owned());
        let short = |hash: Vec<u8>| (2..=MAX_HASH).contains(&hash.len()).then_some(hash);
        match protocol {
            "ip4" => value.parse().ok().map(Self::Ip4),
            "ip6" => value.parse().ok().map(Self::Ip6),
            "dns" => name().map(Self::Dns),
            "dns4" => name().map(Self::Dns4),
            "dns6" => name().map(Self::Dns6),
            "sni" => name().map(Self::Sni),
            "tcp" => value.parse().ok().map(Self::Tcp),
            "udp" => value.parse().ok().map(Self::Udp),
            // multibase: `u` is base64url without padding
            "certhash" => {
                let hash = BASE64URL_NOPAD.decode(value.strip_prefix('u')?.as_bytes()).ok()?;
                short(hash).map(Self::Certhash)
            }
            "p2p" => short(bs58::decode(value).into_vec().ok()?).map(Self::P2p),
            _ => None,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip4(ip) => write!(f, "/ip4/{ip}"),
            Self::Ip6(ip) => write!(f, "/ip6/{ip}"),
            Self::Dns(name) => write!(f, "/dns/{name}"),
            Self::Dns4(name) => write!(f, "/dns4/{name}"),
            Self::Dns6(name) => write!(f, "/dns6/{name}"),
            Self::Tcp(port) => write!(f, "/tcp/{port}"),
            Self::Udp(port) => write!(f, "/udp/{port}"),
            Self::QuicV1 => f.write_str("/quic-v1"),
            Self::Ws => f.write_str("/ws"),
            Self::Wss => f.write_str("/wss"),
            Self::Tls => f.write_str("/tls"),
            Self::Sni(name) => write!(f, "/sni/{name}"),
            Self::WebTransport => f.write_str("/webtransport"),
            Self::WebRtcDirect => f.write_str("/webrtc-direct"),
            Self::Certhash(hash) => write!(f, "/certhash/u{}", BASE64URL_NOPAD.encode(hash)),
            Self::P2p(id) => write!(f, "/p2p/{}", bs58::encode(id).into_string()),
            Self::Circuit => f.write_str("/p2p-circuit"),
        }
    }
}

impl fmt::Display for Multiaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| part.fmt(f))
    }
}

impl FromStr for Multiaddr {
    type Err = MultiaddrError;

    fn from_str(text: &str) -> Result<Self, MultiaddrError> {
        if text.len() > MAX_TEXT {
            return Err(MultiaddrError::TooLong);
        }
        let mut words = text.strip_prefix('/').ok_or(MultiaddrError::Empty)?.split('/');
        let mut parts = Vec::new();
        while let Some(protocol) = words.next() {
            if parts.len() == MAX_PARTS {
                return Err(MultiaddrError::TooLong);
            }
            parts.push(Part::parse(protocol, &mut words)?);
        }
        Ok(Self(parts))
    }
}

fn fixed(bytes: &mut Vec<u8>, code: u64, value: &[u8]) {
    push_varint(bytes, code);
    bytes.extend(value);
}

fn sized(bytes: &mut Vec<u8>, code: u64, value: &[u8]) {
    push_varint(bytes, code);
    push_varint(bytes, value.len() as u64);
    bytes.extend(value);
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// An unsigned varint of at most four bytes: no code and no length here needs more.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (*byte != 0 || shift == 0).then_some(value); // the shortest form only
        }
    }
    None
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*array)
}

fn slice<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(bytes)?).ok()?;
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(value)
}

fn name(bytes: &mut &[u8]) -> Option<String> {
    let text = std::str::from_utf8(slice(bytes)?).ok()?;
    is_name(text).then(|| text.to_owned())
}

fn hash(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let value = slice(bytes)?;
    (2..=MAX_HASH).contains(&value.len()).then(|| value.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::node_key;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("valid multiaddr")
    }

    fn key() -> NodeKey {
        let secret = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";
        node_key(&secret.parse().expect("valid secret"))
    }

    const RELAY: &str = "16Uiu2HAm3HsU9cVWPGgRf4zt39aKX7VQGPAKDqwwCxDTTG8jk2SC";

    #[test]
    fn text_and_bytes_are_two_forms_of_the_same() {
        let certhash =
            format!("/ip4/1.2.3.4/udp/1/webrtc-direct/certhash/u{}", BASE64URL_NOPAD.encode(&[18; 34]));
        for text in [
            "/dns4/relay.example.org/tcp/443/tls/ws",
            "/dns/relay.example.org/tcp/443/tls/sni/relay.example.org/ws",
            "/ip6/2001:db8::1/udp/30314/quic-v1",
            certhash.as_str(),
        ] {
            let read = addr(text);

            assert_eq!(read.to_string(), text);
            assert_eq!(Multiaddr::decode(&read.encode()), Ok(read));
        }
    }

    /// libp2p.md section 9 gives these sizes.
    #[test]
    fn sizes_are_those_of_the_reference() {
        for (text, size) in [
            ("/dns4/relay.example.org/tcp/443/tls/ws", 26),
            ("/ip4/1.2.3.4/udp/30314/quic-v1", 11),
            ("/ip6/2001:db8::1/udp/30314/quic-v1", 23),
        ] {
            assert_eq!(addr(text).encode().len(), size, "{text}");
        }
    }

    #[test]
    fn texts_that_say_nothing_usable_are_refused() {
        for text in ["", "/", "tcp/1", "/tcp/x", "/tcp", "/ip4/1.2.3", "/dns4/", "/utp", "/p2p/0", "/dns/a b"]
        {
            assert!(text.parse::<Multiaddr>().is_err(), "{text}");
        }
        assert_eq!("/ws".repeat(13).parse::<Multiaddr>(), Err(MultiaddrError::TooLong));
        assert_eq!("/ws".repeat(400).parse::<Multiaddr>(), Err(MultiaddrError::TooLong));
    }

    #[test]
    fn a_record_carries_no_peer_id_but_the_relays() {
        let own = bs58::encode(libp2p_peer_id(key())).into_string();
        let direct = addr(&format!("/ip4/1.2.3.4/tcp/5/ws/p2p/{own}"));
        let relayed = addr(&format!("/ip4/1.2.3.4/tcp/5/p2p/{RELAY}/p2p-circuit/p2p/{own}"));

        let carried =
            [direct.for_record(), relayed.for_record()].map(|addr| addr.expect("something is left"));

        assert_eq!(carried[0].to_string(), "/ip4/1.2.3.4/tcp/5/ws");
        assert_eq!(carried[1].to_string(), format!("/ip4/1.2.3.4/tcp/5/p2p/{RELAY}"));
        assert_eq!(carried[0].to_dial(key()), Ok(direct));
        assert_eq!(carried[1].to_dial(key()), Ok(relayed));
    }

    #[test]
    fn a_node_is_not_its_own_relay() {
        let own = bs58::encode(libp2p_peer_id(key())).into_string();

        let carried = addr(&format!("/ip4/1.2.3.4/tcp/5/p2p/{own}/p2p-circuit"));

        assert_eq!(carried.to_dial(key()), Err(MultiaddrError::RelaysItself));
    }

    #[test]
    fn only_transports_that_we_speak_are_dialable() {
        for text in ["/ip4/1.2.3.4/tcp/5", "/dns/a.example/tcp/443/wss", "/ip4/1.2.3.4/udp/5/quic-v1"] {
            assert!(addr(text).is_dialable(), "{text}");
        }
        for text in ["/tcp/5", "/ip4/1.2.3.4/udp/5", "/ip4/1.2.3.4/tcp/0", "/ip4/1.2.3.4/udp/5/webrtc-direct"]
        {
            assert!(!addr(text).is_dialable(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..320)) {
            if let Ok(read) = Multiaddr::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "(/[a-z0-9.:-]{0,12}){0,14}") {
            if let Ok(read) = text.parse::<Multiaddr>() {
                prop_assert_eq!(read.to_string().parse::<Multiaddr>(), Ok(read));
            }
        }
    }
}
