//! Both discovery protocols, discv5 and discv4, on one UDP port.
//!
//! discv5 is the crate of that name; what it leaves open is done here: nodes that come to us are pinged soon, so
//! that others are told of them only alive, nobody but us signs our record, TALKREQs are limited.
//! What it does and we cannot change: while a handshake is pending it repeats its WHOAREYOU where the specification
//! asks for a new one ("implementations should respond with a new WHOAREYOU challenge referencing the message
//! packet"), as geth does from 1.17.1 on; a FINDNODE by hand gives the first packet of the answer only; a node
//! with `ip6` and `udp` but without `udp6` is not reached over IPv6.

mod bootnode;
mod driver;
mod error;
mod rate;
mod seen;
mod sessions;
mod settings;
mod sockets;
mod talk;
mod v4;
mod visits;
mod votes;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use alloy_primitives::B256;
use causeway_pool::Source;
use causeway_records::{Enode, Reach, Record};
use discv5::{Discv5, Enr, NodeContact};
use secp256k1::SecretKey;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use bootnode::{Bootnode, BootnodeError};
pub use error::{RequestError, TalkError, UdpError};
pub use rate::Rate;
pub use sockets::Sockets;
pub use talk::{MAX_TALK, MAX_TALK_PROTOCOL, TalkHandler, TalkLimits, TalkPeer, TalkRegistry};
pub use votes::External;

use self::{
    driver::Driver,
    settings::{to_enr, to_record},
    talk::MAX_OPENING_TALK,
};

/// Found nodes waiting to be taken; further ones are counted and dropped, as they will be found again.
const FOUND_QUEUE: usize = 256;

/// Records and wishes waiting for the driver; a list from the DNS may come at once.
const COMMAND_QUEUE: usize = 1024;

/// What [`Udp::start`] needs.
pub struct UdpConfig {
    /// Our key, the one that signs `record`.
    pub secret_key: SecretKey,
    /// Where both protocols listen.
    pub sockets: Sockets,
    /// Our port of RLPx, which discv4 tells.
    pub tcp: u16,
    /// Our record; both protocols follow its changes.
    pub record: watch::Receiver<Record>,
    /// Where to begin. Their addresses may be private ones: the user named them.
    pub bootnodes: Vec<Bootnode>,
    /// Which addresses strangers may send us to.
    pub reach: Reach,
    /// Whether discv4 is spoken.
    pub discv4: bool,
    /// Whether discv5 is spoken.
    pub discv5: bool,
    /// How many others must see us at an address before it counts as ours ([`DEFAULT_VOTES`]).
    pub votes: usize,
    /// `discv5`, or the name of a network apart: Waku's is `d5waku`.
    pub protocol_id: [u8; 6],
    /// How much is taken in.
    pub limits: UdpLimits,
}

/// A good number for [`UdpConfig::votes`].
pub const DEFAULT_VOTES: usize = 10;

/// The usual [`UdpConfig::protocol_id`].
pub const PROTOCOL_ID: [u8; 6] = *b"discv5";

/// How much is taken in from the socket, both protocols together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpLimits {
    /// Unasked packets a second in all; what is beyond is dropped.
    pub packets_per_second: u64,
    /// Unasked packets a second from one address. Whoever sends more is not heard for up to five minutes. Does not
    /// hold where strangers' local addresses are allowed: all nodes may be at one then.
    pub packets_per_ip: u64,
    /// Sessions of discv5 kept (about 1 KiB each).
    pub sessions: usize,
}

impl Default for UdpLimits {
    fn default() -> Self {
        Self { packets_per_second: 500, packets_per_ip: 30, sessions: 1000 }
    }
}

/// A node that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// By which protocol: [`Source::Discv5`] or [`Source::Discv4`].
    pub source: Source,
    /// Its record, if it has told it.
    pub record: Option<Record>,
    /// Its address as discv4 knows it.
    pub enode: Option<Enode>,
}

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The sequence number of the other's record.
    pub seq: u64,
    /// Where the other sees us.
    pub addr: SocketAddr,
}

/// What discovery did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UdpStats {
    /// Nodes in discv5's table.
    pub discv5_nodes: usize,
    /// Of those, nodes that answer.
    pub discv5_connected: usize,
    /// Sessions of discv5, of the whole process (the crate counts them so).
    pub discv5_sessions: usize,
    /// Nodes in discv4's table.
    pub discv4_nodes: usize,
    /// Nodes that were asked whether they live, over discv5: bootnodes and those met before, again and again.
    pub asked: u64,
    /// Nodes reported.
    pub found: u64,
    /// Nodes not reported, as nobody took the earlier ones.
    pub found_lost: u64,
    /// Packets that were not discv5's.
    pub foreign: u64,
    /// Packets of those that were dropped, by reason. What discv5's own filter drops is not counted anywhere.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Packets that the system would not send.
    pub unsent: u64,
    /// TALKREQs answered.
    pub talk_served: u64,
    /// TALKREQs that got the empty answer.
    pub talk_refused: u64,
}

/// Discovery on a UDP port. Cheap to clone; ends when told to by its token.
#[derive(Clone)]
pub struct Udp {
    shared: Arc<Shared>,
}

/// What the handle and the driver both see.
struct Shared {
    /// Taken out at the end, which ends the crate's tasks.
    discv5: RwLock<Option<Discv5>>,
    talk: TalkRegistry,
    commands: mpsc::Sender<Command>,
    external: watch::Receiver<External>,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    asked: AtomicU64,
    found: AtomicU64,
    found_lost: AtomicU64,
    foreign: AtomicU64,
    unsent: AtomicU64,
    discv4_nodes: AtomicUsize,
    dropped: Mutex<BTreeMap<&'static str, u64>>,
}

enum Command {
    Search,
    LookFor(B256),
    Add(Box<Record>),
}

impl Udp {
    /// Starts both protocols, on tasks of `tasks` that end soon after `stop`. Found nodes come out of the receiver.
    ///
    /// Bans of discv5's packet filter are kept by its crate for the whole process; starting a second instance in
    /// one process clears them.
    ///
    /// # Errors
    /// [`UdpError`]
    pub async fn start(
        config: UdpConfig,
        talk: TalkRegistry,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<(Self, mpsc::Receiver<Found>), UdpError> {
        let (commands, wishes) = mpsc::channel(COMMAND_QUEUE);
        let (external_sender, external) = watch::channel(External::default());
        let (found, found_receiver) = mpsc::channel(FOUND_QUEUE);
        let shared = Arc::new(Shared {
            discv5: RwLock::new(None),
            talk,
            commands,
            external,
            counters: Counters::default(),
        });
        let (own, tasks_too) = (Arc::clone(&shared), tasks.clone());
        let driver = Driver::start(config, own, wishes, external_sender, found, tasks_too, &stop).await?;
        tasks.spawn(driver.run(stop));
        Ok((Self { shared }, found_receiver))
    }

    /// Begins a random lookup on each protocol that has none under way. What it finds is reported as it comes.
    pub fn search(&self) {
        let _ = self.shared.commands.try_send(Command::Search); // if full, the driver has enough to do
    }

    /// Begins a lookup of one node on discv5, by its id. It is reported like all that are found, as soon as anybody
    /// tells its record; if nobody did, the lookup is to be begun again, as the tables fill.
    pub fn look_for(&self, node: B256) {
        let _ = self.shared.commands.try_send(Command::LookFor(node)); // if full, the driver has enough to do
    }

    /// Tells of a node, from a list in the DNS or an earlier run. It enters the tables if it answers.
    pub fn add(&self, record: &Record) {
        let _ = self.shared.commands.try_send(Command::Add(Box::new(record.clone())));
    }

    /// Asks whether a node lives.
    ///
    /// # Errors
    /// [`RequestError`]
    pub async fn ping(&self, to: &Record) -> Result<Pong, RequestError> {
        let contact = self.contact(to)?;
        let enr = contact.enr().ok_or(RequestError::NoAddress)?;
        let answer = self.shared.with(|discv5| discv5.send_ping(enr)).ok_or(RequestError::Stopped)?.await?;
        Ok(Pong { seq: answer.enr_seq, addr: SocketAddr::new(answer.ip, answer.port) })
    }

    /// Asks a node for nodes of its table at `distances` from it (1 to 256), or for its own record (0).
    ///
    /// Only the first packet of the answer is read, about five records, as the crate gives no more of it; a lookup
    /// ([`Udp::search`]) reads all. Records at other distances are left out.
    ///
    /// # Errors
    /// [`RequestError`]
    pub async fn find_node(&self, to: &Record, mut distances: Vec<u64>) -> Result<Vec<Record>, RequestError> {
        let enr = self.contact(to)?.enr().ok_or(RequestError::NoAddress)?;
        distances.retain(|distance| *distance <= 256);
        let asked = distances.clone();
        let answer = self.shared.with(|discv5| discv5.find_node_designated_peer(enr, asked));
        let nodes = answer.ok_or(RequestError::Stopped)?.await?;
        let own = to.node_id();
        let fits = |record: &Record| distances.contains(&log_distance(own, record.node_id()));
        Ok(nodes.iter().filter_map(to_record).filter(fits).collect())
    }

    /// Asks `request` of `protocol`; an empty answer says that the other does not speak it, or not now.
    ///
    /// # Errors
    /// [`TalkError`]
    pub async fn talk(&self, to: &Record, protocol: &[u8], request: Vec<u8>) -> Result<Vec<u8>, TalkError> {
        if request.len() > MAX_TALK {
            return Err(TalkError::TooLarge { length: request.len() });
        }
        if protocol.len() > MAX_TALK_PROTOCOL {
            return Err(TalkError::ProtocolTooLong { length: protocol.len() });
        }
        if request.len() > MAX_OPENING_TALK {
            self.ping(to).await?; // there is a session then
        }
        let contact = self.contact(to)?;
        let answer = self.shared.with(|discv5| discv5.talk_req(contact, protocol.to_vec(), request));
        Ok(answer.ok_or(RequestError::Stopped)?.await.map_err(RequestError::from)?)
    }

    /// Our addresses as others see them; an address changes only when others agree on a new one.
    pub fn external(&self) -> watch::Receiver<External> {
        self.shared.external.clone()
    }

    /// What it did so far.
    pub fn stats(&self) -> UdpStats {
        let counters = &self.shared.counters;
        let (nodes, connected) = self
            .shared
            .with(|discv5| {
                discv5.with_kbuckets(|table| {
                    let table = table.read();
                    let connected = table.iter_ref().filter(|entry| entry.status.is_connected()).count();
                    (table.iter_ref().count(), connected)
                })
            })
            .unwrap_or_default();
        let (talk_served, talk_refused) = self.shared.talk.counts();
        UdpStats {
            discv5_nodes: nodes,
            discv5_connected: connected,
            discv5_sessions: Discv5::metrics().active_sessions,
            discv4_nodes: counters.discv4_nodes.load(Ordering::Relaxed),
            asked: counters.asked.load(Ordering::Relaxed),
            found: counters.found.load(Ordering::Relaxed),
            found_lost: counters.found_lost.load(Ordering::Relaxed),
            foreign: counters.foreign.load(Ordering::Relaxed),
            dropped: counters.dropped.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            unsent: counters.unsent.load(Ordering::Relaxed),
            talk_served,
            talk_refused,
        }
    }

    fn contact(&self, to: &Record) -> Result<NodeContact, RequestError> {
        let enr: Enr = to_enr(to).ok_or(RequestError::NoAddress)?;
        let (own, mode) = self
            .shared
            .with(|discv5| (discv5.local_enr().node_id(), discv5.ip_mode()))
            .ok_or(RequestError::Stopped)?;
        if enr.node_id() == own {
            return Err(RequestError::Ourselves);
        }
        NodeContact::try_from_enr(enr, mode).map_err(|_| RequestError::NoAddress)
    }
}

impl Shared {
    /// What `use_it` makes of discv5, unless it is off or over. The lock is held for no longer than that.
    fn with<T>(&self, use_it: impl FnOnce(&Discv5) -> T) -> Option<T> {
        self.discv5.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(use_it)
    }

    fn set(&self, discv5: Option<Discv5>) {
        *self.discv5.write().unwrap_or_else(PoisonError::into_inner) = discv5;
    }
}

impl Counters {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn dropped(&self, reason: &'static str) {
        *self.dropped.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }
}

/// The distance of Kademlia: the bits of the xor, 0 for the same node.
fn log_distance(one: B256, other: B256) -> u64 {
    let xor = one ^ other;
    match xor.iter().position(|byte| *byte != 0) {
        Some(at) => 256 - 8 * at as u64 - u64::from(xor[at].leading_zeros()),
        None => 0,
    }
}

impl fmt::Debug for UdpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpConfig")
            .field("sockets", &self.sockets)
            .field("reach", &self.reach)
            .field("limits", &self.limits)
            .finish_non_exhaustive() // not the key
    }
}

impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Udp").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
