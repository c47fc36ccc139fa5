//! The Light Ethereum Subprotocol, versions 2 to 4: message codes, limits, and the messages.

mod announce;
pub mod code;
mod hashes;
mod headers;
mod helper_tries;
mod items;
mod key_values;
pub mod limit;
mod proofs;
mod status;
mod transactions;

use alloy_primitives::Bytes;

use self::items::Bound;
pub use self::{
    announce::{Announce, Origin},
    status::{AnnounceKind, Checkpoint, FlowControl, RequestCost, Serving, Status},
    transactions::MIN_TRANSACTION,
};
use crate::{
    Answer, Capability, Query, RequestId,
    rlp::{self, Reader, put_list, put_raw_list, put_string_list, put_uint},
};

// Keys that Status and Announce share.
const BUFFER_LIMIT: &str = "flowControl/BL";
const RECHARGE: &str = "flowControl/MRR";
const COSTS: &str = "flowControl/MRC";
const ORIGINS: &str = "causeway/origins";
const HEARTBEAT: &str = "causeway/heartbeat";

/// The LES version of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// `les/2`
    Les2,
    /// `les/3`: Stop and Resume.
    Les3,
    /// `les/4`: fork id, recent transaction lookup.
    Les4,
}

impl Version {
    /// All versions, the preferred one first.
    pub const ALL: [Self; 3] = [Self::Les4, Self::Les3, Self::Les2];

    /// Its number.
    pub const fn number(self) -> u64 {
        match self {
            Self::Les2 => 2,
            Self::Les3 => 3,
            Self::Les4 => 4,
        }
    }

    /// As a capability, `les/N`.
    pub const fn capability(self) -> Capability {
        Capability::new("les", self.number())
    }

    /// The version that a capability names, if it is one of LES.
    pub fn of(capability: &Capability) -> Option<Self> {
        if capability.name != "les" {
            return None;
        }
        Self::ALL.into_iter().find(|version| version.number() == capability.version)
    }
}

/// A LES message of version 2, 3 or 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// 00
    Status(Status),
    /// 01
    Announce(Announce),
    /// 02, 04, 06, 0a, 0f, 11, 13, 14
    Request {
        /// The asker's id.
        id: RequestId,
        /// What is asked.
        query: Query,
    },
    /// 03, 05, 07, 0b, 10, 12, 15
    Response {
        /// The request's id.
        id: RequestId,
        /// `BV`: the buffer that remains to the asker.
        buffer: u64,
        /// The answer.
        answer: Answer,
    },
    /// 16, from les/3
    Stop,
    /// 17, from les/3
    Resume {
        /// `BV`: the buffer at which the client goes on.
        buffer: u64,
    },
}

/// Why bytes are not a LES message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No such message in this version.
    #[error("unknown message code {code:#x}")]
    UnknownCode {
        /// The code.
        code: u64,
    },
    /// Not the RLP that this message has.
    #[error("malformed RLP in message {code:#x}: {reason}")]
    Rlp {
        /// The message's code.
        code: u64,
        /// What was wrong.
        reason: rlp::Error,
    },
    /// A Status without a required key.
    #[error("status without the key {key}")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A number beyond its limit.
    #[error("{what} is {value}, over the limit of {limit}")]
    OverLimit {
        /// What was counted.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The limit.
        limit: u64,
    },
}

/// A [`DecodeError`] before the message is named in it.
#[derive(Clone, Copy, Debug)]
enum DecodeFlaw {
    Rlp(rlp::Error),
    MissingKey(&'static str),
    OverLimit { what: &'static str, value: u64, limit: u64 },
}

impl DecodeFlaw {
    const fn over(what: &'static str, value: u64, limit: u64) -> Self {
        Self::OverLimit { what, value, limit }
    }

    const fn within(self, code: u64) -> DecodeError {
        match self {
            Self::Rlp(reason) => DecodeError::Rlp { code, reason },
            Self::MissingKey(key) => DecodeError::MissingKey { key },
            Self::OverLimit { what, value, limit } => DecodeError::OverLimit { what, value, limit },
        }
    }
}

impl From<rlp::Error> for DecodeFlaw {
    fn from(reason: rlp::Error) -> Self {
        Self::Rlp(reason)
    }
}

impl Message {
    /// The message's code, local to the capability.
    pub const fn code(&self) -> u64 {
        match self {
            Self::Status(_) => code::STATUS,
            Self::Announce(_) => code::ANNOUNCE,
            Self::Request { query, .. } => request_code(query),
            Self::Response { answer, .. } => answer_code(answer),
            Self::Stop => code::STOP,
            Self::Resume { .. } => code::RESUME,
        }
    }

    /// The payload without the code: what RLPx puts behind the message id, and what a libp2p stream
    /// carries as the second item of `[code, payload]`.
    ///
    /// Raw items of answers and transactions are written as they are: each must be one RLP item.
    pub fn encode(&self, version: Version) -> Bytes {
        let payload = match self {
            Self::Status(status) => status.encode(version),
            Self::Announce(announce) => announce.encode(),
            Self::Request { id, query } => encode_request(*id, query),
            Self::Response { id, buffer, answer } => encode_response(*id, *buffer, answer),
            Self::Stop => vec![EMPTY_LIST],
            Self::Resume { buffer } => alloy_rlp::encode(buffer),
        };
        payload.into()
    }

    /// Reads the payload of a message. Items of answers are slices of `payload`, not copies.
    ///
    /// # Errors
    /// Any [`DecodeError`]; bytes left over are an error. Lists of requests beyond [`limit`] decode
    /// (the server answers the first ones and charges for those), but never more than the payload's
    /// own size can hold. Answers beyond what the longest request can ask for are refused.
    pub fn decode(version: Version, code: u64, payload: &Bytes) -> Result<Self, DecodeError> {
        if !is_known(version, code) {
            return Err(DecodeError::UnknownCode { code });
        }
        Self::decode_known(version, code, payload).map_err(|flaw| flaw.within(code))
    }

    fn decode_known(version: Version, code: u64, payload: &Bytes) -> Result<Self, DecodeFlaw> {
        let message = rlp::single(payload)?;
        match code {
            code::STATUS => Ok(Self::Status(Status::decode(version, message.list()?)?)),
            code::ANNOUNCE => Ok(Self::Announce(Announce::decode(message.list()?)?)),
            code::STOP if message.payload.is_empty() => Ok(Self::Stop),
            code::STOP => Err(rlp::Error::Leftover.into()),
            code::RESUME => decode_resume(message),
            _ if is_request(code) => decode_request(code, payload, message.list()?),
            _ => decode_response(code, payload, message.list()?),
        }
    }
}

const EMPTY_LIST: u8 = 0xc0;

/// Whether `version` has a message of this code.
const fn is_known(version: Version, code: u64) -> bool {
    match code {
        code::STATUS..=code::RECEIPTS
        | code::GET_CONTRACT_CODES
        | code::CONTRACT_CODES
        | code::GET_PROOFS_V2..=code::TX_STATUS => true,
        code::STOP | code::RESUME => !matches!(version, Version::Les2),
        _ => false,
    }
}

/// Whether this code is one that only a client sends.
pub const fn is_request(code: u64) -> bool {
    matches!(
        code,
        code::GET_BLOCK_HEADERS
            | code::GET_BLOCK_BODIES
            | code::GET_RECEIPTS
            | code::GET_CONTRACT_CODES
            | code::GET_PROOFS_V2
            | code::GET_HELPER_TRIE_PROOFS
            | code::SEND_TX_V2
            | code::GET_TX_STATUS
    )
}

/// go-ethereum sends Resume's BV bare, devp2p `caps/les.md` has it in a list.
fn decode_resume(message: rlp::Item<'_>) -> Result<Message, DecodeFlaw> {
    if !message.is_list {
        return Ok(Message::Resume { buffer: message.loose_uint()? });
    }
    let mut fields = message.list()?;
    let buffer = fields.loose_uint()?;
    fields.finish()?;
    Ok(Message::Resume { buffer })
}

fn decode_request(code: u64, payload: &Bytes, mut fields: Reader<'_>) -> Result<Message, DecodeFlaw> {
    let id = RequestId(fields.uint()?);
    let items = fields.list()?;
    fields.finish()?;
    let query = match code {
        code::GET_BLOCK_HEADERS => headers::decode_query(items)?,
        code::GET_BLOCK_BODIES => Query::Bodies(hashes::decode(items)?),
        code::GET_RECEIPTS => Query::Receipts(hashes::decode(items)?),
        code::GET_CONTRACT_CODES => Query::Codes(proofs::decode_code_queries(items)?),
        code::GET_PROOFS_V2 => Query::Proofs(proofs::decode_queries(items)?),
        code::GET_HELPER_TRIE_PROOFS => Query::HelperTries(helper_tries::decode_queries(payload, items)?),
        code::SEND_TX_V2 => Query::SendTransactions(transactions::decode_sent(payload, items)?),
        _ => Query::TransactionStatus(hashes::decode(items)?),
    };
    Ok(Message::Request { id, query })
}

fn encode_request(id: RequestId, query: &Query) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    put_list(&mut out, |out| {
        put_uint(out, id.0);
        match query {
            Query::Headers { start, amount, skip, reverse } => {
                headers::put_query(out, *start, *amount, *skip, *reverse);
            }
            Query::Bodies(items) | Query::Receipts(items) | Query::TransactionStatus(items) => {
                hashes::put(out, items);
            }
            Query::Codes(items) => proofs::put_code_queries(out, items),
            Query::Proofs(items) => proofs::put_queries(out, items),
            Query::HelperTries(items) => helper_tries::put_queries(out, items),
            Query::SendTransactions(items) => transactions::put_sent(out, items),
        }
    });
    out
}

fn decode_response(code: u64, payload: &Bytes, mut fields: Reader<'_>) -> Result<Message, DecodeFlaw> {
    let id = RequestId(fields.uint()?);
    let buffer = fields.loose_uint()?;
    let items = fields.list()?;
    fields.finish()?;
    let bound = |what, limit| Bound { what, limit };
    let answer = match code {
        code::BLOCK_HEADERS => Answer::Headers(bound("headers", limit::HEADERS).lists(payload, items)?),
        code::BLOCK_BODIES => Answer::Bodies(bound("bodies", limit::BODIES).lists(payload, items)?),
        code::RECEIPTS => {
            Answer::Receipts(bound("lists of receipts", limit::RECEIPTS).lists(payload, items)?)
        }
        code::CONTRACT_CODES => Answer::Codes(bound("codes", limit::CODES).strings(payload, items)?),
        code::PROOFS_V2 => Answer::Proofs(bound("proof nodes", limit::NODES).lists(payload, items)?),
        code::HELPER_TRIE_PROOFS => helper_tries::decode_answer(payload, items)?,
        _ => transactions::decode_statuses(items)?,
    };
    Ok(Message::Response { id, buffer, answer })
}

fn encode_response(id: RequestId, buffer: u64, answer: &Answer) -> Vec<u8> {
    let mut out = Vec::new();
    put_list(&mut out, |out| {
        put_uint(out, id.0);
        put_uint(out, buffer);
        match answer {
            Answer::Headers(items)
            | Answer::Bodies(items)
            | Answer::Receipts(items)
            | Answer::Proofs(items) => {
                put_raw_list(out, items);
            }
            Answer::Codes(items) => put_string_list(out, items),
            Answer::HelperTries { nodes, auxiliary } => helper_tries::put_answer(out, nodes, auxiliary),
            Answer::TransactionStatus(statuses) => transactions::put_statuses(out, statuses),
        }
    });
    out
}

/// The code of the request that asks `query`.
pub const fn request_code(query: &Query) -> u64 {
    match query {
        Query::Headers { .. } => code::GET_BLOCK_HEADERS,
        Query::Bodies(_) => code::GET_BLOCK_BODIES,
        Query::Receipts(_) => code::GET_RECEIPTS,
        Query::Codes(_) => code::GET_CONTRACT_CODES,
        Query::Proofs(_) => code::GET_PROOFS_V2,
        Query::HelperTries(_) => code::GET_HELPER_TRIE_PROOFS,
        Query::SendTransactions(_) => code::SEND_TX_V2,
        Query::TransactionStatus(_) => code::GET_TX_STATUS,
    }
}

/// The code of the response that carries `answer`.
pub const fn answer_code(answer: &Answer) -> u64 {
    match answer {
        Answer::Headers(_) => code::BLOCK_HEADERS,
        Answer::Bodies(_) => code::BLOCK_BODIES,
        Answer::Receipts(_) => code::RECEIPTS,
        Answer::Codes(_) => code::CONTRACT_CODES,
        Answer::Proofs(_) => code::PROOFS_V2,
        Answer::HelperTries { .. } => code::HELPER_TRIE_PROOFS,
        Answer::TransactionStatus(_) => code::TX_STATUS,
    }
}

/// The most items of `query`'s kind that a server answers.
pub const fn item_limit(query: &Query) -> u64 {
    match query {
        Query::Headers { .. } => limit::HEADERS,
        Query::Bodies(_) => limit::BODIES,
        Query::Receipts(_) => limit::RECEIPTS,
        Query::Codes(_) => limit::CODES,
        Query::Proofs(_) => limit::PROOFS,
        Query::HelperTries(_) => limit::HELPER_TRIES,
        Query::SendTransactions(_) => limit::SEND_TRANSACTIONS,
        Query::TransactionStatus(_) => limit::TRANSACTION_STATUS,
    }
}
