//! What a running host knows of being reached through routers, and what it is asked to do about it.

use std::time::Duration;

use causeway_wire::{Capability, PeerId};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{Host, external_multiaddrs, proposed};
use crate::{
    HostError, OpenError, ProtocolStream,
    guard::Word,
    identity,
    reach::{
        ReachFacts, RelayUsage,
        keeper::{MAX_OFFERED, Relay},
    },
    streams::OpenRequest,
    swarm::Order,
};

impl Host {
    /// What is known of how this host is reached.
    pub fn reach(&self) -> watch::Receiver<ReachFacts> {
        self.board.reach.watch()
    }

    /// What others take of the circuits that this host relays.
    pub fn relay_usage(&self) -> RelayUsage {
        let Some(accounts) = self.board.accounts() else { return RelayUsage::default() };
        let total = accounts.total();
        let sum = |usage: &circuit::Usage| usage.bytes_from.saturating_add(usage.bytes_to);
        let mut peers: Vec<(String, u64)> =
            accounts.peers().iter().map(|(peer, usage)| (peer.to_base58(), sum(usage))).collect();
        peers.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        RelayUsage {
            reservations: total.reserved,
            open: total.circuits_out,
            circuits: total.circuits,
            bytes: total.bytes_from,
            refusals: total.refusals,
            peers,
        }
    }

    /// Relays at which places may be asked for, best first, as multiaddrs with `/p2p/`, in place of those offered
    /// before. Those that the user named come first whatever is offered; what is no address of a relay is left out.
    ///
    /// # Errors
    /// If the host is shut down.
    pub async fn offer_relays(&self, relays: &[String]) -> Result<(), HostError> {
        let relays: Vec<Relay> =
            relays.iter().filter_map(|text| Relay::parse(text, Word::Stranger)).take(MAX_OFFERED).collect();
        self.board.reach.set_offered(relays.clone());
        self.orders.send(Order::Relays(relays)).await.map_err(|_gone| HostError::Closed)
    }

    /// Addresses of ours that are worth being tested by others (AutoNAT v2), beside those that others see: what a
    /// router mapped, what the user named. In place of those given before; what came of it is told by [`Host::reach`].
    ///
    /// # Errors
    /// If one of them is no multiaddr, if there are too many, or if the host is shut down. The old ones stay then.
    pub async fn set_candidates(&self, addresses: &[String]) -> Result<(), HostError> {
        let candidates = external_multiaddrs(addresses)?;
        self.board.reach.set_candidates(candidates.clone());
        self.orders.send(Order::Candidates(candidates)).await.map_err(|_gone| HostError::Closed)
    }

    /// Waits until there is a direct connection with `peer`, as hole punching makes one after a relayed one, and opens
    /// a stream on it. Nothing is dialed.
    ///
    /// # Errors
    /// [`OpenError::Timeout`] if there was none within `patience`; see [`OpenError`].
    pub async fn open_direct(
        &self,
        peer: &PeerId,
        protocols: &[Capability],
        patience: Duration,
    ) -> Result<ProtocolStream, OpenError> {
        let protocols = proposed(protocols)?;
        let Some(peer) = identity::libp2p_peer_id(peer) else {
            return Err(OpenError::Protocol("a peer of devp2p has no libp2p connection".to_owned()));
        };
        let (reply, answer) = oneshot::channel();
        let order = Order::Direct(peer, OpenRequest { protocols, reply });
        self.orders.send(order).await.map_err(|_gone| OpenError::HostClosed)?;
        match timeout(patience, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_dropped)) => Err(self.gone()),
            Err(_elapsed) => Err(OpenError::Timeout { limit: patience }),
        }
    }
}
