//! `enode://` URLs: a devp2p node's key and where it listens.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use alloy_primitives::{B512, hex};
use causeway_wire::NodeKey;

use crate::keys::{KeyError, checked};

/// Longest text that is looked at: scheme, key, a DNS name of 253 characters, ports.
pub const MAX_ENODE_TEXT: usize = 512;

/// Longest host name (RFC 1035).
const MAX_NAME: usize = 253;

/// Digits of a node key.
const KEY_DIGITS: usize = 128;

/// `enode://KEY@HOST:TCP?discport=UDP`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Enode {
    /// The node's public key.
    pub key: NodeKey,
    /// Where it is.
    pub host: Host,
    /// Port of RLPx; 0 if it only takes part in discovery.
    pub tcp: u16,
    /// Port of discovery.
    pub udp: u16,
}

/// An address, or a name that resolves to one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A DNS name (geth takes them for static nodes; a container's full node usually has only a name).
    Name(String),
}

/// Why a text is not an enode URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnodeError {
    /// Something else.
    #[error("an enode URL begins with enode://")]
    Scheme,
    /// Longer than [`MAX_ENODE_TEXT`].
    #[error("{length} characters are over the limit of {MAX_ENODE_TEXT}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// No `@` between key and host.
    #[error("no @host:port behind the key")]
    NoAddress,
    /// The key has the wrong number of digits.
    #[error("the key has {digits} characters instead of {KEY_DIGITS} hex digits")]
    KeyLength {
        /// Characters found.
        digits: usize,
    },
    /// The key is not hexadecimal.
    #[error("the key is not hexadecimal")]
    KeyDigits,
    /// The key is no public key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No `:port`.
    #[error("no :port behind the host")]
    NoPort,
    /// Not an address and not a name.
    #[error("{host:?} is neither an IP address nor a host name (IPv6 goes in brackets)")]
    Host {
        /// The text.
        host: String,
    },
    /// Not a number below 65,536.
    #[error("{what} {text:?} is not a port")]
    Port {
        /// Which one: `port` or `discport`.
        what: &'static str,
        /// The text.
        text: String,
    },
}

impl Enode {
    /// A node at one address with the same port on TCP and UDP.
    pub fn new(key: NodeKey, addr: SocketAddr) -> Self {
        Self { key, host: Host::Ip(addr.ip()), tcp: addr.port(), udp: addr.port() }
    }

    /// Where to dial, if the host is an address and the node listens on TCP.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) if self.tcp != 0 => Some(SocketAddr::new(ip, self.tcp)),
            Host::Ip(_) | Host::Name(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Enode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "enode://{}@{}:{}", self.key, self.host, self.tcp)?;
        if self.udp != self.tcp {
            write!(f, "?discport={}", self.udp)?;
        }
        Ok(())
    }
}

impl FromStr for Enode {
    type Err = EnodeError;

    fn from_str(text: &str) -> Result<Self, EnodeError> {
        let text = text.trim();
        if text.len() > MAX_ENODE_TEXT {
            return Err(EnodeError::TooLong { length: text.len() });
        }
        let rest = text.strip_prefix("enode://").ok_or(EnodeError::Scheme)?;
        let (key, address) = rest.split_once('@').ok_or(EnodeError::NoAddress)?;
        let key = parse_key(key)?;
        let (address, query) = address.split_once('?').unwrap_or((address, ""));
        let (host, port) =
            address.strip_suffix('/').unwrap_or(address).rsplit_once(':').ok_or(EnodeError::NoPort)?;
        let host = parse_host(host)?;
        let tcp = parse_port("port", port)?;
        let discport = query.split('&').find_map(|pair| pair.strip_prefix("discport="));
        let udp = discport.map_or(Ok(tcp), |port| parse_port("discport", port))?;
        Ok(Self { key, host, tcp, udp })
    }
}

fn parse_key(text: &str) -> Result<NodeKey, EnodeError> {
    let digits = text.chars().count();
    if digits != KEY_DIGITS {
        return Err(EnodeError::KeyLength { digits });
    }
    let mut bytes = B512::ZERO;
    hex::decode_to_slice(text, bytes.as_mut_slice()).map_err(|_| EnodeError::KeyDigits)?;
    Ok(checked(bytes)?)
}

fn parse_host(text: &str) -> Result<Host, EnodeError> {
    let bad = || EnodeError::Host { host: text.to_owned() };
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().map(|ip| Host::Ip(ip.into())).map_err(|_| bad());
    }
    if let Ok(ip) = text.parse::<std::net::Ipv4Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    if is_name(text) { Ok(Host::Name(text.to_owned())) } else { Err(bad()) }
}

/// Whether `text` can be a host name. One whose last label is a number, hexadecimal ones included, is an address
/// in disguise or a mistyped one (WHATWG URL): resolvers of C libraries take `0x7f000001` for 127.0.0.1.
pub(crate) fn is_name(text: &str) -> bool {
    let labels_fit = text.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    });
    let numeric_end = text.rsplit('.').next().is_some_and(|last| {
        let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
        last.bytes().all(|b| b.is_ascii_digit())
            || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    text.len() <= MAX_NAME && labels_fit && !numeric_end
}

fn parse_port(what: &'static str, text: &str) -> Result<u16, EnodeError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None }; // `parse` alone would take "+1"
    port.ok_or_else(|| EnodeError::Port { what, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EIP-8, public key B (rlpx.md 10.1).
    const KEY: &str = "ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd3138\
                       7574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f";

    #[test]
    fn every_form_is_printed_as_it_was_read() {
        for address in [
            "127.0.0.1:30303",
            "10.3.58.6:30303?discport=30301",
            "[2001:db8::1]:30303",
            "full-node.example.org:0?discport=30301",
            "geth:30303",
        ] {
            let text = format!("enode://{KEY}@{address}");

            let enode: Enode = text.parse().expect("valid");

            assert_eq!(enode.to_string(), text);
        }
    }

    #[test]
    fn unknown_parameters_and_blanks_around_are_ignored() {
        let enode: Enode = format!(" enode://{KEY}@1.2.3.4:5?x=1&discport=6\n").parse().expect("valid");

        assert_eq!((enode.tcp, enode.udp), (5, 6));
        assert_eq!(enode.tcp_addr(), Some(SocketAddr::from(([1, 2, 3, 4], 5))));
    }

    #[test]
    fn names_and_discovery_only_nodes_have_nothing_to_dial() {
        for address in ["geth:30303", "1.2.3.4:0?discport=1"] {
            let enode: Enode = format!("enode://{KEY}@{address}").parse().expect("valid");

            assert_eq!(enode.tcp_addr(), None);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("enr:-IS4Q".to_owned(), EnodeError::Scheme),
            (format!("enode://{KEY}"), EnodeError::NoAddress),
            ("enode://abcd@1.2.3.4:5".to_owned(), EnodeError::KeyLength { digits: 4 }),
            (format!("enode://{}@1.2.3.4:5", "zz".repeat(64)), EnodeError::KeyDigits),
            (format!("enode://{}@1.2.3.4:5", "01".repeat(64)), EnodeError::Key(KeyError::NotOnCurve)),
            (format!("enode://{}@1.2.3.4:5", "é".repeat(128)), EnodeError::KeyDigits),
            (format!("enode://{KEY}@1.2.3.4"), EnodeError::NoPort),
            (format!("enode://{KEY}@1.2.3.456:5"), EnodeError::Host { host: "1.2.3.456".to_owned() }),
            (format!("enode://{KEY}@::1:5"), EnodeError::Host { host: "::1".to_owned() }),
            (format!("enode://{KEY}@:5"), EnodeError::Host { host: String::new() }),
            (
                format!("enode://{KEY}@1.2.3.4:70000"),
                EnodeError::Port { what: "port", text: "70000".to_owned() },
            ),
            (
                format!("enode://{KEY}@1.2.3.4:5?discport=+6"),
                EnodeError::Port { what: "discport", text: "+6".to_owned() },
            ),
            ("x".repeat(513), EnodeError::TooLong { length: 513 }),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Enode>(), Err(error), "{text}");
        }
    }
}
