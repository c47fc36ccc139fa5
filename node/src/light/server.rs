//! Whom a light peer asks: an address, a node record, a PeerId, or whoever a list in the DNS names.

use std::{net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use alloy_eip2124::ForkFilter;
use anyhow::{Context, anyhow, bail};
use causeway_bridge::{FullNodes, Route, Search, Upstream};
use causeway_discovery::{Bootnode, DnsClient, Pace, Reading, Trees};
use causeway_records::{
    Enode, Reach, Record, Rules, Way, choose,
    dns_tree::{Limits, Link, SyncEvent},
    is_allowed,
};
use causeway_transports::{Address, DialGuard, Transports};
use causeway_verify::ChainSpec;
use causeway_wire::Stack;
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::time::timeout;
use tracing::{debug, info};

use super::{
    finding::{Looking, Wanted},
    race::race,
};
use crate::rendezvous;

/// Servers of a list that are dialed at once.
const AT_ONCE: usize = 3;

/// How long a server is looked for.
const LOOK: Duration = Duration::from_secs(45);

/// Whom to ask.
#[derive(Clone, Debug)]
pub(crate) enum Server {
    /// At this address.
    At(Address),
    /// The node of this record.
    Of(Box<Record>),
    /// Any that this list names.
    Listed {
        /// The list.
        link: Link,
        /// The name server; the system's unless given.
        name_server: Option<SocketAddr>,
        /// Which addresses the list may send us to.
        reach: Reach,
    },
    /// The one with this PeerId, wherever it is.
    Sought(Arc<Wanted>),
}

/// Where a server is looked for of which only the PeerId is known, or whose addresses do not lead to it any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whereabouts {
    /// Where to begin.
    pub(crate) bootnodes: Vec<Bootnode>,
    /// Signed lists in the DNS.
    pub(crate) lists: Vec<Link>,
    /// The name server; the system's unless given.
    pub(crate) name_server: Option<SocketAddr>,
}

impl Server {
    /// What a user gave: a multiaddr, an enode URL, a node record, the URL of a list of those, or a PeerId.
    ///
    /// # Errors
    /// If it is none of these, or if a PeerId is given and nothing that says where to look for it.
    pub(crate) fn parse(text: &str, whereabouts: Whereabouts, reach: Reach) -> anyhow::Result<Self> {
        let Whereabouts { bootnodes, lists, name_server } = whereabouts;
        if let Some((peer, text, key)) = Wanted::parse(text) {
            if bootnodes.is_empty() && lists.is_empty() {
                bail!("where is {text} to be looked for? Name nodes with --bootnodes or a list with --dns");
            }
            let wanted = Wanted { peer, text, key, bootnodes, lists, name_server, reach };
            return Ok(Self::Sought(Arc::new(wanted)));
        }
        if text.starts_with('/') {
            return Ok(Self::At(Address::Multiaddr(text.to_owned())));
        }
        if text.starts_with("enr:") {
            let record = Record::from_str(text).context("the node record cannot be used")?;
            return Ok(Self::Of(Box::new(record)));
        }
        if text.starts_with("enrtree://") {
            let link = Link::from_str(text).context("the URL of the list cannot be used")?;
            return Ok(Self::Listed { link, name_server, reach });
        }
        if text.starts_with("enode://") {
            let enode = Enode::from_str(text).context("the enode URL cannot be used")?;
            let addr = enode.tcp_addr().context("the enode URL has no IP address and TCP port to dial")?;
            return Ok(Self::At(Address::Devp2p { key: enode.key, addr }));
        }
        bail!(
            "`{text}` is no address: give a multiaddr (/ip4/…/p2p/…), an enode URL (enode://…), a node record \
             (enr:…), a list of them (enrtree://…) or a PeerId (16Uiu2…)"
        );
    }

    /// Where it may send us: a list is a stranger's word, and so is what the names in it lead to.
    pub(crate) fn dial_guard(&self) -> DialGuard {
        match self {
            Self::At(_) | Self::Of(_) => DialGuard::Any,
            Self::Listed { reach, .. } => only(*reach),
            Self::Sought(wanted) => only(wanted.reach),
        }
    }

    /// Whether a session with it may go through a relay, and then to a direct connection that comes to us.
    pub(crate) fn may_be_relayed(&self) -> bool {
        match self {
            Self::At(Address::Multiaddr(text)) => text.contains("/p2p-circuit"),
            Self::At(Address::Devp2p { .. }) => false,
            Self::Of(record) => !record.relayed().is_empty(),
            Self::Listed { .. } | Self::Sought(_) => true,
        }
    }

    /// A greeted server, and the ways to it.
    ///
    /// # Errors
    /// If none can be reached or agrees with us.
    pub(crate) async fn connect(
        &self,
        transports: &Transports,
        nodes: &FullNodes,
        spec: &ChainSpec,
    ) -> anyhow::Result<Met> {
        // As at the far end of our own schedule: a server ahead of us is welcome.
        let forks = spec.fork_filter(spec.genesis.number, spec.genesis.timestamp);
        match self {
            Self::At(address) => {
                let routes = vec![Route { address: address.clone(), named: true }];
                let upstream = race(transports, nodes, &routes).await?;
                Ok(Met { upstream, routes })
            }
            Self::Of(record) => {
                let routes = routes_of(record, Reach::Local, &forks, true).context("the node record")?;
                let upstream = by_stack(transports, nodes, &routes).await?;
                Ok(Met { upstream, routes })
            }
            Self::Listed { link, name_server, reach } => {
                let client = match name_server {
                    Some(addr) => DnsClient::server(*addr)?,
                    None => DnsClient::system().context("name a server with --dns.server")?,
                };
                let reading =
                    Reading::new(client, [link.clone()], Trees::new(), Limits::default(), Pace::default());
                first_listed(reading, *reach, &forks, async |routes: Vec<Route>| {
                    let upstream = by_stack(transports, nodes, &routes).await?;
                    Ok(Met { upstream, routes })
                })
                .await
                .with_context(|| format!("the list at {}", link.domain))
            }
            Self::Sought(wanted) => {
                let looking =
                    Arc::clone(wanted).look(transports, rendezvous::namespace(spec), forks.clone())?;
                let found = first_found(looking, async |routes: Vec<Route>| {
                    by_stack(transports, nodes, &routes).await
                });
                match timeout(LOOK, found).await {
                    Ok(met) => met,
                    Err(_) => bail!("{} was not found within {} s", wanted.text, LOOK.as_secs()),
                }
            }
        }
    }

    /// Looks for it once more, when all ways to it lead nowhere: a home's address changes.
    pub(crate) fn search(&self, transports: &Transports, spec: &ChainSpec) -> Option<Search> {
        let Self::Sought(wanted) = self else { return None };
        let (wanted, transports) = (Arc::clone(wanted), transports.clone());
        let forks = spec.fork_filter(spec.genesis.number, spec.genesis.timestamp);
        let namespace = rendezvous::namespace(spec);
        Some(Arc::new(move || {
            let looking = Arc::clone(&wanted).look(&transports, namespace.clone(), forks.clone());
            async move {
                let Ok(mut looking) = looking else { return Vec::new() };
                timeout(LOOK, looking.answers.recv()).await.ok().flatten().unwrap_or_default()
            }
            .boxed()
        }))
    }
}

fn only(reach: Reach) -> DialGuard {
    DialGuard::Only(Arc::new(move |ip| is_allowed(ip, reach)))
}

/// A server that was met.
#[derive(Debug)]
pub(crate) struct Met {
    /// The session with it.
    pub(crate) upstream: Upstream,
    /// The ways to it.
    pub(crate) routes: Vec<Route>,
}

/// The routes of a record's node. `named`: the user gave the record, so they may lead anywhere.
pub(super) fn routes_of(
    record: &Record,
    reach: Reach,
    forks: &ForkFilter,
    named: bool,
) -> anyhow::Result<Vec<Route>> {
    let ways = choose(record, Rules { reach, forks, first: Stack::Libp2p })?;
    let addresses = ways.into_iter().flat_map(|way| match way {
        Way::Libp2p(multiaddrs) => {
            multiaddrs.into_iter().map(|addr| Address::Multiaddr(addr.to_string())).collect::<Vec<_>>()
        }
        Way::Devp2p(enodes) => enodes
            .into_iter()
            .filter_map(|enode| Some(Address::Devp2p { key: enode.key, addr: enode.tcp_addr()? }))
            .collect(),
    });
    Ok(addresses.map(|address| Route { address, named }).collect())
}

/// libp2p first: it reaches through more networks, and answers in fewer round trips.
async fn by_stack(transports: &Transports, nodes: &FullNodes, routes: &[Route]) -> anyhow::Result<Upstream> {
    let is_libp2p = |route: &Route| matches!(route.address, Address::Multiaddr(_));
    let (libp2p, devp2p): (Vec<Route>, Vec<Route>) = routes.iter().cloned().partition(is_libp2p);
    match race(transports, nodes, &libp2p).await {
        Err(_) if !devp2p.is_empty() => race(transports, nodes, &devp2p).await,
        outcome => outcome,
    }
}

/// Reads the list and dials what it names, a few at once; the first server that agrees with us is taken.
async fn first_listed(
    mut reading: Reading,
    reach: Reach,
    forks: &ForkFilter,
    connect: impl AsyncFn(Vec<Route>) -> anyhow::Result<Met>,
) -> anyhow::Result<Met> {
    let mut dials = FuturesUnordered::new();
    let (mut named, mut done) = (0_usize, false);
    let mut last = None;
    loop {
        if done && dials.is_empty() {
            let named = anyhow!("none of the {named} nodes that it names could be used");
            return Err(
                last.map_or(named, |error: anyhow::Error| error.context("no node of it could be used"))
            );
        }
        tokio::select! {
            Some(outcome) = dials.next(), if !dials.is_empty() => match outcome {
                Ok(met) => return Ok(met),
                Err(error) => {
                    debug!(%error, "not this one");
                    last = Some(error);
                }
            },
            event = reading.next(), if !done && dials.len() < AT_ONCE => match event {
                Some(SyncEvent::Found { record, .. }) => {
                    named += 1;
                    match routes_of(&record, reach, forks, false) {
                        Ok(routes) => dials.push(connect(routes)),
                        Err(error) => {
                            debug!(%error, "not dialed");
                            last = Some(error);
                        }
                    }
                }
                Some(SyncEvent::Done { outcome: Ok(tree), link }) => {
                    info!(list = %link.domain, nodes = tree.records.len(), "node list read");
                }
                Some(SyncEvent::Done { outcome: Err(error), .. }) => last = Some(error.into()),
                None => done = true,
            },
        }
    }
}

/// Dials each place where the server is said to be.
async fn first_found(
    mut looking: Looking,
    connect: impl AsyncFn(Vec<Route>) -> anyhow::Result<Upstream>,
) -> anyhow::Result<Met> {
    let mut dials = FuturesUnordered::new();
    let mut routes: Vec<Route> = Vec::new();
    let mut last = anyhow!("nowhere to look for it");
    let mut over = false;
    while !(over && dials.is_empty()) {
        tokio::select! {
            Some(outcome) = dials.next(), if !dials.is_empty() => match outcome {
                Ok(upstream) => return Ok(Met { upstream, routes }),
                Err(error) => {
                    debug!(%error, "not there");
                    last = error;
                }
            },
            answer = looking.answers.recv(), if !over && dials.len() < AT_ONCE => match answer {
                Some(mut answer) => {
                    answer.retain(|route| !routes.contains(route));
                    routes.extend(answer.iter().cloned());
                    dials.push(connect(answer));
                }
                None => over = true,
            },
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@nodes.example.org";

    #[test]
    fn a_peer_id_needs_somewhere_to_look_for_it() {
        let id = "16Uiu2HAm4EwmRoPbBLKLx3Kmq7XkqGmfJkqnhLUFdTF9v5a6tc2S";
        let lists = vec![LIST.parse().expect("a list")];

        let nowhere = Server::parse(id, Whereabouts::default(), Reach::Public);
        let sought =
            Server::parse(id, Whereabouts { lists, ..Whereabouts::default() }, Reach::Public).expect("valid");

        assert!(nowhere.is_err_and(|error| error.to_string().contains("--bootnodes")));
        assert!(sought.may_be_relayed() && !sought.dial_guard().allows([10, 0, 0, 1].into()));
    }

    #[test]
    fn a_list_sends_us_only_where_strangers_may() {
        let guard = |text: &str, reach| {
            Server::parse(text, Whereabouts::default(), reach).expect("valid").dial_guard()
        };
        let inside = [10, 0, 0, 1].into();

        assert!(!guard(LIST, Reach::Public).allows(inside));
        assert!(guard(LIST, Reach::Public).allows([8, 8, 4, 4].into()));
        assert!(guard(LIST, Reach::Local).allows(inside));
        assert!(guard("/ip4/10.0.0.1/tcp/1", Reach::Public).allows(inside), "the user says so");
    }
}
