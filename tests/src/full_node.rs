//! A LES server over RLPx that answers from a development chain like geth, and lies in one thing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::U256;
use bytes::Bytes;
use causeway_bridge::Backend;
use causeway_devnet::DevBackend;
use causeway_translate::{ServerConfig, sign_head};
use causeway_transports::{Address, CloseReason, Incoming, SessionEvent, Transports};
use causeway_wire::{
    Answer, ForkId, Head, PeerId, Query, RequestId,
    les::{Announce, FlowControl, Message, Serving, Status, Version},
};
use futures::FutureExt;
use secp256k1::SecretKey;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::house::{
    Chain, FAREWELL, any_port, devp2p_address, eventually, fresh_key, spec, transports_config,
};

/// Alters an answer; false if there was nothing to alter.
pub type AlterAnswer = fn(&mut Answer, &Query, &DevBackend) -> bool;

/// Alters a payload.
pub type AlterBytes = fn(&[u8]) -> Vec<u8>;

/// Does something on its own.
pub type Unasked = fn(&Teller) -> Vec<Act>;

/// Announces something else.
pub type AlterAnnounce = fn(Announce, &Teller) -> Vec<Message>;

/// Does something else than to answer; `None` if the truth is told this time.
pub type AlterReply = fn(Reply, &Teller) -> Option<Vec<Act>>;

/// What a full node does instead of the truth, in each place where it may lie.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lie {
    /// Another Status.
    pub status: Option<fn(&mut Status, &Teller)>,
    /// Another payload of the Status.
    pub status_bytes: Option<AlterBytes>,
    /// Other announcements; asked for at every new head.
    pub announce: Option<AlterAnnounce>,
    /// Another answer; false if there was nothing to alter.
    pub answer: Option<AlterAnswer>,
    /// Other messages than the answer; `None` if the truth is told this time.
    pub reply: Option<AlterReply>,
    /// What it does on its own, right behind its Status.
    pub unasked: Option<Unasked>,
}

impl Lie {
    /// Lies in its Status.
    pub fn status(alter: fn(&mut Status, &Teller)) -> Self {
        Self { status: Some(alter), ..Self::default() }
    }

    /// Sends another payload as its Status.
    pub fn status_bytes(alter: AlterBytes) -> Self {
        Self { status_bytes: Some(alter), ..Self::default() }
    }

    /// Lies in its announcements.
    pub fn announce(alter: AlterAnnounce) -> Self {
        Self { announce: Some(alter), ..Self::default() }
    }

    /// Lies in its answers.
    pub fn answer(alter: AlterAnswer) -> Self {
        Self { answer: Some(alter), ..Self::default() }
    }

    /// Does something else than to answer.
    pub fn reply(alter: AlterReply) -> Self {
        Self { reply: Some(alter), ..Self::default() }
    }

    /// Does something behind its Status.
    pub fn unasked(acts: Unasked) -> Self {
        Self { unasked: Some(acts), ..Self::default() }
    }
}

/// An honest answer that is about to be sent.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The request's id.
    pub id: RequestId,
    /// What was asked.
    pub query: Query,
    /// The honest answer.
    pub answer: Answer,
    /// The honest buffer.
    pub buffer: u64,
}

impl Reply {
    /// As a message.
    pub fn message(&self) -> Message {
        Message::Response { id: self.id, buffer: self.buffer, answer: self.answer.clone() }
    }
}

/// What a full node does.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "few of them live at once")]
pub enum Act {
    /// Sends a message.
    Send(Message),
    /// Sends a payload.
    SendRaw(u64, Bytes),
    /// Waits.
    Wait(Duration),
    /// Ends the session.
    HangUp,
}

/// What a liar knows.
#[derive(Debug)]
pub struct Teller {
    /// The chain.
    pub backend: Arc<DevBackend>,
    /// Its node key.
    pub key: SecretKey,
    /// The version that is spoken on the session.
    pub version: Version,
}

impl Teller {
    /// A signed announcement of a head.
    pub fn announce(&self, head: Head) -> Announce {
        Announce {
            head: Some(head),
            reorg_depth: 0,
            signature: Some(sign_head(&head, &self.key)),
            buffer: None,
            costs: Vec::new(),
            origins: Vec::new(),
            update_bytes: 0,
        }
    }

    /// The honest answer to another question.
    pub fn answer(&self, query: Query) -> Answer {
        answer(&self.backend, query).expect("the chain has it")
    }
}

/// What a development chain answers.
pub fn answer(backend: &DevBackend, query: Query) -> Option<Answer> {
    backend.answer(query).now_or_never()?.ok()
}

/// A running full node.
#[derive(Debug)]
pub struct LyingNode {
    transports: Transports,
    told: Arc<Told>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Told {
    backend: Arc<DevBackend>,
    key: SecretKey,
    lie: Lie,
    lies: AtomicU64,
    requests: AtomicU64,
    sessions: AtomicU64,
    end: watch::Sender<Option<CloseReason>>,
}

impl LyingNode {
    /// On a free port, with a key of its own, speaking up to `version`.
    pub async fn start(chain: &Chain, lie: Lie, version: Version) -> Self {
        let key = fresh_key();
        let mut config = transports_config(key, "FullNode");
        config.capabilities = vec![version.capability()];
        config.devp2p = Some(any_port());
        let (transports, mut incoming) = Transports::start(config).await.expect("a port is free");
        let told = Arc::new(Told {
            backend: Arc::clone(&chain.backend),
            key,
            lie,
            lies: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            sessions: AtomicU64::new(0),
            end: watch::Sender::new(None),
        });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (served, sessions) = (Arc::clone(&told), tasks.clone());
        let accept = async move {
            while let Some(new) = incoming.recv().await {
                sessions.spawn(Arc::clone(&served).serve(new));
            }
        };
        let stopped = stop.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(accept).await });
        Self { transports, told, tasks, stop }
    }

    /// Where it is dialed.
    pub fn address(&self) -> Address {
        devp2p_address(&self.transports)
    }

    /// Who it is.
    pub fn peer(&self) -> PeerId {
        PeerId::devp2p(self.transports.node_key())
    }

    /// Lies told so far.
    pub fn lies(&self) -> u64 {
        self.told.lies.load(Ordering::Relaxed)
    }

    /// Requests that came so far.
    pub fn requests(&self) -> u64 {
        self.told.requests.load(Ordering::Relaxed)
    }

    /// Sessions that others opened so far.
    pub fn sessions(&self) -> u64 {
        self.told.sessions.load(Ordering::Relaxed)
    }

    /// Waits until it lied.
    pub async fn has_lied(&self) {
        eventually("the full node is asked and lies", || self.lies() > 0).await;
    }

    /// Waits for the end of its last session.
    pub async fn is_left(&self) -> CloseReason {
        let mut end = self.told.end.subscribe();
        let reason = tokio::time::timeout(crate::house::PATIENCE, end.wait_for(Option::is_some)).await;
        reason.expect("the liar is disconnected").expect("it lives").clone().expect("there is an end")
    }

    /// Whether its last session has ended.
    pub fn is_alone(&self) -> bool {
        self.told.end.borrow().is_some()
    }

    /// Ends.
    pub async fn stop(self) {
        self.stop.cancel();
        self.transports.shutdown(FAREWELL).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Told {
    async fn serve(self: Arc<Self>, incoming: Incoming) {
        let Incoming { session, early: _, mut events } = incoming;
        let Some(version) = Version::of(session.capability()) else { return };
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.end.send_replace(None);
        let teller = Teller { backend: Arc::clone(&self.backend), key: self.key, version };
        let mut heads = self.backend.heads();
        heads.borrow_and_update();
        let mut acts = self.greeting(&teller);
        let mut reason = CloseReason::Local;
        loop {
            if !carry_out(&session, version, std::mem::take(&mut acts)).await {
                break;
            }
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(SessionEvent::Message { code, payload, slot: _ }) => {
                        if let Ok(Message::Request { id, query }) =
                            Message::decode(version, code, &payload.into())
                        {
                            self.requests.fetch_add(1, Ordering::Relaxed);
                            acts = self.reply(&teller, id, query);
                        }
                    }
                    Some(SessionEvent::Closed(end)) => {
                        reason = end;
                        break;
                    }
                    None => break,
                },
                Ok(()) = heads.changed() => {
                    heads.borrow_and_update();
                    acts = self.announcements(&teller);
                }
            }
        }
        self.end.send_replace(Some(reason));
    }

    fn greeting(&self, teller: &Teller) -> Vec<Act> {
        let mut status = server_status(&teller.backend, teller.version);
        if let Some(alter) = self.lie.status {
            alter(&mut status, teller);
            self.lied();
        }
        let status = Message::Status(status);
        let mut acts = match self.lie.status_bytes {
            Some(alter) => {
                self.lied();
                vec![Act::SendRaw(status.code(), alter(&status.encode(teller.version)).into())]
            }
            None => vec![Act::Send(status)],
        };
        if let Some(unasked) = self.lie.unasked {
            self.lied();
            acts.extend(unasked(teller));
        }
        acts
    }

    fn announcements(&self, teller: &Teller) -> Vec<Act> {
        let honest = teller.announce(self.backend.head().head);
        match self.lie.announce {
            Some(alter) => {
                self.lied();
                alter(honest, teller).into_iter().map(Act::Send).collect()
            }
            None => vec![Act::Send(Message::Announce(honest))],
        }
    }

    fn reply(&self, teller: &Teller, id: RequestId, query: Query) -> Vec<Act> {
        let Some(mut answer) = answer(&self.backend, query.clone()) else { return Vec::new() };
        let buffer = ServerConfig::default_flow().buffer_limit;
        if let Some(alter) = self.lie.answer
            && alter(&mut answer, &query, &self.backend)
        {
            self.lied();
        }
        let reply = Reply { id, query, answer, buffer };
        let honest = reply.message();
        match self.lie.reply.and_then(|alter| alter(reply, teller)) {
            Some(acts) => {
                self.lied();
                acts
            }
            None => vec![Act::Send(honest)],
        }
    }

    fn lied(&self) {
        self.lies.fetch_add(1, Ordering::Relaxed);
    }
}

/// Does it; false if the session is to end.
async fn carry_out(session: &causeway_transports::Session, version: Version, acts: Vec<Act>) -> bool {
    for act in acts {
        let sent = match act {
            Act::Send(message) => session.try_send(message.code(), message.encode(version).into()),
            Act::SendRaw(code, payload) => session.try_send(code, payload),
            Act::Wait(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Act::HangUp => {
                session.close(0x08);
                return false;
            }
        };
        if sent.is_err() {
            break; // its end is among the events
        }
    }
    true
}

/// The honest Status of a full node.
pub fn server_status(backend: &DevBackend, version: Version) -> Status {
    let (spec, update) = (spec(), backend.head());
    let ForkId { hash, next } = spec.fork_id(update.head.number, update.timestamp);
    let flow: FlowControl = ServerConfig::default_flow();
    Status {
        version: version.number(),
        network: spec.network,
        head: update.head,
        genesis: spec.genesis_hash,
        fork_id: (version == Version::Les4).then_some(ForkId { hash, next }),
        announce: None,
        serving: Serving {
            headers: true,
            chain_since: Some(0),
            recent_chain: None,
            state_since: Some(0),
            recent_state: Some(124),
            tx_relay: true,
        },
        recent_tx_lookup: (version == Version::Les4).then_some(0),
        flow_control: Some(flow),
        checkpoint: None,
        checkpoint_height: None,
        origins: false,
        heartbeat: None,
    }
}

/// A head that no chain has.
pub fn made_up_head(number: u64, td: u64) -> Head {
    Head { hash: alloy_primitives::B256::repeat_byte(0xee), number, td: U256::from(td) }
}
