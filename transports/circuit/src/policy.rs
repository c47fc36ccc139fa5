//! Who may use the relay, decided by its owner.

use std::{fmt, net::IpAddr};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;

/// Decides who may use the relay. What it refuses is told PERMISSION_DENIED.
///
/// Called in the swarm's task: it must answer at once.
pub trait Policy: fmt::Debug + Send + Sync + 'static {
    /// Whether this peer, at this address, may be reached through us.
    fn may_reserve(&self, peer: PeerId, address: &Multiaddr) -> bool {
        let _ = (peer, address);
        true
    }

    /// Whether the source, at this address, may open a circuit to the destination.
    fn may_connect(&self, source: PeerId, destination: PeerId, address: &Multiaddr) -> bool {
        let _ = (source, destination, address);
        true
    }

    /// Whether the limits for each address hold for this one. Not so for a proxy that many peers
    /// come from.
    fn is_limited(&self, address: IpAddr) -> bool {
        let _ = address;
        true
    }
}

/// Lets everybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everybody;

impl Policy for Everybody {}
