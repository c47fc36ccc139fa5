//! One connected full node: the task around the client role of LES, and the handle to it.

mod silence;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use causeway_translate::{AskError, Client, ClientCommand, ClientConfig, Fault, Ticket};
use causeway_transports::{CloseReason, Incoming, Session, SessionEvent};
use causeway_wire::{
    Answer, Head, NodeKey, PeerId, Query, SessionId, Stack,
    les::{Announce, Origin, Status, Version, limit},
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, info_span, warn};

use self::silence::Silence;
use crate::{split, until};

/// Questions handed to an upstream's task and not yet taken by it.
const ASK_QUEUE: usize = 256;

/// Pieces that one question may fall into. A full node whose buffer asks for more is of no use for it.
const MAX_PIECES: usize = 16;

/// What a failure weighs against good answers, one each: who is silent about one kind of question is not
/// first in line again because it answers another.
const FAILURE_WEIGHT: u64 = 16;

/// Failures beyond this make no difference.
const MAX_FAILURES: u64 = 1024;

/// Disconnect reason for a full node that lied: sub-protocol error.
const REASON_LIE: u8 = 0x10;

/// Where a full node says it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its head, as announced; not verified.
    pub head: Head,
    /// How many blocks of its former line it gave up.
    pub reorg_depth: u64,
    /// Signed announcements of this head: its own, if it signs, and those that it passed on. Signatures are
    /// not checked here.
    pub origins: Vec<Origin>,
}

/// Why a session did not become an upstream.
#[derive(Debug, thiserror::Error)]
pub enum GreetError {
    /// Not a LES session.
    #[error("the session speaks {0}, not les")]
    NotLes(String),
    /// It broke a rule in the handshake; the rule says which.
    #[error("the full node broke a rule: {0}")]
    Fault(Fault),
    /// It ended the session before the handshake was done.
    #[error("the full node ended the session before its Status agreed: {0:?}")]
    Closed(Option<CloseReason>),
}

/// A greeted full node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Upstream {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    status: Status,
    tip: watch::Receiver<Tip>,
    requests: mpsc::Sender<Request>,
    pending: AtomicUsize,
    /// Moving average of answer times, microseconds.
    latency: AtomicU64,
    failures: AtomicU64,
    tickets: AtomicU64,
    /// Questions answered, and those left unanswered or answered in part only.
    answers: AtomicU64,
    unanswered: AtomicU64,
    relay: AtomicBool,
    /// Nobody is to ask it any more, as another session takes over.
    retired: AtomicBool,
    silence: Arc<Silence>,
    /// Told when no question is left under way.
    idle: Notify,
    breach: Arc<OnceLock<String>>,
    end: Arc<OnceLock<CloseReason>>,
    gone: CancellationToken,
}

#[derive(Debug)]
enum Request {
    Ask { ticket: Ticket, query: Query, reply: oneshot::Sender<Result<Answer, AskError>> },
    Forget { ticket: Ticket },
}

/// Tells the task that nobody waits any more, if dropped before the answer came.
struct Waiting<'a> {
    inner: &'a Inner,
    ticket: Ticket,
    done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.inner.pending.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.inner.idle.notify_waiters();
        }
        if !self.done {
            // A full queue only delays this: the request's own deadline clears it.
            let _ = self.inner.requests.try_send(Request::Forget { ticket: self.ticket });
        }
    }
}

impl Upstream {
    /// Greets the full node of a session that we opened.
    ///
    /// # Errors
    /// If the Statuses do not agree, or the session ends first.
    pub async fn greet(
        incoming: Incoming,
        config: ClientConfig,
        random: u64,
        tasks: &TaskTracker,
    ) -> Result<Self, GreetError> {
        // Nobody looks into a session that we opened: nothing came early.
        let Incoming { session, early: _, events } = incoming;
        let version = Version::of(session.capability())
            .ok_or_else(|| GreetError::NotLes(session.capability().to_string()))?;
        let node = causeway_transports::node_key(&session.peer());
        let client = Client::new(config, version, node, random, Instant::now());
        let relay = session.peer().stack() == Stack::Libp2p;
        let (requests, asked) = mpsc::channel(ASK_QUEUE);
        let (greeted, greeting) = oneshot::channel();
        let gone = CancellationToken::new();
        let breach = Arc::new(OnceLock::new());
        let end = Arc::new(OnceLock::new());
        let silence = Arc::new(Silence::new(Instant::now()));
        let span = info_span!("upstream", peer = %session.peer(), transport = session.transport());
        let task = Task {
            client,
            session: session.clone(),
            node,
            events,
            asked,
            greeted: Some(greeted),
            tip: None,
            waiting: BTreeMap::new(),
            silence: Arc::clone(&silence),
            breach: Arc::clone(&breach),
            end: Arc::clone(&end),
            gone: gone.clone(),
        };
        tasks.spawn(task.run().instrument(span));
        let guard = gone.clone().drop_guard();
        let (status, tip) = greeting.await.unwrap_or(Err(GreetError::Closed(None)))?;
        guard.disarm();
        Ok(Self {
            inner: Arc::new(Inner {
                session,
                status,
                tip,
                requests,
                pending: AtomicUsize::new(0),
                latency: AtomicU64::new(0),
                failures: AtomicU64::new(0),
                tickets: AtomicU64::new(0),
                answers: AtomicU64::new(0),
                unanswered: AtomicU64::new(0),
                relay: AtomicBool::new(relay),
                retired: AtomicBool::new(false),
                silence,
                idle: Notify::new(),
                breach,
                end,
                gone,
            }),
        })
    }

    /// Asks; the answer is of the query's kind, but not verified. A list that costs more than the full node's
    /// buffer holds is asked for in pieces.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn ask(&self, query: Query) -> Result<Answer, AskError> {
        let most = self
            .inner
            .status
            .flow_control
            .as_ref()
            .map_or(usize::MAX, |flow| split::most_items(flow, &query));
        let mut pieces = split::pieces(query, most);
        if pieces.len() <= 1 {
            return match pieces.pop() {
                Some(query) => self.ask_whole(query).await,
                None => Err(AskError::NotServed),
            };
        }
        if pieces.len() > MAX_PIECES {
            return Err(AskError::NotServed);
        }
        let mut answers = Vec::with_capacity(pieces.len());
        let mut size = 0;
        for piece in pieces {
            let answer = self.ask_whole(piece).await?;
            size += split::size(&answer);
            if size > limit::ANSWER_BYTES {
                return Err(AskError::NotServed);
            }
            answers.push(answer);
        }
        // The client role refuses an answer of another kind than its question.
        split::joined(answers).ok_or(AskError::NotServed)
    }

    async fn ask_whole(&self, query: Query) -> Result<Answer, AskError> {
        let ticket = Ticket(self.inner.tickets.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        if self.inner.pending.fetch_add(1, Ordering::Relaxed) == 0 {
            self.inner.silence.begin(Instant::now());
        }
        let mut waiting = Waiting { inner: &self.inner, ticket, done: false };
        let begun = Instant::now();
        let request = Request::Ask { ticket, query, reply };
        self.inner.requests.send(request).await.map_err(|_| AskError::Closed)?;
        let outcome = answer.await.unwrap_or(Err(AskError::Closed));
        waiting.done = true;
        match &outcome {
            Ok(_) => self.record_latency(begun.elapsed()),
            Err(_) => self.record_failure(),
        }
        outcome
    }

    fn record_latency(&self, took: Duration) {
        let sample = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let old = self.inner.latency.load(Ordering::Relaxed);
        let new = if old == 0 { sample } else { old - old / 8 + sample / 8 };
        self.inner.latency.store(new, Ordering::Relaxed);
        self.inner.answers.fetch_add(1, Ordering::Relaxed);
        let better = |failures: u64| failures.checked_sub(1);
        let _ = self.inner.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, better);
    }

    /// Counts a question that it left unanswered, or answered in part only.
    pub fn record_failure(&self) {
        self.inner.unanswered.fetch_add(1, Ordering::Relaxed);
        let worse = |failures: u64| Some(failures.saturating_add(FAILURE_WEIGHT).min(MAX_FAILURES));
        let _ = self.inner.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, worse);
    }

    /// Weighted failures less good answers, questions under way, answer time in microseconds: less is better.
    pub fn burden(&self) -> (u64, usize, u64) {
        let failures = self.inner.failures.load(Ordering::Relaxed);
        (failures, self.inner.pending.load(Ordering::Relaxed), self.inner.latency.load(Ordering::Relaxed))
    }

    /// Questions so far: answered, and left unanswered or answered in part only.
    pub fn answers(&self) -> (u64, u64) {
        (self.inner.answers.load(Ordering::Relaxed), self.inner.unanswered.load(Ordering::Relaxed))
    }

    /// Whether it is a relay rather than a full node: it has to ask others itself. Who is met over libp2p is one.
    pub fn is_relay(&self) -> bool {
        self.inner.relay.load(Ordering::Relaxed)
    }

    /// Its record says that it is a relay.
    pub fn mark_relay(&self) {
        self.inner.relay.store(true, Ordering::Relaxed);
    }

    /// Another session of the same peer takes over: this one is asked only if there is no other.
    pub(crate) fn retire(&self) {
        self.inner.retired.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::retire`] was called.
    pub(crate) fn is_retired(&self) -> bool {
        self.inner.retired.load(Ordering::Relaxed)
    }

    /// Waits until no question is under way, or the session has ended.
    pub(crate) async fn idle(&self) {
        loop {
            let told = self.inner.idle.notified();
            if self.inner.pending.load(Ordering::Relaxed) == 0 {
                return;
            }
            tokio::select! {
                () = told => {}
                () = self.closed() => return,
            }
        }
    }

    /// Whether it owes us a sign of life: a heartbeat was left without an answer, or questions are under way and
    /// nothing was heard for `patience`.
    pub(crate) fn is_overdue(&self, patience: Duration, now: Instant) -> bool {
        let asked = self.inner.pending.load(Ordering::Relaxed) > 0;
        self.inner.session.heartbeat().missed > 0 || (asked && self.inner.silence.lasts(now) > patience)
    }

    /// Why the session ended, once it has, unless we ended it.
    pub fn end(&self) -> Option<&CloseReason> {
        self.inner.end.get()
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.inner.session.id()
    }

    /// The full node.
    pub fn peer(&self) -> PeerId {
        self.inner.session.peer()
    }

    /// What carries the session.
    pub fn transport(&self) -> &'static str {
        self.inner.session.transport()
    }

    /// How it calls itself; empty until it has said so.
    pub fn client(&self) -> String {
        self.inner.session.client()
    }

    /// Its Status.
    pub fn status(&self) -> &Status {
        &self.inner.status
    }

    /// Where it stands, now and as it moves.
    pub fn tip(&self) -> watch::Receiver<Tip> {
        self.inner.tip.clone()
    }

    /// Whether the session is still there.
    pub fn is_live(&self) -> bool {
        !self.inner.gone.is_cancelled()
    }

    /// The rule whose breach ended the session, if one did.
    pub(crate) fn breach(&self) -> Option<&str> {
        self.inner.breach.get().map(String::as_str)
    }

    /// Waits for the session's end.
    pub async fn closed(&self) {
        self.inner.gone.cancelled().await;
    }

    /// Ends the session of a full node that lied.
    pub(crate) fn expel(&self) {
        self.inner.session.close(REASON_LIE);
        self.inner.gone.cancel();
    }

    /// Ends the session because we stop.
    pub fn leave(&self) {
        self.inner.session.close(0x08);
        self.inner.gone.cancel();
    }
}

type Greeting = Result<(Status, watch::Receiver<Tip>), GreetError>;

struct Task {
    client: Client,
    session: Session,
    node: Option<NodeKey>,
    events: mpsc::Receiver<SessionEvent>,
    asked: mpsc::Receiver<Request>,
    greeted: Option<oneshot::Sender<Greeting>>,
    tip: Option<watch::Sender<Tip>>,
    waiting: BTreeMap<Ticket, oneshot::Sender<Result<Answer, AskError>>>,
    silence: Arc<Silence>,
    breach: Arc<OnceLock<String>>,
    end: Arc<OnceLock<CloseReason>>,
    gone: CancellationToken,
}

impl Task {
    async fn run(mut self) {
        let mut end = None;
        loop {
            if !self.carry_out() {
                break;
            }
            let due = self.client.poll_timeout();
            tokio::select! {
                biased;
                () = self.gone.cancelled() => break,
                event = self.events.recv() => match event {
                    Some(SessionEvent::Message { code, payload, slot }) => {
                        let now = Instant::now();
                        self.silence.begin(now);
                        self.client.handle_message(code, &payload, now);
                        drop(slot);
                    }
                    Some(SessionEvent::Closed(reason)) => {
                        if let CloseReason::Fault(rule) = &reason {
                            let _ = self.breach.set(rule.clone());
                        }
                        end = Some(reason);
                        break;
                    }
                    None => break,
                },
                () = until(due) => self.client.handle_timeout(Instant::now()),
                request = self.asked.recv() => match request {
                    Some(Request::Ask { ticket, query, reply }) => {
                        self.waiting.insert(ticket, reply);
                        self.client.ask(ticket, query, Instant::now());
                    }
                    Some(Request::Forget { ticket }) => {
                        self.waiting.remove(&ticket);
                        self.client.forget(ticket);
                    }
                    // Every handle is gone: nobody will ask again.
                    None if self.greeted.is_none() => break,
                    None => self.gone.cancelled().await,
                },
            }
        }
        debug!(reason = ?end, "full node gone");
        if let Some(reason) = &end {
            let _ = self.end.set(reason.clone());
        }
        self.client.handle_close();
        self.carry_out();
        self.session.close(0x08);
        self.gone.cancel();
        if let Some(greeted) = self.greeted.take() {
            let _ = greeted.send(Err(GreetError::Closed(end)));
        }
    }

    /// Carries out what the client decided; false if the session is to end.
    fn carry_out(&mut self) -> bool {
        while let Some(command) = self.client.poll_command() {
            match command {
                ClientCommand::Send { code, payload } => {
                    if let Err(error) = self.session.try_send(code, payload) {
                        debug!(%error, "full node not reached");
                        return false;
                    }
                }
                ClientCommand::Greeted { status, heartbeat } => {
                    self.session.set_heartbeat(heartbeat);
                    self.greet(*status);
                }
                ClientCommand::Announced(announce) => {
                    let Some(head) = announce.head else {
                        self.add_origins(announce.origins);
                        continue;
                    };
                    let mut origins = announce.origins;
                    origins.retain(|origin| origin.head == head);
                    if let (Some(node), Some(signature)) = (self.node, announce.signature) {
                        origins.push(Origin { node, head, signature });
                    }
                    debug!(number = head.number, depth = announce.reorg_depth, "announced");
                    if let Some(tip) = &self.tip {
                        tip.send_replace(Tip { head, reorg_depth: announce.reorg_depth, origins });
                    }
                }
                ClientCommand::Answered { ticket, outcome } => {
                    if let Some(reply) = self.waiting.remove(&ticket) {
                        let _ = reply.send(outcome);
                    }
                }
                ClientCommand::Close(fault) => {
                    warn!(%fault, "full node broke a rule");
                    let _ = self.breach.set(fault.to_string());
                    self.session.close(fault.reason());
                    if let Some(greeted) = self.greeted.take() {
                        let _ = greeted.send(Err(GreetError::Fault(fault)));
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Further origins of the head that it stands at.
    fn add_origins(&self, origins: Vec<Origin>) {
        let Some(tip) = &self.tip else { return };
        tip.send_if_modified(|tip| {
            let known = tip.origins.len();
            for origin in origins.into_iter().filter(|origin| origin.head == tip.head) {
                if tip.origins.len() <= Announce::MAX_ORIGINS && !tip.origins.contains(&origin) {
                    tip.origins.push(origin);
                }
            }
            tip.origins.len() > known
        });
    }

    fn greet(&mut self, status: Status) {
        let (tip, seen) = watch::channel(Tip { head: status.head, reorg_depth: 0, origins: Vec::new() });
        self.tip = Some(tip);
        if let Some(greeted) = self.greeted.take() {
            let _ = greeted.send(Ok((status, seen)));
        }
    }
}
