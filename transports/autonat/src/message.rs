//! The messages of AutoNAT v2 (libp2p `autonat/autonat-v2.md`).
//!
//! ```text
//! on /libp2p/autonat/2/dial-request, each a field of one enclosing message:
//!   1 DialRequest      { 1 addrs: bytes, repeated    2 nonce: fixed64 }
//!   2 DialResponse     { 1 status    2 addrIdx    3 dialStatus }
//!   3 DialDataRequest  { 1 addrIdx    2 numBytes }
//!   4 DialDataResponse { 1 data: bytes }
//! on /libp2p/autonat/2/dial-back, as they are:
//!   DialBack { 1 nonce: fixed64 }    DialBackResponse { 1 status: 0 is OK }
//! ```

mod protobuf;

pub(crate) use protobuf::put_varint;
use protobuf::{Fields, Writer};

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it ends within a field")]
    Truncated,
    #[error("a number is longer than 64 bits")]
    Varint,
    #[error("a field has no number or an unknown encoding")]
    Field,
    #[error("field {0} is of another kind")]
    Kind(u64),
    #[error("it is none of the four messages")]
    Empty,
    #[error("status {0} is unknown")]
    Status(u64),
    #[error("index {0} is too large")]
    Index(u64),
}

/// What goes over a stream of dial requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Ask(DialRequest),
    Answer(DialResponse),
    Charge(DialDataRequest),
    Data(DialData),
}

/// Asks to be dialed at one of these addresses, the first one that the server is willing to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DialRequest {
    /// As bytes: those that are no addresses count in the index.
    pub(crate) addresses: Vec<Vec<u8>>,
    pub(crate) nonce: u64,
}

/// Addresses of a request that are looked at; the rest is ignored. go-libp2p sends at most ten.
pub(crate) const MAX_ADDRESSES: usize = 20;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialResponse {
    Internal,
    Rejected,
    Refused,
    Dialed { index: usize, status: DialStatus },
}

/// What became of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialStatus {
    /// No connection.
    DialError,
    /// A connection, over which the nonce could not be handed over.
    DialBackError,
    Ok,
}

/// Asks for bytes before the address is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DialDataRequest {
    pub(crate) index: usize,
    pub(crate) bytes: u64,
}

/// Some of these bytes, whatever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DialData {
    pub(crate) length: usize,
}

const INTERNAL: u64 = 0;
const REJECTED: u64 = 100;
const REFUSED: u64 = 101;
const OK: u64 = 200;

const DIAL_ERROR: u64 = 100;
const DIAL_BACK_ERROR: u64 = 101;

impl Message {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut message = None;
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            message = Some(match number {
                1 => Self::Ask(DialRequest::decode(value.bytes(number)?)?),
                2 => Self::Answer(DialResponse::decode(value.bytes(number)?)?),
                3 => Self::Charge(DialDataRequest::decode(value.bytes(number)?)?),
                4 => Self::Data(DialData::decode(value.bytes(number)?)?),
                _ => continue,
            });
        }
        message.ok_or(Malformed::Empty)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Ask(request) => out.bytes(1, &request.encode()),
            Self::Answer(response) => out.bytes(2, &response.encode()),
            Self::Charge(request) => out.bytes(3, &request.encode()),
            Self::Data(data) => out.bytes(4, &data.encode()),
        }
        out.0
    }
}

impl DialRequest {
    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut request = Self { addresses: Vec::new(), nonce: 0 };
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    let address = value.bytes(number)?;
                    if request.addresses.len() < MAX_ADDRESSES {
                        request.addresses.push(address.to_vec());
                    }
                }
                2 => request.nonce = value.fixed(number)?,
                _ => {}
            }
        }
        Ok(request)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        for address in &self.addresses {
            out.bytes(1, address);
        }
        out.fixed(2, self.nonce);
        out.0
    }
}

impl DialResponse {
    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (mut status, mut index, mut dial) = (INTERNAL, 0, 0);
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => status = value.number(number)?,
                2 => index = value.number(number)?,
                3 => dial = value.number(number)?,
                _ => {}
            }
        }
        match status {
            INTERNAL => Ok(Self::Internal),
            REJECTED => Ok(Self::Rejected),
            REFUSED => Ok(Self::Refused),
            OK => Ok(Self::Dialed { index: to_index(index)?, status: DialStatus::from_number(dial)? }),
            other => Err(Malformed::Status(other)),
        }
    }

    fn encode(self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Internal => out.number(1, INTERNAL),
            Self::Rejected => out.number(1, REJECTED),
            Self::Refused => out.number(1, REFUSED),
            Self::Dialed { index, status } => {
                out.number(1, OK);
                out.number(2, index as u64);
                out.number(3, status.number());
            }
        }
        out.0
    }
}

impl DialStatus {
    fn from_number(number: u64) -> Result<Self, Malformed> {
        match number {
            DIAL_ERROR => Ok(Self::DialError),
            DIAL_BACK_ERROR => Ok(Self::DialBackError),
            OK => Ok(Self::Ok),
            other => Err(Malformed::Status(other)),
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::DialError => DIAL_ERROR,
            Self::DialBackError => DIAL_BACK_ERROR,
            Self::Ok => OK,
        }
    }
}

impl DialDataRequest {
    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (mut index, mut wanted) = (0, 0);
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => index = value.number(number)?,
                2 => wanted = value.number(number)?,
                _ => {}
            }
        }
        Ok(Self { index: to_index(index)?, bytes: wanted })
    }

    fn encode(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(1, self.index as u64);
        out.number(2, self.bytes);
        out.0
    }
}

impl DialData {
    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut length = 0;
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            if number == 1 {
                length = value.bytes(number)?.len();
            }
        }
        Ok(Self { length })
    }

    fn encode(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(1, &vec![0; self.length]);
        out.0
    }
}

/// The only message on a stream of a dial back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DialBack {
    pub(crate) nonce: u64,
}

impl DialBack {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut nonce = None;
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            if number == 1 {
                nonce = Some(value.fixed(number)?);
            }
        }
        nonce.map(|nonce| Self { nonce }).ok_or(Malformed::Empty)
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.fixed(1, self.nonce);
        out.0
    }
}

/// Its answer. The only status is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DialBackResponse;

impl DialBackResponse {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            if number == 1 {
                match value.number(number)? {
                    0 => {}
                    other => return Err(Malformed::Status(other)),
                }
            }
        }
        Ok(Self)
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(1, 0);
        out.0
    }
}

fn to_index(number: u64) -> Result<usize, Malformed> {
    u32::try_from(number).map(|index| index as usize).map_err(|_| Malformed::Index(number))
}
