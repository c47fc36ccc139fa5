//! What we do for peers behind routers, circuits and tests of their addresses, and what they do for us.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use autonat::client;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol as Part};
use tokio::time::Instant;
use tracing::{debug, info};

use super::{Task, circuits::is_public};
use crate::{CircuitService, Verdict, identity::wire_peer_id};

/// Circuits that lead to one peer: a home may have many visitors.
const CIRCUITS_TO_ONE: usize = 64;

/// Time for the connections to have changed what they offer.
const OFFER: Duration = Duration::from_secs(1);

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
        // Whoever has an address of the internet may dial from it, whether others reach it or not.
        let outside = self.board.addresses().iter().any(is_public);
        let serves = self.service == CircuitService::Always;
        let dial_back = self.dial_back && (serves || outside || !reached.is_empty());
        let families = self.families();
        let tester = &mut self.swarm.behaviour_mut().dial_back;
        tester.set_families(families.0, families.1);
        let mut changed = tester.is_enabled() != dial_back;
        tester.set_enabled(dial_back);
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
            changed = true;
        }
        if changed {
            self.offer_due = Some(Instant::now() + OFFER);
        }
    }

    /// Whether we have addresses of IPv4 and of IPv6 from which others can be dialed.
    fn families(&self) -> (bool, bool) {
        let listening = self.board.addresses();
        let local = |ip: IpAddr| match ip {
            IpAddr::V4(_) => false,
            IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_loopback(),
        };
        let has = |v6: bool| {
            listening.iter().filter_map(crate::gate::remote_ip).any(|ip| ip.is_ipv6() == v6 && !local(ip))
        };
        (has(false), has(true))
    }

    /// Tells everybody who is connected which protocols we speak now.
    pub(super) fn say_what_we_offer(&mut self) {
        self.offer_due = None;
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        self.swarm.behaviour_mut().identify.push(peers);
    }

    /// Has these addresses of ours tested by others, beside those that others see.
    pub(super) fn test_addresses(&mut self, candidates: Vec<Multiaddr>) {
        self.swarm.behaviour_mut().reachable.set_candidates(candidates);
    }

    pub(super) fn handle_verdict(&mut self, event: client::Event) {
        match event {
            client::Event::Verdict { address, reachable, confirmations, server } => {
                info!(%address, reachable, confirmations, by = %wire_peer_id(&server), "an address of ours was tested");
                self.board.reach.verdict(Verdict {
                    address: address.to_string(),
                    reachable,
                    confirmations: u32::try_from(confirmations).unwrap_or(u32::MAX),
                    at: SystemTime::now(),
                });
            }
            client::Event::Expired { address } => {
                debug!(%address, "nobody knows any more whether an address of ours is reached");
                self.board.reach.expired(&address.to_string());
            }
        }
        self.tend_service();
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
