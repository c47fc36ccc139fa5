//! The packets of PCP (RFC 6887) that we use: MAP and ANNOUNCE, without options of our own.
//!
//! ```text
//! request   2 op reserved16 lifetime32 client128              answer  2 128+op reserved8 result8 lifetime32 epoch32
//! MAP: 1    nonce96 protocol8 reserved24 internal16                   reserved96
//!           external16 external128                            and for MAP the same fields as in the request
//! ```
//! IPv4 addresses are written as IPv4-mapped IPv6 addresses.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytes::Buf;

use crate::{Protocol, datagram::Reply};

const VERSION: u8 = 2;
const ANSWER: u8 = 128;
const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;

/// What the router says apart from "done": RFC 6887, 7.4.
pub(crate) const UNSUPP_VERSION: u8 = 1;
pub(crate) const NOT_AUTHORIZED: u8 = 2;
pub(crate) const UNSUPP_OPCODE: u8 = 4;
pub(crate) const NETWORK_FAILURE: u8 = 7;
pub(crate) const NO_RESOURCES: u8 = 8;
pub(crate) const UNSUPP_PROTOCOL: u8 = 9;
pub(crate) const USER_EX_QUOTA: u8 = 10;
pub(crate) const CANNOT_PROVIDE_EXTERNAL: u8 = 11;
pub(crate) const ADDRESS_MISMATCH: u8 = 12;

/// Sent with each request for a mapping, and known only to us and the router.
pub(crate) type Nonce = [u8; 12];

/// A mapping that is asked for, or deleted if its lifetime is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapRequest {
    pub(crate) client: IpAddr,
    pub(crate) nonce: Nonce,
    pub(crate) protocol: Protocol,
    pub(crate) internal: u16,
    /// What it was before, or what is wished.
    pub(crate) external: SocketAddr,
    pub(crate) lifetime: u32,
}

/// A mapping that was made, or deleted if its lifetime is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) epoch: u32,
    pub(crate) external: SocketAddr,
    pub(crate) lifetime: u32,
}

/// A result other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) result: u8,
    /// Seconds for which the router will say the same.
    pub(crate) lifetime: u32,
    /// A server of NAT-PMP has another place for it.
    pub(crate) epoch: Option<u32>,
}

impl MapRequest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self { client, nonce, protocol, internal, external, lifetime } = *self;
        let mut packet = head(MAP, lifetime, client);
        packet.extend(nonce);
        packet.extend([protocol.number(), 0, 0, 0]);
        packet.extend(internal.to_be_bytes());
        packet.extend(external.port().to_be_bytes());
        packet.extend(wide(external.ip()).octets());
        packet
    }

    /// Reads an answer to this request.
    pub(crate) fn read_answer(&self, packet: &[u8]) -> Reply<Mapped, Refused> {
        let Some((result, lifetime, epoch, fields)) = read_head(packet, MAP) else {
            return version_zero(packet);
        };
        let refused = Refused { result, lifetime, epoch: Some(epoch) };
        let external = match self.read_fields(fields) {
            Some(external) => external,
            // Who does not know version or operation cannot repeat our fields.
            None if fields.is_empty() && matches!(result, UNSUPP_VERSION..=UNSUPP_OPCODE) => {
                return Reply::Refused(refused);
            }
            None => return Reply::Stray,
        };
        match result {
            0 => Reply::Done(Mapped { epoch, external, lifetime }),
            _ => Reply::Refused(refused),
        }
    }

    /// The outside address, if nonce, protocol and port are ours. Options may follow; we asked for none.
    fn read_fields(&self, mut fields: &[u8]) -> Option<SocketAddr> {
        let mut nonce = Nonce::default();
        fields.try_copy_to_slice(&mut nonce).ok()?;
        let protocol = fields.try_get_u32().ok()? >> 24;
        let internal = fields.try_get_u16().ok()?;
        let port = fields.try_get_u16().ok()?;
        let address = Ipv6Addr::from_bits(fields.try_get_u128().ok()?);
        let ours =
            nonce == self.nonce && protocol == u32::from(self.protocol.number()) && internal == self.internal;
        ours.then(|| SocketAddr::new(address.to_canonical(), port))
    }
}

/// Asks whether the router is there, and for its epoch (RFC 6887, 14.1).
pub(crate) fn announce_request(client: IpAddr) -> Vec<u8> {
    head(ANNOUNCE, 0, client)
}

/// Reads the epoch of an answer to [`announce_request`].
pub(crate) fn read_announce(packet: &[u8]) -> Reply<u32, Refused> {
    match read_head(packet, ANNOUNCE) {
        Some((0, _, epoch, _)) => Reply::Done(epoch),
        Some((result, lifetime, epoch, _)) => {
            Reply::Refused(Refused { result, lifetime, epoch: Some(epoch) })
        }
        None => version_zero(packet),
    }
}

fn head(opcode: u8, lifetime: u32, client: IpAddr) -> Vec<u8> {
    let mut packet = vec![VERSION, opcode, 0, 0];
    packet.extend(lifetime.to_be_bytes());
    packet.extend(wide(client).octets());
    packet
}

fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Result, lifetime, epoch, and what follows.
fn read_head(mut packet: &[u8], opcode: u8) -> Option<(u8, u32, u32, &[u8])> {
    let [version, code, _, result] = packet.try_get_u32().ok()?.to_be_bytes();
    let lifetime = packet.try_get_u32().ok()?;
    let epoch = packet.try_get_u32().ok()?;
    let rest = packet.get(12..)?; // reserved
    // A server of a later version says so in its own.
    let version_fits = version == VERSION || (version > VERSION && result == UNSUPP_VERSION);
    (version_fits && code == ANSWER + opcode).then_some((result, lifetime, epoch, rest))
}

/// A server of NAT-PMP answers in its own format that it does not know our version (RFC 6886, 3.5).
fn version_zero<T>(packet: &[u8]) -> Reply<T, Refused> {
    match packet {
        [0, code, 0, UNSUPP_VERSION, _, _, _, _] if code & ANSWER != 0 => {
            Reply::Refused(Refused { result: UNSUPP_VERSION, lifetime: 0, epoch: None })
        }
        _ => Reply::Stray,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request() -> MapRequest {
        MapRequest {
            client: [192, 168, 1, 10].into(),
            nonce: *b"twelve bytes",
            protocol: Protocol::Udp,
            internal: 0x1234,
            external: ([0, 0, 0, 0], 0x5678).into(),
            lifetime: 3600,
        }
    }

    fn answer(request: &MapRequest, result: u8) -> Vec<u8> {
        let mut packet = vec![2, 0x81, 0, result, 0, 0, 0, 60, 0, 0, 0, 9];
        packet.extend([0; 12]);
        packet.extend(request.nonce);
        packet.extend([17, 0, 0, 0, 0x12, 0x34, 0xab, 0xcd]);
        packet.extend([0; 10]);
        packet.extend([0xff, 0xff, 1, 2, 3, 4]);
        packet
    }

    #[test]
    fn a_request_has_the_rfcs_layout() {
        let packet = request().encode();

        assert_eq!(packet.len(), 60);
        assert_eq!(packet[..8], [2, 1, 0, 0, 0, 0, 0x0e, 0x10]);
        assert_eq!(packet[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 10]);
        assert_eq!(&packet[24..36], b"twelve bytes");
        assert_eq!(packet[36..44], [17, 0, 0, 0, 0x12, 0x34, 0x56, 0x78]);
        assert_eq!(packet[44..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn an_answer_to_our_nonce_is_read() {
        let request = request();
        let external = ([1, 2, 3, 4], 0xabcd).into();

        let read = request.read_answer(&answer(&request, 0));

        assert_eq!(read, Reply::Done(Mapped { epoch: 9, external, lifetime: 60 }));
    }

    #[test]
    fn answers_to_other_questions_are_strays() {
        let request = request();
        let whole = answer(&request, 0);

        // The nonce, the protocol, the internal port.
        for wrong in [24, 35, 36, 40, 41] {
            let mut packet = whole.clone();
            packet[wrong] ^= 1;
            assert_eq!(request.read_answer(&packet), Reply::Stray, "octet {wrong}");
        }
        assert_eq!(request.read_answer(&whole[..59]), Reply::Stray);
        assert_eq!(request.read_answer(&request.encode()), Reply::Stray);
        assert_eq!(request.read_answer(&[2, 0x81, 0, NO_RESOURCES]), Reply::Stray);
    }

    #[test]
    fn refusals_are_read() {
        let request = request();
        let refused = Refused { result: NO_RESOURCES, lifetime: 60, epoch: Some(9) };
        assert_eq!(request.read_answer(&answer(&request, NO_RESOURCES)), Reply::Refused(refused));
        // Without the fields it could be for anybody.
        assert_eq!(request.read_answer(&answer(&request, NO_RESOURCES)[..24]), Reply::Stray);
        let of_pmp = Refused { result: UNSUPP_VERSION, lifetime: 0, epoch: None };
        assert_eq!(request.read_answer(&[0, 0x81, 0, 1, 0, 0, 0, 9]), Reply::Refused(of_pmp));
        assert_eq!(read_announce(&[0, 0x80, 0, 1, 0, 0, 0, 9]), Reply::Refused(of_pmp));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = request().read_answer(&bytes);
            let _ = read_announce(&bytes);
        }
    }
}
