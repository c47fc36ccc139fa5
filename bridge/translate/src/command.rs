//! What goes between the [`Translator`] and its shell.

use std::time::Duration;

use bytes::Bytes;
#[cfg(doc)]
use causeway_wire::heartbeat;
use causeway_wire::{Query, SessionId};

use crate::Fault;
#[cfg(doc)]
use crate::Translator;

/// Links a question to its answer; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What no answer means to a [`Translator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Nobody has it: an empty answer where the protocol has one.
    NotServed,
    /// Nobody answered in time, or nobody is there: silence.
    Unavailable,
}

/// Names one message that the shell handed in, so that its place in the window can be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// Work the shell must carry out for the [`Translator`].
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Put this question to the backend and give the outcome to [`Translator::handle_answer`].
    Ask {
        /// Its ticket.
        ticket: Ticket,
        /// The question.
        query: Query,
    },
    /// Nobody waits for this question any more.
    Forget {
        /// Its ticket.
        ticket: Ticket,
    },
    /// Send a message to a light peer.
    Send {
        /// To whom.
        session: SessionId,
        /// The message's code.
        code: u64,
        /// Its payload.
        payload: Bytes,
    },
    /// Ping the peer at this interval from now on; given only where it is not [`heartbeat::DEFAULT`].
    Heartbeat {
        /// Whom.
        session: SessionId,
        /// What its wish and ours come to.
        interval: Duration,
    },
    /// The message handed in under this id is done with (answered, refused or dropped). Given exactly once for each.
    Release {
        /// The message.
        message: MessageId,
    },
    /// End the session. Its messages have been released and its questions forgotten by the commands before.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        fault: Fault,
    },
}
