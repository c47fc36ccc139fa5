//! The loop that carries packets, finds and wishes between the protocols and the rest.

use std::{
    collections::{HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_pool::Source;
use causeway_records::{Enode, Host, Reach, Record};
use discv5::{Discv5, Enr, Event, NodeContact, TalkRequest, kbucket};
use enr::{CombinedPublicKey, NodeId};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::{
    Bootnode, Command, Counters, External, Found, Shared, TalkPeer, UdpConfig, UdpError,
    seen::Seen,
    sessions::Sessions,
    settings::{self, to_enr, to_key, to_record},
    v4::{self, V4},
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
    pending: FuturesUnordered<BoxFuture<'static, Done>>,
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
    Visit(Enr, Option<discv5::service::Pong>),
    Refresh(NodeId, Vec<Enr>),
    Greeting,
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
        let mut record = config.record;
        let own = record.borrow_and_update().clone();
        if own.key() != causeway_records::node_key(&config.secret_key) {
            return Err(UdpError::Key);
        }
        let (v4, v6) = config.sockets.into_std();
        let socket = |std: Option<std::net::UdpSocket>| {
            std.map(|std| UdpSocket::from_std(std).map(Arc::new)).transpose().map_err(UdpError::Listen)
        };
        let (v4, v6) = (socket(v4)?, socket(v6)?);
        let mut events = None;
        if config.discv5 {
            let crate_config = settings::config(
                v4.clone(),
                v6.clone(),
                config.reach,
                config.limits,
                config.protocol_id,
                &tasks,
            )?;
            let (enr, key) = to_enr(&own).zip(to_key(&config.secret_key)).ok_or(UdpError::Key)?;
            let failed = |error: discv5::Error| UdpError::Discv5(format!("{error:?}"));
            let mut discv5 =
                Discv5::new(enr, key, crate_config).map_err(|why| UdpError::Discv5(why.to_owned()))?;
            discv5.start().await.map_err(failed)?;
            events = Some(discv5.event_stream().await.map_err(failed)?);
            shared.set(Some(discv5));
        }
        let sockets = v4::Shared { v4, v6 };
        let frames = (!config.discv5).then(|| sockets.read(&tasks, stop));
        let discv4 =
            config.discv4.then(|| V4::new(config.secret_key, config.tcp, config.reach, &own, sockets));
        let now = Instant::now();
        let bootnode_id = |node: &Bootnode| match node {
            Bootnode::Record(record) => record.node_id(),
            Bootnode::Enode(enode) => enode.key.node_id(),
        };
        Ok(Self {
            shared,
            tasks,
            own_id: own.node_id(),
            reach: config.reach,
            record,
            bootnode_ids: config.bootnodes.iter().map(bootnode_id).collect(),
            bootnodes: config.bootnodes,
            events,
            discv4,
            frames,
            wishes,
            found,
            external,
            seen: Seen::default(),
            sessions: Sessions::new(config.limits.sessions),
            visits: Visits::default(),
            votes: Votes::new(config.votes, config.reach),
            turns: VecDeque::new(),
            next_turn: now + TURN,
            lookup: Lookup::Never,
            pending: FuturesUnordered::new(),
        })
    }

    /// Runs until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
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
                        warn!("discv5 has ended unexpectedly");
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
            match self.shared.with(|discv5| discv5.send_ping(node.clone())) {
                Some(pong) => self.pending.push(pong.map(|pong| Done::Visit(node, pong.ok())).boxed()),
                None => self.visits.done(),
            }
        }
        self.carry_out_discv4(now);
        let discv4_due = self.discv4.as_ref().and_then(V4::due).map(|due| due.max(now + TICK));
        [Some(self.next_turn), self.visits.due(), discv4_due]
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

    /// Plans a visit to the node of the table that was not visited for longest.
    fn take_turn(&mut self, now: Instant) {
        if self.turns.is_empty() {
            self.turns = self.connected().iter().map(Enr::node_id).collect();
        }
        let Some(node) = self.turns.pop_front() else { return };
        if let Some(Some(enr)) = self.shared.with(|discv5| discv5.find_enr(&node)) {
            self.visits.plan(enr, now);
        }
    }

    fn connected(&self) -> Vec<Enr> {
        let connected = self.shared.with(|discv5| {
            discv5.with_kbuckets(|table| {
                let table = table.read();
                let connected = table.iter_ref().filter(|entry| entry.status.is_connected());
                connected.map(|entry| entry.node.value.clone()).collect()
            })
        });
        connected.unwrap_or_default()
    }

    fn on_wish(&mut self, wish: Command) {
        match wish {
            Command::Search => {
                self.search();
                if let Some(discv4) = &mut self.discv4 {
                    discv4.search();
                }
            }
            Command::Add(record) => self.add(&record),
        }
    }

    fn add(&mut self, record: &Record) {
        let Some(enr) = to_enr(record).filter(settings::table_filter(self.reach)) else { return };
        if let Some((discv4, enode)) = self.discv4.as_mut().zip(discovery_enode(record)) {
            discv4.add(&enode);
        }
        if self.can_reach(&enr) {
            self.visits.plan(enr, Instant::now()); // whoever answers is in the table then
        }
    }

    fn can_reach(&self, enr: &Enr) -> bool {
        enr.node_id().raw() != self.own_id.0
            && self.shared.with(|discv5| discv5.ip_mode().get_contactable_addr(enr).is_some()) == Some(true)
    }

    fn search(&mut self) {
        if self.lookup == Lookup::UnderWay {
            return;
        }
        let empty =
            self.shared.with(|discv5| discv5.with_kbuckets(|table| table.read().iter_ref().next().is_none()));
        if empty != Some(false) {
            if self.lookup == Lookup::Over {
                self.lookup = Lookup::Wanted;
            }
            self.greet_bootnodes();
            return;
        }
        let target = match self.lookup {
            Lookup::Never => NodeId::new(&self.own_id.0),
            Lookup::Wanted | Lookup::UnderWay | Lookup::Over => NodeId::random(),
        };
        if let Some(lookup) = self.shared.with(|discv5| discv5.find_node(target)) {
            self.lookup = Lookup::UnderWay;
            self.pending.push(lookup.map(|found| Done::Lookup(found.unwrap_or_default())).boxed());
        }
    }

    /// Asks the bootnodes for a sign of life, which brings them into the table.
    fn greet_bootnodes(&mut self) {
        let now = Instant::now();
        for node in &self.bootnodes {
            match node {
                Bootnode::Record(record) => {
                    if let Some(enr) = to_enr(record).filter(|enr| self.can_reach(enr)) {
                        self.visits.plan(enr, now);
                    }
                }
                Bootnode::Enode(enode) => {
                    let Some(contact) = contact(enode) else { continue };
                    // Any request opens a session, in which the crate asks for the record.
                    let greeting =
                        self.shared.with(|discv5| discv5.talk_req(contact, Vec::new(), Vec::new()));
                    if let Some(greeting) = greeting {
                        self.pending.push(greeting.map(|_| Done::Greeting).boxed());
                    }
                }
            }
        }
    }

    fn seed_discv4(&mut self) {
        let Some(discv4) = &mut self.discv4 else { return };
        for node in &self.bootnodes {
            match node {
                Bootnode::Record(record) => {
                    if let Some(enode) = discovery_enode(record) {
                        discv4.add(&enode);
                    }
                }
                Bootnode::Enode(enode) => discv4.add(enode),
            }
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Lookup(found) => {
                self.lookup = Lookup::Over;
                debug!(nodes = found.len(), "a discv5 lookup is over");
                for enr in &found {
                    self.report(enr);
                }
            }
            Done::Visit(node, pong) => {
                self.visits.done();
                if let Some(pong) = pong {
                    self.on_pong(node, &pong);
                }
            }
            Done::Refresh(node, records) => {
                if let Some(enr) = records.into_iter().find(|enr| enr.node_id() == node) {
                    self.refresh(enr);
                }
            }
            Done::Greeting => {}
        }
    }

    fn on_pong(&mut self, node: Enr, pong: &discv5::service::Pong) {
        let Some(contact) = self.shared.with(|discv5| discv5.ip_mode().get_contactable_addr(&node)).flatten()
        else {
            return;
        };
        if self.may_vote(&node) {
            let addr = SocketAddr::new(pong.ip, pong.port);
            if let Some(winner) = self.votes.count(contact, addr, Instant::now()) {
                self.confirm(winner);
            }
        }
        // The crate leaves this to whoever asked for the ping.
        if pong.enr_seq > node.seq() {
            let id = node.node_id();
            let asked = self.shared.with(|discv5| discv5.find_node_designated_peer(node, vec![0]));
            if let Some(asked) = asked {
                self.pending
                    .push(asked.map(move |nodes| Done::Refresh(id, nodes.unwrap_or_default())).boxed());
            }
        }
    }

    /// On the public internet those who came to us by themselves have no vote: they could come to cast it.
    fn may_vote(&self, node: &Enr) -> bool {
        let key = kbucket::Key::from(node.node_id());
        let outgoing = |discv5: &Discv5| {
            discv5.with_kbuckets(|table| match table.write().entry(&key) {
                kbucket::Entry::Present(_, status) => !status.is_incoming(),
                _ => false,
            })
        };
        self.reach == Reach::Local || self.shared.with(outgoing) == Some(true)
    }

    fn confirm(&self, addr: SocketAddr) {
        self.external.send_if_modified(|external| {
            let before = *external;
            external.set(addr);
            let changed = *external != before;
            if changed {
                info!("others agree on our address");
                debug!(%addr, "our address as others see it");
            }
            changed
        });
    }

    /// Takes a newer record of a node of the table.
    fn refresh(&mut self, enr: Enr) {
        let key = kbucket::Key::from(enr.node_id());
        if settings::table_filter(self.reach)(&enr) {
            let update = |discv5: &Discv5| {
                discv5.with_kbuckets(|table| {
                    let mut table = table.write();
                    let newer = match table.entry(&key) {
                        kbucket::Entry::Present(entry, _) => entry.value().seq() < enr.seq(),
                        kbucket::Entry::Pending(entry, _) => entry.value().seq() < enr.seq(),
                        _ => false,
                    };
                    if newer {
                        let _ = table.update_node(&key, enr.clone(), None); // a filter may refuse it
                    }
                });
            };
            self.shared.with(update);
        }
        self.report(&enr);
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

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Discovered(enr) => self.report(&enr),
            Event::SessionEstablished(enr, addr) => self.on_session(&enr, addr),
            Event::UnverifiableEnr { socket, node_id, .. } => self.sessions.opened(node_id, socket),
            Event::NodeInserted { node_id, .. } => self.on_inserted(node_id),
            Event::TalkRequest(request) => self.on_talk(request),
            Event::UnrecognizedFrame(frame) => self.on_frame(frame.src_address, &frame.packet),
            Event::SocketUpdated(_) | Event::SessionsExpired(_) => {}
            other => debug!(?other, "an event of discv5 that we do not know"),
        }
    }

    fn on_session(&mut self, enr: &Enr, addr: SocketAddr) {
        self.sessions.opened(enr.node_id(), addr);
        if self.can_reach(enr) {
            self.visits.plan(enr.clone(), Instant::now() + VISIT_AFTER);
        }
        self.report(enr);
    }

    fn on_inserted(&mut self, node: NodeId) {
        let Some(enr) = self.shared.with(|discv5| discv5.find_enr(&node)).flatten() else { return };
        let named = self.bootnode_ids.contains(&B256::from(node.raw()));
        if !named && !settings::table_filter(self.reach)(&enr) {
            // The crate filters what it is told of, not who comes.
            self.shared.with(|discv5| discv5.remove_node(&node));
            return;
        }
        if matches!(self.lookup, Lookup::Never | Lookup::Wanted) {
            self.search();
        }
    }

    fn on_talk(&self, request: TalkRequest) {
        let node_id = B256::from(request.node_id().raw());
        let known = self.sessions.addr(request.node_id());
        let Some(addr) = known else {
            debug!(%node_id, "TALKREQ of a node that we lost sight of"); // dropping it sends the empty answer
            return;
        };
        let from = TalkPeer { node_id, addr };
        let Ok(admitted) = self.shared.talk.admit(from, request.protocol(), Instant::now()) else { return };
        let talk = self.shared.talk.clone();
        self.tasks.spawn(async move {
            let answer = talk.answer(admitted, from, request.body()).await;
            let _ = request.respond(answer); // fails only if discv5 has stopped
        });
    }

    /// A packet that is not discv5's.
    fn on_frame(&mut self, from: SocketAddr, packet: &[u8]) {
        let counters = &self.shared.counters;
        Counters::add(&counters.foreign);
        if let Some(discv4) = &mut self.discv4
            && let Err(reason) = discv4.take(from, packet)
        {
            counters.dropped(reason);
        }
    }

    /// Reports a node of discv5, once.
    fn report(&mut self, enr: &Enr) {
        let id = B256::from(enr.node_id().raw());
        let has_address = enr.ip4().is_some() || enr.ip6().is_some();
        if id == self.own_id || !has_address || !self.seen.is_news(id, enr.seq(), Instant::now()) {
            return;
        }
        let Some(record) = to_record(enr) else { return };
        if record.is_consensus() {
            return; // there are many; they serve nothing to us
        }
        self.send(Found { source: Source::Discv5, record: Some(record), enode: None });
    }

    /// Reports a node of discv4, once, and lets a young table of discv5 have it.
    fn report_discv4(&mut self, enode: Enode, record: Option<Record>) {
        let seq = record.as_ref().map_or(0, Record::seq);
        let id = enode.key.node_id();
        if id == self.own_id || !self.seen.is_news(id, seq, Instant::now()) {
            return;
        }
        if record.as_ref().is_some_and(Record::is_consensus) {
            return;
        }
        let enr = record.as_ref().and_then(to_enr).filter(settings::table_filter(self.reach));
        let young = self.shared.with(|discv5| {
            discv5.with_kbuckets(|table| table.read().iter_ref().take(YOUNG_TABLE).count() < YOUNG_TABLE)
        });
        if let Some(enr) = enr.filter(|enr| young == Some(true) && self.can_reach(enr)) {
            self.visits.plan(enr, Instant::now());
        }
        self.send(Found { source: Source::Discv4, record, enode: Some(enode) });
    }

    fn send(&self, found: Found) {
        let counters = &self.shared.counters;
        match self.found.try_send(found) {
            Ok(()) => Counters::add(&counters.found),
            Err(_) => Counters::add(&counters.found_lost),
        }
    }
}

async fn next<T>(channel: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match channel {
        Some(channel) => channel.recv().await,
        None => std::future::pending().await,
    }
}

/// The record's node as discv4 needs it, be there RLPx or not.
fn discovery_enode(record: &Record) -> Option<Enode> {
    Some(Enode {
        key: record.key(),
        host: Host::Ip(record.ip()?),
        tcp: record.tcp().unwrap_or(0),
        udp: record.udp()?,
    })
}

/// How to reach a node whose record we do not have.
fn contact(enode: &Enode) -> Option<NodeContact> {
    let Host::Ip(ip) = enode.host else { return None };
    let addr = SocketAddr::new(ip, enode.udp);
    let mut key = [4; 65];
    key[1..].copy_from_slice(enode.key.0.as_slice());
    let key = enr::k256::ecdsa::VerifyingKey::from_sec1_bytes(&key).ok()?;
    Some(NodeContact::new(CombinedPublicKey::Secp256k1(key), addr, None))
}
