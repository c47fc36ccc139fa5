//! The packets of NAT-PMP (RFC 6886).
//!
//! ```text
//! ask for the address   0 0                                                    answer  0 128 result16 epoch32 address32
//! ask for a mapping     0 op reserved16 internal16 external16 lifetime32       answer  0 128+op result16 epoch32
//!                       op: 1 UDP, 2 TCP; lifetime 0 deletes                           internal16 external16 lifetime32
//! ```

use std::net::Ipv4Addr;

use bytes::Buf;

use crate::{Protocol, datagram::Reply};

const VERSION: u8 = 0;
const ANSWER: u8 = 128;

/// What the router says apart from "done": RFC 6886, 3.5.
pub(crate) const UNSUPPORTED_VERSION: u16 = 1;
pub(crate) const NOT_AUTHORIZED: u16 = 2;
pub(crate) const NETWORK_FAILURE: u16 = 3;
pub(crate) const OUT_OF_RESOURCES: u16 = 4;
pub(crate) const UNSUPPORTED_OPCODE: u16 = 5;

/// The router's outside address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) epoch: u32,
    pub(crate) address: Ipv4Addr,
}

/// A mapping that was made, or deleted if its lifetime is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) epoch: u32,
    pub(crate) external: u16,
    pub(crate) lifetime: u32,
}

/// A result other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) result: u16,
    pub(crate) epoch: Option<u32>,
}

/// Asks for the outside address.
pub(crate) const ADDRESS_REQUEST: [u8; 2] = [VERSION, 0];

/// Asks for a mapping, or deletes the one of this internal port if the lifetime is 0.
pub(crate) fn map_request(protocol: Protocol, internal: u16, external: u16, lifetime: u32) -> Vec<u8> {
    let mut packet = vec![VERSION, opcode(protocol), 0, 0];
    packet.extend(internal.to_be_bytes());
    packet.extend(external.to_be_bytes());
    packet.extend(lifetime.to_be_bytes());
    packet
}

/// Reads an answer to [`ADDRESS_REQUEST`].
pub(crate) fn read_address(packet: &[u8]) -> Reply<Address, Refused> {
    let (epoch, mut rest) = match read_head(packet, 0) {
        Reply::Done(head) => head,
        Reply::Refused(refused) => return Reply::Refused(refused),
        Reply::Stray => return Reply::Stray,
    };
    match rest.try_get_u32() {
        Ok(address) if rest.is_empty() => {
            Reply::Done(Address { epoch, address: Ipv4Addr::from_bits(address) })
        }
        _ => Reply::Stray,
    }
}

/// Reads an answer to [`map_request`] of this protocol and internal port.
pub(crate) fn read_mapped(packet: &[u8], protocol: Protocol, internal: u16) -> Reply<Mapped, Refused> {
    let (epoch, mut rest) = match read_head(packet, opcode(protocol)) {
        Reply::Done(head) => head,
        Reply::Refused(refused) => return Reply::Refused(refused),
        Reply::Stray => return Reply::Stray,
    };
    let fields = (rest.try_get_u16(), rest.try_get_u16(), rest.try_get_u32());
    let (Ok(port), Ok(external), Ok(lifetime)) = fields else { return Reply::Stray };
    if !rest.is_empty() || port != internal {
        return Reply::Stray;
    }
    Reply::Done(Mapped { epoch, external, lifetime })
}

/// The epoch, and what follows the head of an answer that says "done".
fn read_head(mut packet: &[u8], opcode: u8) -> Reply<(u32, &[u8]), Refused> {
    let (Ok(version), Ok(code)) = (packet.try_get_u8(), packet.try_get_u8()) else { return Reply::Stray };
    if version != VERSION {
        // A server of PCP alone answers in its own format, whose fourth octet is the result.
        let of_pcp = code & ANSWER != 0 && packet.get(1) == Some(&1);
        return if of_pcp {
            Reply::Refused(Refused { result: UNSUPPORTED_VERSION, epoch: None })
        } else {
            Reply::Stray
        };
    }
    let (Ok(result), Ok(epoch)) = (packet.try_get_u16(), packet.try_get_u32()) else { return Reply::Stray };
    if code != ANSWER + opcode {
        return Reply::Stray;
    }
    match result {
        0 => Reply::Done((epoch, packet)),
        result => Reply::Refused(Refused { result, epoch: Some(epoch) }),
    }
}

fn opcode(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Udp => 1,
        Protocol::Tcp => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_has_the_rfcs_layout() {
        assert_eq!(
            map_request(Protocol::Udp, 0x1234, 0x5678, 7200),
            [0, 1, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0x1c, 0x20]
        );
        assert_eq!(map_request(Protocol::Tcp, 1, 0, 0)[1], 2);
    }

    #[test]
    fn answers_to_other_questions_are_strays() {
        let answer = [0, 129, 0, 0, 0, 0, 0, 9, 0x12, 0x34, 0xab, 0xcd, 0, 0, 0, 60];

        let read = read_mapped(&answer, Protocol::Udp, 0x1234);

        assert_eq!(read, Reply::Done(Mapped { epoch: 9, external: 0xabcd, lifetime: 60 }));
        assert_eq!(read_mapped(&answer, Protocol::Tcp, 0x1234), Reply::Stray);
        assert_eq!(read_mapped(&answer, Protocol::Udp, 0x1235), Reply::Stray);
        assert_eq!(read_address(&answer), Reply::Stray);
        assert_eq!(read_mapped(&[&answer[..], &[0]].concat(), Protocol::Udp, 0x1234), Reply::Stray);
        assert_eq!(read_mapped(&answer[..15], Protocol::Udp, 0x1234), Reply::Stray);
        // Our own request, sent back.
        assert_eq!(read_mapped(&map_request(Protocol::Udp, 1, 1, 1), Protocol::Udp, 1), Reply::Stray);
    }

    #[test]
    fn refusals_are_read_short_and_long() {
        let refused = Reply::Refused(Refused { result: NOT_AUTHORIZED, epoch: Some(9) });
        assert_eq!(read_mapped(&[0, 130, 0, 2, 0, 0, 0, 9], Protocol::Tcp, 1), refused);
        let of_pcp = [&[2, 0x81, 0, 1][..], &[0; 20]].concat();
        let other_version = Refused { result: UNSUPPORTED_VERSION, epoch: None };
        assert_eq!(read_mapped(&of_pcp, Protocol::Udp, 1), Reply::Refused(other_version));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, internal: u16) {
            let _ = read_address(&bytes);
            let _ = read_mapped(&bytes, Protocol::Udp, internal);
        }
    }
}
