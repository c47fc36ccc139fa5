//! The ways to a server, and how a session with it goes.

use causeway_transports::Address;

use super::machine::Kind;
use crate::upstream::Upstream;

/// A way to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it is.
    pub address: Address,
    /// Whether the user named it: then it is dialed wherever it leads.
    pub named: bool,
}

impl Route {
    /// Whether it goes through a relay.
    pub fn is_relayed(&self) -> bool {
        self.kind() == Kind::Relayed
    }

    /// Sorts routes as they are to be tried: QUIC, TCP, WebSocket, RLPx, and relayed ones last.
    pub fn sort(routes: &mut [Self]) {
        routes.sort_by_key(Self::kind);
    }

    pub(super) fn kind(&self) -> Kind {
        let Address::Multiaddr(text) = &self.address else { return Kind::Rlpx };
        let has = |protocol: &str| text.split('/').any(|part| part == protocol);
        if has("p2p-circuit") {
            Kind::Relayed
        } else if has("quic-v1") {
            Kind::Quic
        } else if has("ws") || has("wss") {
            Kind::WebSocket
        } else {
            Kind::Tcp
        }
    }
}

/// Whether a session goes through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// No.
    Direct,
    /// Yes.
    Relayed,
}

impl Path {
    /// That of a session.
    pub fn of(upstream: &Upstream) -> Self {
        if upstream.transport() == "relay" { Self::Relayed } else { Self::Direct }
    }

    /// `direct` or `relayed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
        }
    }
}

/// That of a session over `transport`.
pub(super) fn kind_of(transport: &str) -> Kind {
    match transport {
        "relay" => Kind::Relayed,
        "quic" => Kind::Quic,
        "rlpx" => Kind::Rlpx,
        "ws" | "wss" => Kind::WebSocket,
        _ => Kind::Tcp,
    }
}

/// Whether a session over `transport` may have come of this route.
pub(super) fn carries(route: &Route, transport: &str) -> bool {
    match route.kind() {
        Kind::Relayed => transport == "relay",
        Kind::Quic => transport == "quic",
        Kind::Rlpx => transport == "rlpx",
        Kind::WebSocket => matches!(transport, "ws" | "wss"),
        Kind::Tcp => transport == "tcp",
    }
}
