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
