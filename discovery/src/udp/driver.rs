//! The loop that carries packets, finds and wishes between the protocols and the rest.

mod asking;
mod hearing;

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_records::{Enode, Reach, Record};
use discv5::{Discv5, Enr, Event};
use enr::NodeId;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use secp256k1::SecretKey;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    Bootnode, Command, Counters, External, Found, Shared, UdpConfig, UdpError,
    seen::Seen,
    sessions::Sessions,
    settings::{self, to_enr, to_key},
    v4::{SharedSockets, V4},
    visits::Visits,
    votes::Votes,
};

/// After a node came to us, it is left to finish what it came for before it is visited.
const VISIT_AFTER: Duration = Duration::from_secs(1);

/// One node of the table is visited each time, in turn: 60 votes in the five minutes that a vote counts.
const TURN: Duration = Duration::from_secs(5);

/// The driver looks at discv4's clock no more often.
const TICK: Duration = Duration::from_millis(5);

/// A table of discv5 with fewer nodes takes those that discv4 finds.
const YOUNG_TABLE: usize = 32;

/// Owns what both protocols share.
pub(super) struct Driver {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    own_id: B256,
    reach: Reach,
    record: watch::Receiver<Record>,
    bootnodes: Vec<Bootnode>,
    bootnode_ids: HashSet<B256>,
    events: Option<mpsc::Receiver<Event>>,
    discv4: Option<V4>,
    sockets: SharedSockets,
    /// What comes in where discv5 does not read the sockets.
    frames: Option<mpsc::Receiver<(SocketAddr, Vec<u8>)>>,
    wishes: mpsc::Receiver<Command>,
    found: mpsc::Sender<Found>,
    external: watch::Sender<External>,
    seen: Seen,
    sessions: Sessions,
    visits: Visits,
    votes: Votes,
    turns: VecDeque<NodeId>,
    next_turn: Instant,
    lookup: Lookup,
    /// Nodes asked for those far from them since the last search; none is asked once there are enough.
    asked_far: HashSet<NodeId>,
    /// Nodes that are being looked for by their ids.
    looking_for: HashSet<B256>,
    early_searches: u32,
    next_early: Instant,
    pending: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Greetings to bootnodes under way.
    greetings: usize,
}

/// How far discv5's lookups are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    /// None yet; the first one is for our own id, which fills the table.
    Never,
    /// One is wanted as soon as a node is in the table.
    Wanted,
    UnderWay,
    Over,
}

/// Something asked of discv5 has ended.
enum Done {
    Lookup(Vec<Enr>),
    /// One node was looked for.
    LookedFor(B256, Vec<Enr>),
    /// What one node knows far from itself.
    Far(Vec<Enr>),
    Visit(Enr, Option<discv5::service::Pong>),
    Refresh(NodeId, Vec<Enr>),
    Greeting,
    /// A bootnode's name has an address, or none.
    Name(Option<Enode>),
}

impl Driver {
    /// Starts the protocols; the driver must run for them to get anywhere.
    pub(super) async fn start(
        config: UdpConfig,
        shared: Arc<Shared>,
        wishes: mpsc::Receiver<Command>,
        external: watch::Sender<External>,
        found: mpsc::Sender<Found>,
        tasks: TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, UdpError> {
        let UdpConfig {
            secret_key,
            sockets,
            tcp,
            mut record,
            bootnodes,
            reach,
            discv4,
            discv5,
            votes,
            protocol_id,
            limits,
        } = config;
        let own = record.borrow_and_update().clone();
        if own.key() != causeway_records::node_key(&secret_key) {
            return Err(UdpError::Key);
        }
        let sockets = SharedSockets::new(sockets).await.map_err(UdpError::Listen)?;
        let mut events = None;
        if discv5 {
            let settings = settings::config(&sockets, reach, limits, protocol_id, &tasks)?;
            let (discv5, receiver) = start_discv5(&secret_key, &own, settings).await?;
            shared.set(Some(discv5));
            events = Some(receiver);
        }
        let frames = (!discv5).then(|| sockets.read(&tasks, stop));
        let early_searches = if bootnodes.is_empty() { 0 } else { asking::EARLY_SEARCHES };
        let discv4 = discv4.then(|| V4::new(secret_key, tcp, reach, &own, sockets.clone()));
        Ok(Self {
            shared,
            tasks,
            own_id: own.node_id(),
            reach,
            record,
            bootnode_ids: bootnodes.iter().map(Bootnode::node_id).collect(),
            bootnodes,
            events,
            discv4,
            sockets,
            frames,
            wishes,
            found,
            external,
            seen: Seen::default(),
            sessions: Sessions::new(limits.sessions),
            visits: Visits::default(),
            votes: Votes::new(votes, reach),
            turns: VecDeque::new(),
            next_turn: Instant::now() + TURN,
            lookup: Lookup::Never,
            asked_far: HashSet::new(),
            looking_for: HashSet::new(),
            early_searches,
            next_early: Instant::now() + asking::EARLY_PAUSE,
            pending: FuturesUnordered::new(),
            greetings: 0,
        })
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.resolve_bootnodes();
        self.greet_bootnodes();
        self.seed_discv4();
        loop {
            let due = self.carry_out(Instant::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = self.pending.next() => self.on_done(done),
                Ok(()) = self.record.changed() => self.on_record(),
                () = tokio::time::sleep_until(due.into()) => {}
                Some(wish) = self.wishes.recv() => self.on_wish(wish),
                Some((from, packet)) = next(&mut self.frames) => self.on_frame(from, &packet),
                event = next(&mut self.events) => match event {
                    Some(event) => self.on_event(event),
                    None => {
                        warn!("discv5 has ended unexpectedly; discv4 goes on alone");
                        self.frames = Some(self.sockets.read(&self.tasks, &stop));
                        self.events = None;
                        self.shared.set(None);
                    }
                },
            }
        }
        self.shared.set(None); // ends the crate's tasks
    }

    /// Does what is due; when to look again.
    fn carry_out(&mut self, now: Instant) -> Instant {
        if self.next_turn <= now {
            self.next_turn = now + TURN;
            self.take_turn(now);
        }
        while let Some(node) = self.visits.start(now) {
            Counters::add(&self.shared.counters.asked);
            match self.shared.with(|discv5| discv5.send_ping(node.clone())) {
                Some(pong) => self.pending.push(pong.map(|pong| Done::Visit(node, pong.ok())).boxed()),
                None => self.visits.done(),
            }
        }
        self.search_early(now);
        self.carry_out_discv4(now);
        let early = (self.early_searches > 0).then_some(self.next_early);
        let discv4_due = self.discv4.as_ref().and_then(V4::due).map(|due| due.max(now + TICK));
        [Some(self.next_turn), self.visits.due(), discv4_due, early]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.next_turn)
    }

    fn carry_out_discv4(&mut self, now: Instant) {
        let Some(discv4) = &mut self.discv4 else { return };
        let unsent = discv4.carry_out(now);
        let counters = &self.shared.counters;
        counters.unsent.fetch_add(unsent, Ordering::Relaxed);
        counters.discv4_nodes.store(discv4.nodes(), Ordering::Relaxed);
        while let Some(event) = self.discv4.as_mut().and_then(V4::event) {
            match event {
                causeway_discv4::Event::Found { enode, record } => self.report_discv4(enode, record),
                causeway_discv4::Event::LookupDone { found } => debug!(found, "a discv4 lookup is over"),
                causeway_discv4::Event::Observed { ours, by } => {
                    if let Some(winner) = self.votes.count(by, ours, now) {
                        self.confirm(winner);
                    }
                }
            }
        }
    }

    fn on_wish(&mut self, wish: Command) {
        match wish {
            Command::Search => {
                self.search();
                if let Some(discv4) = &mut self.discv4 {
                    discv4.search();
                }
            }
            Command::LookFor(node) => self.look_for(node),
            Command::Add(record) => self.add(&record),
        }
    }

    fn on_record(&mut self) {
        let record = self.record.borrow_and_update().clone();
        if record.node_id() != self.own_id {
            warn!("a record of another key is not published");
            return;
        }
        let Some(enr) = to_enr(&record) else { return };
        self.shared.with(|discv5| *discv5.external_enr().write() = enr);
        if let Some(discv4) = &mut self.discv4 {
            discv4.set_record(&record);
        }
        let now = Instant::now();
        for node in self.connected() {
            self.visits.plan(node, now); // the ping tells that there is a newer one
        }
    }
}

async fn start_discv5(
    secret_key: &SecretKey,
    own: &Record,
    settings: discv5::Config,
) -> Result<(Discv5, mpsc::Receiver<Event>), UdpError> {
    let (enr, key) = to_enr(own).zip(to_key(secret_key)).ok_or(UdpError::Key)?;
    let failed = |error: discv5::Error| UdpError::Discv5(format!("{error:?}"));
    let mut discv5 = Discv5::new(enr, key, settings).map_err(|why| UdpError::Discv5(why.to_owned()))?;
    discv5.start().await.map_err(failed)?;
    let events = discv5.event_stream().await.map_err(failed)?;
    Ok((discv5, events))
}

async fn next<T>(channel: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match channel {
        Some(channel) => channel.recv().await,
        None => std::future::pending().await,
    }
}
