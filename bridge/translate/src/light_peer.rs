//! One light peer: Greeting -> Serving -> Frozen -> Gone.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use causeway_wire::{
    HeadUpdate, PeerId, Query, RequestId, heartbeat,
    les::{Message, Status, Version, code, limit},
};

use crate::{
    ChainIdentity, Fault, MessageId, Ticket,
    agreement::STATUS_TIMEOUT,
    answers,
    credit::{Credit, Reservation},
    heads::Wish,
};

/// How long our Status waits for a head; the genesis stands in for it then. Clients wait 5 s.
const STATUS_DELAY: Duration = Duration::from_secs(4);

/// Requests of one light peer under way at once. Shells keep their window below it; what exceeds it is
/// dropped and charged for its size.
pub(crate) const MAX_UNDER_WAY: usize = 64;

/// Bytes of requests that wait behind the Statuses; what exceeds it is dropped.
const MAX_HELD_BYTES: usize = 2 * 1024 * 1024;

/// How long a Stop waits for the answers under way; what is not answered then never is.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How long a Stop lasts at least; geth's shortest is 700 ms.
const MIN_FREEZE: Duration = Duration::from_millis(700);

/// A server's own wish for `causeway/heartbeat`: it leaves that to who is on a battery.
pub(crate) const OUR_HEARTBEAT: Option<u64> = None;

/// Shortest time between two looks at a frozen peer's buffer.
const FREEZE_POLL: Duration = Duration::from_millis(20);

/// A light peer's session.
#[derive(Debug)]
pub(crate) struct LightPeer {
    pub(crate) peer: PeerId,
    pub(crate) version: Version,
    pub(crate) credit: Credit,
    pub(crate) stage: Stage,
    /// What it wants to be told.
    pub(crate) wish: Wish,
    /// The head it was last told of, by our Status or an Announce; `None` before our Status.
    pub(crate) told: Option<Arc<HeadUpdate>>,
    /// Requests that were accepted and not yet answered.
    pub(crate) waiting: BTreeMap<MessageId, Waiting>,
    /// When the translator's clock is set for it.
    pub(crate) alarm: Option<Instant>,
}

/// What a session is about at the moment. A session that is gone is not kept.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The Statuses are under way.
    Greeting(Greeting),
    /// The peer is a server as we are: neither has anything to say.
    Idle,
    /// Requests are served.
    Serving,
    /// It overspent; answers under way are still sent, then the Stop.
    Stopping {
        /// When the Stop goes out at the latest.
        by: Instant,
    },
    /// Stopped: everything is dropped until Resume.
    Frozen {
        /// When to look whether its buffer has recovered.
        until: Instant,
    },
}

/// What is known before both Statuses are.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// Theirs, as far as it could be judged without our head.
    theirs: Option<Box<Status>>,
    theirs_by: Instant,
    ours_by: Instant,
    held: Vec<Held>,
    held_bytes: usize,
}

/// A request that came before our Status went out.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) message: MessageId,
    pub(crate) request: Request,
}

/// A decoded request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) query: Query,
    /// Bytes of the message.
    pub(crate) size: usize,
}

/// A request that was accepted and not yet answered.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: RequestId,
    pub(crate) code: u64,
    pub(crate) amount: u64,
    pub(crate) size: usize,
    pub(crate) reservation: Reservation,
    /// The question that it waits for; `None` while there is none.
    pub(crate) ticket: Option<Ticket>,
    /// Whether somebody else had put the question before.
    pub(crate) shared: bool,
}

/// What a message turned out to be.
#[derive(Debug)]
pub(crate) enum Received {
    /// The peer's Status.
    Status(Box<Status>),
    /// A request.
    Request(Request),
}

/// What is due for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing, or not yet.
    Nothing,
    /// Our Status, head or not.
    Status,
    /// The end: theirs did not come.
    StatusTimeout,
    /// The Stop, whatever is still under way.
    Stop,
    /// The Resume, with this buffer.
    Resume(u64),
}

impl LightPeer {
    /// A session that has just begun.
    pub(crate) fn new(peer: PeerId, version: Version, credit: Credit, now: Instant) -> Self {
        Self {
            peer,
            version,
            credit,
            stage: Stage::Greeting(Greeting {
                theirs: None,
                theirs_by: now + STATUS_TIMEOUT,
                ours_by: now + STATUS_DELAY,
                held: Vec::new(),
                held_bytes: 0,
            }),
            wish: Wish::default(),
            told: None,
            waiting: BTreeMap::new(),
            alarm: None,
        }
    }

    /// Reads a message and judges whether it may come now.
    pub(crate) fn receive(&self, code: u64, payload: &Bytes) -> Result<Received, Fault> {
        let greeted = match &self.stage {
            Stage::Idle => return Err(Fault::ServerTalks { code }),
            Stage::Greeting(greeting) => match &greeting.theirs {
                Some(status) if status.flow_control.is_some() => return Err(Fault::ServerTalks { code }),
                theirs => theirs.is_some(),
            },
            Stage::Serving | Stage::Stopping { .. } | Stage::Frozen { .. } => true,
        };
        match (code == code::STATUS, greeted) {
            (true, true) => return Err(Fault::SecondStatus),
            (false, false) => return Err(Fault::NoStatus { code }),
            (true, false) | (false, true) => {}
        }
        if answers::is_servers(code, self.version) {
            return Err(Fault::WrongDirection { code });
        }
        let limit = if code == code::SEND_TX_V2 { limit::SEND_BYTES } else { limit::REQUEST_BYTES };
        let size = payload.len();
        if size > limit {
            return Err(Fault::TooLarge { code, size, limit });
        }
        match Message::decode(self.version, code, &payload.clone().into())? {
            Message::Status(status) => Ok(Received::Status(Box::new(status))),
            Message::Request { id, query } => Ok(Received::Request(Request { id, query, size })),
            Message::Announce(_) | Message::Response { .. } | Message::Stop | Message::Resume { .. } => {
                Err(Fault::WrongDirection { code })
            }
        }
    }

    /// Takes the peer's Status and returns the heartbeat that is agreed on with it. The fork id is judged when our own
    /// Status went out, as of the same head.
    pub(crate) fn greet(&mut self, status: Box<Status>, chain: &ChainIdentity) -> Result<Duration, Fault> {
        chain.check(&status, self.version)?;
        let interval = heartbeat::agreed(OUR_HEARTBEAT, status.heartbeat);
        if let Stage::Greeting(greeting) = &mut self.stage {
            self.wish = Wish { kind: status.announce.unwrap_or_default(), origins: status.origins };
            greeting.theirs = Some(status);
        }
        Ok(interval)
    }

    /// Our Status went out and told of this head.
    pub(crate) fn told_by_status(&mut self, update: Arc<HeadUpdate>) {
        // A Status has no place for origins: they are still owed.
        self.told = Some(Arc::new(HeadUpdate { origins: Arc::new([]), ..(*update).clone() }));
    }

    /// Goes on to serving once both Statuses are there. Returns what was held until then; `None` if it is not
    /// the time yet.
    pub(crate) fn agree(&mut self, chain: &ChainIdentity) -> Result<Option<Vec<Held>>, Fault> {
        let Stage::Greeting(greeting) = &mut self.stage else { return Ok(None) };
        let (Some(status), Some(_)) = (&greeting.theirs, &self.told) else { return Ok(None) };
        chain.check_fork(status, self.version)?;
        let held = std::mem::take(&mut greeting.held);
        self.stage = if status.flow_control.is_some() { Stage::Idle } else { Stage::Serving };
        Ok(Some(held))
    }

    /// Holds a request until our Status went out; gives it back if it need not or cannot be held.
    pub(crate) fn hold(&mut self, message: MessageId, request: Request) -> Holding {
        let Stage::Greeting(greeting) = &mut self.stage else { return Holding::Serve(request) };
        let bytes = greeting.held_bytes.saturating_add(request.size);
        if greeting.held.len() >= MAX_UNDER_WAY || bytes > MAX_HELD_BYTES {
            return Holding::Drop;
        }
        greeting.held_bytes = bytes;
        greeting.held.push(Held { message, request });
        Holding::Held
    }

    /// Begins to stop: from now on everything new is dropped.
    pub(crate) fn begin_stop(&mut self, now: Instant) {
        self.stage = Stage::Stopping { by: now + STOP_GRACE };
    }

    /// Whether the Stop need not wait any longer.
    pub(crate) fn may_stop(&self) -> bool {
        matches!(self.stage, Stage::Stopping { .. }) && self.waiting.is_empty()
    }

    /// The Stop goes out.
    pub(crate) fn freeze(&mut self, now: Instant) {
        let level = self.credit.resume_level();
        let until = now + self.credit.time_above(level, now).max(MIN_FREEZE);
        self.stage = Stage::Frozen { until };
    }

    /// Whether it is served, stopped or not: then it is told of heads.
    pub(crate) fn is_client(&self) -> bool {
        matches!(self.stage, Stage::Serving | Stage::Stopping { .. } | Stage::Frozen { .. })
    }

    /// Whether its requests are dropped.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.stage, Stage::Stopping { .. } | Stage::Frozen { .. })
    }

    /// Messages that are neither answered nor refused.
    pub(crate) fn unreleased(&self) -> usize {
        let held = match &self.stage {
            Stage::Greeting(greeting) => greeting.held.len(),
            Stage::Idle | Stage::Serving | Stage::Stopping { .. } | Stage::Frozen { .. } => 0,
        };
        held + self.waiting.len()
    }

    /// When something will be due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Greeting(greeting) => {
                let theirs = greeting.theirs.is_none().then_some(greeting.theirs_by);
                let ours = self.told.is_none().then_some(greeting.ours_by);
                theirs.into_iter().chain(ours).min()
            }
            Stage::Stopping { by } => Some(*by),
            Stage::Frozen { until } => Some(*until),
            Stage::Idle | Stage::Serving => None,
        }
    }

    /// What is due now.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        match &mut self.stage {
            Stage::Greeting(greeting) if greeting.theirs.is_none() && greeting.theirs_by <= now => {
                Due::StatusTimeout
            }
            Stage::Greeting(greeting) if self.told.is_none() && greeting.ours_by <= now => Due::Status,
            Stage::Stopping { by } if *by <= now => Due::Stop,
            Stage::Frozen { until } if *until <= now => {
                let (level, left) = (self.credit.resume_level(), self.credit.left(now));
                if left > level {
                    self.stage = Stage::Serving;
                    return Due::Resume(left);
                }
                *until = now + self.credit.time_above(level, now).max(FREEZE_POLL);
                Due::Nothing
            }
            Stage::Greeting(_)
            | Stage::Idle
            | Stage::Serving
            | Stage::Stopping { .. }
            | Stage::Frozen { .. } => Due::Nothing,
        }
    }

    /// The session ends: what it still held or waited for.
    pub(crate) fn into_remains(self) -> (Vec<MessageId>, BTreeMap<MessageId, Waiting>) {
        let held = match self.stage {
            Stage::Greeting(greeting) => greeting.held.into_iter().map(|held| held.message).collect(),
            Stage::Idle | Stage::Serving | Stage::Stopping { .. } | Stage::Frozen { .. } => Vec::new(),
        };
        (held, self.waiting)
    }
}

/// What becomes of a request in its stage.
#[derive(Debug)]
pub(crate) enum Holding {
    /// It is kept until our Status went out.
    Held,
    /// Too much is kept already.
    Drop,
    /// It can be served at once.
    Serve(Request),
}
