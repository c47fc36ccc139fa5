//! Discovery as a whole: every source pours into the pool, the pool says whom to dial, the dialer tells what came
//! of it.
//!
//! One task owns the pool and our record. Who dials takes [`Order`]s and sends [`Report`]s.

mod sources;
mod task;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use alloy_eip2124::ForkFilter;
use causeway_pool::{
    Connected, Dial, Failure, Named, Pool, PoolConfig, PoolEvent, Role, Source, Summary, Value,
};
use causeway_records::{Contents, Multiaddr, Reach, Record, dns_tree::Link};
use causeway_wire::{ForkId, NodeKey, Stack};
use secp256k1::SecretKey;
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, info_span, warn};

use self::{
    sources::Sources,
    task::{Task, recall},
};
use crate::{
    OwnRecord, TopicStats, Topics,
    udp::{Bootnode, Sockets, TalkRegistry, Udp, UdpError, UdpStats},
};

/// Reports that wait for the task; the next waits with who sends it.
const REPORTS: usize = 256;

/// Events kept for a listener that is slow; older ones it misses.
const EVENTS: usize = 256;

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
    /// Where we are reached, as our record is to say it: of these contents all but the chain and what is served.
    Endpoints(Contents),
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
        let DiscoveryConfig { pool: pool_config, forks, named, own, peers_file, looking } = config;
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
            Task { pool, own, peers_file, sources, inbox, orders, events, dirty: false, unsaved: false };
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
