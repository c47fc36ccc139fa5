//! Dials on either stack, and says what went wrong in words that help.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use causeway_rlpx::{Closed, Connection, DisconnectReason, Fault, HandshakeError, Timeout};
use causeway_wire::{Capability, NodeKey, PeerId};
use tokio::net::TcpStream;

use crate::{
    DialError, Incoming, Shared,
    error::{Reason, chain},
    peers::{Direction, Facts, Refusal},
    random::randomness,
    session::{About, QUITTING, session},
    stream,
    tcp::{self, HandshakeEnd, Link},
};

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A devp2p node.
    Devp2p {
        /// Its key.
        key: NodeKey,
        /// Where it listens.
        addr: SocketAddr,
    },
    /// A libp2p peer, by a multiaddr; without `/p2p/` whoever answers is taken.
    Multiaddr(String),
}

/// On whose word an address is dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The user's: dialed wherever it leads.
    User,
    /// A stranger's: the guard is asked.
    Stranger,
}

/// Opens a session; dropping the future gives it up and closes what it opened.
pub(crate) async fn dial(shared: &Arc<Shared>, address: &Address, word: Word) -> Result<Incoming, DialError> {
    let limit = shared.limits.dial;
    let dialed = async {
        match address {
            Address::Devp2p { addr, .. } if word == Word::Stranger && !shared.guard.allows(addr.ip()) => {
                Err(DialError::NotAllowed { addr: *addr })
            }
            Address::Devp2p { key, addr } => dial_devp2p(shared, *key, *addr).await,
            Address::Multiaddr(text) => dial_libp2p(shared, text, word).await,
        }
    };
    tokio::select! {
        biased;
        () = shared.closing.cancelled() => Err(DialError::Closing),
        dialed = tokio::time::timeout(limit, dialed) => dialed.unwrap_or(Err(DialError::Timeout { limit })),
    }
}

async fn dial_devp2p(shared: &Arc<Shared>, key: NodeKey, addr: SocketAddr) -> Result<Incoming, DialError> {
    let peer = PeerId::devp2p(key);
    if key == shared.node_key {
        return Err(DialError::Myself);
    }
    if shared.peers.contains(&peer) {
        return Err(DialError::AlreadyConnected);
    }
    shared.rules().check(&peer, Some(addr.ip())).map_err(DialError::Denied)?;
    let stream = TcpStream::connect(addr).await.map_err(|source| DialError::Unreachable { addr, source })?;
    let config = Arc::clone(&shared.dialed);
    let connection = Connection::dial(config, key, randomness(), tcp::now());
    let mut link = Link::new(stream, connection, &shared.limits);

    let greeting = match tcp::greet(&mut link).await {
        Ok(greeting) => greeting,
        Err(end) => {
            let error = explain(&end, addr, link.has_received(), &shared.capabilities);
            shared.spawn_farewell(link);
            return Err(error);
        }
    };

    let facts = Facts {
        transport: "rlpx",
        client: greeting.client_id.clone().into(),
        ip: Some(addr.ip()),
        heart: link.heart(),
    };
    let place = match shared.peers.admit_devp2p(peer, Direction::Dialed, facts, usize::MAX) {
        Ok(place) => place,
        Err(refusal) => {
            let (reason, error) = match refusal {
                Refusal::AlreadyConnected => {
                    (DisconnectReason::AlreadyConnected, DialError::AlreadyConnected)
                }
                Refusal::TooMany => (DisconnectReason::TooManyPeers, DialError::TooManyPeers),
                Refusal::Denied(denied) => (DisconnectReason::UselessPeer, DialError::Denied(denied)),
                Refusal::Closing => (DisconnectReason::from_code(QUITTING), DialError::Closing),
            };
            link.close(reason);
            shared.spawn_farewell(link);
            return Err(error);
        }
    };
    // Who is admitted is seen by whoever changes the lists meanwhile; the lists of before were asked above.
    if let Err(denied) = shared.rules().check(&peer, Some(addr.ip())) {
        link.close(DisconnectReason::UselessPeer);
        shared.spawn_farewell(link);
        return Err(DialError::Denied(denied));
    }
    let about = About {
        id: place.id,
        peer,
        capability: greeting.shared.capability.clone(),
        transport: "rlpx",
        client: greeting.client_id.into(),
        heart: link.heart(),
    };
    let (incoming, end) = session(about, &shared.limits, Arc::clone(&place.ending));
    shared.spawn_rlpx(link, greeting.shared, end, place, peer, None);
    Ok(incoming)
}

/// Opens a session on a direct connection with a peer, once there is one.
pub(crate) async fn dial_direct(
    shared: &Arc<Shared>,
    peer: PeerId,
    patience: Duration,
) -> Result<Incoming, DialError> {
    let stream = tokio::select! {
        biased;
        () = shared.closing.cancelled() => return Err(DialError::Closing),
        stream = shared.host.open_direct(&peer, &shared.capabilities, patience) => stream?,
    };
    stream::begin_dialed(shared, stream)
}

/// Opens a session on a connection of its own.
pub(crate) async fn dial_fresh(
    shared: &Arc<Shared>,
    address: &Address,
    word: Word,
) -> Result<Incoming, DialError> {
    let Address::Multiaddr(text) = address else { return dial(shared, address, word).await };
    let limit = shared.limits.dial;
    let open = async {
        let stream = match word {
            Word::Stranger => shared.host.open_fresh(text, &shared.capabilities).await?,
            Word::User => shared.host.open_fresh_named(text, &shared.capabilities).await?,
        };
        stream::begin_dialed(shared, stream)
    };
    tokio::select! {
        biased;
        () = shared.closing.cancelled() => Err(DialError::Closing),
        dialed = tokio::time::timeout(limit, open) => dialed.unwrap_or(Err(DialError::Timeout { limit })),
    }
}

async fn dial_libp2p(shared: &Arc<Shared>, address: &str, word: Word) -> Result<Incoming, DialError> {
    let stream = match word {
        Word::Stranger => shared.host.open(address, &shared.capabilities).await?,
        Word::User => shared.host.open_named(address, &shared.capabilities).await?,
    };
    stream::begin_dialed(shared, stream)
}

/// What the end of a handshake means to who dialed.
fn explain(end: &HandshakeEnd, addr: SocketAddr, heard: bool, ours: &[Capability]) -> DialError {
    let useless =
        || DialError::Useless { ours: ours.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") };
    match end {
        HandshakeEnd::Closed(Closed::Remote(reason)) => match reason {
            Some(DisconnectReason::TooManyPeers) => DialError::TooManyPeers,
            Some(DisconnectReason::UselessPeer) => useless(),
            Some(DisconnectReason::ConnectedToSelf) => DialError::Myself,
            Some(DisconnectReason::AlreadyConnected) => DialError::AlreadyConnected,
            reason => DialError::Disconnected { reason: Reason(reason.map(DisconnectReason::code)) },
        },
        HandshakeEnd::Closed(Closed::Fault(fault)) => match fault {
            Fault::NoSharedCapability { .. } => useless(),
            Fault::ConnectedToSelf => DialError::Myself,
            Fault::Handshake(HandshakeError::Sealed) | Fault::UnexpectedIdentity { .. } => {
                DialError::WrongKey { addr, detail: chain(fault) }
            }
            fault => DialError::Fault(chain(fault)),
        },
        // A node that cannot open our first packet just hangs up.
        HandshakeEnd::Closed(Closed::Ended) if !heard => {
            DialError::WrongKey { addr, detail: "it hung up on the handshake".to_owned() }
        }
        HandshakeEnd::Lost(tcp::Lost::Io(error)) if !heard && hung_up(error) => {
            DialError::WrongKey { addr, detail: "it hung up on the handshake".to_owned() }
        }
        HandshakeEnd::Closed(Closed::Ended) => DialError::Disconnected { reason: Reason(None) },
        HandshakeEnd::Closed(Closed::Timeout(timeout)) => match timeout {
            Timeout::Handshake | Timeout::Hello | Timeout::Silence => {
                DialError::Lost { addr, detail: timeout.to_string() }
            }
        },
        HandshakeEnd::Closed(Closed::Local(_)) => useless(), // for want of a capability: see `tcp::greet`
        HandshakeEnd::Lost(lost) => DialError::Lost { addr, detail: lost.to_string() },
    }
}

fn hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LES4: Capability = Capability::new("les", 4);

    fn explained(end: HandshakeEnd, heard: bool) -> DialError {
        explain(&end, SocketAddr::from(([127, 0, 0, 1], 30303)), heard, &[LES4])
    }

    fn refused(reason: DisconnectReason) -> DialError {
        explained(HandshakeEnd::Closed(Closed::Remote(Some(reason))), true)
    }

    #[test]
    fn reasons_of_a_disconnect_are_told_apart() {
        assert!(matches!(refused(DisconnectReason::TooManyPeers), DialError::TooManyPeers));
        assert!(matches!(refused(DisconnectReason::AlreadyConnected), DialError::AlreadyConnected));
        assert!(matches!(refused(DisconnectReason::ConnectedToSelf), DialError::Myself));
        assert_eq!(
            refused(DisconnectReason::UselessPeer).to_string(),
            "the node speaks none of les/4; it must serve one of them"
        );
        assert_eq!(
            refused(DisconnectReason::SubprotocolError).to_string(),
            "the node disconnected: sub-protocol error"
        );
    }

    #[test]
    fn a_node_that_hangs_up_without_a_word_has_another_key() {
        let ended = || HandshakeEnd::Closed(Closed::Ended);
        let reset = || HandshakeEnd::Lost(tcp::Lost::Io(io::ErrorKind::ConnectionReset.into()));

        assert!(matches!(explained(ended(), false), DialError::WrongKey { .. }));
        assert!(matches!(explained(reset(), false), DialError::WrongKey { .. }));
        assert!(matches!(explained(ended(), true), DialError::Disconnected { reason: Reason(None) }));
        assert!(matches!(explained(reset(), true), DialError::Lost { .. }));
    }

    #[test]
    fn a_sealed_answer_for_somebody_else_is_a_wrong_key() {
        let sealed = Closed::Fault(Fault::Handshake(HandshakeError::Sealed));

        assert!(matches!(explained(HandshakeEnd::Closed(sealed), true), DialError::WrongKey { .. }));
    }
}
