//! Direct connections out of relayed ones (DCUtR): both ends dial each other at the same moment, so that each one's
//! router takes the other's packets for answers.
//!
//! This is our own. That of libp2p-dcutr 0.15 keeps an entry for each attempt for ever, dials whatever a peer names and
//! as often as it asks, and tells the addresses that were known when the circuit was opened.
//!
//! Over QUIC the specification has who was called send bytes of no meaning and wait to be dialed. Both dial here, as
//! rust-libp2p's do: the first packets open the routers just as well, and libp2p-quic 0.14 never forgets the addresses
//! that it sent such bytes to.

mod exchange;
mod handler;
mod message;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionDenied, ConnectionId, DialFailure, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tracing::debug;

use crate::convert::transport_name;
use handler::{Agreed, Begin, Handler, Part};
pub(crate) use message::read_again;

/// Times that a meeting is arranged for one relayed connection.
const TRIES: u8 = 3;

/// Addresses of one peer that are dialed at once, over each transport.
const ADDRESSES: usize = 4;

/// Our own addresses that are told.
const CANDIDATES: usize = 8;

/// Meetings at once, whoever asks for them; each sends packets to addresses that a stranger names.
const BURST: u32 = 60;

/// Pause before a peer that names no address is asked again: it was not told one yet by those it just met.
const NAMELESS: Duration = Duration::from_secs(1);

/// Pause after which one more meeting may be had.
const PAUSE: Duration = Duration::from_secs(1);

/// Where we may be met, as others see us: the newest last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Candidates(Arc<Mutex<Vec<Multiaddr>>>);

impl Candidates {
    fn all(&self) -> Vec<Multiaddr> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.reverse();
        all
    }

    fn add(&self, address: &Multiaddr) {
        let Some(address) = meeting_place(address) else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| *known != address);
        if all.len() >= CANDIDATES {
            all.remove(0);
        }
        all.push(address);
    }
}

/// `address` without its peer, if it is one at which hole punching may succeed: an IP address with a port of TCP or
/// QUIC, and nothing else.
fn meeting_place(address: &Multiaddr) -> Option<Multiaddr> {
    let mut place = address.clone();
    if matches!(place.iter().last(), Some(Protocol::P2p(_))) {
        place.pop();
    }
    let parts: Vec<Protocol<'_>> = place.iter().collect();
    let good = match parts.as_slice() {
        [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Tcp(port)]
        | [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Udp(port), Protocol::QuicV1] => *port != 0,
        _ => false,
    };
    good.then_some(place)
}

/// What came of a meeting.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) peer: PeerId,
    /// The transport of the direct connection, or why there is none.
    pub(crate) result: Result<&'static str, Missed>,
}

/// Why there is no direct connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missed {
    #[error(transparent)]
    Exchange(#[from] exchange::Failed),
    #[error("the peer names no address at which it may be met")]
    NoAddress,
    #[error("too many meetings in a short time")]
    TooMany,
    #[error("neither got through to the other")]
    Blocked,
}

/// A relayed connection.
#[derive(Debug)]
struct Relayed {
    peer: PeerId,
    part: Part,
    tries: u8,
    /// Dials under way.
    dials: usize,
    /// There is a direct connection.
    met: bool,
}

/// The behaviour.
#[derive(Debug)]
pub(crate) struct Punching {
    candidates: Candidates,
    relayed: HashMap<ConnectionId, Relayed>,
    /// Dials under way: for which relayed connection, and over which transport. The gate bounds them.
    dials: HashMap<ConnectionId, (ConnectionId, &'static str)>,
    /// Direct connections with each peer.
    direct: HashMap<PeerId, usize>,
    actions: VecDeque<ToSwarm<Event, Begin>>,
    /// When as many meetings may be had at once as ever.
    full_again: Option<Instant>,
}

impl Punching {
    pub(crate) fn new() -> Self {
        Self {
            candidates: Candidates::default(),
            relayed: HashMap::new(),
            dials: HashMap::new(),
            direct: HashMap::new(),
            actions: VecDeque::new(),
            full_again: None,
        }
    }

    /// A new relayed connection: who was called arranges a meeting.
    fn came(&mut self, connection: ConnectionId, peer: PeerId, part: Part) {
        self.relayed.insert(connection, Relayed { peer, part, tries: 0, dials: 0, met: false });
        if part == Part::Called && !self.direct.contains_key(&peer) {
            self.arrange(connection, peer, Duration::ZERO);
        }
    }

    fn arrange(&mut self, connection: ConnectionId, peer_id: PeerId, after: Duration) {
        let handler = NotifyHandler::One(connection);
        self.actions.push_back(ToSwarm::NotifyHandler { peer_id, handler, event: Begin { after } });
    }

    /// A try came to nothing: the next one after a pause, or the end of it.
    fn again(&mut self, connection: ConnectionId, why: Missed, after: Duration) {
        let Some(&Relayed { peer, part, tries, .. }) = self.relayed.get(&connection) else { return };
        if tries >= TRIES {
            self.tell(peer, Err(why));
        } else if part == Part::Called {
            // Only who was called arranges the next; the other hears of it.
            self.arrange(connection, peer, after);
        }
    }

    fn agreed(&mut self, connection: ConnectionId, agreed: Agreed, now: Instant) {
        let Agreed { part, addresses } = agreed;
        let Some(relayed) = self.relayed.get_mut(&connection) else { return };
        let peer = relayed.peer;
        relayed.tries = relayed.tries.saturating_add(1);
        let places = match addresses {
            Ok(addresses) => places(&addresses),
            Err(error) => return self.tell(peer, Err(error.into())),
        };
        if places.is_empty() {
            return self.again(connection, Missed::NoAddress, NAMELESS);
        }
        if self.direct.contains_key(&peer) {
            return; // it came while this was being agreed on
        }
        if !self.take(now) {
            return self.tell(peer, Err(Missed::TooMany));
        }
        for (transport, addresses) in places {
            debug!(%peer, transport, ?part, ?addresses, "meeting half way");
            let options = DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(addresses);
            let options = match part {
                Part::Caller => options.build(),
                Part::Called => options.override_role().build(),
            };
            self.dials.insert(options.connection_id(), (connection, transport));
            if let Some(relayed) = self.relayed.get_mut(&connection) {
                relayed.dials += 1;
            }
            self.actions.push_back(ToSwarm::Dial { opts: options });
        }
    }

    /// Takes one meeting of those that may be had.
    fn take(&mut self, now: Instant) -> bool {
        let full_again = self.full_again.map_or(now, |full_again| full_again.max(now)) + PAUSE;
        let allowed = full_again - now <= PAUSE * BURST;
        if allowed {
            self.full_again = Some(full_again);
        }
        allowed
    }

    fn tell(&mut self, peer: PeerId, result: Result<&'static str, Missed>) {
        self.actions.push_back(ToSwarm::GenerateEvent(Event { peer, result }));
    }

    fn met(&mut self, dial: ConnectionId) {
        let Some((connection, transport)) = self.dials.remove(&dial) else { return };
        let Some(relayed) = self.relayed.get_mut(&connection) else { return };
        relayed.dials = relayed.dials.saturating_sub(1);
        if !std::mem::replace(&mut relayed.met, true) {
            let peer = relayed.peer;
            self.tell(peer, Ok(transport));
        }
    }

    /// The other end got through to us while we dialed it.
    fn came_to_us(&mut self, peer: PeerId, transport: &'static str) {
        let waiting = |relayed: &&mut Relayed| relayed.peer == peer && relayed.dials > 0 && !relayed.met;
        if let Some(relayed) = self.relayed.values_mut().find(waiting) {
            relayed.met = true;
            self.tell(peer, Ok(transport));
        }
    }

    fn missed(&mut self, dial: ConnectionId) {
        let Some((connection, transport)) = self.dials.remove(&dial) else { return };
        let Some(relayed) = self.relayed.get_mut(&connection) else { return };
        relayed.dials = relayed.dials.saturating_sub(1);
        if relayed.dials > 0 || relayed.met {
            return;
        }
        let peer = relayed.peer;
        if self.direct.contains_key(&peer) {
            // It came to us instead.
            relayed.met = true;
            self.tell(peer, Ok(transport));
        } else {
            self.again(connection, Missed::Blocked, Duration::ZERO);
        }
    }
}

/// The addresses at which a peer may be met, by transport.
fn places(addresses: &[Multiaddr]) -> Vec<(&'static str, Vec<Multiaddr>)> {
    let mut places: Vec<(&'static str, Vec<Multiaddr>)> = Vec::new();
    for place in addresses.iter().filter_map(meeting_place) {
        let transport = transport_name(&place);
        let index = match places.iter().position(|(known, _)| *known == transport) {
            Some(index) => index,
            None => {
                places.push((transport, Vec::new()));
                places.len() - 1
            }
        };
        if let Some((_, known)) = places.get_mut(index)
            && known.len() < ADDRESSES
            && !known.contains(&place)
        {
            known.push(place);
        }
    }
    places
}

impl NetworkBehaviour for Punching {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let relayed = is_relayed(local);
        if relayed {
            self.came(connection, peer, Part::Called);
        }
        Ok(Handler::new(self.candidates.clone(), relayed))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let relayed = is_relayed(address);
        if relayed {
            self.came(connection, peer, Part::Caller);
        }
        Ok(Handler::new(self.candidates.clone(), relayed))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) if !event.endpoint.is_relayed() => {
                *self.direct.entry(event.peer_id).or_default() += 1;
                self.met(event.connection_id);
                if event.endpoint.is_listener() {
                    self.came_to_us(event.peer_id, transport_name(event.endpoint.get_remote_address()));
                }
            }
            FromSwarm::ConnectionClosed(event) if event.endpoint.is_relayed() => {
                self.relayed.remove(&event.connection_id);
            }
            FromSwarm::ConnectionClosed(event) => {
                if let Some(count) = self.direct.get_mut(&event.peer_id) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.direct.remove(&event.peer_id);
                    }
                }
            }
            FromSwarm::DialFailure(DialFailure { connection_id, .. }) => {
                self.relayed.remove(&connection_id); // another behaviour refused it
                self.missed(connection_id);
            }
            FromSwarm::ListenFailure(event) => {
                self.relayed.remove(&event.connection_id);
            }
            FromSwarm::NewExternalAddrCandidate(event) => self.candidates.add(event.addr),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        connection: ConnectionId,
        agreed: THandlerOutEvent<Self>,
    ) {
        self.agreed(connection, agreed, Instant::now());
    }

    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}
