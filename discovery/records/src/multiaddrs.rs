//! The record key `multiaddrs` (Waku RFC 31): addresses that `ip`, `tcp` and `udp` cannot say.
//!
//! The value is a run of items, each a big-endian 16-bit length and a binary multiaddr without `/p2p`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Codes of the multiaddr table, for the protocols we advertise.
mod protocol {
    pub(super) const IP4: u64 = 0x04;
    pub(super) const TCP: u64 = 0x06;
    pub(super) const IP6: u64 = 0x29;
    pub(super) const DNS: u64 = 0x35;
    pub(super) const DNS4: u64 = 0x36;
    pub(super) const DNS6: u64 = 0x37;
    pub(super) const UDP: u64 = 0x0111;
    pub(super) const P2P: u64 = 0x01a5;
    pub(super) const TLS: u64 = 0x01c0;
    pub(super) const QUIC_V1: u64 = 0x01cd;
    pub(super) const WS: u64 = 0x01dd;
    pub(super) const WSS: u64 = 0x01de;
}

/// Why a text is not a multiaddr that a record can carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultiaddrError {
    /// Does not begin with `/`, or is nothing else.
    #[error("a multiaddr begins with / and a protocol")]
    Empty,
    /// Not among the protocols that we advertise.
    #[error("the multiaddr protocol {name:?} is not known here")]
    Protocol {
        /// Its name.
        name: String,
    },
    /// A protocol without the value it needs, or one that does not parse.
    #[error("{value:?} is no value for the multiaddr protocol {name}")]
    Value {
        /// The protocol.
        name: String,
        /// The text.
        value: String,
    },
}

/// The binary form of a multiaddr in text; a `/p2p/…` part ends it and is left out, as the record has the key.
///
/// # Errors
/// If the text holds a protocol other than ip4, ip6, dns, dns4, dns6, tcp, udp, quic-v1, ws, wss, tls.
pub fn encode_multiaddr(text: &str) -> Result<Vec<u8>, MultiaddrError> {
    let mut parts = text.strip_prefix('/').ok_or(MultiaddrError::Empty)?.split('/');
    let mut bytes = Vec::new();
    while let Some(name) = parts.next() {
        let code = code_of(name)?;
        if code == protocol::P2P {
            break;
        }
        push_varint(&mut bytes, code);
        if takes_value(code) {
            let value = parts.next().unwrap_or("");
            let bad = || MultiaddrError::Value { name: name.to_owned(), value: value.to_owned() };
            push_value(&mut bytes, code, value).ok_or_else(bad)?;
        }
    }
    if bytes.is_empty() { Err(MultiaddrError::Empty) } else { Ok(bytes) }
}

fn code_of(name: &str) -> Result<u64, MultiaddrError> {
    Ok(match name {
        "ip4" => protocol::IP4,
        "ip6" => protocol::IP6,
        "dns" => protocol::DNS,
        "dns4" => protocol::DNS4,
        "dns6" => protocol::DNS6,
        "tcp" => protocol::TCP,
        "udp" => protocol::UDP,
        "quic-v1" => protocol::QUIC_V1,
        "ws" => protocol::WS,
        "wss" => protocol::WSS,
        "tls" => protocol::TLS,
        "p2p" => protocol::P2P,
        _ => return Err(MultiaddrError::Protocol { name: name.to_owned() }),
    })
}

fn takes_value(code: u64) -> bool {
    !matches!(code, protocol::QUIC_V1 | protocol::WS | protocol::WSS | protocol::TLS)
}

fn push_value(bytes: &mut Vec<u8>, code: u64, value: &str) -> Option<()> {
    match code {
        protocol::IP4 => bytes.extend(value.parse::<Ipv4Addr>().ok()?.octets()),
        protocol::IP6 => bytes.extend(value.parse::<Ipv6Addr>().ok()?.octets()),
        protocol::TCP | protocol::UDP => bytes.extend(value.parse::<u16>().ok()?.to_be_bytes()),
        _ => {
            if value.is_empty() {
                return None;
            }
            push_varint(bytes, value.len() as u64);
            bytes.extend(value.as_bytes());
        }
    }
    Some(())
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The record value for these binary multiaddrs. One longer than a length field is left out.
pub(crate) fn pack(addrs: &[Vec<u8>]) -> Vec<u8> {
    let mut value = Vec::new();
    for addr in addrs {
        let Ok(length) = u16::try_from(addr.len()) else { continue };
        value.extend(length.to_be_bytes());
        value.extend(addr);
    }
    value
}

/// The binary multiaddrs in a record value, as far as it is well formed: what follows a bad length is dropped.
pub(crate) fn unpack(mut value: &[u8]) -> Vec<Vec<u8>> {
    let mut addrs = Vec::new();
    while let Some((length, rest)) = value.split_first_chunk::<2>() {
        let Some((addr, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            break;
        };
        if !addr.is_empty() {
            addrs.push(addr.to_vec());
        }
        value = rest; // at least the two bytes of the length were taken: this ends
    }
    addrs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// discovery.md section 4.
    #[test]
    fn the_waku_vector_is_reproduced() {
        let wss = encode_multiaddr("/dns4/example.com/tcp/443/wss").expect("valid");
        let tcp = encode_multiaddr("/ip4/127.0.0.1/tcp/9000/p2p/16Uiu2HA").expect("valid");

        let value = pack(&[wss.clone(), tcp.clone()]);

        assert_eq!(hex::encode(&value), "0012360b6578616d706c652e636f6d0601bbde030008047f000001062328");
        assert_eq!(unpack(&value), [wss, tcp]);
    }

    /// libp2p.md section 9 gives these sizes.
    #[test]
    fn sizes_are_those_of_the_reference() {
        for (text, size) in [
            ("/dns4/relay.example.org/tcp/443/tls/ws", 26),
            ("/ip4/1.2.3.4/udp/30314/quic-v1", 11),
            ("/ip6/2001:db8::1/udp/30314/quic-v1", 23),
        ] {
            assert_eq!(encode_multiaddr(text).map(|bytes| bytes.len()), Ok(size), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_carried_is_named() {
        for text in ["", "/", "tcp/1", "/p2p/16Uiu2HA", "/tcp/x", "/tcp", "/ip4/1.2.3", "/dns4/", "/utp"] {
            assert!(encode_multiaddr(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cut_or_empty_item_neither_loops_nor_panics() {
        assert_eq!(unpack(&[0, 0, 0, 1, 7, 0, 9, 1]), [vec![7]]);
        assert_eq!(unpack(&[0]), Vec::<Vec<u8>>::new());
    }
}
