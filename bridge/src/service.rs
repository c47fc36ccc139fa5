//! The loop between light peers and the translator: messages in, commands out.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use causeway_translate::{Command, MessageId, ServerConfig, Ticket, Translator, Unanswered};
use causeway_transports::{CloseReason, Incoming, SendError, Session, SessionEvent, Slot};
use causeway_wire::{Answer, SessionId, les::Version};
use futures::FutureExt;
use tokio::{sync::mpsc, task::AbortHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span, debug, info, info_span, trace};

use crate::{
    backend::{Backend, BackendError},
    until,
};

/// Messages of all light peers that wait for the loop; a session whose message does not fit waits, and
/// with it its socket.
const INBOX: usize = 1024;

/// Answers that wait for the loop.
const ANSWERS: usize = 1024;

/// Numbers of what is under way; all zero after the service ended.
#[derive(Debug, Default)]
pub struct Counts {
    sessions: AtomicU64,
    tickets: AtomicU64,
    messages: AtomicU64,
    served: AtomicU64,
    refused: AtomicU64,
}

impl Counts {
    /// Light peers connected.
    pub fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Questions under way.
    pub fn tickets(&self) -> u64 {
        self.tickets.load(Ordering::Relaxed)
    }

    /// Messages of light peers that hold a place in a window.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Messages sent to light peers since the start.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Sessions of light peers that were ended for a fault.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Serves light peers from a backend.
#[derive(Debug)]
pub struct Service<B> {
    backend: Arc<B>,
    translator: Translator,
    peers: BTreeMap<SessionId, LightPeer>,
    slots: HashMap<MessageId, Slot>,
    asked: HashMap<Ticket, AbortHandle>,
    next_message: u64,
    counts: Arc<Counts>,
    tasks: TaskTracker,
    events: Channel<(SessionId, SessionEvent)>,
    answers: Channel<(Ticket, Result<Answer, Unanswered>)>,
}

/// Both ends of a queue to ourselves.
type Channel<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

#[derive(Debug)]
struct LightPeer {
    session: Session,
    pump: AbortHandle,
    span: Span,
}

impl<B: Backend> Service<B> {
    /// A service without light peers.
    pub fn new(backend: Arc<B>, config: ServerConfig, tasks: TaskTracker) -> Self {
        Self {
            backend,
            translator: Translator::new(config),
            peers: BTreeMap::new(),
            slots: HashMap::new(),
            asked: HashMap::new(),
            next_message: 0,
            counts: Arc::default(),
            tasks,
            events: mpsc::channel(INBOX),
            answers: mpsc::channel(ANSWERS),
        }
    }

    /// What is under way, for the status.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Serves the sessions that come in until `stop`; then says goodbye and returns.
    pub async fn run(mut self, mut incoming: mpsc::Receiver<Incoming>, stop: CancellationToken) {
        let mut heads = self.backend.heads();
        heads.mark_changed();
        loop {
            self.carry_out();
            let due = self.translator.poll_timeout();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((ticket, answer)) = self.answers.1.recv() => self.take_answer(ticket, answer),
                Ok(()) = heads.changed() => {
                    let update = heads.borrow_and_update().clone();
                    if let Some(update) = update {
                        self.translator.handle_head(update, Instant::now());
                    }
                }
                () = until(due) => self.translator.handle_timeout(Instant::now()),
                // Before the messages, which never end where a fast peer is served from the cache. A session has
                // cost its peer a handshake, so this branch cannot keep the other waiting.
                Some(new) = incoming.recv() => self.open(new),
                Some((session, event)) = self.events.1.recv() => self.take_event(session, event),
            }
        }
        self.leave();
    }

    fn open(&mut self, incoming: Incoming) {
        let Incoming { session, early, mut events } = incoming;
        let id = session.id();
        let span =
            info_span!("light_peer", session = %id, peer = %session.peer(), transport = session.transport());
        let Some(version) = Version::of(session.capability()) else {
            debug!(parent: &span, capability = %session.capability(), "not a LES session");
            session.close(0x03);
            return;
        };
        info!(parent: &span, capability = %session.capability(), client = session.client(), "light peer connected");
        let inbox = self.events.0.clone();
        let pump = self.tasks.spawn(async move {
            if let Some(event) = early
                && inbox.send((id, event)).await.is_err()
            {
                return;
            }
            while let Some(event) = events.recv().await {
                if inbox.send((id, event)).await.is_err() {
                    return;
                }
            }
            // The owner of the session went without a word.
            let _ = inbox.send((id, SessionEvent::Closed(CloseReason::Local))).await;
        });
        self.translator.handle_open(id, session.peer(), version, Instant::now());
        self.peers.insert(id, LightPeer { session, pump: pump.abort_handle(), span });
        self.count();
    }

    fn take_event(&mut self, id: SessionId, event: SessionEvent) {
        let Some(peer) = self.peers.get(&id) else { return };
        match event {
            SessionEvent::Message { code, payload, slot } => {
                trace!(parent: &peer.span, code, size = payload.len(), "message");
                let message = MessageId(self.next_message);
                self.next_message += 1;
                self.slots.insert(message, slot);
                self.translator.handle_message(id, message, code, &payload, Instant::now());
            }
            SessionEvent::Closed(reason) => {
                info!(parent: &peer.span, %reason, "light peer gone");
                self.translator.handle_close(id);
                self.forget(id);
            }
        }
    }

    fn take_answer(&mut self, ticket: Ticket, answer: Result<Answer, Unanswered>) {
        self.asked.remove(&ticket);
        self.translator.handle_answer(ticket, answer, Instant::now());
    }

    fn forget(&mut self, id: SessionId) {
        if let Some(peer) = self.peers.remove(&id) {
            peer.pump.abort();
        }
    }

    /// Carries out what the translator decided.
    fn carry_out(&mut self) {
        // A reply comes right before the release of its question: the question's place in the window is
        // then freed only when the reply was written, so that a slow reader is read slowly.
        let mut reply: Option<(SessionId, u64, Bytes)> = None;
        while let Some(command) = self.translator.poll_command() {
            if let Some((session, code, payload)) = reply.take() {
                let slot = match &command {
                    Command::Release { message } => self.slots.remove(message),
                    Command::Ask { .. }
                    | Command::Forget { .. }
                    | Command::Send { .. }
                    | Command::Heartbeat { .. }
                    | Command::Close { .. } => None,
                };
                self.send(session, code, payload, slot);
            }
            match command {
                Command::Ask { ticket, query } => self.ask(ticket, query),
                Command::Forget { ticket } => {
                    if let Some(question) = self.asked.remove(&ticket) {
                        question.abort();
                    }
                }
                Command::Send { session, code, payload } => reply = Some((session, code, payload)),
                Command::Release { message } => {
                    self.slots.remove(&message);
                }
                Command::Heartbeat { session, interval } => {
                    if let Some(peer) = self.peers.get(&session) {
                        debug!(parent: &peer.span, seconds = interval.as_secs(), "heartbeat agreed");
                        peer.session.set_heartbeat(interval);
                    }
                }
                Command::Close { session, fault } => {
                    if let Some(peer) = self.peers.get(&session) {
                        info!(parent: &peer.span, %fault, "light peer broke a rule: session ended");
                        peer.session.close(fault.reason());
                        self.counts.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    self.forget(session);
                }
            }
        }
        if let Some((session, code, payload)) = reply {
            self.send(session, code, payload, None);
        }
        self.count();
    }

    fn ask(&mut self, ticket: Ticket, query: causeway_wire::Query) {
        if let Some(answer) = self.backend.answer_now(&query) {
            self.translator.handle_answer(ticket, Ok(answer), Instant::now());
            return;
        }
        let backend = Arc::clone(&self.backend);
        let answers = self.answers.0.clone();
        let span = info_span!("question", ticket = ticket.0);
        let question = async move {
            let answer = backend.answer(query).await.map_err(|error| {
                debug!(%error, "not answered");
                unanswered(&error)
            });
            let _ = answers.send((ticket, answer)).await;
        };
        let task = self.tasks.spawn(question.instrument(span));
        self.asked.insert(ticket, task.abort_handle());
    }

    fn send(&mut self, id: SessionId, code: u64, payload: Bytes, slot: Option<Slot>) {
        let Some(peer) = self.peers.get(&id) else { return };
        let sent = match slot {
            Some(slot) => {
                let session = peer.session.clone();
                let mut reply = Box::pin(async move { session.reply(code, payload, slot).await });
                // Without room it waits, with its place in the window, for the peer to read.
                reply.as_mut().now_or_never().unwrap_or_else(|| {
                    self.tasks.spawn(reply);
                    Ok(())
                })
            }
            None => peer.session.try_send(code, payload),
        };
        match sent {
            Ok(()) => {
                self.counts.served.fetch_add(1, Ordering::Relaxed);
            }
            Err(error @ SendError::Full) => {
                info!(parent: &peer.span, %error, "session ended");
                peer.session.close(0x0b);
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                self.translator.handle_close(id);
                self.forget(id);
            }
            // Its Closed event is on the way.
            Err(SendError::Closed) => {}
        }
    }

    fn count(&self) {
        self.counts.sessions.store(self.peers.len() as u64, Ordering::Relaxed);
        self.counts.tickets.store(self.asked.len() as u64, Ordering::Relaxed);
        self.counts.messages.store(self.slots.len() as u64, Ordering::Relaxed);
    }

    fn leave(&mut self) {
        let sessions: Vec<_> = self.peers.keys().copied().collect();
        for id in sessions {
            if let Some(peer) = self.peers.get(&id) {
                peer.session.close(0x08);
            }
            self.translator.handle_close(id);
            self.forget(id);
        }
        self.carry_out();
        for (_, question) in self.asked.drain() {
            question.abort();
        }
        self.count();
    }
}

/// What a backend's failure means to the light peer.
fn unanswered(error: &BackendError) -> Unanswered {
    match error {
        BackendError::NotServed | BackendError::UnknownBlock => Unanswered::NotServed,
        BackendError::NoUpstream | BackendError::Timeout | BackendError::Busy => Unanswered::Unavailable,
    }
}
