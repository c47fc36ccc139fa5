//! Where the host listens: binds, and keeps the addresses that came of it.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, core::transport::ListenerId, multiaddr::Protocol as Part, swarm::SwarmEvent,
};
use tokio::time::timeout;
use tracing::info;

use super::{
    Task,
    board::{ListenerOrder, locked},
};
use crate::{
    HostError, Listen,
    convert::{at_port, in_full, ipv4_half, listen_address, port_of},
};

/// Time for every listener to be bound.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the IPv6 half of a listener on every address to have one; a machine may have none.
const SECOND_FAMILY: Duration = Duration::from_secs(1);

/// Whether a listener without an address is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Needed,
    /// Addresses may come later.
    Optional,
}

impl Task {
    /// Binds all listeners; they are not heard before [`Task::run`].
    pub(crate) async fn bind(&mut self, listen: &[Listen]) -> Result<(), HostError> {
        for (order, listen) in listen.iter().enumerate() {
            match ipv4_half(listen) {
                None => self.bind_one(order, listen, Patience::Needed).await?,
                Some(half) => {
                    // IPv4 first: there is always an address of it, which tells the port if none was named.
                    self.bind_one(order, &half, Patience::Needed).await?;
                    let port =
                        locked(&self.board.addresses).get(&order).and_then(|all| port_of(all.first()?));
                    let listen = port.map_or(*listen, |port| at_port(*listen, port));
                    self.bind_one(order, &listen, Patience::Optional).await?;
                }
            }
        }
        // A listener on the unspecified address tells one address after the other: take what is there.
        while let Some(Some(event)) = self.swarm.next().now_or_never() {
            self.handle(event);
        }
        Ok(())
    }

    async fn bind_one(
        &mut self,
        order: ListenerOrder,
        listen: &Listen,
        patience: Patience,
    ) -> Result<(), HostError> {
        let address = listen_address(listen);
        let refuse = |reason| HostError::Bind { address: address.to_string(), reason };
        let listener = self.swarm.listen_on(address.clone()).map_err(|error| refuse(in_full(&error)))?;
        self.listeners.insert(listener, order);
        let limit = match patience {
            Patience::Needed => BIND_TIMEOUT,
            Patience::Optional => SECOND_FAMILY,
        };
        match (timeout(limit, self.bound(listener)).await, patience) {
            (Ok(result), _) => result.map_err(refuse),
            (Err(_elapsed), Patience::Needed) => Err(refuse("the system gave no address for it".to_owned())),
            (Err(_elapsed), Patience::Optional) => {
                info!(%address, "no IPv6 address yet");
                Ok(())
            }
        }
    }

    /// Waits for the listener's first address.
    async fn bound(&mut self, listener: ListenerId) -> Result<(), String> {
        loop {
            let event = self.swarm.select_next_some().await;
            let result = match &event {
                SwarmEvent::NewListenAddr { listener_id, .. } if *listener_id == listener => Some(Ok(())),
                SwarmEvent::ListenerError { listener_id, error } if *listener_id == listener => {
                    Some(Err(in_full(error)))
                }
                SwarmEvent::ListenerClosed { listener_id, reason, .. } if *listener_id == listener => {
                    let reason =
                        reason.as_ref().err().map_or_else(|| "closed".to_owned(), |error| in_full(error));
                    Some(Err(reason))
                }
                _ => None,
            };
            self.handle(event);
            if let Some(result) = result {
                return result;
            }
        }
    }

    pub(super) fn add_address(&mut self, listener: ListenerId, address: Multiaddr) {
        let Some(order) = self.listeners.get(&listener) else { return };
        info!(%address, "listening");
        let mut addresses = locked(&self.board.addresses);
        let addresses = addresses.entry(*order).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }

    pub(super) fn remove_address(&mut self, listener: ListenerId, address: &Multiaddr) {
        let Some(order) = self.listeners.get(&listener) else { return };
        if let Some(addresses) = locked(&self.board.addresses).get_mut(order) {
            addresses.retain(|known| known != address);
        }
    }
}

/// `address` with the peer behind it, dialable as it stands.
pub(crate) fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    match address.iter().last() {
        Some(Part::P2p(_)) => address,
        _ => address.with(Part::P2p(peer)),
    }
}
