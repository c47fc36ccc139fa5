//! A request to a registrar, and what may be wrong with what comes back.

use std::time::Duration;

use causeway_records::Record;

use crate::message::Message;

/// How long a registrar has to answer; discv5's own limits are below a second, a handshake may come first.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Requests under way at once for one topic (`α` of lookups).
pub const MAX_IN_FLIGHT: usize = 3;

/// Something to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// To whom.
    pub registrar: Record,
    /// What.
    pub message: Message,
}

/// Why an answer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// Nothing was asked of this node, or under another request id, or the answer came too late.
    #[error("an answer to nothing that was asked")]
    Unasked,
    /// A request, or an answer to the other kind of request.
    #[error("not an answer to what was asked")]
    OtherKind,
    /// More messages than it said, or than we take.
    #[error("more messages than the answer may have")]
    TooMany,
    /// A longer wait than the draft allows.
    #[error("a wait of {wait:?} is over the limit of {limit:?}")]
    Wait {
        /// The wait.
        wait: Duration,
        /// The limit.
        limit: Duration,
    },
}
