//! Everything that the swarm does on its connections, put together.

use std::time::Duration;

use autonat::Scope;
use libp2p::{identify, identity, relay, swarm::NetworkBehaviour};

use crate::{
    HostLimits, gate::Gate, lists::SharedRules, ping, punching::Punching, rendezvous::Rendezvous,
    streams::Streams,
};

/// How often identify is repeated on a connection.
const IDENTIFY_INTERVAL: Duration = Duration::from_secs(300);

/// What identify names as the protocol family.
const IDENTIFY_VERSION: &str = "causeway/1.0.0";

/// Refusals first; streams last, for who gets there is let in.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) gate: Gate,
    pub(crate) identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) rendezvous: Rendezvous,
    /// Our side of circuits that others relay.
    relay: relay::client::Behaviour,
    punching: Punching,
    /// Has our addresses tested by others.
    pub(crate) reachable: autonat::client::Behaviour,
    /// Tests the addresses of others.
    pub(crate) dial_back: autonat::server::Behaviour,
    /// Circuits that we relay.
    pub(crate) circuit: circuit::Behaviour,
    pub(crate) streams: Streams,
}

/// What a swarm's behaviour is told of the host around it.
pub(crate) struct About<'a> {
    pub(crate) keypair: &'a identity::Keypair,
    pub(crate) agent: String,
    pub(crate) limits: &'a HostLimits,
    /// Which addresses are tested.
    pub(crate) scope: Scope,
    pub(crate) rules: SharedRules,
    /// How circuits are relayed.
    pub(crate) circuits: circuit::Config,
}

impl Behaviour {
    /// `relay` belongs to the transport that dials through relays.
    pub(crate) fn new(
        about: About<'_>,
        rendezvous: Rendezvous,
        relay: relay::client::Behaviour,
        streams: Streams,
    ) -> Self {
        let About { keypair, agent, limits, scope, rules, circuits } = about;
        let key = keypair.public();
        let me = key.to_peer_id();
        let identify = identify::Config::new(IDENTIFY_VERSION.to_owned(), key)
            .with_agent_version(agent)
            .with_interval(IDENTIFY_INTERVAL)
            .with_push_listen_addr_updates(false)
            .with_hide_listen_addrs(true)
            .with_cache_size(0);
        Self {
            gate: Gate::new(limits.clone(), rules),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(streams.hearts()),
            rendezvous,
            relay,
            punching: Punching::new(),
            reachable: autonat::client::Behaviour::new(
                autonat::client::Config { scope, ..autonat::client::Config::default() },
                me,
            ),
            dial_back: autonat::server::Behaviour::new(autonat::server::Config {
                scope,
                ..autonat::server::Config::default()
            }),
            circuit: circuit::Behaviour::new(keypair, circuits),
            streams,
        }
    }
}
