//! Decides what is asked of full nodes on behalf of light peers, and who gets the answer.
//!
//! Owns: both roles of LES as machines (`Translator` serves, `Client` asks), credit, tickets, sharing of
//! equal questions, order of announcements.
//! Must not know: sockets, stacks, clocks, how an upstream is reached.
//! Start at: [`Translator`] and [`Client`].  Told by: the tests at the end of each file, `tests/tests/flow_control.rs`.
//!
//! The drain contract: after each `handle_*` call the shell carries out what `poll_command` gives until it
//! is empty, and arms a timer for `poll_timeout`.

use std::time::Instant;

use alloy_eip2124::ForkFilter;
use alloy_primitives::B256;
use bytes::Bytes;
use causeway_wire::{
    Answer, HeadUpdate, NetworkId, NodeKey, PeerId, Query, SessionId,
    les::{Announce, FlowControl, Status, Version},
};

/// Links a question to its answer; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Which chain a session must be about.
#[derive(Clone, Debug)]
pub struct ChainIdentity {
    /// Network id.
    pub network: NetworkId,
    /// Genesis hash.
    pub genesis: B256,
    /// Fork id of our head, and judge of theirs (EIP-2124). Advanced with `set_head`.
    pub forks: ForkFilter,
}

/// What a peer did wrong; ends its session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// To be filled in by the owner of this crate: one variant for each rule of les.md and design section 2.
    #[error("placeholder")]
    Placeholder,
}

impl Fault {
    /// The devp2p disconnect reason for it (rlpx.md 6.1): 0x10 for most, 0x0b for timeouts, 0x03 for les/2 overspending.
    pub fn reason(&self) -> u8 {
        todo!()
    }
}

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
    /// The message handed in under this id is done with (answered, refused or dropped). Given exactly once for each.
    Release {
        /// The message.
        message: MessageId,
    },
    /// End the session. Its messages are released, its questions forgotten.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        fault: Fault,
    },
}

/// How the server role behaves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The chain served.
    pub chain: ChainIdentity,
    /// What each light peer is promised.
    pub flow: FlowControl,
    /// Light peers at once; a further one is closed.
    pub max_sessions: usize,
    /// Node key that signs announcements for those who asked for signed ones.
    pub signing_key: secp256k1::SecretKey,
    /// How long a light peer's question may take before it is given up.
    pub patience: std::time::Duration,
}

/// The server role of LES for all light peers together.
#[derive(Debug)]
pub struct Translator {}

impl Translator {
    /// A translator without sessions and without a head.
    pub fn new(config: ServerConfig) -> Self {
        let _ = config;
        todo!()
    }

    /// A light peer's session began. Our Status goes out as soon as a head is known, 4 s later with the genesis as head.
    pub fn handle_open(&mut self, session: SessionId, peer: PeerId, version: Version, now: Instant) {
        let _ = (session, peer, version, now);
        todo!()
    }

    /// A message of that session arrived.
    pub fn handle_message(&mut self, session: SessionId, message: MessageId, code: u64, payload: &Bytes, now: Instant) {
        let _ = (session, message, code, payload, now);
        todo!()
    }

    /// The session is gone.
    pub fn handle_close(&mut self, session: SessionId) {
        let _ = session;
        todo!()
    }

    /// The outcome of an [`Command::Ask`].
    pub fn handle_answer(&mut self, ticket: Ticket, answer: Result<Answer, Unanswered>, now: Instant) {
        let _ = (ticket, answer, now);
        todo!()
    }

    /// The verified head moved.
    pub fn handle_head(&mut self, update: std::sync::Arc<HeadUpdate>, now: Instant) {
        let _ = (update, now);
        todo!()
    }

    /// Time has come to [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// The next thing to carry out.
    pub fn poll_command(&mut self) -> Option<Command> {
        todo!()
    }

    /// How many sessions, questions and unreleased messages there are: all zero after drain.
    pub fn pending(&self) -> (usize, usize, usize) {
        todo!()
    }
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
    /// How long an answer may take.
    pub patience: std::time::Duration,
    /// Questions that may wait for credit; a further one is refused at once.
    pub max_queue: usize,
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
    /// This server said that it does not serve such questions.
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
    /// The Statuses agree; questions may be asked.
    Greeted(Box<Status>),
    /// The server announced a head.
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

/// The client role of LES on one session.
#[derive(Debug)]
pub struct Client {}

impl Client {
    /// Begins a session: our Status is the first command. `random` seeds request ids.
    pub fn new(config: ClientConfig, version: Version, server: Option<NodeKey>, random: u64, now: Instant) -> Self {
        let _ = (config, version, server, random, now);
        todo!()
    }

    /// Asks. The request goes out, in order, as soon as the server's credit allows.
    pub fn ask(&mut self, ticket: Ticket, query: Query, now: Instant) {
        let _ = (ticket, query, now);
        todo!()
    }

    /// Nobody waits for this answer any more; a request not yet sent is dropped.
    pub fn forget(&mut self, ticket: Ticket) {
        let _ = ticket;
        todo!()
    }

    /// A message of the server arrived.
    pub fn handle_message(&mut self, code: u64, payload: &Bytes, now: Instant) {
        let _ = (code, payload, now);
        todo!()
    }

    /// The session is gone: every question gets [`AskError::Closed`].
    pub fn handle_close(&mut self) {
        todo!()
    }

    /// Time has come to [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// The next thing to carry out.
    pub fn poll_command(&mut self) -> Option<ClientCommand> {
        todo!()
    }

    /// What the server promised and said in its Status, once greeted.
    pub fn status(&self) -> Option<&Status> {
        todo!()
    }

    /// Questions sent or waiting.
    pub fn pending(&self) -> usize {
        todo!()
    }
}
