//! What we do for peers behind routers: circuits that we relay.

use libp2p::{Multiaddr, multiaddr::Protocol as Part};
use tracing::{debug, info};

use super::Task;
use crate::{CircuitService, identity::wire_peer_id};

/// Circuits that lead to one peer: a home may have many visitors.
const CIRCUITS_TO_ONE: usize = 64;

/// How circuits are relayed.
pub(super) fn config() -> circuit::Config {
    let mut config = circuit::Config::default();
    config.limits.circuits_per_destination = CIRCUITS_TO_ONE;
    config
}

impl Task {
    /// Begins or ends to relay circuits, as it has become known whether others reach us, and at which addresses.
    pub(super) fn tend_service(&mut self) {
        let told = self.board.external();
        let reached = self.board.reach.reachable();
        let serve = match self.service {
            CircuitService::Never => false,
            CircuitService::WhenReachable => !reached.is_empty(),
            CircuitService::Always => true,
        };
        let mut addresses = reached;
        addresses.extend(told.into_iter().filter(|address| !is_relayed(address)));
        if addresses.is_empty() && self.service == CircuitService::Always {
            addresses = self.board.addresses();
        }
        let behaviour = &mut self.swarm.behaviour_mut().circuit;
        behaviour.set_addresses(addresses);
        if behaviour.is_enabled() != serve {
            info!(serve, "relaying circuits for others");
            behaviour.set_enabled(serve);
        }
    }

    pub(super) fn handle_circuit(&self, event: circuit::Event) {
        match event {
            circuit::Event::Reserved { peer, renewed } => {
                debug!(peer = %wire_peer_id(&peer), renewed, "a place with us");
            }
            circuit::Event::CircuitClosed { source, destination, bytes, time, why, .. } => {
                let (source, destination) = (wire_peer_id(&source), wire_peer_id(&destination));
                debug!(%source, %destination, bytes = bytes.total(), ?time, ?why, "a circuit is closed");
            }
            other => debug!(event = ?other, "relaying"),
        }
    }
}

fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Part::P2pCircuit)
}
