//! Questions under way: their tickets, deadlines, and who waits for what.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use causeway_wire::{Query, SessionId};

use crate::{
    MessageId, Ticket,
    sharing::{Likeness, Sharing, likeness},
};

/// Questions under way at once for all light peers; what exceeds it is dropped and charged for its size.
pub(crate) const MAX_QUESTIONS: usize = 4096;

/// A light peer's message that waits for a question's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) session: SessionId,
    pub(crate) message: MessageId,
}

/// A question under way.
#[derive(Debug)]
pub(crate) struct Question {
    /// When it was put.
    pub(crate) asked: Instant,
    /// Who waits; the first one caused it.
    pub(crate) waiters: Vec<Waiter>,
    likeness: Option<Likeness>,
    deadline: Instant,
}

/// What can be done with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An equal question is under way.
    Shared(Ticket),
    /// It must be put, and may be.
    New(Option<Likeness>),
    /// Too many questions are under way.
    Full,
}

/// All questions under way.
#[derive(Debug)]
pub(crate) struct Questions {
    patience: Duration,
    next: u64,
    /// By ticket, which is also the order of their deadlines.
    open: BTreeMap<Ticket, Question>,
    sharing: Sharing,
}

impl Questions {
    /// None yet. Each may take this long.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, next: 0, open: BTreeMap::new(), sharing: Sharing::default() }
    }

    /// Looks for a place. A question that used up half its time is not shared any more: who joined it then
    /// would be given up too early.
    pub(crate) fn place(&self, query: &Query, now: Instant) -> Place {
        let likeness = likeness(query);
        let young = |question: &&Question| question.asked + self.patience / 2 >= now;
        if let Some(ticket) = likeness.and_then(|likeness| self.sharing.find(likeness))
            && self.open.get(&ticket).filter(young).is_some()
        {
            return Place::Shared(ticket);
        }
        if self.open.len() >= MAX_QUESTIONS { Place::Full } else { Place::New(likeness) }
    }

    /// Lets a message wait for a question under way.
    pub(crate) fn join(&mut self, ticket: Ticket, waiter: Waiter) {
        if let Some(question) = self.open.get_mut(&ticket) {
            question.waiters.push(waiter);
        }
    }

    /// Opens a question for a message.
    pub(crate) fn open(&mut self, likeness: Option<Likeness>, waiter: Waiter, now: Instant) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let deadline = now + self.patience;
        self.open.insert(ticket, Question { asked: now, waiters: vec![waiter], likeness, deadline });
        if let Some(likeness) = likeness {
            self.sharing.offer(likeness, ticket);
        }
        ticket
    }

    /// Ends a question; `None` if it is not under way any more.
    pub(crate) fn close(&mut self, ticket: Ticket) -> Option<Question> {
        let question = self.open.remove(&ticket)?;
        if let Some(likeness) = question.likeness {
            self.sharing.withdraw(likeness, ticket);
        }
        Some(question)
    }

    /// A message does not wait any more. True if that ended the question.
    pub(crate) fn leave(&mut self, ticket: Ticket, waiter: Waiter) -> bool {
        let Some(question) = self.open.get_mut(&ticket) else { return false };
        question.waiters.retain(|other| *other != waiter);
        question.waiters.is_empty() && self.close(ticket).is_some()
    }

    /// Ends the oldest question whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(Ticket, Question)> {
        let (&ticket, _) = self.open.first_key_value().filter(|(_, question)| question.deadline <= now)?;
        self.close(ticket).map(|question| (ticket, question))
    }

    /// When the time of the oldest one is over.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.open.first_key_value().map(|(_, question)| question.deadline)
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}
