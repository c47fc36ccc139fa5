//! Discovery as a whole: every source pours into the pool, the pool says whom to dial, the dialer tells what came
//! of it.
//!
//! One task owns the pool and our record. Who dials takes [`Order`]s and sends [`Report`]s.

use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_eip2124::ForkFilter;
use causeway_pool::{
    Connected, Dial, Failure, Memory, Named, Pool, PoolConfig, PoolEvent, Role, Source, Summary, Value,
};
use causeway_records::{
    Multiaddr, Reach, Record,
    dns_tree::{Limits, Link},
};
use causeway_wire::{ForkId, NodeKey, Stack};
use secp256k1::SecretKey;
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, info, info_span, warn};

use crate::{
    DnsClient, DnsLists, OwnRecord, Pace, TopicStats, Topics, TopicsConfig,
    own_record::replace,
    udp::{
        Bootnode, External, Found, PROTOCOL_ID, Sockets, TalkRegistry, Udp, UdpConfig, UdpError, UdpLimits,
        UdpStats,
    },
};

/// Reports that wait for the task; the next waits with who sends it.
const REPORTS: usize = 256;

/// Events kept for a listener that is slow; older ones it misses.
const EVENTS: usize = 256;

/// How often what was learned of peers is written to disk.
const SAVE: Duration = Duration::from_secs(60);

/// Largest file of remembered peers that is read.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// How our addresses come to be known to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nat {
    /// Those that enough peers see us at.
    #[default]
    Any,
    /// Only those that we are bound to.
    None,
    /// The user says.
    Fixed(std::net::IpAddr),
}

/// Where peers are looked for.
pub struct Looking {
    /// The node key.
    pub secret_key: SecretKey,
    /// The sockets of discv5 and discv4.
    pub sockets: Sockets,
    /// Our port of RLPx.
    pub tcp: u16,
    /// Where to begin.
    pub bootnodes: Vec<Bootnode>,
    /// Signed lists in the DNS.
    pub lists: Vec<Link>,
    /// The name server; the system's unless given.
    pub name_server: Option<SocketAddr>,
    /// Which addresses strangers may name.
    pub reach: Reach,
    /// Peers that must agree on our address.
    pub votes: usize,
    /// Who answers TALKREQ.
    pub talk: TalkRegistry,
    /// Under which namespace relays are advertised and looked for by topic; `None`: not by topic.
    pub topics: Option<String>,
}

/// Without the key.
impl std::fmt::Debug for Looking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Looking")
            .field("sockets", &self.sockets)
            .field("bootnodes", &self.bootnodes.len())
            .field("lists", &self.lists)
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

/// What [`Discovery::start`] is given.
#[derive(Debug)]
pub struct DiscoveryConfig {
    /// Targets and limits.
    pub pool: PoolConfig,
    /// Our chain, as of our head.
    pub forks: ForkFilter,
    /// The peers that the user named.
    pub named: Vec<(Named, Source)>,
    /// Our record.
    pub own: OwnRecord,
    /// How our addresses come into it.
    pub nat: Nat,
    /// Where peers are remembered between runs.
    pub peers_file: Option<PathBuf>,
    /// Where to look for more; `None`: only those named.
    pub looking: Option<Looking>,
}

/// Why discovery did not start.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The UDP side.
    #[error(transparent)]
    Udp(#[from] UdpError),
}

/// What the dialer is to do.
#[derive(Debug)]
pub enum Order {
    /// Dial this peer; under way until it is reported.
    Dial(Dial),
    /// Let this peer go: there are too many.
    Leave(NodeKey),
    /// Peers are wanted: whoever knows a further source asks it.
    Search,
}

/// What became of it.
#[derive(Debug)]
pub enum Report {
    /// A peer is connected.
    Connected(NodeKey, Connected),
    /// A peer that came by itself serves, and waits for our dial.
    Offer(NodeKey),
    /// What a connected peer turned out to be.
    Role(NodeKey, Role),
    /// A session ended; whether it was an inbound one.
    Disconnected(NodeKey, Stack, bool, Failure),
    /// A dial failed.
    Failed(NodeKey, Failure),
    /// How a peer answers.
    Value(NodeKey, Value),
    /// A peer lied.
    Lied(NodeKey),
    /// A peer's libp2p addresses, from a rendezvous server.
    Addresses(NodeKey, Role, Vec<Multiaddr>),
    /// Our head passed a fork.
    Chain(ForkFilter, ForkId),
}

/// What there is to see.
#[derive(Clone, Debug)]
pub struct View {
    /// Counts.
    pub summary: Summary,
    /// Every peer that is connected, being dialed, or remembered.
    pub peers: Vec<causeway_pool::PeerInfo>,
    /// The UDP side, if we look for peers.
    pub udp: Option<UdpStats>,
    /// Topics, if we look for peers by them.
    pub topics: Option<TopicStats>,
}

enum Message {
    Report(Box<Report>),
    View(oneshot::Sender<View>),
}

/// A handle. Cheap to clone; discovery runs until it is stopped.
#[derive(Clone, Debug)]
pub struct Discovery {
    messages: mpsc::Sender<Message>,
    events: broadcast::Sender<Arc<PoolEvent>>,
    record: watch::Receiver<Record>,
    udp: Option<Udp>,
    topics: Option<Topics>,
}

impl Discovery {
    /// Starts every source. The orders must be taken out.
    ///
    /// # Errors
    /// If discv5 or discv4 cannot start.
    pub async fn start(
        config: DiscoveryConfig,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<(Self, mpsc::Receiver<Order>), DiscoveryError> {
        let DiscoveryConfig { pool: pool_config, forks, named, own, nat, peers_file, looking } = config;
        let dials_at_once = pool_config.dials_at_once;
        let (messages, inbox) = mpsc::channel(REPORTS);
        // Room for every dial that may be under way, for as many farewells, and for one search.
        let (orders, taken) = mpsc::channel(2 * dials_at_once + 1);
        let events = broadcast::Sender::new(EVENTS);
        let record = own.watch();
        let now = Instant::now().into_std();
        let mut pool = Pool::new(pool_config, forks, rand::random(), now);
        for (peer, source) in named {
            if let Err(refused) = pool.add_named(peer, source, now) {
                warn!(%refused, "a peer that was named is not dialed");
            }
        }
        let remembered = match &peers_file {
            Some(file) => recall(&mut pool, file, now),
            None => Vec::new(),
        };
        let mut sources = Sources::default();
        if let Some(looking) = looking {
            sources = Sources::start(looking, &remembered, record.clone(), tasks, &stop).await?;
        }
        let (udp, topics) = (sources.udp.clone(), sources.topics.clone());
        let handle = Self { messages, events: events.clone(), record, udp, topics };
        let task =
            Task { pool, own, nat, peers_file, sources, inbox, orders, events, dirty: false, unsaved: false };
        tasks.spawn(task.run(stop).instrument(info_span!("discovery")));
        Ok((handle, taken))
    }

    /// Tells what became of a peer. Waits while many reports do.
    pub async fn report(&self, report: Report) {
        // An error says that discovery has ended, and then nobody wants to know.
        let _ = self.messages.send(Message::Report(Box::new(report))).await;
    }

    /// What there is to see; `None` once discovery has ended.
    pub async fn view(&self) -> Option<View> {
        let (reply, view) = oneshot::channel();
        self.messages.send(Message::View(reply)).await.ok()?;
        view.await.ok()
    }

    /// Who comes and goes, from now on.
    pub fn events(&self) -> broadcast::Receiver<Arc<PoolEvent>> {
        self.events.subscribe()
    }

    /// Our record, now and as it changes.
    pub fn record(&self) -> watch::Receiver<Record> {
        self.record.clone()
    }

    /// The UDP side, if we look for peers.
    pub fn udp(&self) -> Option<&Udp> {
        self.udp.as_ref()
    }

    /// Topics, if we look for peers by them.
    pub fn topics(&self) -> Option<&Topics> {
        self.topics.as_ref()
    }
}

/// Where peers come from.
#[derive(Default)]
struct Sources {
    udp: Option<Udp>,
    found: Option<mpsc::Receiver<Found>>,
    listed: Option<mpsc::Receiver<Record>>,
    external: Option<watch::Receiver<External>>,
    topics: Option<Topics>,
    advertised: Option<mpsc::Receiver<Record>>,
}

impl Sources {
    async fn start(
        looking: Looking,
        remembered: &[Record],
        record: watch::Receiver<Record>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, DiscoveryError> {
        let Looking { secret_key, sockets, tcp, bootnodes, lists, name_server, reach, votes, talk, topics } =
            looking;
        let own = record.clone();
        let config = UdpConfig {
            secret_key,
            sockets,
            tcp,
            record,
            bootnodes,
            reach,
            discv4: true,
            discv5: true,
            votes,
            protocol_id: PROTOCOL_ID,
            limits: UdpLimits::default(),
        };
        let (udp, found) = Udp::start(config, talk.clone(), tasks, stop.clone()).await?;
        let topics = topics.map(|namespace| {
            let config = TopicsConfig { namespace, record: own, reach };
            Topics::start(config, udp.clone(), &talk, tasks, stop.clone())
        });
        let (topics, advertised) = topics.unzip();
        // What worked in the last run is asked first, should the bootnodes be gone.
        for record in remembered {
            udp.add(record);
            topics.iter().for_each(|topics| topics.offer(record));
        }
        let listed = if lists.is_empty() { None } else { read_lists(lists, name_server, tasks, stop) };
        let external = Some(udp.external());
        Ok(Self { udp: Some(udp), found: Some(found), listed, external, topics, advertised })
    }
}

fn read_lists(
    lists: Vec<Link>,
    name_server: Option<SocketAddr>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Option<mpsc::Receiver<Record>> {
    let client = match name_server {
        Some(addr) => DnsClient::server(addr),
        None => DnsClient::system(),
    };
    match client {
        Ok(client) => {
            let (lists, records, _) = DnsLists::new(client, lists, Limits::default(), Pace::default());
            tasks.spawn(lists.run(stop.clone()));
            Some(records)
        }
        Err(error) => {
            warn!(%error, "no node lists from the DNS: name a server with --dns.server");
            None
        }
    }
}

struct Task {
    pool: Pool,
    own: OwnRecord,
    nat: Nat,
    peers_file: Option<PathBuf>,
    sources: Sources,
    inbox: mpsc::Receiver<Message>,
    orders: mpsc::Sender<Order>,
    events: broadcast::Sender<Arc<PoolEvent>>,
    /// Something is to be written to disk.
    dirty: bool,
    /// It could not be written last time.
    unsaved: bool,
}

impl Task {
    async fn run(mut self, stop: CancellationToken) {
        let mut save = tokio::time::interval(SAVE);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.carry_out();
            let due = self.pool.poll_timeout().map(Instant::from_std);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(message) = self.inbox.recv() => match message {
                    Message::Report(report) => self.handle(*report),
                    Message::View(reply) => {
                        let _ = reply.send(self.view());
                    }
                },
                () = until(due) => {}
                Some(external) = confirmed(&mut self.sources.external) => self.learn_address(external),
                Some(found) = next(&mut self.sources.found) => self.take(found),
                Some(record) = next(&mut self.sources.listed) => self.take_listed(record),
                Some(record) = next(&mut self.sources.advertised) => self.take_record(record, Source::Discv5),
                _ = save.tick() => self.save(),
            }
        }
        self.dirty = true;
        self.save();
    }

    /// Carries out what the pool decided.
    fn carry_out(&mut self) {
        let now = Instant::now().into_std();
        // An order that finds no room comes again: a dial is asked for only while there is room for it.
        while self.orders.capacity() > 1
            && let Some(dial) = self.pool.poll_dial(now)
        {
            debug!(peer = %short(&dial.key), role = %dial.role, source = %dial.source, "dial");
            let _ = self.orders.try_send(Order::Dial(dial));
        }
        while self.orders.capacity() > 1
            && let Some(key) = self.pool.poll_evict(now)
        {
            let _ = self.orders.try_send(Order::Leave(key));
        }
        if let Some(search) = self.pool.poll_search(now) {
            debug!(fast = search.fast, missing = ?search.missing, "search");
            if let Some(udp) = &self.sources.udp {
                udp.search();
            }
            if let Some(topics) = self.sources.topics.as_ref().filter(|_| !search.missing.is_empty()) {
                topics.search();
            }
            let _ = self.orders.try_send(Order::Search);
        }
        while let Some(event) = self.pool.poll_event() {
            self.dirty |= !matches!(event, PoolEvent::Summary(_));
            // An error says that nobody listens.
            let _ = self.events.send(Arc::new(event));
        }
    }

    fn handle(&mut self, report: Report) {
        let now = Instant::now().into_std();
        match report {
            Report::Connected(key, connected) => self.pool.handle_connected(key, connected, now),
            Report::Offer(key) => self.pool.handle_offer(key, now),
            Report::Role(key, role) => self.pool.handle_role(key, role),
            Report::Disconnected(key, stack, inbound, why) => {
                self.pool.handle_disconnected(key, stack, inbound, why, now);
            }
            Report::Failed(key, why) => self.pool.handle_failure(key, why, now),
            Report::Value(key, value) => self.pool.handle_value(key, value, now),
            Report::Lied(key) => self.pool.handle_lie(key, now),
            Report::Addresses(key, role, addresses) => {
                let taken = self.pool.handle_addresses(key, role, addresses, Source::Rendezvous, now);
                if let Err(refused) = taken {
                    debug!(peer = %short(&key), %refused, "not taken into the pool");
                }
            }
            Report::Chain(forks, eth) => {
                self.pool.set_forks(forks);
                self.change_record(|contents| contents.eth = Some(eth));
            }
        }
    }

    fn take(&mut self, found: Found) {
        match (found.record, found.enode) {
            (Some(record), _) => {
                self.offer(&record);
                self.take_record(record, found.source);
            }
            (None, Some(enode)) => {
                let taken = self.pool.handle_enode(enode, found.source, Instant::now().into_std());
                if let Err(refused) = taken {
                    debug!(source = %found.source, %refused, "not taken into the pool");
                }
            }
            (None, None) => {}
        }
    }

    fn take_record(&mut self, record: Record, source: Source) {
        if let Err(refused) = self.pool.handle_record(record, source, Instant::now().into_std()) {
            debug!(%source, %refused, "not taken into the pool");
        }
    }

    /// Relays may be registrars of topics.
    fn offer(&self, record: &Record) {
        if let Some(topics) = &self.sources.topics {
            topics.offer(record);
        }
    }

    fn take_listed(&mut self, record: Record) {
        if let Some(udp) = &self.sources.udp {
            udp.add(&record);
        }
        self.offer(&record);
        self.take_record(record, Source::Dns);
    }

    /// Peers agree on our address, or do not any more.
    fn learn_address(&mut self, external: External) {
        if self.nat != Nat::Any {
            return;
        }
        info!(v4 = ?external.v4, v6 = ?external.v6, "peers see us there");
        self.change_record(|contents| {
            if let Some(addr) = external.v4 {
                contents.ip = Some(*addr.ip());
                contents.udp = Some(addr.port());
            }
            if let Some(addr) = external.v6 {
                contents.ip6 = Some(*addr.ip());
                contents.udp6 = Some(addr.port());
            }
        });
    }

    fn change_record(&mut self, change: impl FnOnce(&mut causeway_records::Contents)) {
        if let Err(error) = self.own.update(change) {
            warn!(%error, "our node record cannot be signed anew; the old one stays");
        }
    }

    fn view(&self) -> View {
        let now = Instant::now().into_std();
        View {
            summary: self.pool.summary(),
            peers: self.pool.peers(now),
            udp: self.sources.udp.as_ref().map(Udp::stats),
            topics: self.sources.topics.as_ref().map(|topics| topics.stats().borrow().clone()),
        }
    }

    fn save(&mut self) {
        let Some(file) = self.peers_file.as_ref().filter(|_| self.dirty) else { return };
        self.dirty = false;
        let memory = self.pool.memory(Instant::now().into_std(), unix());
        let written =
            memory.to_json().map_err(io::Error::other).and_then(|text| replace(file, text.as_bytes()));
        match written {
            Ok(()) => self.unsaved = false,
            // Once is enough: it is tried again every minute.
            Err(error) if !std::mem::replace(&mut self.unsaved, true) => {
                warn!(file = %file.display(), %error, "what was learned of peers cannot be kept");
            }
            Err(error) => debug!(%error, "what was learned of peers still cannot be kept"),
        }
    }
}

/// Takes in what an earlier run learned of peers; their records.
fn recall(pool: &mut Pool, file: &PathBuf, now: std::time::Instant) -> Vec<Record> {
    let text = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Ok(metadata) if metadata.len() > MAX_FILE => {
            Err(io::Error::other(format!("{} bytes are over the limit of {MAX_FILE}", metadata.len())))
        }
        Ok(_) => fs::read_to_string(file),
        Err(error) => Err(error),
    };
    let memory = text
        .map_err(|error| error.to_string())
        .and_then(|text| Memory::from_json(&text).map_err(|error| in_full(&error)));
    match memory {
        Ok(memory) => {
            let records = memory.records().cloned().collect();
            let peers = pool.remember(memory, now, unix());
            info!(peers, "peers of earlier runs remembered");
            records
        }
        Err(error) => {
            warn!(file = %file.display(), %error, "remembered peers cannot be read; beginning without them");
            Vec::new()
        }
    }
}

/// An error with what caused it.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The last four bytes, as logs show peers.
fn short(key: &NodeKey) -> causeway_wire::PeerId {
    causeway_wire::PeerId::devp2p(*key)
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The next of a source, if there is one; never, if it is closed.
async fn next<T>(source: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match source {
        Some(receiver) => match receiver.recv().await {
            Some(item) => Some(item),
            None => {
                *source = None;
                std::future::pending().await
            }
        },
        None => std::future::pending().await,
    }
}

async fn confirmed(external: &mut Option<watch::Receiver<External>>) -> Option<External> {
    match external {
        Some(watch) => match watch.changed().await {
            Ok(()) => Some(*watch.borrow_and_update()),
            Err(_) => {
                *external = None;
                std::future::pending().await
            }
        },
        None => std::future::pending().await,
    }
}
