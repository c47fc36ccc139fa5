//! The messages of `/rendezvous/1.0.0` and their protobuf.
//!
//! ```text
//! Message          { type = 1, register = 2, registerResponse = 3, unregister = 4, discover = 5, discoverResponse = 6 }
//! Register         { ns = 1, signedPeerRecord = 2, ttl = 3 seconds }
//! RegisterResponse { status = 1, statusText = 2, ttl = 3 }
//! Unregister       { ns = 1, id = 2 }
//! Discover         { ns = 1, limit = 2, cookie = 3 }
//! DiscoverResponse { registrations = 1, cookie = 2, status = 3, statusText = 4 }
//! ```
//!
//! libp2p's specification, `rendezvous/README.md`. On a stream each message stands behind its length, a varint.

use std::fmt;

use crate::protobuf::{Fields, Writer};

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Register {
        namespace: String,
        /// A signed envelope with a peer record.
        record: Vec<u8>,
        /// In seconds.
        ttl: Option<u64>,
    },
    /// Never answered.
    Unregister { namespace: String },
    Discover {
        /// All of them if there is none.
        namespace: Option<String>,
        limit: Option<u64>,
        /// Empty in the first request.
        cookie: Vec<u8>,
    },
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// With the granted time in seconds.
    Registered(Result<Option<u64>, Refusal>),
    Discovered(Result<Page, Refusal>),
}

/// Some of the registrations of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Page {
    pub(crate) registrations: Vec<Registration>,
    /// Sent with the next request to go on from here.
    pub(crate) cookie: Vec<u8>,
}

/// One registration in a page.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Registration {
    pub(crate) namespace: String,
    pub(crate) record: Vec<u8>,
    /// Seconds that it has left.
    pub(crate) ttl: u64,
}

/// Why a server did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: RendezvousStatus,
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn new(status: RendezvousStatus, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

/// The reason codes of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RendezvousStatus {
    /// `E_INVALID_NAMESPACE`: too long, or not served there.
    InvalidNamespace,
    /// `E_INVALID_SIGNED_PEER_RECORD`: unreadable, forged, too large, without addresses.
    InvalidSignedPeerRecord,
    /// `E_INVALID_TTL`: too short or too long.
    InvalidTtl,
    /// `E_INVALID_COOKIE`: not made by this server, or for another namespace.
    InvalidCookie,
    /// `E_NOT_AUTHORIZED`: the record is another peer's.
    NotAuthorized,
    /// `E_INTERNAL_ERROR`.
    InternalError,
    /// `E_UNAVAILABLE`: a limit of the server is reached.
    Unavailable,
    /// A code that the protocol does not name.
    Unknown(u64),
}

impl RendezvousStatus {
    /// The code on the wire.
    pub fn code(self) -> u64 {
        match self {
            Self::InvalidNamespace => 100,
            Self::InvalidSignedPeerRecord => 101,
            Self::InvalidTtl => 102,
            Self::InvalidCookie => 103,
            Self::NotAuthorized => 200,
            Self::InternalError => 300,
            Self::Unavailable => 400,
            Self::Unknown(code) => code,
        }
    }

    /// `None` for 0, which is success.
    fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            0 => return None,
            100 => Self::InvalidNamespace,
            101 => Self::InvalidSignedPeerRecord,
            102 => Self::InvalidTtl,
            103 => Self::InvalidCookie,
            200 => Self::NotAuthorized,
            300 => Self::InternalError,
            400 => Self::Unavailable,
            other => Self::Unknown(other),
        })
    }
}

impl fmt::Display for RendezvousStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidNamespace => f.write_str("invalid namespace"),
            Self::InvalidSignedPeerRecord => f.write_str("invalid signed peer record"),
            Self::InvalidTtl => f.write_str("invalid ttl"),
            Self::InvalidCookie => f.write_str("invalid cookie"),
            Self::NotAuthorized => f.write_str("not authorized"),
            Self::InternalError => f.write_str("internal error"),
            Self::Unavailable => f.write_str("unavailable"),
            Self::Unknown(code) => write!(f, "status {code}"),
        }
    }
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end within a field.
    #[error("the message ends within a field")]
    Truncated,
    /// A number of more than 64 bits.
    #[error("a number is longer than 64 bits")]
    Varint,
    /// A field with a number or a kind of value that protobuf does not have.
    #[error("a field has an unknown wire type or number")]
    Field,
    /// A known field with another kind of value.
    #[error("field {0} has the wrong kind of value")]
    Kind(u64),
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A type that is not expected here.
    #[error("message type {0} is not expected here")]
    Type(u64),
    /// The part that the type announces is missing.
    #[error("a message of type {0} without its content")]
    Missing(u64),
    /// More registrations than were asked for.
    #[error("more than the {limit} registrations asked for")]
    TooMany {
        /// What was asked for.
        limit: usize,
    },
}

const REGISTER: u64 = 0;
const REGISTER_RESPONSE: u64 = 1;
const UNREGISTER: u64 = 2;
const DISCOVER: u64 = 3;
const DISCOVER_RESPONSE: u64 = 4;

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        let (kind, field) = match self {
            Self::Register { namespace, record, ttl } => {
                body.bytes(1, namespace.as_bytes());
                body.bytes(2, record);
                ttl.iter().for_each(|ttl| body.number(3, *ttl));
                (REGISTER, 2)
            }
            Self::Unregister { namespace } => {
                body.bytes(1, namespace.as_bytes());
                (UNREGISTER, 4)
            }
            Self::Discover { namespace, limit, cookie } => {
                namespace.iter().for_each(|namespace| body.bytes(1, namespace.as_bytes()));
                limit.iter().for_each(|limit| body.number(2, *limit));
                if !cookie.is_empty() {
                    body.bytes(3, cookie);
                }
                (DISCOVER, 5)
            }
        };
        message(kind, field, &body)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, bodies) = Bodies::of(bytes)?;
        match kind {
            REGISTER => {
                let Registration { namespace, record, .. } = registration(bodies.get(2, kind)?)?;
                let ttl = numbers(bodies.get(2, kind)?, 3)?;
                Ok(Self::Register { namespace, record, ttl })
            }
            UNREGISTER => {
                let namespace = registration(bodies.get(4, kind)?)?.namespace;
                Ok(Self::Unregister { namespace })
            }
            DISCOVER => {
                let (mut namespace, mut limit, mut cookie) = (None, None, Vec::new());
                let mut fields = Fields(bodies.get(5, kind)?);
                while let Some((number, value)) = fields.next()? {
                    match number {
                        1 => namespace = Some(value.text(1)?),
                        2 => limit = Some(value.number(2)?),
                        3 => cookie = value.bytes(3)?.to_vec(),
                        _ => {}
                    }
                }
                Ok(Self::Discover { namespace: namespace.filter(|name| !name.is_empty()), limit, cookie })
            }
            other => Err(Malformed::Type(other)),
        }
    }
}

impl Response {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        let (kind, field) = match self {
            Self::Registered(result) => {
                match result {
                    Ok(ttl) => {
                        body.number(1, 0);
                        ttl.iter().for_each(|ttl| body.number(3, *ttl));
                    }
                    Err(Refusal { status, text }) => {
                        body.number(1, status.code());
                        body.bytes(2, text.as_bytes());
                    }
                }
                (REGISTER_RESPONSE, 3)
            }
            Self::Discovered(result) => {
                match result {
                    Ok(Page { registrations, cookie }) => {
                        for Registration { namespace, record, ttl } in registrations {
                            let mut registration = Writer::default();
                            registration.bytes(1, namespace.as_bytes());
                            registration.bytes(2, record);
                            registration.number(3, *ttl);
                            body.bytes(1, &registration.0);
                        }
                        body.bytes(2, cookie);
                        body.number(3, 0);
                    }
                    Err(Refusal { status, text }) => {
                        body.number(3, status.code());
                        body.bytes(4, text.as_bytes());
                    }
                }
                (DISCOVER_RESPONSE, 6)
            }
        };
        message(kind, field, &body)
    }

    /// Takes at most `most` registrations in a page.
    pub(crate) fn decode(bytes: &[u8], most: usize) -> Result<Self, Malformed> {
        let (kind, bodies) = Bodies::of(bytes)?;
        match kind {
            REGISTER_RESPONSE => {
                let (mut status, mut text, mut ttl) = (0, String::new(), None);
                let mut fields = Fields(bodies.get(3, kind)?);
                while let Some((number, value)) = fields.next()? {
                    match number {
                        1 => status = value.number(1)?,
                        2 => text = value.text(2)?,
                        3 => ttl = Some(value.number(3)?),
                        _ => {}
                    }
                }
                Ok(Self::Registered(match RendezvousStatus::from_code(status) {
                    None => Ok(ttl),
                    Some(status) => Err(Refusal { status, text }),
                }))
            }
            DISCOVER_RESPONSE => {
                let (mut page, mut status, mut text) = (Page::default(), 0, String::new());
                let mut fields = Fields(bodies.get(6, kind)?);
                while let Some((number, value)) = fields.next()? {
                    match number {
                        1 if page.registrations.len() >= most => {
                            return Err(Malformed::TooMany { limit: most });
                        }
                        1 => page.registrations.push(registration(value.bytes(1)?)?),
                        2 => page.cookie = value.bytes(2)?.to_vec(),
                        3 => status = value.number(3)?,
                        4 => text = value.text(4)?,
                        _ => {}
                    }
                }
                Ok(Self::Discovered(match RendezvousStatus::from_code(status) {
                    None => Ok(page),
                    Some(status) => Err(Refusal { status, text }),
                }))
            }
            other => Err(Malformed::Type(other)),
        }
    }
}

fn message(kind: u64, field: u64, body: &Writer) -> Vec<u8> {
    let mut message = Writer::default();
    message.number(1, kind);
    message.bytes(field, &body.0);
    message.0
}

/// `Register`, and as much of `Unregister` as matters.
fn registration(bytes: &[u8]) -> Result<Registration, Malformed> {
    let mut registration = Registration::default();
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => registration.namespace = value.text(1)?,
            2 => registration.record = value.bytes(2)?.to_vec(),
            3 => registration.ttl = value.number(3)?,
            _ => {}
        }
    }
    Ok(registration)
}

/// The last number in field `wanted`, if there is one.
fn numbers(bytes: &[u8], wanted: u64) -> Result<Option<u64>, Malformed> {
    let (mut found, mut fields) = (None, Fields(bytes));
    while let Some((number, value)) = fields.next()? {
        if number == wanted {
            found = Some(value.number(wanted)?);
        }
    }
    Ok(found)
}

/// The parts of a message, of which the type says which one counts.
struct Bodies<'a>([Option<&'a [u8]>; 7]);

impl<'a> Bodies<'a> {
    /// The type is 0 if it is missing: proto3, which some peers speak, leaves zeros out.
    fn of(message: &'a [u8]) -> Result<(u64, Self), Malformed> {
        let (mut kind, mut bodies) = (REGISTER, Self([None; 7]));
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => kind = value.number(1)?,
                2..=6 => {
                    if let Some(body) = bodies.0.get_mut(number as usize) {
                        *body = Some(value.bytes(number)?);
                    }
                }
                _ => {}
            }
        }
        Ok((kind, bodies))
    }

    fn get(&self, field: usize, kind: u64) -> Result<&'a [u8], Malformed> {
        self.0.get(field).copied().flatten().ok_or(Malformed::Missing(kind))
    }
}

#[cfg(test)]
mod tests;
