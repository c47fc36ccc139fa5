//! The messages of topic discovery: a type byte and an RLP list that begins with the request id.

mod carrier;
mod request_id;

use causeway_records::{Record, RecordError};
use causeway_wire::rlp::{self, Reader, put_list, put_string, put_uint};

pub use self::{
    carrier::{Budget, MAX_CARRIED, decode_all, encode_all},
    request_id::{MAX_REQUEST_ID, RequestId},
};
use crate::topic::{MAX_DISTANCE, Topic};

/// Largest message that is read: no discv5 packet is larger.
pub const MAX_MESSAGE: usize = 1280;

/// Largest ticket that is read; registrars choose their form, ours take [`crate::TICKET_LENGTH`] bytes.
pub const MAX_TICKET: usize = 256;

/// Most distances that are read.
pub const MAX_DISTANCES: usize = 256;

/// Most responses that one request may be said to have; geth takes 5 NODES.
pub const MAX_TOTAL: u64 = 16;

/// Most records that are looked at in one message; no more fit into [`MAX_MESSAGE`] bytes, as the shortest take
/// over 70.
pub const MAX_RECORDS: usize = 18;

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// No bytes at all.
    #[error("an empty message")]
    Empty,
    /// Larger than [`MAX_MESSAGE`].
    #[error("{length} bytes are over the limit of {MAX_MESSAGE} for a message")]
    TooLarge {
        /// Its size.
        length: usize,
    },
    /// Another type.
    #[error("message type {code:#04x} does not belong to topic discovery")]
    UnknownType {
        /// The type.
        code: u8,
    },
    /// Longer than [`MAX_REQUEST_ID`].
    #[error("{length} bytes are over the limit of {MAX_REQUEST_ID} for a request id")]
    RequestId {
        /// Its length.
        length: usize,
    },
    /// Longer than [`MAX_TICKET`].
    #[error("{length} bytes are over the limit of {MAX_TICKET} for a ticket")]
    Ticket {
        /// Its length.
        length: usize,
    },
    /// Beyond [`MAX_DISTANCE`].
    #[error("distance {distance} is over the limit of {MAX_DISTANCE}")]
    Distance {
        /// The distance.
        distance: u64,
    },
    /// More than [`MAX_DISTANCES`].
    #[error("over {MAX_DISTANCES} distances")]
    TooManyDistances,
    /// None, or more than [`MAX_TOTAL`].
    #[error("a total of {total} responses is not between 1 and {MAX_TOTAL}")]
    Total {
        /// What it says.
        total: u64,
    },
    /// More than [`MAX_RECORDS`].
    #[error("over {MAX_RECORDS} node records")]
    TooManyRecords,
    /// More than [`MAX_CARRIED`].
    #[error("over {MAX_CARRIED} messages in one response")]
    TooManyMessages,
    /// The advertiser's record.
    #[error("the advertiser's record is none")]
    Record(#[from] RecordError),
    /// Not the list that it should be.
    #[error("malformed message")]
    Rlp(#[from] rlp::Error),
}

/// Asks to be registered (type 07).
///
/// ```text
/// [request-id, topic, ENR, ticket, [distance, …]]
/// ```
///
/// devp2p `discv5/discv5-wire.md`, "REGTOPIC".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegTopic {
    /// Mirrored by the answers.
    pub id: RequestId,
    /// What is advertised.
    pub topic: Topic,
    /// Who advertises it.
    pub record: Record,
    /// The registrar's last ticket; empty at first.
    pub ticket: Vec<u8>,
    /// Distances from the topic at which the sender wants to hear of nodes; 0 is none.
    pub distances: Vec<u16>,
}

/// Says whether the advertiser is registered (type 08).
///
/// ```text
/// [request-id, total, ticket, wait-time]     wait-time in milliseconds
/// ```
///
/// devp2p `discv5/discv5-wire.md`, "REGCONFIRMATION".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegConfirmation {
    /// The request's.
    pub id: RequestId,
    /// Responses to the request in all, NODES included.
    pub total: u64,
    /// Empty if admitted, else what to come back with.
    pub ticket: Vec<u8>,
    /// Milliseconds: the advertisement's lifetime if admitted, else how long to wait.
    pub wait: u64,
}

/// Asks for advertisers (type 09).
///
/// ```text
/// [request-id, topic, [distance, …]]
/// ```
///
/// devp2p `discv5/discv5-wire.md`, "TOPICQUERY".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicQuery {
    /// Mirrored by the answers.
    pub id: RequestId,
    /// What is looked for.
    pub topic: Topic,
    /// As in [`RegTopic::distances`].
    pub distances: Vec<u16>,
}

/// Node records: advertisers (TOPICNODES, type 0a), or nodes near the topic (NODES, type 04).
///
/// ```text
/// [request-id, total, [ENR, …]]
/// ```
///
/// devp2p `discv5/discv5-wire.md`, "TOPICNODES" and "NODES".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// The request's.
    pub id: RequestId,
    /// Responses to the request in all, of both kinds.
    pub total: u64,
    /// Those that are valid.
    pub records: Vec<Record>,
    /// How many were not. They are passed over: an advertiser whose record one implementation takes and another
    /// does not must not make a registrar's whole answer worthless.
    pub refused: usize,
}

/// A message of topic discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Type 04, as a further answer to type 07 or 09.
    Nodes(Nodes),
    /// Type 07.
    RegTopic(RegTopic),
    /// Type 08.
    RegConfirmation(RegConfirmation),
    /// Type 09.
    TopicQuery(TopicQuery),
    /// Type 0a.
    TopicNodes(Nodes),
}

const NODES: u8 = 0x04;
const REGTOPIC: u8 = 0x07;
const REGCONFIRMATION: u8 = 0x08;
const TOPICQUERY: u8 = 0x09;
const TOPICNODES: u8 = 0x0a;

impl Message {
    /// Reads one message, of which nothing may be left over.
    ///
    /// # Errors
    /// [`MessageError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLarge { length: bytes.len() });
        }
        let (&code, body) = bytes.split_first().ok_or(MessageError::Empty)?;
        if !matches!(code, NODES | REGTOPIC | REGCONFIRMATION | TOPICQUERY | TOPICNODES) {
            return Err(MessageError::UnknownType { code });
        }
        let mut fields = rlp::single(body)?.list()?;
        let id = RequestId::new(fields.string()?)?;
        let message = match code {
            REGTOPIC => Self::RegTopic(RegTopic {
                id,
                topic: Topic(fields.hash()?),
                record: Record::decode(fields.item()?.raw)?,
                ticket: ticket(&mut fields)?,
                distances: distances(&mut fields)?,
            }),
            REGCONFIRMATION => Self::RegConfirmation(RegConfirmation {
                id,
                total: total(&mut fields)?,
                ticket: ticket(&mut fields)?,
                wait: fields.uint()?,
            }),
            TOPICQUERY => Self::TopicQuery(TopicQuery {
                id,
                topic: Topic(fields.hash()?),
                distances: distances(&mut fields)?,
            }),
            TOPICNODES => Self::TopicNodes(nodes(id, &mut fields)?),
            _ => Self::Nodes(nodes(id, &mut fields)?),
        };
        fields.finish()?;
        Ok(message)
    }

    /// The bytes, type first.
    pub fn encode(&self) -> Vec<u8> {
        let code = match self {
            Self::Nodes(_) => NODES,
            Self::RegTopic(_) => REGTOPIC,
            Self::RegConfirmation(_) => REGCONFIRMATION,
            Self::TopicQuery(_) => TOPICQUERY,
            Self::TopicNodes(_) => TOPICNODES,
        };
        let mut bytes = vec![code];
        // The list is written apart, as its header is put in front of it.
        let mut body = Vec::new();
        put_list(&mut body, |out| {
            put_string(out, self.id().as_bytes());
            self.put_fields(out);
        });
        bytes.extend(body);
        bytes
    }

    /// The request's id.
    pub fn id(&self) -> RequestId {
        match self {
            Self::RegTopic(RegTopic { id, .. })
            | Self::RegConfirmation(RegConfirmation { id, .. })
            | Self::TopicQuery(TopicQuery { id, .. })
            | Self::Nodes(Nodes { id, .. })
            | Self::TopicNodes(Nodes { id, .. }) => *id,
        }
    }

    /// Responses to the request in all, if this is one.
    pub fn total(&self) -> Option<u64> {
        match self {
            Self::RegTopic(_) | Self::TopicQuery(_) => None,
            Self::RegConfirmation(RegConfirmation { total, .. })
            | Self::Nodes(Nodes { total, .. })
            | Self::TopicNodes(Nodes { total, .. }) => Some(*total),
        }
    }

    fn put_fields(&self, out: &mut Vec<u8>) {
        match self {
            Self::RegTopic(RegTopic { id: _, topic, record, ticket, distances }) => {
                put_string(out, topic.0.as_slice());
                out.extend(record.encode());
                put_string(out, ticket);
                put_distances(out, distances);
            }
            Self::RegConfirmation(RegConfirmation { id: _, total, ticket, wait }) => {
                put_uint(out, *total);
                put_string(out, ticket);
                put_uint(out, *wait);
            }
            Self::TopicQuery(TopicQuery { id: _, topic, distances }) => {
                put_string(out, topic.0.as_slice());
                put_distances(out, distances);
            }
            Self::Nodes(nodes) | Self::TopicNodes(nodes) => {
                put_uint(out, nodes.total);
                put_list(out, |out| nodes.records.iter().for_each(|record| out.extend(record.encode())));
            }
        }
    }
}

fn put_distances(out: &mut Vec<u8>, distances: &[u16]) {
    put_list(out, |out| distances.iter().for_each(|distance| put_uint(out, u64::from(*distance))));
}

fn total(fields: &mut Reader<'_>) -> Result<u64, MessageError> {
    match fields.uint()? {
        total @ 1..=MAX_TOTAL => Ok(total),
        total => Err(MessageError::Total { total }),
    }
}

fn ticket(fields: &mut Reader<'_>) -> Result<Vec<u8>, MessageError> {
    let ticket = fields.string()?;
    if ticket.len() > MAX_TICKET {
        return Err(MessageError::Ticket { length: ticket.len() });
    }
    Ok(ticket.to_vec())
}

fn distances(fields: &mut Reader<'_>) -> Result<Vec<u16>, MessageError> {
    let mut list = fields.list()?;
    let mut distances = Vec::new();
    while !list.is_empty() {
        if distances.len() == MAX_DISTANCES {
            return Err(MessageError::TooManyDistances);
        }
        let distance = list.uint()?;
        let within = u16::try_from(distance).ok().filter(|within| *within <= MAX_DISTANCE);
        distances.push(within.ok_or(MessageError::Distance { distance })?);
    }
    Ok(distances)
}

fn nodes(id: RequestId, fields: &mut Reader<'_>) -> Result<Nodes, MessageError> {
    let total = total(fields)?;
    let mut list = fields.list()?;
    let mut nodes = Nodes { id, total, records: Vec::new(), refused: 0 };
    while !list.is_empty() {
        if nodes.records.len() + nodes.refused == MAX_RECORDS {
            return Err(MessageError::TooManyRecords);
        }
        let raw = list.item()?.raw;
        match Record::decode(raw) {
            Ok(record) => nodes.records.push(record),
            Err(_) => nodes.refused += 1,
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests;
