//! How many requests are accepted in a minute. No clock.

use std::{
    collections::VecDeque,
    net::IpAddr,
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;

use super::Limits;
use crate::ip::Networks;

const MINUTE: Duration = Duration::from_secs(60);

/// Most requests that are remembered, whatever is configured: each is looked at for each further one.
const MAX_REMEMBERED: usize = 6_000;

/// Which limit a request ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverLimit {
    /// All requests of the last minute.
    #[error("too many requests in a minute")]
    All,
    /// Those of this peer.
    #[error("too many requests of this peer in a minute")]
    Peer,
    /// Those from its IPv4 /24 or IPv6 /64.
    #[error("too many requests from this network in a minute")]
    Network,
    /// Those from its IPv6 /48.
    #[error("too many requests from this site in a minute")]
    Site,
    /// All dials to other IP addresses than the askers'.
    #[error("too many dials to other addresses in a minute")]
    Paid,
    /// Those into the target's network.
    #[error("too many dials into this network in a minute")]
    Target,
    /// All requests under way.
    #[error("too many requests under way")]
    Concurrent,
    /// Those of this peer.
    #[error("too many requests of this peer under way")]
    ConcurrentOfPeer,
    /// Over a relay, where the asker's IP address is not known, or over a connection that hands over a nonce: none.
    #[error("no requests are taken on this connection")]
    Misplaced,
}

/// Counts by looking through what was accepted in the last minute: what was refused leaves no trace, so the memory is
/// bounded by the limit.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Oldest first.
    accepted: VecDeque<Accepted>,
    paid: VecDeque<Paid>,
}

#[derive(Debug)]
struct Accepted {
    at: Instant,
    peer: PeerId,
    network: Option<Networks>,
}

#[derive(Debug)]
struct Paid {
    at: Instant,
    target: Networks,
}

impl Rates {
    /// Counts a request, if no limit forbids it. All that come from no known IP address count as one network.
    pub(super) fn accept(
        &mut self,
        limits: &Limits,
        peer: PeerId,
        ip: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), OverLimit> {
        let stale = self.accepted.partition_point(|accepted| accepted.at + MINUTE <= now);
        self.accepted.drain(..stale);
        let network = ip.map(Networks::of);
        let near = |accepted: &&Accepted| match (accepted.network, network) {
            (Some(one), Some(other)) => one.is_near(other),
            _ => accepted.network == network,
        };
        let count = |counts: &dyn Fn(&&Accepted) -> bool| self.accepted.iter().filter(counts).count();
        if self.accepted.len() >= limits.per_minute.min(MAX_REMEMBERED) {
            return Err(OverLimit::All);
        }
        if count(&|accepted| accepted.peer == peer) >= limits.per_peer {
            return Err(OverLimit::Peer);
        }
        if count(&|accepted| accepted.network == network) >= limits.per_network {
            return Err(OverLimit::Network);
        }
        if count(&near) >= limits.per_site {
            return Err(OverLimit::Site);
        }
        self.accepted.push_back(Accepted { at: now, peer, network });
        Ok(())
    }

    /// Counts a dial to another IP address than the asker's, if no limit forbids it.
    pub(super) fn accept_paid(
        &mut self,
        limits: &Limits,
        target: IpAddr,
        now: Instant,
    ) -> Result<(), OverLimit> {
        let stale = self.paid.partition_point(|paid| paid.at + MINUTE <= now);
        self.paid.drain(..stale);
        let target = Networks::of(target);
        if self.paid.len() >= limits.paid_per_minute.min(MAX_REMEMBERED) {
            return Err(OverLimit::Paid);
        }
        if self.paid.iter().filter(|paid| paid.target.is_near(target)).count() >= limits.paid_per_target {
            return Err(OverLimit::Target);
        }
        self.paid.push_back(Paid { at: now, target });
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.accepted.len() + self.paid.len()
    }
}
