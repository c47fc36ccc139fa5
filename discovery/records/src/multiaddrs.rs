//! The record key `multiaddrs` (Waku RFC 31): addresses that `ip`, `tcp` and `udp` cannot say.
//!
//! The value is a run of items, each a big-endian 16-bit length and a binary multiaddr without `/p2p`.

use crate::{Multiaddr, MultiaddrError};

/// Most items that are looked at in another node's record; three to eight fit when they say something.
pub const MAX_MULTIADDRS: usize = 16;

/// The addresses of a `multiaddrs` value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multiaddrs {
    /// Those that were understood, in their order.
    pub addresses: Vec<Multiaddr>,
    /// Why others were not: each costs its node nothing but itself.
    pub skipped: Vec<MultiaddrError>,
}

/// Why a `multiaddrs` value cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultiaddrsError {
    /// An item ends after the value.
    #[error("an item of `multiaddrs` is cut short")]
    CutShort,
    /// More than [`MAX_MULTIADDRS`].
    #[error("`multiaddrs` holds more than {MAX_MULTIADDRS} items")]
    TooMany,
}

/// The record value for these addresses.
pub(crate) fn pack(addrs: &[Multiaddr]) -> Vec<u8> {
    let mut value = Vec::new();
    for addr in addrs {
        let bytes = addr.encode();
        let Ok(length) = u16::try_from(bytes.len()) else { continue };
        value.extend(length.to_be_bytes());
        value.extend(bytes);
    }
    value
}

/// The addresses in a record value.
pub(crate) fn unpack(mut value: &[u8]) -> Result<Multiaddrs, MultiaddrsError> {
    let mut found = Multiaddrs::default();
    while !value.is_empty() {
        if found.addresses.len() + found.skipped.len() == MAX_MULTIADDRS {
            return Err(MultiaddrsError::TooMany);
        }
        let (length, rest) = value.split_first_chunk::<2>().ok_or(MultiaddrsError::CutShort)?;
        let (addr, rest) = rest
            .split_at_checked(usize::from(u16::from_be_bytes(*length)))
            .ok_or(MultiaddrsError::CutShort)?;
        match Multiaddr::decode(addr) {
            Ok(addr) => found.addresses.push(addr),
            Err(error) => found.skipped.push(error),
        }
        value = rest; // at least the two bytes of the length were taken: this ends
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("valid multiaddr")
    }

    /// discovery.md section 4.
    #[test]
    fn the_waku_vector_is_reproduced() {
        let addrs = [addr("/dns4/example.com/tcp/443/wss"), addr("/ip4/127.0.0.1/tcp/9000")];

        let value = pack(&addrs);

        assert_eq!(hex::encode(&value), "0012360b6578616d706c652e636f6d0601bbde030008047f000001062328");
        assert_eq!(unpack(&value).map(|found| found.addresses), Ok(addrs.to_vec()));
    }

    /// Written by `@waku/enr` 0.0.33.
    #[test]
    fn a_value_of_another_implementation_is_read() {
        let value = "000a047f0000010601bbde03001836116e6f64652e6578616d706c652e74657374061f40dd03\
                     000b047f00000191020fa1cd03";

        let found = unpack(&hex::decode(value).expect("hex")).expect("well formed");

        let texts: Vec<_> = found.addresses.iter().map(ToString::to_string).collect();
        let expected = [
            "/ip4/127.0.0.1/tcp/443/wss",
            "/dns4/node.example.test/tcp/8000/ws",
            "/ip4/127.0.0.1/udp/4001/quic-v1",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn an_item_that_makes_no_sense_costs_only_itself() {
        let mut value = vec![0, 1, 7, 0, 0];
        value.extend(pack(&[addr("/ip4/1.2.3.4/tcp/5")]));

        let found = unpack(&value).expect("well formed");

        assert_eq!(found.addresses, [addr("/ip4/1.2.3.4/tcp/5")]);
        assert_eq!(found.skipped, [MultiaddrError::Code { code: 7 }, MultiaddrError::Empty]);
    }

    #[test]
    fn cut_and_endless_values_are_refused() {
        assert_eq!(unpack(&[0, 9, 1]), Err(MultiaddrsError::CutShort));
        assert_eq!(unpack(&[0]), Err(MultiaddrsError::CutShort));
        assert_eq!(unpack(&[0; 20_000]), Err(MultiaddrsError::TooMany));
    }
}
