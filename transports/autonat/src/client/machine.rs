//! Decides which server is asked about which address, and what to believe. No IO, no clock.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;
use rand::{RngExt as _, rngs::StdRng};

use super::{
    Config, Counters, Event, Status,
    candidate::{Candidate, Finding, Vote},
    question::{Answer, Ask, Question, QuestionId},
    server::{Connection, Server},
};
use crate::address::Target;

/// Candidates that the owner may name; further ones are left out.
const MAX_OWNERS: usize = 32;

/// Candidates that the swarm names. For a further one the one that was not named for longest makes room, unless it is
/// reachable or being tested.
const MAX_SWARMS: usize = 16;

/// Questions under way at once.
const MAX_QUESTIONS: usize = 6;

/// Peers that are remembered, as long as they are connected: the first ones.
const MAX_SERVERS: usize = 16_384;

/// Time after an answer for the nonce to come: it takes another connection.
const NONCE_GRACE: Duration = Duration::from_secs(3);

/// A round is kept open for a server that may be asked so soon; otherwise it is continued then.
const WORTH_WAITING: Duration = Duration::from_secs(15);

/// Added to the handler's own time limit, in case that nothing is heard of it.
const ANSWER_GRACE: Duration = Duration::from_secs(15);

const HOUR: Duration = Duration::from_secs(60 * 60);

/// What must be done.
#[derive(Debug)]
pub(super) enum Command {
    Ask { server: PeerId, connection: ConnectionId, ask: Ask },
    Report(Event),
}

/// Drained with [`Self::poll_command`] after each call of `handle_*`.
#[derive(Debug)]
pub(super) struct Machine {
    config: Config,
    local: PeerId,
    servers: BTreeMap<PeerId, Server>,
    candidates: BTreeMap<Multiaddr, Candidate>,
    questions: BTreeMap<QuestionId, Question>,
    next_question: QuestionId,
    /// Sent or promised in the hour that began then.
    spent: (Instant, u64),
    commands: VecDeque<Command>,
    counters: Counters,
    rng: StdRng,
    wake: Option<Instant>,
}

impl Machine {
    pub(super) fn new(config: Config, local: PeerId, rng: StdRng, now: Instant) -> Self {
        Self {
            config,
            local,
            servers: BTreeMap::new(),
            candidates: BTreeMap::new(),
            questions: BTreeMap::new(),
            next_question: 0,
            spent: (now, 0),
            commands: VecDeque::new(),
            counters: Counters::default(),
            rng,
            wake: None,
        }
    }

    pub(super) fn handle_connected(&mut self, peer: PeerId, id: ConnectionId, connection: Connection) {
        if self.servers.len() < MAX_SERVERS || self.servers.contains_key(&peer) {
            self.servers.entry(peer).or_default().connect(id, connection);
        }
    }

    pub(super) fn handle_disconnected(&mut self, peer: PeerId, id: ConnectionId, now: Instant) {
        let open = self.questions.iter().filter(|(_, question)| question.connection == id);
        for question in open.map(|(question, _)| *question).collect::<Vec<_>>() {
            self.handle_answer(question, Answer::Failed, 0, now);
        }
        let Some(server) = self.servers.get_mut(&peer) else { return };
        let served = server.serves();
        server.disconnect(id);
        if server.is_gone() {
            self.servers.remove(&peer);
        }
        if served {
            self.schedule(now);
        }
    }

    /// The peer offers the protocol on this connection, or no longer.
    pub(super) fn handle_serves(&mut self, peer: PeerId, id: ConnectionId, serves: bool, now: Instant) {
        if let Some(server) = self.servers.get_mut(&peer) {
            server.set_serves(id, serves);
            self.schedule(now);
        }
    }

    /// The owner knows that this connected peer is a server.
    pub(super) fn handle_server(&mut self, peer: PeerId, now: Instant) {
        if let Some(server) = self.servers.get_mut(&peer) {
            server.set_named();
            self.schedule(now);
        }
    }

    /// The owner's candidates are these now. If they changed, what was unreachable is tested anew.
    pub(super) fn set_candidates(&mut self, addresses: &[Multiaddr], now: Instant) {
        let fit = addresses.iter().filter_map(|address| self.fit(address));
        let targets: BTreeMap<Multiaddr, Target> =
            fit.take(MAX_OWNERS).map(|target| (target.address.clone(), target)).collect();
        let mut changed = false;
        let mut gone = Vec::new();
        for (address, candidate) in &mut self.candidates {
            if candidate.owners && !targets.contains_key(address) {
                candidate.owners = false;
                changed = true;
                if candidate.seen.is_none() {
                    gone.push(address.clone());
                }
            }
        }
        for address in gone {
            self.remove(&address);
        }
        for (address, target) in targets {
            let candidate = self.candidates.entry(address).or_insert_with(|| Candidate::new(target, now));
            changed |= !candidate.owners;
            candidate.owners = true;
        }
        if changed {
            for candidate in self.candidates.values_mut() {
                candidate.hasten(now);
            }
        }
        self.schedule(now);
    }

    /// The swarm heard of a candidate.
    pub(super) fn handle_candidate(&mut self, address: &Multiaddr, now: Instant) {
        let Some(target) = self.fit(address) else { return };
        if !self.candidates.contains_key(&target.address) && !self.make_room() {
            return;
        }
        let known = self.candidates.entry(target.address.clone());
        known.or_insert_with(|| Candidate::new(target, now)).seen = Some(now);
        self.schedule(now);
    }

    fn fit(&mut self, address: &Multiaddr) -> Option<Target> {
        match Target::parse(address, self.local) {
            Ok(target) if self.config.scope.allows(target.ip) => Some(target),
            Ok(_) | Err(_) => {
                self.counters.unfit_candidates += 1;
                None
            }
        }
    }

    fn make_room(&mut self) -> bool {
        let swarms = self.candidates.iter().filter(|(_, candidate)| !candidate.owners);
        if swarms.clone().count() < MAX_SWARMS {
            return true;
        }
        let dispensable = |candidate: &Candidate| {
            !candidate.is_testing() && !candidate.verdict.is_some_and(|verdict| verdict.reachable)
        };
        let oldest = swarms
            .filter(|(_, candidate)| dispensable(candidate))
            .min_by_key(|(_, candidate)| candidate.seen)
            .map(|(address, _)| address.clone());
        oldest.map(|address| self.remove(&address)).is_some()
    }

    fn remove(&mut self, address: &Multiaddr) {
        if let Some(Candidate { verdict: Some(_), .. }) = self.candidates.remove(address) {
            self.report(Event::Expired { address: address.clone() });
        }
    }

    /// A question came to its end, having cost `paid` bytes.
    pub(super) fn handle_answer(&mut self, id: QuestionId, answer: Answer, paid: u64, now: Instant) {
        let Some(question) = self.questions.get_mut(&id) else { return };
        self.counters.paid_bytes += paid;
        self.spent.1 = self.spent.1.saturating_sub(question.budget.saturating_sub(paid));
        question.budget = 0;
        if answer == Answer::Dialed && !question.back {
            question.answered = true;
            question.deadline = now + NONCE_GRACE;
        } else {
            self.close(id, answer, now);
        }
        self.schedule(now);
    }

    /// A nonce came over a connection. Whether it is one that we gave away, and came as it should.
    pub(super) fn handle_dial_back(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        nonce: u64,
        now: Instant,
    ) -> bool {
        let connection = self.servers.get(&peer).and_then(|server| server.connection(connection));
        let question = self.questions.iter_mut().find(|(_, question)| question.nonce == nonce);
        let (Some(connection), Some((id, question))) = (connection, question) else {
            self.counters.false_dial_backs += 1;
            return false;
        };
        if question.back || !question.can_have_led_to(connection) {
            self.counters.false_dial_backs += 1;
            return false;
        }
        self.counters.dial_backs += 1;
        question.back = true;
        if question.answered {
            let id = *id;
            self.close(id, Answer::Dialed, now);
            self.schedule(now);
        }
        true
    }

    fn close(&mut self, id: QuestionId, answer: Answer, now: Instant) {
        let Some(question) = self.questions.remove(&id) else { return };
        let vote = match answer {
            _ if question.back => Vote::Reachable, // whatever the server says of it
            Answer::NotDialed => Vote::Unreachable,
            _ => Vote::Blank,
        };
        let counted = match answer {
            _ if question.back => None,
            Answer::Dialed => Some(&mut self.counters.false_answers),
            Answer::Rejected => Some(&mut self.counters.rejections),
            Answer::Refused => Some(&mut self.counters.refusals),
            Answer::NotHandedOver | Answer::Failed | Answer::TooDear => Some(&mut self.counters.failures),
            Answer::NotDialed => None,
        };
        if let Some(counter) = counted {
            *counter += 1;
        }
        if let Some(server) = self.servers.get_mut(&question.server) {
            match answer {
                Answer::Dialed | Answer::Rejected | Answer::Failed if vote == Vote::Blank => {
                    server.strike(now);
                }
                _ => server.praise(),
            }
        }
        if let Some(candidate) = self.candidates.get_mut(&question.address) {
            candidate.vote(question.server, vote);
        }
    }

    /// Time went by.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let late = self.questions.iter().filter(|(_, question)| question.deadline <= now);
        let late: Vec<_> = late.map(|(id, question)| (*id, question.answered)).collect();
        for (id, answered) in late {
            self.close(id, if answered { Answer::Dialed } else { Answer::Failed }, now);
        }
        self.schedule(now);
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    pub(super) fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = Status> + '_ {
        self.candidates.values().map(|candidate| Status {
            address: candidate.target.address.clone(),
            reachable: candidate.verdict.map(|verdict| verdict.reachable),
            confirmations: candidate.verdict.map_or(0, |verdict| verdict.confirmations),
            testing: candidate.is_testing(),
        })
    }

    /// Ends rounds, begins those that are due, asks whom it can, and notes when to look again.
    fn schedule(&mut self, now: Instant) {
        let mut wakes: Vec<Instant> = Vec::new();
        let addresses: Vec<Multiaddr> = self.candidates.keys().cloned().collect();
        for address in addresses {
            self.tend(&address, &mut wakes, now);
        }
        wakes.extend(self.questions.values().map(|question| question.deadline));
        self.wake = wakes.into_iter().min();
    }

    fn tend(&mut self, address: &Multiaddr, wakes: &mut Vec<Instant>, now: Instant) {
        let Some(mut candidate) = self.candidates.remove(address) else { return };
        if candidate.expire(now) {
            self.report(Event::Expired { address: address.clone() });
        }
        candidate.begin(now);
        let mut more = false;
        while candidate.wants(&self.config) > 0 {
            match self.best(&candidate, now) {
                Some((server, connection, free)) if free <= now => {
                    if self.questions.len() >= MAX_QUESTIONS {
                        more = true; // an answer comes first
                        break;
                    }
                    self.ask(&mut candidate, server, connection, now);
                }
                Some((_, _, free)) => {
                    wakes.push(free);
                    more = free <= now + WORTH_WAITING;
                    break;
                }
                None => {
                    more = self.any_busy(&candidate);
                    break;
                }
            }
        }
        let jitter = self.rng.random_range(0.9..1.1);
        match candidate.settle(&self.config, more, jitter, now) {
            Some(Finding::Verdict { reachable, confirmations, server }) => {
                let address = address.clone();
                self.report(Event::Verdict { address, reachable, confirmations, server });
            }
            Some(Finding::Nothing) | None => {}
        }
        if candidate.is_forgotten(now) {
            if candidate.verdict.is_some() {
                self.report(Event::Expired { address: address.clone() });
            }
            return;
        }
        wakes.extend(candidate.next());
        self.candidates.insert(address.clone(), candidate);
    }

    /// The server to be asked next: from a network that has not spoken yet if possible, then the one that is free
    /// first.
    fn best(&self, candidate: &Candidate, now: Instant) -> Option<(PeerId, ConnectionId, Instant)> {
        let heard = |server: &Server| {
            let network = server.network();
            candidate.ballots.iter().any(|ballot| ballot.network == network)
        };
        self.servers
            .iter()
            .filter(|(peer, _)| !candidate.was_asked(**peer))
            .filter_map(|(peer, server)| {
                let connection = server.way(&candidate.target, self.config.scope)?;
                let free = server.free_at(&self.config, now)?;
                Some((free, heard(server), *peer, connection))
            })
            .min_by_key(|(free, heard, ..)| (*free > now, *heard, *free))
            .map(|(free, _, peer, connection)| (peer, connection, free))
    }

    /// Whether a server that is being asked something else could be asked about this one later.
    fn any_busy(&self, candidate: &Candidate) -> bool {
        self.servers.iter().any(|(peer, server)| {
            server.busy
                && !candidate.was_asked(*peer)
                && server.way(&candidate.target, self.config.scope).is_some()
        })
    }

    fn ask(&mut self, candidate: &mut Candidate, peer: PeerId, connection: ConnectionId, now: Instant) {
        let Some(server) = self.servers.get_mut(&peer) else { return };
        server.ask(now);
        candidate.ask(peer, server.network());
        if self.spent.0 + HOUR <= now {
            self.spent = (now, 0);
        }
        let budget =
            self.config.max_payment.min(self.config.max_payment_per_hour.saturating_sub(self.spent.1));
        self.spent.1 += budget;
        let id = self.next_question;
        self.next_question += 1;
        let (address, nonce) = (candidate.target.address.clone(), self.rng.random());
        let question = Question {
            server: peer,
            connection,
            address: address.clone(),
            nonce,
            budget,
            since: now,
            back: false,
            answered: false,
            deadline: now + self.config.patience + ANSWER_GRACE,
        };
        self.questions.insert(id, question);
        self.counters.questions += 1;
        let ask = Ask { id, address, nonce, budget };
        self.commands.push_back(Command::Ask { server: peer, connection, ask });
    }

    fn report(&mut self, event: Event) {
        self.commands.push_back(Command::Report(event));
    }
}
