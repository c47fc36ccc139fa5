//! What is known of being reached through routers, and what is asked of the host about it.

use std::time::Duration;

use causeway_host::{HostError, ReachFacts, RelayUsage};
use causeway_wire::PeerId;
use tokio::sync::watch;

use super::Transports;
use crate::{
    Address, DialError, Incoming,
    dialer::{self, Word},
};

impl Transports {
    /// Waits until there is a direct connection with a libp2p peer, as hole punching makes one after a relayed one, and
    /// opens a session on it.
    ///
    /// # Errors
    /// See [`DialError`]; a timeout if there was no such connection within `patience`.
    pub async fn dial_direct(&self, peer: PeerId, patience: Duration) -> Result<Incoming, DialError> {
        dialer::dial_direct(&self.shared, peer, patience).await
    }

    /// The same as [`Transports::dial`] and [`Transports::dial_named`], but never on a connection that is there: it may
    /// be a dead one.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial_fresh(&self, address: &Address, named: bool) -> Result<Incoming, DialError> {
        dialer::dial_fresh(&self.shared, address, if named { Word::User } else { Word::Stranger }).await
    }

    /// Addresses of ours that are worth being tested by others; see [`Host::set_candidates`].
    ///
    /// # Errors
    /// See [`HostError`]; the old ones stay then.
    pub async fn set_candidates(&self, addresses: &[String]) -> Result<(), HostError> {
        self.shared.host.set_candidates(addresses).await
    }

    /// What is known of how the libp2p side is reached.
    pub fn reach(&self) -> watch::Receiver<ReachFacts> {
        self.shared.host.reach()
    }

    /// What others take of the circuits that we relay.
    pub fn relay_usage(&self) -> RelayUsage {
        self.shared.host.relay_usage()
    }

    /// Relays at which places may be asked for; see [`Host::offer_relays`].
    ///
    /// # Errors
    /// If the host is shut down.
    pub async fn offer_relays(&self, relays: &[String]) -> Result<(), HostError> {
        self.shared.host.offer_relays(relays).await
    }
}
