//! Carries out what discovery orders: dials peers on either stack, greets them, and tells what became of them.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use alloy_primitives::B256;
use causeway_bridge::{AdmitError, Follower, FullNodes, GreetError, Upstream};
use causeway_discovery::{Discovery, Order, Report};
use causeway_pool::{Connected, Dial, Failure, Role, Source, Value};
use causeway_records::{Enode, Multiaddr, Part, Way};
use causeway_transports::{Address, CloseReason, DialError, Incoming, Transports};
use causeway_verify::Root;
use causeway_wire::{Answer, HashOrNumber, NodeKey, Query, Stack};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, MissedTickBehavior, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info, warn};

/// Pause between rounds of asking for the checkpoint's header.
const ROOT_RETRY: Duration = Duration::from_secs(2);

/// Head start of an address before the next one of the same peer is tried beside it.
const HEAD_START: Duration = Duration::from_millis(500);

/// Pause before a peer that dialed us at the same moment is dialed once more: longer than it takes to see that it
/// is a full node.
const COLLISION: Duration = Duration::from_millis(1_300);

/// How often discovery is told how a full node answers.
const APPRAISAL: Duration = Duration::from_secs(30);

/// Session end "too many peers" (rlpx.md section 9).
const TOO_MANY_PEERS: u8 = 0x04;

/// Session end "already connected".
const ALREADY_CONNECTED: u8 = 0x05;

/// Session end "useless peer".
const USELESS: u8 = 0x03;

/// Dials and greets. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    pub(crate) transports: Transports,
    pub(crate) nodes: Arc<FullNodes>,
    pub(crate) discovery: Discovery,
    /// The chain's follower, once its root is known.
    pub(crate) follower: watch::Receiver<Option<Arc<Follower>>>,
    pub(crate) tasks: TaskTracker,
    /// Told when further peers are wanted.
    pub(crate) search: Arc<Notify>,
}

impl Dialer {
    /// Carries out orders until `stop`, then says goodbye to every full node.
    pub(crate) async fn run(self, mut orders: mpsc::Receiver<Order>, stop: CancellationToken) {
        loop {
            let order = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                order = orders.recv() => order,
            };
            match order {
                Some(Order::Dial(dial)) => {
                    let dialer = self.clone();
                    self.tasks.spawn(dialer.supervise(dial));
                }
                // Only those that serve us: who asks of us is the service's.
                Some(Order::Leave(key)) => {
                    let held =
                        |upstream: &Upstream| causeway_transports::node_key(&upstream.peer()) == Some(key);
                    for upstream in self.nodes.all().into_iter().filter(held) {
                        upstream.leave();
                    }
                }
                Some(Order::Search) => self.search.notify_waiters(),
                None => break,
            }
        }
        for upstream in self.nodes.all() {
            upstream.leave();
        }
    }

    /// Carries out a dial; whatever happens to it, discovery hears of its end, lest it wait for ever.
    async fn supervise(self, dial: Dial) {
        let key = dial.key;
        if AssertUnwindSafe(self.carry_out(dial)).catch_unwind().await.is_err() {
            error!("a dial panicked");
            self.discovery.report(Report::Failed(key, Failure::Unreachable)).await;
        }
    }

    async fn carry_out(&self, dial: Dial) {
        let Dial { key, ways, role, source } = dial;
        let named = matches!(source, Source::Static | Source::Trusted);
        let mut failure = Failure::Unreachable;
        let mut collided = false;
        for way in &ways {
            let mut attempt = self.attempt(way, named).await;
            if !collided && matches!(attempt, Err(Failure::AlreadyConnected)) {
                // It dialed us at the same moment, and each ended the other's connection or is about to. A full
                // node's session to us does not last.
                collided = true;
                sleep(COLLISION).await;
                attempt = self.attempt(way, named).await;
            }
            match attempt {
                Ok(upstream) => return self.keep(key, role, upstream).await,
                Err(why) => failure = why,
            }
            if failure == Failure::AlreadyConnected {
                break; // by another way than this one
            }
        }
        self.discovery.report(Report::Failed(key, failure)).await;
    }

    /// Dials and greets a peer by one way.
    async fn attempt(&self, way: &Way, named: bool) -> Result<Upstream, Failure> {
        let incoming = connect(&self.transports, way, named).await.map_err(|error| match error {
            Some(error) => {
                if named {
                    info!(%error, "full node not reached");
                } else {
                    debug!(%error, "peer not reached");
                }
                failure_of(&error)
            }
            None => Failure::Unreachable,
        })?;
        self.nodes.admit(incoming).await.map_err(|error| {
            if named {
                warn!(%error, "full node refused");
            } else {
                debug!(%error, "peer refused");
            }
            refusal(&error)
        })
    }

    /// Follows a full node until its session ends.
    async fn keep(&self, key: NodeKey, role: Role, upstream: Upstream) {
        let stack = upstream.peer().stack();
        let role = match stack {
            Stack::Libp2p => Role::Relay,
            Stack::Devp2p if role == Role::Relay => Role::Relay,
            Stack::Devp2p => Role::LesFullNode,
        };
        if role == Role::Relay {
            upstream.mark_relay();
        }
        let connected = Connected { stack, inbound: false, role, client: upstream.client() };
        self.discovery.report(Report::Connected(key, connected)).await;
        let mut follower = self.follower.clone();
        let mut appraisal = tokio::time::interval_at(Instant::now() + APPRAISAL, APPRAISAL);
        appraisal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let follow = async {
            let known = tokio::select! {
                known = follower.wait_for(Option::is_some) => known.ok().and_then(|known| known.clone()),
                () = upstream.closed() => None,
            };
            match known {
                Some(follower) => follower.follow(upstream.clone()).await,
                None => self.nodes.dismiss(&upstream),
            }
        };
        tokio::pin!(follow);
        let mut told = (0, 0);
        loop {
            tokio::select! {
                () = &mut follow => break,
                _ = appraisal.tick() => {
                    let (_, _, micros) = upstream.burden();
                    let (answers, failures) = upstream.answers();
                    let before = std::mem::replace(&mut told, (answers, failures));
                    let value = Value {
                        answers: answers.saturating_sub(before.0),
                        failures: failures.saturating_sub(before.1),
                        latency: Duration::from_micros(micros),
                    };
                    self.discovery.report(Report::Value(key, value)).await;
                }
            }
        }
        if self.nodes.banished(&upstream.peer()).is_some() {
            self.discovery.report(Report::Lied(key)).await;
        }
        let why = upstream.end().map_or(Failure::Left, ended);
        self.discovery.report(Report::Disconnected(key, stack, false, why)).await;
    }
}

/// What the end of a session means to who would dial again.
fn ended(reason: &CloseReason) -> Failure {
    match reason {
        CloseReason::Remote(Some(TOO_MANY_PEERS)) => Failure::TooManyPeers,
        // Two relays that dialed each other at the same time keep one of the two connections.
        CloseReason::Remote(Some(ALREADY_CONNECTED)) | CloseReason::Replaced => Failure::AlreadyConnected,
        CloseReason::Remote(Some(USELESS)) => Failure::Refused,
        CloseReason::Local | CloseReason::Remote(_) | CloseReason::Fault(_) | CloseReason::Lost(_) => {
            Failure::Left
        }
    }
}

fn refusal(error: &AdmitError) -> Failure {
    match error {
        AdmitError::Liar(_) => Failure::Lied,
        AdmitError::Greet(GreetError::Closed(Some(reason))) => match ended(reason) {
            Failure::Left => Failure::Refused,
            failure => failure,
        },
        AdmitError::Greet(_) => Failure::Refused,
    }
}

fn failure_of(error: &DialError) -> Failure {
    match error {
        DialError::Myself => Failure::Myself,
        DialError::AlreadyConnected => Failure::AlreadyConnected,
        DialError::TooManyPeers => Failure::TooManyPeers,
        DialError::Useless { .. } | DialError::NotAllowed { .. } => Failure::Refused,
        // It is we who do not want it, and the lists may change at any time.
        DialError::Denied(_) => Failure::Stopped,
        DialError::Unreachable { .. }
        | DialError::Timeout { .. }
        | DialError::WrongKey { .. }
        | DialError::Disconnected { .. }
        | DialError::Fault(_)
        | DialError::Lost { .. }
        | DialError::Libp2p(_)
        | DialError::Closing => Failure::Unreachable,
    }
}

/// A session by one way to a peer: its addresses in turn, each with a head start before the next. `named`: the
/// user gave the address, so it may be anywhere.
///
/// # Errors
/// That of the address that failed last; `None` if there was no address.
pub(crate) async fn connect(
    transports: &Transports,
    way: &Way,
    named: bool,
) -> Result<Incoming, Option<DialError>> {
    let addresses: Vec<Address> = match way {
        Way::Devp2p(enodes) => enodes.iter().filter_map(devp2p).collect(),
        Way::Libp2p(multiaddrs) => {
            let mut multiaddrs = multiaddrs.clone();
            multiaddrs.sort_by_key(preference);
            multiaddrs.iter().map(|addr| Address::Multiaddr(addr.to_string())).collect()
        }
    };
    let mut last = None;
    let mut waiting = addresses.into_iter();
    let mut dials = FuturesUnordered::new();
    loop {
        if let Some(address) = waiting.next() {
            dials.push(async move {
                if named { transports.dial_named(&address).await } else { transports.dial(&address).await }
            });
        } else if dials.is_empty() {
            return Err(last);
        }
        tokio::select! {
            Some(outcome) = dials.next(), if !dials.is_empty() => match outcome {
                Ok(incoming) => return Ok(incoming),
                Err(error) => last = Some(error),
            },
            () = sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

fn devp2p(enode: &Enode) -> Option<Address> {
    Some(Address::Devp2p { key: enode.key, addr: enode.tcp_addr()? })
}

/// QUIC before TCP before WebSocket: one round trip less each. Relays last.
fn preference(addr: &Multiaddr) -> u8 {
    if addr.relay().is_some() {
        return 3;
    }
    let has = |wanted: &[Part]| addr.parts().iter().any(|part| wanted.contains(part));
    match (has(&[Part::QuicV1]), has(&[Part::Ws, Part::Wss])) {
        (true, _) => 0,
        (false, false) => 1,
        (false, true) => 2,
    }
}

/// Whether a user's addresses are on our own machine or network.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !causeway_records::is_allowed(ip, causeway_records::Reach::Public)
}

/// Asks the full nodes that are connected for the header of a trusted block until one shows it.
pub(crate) async fn fetch_root(nodes: &FullNodes, number: u64, hash: B256) -> Root {
    let mut changes = nodes.changes();
    loop {
        changes.borrow_and_update();
        for upstream in nodes.all() {
            match root_from(&upstream, number, hash).await {
                Some(root) => return root,
                None => debug!("the full node does not show the checkpoint's header"),
            }
        }
        warn!(number, %hash, "no full node shows the checkpoint's header yet");
        tokio::select! {
            _ = changes.changed() => {}
            () = sleep(ROOT_RETRY) => {}
        }
    }
}

/// The root at a trusted block, if this full node shows its header.
pub(crate) async fn root_from(upstream: &Upstream, number: u64, hash: B256) -> Option<Root> {
    let query = Query::Headers { start: HashOrNumber::Hash(hash), amount: 1, skip: 0, reverse: false };
    let Ok(Answer::Headers(headers)) = upstream.ask(query).await else { return None };
    let rlp = headers.into_iter().next()?;
    let header: alloy_consensus::Header = alloy_rlp::decode_exact(&rlp).ok()?;
    (alloy_primitives::keccak256(&rlp) == hash && header.number == number).then_some(Root::Checkpoint {
        hash,
        rlp,
        td: None,
    })
}
