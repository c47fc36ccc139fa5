//! From a request to its question, and from the answer back to credit and reply.

use std::time::Instant;

use causeway_wire::{
    Answer, SessionId,
    les::{Message, Version, request_code},
};
use tracing::debug;

use super::Translator;
use crate::{
    Command, Fault, MessageId, answers,
    cost::{Effort, real_cost, size_cost},
    credit::Underrun,
    light_peer::{LightPeer, MAX_UNDER_WAY, Request, Waiting},
    questions::{Place, Waiter},
};

impl Translator {
    /// Accepts a request against the peer's credit and puts its question, unless an equal one is under way.
    pub(super) fn serve(&mut self, session: SessionId, message: MessageId, request: Request, now: Instant) {
        let Some(peer) = self.sessions.get_mut(&session) else { return self.release(message) };
        let Request { id, query, size } = request;
        let code = request_code(&query);
        let query = query.truncated();
        let amount = query.amount();
        let worst_case = self.costs.worst_case(code, amount).unwrap_or(u64::MAX);
        if peer.is_stopped() {
            peer.credit.charge(size_cost(size), now);
            return self.release(message);
        }
        let place = self.questions.place(&query, now);
        if peer.waiting.len() >= MAX_UNDER_WAY || (place == Place::Full && amount > 0) {
            debug!(%session, code, under_way = peer.waiting.len(), "request dropped: too many under way");
            peer.credit.charge(size_cost(size).min(worst_case), now);
            return self.release(message);
        }
        let reservation = match peer.credit.accept(worst_case, now) {
            Ok(reservation) => reservation,
            Err(underrun) => return self.overspent(session, message, size, underrun, now),
        };
        let waiter = Waiter { session, message };
        let mut waiting = Waiting { id, code, amount, size, reservation, ticket: None, shared: false };
        match place {
            _ if amount == 0 => {
                self.settle(waiter, &waiting, answers::empty(code), Effort::Cached, now);
                return;
            }
            Place::Shared(ticket) => {
                (waiting.ticket, waiting.shared) = (Some(ticket), true);
                self.questions.join(ticket, waiter);
            }
            Place::New(likeness) => {
                let ticket = self.questions.open(likeness, waiter, now);
                waiting.ticket = Some(ticket);
                self.commands.push_back(Command::Ask { ticket, query });
            }
            Place::Full => return self.release(message),
        }
        if let Some(peer) = self.sessions.get_mut(&session) {
            peer.waiting.insert(message, waiting);
        }
    }

    /// A peer asked for more than it may: les/2 knows no Stop.
    fn overspent(
        &mut self,
        session: SessionId,
        message: MessageId,
        size: usize,
        underrun: Underrun,
        now: Instant,
    ) {
        let Underrun { needed, left } = underrun;
        self.release(message);
        let Some(peer) = self.sessions.get_mut(&session) else { return };
        debug!(%session, needed, left, "light peer overspent");
        if peer.version < Version::Les3 {
            return self.end(session, Fault::Overspent { needed, left });
        }
        peer.credit.charge(size_cost(size), now);
        peer.begin_stop(now);
        if peer.may_stop() {
            self.stop(session, now);
        }
    }

    /// Sends the Stop. What is not answered by now never will be.
    pub(super) fn stop(&mut self, session: SessionId, now: Instant) {
        let Some(peer) = self.sessions.get_mut(&session) else { return };
        let unanswered = std::mem::take(&mut peer.waiting);
        for waiting in unanswered.values() {
            let cost = real_cost(Effort::Upstream, waiting.reservation.worst_case(), waiting.size);
            peer.credit.settle(&waiting.reservation, cost, now);
        }
        peer.freeze(now);
        self.abandon(session, unanswered);
        self.send(session, &Message::Stop);
    }

    /// Gives back credit, answers if there is an answer, and releases the message.
    pub(super) fn settle(
        &mut self,
        waiter: Waiter,
        waiting: &Waiting,
        reply: Option<Answer>,
        effort: Effort,
        now: Instant,
    ) {
        let Waiter { session, message } = waiter;
        let effort = if waiting.shared { Effort::Cached } else { effort };
        let bytes = waiting.size.saturating_add(reply.as_ref().map_or(0, answers::size));
        let cost = real_cost(effort, waiting.reservation.worst_case(), bytes);
        if let Some(peer) = self.sessions.get_mut(&session) {
            let buffer = peer.credit.settle(&waiting.reservation, cost, now);
            if let Some(answer) = reply {
                self.send(session, &Message::Response { id: waiting.id, buffer, answer });
            }
        }
        self.release(message);
        if self.sessions.get(&session).is_some_and(LightPeer::may_stop) {
            self.stop(session, now);
            self.set_alarm(session);
        }
    }
}
