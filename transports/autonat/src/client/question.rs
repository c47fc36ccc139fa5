//! A question to a server, from the asking to the nonce that comes back.

use std::time::Instant;

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

use super::server::Connection;
use crate::address::{ip_of, is_relayed, transport_of};

/// Numbers questions.
pub(super) type QuestionId = u64;

/// A question, as the connection needs to know it.
#[derive(Clone, Debug)]
pub struct Ask {
    pub(super) id: QuestionId,
    pub(super) address: Multiaddr,
    pub(super) nonce: u64,
    /// Data that may be sent for it.
    pub(super) budget: u64,
}

/// What the server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Dialed,
    NotDialed,
    NotHandedOver,
    Rejected,
    Refused,
    /// The stream failed, or it broke the rules.
    Failed,
    /// It wants more data than we are willing to send.
    TooDear,
}

/// A question under way.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) server: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) address: Multiaddr,
    pub(super) nonce: u64,
    pub(super) budget: u64,
    pub(super) since: Instant,
    /// The nonce came.
    pub(super) back: bool,
    /// The server says that it dialed; the nonce is waited for.
    pub(super) answered: bool,
    pub(super) deadline: Instant,
}

impl Question {
    /// Whether this connection can be the one that the question led to: new, dialed by the other side, direct, and
    /// through the same transport and family.
    pub(super) fn can_have_led_to(&self, connection: &Connection) -> bool {
        let family = |address: &Multiaddr| ip_of(address).map(|ip| ip.to_canonical().is_ipv4());
        let transports = (transport_of(&connection.local), transport_of(&self.address));
        connection.inbound
            && connection.since >= self.since
            && !is_relayed(&connection.remote)
            && matches!(transports, (Ok(local), Ok(dialed)) if local.can_be(dialed))
            && family(&connection.remote) == family(&self.address)
    }
}
