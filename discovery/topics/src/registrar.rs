//! The registrar: admits advertisements after their waiting time, and answers who advertises a topic.

mod answer;
mod neighbours;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_records::Record;

pub use self::neighbours::{MAX_AUXILIARY, MAX_NEIGHBOURS};
use self::{answer::Answer, neighbours::Neighbours};
use crate::{
    advertisements::Advertisements,
    draw::Draw,
    message::{Budget, Message, RegTopic, TopicQuery},
    parameters::{MAX_RETURNED, Parameters},
    ticket::{Purpose, Secret, Ticket, TicketError},
    topic::Topic,
};

/// Who sent a request, as the session that it came by proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its node id.
    pub node: B256,
    /// Where it is.
    pub ip: IpAddr,
}

/// Why a request gets no answer: the draft has none that says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// A response where a request was due.
    #[error("not a request")]
    NotARequest,
    /// A record that is not the sender's.
    #[error("the record is of another node than the sender")]
    ForeignRecord,
    /// A record that does not say where the sender is.
    #[error("the record does not have the sender's address {ip} with a port of discovery")]
    OtherAddress {
        /// The sender's.
        ip: IpAddr,
    },
}

/// What became of a request to be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It is in the table now.
    Admitted,
    /// It was there before.
    Present,
    /// It has to wait.
    Waits,
    /// Its ticket was not taken, so it has to wait from the start.
    StartsAnew(TicketError),
}

/// What a request led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The answer; at least one message, within the budget.
    pub messages: Vec<Message>,
    /// What became of the registration, if it was one.
    pub registration: Option<Registration>,
}

/// The side that others register with and ask. It keeps nothing of those who wait.
#[derive(Debug)]
pub struct Registrar {
    parameters: Parameters,
    secret: Secret,
    start: Instant,
    advertisements: Advertisements,
    neighbours: Neighbours,
    draw: Draw,
}

impl Registrar {
    /// A registrar without advertisements. `secret` seals its tickets and makes its choices unforeseeable.
    pub fn new(parameters: Parameters, secret: Secret, now: Instant) -> Self {
        let parameters = parameters.bounded();
        let draw = Draw::new(secret.derive(b"causeway topic choices"));
        let advertisements = Advertisements::new(parameters);
        Self { parameters, secret, start: now, advertisements, neighbours: Neighbours::default(), draw }
    }

    /// Answers REGTOPIC and TOPICQUERY.
    ///
    /// # Errors
    /// [`RequestFault`] if the sender gets no answer.
    pub fn handle_request(
        &mut self,
        sender: Sender,
        request: &Message,
        budget: Budget,
        now: Instant,
    ) -> Result<Reply, RequestFault> {
        self.advertisements.expire(now);
        match request {
            Message::RegTopic(request) => self.register(sender, request, budget, now),
            Message::TopicQuery(request) => Ok(self.query(sender, request, budget)),
            Message::Nodes(_) | Message::RegConfirmation(_) | Message::TopicNodes(_) => {
                Err(RequestFault::NotARequest)
            }
        }
    }

    /// Takes in a live node that others may be told of; false if there are [`MAX_NEIGHBOURS`] already. The caller
    /// vouches that it takes part in topic discovery.
    pub fn handle_node(&mut self, record: Record) -> bool {
        self.neighbours.insert(record)
    }

    /// Tells nobody of the node any more.
    pub fn forget_node(&mut self, node: B256) {
        self.neighbours.remove(node);
    }

    /// Takes out what expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advertisements.expire(now);
    }

    /// When something expires. Being late does no harm: nothing that expired is ever returned.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.advertisements.next_expiry()
    }

    /// What it holds.
    pub fn advertisements(&self) -> &Advertisements {
        &self.advertisements
    }

    fn register(
        &mut self,
        sender: Sender,
        request: &RegTopic,
        budget: Budget,
        now: Instant,
    ) -> Result<Reply, RequestFault> {
        let RegTopic { id, topic, record, ticket, distances } = request;
        check_record(sender, record)?;
        let (registration, ticket, wait) = match self.advertisements.expiry(*topic, sender.node) {
            // Also what an advertiser gets that repeats its request because our answer was lost.
            Some(expires) => (Registration::Present, Vec::new(), expires.saturating_duration_since(now)),
            None => self.admit(sender, *topic, record, ticket, now),
        };
        let mut answer = Answer::new(*id, budget);
        answer.push_confirmation(ticket, millis(wait));
        answer.push_nodes(&self.neighbours.at(*topic, distances, sender.node, &mut self.draw));
        Ok(Reply { messages: answer.finish(), registration: Some(registration) })
    }

    fn admit(
        &mut self,
        sender: Sender,
        topic: Topic,
        record: &Record,
        ticket: &[u8],
        now: Instant,
    ) -> (Registration, Vec<u8>, Duration) {
        let encoded = record.encode();
        let purpose = Purpose { topic, node: sender.node, ip: sender.ip, record: &encoded };
        let clock = u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        let (first, waits) = match ticket {
            [] => (clock, Registration::Waits),
            bytes => match Ticket::open(bytes, &self.secret, purpose, self.parameters.window, clock) {
                Ok(ticket) => (ticket.first, Registration::Waits),
                Err(error) => (clock, Registration::StartsAnew(error)),
            },
        };
        let total = self.advertisements.waiting_time(topic, sender.ip, now);
        let waited = Duration::from_millis(clock.saturating_sub(first));
        let remaining = total.saturating_sub(waited);
        let admitted =
            remaining.is_zero() && self.advertisements.insert(topic, record.clone(), sender.ip, now).is_ok();
        if admitted {
            return (Registration::Admitted, Vec::new(), self.parameters.lifetime);
        }
        // Whoever waited long enough beside a full table comes back when there is room again.
        let room = self.advertisements.next_expiry().map(|expires| expires.saturating_duration_since(now));
        let until_room = room.filter(|_| self.advertisements.is_full()).unwrap_or_default();
        let wait = remaining.max(until_room).min(self.parameters.lifetime);
        let ticket = Ticket { first, issued: clock, wait: millis(wait) };
        (waits, ticket.seal(&self.secret, purpose).to_vec(), wait)
    }

    fn query(&mut self, sender: Sender, request: &TopicQuery, budget: Budget) -> Reply {
        let TopicQuery { id, topic, distances } = request;
        let mut answer = Answer::new(*id, budget);
        answer.push_advertisers(&self.advertisements.pick(*topic, sender.node, MAX_RETURNED, &mut self.draw));
        answer.push_nodes(&self.neighbours.at(*topic, distances, sender.node, &mut self.draw));
        Reply { messages: answer.finish(), registration: None }
    }
}

/// An advertisement counts for the address that its record has, so that must be where it came from: else one
/// machine could advertise from everywhere.
fn check_record(sender: Sender, record: &Record) -> Result<(), RequestFault> {
    if record.node_id() != sender.node {
        return Err(RequestFault::ForeignRecord);
    }
    let says = match sender.ip.to_canonical() {
        IpAddr::V4(ip) => record.ip4() == Some(ip),
        IpAddr::V6(ip) => record.ip6() == Some(ip),
    };
    if says && record.udp().is_some_and(|port| port != 0) {
        Ok(())
    } else {
        Err(RequestFault::OtherAddress { ip: sender.ip })
    }
}

/// Rounded up: whoever waits so many milliseconds has waited long enough; at least one.
fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests;
