//! Rendezvous with other relays: we register with those that we are connected to, and ask them for further ones.

use std::{collections::BTreeMap, str::FromStr, sync::Arc, time::Duration};

use causeway_discovery::{Discovery, Report};
use causeway_pool::{PeerState, Role};
use causeway_records::{Multiaddr, Record};
use causeway_transports::{ReachFacts, RendezvousLimits, Renewal, Reservation, Transports};
use causeway_verify::ChainSpec;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// How long a registration is to live.
const TIME_TO_LIVE: Duration = Duration::from_secs(2 * 3600);

/// Pause between looks at which relays are connected.
const LOOK: Duration = Duration::from_secs(60);

/// Pause between two questions to the same server, however eagerly peers are wanted.
const AGAIN: Duration = Duration::from_secs(30);

/// Relays that are asked for at a time.
const MOST: usize = 20;

/// Protocols whose servers are found by rendezvous: `whisper` and `waku` are for nodes that carry those.
const PROTOCOLS: [&str; 3] = ["les", "whisper", "waku"];

/// `PROTOCOL/NETWORK/GENESIS`: the network's number and the first four bytes of its genesis hash.
fn name(protocol: &str, spec: &ChainSpec) -> String {
    format!("{protocol}/{}/{}", spec.network.0, hex::encode(&spec.genesis_hash[..4]))
}

/// The namespace in which servers of LES are found.
pub(crate) fn namespace(spec: &ChainSpec) -> String {
    name(PROTOCOLS[0], spec)
}

/// What our server takes in: the namespaces of our network.
pub(crate) fn limits(spec: &ChainSpec) -> RendezvousLimits {
    RendezvousLimits {
        namespaces: PROTOCOLS.iter().map(|protocol| name(protocol, spec)).collect(),
        ..RendezvousLimits::default()
    }
}

/// Of our addresses those that nodes dial: with a certificate's hash they are for browsers, and long.
fn registered(told: &[String]) -> Vec<String> {
    told.iter().filter(|address| !address.contains("/certhash/")).cloned().collect()
}

/// The relays that keep a place for us: who looks for us asks them, whether they serve us otherwise or not.
fn places(facts: &ReachFacts) -> impl Iterator<Item = String> {
    let first = |reservation: &Reservation| {
        let (relay, _) = reservation.addresses.first()?.split_once("/p2p-circuit")?;
        Some(relay.to_owned())
    };
    facts.reservations.iter().filter_map(first)
}

/// The client's task.
pub(crate) struct Rendezvous {
    pub(crate) transports: Transports,
    pub(crate) discovery: Discovery,
    pub(crate) namespace: String,
    /// Where libp2p peers reach us.
    pub(crate) told: watch::Receiver<Vec<String>>,
    /// Told when further peers are wanted.
    pub(crate) search: Arc<Notify>,
}

/// A server: when it is told of us again, and when it is asked again.
#[derive(Clone, Copy, Debug)]
struct Server {
    renewal: Renewal,
    ask: Instant,
}

impl Rendezvous {
    /// Runs until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut servers: BTreeMap<String, Server> = BTreeMap::new();
        loop {
            let ours = registered(&self.told.borrow_and_update());
            let mut relays = self.relays().await;
            relays.extend(
                places(&self.transports.reach().borrow())
                    .filter(|place| !relays.contains(place))
                    .collect::<Vec<_>>(),
            );
            servers.retain(|server, _| relays.contains(server));
            for relay in relays {
                let now = Instant::now();
                let new = Server { renewal: Renewal::new(now), ask: now };
                let server = servers.entry(relay.clone()).or_insert(new);
                if server.renewal.due() <= now && !ours.is_empty() {
                    self.register(&relay, &ours, &mut server.renewal).await;
                }
                if server.ask <= now {
                    server.ask = now + AGAIN;
                    self.ask(&relay).await;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.search.notified() => {}
                () = sleep_until(Instant::now() + LOOK) => {}
                changed = self.told.changed() => match changed {
                    // What was registered says something else now.
                    Ok(()) => servers.values_mut().for_each(|server| server.renewal = Renewal::new(Instant::now())),
                    Err(_) => return,
                },
            }
        }
    }

    /// One address of each relay that we dialed over libp2p: those that came may be many, and anybody's.
    async fn relays(&self) -> Vec<String> {
        let Some(view) = self.discovery.view().await else { return Vec::new() };
        let relays = view.peers.iter().filter(|peer| {
            peer.role == Some(Role::Relay)
                && peer.state == PeerState::Connected
                && !peer.inbound
                && peer.stacks.iter().any(|stack| stack == "libp2p")
        });
        relays
            .filter_map(|peer| {
                let recorded = peer.record.as_deref().and_then(|text| Record::from_str(text).ok());
                let recorded =
                    recorded.and_then(|record| record.libp2p_addrs().first().map(ToString::to_string));
                recorded.or_else(|| peer.addresses.iter().find(|addr| addr.starts_with('/')).cloned())
            })
            .collect()
    }

    /// Registers us.
    async fn register(&self, server: &str, ours: &[String], renewal: &mut Renewal) {
        match self.transports.register_as(server, &self.namespace, TIME_TO_LIVE, ours).await {
            Ok(granted) => {
                debug!(server, seconds = granted.as_secs(), "registered");
                renewal.granted(granted, Instant::now());
            }
            Err(error) => {
                debug!(server, %error, "not registered");
                renewal.failed(Instant::now());
            }
        }
    }

    async fn ask(&self, server: &str) {
        let found = match self.transports.discover(server, &self.namespace, MOST).await {
            Ok(found) => found,
            Err(error) => {
                debug!(server, %error, "no answer");
                return;
            }
        };
        for peer in found {
            let Some(key) = peer.node_key else { continue };
            let addresses: Vec<Multiaddr> =
                peer.addresses.iter().filter_map(|text| text.parse().ok()).collect();
            self.discovery.report(Report::Addresses(key, Role::Relay, addresses)).await;
        }
    }
}
