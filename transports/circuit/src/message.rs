//! Messages of the hop and stop protocols, with lengths before them, and the voucher.
//!
//! ```text
//! HopMessage   1 type: 0 RESERVE, 1 CONNECT, 2 STATUS   2 peer   3 reservation   4 limit   5 status
//! StopMessage  1 type: 0 CONNECT, 1 STATUS              2 peer   3 limit         4 status
//! Peer         1 id    2 addrs...
//! Reservation  1 expire (UNIX seconds)   2 addrs...   3 voucher
//! Limit        1 duration (seconds)      2 data (bytes each way)
//! Voucher      1 relay   2 peer   3 expiration (UNIX seconds)
//! ```
//! libp2p specs, `relay/circuit-v2.md`.

mod protobuf;

use libp2p_identity::PeerId;

pub(crate) use self::protobuf::Malformed;
use self::protobuf::{Field, Fields, Writer};

/// Longest message, by the specification.
pub(crate) const MAX_MESSAGE: usize = 4096;

/// What a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    ReservationRefused,
    ResourceLimitExceeded,
    PermissionDenied,
    ConnectionFailed,
    NoReservation,
    MalformedMessage,
    UnexpectedMessage,
}

impl Status {
    pub(crate) fn code(self) -> u64 {
        match self {
            Self::Ok => 100,
            Self::ReservationRefused => 200,
            Self::ResourceLimitExceeded => 201,
            Self::PermissionDenied => 202,
            Self::ConnectionFailed => 203,
            Self::NoReservation => 204,
            Self::MalformedMessage => 400,
            Self::UnexpectedMessage => 401,
        }
    }
}

/// What a client asks of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Reserve,
    Connect(PeerId),
    /// A STATUS, which relays send.
    Status,
}

impl Request {
    /// Reads a HopMessage.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let (mut kind, mut peer) = (None, None);
        for field in Fields::of(message) {
            match field? {
                (1, Field::Number(number)) => kind = Some(number),
                (2, Field::Bytes(bytes)) => peer = Some(bytes),
                _ => {}
            }
        }
        match kind.ok_or(Malformed)? {
            0 => Ok(Self::Reserve),
            1 => Ok(Self::Connect(peer_id(peer.ok_or(Malformed)?)?)),
            2 => Ok(Self::Status),
            _ => Err(Malformed),
        }
    }
}

fn peer_id(peer: &[u8]) -> Result<PeerId, Malformed> {
    let mut id = None;
    for field in Fields::of(peer) {
        if let (1, Field::Bytes(bytes)) = field? {
            id = Some(bytes);
        }
    }
    PeerId::from_bytes(id.ok_or(Malformed)?).map_err(|_| Malformed)
}

/// What both ends are told a circuit may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) seconds: Option<u32>,
    pub(crate) bytes: Option<u64>,
}

impl Limit {
    fn encode(self) -> Vec<u8> {
        let mut limit = Writer::default();
        if let Some(seconds) = self.seconds {
            limit.number(1, seconds.into());
        }
        if let Some(bytes) = self.bytes {
            limit.number(2, bytes);
        }
        limit.finish()
    }

    fn write(self, field: u8, message: &mut Writer) {
        if self != Self::default() {
            message.bytes(field, &self.encode());
        }
    }
}

/// A reservation as its holder is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    /// UNIX seconds.
    pub(crate) expire: u64,
    pub(crate) addresses: Vec<Vec<u8>>,
    pub(crate) voucher: Option<Vec<u8>>,
}

impl Lease {
    fn encode(&self) -> Vec<u8> {
        let mut lease = Writer::default();
        lease.number(1, self.expire);
        for address in &self.addresses {
            lease.bytes(2, address);
        }
        if let Some(voucher) = &self.voucher {
            lease.bytes(3, voucher);
        }
        lease.finish()
    }
}

/// A STATUS to a client; a reservation's with the reservation.
pub(crate) fn hop_status(status: Status, lease: Option<&Lease>, limit: Limit) -> Vec<u8> {
    let mut message = Writer::default();
    message.number(1, 2);
    if let Some(lease) = lease {
        message.bytes(3, &lease.encode());
    }
    limit.write(4, &mut message);
    message.number(5, status.code());
    message.delimited()
}

/// A CONNECT to a destination.
pub(crate) fn stop_connect(source: &PeerId, limit: Limit) -> Vec<u8> {
    let mut peer = Writer::default();
    peer.bytes(1, &source.to_bytes());
    let mut message = Writer::default();
    message.number(1, 0);
    message.bytes(2, &peer.finish());
    limit.write(3, &mut message);
    message.delimited()
}

/// Reads a destination's answer: whether it agreed, else its status code.
pub(crate) fn stop_answer(message: &[u8]) -> Result<Result<(), u64>, Malformed> {
    let (mut kind, mut status) = (None, None);
    for field in Fields::of(message) {
        match field? {
            (1, Field::Number(number)) => kind = Some(number),
            (4, Field::Number(number)) => status = Some(number),
            _ => {}
        }
    }
    match (kind, status) {
        (Some(1), Some(100)) => Ok(Ok(())),
        (Some(1), Some(status)) => Ok(Err(status)),
        _ => Err(Malformed),
    }
}

/// What a voucher says, before it is signed.
pub(crate) fn voucher(relay: &PeerId, peer: &PeerId, expiration: u64) -> Vec<u8> {
    let mut voucher = Writer::default();
    voucher.bytes(1, &relay.to_bytes());
    voucher.bytes(2, &peer.to_bytes());
    voucher.number(3, expiration);
    voucher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer id of go-libp2p's documentation of the hash that it is.
    fn peer() -> PeerId {
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse().expect("a peer id")
    }

    #[test]
    fn a_connect_names_its_peer_wherever_the_fields_are() {
        let mut inner = Writer::default();
        inner.bytes(2, b"an address");
        inner.bytes(1, &peer().to_bytes());
        let mut message = Writer::default();
        message.bytes(2, &inner.finish());
        message.bytes(15, b"of a later version");
        message.number(1, 1);

        assert_eq!(Request::decode(&message.finish()), Ok(Request::Connect(peer())));
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        for message in [
            &b""[..],
            b"\x08",
            b"\x08\x03",
            b"\x08\x01",
            b"\x08\x01\x12\x05\x0a",
            b"\x0a\x00",
            b"\x00\x00",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x08\x00\x13",
            b"\x08\x00\x17",
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00",
        ] {
            assert_eq!(Request::decode(message), Err(Malformed), "{message:?}");
        }
    }

    #[test]
    fn a_reservation_is_written_to_the_byte() {
        let lease = Lease { expire: 300, addresses: vec![b"aa".to_vec(), b"b".to_vec()], voucher: None };
        let limit = Limit { seconds: Some(7200), bytes: Some(128) };

        let message = hop_status(Status::Ok, Some(&lease), limit);

        let lease = b"\x1a\x0a\x08\xac\x02\x12\x02aa\x12\x01b";
        let limit = b"\x22\x06\x08\xa0\x38\x10\x80\x01";
        assert_eq!(message, [&b"\x18\x08\x02"[..], lease, limit, b"\x28\x64"].concat());
    }

    #[test]
    fn without_limits_none_are_named() {
        let message = hop_status(Status::NoReservation, None, Limit::default());
        assert_eq!(message, b"\x05\x08\x02\x28\xcc\x01");
    }

    #[test]
    fn a_destination_is_told_who_comes() {
        let message = stop_connect(&peer(), Limit { seconds: Some(1), bytes: None });
        let id = peer().to_bytes();
        assert_eq!(message, [&b"\x2c\x08\x00\x12\x24\x0a\x22"[..], &id, b"\x1a\x02\x08\x01"].concat());
    }

    #[test]
    fn only_status_100_is_agreement() {
        assert_eq!(stop_answer(b"\x08\x01\x20\x64"), Ok(Ok(())));
        assert_eq!(stop_answer(b"\x08\x01\x20\xc9\x01"), Ok(Err(201)));
        for answer in [&b"\x08\x01"[..], b"\x08\x00\x20\x64", b"\x20\x64", b"", b"\xff"] {
            assert_eq!(stop_answer(answer), Err(Malformed), "{answer:?}");
        }
    }
}
