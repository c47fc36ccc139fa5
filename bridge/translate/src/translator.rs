//! The server role of LES: light peers' messages and upstreams' answers in, commands out.

mod serving;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use causeway_wire::{
    Answer, Head, HeadUpdate, PeerId, SessionId, heartbeat,
    les::{FlowControl, Message, Serving, Status, Version},
};
use tracing::{debug, error, trace};

use crate::{
    ChainIdentity, Command, Fault, MessageId, Ticket, Unanswered, answers,
    cost::{CostTable, Effort, completed, default_flow},
    credit::Credit,
    heads::Announcer,
    light_peer::{Due, Holding, LightPeer, OUR_HEARTBEAT, Received, Waiting},
    questions::{Questions, Waiter},
};

/// An answer that comes this soon was in the cache: its asker does not pay for a full node's work.
const FROM_CACHE: Duration = Duration::from_millis(2);

/// How the server role behaves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The chain served.
    pub chain: ChainIdentity,
    /// What each light peer is promised. Rows of the cost table that are left out are taken from
    /// [`Self::default_flow`].
    pub flow: FlowControl,
    /// Light peers at once; a further one is closed.
    pub max_sessions: usize,
    /// Node key that signs announcements for those who asked for signed ones.
    pub signing_key: secp256k1::SecretKey,
    /// How long a light peer's question may take before it is given up.
    pub patience: Duration,
    /// Of how many recent blocks the state is served (`serveRecentState`); 0: of all.
    pub recent_state: u64,
}

impl ServerConfig {
    /// What a light peer is promised unless told otherwise.
    pub fn default_flow() -> FlowControl {
        default_flow()
    }
}

/// The server role of LES for all light peers together.
#[derive(Debug)]
pub struct Translator {
    config: ServerConfig,
    costs: CostTable,
    head: Option<Arc<HeadUpdate>>,
    genesis: Arc<HeadUpdate>,
    announcer: Announcer,
    sessions: BTreeMap<SessionId, LightPeer>,
    /// Sessions by the time at which something is due for them.
    alarms: BTreeSet<(Instant, SessionId)>,
    questions: Questions,
    commands: VecDeque<Command>,
    /// Sessions that may have to be told of the head once the commands are carried out: so only the latest is
    /// announced, however fast heads come.
    to_tell: BTreeSet<SessionId>,
}

impl Translator {
    /// A translator without sessions and without a head.
    pub fn new(mut config: ServerConfig) -> Self {
        config.flow = completed(config.flow);
        let genesis = Head { hash: config.chain.genesis, number: 0, td: config.chain.genesis_td };
        Self {
            costs: CostTable::new(&config.flow.costs, Version::Les4),
            head: None,
            genesis: Arc::new(HeadUpdate {
                head: genesis,
                timestamp: 0,
                lineage: Arc::new([genesis.hash]),
                origins: Arc::new([]),
            }),
            announcer: Announcer::new(config.signing_key),
            sessions: BTreeMap::new(),
            alarms: BTreeSet::new(),
            questions: Questions::new(config.patience),
            commands: VecDeque::new(),
            to_tell: BTreeSet::new(),
            config,
        }
    }

    /// A light peer's session began. Our Status goes out as soon as a head is known, 4 s later with the genesis as head.
    pub fn handle_open(&mut self, session: SessionId, peer: PeerId, version: Version, now: Instant) {
        if self.sessions.contains_key(&session) {
            error!(%session, "session opened twice");
            self.handle_close(session);
        }
        let limit = self.config.max_sessions;
        if self.sessions.len() >= limit {
            debug!(%session, %peer, limit, "light peer refused");
            self.commands.push_back(Command::Close { session, fault: Fault::TooManyPeers { limit } });
            return;
        }
        let credit = Credit::new(self.config.flow.buffer_limit, self.config.flow.recharge, now);
        self.sessions.insert(session, LightPeer::new(peer, version, credit, now));
        if let Some(head) = self.head.clone() {
            self.send_status(session, head);
        }
        self.set_alarm(session);
    }

    /// A message of that session arrived.
    pub fn handle_message(
        &mut self,
        session: SessionId,
        message: MessageId,
        code: u64,
        payload: &Bytes,
        now: Instant,
    ) {
        trace!(%session, code, size = payload.len(), "message");
        let Some(peer) = self.sessions.get_mut(&session) else {
            self.release(message); // it was on its way while we closed the session
            return;
        };
        match peer.receive(code, payload) {
            Ok(Received::Status(status)) => {
                let greeted = peer.greet(status, &self.config.chain);
                self.release(message);
                match greeted {
                    Ok(interval) => {
                        if interval != heartbeat::DEFAULT {
                            self.commands.push_back(Command::Heartbeat { session, interval });
                        }
                        self.agree(session, now);
                    }
                    Err(fault) => self.end(session, fault),
                }
            }
            Ok(Received::Request(request)) => match peer.hold(message, request) {
                Holding::Held => {}
                Holding::Drop => {
                    debug!(%session, "request before our status dropped");
                    self.release(message);
                }
                Holding::Serve(request) => self.serve(session, message, request, now),
            },
            Err(fault) => {
                self.release(message);
                self.end(session, fault);
            }
        }
        self.set_alarm(session);
    }

    /// The session is gone.
    pub fn handle_close(&mut self, session: SessionId) {
        self.forget_session(session);
    }

    /// The outcome of an [`Command::Ask`].
    pub fn handle_answer(&mut self, ticket: Ticket, answer: Result<Answer, Unanswered>, now: Instant) {
        let Some(question) = self.questions.close(ticket) else {
            return; // late: the question had been given up
        };
        let effort = if now.saturating_duration_since(question.asked) <= FROM_CACHE {
            Effort::Cached
        } else {
            Effort::Upstream
        };
        let mut presentable: Option<Option<Answer>> = None; // the same for all: their questions are equal
        for waiter in question.waiters {
            let Some(waiting) = self.stop_waiting(waiter) else { continue };
            let reply = presentable.get_or_insert_with(|| match &answer {
                Ok(answer) => {
                    let fitting = answers::presentable(waiting.code, waiting.amount, answer.clone());
                    if fitting.is_none() {
                        error!(code = waiting.code, "backend's answer does not fit its question");
                    }
                    fitting
                }
                Err(Unanswered::NotServed) => answers::not_served(waiting.code, waiting.amount),
                Err(Unanswered::Unavailable) => None,
            });
            self.settle(waiter, &waiting, reply.clone(), effort, now);
        }
    }

    /// The verified head moved.
    pub fn handle_head(&mut self, update: Arc<HeadUpdate>, now: Instant) {
        self.config.chain.advance(&update);
        self.head = Some(update.clone());
        let silent: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, peer)| peer.told.is_none())
            .map(|(session, _)| *session)
            .collect();
        self.to_tell.extend(self.sessions.keys().copied());
        for session in silent {
            self.send_status(session, update.clone());
            self.agree(session, now);
            self.set_alarm(session);
        }
    }

    /// Time has come to [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((ticket, question)) = self.questions.expire(now) {
            debug!(ticket = ticket.0, "question given up");
            self.commands.push_back(Command::Forget { ticket });
            for waiter in question.waiters {
                if let Some(waiting) = self.stop_waiting(waiter) {
                    self.settle(waiter, &waiting, None, Effort::Upstream, now);
                }
            }
        }
        while let Some(&(_, session)) = self.alarms.first().filter(|(at, _)| *at <= now) {
            self.wake(session, now);
            self.set_alarm(session);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        alarm.into_iter().chain(self.questions.next_deadline()).min()
    }

    /// The next thing to carry out.
    pub fn poll_command(&mut self) -> Option<Command> {
        if let Some(command) = self.commands.pop_front() {
            return Some(command);
        }
        while let Some(session) = self.to_tell.pop_first() {
            if let Some(command) = self.announcement(session) {
                return Some(command);
            }
        }
        None
    }

    /// How many sessions, questions and unreleased messages there are: all zero after drain.
    pub fn pending(&self) -> (usize, usize, usize) {
        let unreleased = self.sessions.values().map(LightPeer::unreleased).sum();
        (self.sessions.len(), self.questions.len(), unreleased)
    }

    /// Both Statuses may be there: serves what was held until then.
    fn agree(&mut self, session: SessionId, now: Instant) {
        let Some(peer) = self.sessions.get_mut(&session) else { return };
        match peer.agree(&self.config.chain) {
            Ok(None) => {}
            Ok(Some(held)) => {
                self.to_tell.insert(session); // the head may have moved since our Status
                for held in held {
                    self.serve(session, held.message, held.request, now);
                }
            }
            Err(fault) => self.end(session, fault),
        }
    }

    /// Does what is due for a session.
    fn wake(&mut self, session: SessionId, now: Instant) {
        let Some(peer) = self.sessions.get_mut(&session) else { return };
        match peer.due(now) {
            Due::Nothing => {}
            Due::Status => {
                let genesis = self.genesis.clone();
                self.send_status(session, genesis);
                self.agree(session, now);
            }
            Due::StatusTimeout => {
                let seconds = crate::agreement::STATUS_TIMEOUT.as_secs();
                self.end(session, Fault::StatusTimeout { seconds });
            }
            Due::Stop => self.stop(session, now),
            Due::Resume(buffer) => self.send(session, &Message::Resume { buffer }),
        }
    }

    fn send_status(&mut self, session: SessionId, update: Arc<HeadUpdate>) {
        let Some(peer) = self.sessions.get_mut(&session) else { return };
        let version = peer.version;
        let status = Status {
            version: version.number(),
            network: self.config.chain.network,
            head: update.head,
            genesis: self.config.chain.genesis,
            fork_id: self.config.chain.fork_id(version),
            announce: None,
            serving: Serving {
                headers: true,
                chain_since: Some(0),
                recent_chain: None,
                state_since: Some(0),
                recent_state: Some(self.config.recent_state),
                tx_relay: true,
            },
            recent_tx_lookup: (version >= Version::Les4).then_some(0),
            flow_control: Some(self.config.flow.clone()),
            checkpoint: None,
            checkpoint_height: None,
            origins: false,
            heartbeat: OUR_HEARTBEAT,
        };
        peer.told_by_status(update);
        self.send(session, &Message::Status(status));
    }

    /// The Announce that a session is owed, if it is.
    fn announcement(&mut self, session: SessionId) -> Option<Command> {
        let latest = self.head.as_ref()?;
        let peer = self.sessions.get_mut(&session).filter(|peer| peer.is_client())?;
        let announce = self.announcer.announce(peer.told.as_ref()?, latest, peer.wish)?;
        peer.told = Some(latest.clone());
        let message = Message::Announce(announce);
        let payload = message.encode(peer.version).into();
        Some(Command::Send { session, code: message.code(), payload })
    }

    fn send(&mut self, session: SessionId, message: &Message) {
        let Some(peer) = self.sessions.get(&session) else { return };
        let payload = message.encode(peer.version).into();
        self.commands.push_back(Command::Send { session, code: message.code(), payload });
    }

    fn release(&mut self, message: MessageId) {
        self.commands.push_back(Command::Release { message });
    }

    fn stop_waiting(&mut self, waiter: Waiter) -> Option<Waiting> {
        self.sessions.get_mut(&waiter.session)?.waiting.remove(&waiter.message)
    }

    /// Releases messages that will not be answered and leaves their questions.
    fn abandon(&mut self, session: SessionId, unanswered: BTreeMap<MessageId, Waiting>) {
        for (message, waiting) in unanswered {
            if let Some(ticket) = waiting.ticket
                && self.questions.leave(ticket, Waiter { session, message })
            {
                self.commands.push_back(Command::Forget { ticket });
            }
            self.release(message);
        }
    }

    fn end(&mut self, session: SessionId, fault: Fault) {
        if let Some(peer) = self.forget_session(session) {
            debug!(%session, %peer, %fault, "light peer's session ended");
            self.commands.push_back(Command::Close { session, fault });
        }
    }

    fn forget_session(&mut self, session: SessionId) -> Option<PeerId> {
        let peer = self.sessions.remove(&session)?;
        let id = peer.peer;
        if let Some(at) = peer.alarm {
            self.alarms.remove(&(at, session));
        }
        self.to_tell.remove(&session);
        let (held, unanswered) = peer.into_remains();
        for message in held {
            self.release(message);
        }
        self.abandon(session, unanswered);
        Some(id)
    }

    fn set_alarm(&mut self, session: SessionId) {
        let Some(peer) = self.sessions.get_mut(&session) else { return };
        let due = peer.next_due();
        if due == peer.alarm {
            return;
        }
        if let Some(old) = std::mem::replace(&mut peer.alarm, due) {
            self.alarms.remove(&(old, session));
        }
        if let Some(at) = due {
            self.alarms.insert((at, session));
        }
    }
}
