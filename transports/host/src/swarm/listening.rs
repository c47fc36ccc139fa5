//! Where the host listens: binds, binds again what was lost, and keeps the addresses that came of it.

use std::{collections::BTreeSet, time::Duration};

use futures::{FutureExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, core::transport::ListenerId, multiaddr::Protocol as Part, swarm::SwarmEvent,
};
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use super::{
    Task,
    board::{SocketIndex, locked},
};
use crate::{
    HostError, Listen,
    convert::{at_port, in_full, ipv4_half, listen_address, port_of},
};

/// Time for every listener to be bound.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the IPv6 half of a listener on every address to have one; a machine may have none.
const SECOND_FAMILY: Duration = Duration::from_secs(1);

/// Pause before a socket is bound again; it doubles with each failure. The sockets of a swarm that is no more are
/// freed as its tasks end, those of QUIC when their connections have said goodbye.
const FIRST_RETRY: Duration = Duration::from_millis(50);

/// Longest pause before a socket is bound again.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Whether a listener without an address is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Needed,
    /// Addresses may come later.
    Optional,
}

/// When to bind a socket again that could not be bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    due: Instant,
    failures: u32,
}

impl Task {
    /// Binds all listeners; they are not heard before [`Task::run`].
    pub(super) async fn bind(&mut self, listen: &[Listen]) -> Result<(), HostError> {
        for listen in listen {
            match ipv4_half(listen) {
                None => self.bind_one(*listen, Patience::Needed).await?,
                Some(half) => {
                    // IPv4 first: there is always an address of it, which tells the port if none was named.
                    let half = self.bind_one(half, Patience::Needed).await?;
                    let listen =
                        port_of(&listen_address(&half)).map_or(*listen, |port| at_port(*listen, port));
                    self.bind_one(listen, Patience::Optional).await?
                }
            };
        }
        // A listener on the unspecified address tells one address after the other: take what is there.
        while let Some(Some(event)) = self.swarm.next().now_or_never() {
            self.handle(event);
        }
        Ok(())
    }

    /// Listens where another swarm of this host did; what cannot be bound now is tried again while it runs.
    pub(super) fn bind_again(&mut self, sockets: Vec<Listen>) {
        self.unbound = (0..sockets.len()).map(|index| (index, Retry::now())).collect();
        self.sockets = sockets;
        self.bind_due();
    }

    /// The sockets with their ports.
    pub(super) fn sockets(&self) -> Vec<Listen> {
        self.sockets.clone()
    }

    /// When the next socket is to be bound again.
    pub(super) fn next_bind(&self) -> Option<Instant> {
        self.unbound.values().map(|retry| retry.due).min()
    }

    /// Binds again what is due.
    pub(super) fn bind_due(&mut self) {
        let now = Instant::now();
        for (index, retry) in &mut self.unbound {
            let Some(socket) = self.sockets.get(*index).filter(|_| retry.due <= now) else { continue };
            let address = listen_address(socket);
            match self.swarm.listen_on(address.clone()) {
                Ok(listener) => drop(self.listeners.insert(listener, *index)),
                Err(error) => {
                    debug!(%address, reason = in_full(&error), "cannot listen yet");
                    retry.failed(now);
                }
            }
        }
        let bound: BTreeSet<SocketIndex> = self.listeners.values().copied().collect();
        self.unbound.retain(|index, _| !bound.contains(index));
    }

    /// A listener is gone; its socket is bound again in a while.
    pub(super) fn listener_closed(&mut self, listener: ListenerId, addresses: &[Multiaddr]) {
        addresses.iter().for_each(|address| self.remove_address(listener, address));
        if let Some(index) = self.listeners.remove(&listener) {
            let mut retry = Retry::now();
            retry.failed(Instant::now());
            self.unbound.insert(index, retry);
        }
    }

    /// Binds one socket, and returns it with its port.
    async fn bind_one(&mut self, listen: Listen, patience: Patience) -> Result<Listen, HostError> {
        let address = listen_address(&listen);
        let refuse = |reason| HostError::Bind { address: address.to_string(), reason };
        let listener = self.swarm.listen_on(address.clone()).map_err(|error| refuse(in_full(&error)))?;
        let index = self.sockets.len();
        self.sockets.push(listen);
        self.listeners.insert(listener, index);
        let limit = match patience {
            Patience::Needed => BIND_TIMEOUT,
            Patience::Optional => SECOND_FAMILY,
        };
        match (timeout(limit, self.bound(listener)).await, patience) {
            (Ok(result), _) => result.map_err(refuse)?,
            (Err(_elapsed), Patience::Needed) => {
                return Err(refuse("the system gave no address for it".to_owned()));
            }
            (Err(_elapsed), Patience::Optional) => info!(%address, "no IPv6 address yet"),
        }
        let port = locked(&self.board.addresses).get(&index).and_then(|all| port_of(all.first()?));
        let bound = port.map_or(listen, |port| at_port(listen, port));
        if let Some(socket) = self.sockets.get_mut(index) {
            *socket = bound;
        }
        Ok(bound)
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
        let Some(index) = self.listeners.get(&listener) else { return };
        info!(%address, "listening");
        {
            let mut addresses = locked(&self.board.addresses);
            let addresses = addresses.entry(*index).or_default();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        self.board.listening();
        self.tend_service();
    }

    pub(super) fn remove_address(&self, listener: ListenerId, address: &Multiaddr) {
        let Some(index) = self.listeners.get(&listener) else { return };
        if let Some(addresses) = locked(&self.board.addresses).get_mut(index) {
            addresses.retain(|known| known != address);
        }
        self.board.listening();
    }
}

impl Retry {
    fn now() -> Self {
        Self { due: Instant::now(), failures: 0 }
    }

    fn failed(&mut self, now: Instant) {
        self.due = now + FIRST_RETRY.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_RETRY);
        self.failures = self.failures.saturating_add(1);
    }
}

/// `address` with the peer behind it, dialable as it stands.
pub(crate) fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    match address.iter().last() {
        Some(Part::P2p(_)) => address,
        _ => address.with(Part::P2p(peer)),
    }
}
