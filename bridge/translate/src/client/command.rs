//! What goes between a [`Client`] and its shell.

use std::time::Duration;

use bytes::Bytes;
use causeway_wire::{
    Answer,
    les::{Announce, Status},
};

#[cfg(doc)]
use crate::Client;
use crate::{ChainIdentity, Fault, Ticket};

/// In which form a server takes accounts (`accKey`, les.md 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKeyForm {
    /// `keccak256(address)`: geth before 1.12.1. Addresses are hashed for it.
    Hash,
    /// The address: geth from 1.12.1 on. Where only a hash is known, such a server cannot be asked.
    Address,
}

/// How the client role behaves.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The chain asked about.
    pub chain: ChainIdentity,
    /// Ask for signed announcements and check them against the peer's node key (where its stack gives one).
    pub signed: bool,
    /// Ask for `causeway/origins`.
    pub origins: bool,
    /// Ask for so many seconds between two pings (`causeway/heartbeat`); `None` leaves it to the server.
    pub heartbeat: Option<u64>,
    /// How long an answer may take, counted from sending; and how long a question may wait to be sent.
    pub patience: Duration,
    /// Questions that may wait for credit; a further one is refused at once.
    pub max_queue: usize,
    /// In which form the server takes accounts, as its Hello's client id tells. One that takes both, as we do,
    /// had better be asked by hash: nothing is lost then.
    pub account_key: AccountKeyForm,
}

/// Why a question to a server has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The server stopped us (les/3, Stop) while it was under way: ask somebody else.
    #[error("the server stopped serving us")]
    Stopped,
    /// The session ended.
    #[error("the session ended")]
    Closed,
    /// Too many questions are waiting.
    #[error("too many questions are waiting")]
    QueueFull,
    /// This server said that it does not serve such questions, or would not answer so many items at once.
    #[error("the server does not serve this")]
    NotServed,
}

/// Work the shell must carry out for a [`Client`].
#[derive(Clone, Debug, PartialEq)]
pub enum ClientCommand {
    /// Send a message to the server.
    Send {
        /// The message's code.
        code: u64,
        /// Its payload.
        payload: Bytes,
    },
    /// The Statuses agree; questions may be asked. The server is to be pinged at the interval from now on.
    Greeted {
        /// The server's Status.
        status: Box<Status>,
        /// What its wish for a heartbeat and ours come to.
        heartbeat: Duration,
    },
    /// The server announced a head, or, without a head, further origins of the one before. Updates of parameters
    /// alone are not told.
    Announced(Box<Announce>),
    /// The outcome of [`Client::ask`]. Unverified.
    Answered {
        /// Its ticket.
        ticket: Ticket,
        /// The answer of the query's own kind, or why there is none.
        outcome: Result<Answer, AskError>,
    },
    /// End the session.
    Close(Fault),
}
