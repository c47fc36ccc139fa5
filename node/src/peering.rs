//! How a relay comes to its peers: discovery, built beside the listeners that are up.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use alloy_primitives::B256;
use anyhow::Context;
use causeway_bridge::Follower;
use causeway_discovery::{
    Discovery, DiscoveryConfig, Looking, Order, OwnRecord, Report,
    udp::{Bootnode, Sockets, TalkRegistry},
};
use causeway_pool::{Named, PoolConfig, Source};
use causeway_records::{Reach, dns_tree::Link};
use causeway_transports::{DialGuard, Transports};
use causeway_verify::ChainSpec;
use causeway_wire::Stack;
use secp256k1::SecretKey;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cli::{Nat, Profile},
    ports::Ports,
    record,
};

/// How a relay comes to its peers.
#[derive(Debug)]
pub(crate) struct Peering {
    /// Those that the user named.
    pub(crate) named: Vec<(Named, Source)>,
    /// Whether more are looked for, and where.
    pub(crate) look: Option<Look>,
    /// Which addresses strangers may send us to.
    pub(crate) reach: Reach,
    /// How our addresses come to be known.
    pub(crate) nat: Nat,
    /// How many peers are kept.
    pub(crate) profile: Profile,
    /// Where our record and the peers are kept between runs.
    pub(crate) datadir: Option<PathBuf>,
}

/// Where peers are looked for.
#[derive(Debug)]
pub(crate) struct Look {
    /// Where to begin.
    pub(crate) bootnodes: Vec<Bootnode>,
    /// Signed lists in the DNS.
    pub(crate) lists: Vec<Link>,
    /// The name server; the system's unless given.
    pub(crate) name_server: Option<SocketAddr>,
    /// Whether relays are advertised and looked for by topic, too.
    pub(crate) topics: bool,
}

/// Peers that must agree on our address before it is told.
const VOTES: usize = 10;

/// The listeners that discovery stands beside.
pub(crate) struct Listeners<'a> {
    /// Where they ended up.
    pub(crate) transports: &'a Transports,
    /// Where they were to be.
    pub(crate) ports: Ports,
    /// The node key.
    pub(crate) secret_key: SecretKey,
}

impl Peering {
    /// Starts discovery; with nobody to look for peers it serves those that the user named. Also where its UDP side
    /// is bound, if it has one.
    ///
    /// # Errors
    /// If its sockets cannot be bound.
    pub(crate) async fn start(
        self,
        spec: &ChainSpec,
        checkpoint: Option<(u64, B256)>,
        listeners: Listeners<'_>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<(Discovery, mpsc::Receiver<Order>, Option<SocketAddr>)> {
        let Self { named, look, reach, nat, profile, datadir } = self;
        let Listeners { transports, ports, secret_key } = listeners;
        let tcp = transports.devp2p_addr().map_or_else(|| ports.devp2p(), |addr| addr.port());
        let sockets = match look {
            None => None,
            Some(_) => Some(bind_udp(ports, tcp)?),
        };
        let udp = sockets.as_ref().and_then(|sockets| sockets.v4().or_else(|| sockets.v6()));
        // No head is known yet: a node that is behind is compatible with all that are ahead (EIP-2124).
        let number = checkpoint.map_or(spec.genesis.number, |(number, _)| number);
        let eth = spec.fork_id(number, spec.genesis.timestamp);
        let contents = record::contents(transports, eth, udp, nat);
        let file = datadir.as_deref().map(record::default_file);
        let own = OwnRecord::new(secret_key, contents, file).context("signing our node record")?;
        let me = transports.node_key();
        let mut pool = match profile {
            Profile::Server => PoolConfig::relay(me),
            Profile::Lowpower => PoolConfig::phone(me),
        };
        pool.reach = reach;
        // Who is on both stacks is a relay, and relays know each other by their libp2p sessions.
        pool.first = Stack::Libp2p;
        let looking = look.zip(sockets).map(|(look, sockets)| Looking {
            secret_key,
            sockets,
            tcp,
            bootnodes: look.bootnodes,
            lists: look.lists,
            name_server: look.name_server,
            reach,
            votes: VOTES,
            talk: TalkRegistry::new(),
            topics: look.topics.then(|| crate::rendezvous::namespace(spec)),
        });
        let config = DiscoveryConfig {
            pool,
            forks: spec.fork_filter(number, spec.genesis.timestamp),
            named,
            own,
            peers_file: datadir.map(|datadir| datadir.join("peers.json")),
            looking,
        };
        let (discovery, orders) =
            Discovery::start(config, tasks, stop.clone()).await.context("starting discovery")?;
        Ok((discovery, orders, udp))
    }

    /// Keeps strangers' records from sending us where only we may go.
    pub(crate) fn dial_guard(&self) -> DialGuard {
        let reach = self.reach;
        DialGuard::Only(Arc::new(move |ip| causeway_records::is_allowed(ip, reach)))
    }
}

/// Discovery on the port of devp2p; on a free one if that is taken and nobody asked for it.
fn bind_udp(ports: Ports, tcp: u16) -> anyhow::Result<Sockets> {
    let beside = Sockets::bind(SocketAddr::new(ports.addr(), tcp));
    let bound = match beside {
        Err(_) if ports.devp2p() == 0 => Sockets::bind(SocketAddr::new(ports.addr(), 0)),
        bound => bound,
    };
    bound.context("binding discovery (UDP); choose another port with --port.devp2p or use --no-discovery")
}

/// Tells discovery when the head passes a fork: our record names the chain as of our head, and so do those of
/// the peers that we look for.
pub(crate) async fn follow_forks(
    spec: Arc<ChainSpec>,
    follower: Arc<Follower>,
    discovery: Discovery,
    stop: CancellationToken,
) {
    let mut heads = follower.heads();
    let mut last = None;
    loop {
        let head = heads.borrow_and_update().clone();
        if let Some(head) = head {
            let (number, time) = (head.head.number, follower.chain().head().header.timestamp);
            let eth = spec.fork_id(number, time);
            if last != Some(eth) {
                last = Some(eth);
                discovery.report(Report::Chain(spec.fork_filter(number, time), eth)).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = heads.changed() => if changed.is_err() { return },
        }
    }
}
