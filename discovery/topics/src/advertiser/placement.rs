//! One registrar's place in the round of our advertisement.

use std::time::Instant;

use causeway_records::Record;

use crate::message::RequestId;

#[derive(Debug)]
pub(super) struct Placement {
    pub(super) registrar: Record,
    /// From the topic: its bucket.
    pub(super) distance: u16,
    /// When we first asked.
    pub(super) since: Instant,
    /// How often we came back.
    pub(super) retries: u32,
    /// The last request's id.
    pub(super) request: RequestId,
    /// NODES that answered it.
    pub(super) nodes: u64,
    /// The last request was not answered.
    pub(super) lost: bool,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// It has until `deadline`; `again` if it did not answer the same request before.
    Asked { ticket: Vec<u8>, deadline: Instant, again: bool },
    /// It told us to come back at `at` with its ticket.
    Waiting { ticket: Vec<u8>, at: Instant },
    /// It holds our advertisement.
    Active { until: Instant },
}

impl Placement {
    /// A registrar that is about to be asked.
    pub(super) fn new(registrar: Record, distance: u16, now: Instant) -> Self {
        Self {
            registrar,
            distance,
            since: now,
            retries: 0,
            request: RequestId::from([0; 8]),
            nodes: 0,
            lost: false,
            state: State::Waiting { ticket: Vec::new(), at: now },
        }
    }

    /// When something is to happen.
    pub(super) fn due(&self) -> Instant {
        match self.state {
            State::Asked { deadline, .. } => deadline,
            State::Waiting { at, .. } => at,
            State::Active { until } => until,
        }
    }
}
