//! Builds the swarm, as often as it is needed, from what the host was configured with.

use std::sync::Arc;

use autonat::Scope;
use libp2p::{Swarm, identity::Keypair, multiaddr::Protocol as Part, relay};

use super::{board::Board, executor::Watched, service};
use crate::{
    HostError, Listen, ReachConfig,
    behaviour::{About, Behaviour},
    certificate::Identity,
    convert::listen_address,
    guard::{Doorman, Naming},
    rendezvous::{Rendezvous, Server},
    stack::{self, Secrets},
    streams::{Streams, Terms},
};

/// What every swarm of a host has in common.
#[derive(Debug)]
pub(crate) struct Factory {
    /// Its Debug shows the public half only.
    pub(crate) keypair: Keypair,
    pub(crate) agent: String,
    /// Which transports there are to be; the ports of others than the first swarm are those of the first.
    pub(crate) listen: Vec<Listen>,
    /// If there are secure WebSockets.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) trusted_roots: Vec<Vec<u8>>,
    pub(crate) doorman: Doorman,
    /// What was registered here outlives a swarm.
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) reach: ReachConfig,
    pub(crate) terms: Arc<Terms>,
    pub(crate) board: Arc<Board>,
}

impl Factory {
    /// Which addresses are tested: those of the internet, unless we are in a closed network; those of this machine only
    /// where we listen nowhere else.
    fn scope(&self) -> Scope {
        let at_home = |listen: &Listen| {
            listen_address(listen).iter().any(|part| match part {
                Part::Ip4(ip) => ip.is_loopback(),
                Part::Ip6(ip) => ip.is_loopback(),
                _ => false,
            })
        };
        match self.reach.allow_private {
            false => Scope::Global,
            true if self.listen.iter().all(at_home) => Scope::Loopback,
            true => Scope::Private,
        }
    }

    /// A swarm that listens nowhere yet, and what tells its transports on whose word is dialed.
    pub(super) fn build(&self) -> Result<(Swarm<Behaviour>, Naming), HostError> {
        let Self { keypair, agent, listen, identity, trusted_roots, doorman, server, terms, board, .. } =
            self;
        let limits = &terms.limits;
        let naming = Naming::default();
        let secrets = Secrets { identity: identity.clone(), trusted_roots: trusted_roots.clone() };
        let (circuits, relay) = relay::client::new(keypair.public().to_peer_id());
        let transport = stack::build(keypair, limits, doorman, naming.clone(), secrets, listen, circuits)?;
        let about = About {
            keypair,
            agent: agent.clone(),
            limits,
            scope: self.scope(),
            rules: doorman.rules.clone(),
            circuits: service::config(),
        };
        let rendezvous = Rendezvous::new(server.clone());
        let behaviour = Behaviour::new(about, rendezvous, relay, Streams::new(terms.clone()));
        board.set_accounts(behaviour.circuit.accounts());
        let config = libp2p::swarm::Config::with_executor(Watched::new(board.clone()))
            .with_idle_connection_timeout(limits.idle_timeout)
            .with_max_negotiating_inbound_streams(limits.negotiating_streams);
        let mut swarm = Swarm::new(transport, behaviour, keypair.public().to_peer_id(), config);
        board.external().into_iter().for_each(|address| swarm.add_external_address(address));
        Ok((swarm, naming))
    }
}
