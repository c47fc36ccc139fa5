//! The advertiser: keeps our advertisement of one topic with registrars at every distance from it.

mod placement;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_records::Record;

use self::placement::{Placement, State};
use crate::{
    draw::Draw,
    message::{MAX_TOTAL, Message, Nodes, RegConfirmation, RegTopic, RequestId},
    parameters::{LIFETIME, REGISTRATIONS_PER_BUCKET},
    request::{ANSWER_TIMEOUT, AnswerFault, MAX_IN_FLIGHT, Request},
    service_table::ServiceTable,
    topic::{Registrars, Topic},
};

/// How much later than told we come back, so that rounding and clocks that differ do not make it too early.
const RETRY_MARGIN: Duration = Duration::from_millis(250);

/// The longest wait that we accept (`E`).
pub const MAX_WAIT: Duration = LIFETIME;

/// The longest lifetime of an advertisement that we believe in.
const MAX_LIFETIME: Duration = LIFETIME;

/// The shortest: a registrar that says less does not make us ask more often.
const MIN_LIFETIME: Duration = Duration::from_secs(10);

/// How long we wait for one registrar in all before we try another.
pub const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// How often we come back to one registrar before we try another.
pub const MAX_RETRIES: u32 = 64;

/// Advertises one topic.
///
/// Feed it nodes ([`Self::handle_node`]), then after each `handle_*` send what [`Self::poll_request`] gives and
/// call [`Self::handle_timeout`] at [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Advertiser {
    record: Record,
    table: ServiceTable,
    placements: BTreeMap<B256, Placement>,
    draw: Draw,
}

/// How many registrars there are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placements {
    /// They were asked and have not answered yet.
    pub asked: usize,
    /// They told us to wait.
    pub waiting: usize,
    /// They hold our advertisement.
    pub active: usize,
}

impl Advertiser {
    /// Advertises the node of `record`. `seed` is random and secret: it makes our choices unforeseeable.
    pub fn new(topic: Topic, record: Record, registrars: Registrars, seed: B256) -> Self {
        let table = ServiceTable::new(topic, record.node_id(), registrars);
        Self { record, table, placements: BTreeMap::new(), draw: Draw::new(seed) }
    }

    /// Takes in a live node; false if it is not wanted or there is no room.
    pub fn handle_node(&mut self, record: Record, now: Instant) -> bool {
        self.table.insert(record, now)
    }

    /// The node is gone.
    pub fn forget_node(&mut self, node: B256) {
        self.table.remove(node);
        self.placements.remove(&node);
    }

    /// Our own record changed. Tickets are for the old one, so whoever made us wait is asked anew; registrars
    /// that hold the old one return it until it expires.
    pub fn handle_record(&mut self, record: Record, now: Instant) {
        if record == self.record {
            return;
        }
        self.record = record;
        for placement in self.placements.values_mut() {
            if let State::Waiting { .. } = placement.state {
                placement.state = State::Waiting { ticket: Vec::new(), at: now };
                (placement.since, placement.retries) = (now, 0);
            }
        }
    }

    /// Takes one message of a registrar's answer.
    ///
    /// # Errors
    /// [`AnswerFault`]
    pub fn handle_message(&mut self, from: B256, message: Message, now: Instant) -> Result<(), AnswerFault> {
        let placement = self.placements.get_mut(&from).filter(|placement| placement.request == message.id());
        let placement = placement.ok_or(AnswerFault::Unasked)?;
        let result = match message {
            Message::RegConfirmation(confirmation) => self.handle_confirmation(from, confirmation, now),
            Message::Nodes(nodes) => {
                placement.nodes += 1;
                if placement.nodes < MAX_TOTAL {
                    self.handle_nodes(nodes, now)
                } else {
                    Err(AnswerFault::TooMany)
                }
            }
            Message::RegTopic(_) | Message::TopicQuery(_) | Message::TopicNodes(_) => {
                Err(AnswerFault::OtherKind)
            }
        };
        if !matches!(result, Ok(()) | Err(AnswerFault::Unasked)) {
            self.handle_failure(from, now);
        }
        result
    }

    /// A registrar could not be asked, or answered something that is no message.
    pub fn handle_failure(&mut self, registrar: B256, now: Instant) {
        if self.placements.remove(&registrar).is_some() {
            self.table.failed(registrar, now);
        }
    }

    /// Gives up waiting for answers, and forgets advertisements that expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = self.placements.iter().filter(|(_, placement)| placement.due() <= now);
        let due: Vec<B256> = due.map(|(node, _)| *node).collect();
        for node in due {
            let Some(placement) = self.placements.get_mut(&node) else { continue };
            match &mut placement.state {
                State::Waiting { .. } => {} // its turn comes in `poll_request`
                State::Active { .. } => {
                    self.placements.remove(&node);
                }
                // A packet that is lost must not cost all the waiting before it: once more, at once.
                State::Asked { ticket, again: false, .. } if !ticket.is_empty() => {
                    placement.state = State::Waiting { ticket: std::mem::take(ticket), at: now };
                    placement.lost = true;
                }
                State::Asked { .. } => self.handle_failure(node, now),
            }
        }
    }

    /// The next request to send, if there is one to send now.
    pub fn poll_request(&mut self, now: Instant) -> Option<Request> {
        if self.counts().asked >= MAX_IN_FLIGHT {
            return None;
        }
        self.retry(now).or_else(|| self.place(now))
    }

    /// When to call [`Self::handle_timeout`] and [`Self::poll_request`] again.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        // While no further request may go out, whose wait is over has to wait for an answer to another.
        let is_busy = self.counts().asked >= MAX_IN_FLIGHT;
        let waits = |placement: &&Placement| matches!(placement.state, State::Waiting { .. });
        let relevant = self.placements.values().filter(|placement| !(is_busy && waits(placement)));
        let due = relevant.map(Placement::due).min();
        due.into_iter().chain(self.table.next_return(now)).min()
    }

    /// How things stand.
    pub fn counts(&self) -> Placements {
        self.placements.values().fold(Placements::default(), |mut counts, placement| {
            match placement.state {
                State::Asked { .. } => counts.asked += 1,
                State::Waiting { .. } => counts.waiting += 1,
                State::Active { .. } => counts.active += 1,
            }
            counts
        })
    }

    /// The nodes around the topic.
    pub fn table(&self) -> &ServiceTable {
        &self.table
    }

    fn handle_confirmation(
        &mut self,
        from: B256,
        confirmation: RegConfirmation,
        now: Instant,
    ) -> Result<(), AnswerFault> {
        let placement = self.placements.get_mut(&from).ok_or(AnswerFault::Unasked)?;
        let State::Asked { .. } = placement.state else { return Err(AnswerFault::Unasked) };
        let wait = Duration::from_millis(confirmation.wait);
        if confirmation.ticket.is_empty() {
            let until = now + wait.clamp(MIN_LIFETIME, MAX_LIFETIME);
            placement.state = State::Active { until };
        } else if wait > MAX_WAIT {
            return Err(AnswerFault::Wait { wait, limit: MAX_WAIT });
        } else {
            placement.lost = false;
            placement.state = State::Waiting { ticket: confirmation.ticket, at: now + wait + RETRY_MARGIN };
        }
        self.table.succeeded(from);
        Ok(())
    }

    fn handle_nodes(&mut self, nodes: Nodes, now: Instant) -> Result<(), AnswerFault> {
        self.table.insert_auxiliary(nodes, now);
        Ok(())
    }

    /// Comes back to the registrar whose wait is over longest.
    fn retry(&mut self, now: Instant) -> Option<Request> {
        loop {
            let over = self.placements.iter().filter_map(|(node, placement)| match placement.state {
                State::Waiting { at, .. } if at <= now => Some((at, *node)),
                State::Waiting { .. } | State::Asked { .. } | State::Active { .. } => None,
            });
            let (_, node) = over.min()?;
            let placement = self.placements.get_mut(&node)?;
            let waited = now.saturating_duration_since(placement.since);
            if placement.retries >= MAX_RETRIES || waited > PATIENCE {
                self.handle_failure(node, now); // there may be others that take us sooner
                continue;
            }
            placement.retries += 1;
            let State::Waiting { ticket, .. } = &mut placement.state else { return None };
            let ticket = std::mem::take(ticket);
            return self.ask(node, ticket, now);
        }
    }

    /// Begins with another registrar, in the farthest bucket that lacks one.
    fn place(&mut self, now: Instant) -> Option<Request> {
        for distance in self.table.distances() {
            let here = self.placements.values().filter(|placement| placement.distance == distance).count();
            if here >= REGISTRATIONS_PER_BUCKET {
                continue;
            }
            let ready = self.table.ready(distance, now);
            let others: Vec<_> = ready.filter(|(node, _)| !self.placements.contains_key(node)).collect();
            let Some((node, registrar)) = self.draw.some(others, 1).pop() else { continue };
            let placement = Placement::new(registrar.clone(), distance, now);
            self.placements.insert(node, placement);
            return self.ask(node, Vec::new(), now);
        }
        None
    }

    fn ask(&mut self, node: B256, ticket: Vec<u8>, now: Instant) -> Option<Request> {
        let id = RequestId::from(self.draw.bytes());
        let distances = self.table.hints();
        let placement = self.placements.get_mut(&node)?;
        placement.request = id;
        placement.nodes = 0;
        let deadline = now + ANSWER_TIMEOUT;
        placement.state = State::Asked { ticket: ticket.clone(), deadline, again: placement.lost };
        let (topic, record) = (self.table.topic(), self.record.clone());
        let message = Message::RegTopic(RegTopic { id, topic, record, ticket, distances });
        Some(Request { registrar: placement.registrar.clone(), message })
    }
}

#[cfg(test)]
mod tests;
