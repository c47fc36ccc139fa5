//! Finds a server of which only the PeerId is known: by discv5, at rendezvous points, in lists of the DNS.

use std::{
    collections::BTreeSet,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use alloy_eip2124::ForkFilter;
use anyhow::{Context, bail};
use causeway_bridge::Route;
use causeway_discovery::{
    Bootnode, DnsClient, Found, OwnRecord, Pace, Reading, Sockets, TalkRegistry, Trees, Udp, UdpConfig,
    UdpLimits,
    udp::{DEFAULT_VOTES, PROTOCOL_ID},
};
use causeway_records::{
    Contents, Multiaddr, Part, Reach, Record,
    dns_tree::{Limits, Link, SyncEvent},
    is_allowed,
};
use causeway_transports::{Address, Transports};
use causeway_wire::{NodeKey, PeerId};
use futures::{StreamExt, future, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info};

use super::server::routes_of;
use crate::identity;

/// Pause between two lookups of the node: the tables fill meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Pause between two questions to the same rendezvous point.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Peers that a rendezvous point is asked for.
const REGISTERED: usize = 1_000;

/// Rendezvous points that are asked beside the bootnodes.
const MAX_POINTS: usize = 8;

/// Bytes of the shortest PeerId: a hash.
const SHORTEST_ID: usize = 32;

/// Answers waiting to be dialed.
const ANSWERS: usize = 16;

/// A server of which only the PeerId is known, and where to look for it.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Who it is.
    pub(super) peer: PeerId,
    /// The same as text.
    pub(super) text: String,
    /// Its key, if its PeerId holds one.
    pub(super) key: Option<NodeKey>,
    /// Where to begin.
    pub(super) bootnodes: Vec<Bootnode>,
    /// Signed lists in the DNS.
    pub(super) lists: Vec<Link>,
    /// The name server; the system's unless given.
    pub(super) name_server: Option<SocketAddr>,
    /// Which addresses strangers may send us to.
    pub(super) reach: Reach,
}

impl Wanted {
    /// What is written as `16Uiu2…` or `/p2p/16Uiu2…`; `None` if it is something else.
    pub(super) fn parse(text: &str) -> Option<(PeerId, String, Option<NodeKey>)> {
        let id = text.strip_prefix("/p2p/").unwrap_or(text);
        let address: Multiaddr = format!("/p2p/{id}").parse().ok()?;
        let [Part::P2p(bytes)] = address.parts() else { return None };
        // A multihash of a key: the key itself, or its SHA-256.
        let [0x00 | 0x12, length, digest @ ..] = bytes.as_slice() else { return None };
        if usize::from(*length) != digest.len() || digest.len() < SHORTEST_ID {
            return None;
        }
        let peer = PeerId::libp2p(bytes).ok()?;
        Some((peer, id.to_owned(), causeway_transports::node_key(&peer)))
    }

    /// Looks for it, until the receiver is dropped; each place where it is said to be comes out.
    pub(super) fn look(
        self: Arc<Self>,
        transports: &Transports,
        namespace: String,
        forks: ForkFilter,
    ) -> anyhow::Result<Looking> {
        let stop = CancellationToken::new();
        let (said, answers) = mpsc::channel(ANSWERS);
        let search = Search { wanted: self, transports: transports.clone(), namespace, forks, said };
        let sockets = Sockets::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))
            .context("a UDP port to look for the server")?;
        let tasks = TaskTracker::new();
        let (stopped, ended) = (stop.clone(), tasks.clone());
        tasks.spawn(async move {
            let (by_list, by_nodes) = (search.by_lists(), search.by_nodes(sockets, &ended, &stopped));
            let both = future::join(by_list, by_nodes);
            if let Some((Err(error), _) | (_, Err(error))) = stopped.run_until_cancelled(both).await {
                debug!(error = format!("{error:#}"), "not looked for everywhere");
            }
        });
        tasks.close();
        Ok(Looking { answers, _stop: stop.drop_guard() })
    }
}

/// A search under way; dropping it ends it.
pub(super) struct Looking {
    /// Ways to the server, as they are found; those found first may be out of date.
    pub(super) answers: mpsc::Receiver<Vec<Route>>,
    _stop: tokio_util::sync::DropGuard,
}

struct Search {
    wanted: Arc<Wanted>,
    transports: Transports,
    namespace: String,
    forks: ForkFilter,
    said: mpsc::Sender<Vec<Route>>,
}

impl Search {
    async fn by_lists(&self) -> anyhow::Result<()> {
        if self.wanted.lists.is_empty() {
            return Ok(());
        }
        let client = match self.wanted.name_server {
            Some(addr) => DnsClient::server(addr)?,
            None => DnsClient::system().context("name a server with --dns.server")?,
        };
        let lists = self.wanted.lists.clone();
        let mut reading = Reading::new(client, lists, Trees::new(), Limits::default(), Pace::default());
        while let Some(event) = reading.next().await {
            if let SyncEvent::Found { record, .. } = event {
                self.judge(&record, false).await;
            }
        }
        Ok(())
    }

    /// discv5 through the bootnodes, and rendezvous points among them and among those whom discv5 finds.
    async fn by_nodes(
        &self,
        sockets: Sockets,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let bootnodes = self.wanted.bootnodes.clone();
        if bootnodes.is_empty() {
            return Ok(());
        }
        let mut points: BTreeSet<String> = BTreeSet::new();
        let mut visits = FuturesUnordered::new();
        for record in bootnodes.iter().filter_map(record_of) {
            self.judge(record, true).await; // it may be the very one
            if let Some(point) = point(record, Reach::Local).filter(|point| points.insert(point.clone())) {
                visits.push(self.visit(point));
            }
        }
        let secret_key = identity::generate();
        let own = OwnRecord::new(secret_key, Contents::default(), None).context("signing a record")?;
        let config = UdpConfig {
            secret_key,
            sockets,
            tcp: 0,
            record: own.watch(),
            bootnodes,
            reach: self.wanted.reach,
            discv4: false,
            discv5: true,
            votes: DEFAULT_VOTES,
            protocol_id: PROTOCOL_ID,
            limits: UdpLimits::default(),
        };
        let (udp, mut found) =
            Udp::start(config, TalkRegistry::new(), tasks, stop.clone()).await.context("starting discv5")?;
        let most = points.len() + MAX_POINTS;
        let mut look = interval(LOOK_AGAIN);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => if let Some(key) = self.wanted.key { udp.look_for(key.node_id()) },
                Some(()) = visits.next(), if !visits.is_empty() => {}
                node = found.recv() => {
                    let Some(Found { record, .. }) = node else { bail!("discv5 has ended") };
                    let Some(record) = record else { continue };
                    self.judge(&record, false).await;
                    if points.len() < most
                        && let Some(point) = point(&record, self.wanted.reach)
                        && points.insert(point.clone())
                    {
                        visits.push(self.visit(point));
                    }
                }
            }
        }
    }

    /// Asks a rendezvous point, again and again.
    async fn visit(&self, point: String) {
        loop {
            match self.transports.discover(&point, &self.namespace, REGISTERED).await {
                Ok(registered) => {
                    for peer in registered.iter().filter(|peer| peer.peer == self.wanted.peer) {
                        self.say(self.allowed(&peer.addresses)).await;
                    }
                }
                Err(error) => debug!(point, %error, "no answer of a rendezvous point"),
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// Whether a record is that of the server; `named`: by the user.
    async fn judge(&self, record: &Record, named: bool) {
        if Some(record.key()) != self.wanted.key {
            return;
        }
        let reach = if named { Reach::Local } else { self.wanted.reach };
        match routes_of(record, reach, &self.forks, named) {
            Ok(routes) => self.say(routes).await,
            Err(error) => debug!(error = format!("{error:#}"), "the server's record cannot be used"),
        }
    }

    /// What a stranger may send us to.
    fn allowed(&self, addresses: &[String]) -> Vec<Route> {
        let parsed = addresses.iter().filter_map(|text| text.parse::<Multiaddr>().ok());
        let allowed = parsed.filter(|addr| {
            addr.is_dialable() && addr.ip().is_none_or(|ip| is_allowed(ip, self.wanted.reach))
        });
        let route = |addr: Multiaddr| Route { address: Address::Multiaddr(addr.to_string()), named: false };
        allowed.map(route).collect()
    }

    async fn say(&self, routes: Vec<Route>) {
        if !routes.is_empty() {
            info!(ways = routes.len(), "the server was found");
            let _ = self.said.send(routes).await; // who asked may have gone
        }
    }
}

fn record_of(bootnode: &Bootnode) -> Option<&Record> {
    match bootnode {
        Bootnode::Record(record) => Some(record),
        Bootnode::Enode(_) => None,
    }
}

/// Where a node that speaks libp2p is asked for others.
fn point(record: &Record, reach: Reach) -> Option<String> {
    let addresses = record.libp2p_addrs();
    let mut direct = addresses
        .iter()
        .filter(|addr| addr.relay().is_none() && addr.ip().is_none_or(|ip| is_allowed(ip, reach)));
    direct.next().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_may_be_written_bare_or_as_an_address() {
        let id = "16Uiu2HAm4EwmRoPbBLKLx3Kmq7XkqGmfJkqnhLUFdTF9v5a6tc2S";
        let bare = Wanted::parse(id).expect("a PeerId");

        assert_eq!(Wanted::parse(&format!("/p2p/{id}")), Some(bare.clone()));
        assert_eq!((bare.1.as_str(), bare.2.is_some()), (id, true));
        for other in ["", "16Uiu2", "/ip4/127.0.0.1/tcp/1", "enode://", &format!("/p2p/{id}/p2p-circuit")] {
            assert_eq!(Wanted::parse(other), None, "{other}");
        }
    }
}
