//! Circuits through relays: places kept at relays, peers dialed through them, and the direct connections that come of
//! hole punching.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, transport::ListenerId, transport::PortUse},
    identify,
    multiaddr::Protocol as Part,
    relay,
    swarm::{ConnectionId, dial_opts::DialOpts},
};
use tokio::time::Instant;
use tracing::{debug, info};

use super::{
    Task,
    dialing::{Job, Open, Reuse, dial_error},
    listening::with_peer,
};
use crate::{
    Observed, OpenError,
    convert::{Target, transport_name},
    guard::Word,
    identity::wire_peer_id,
    punching,
    reach::{
        ReachConfig,
        keeper::{Failure, Keeper, Relay},
    },
    streams::OpenRequest,
};

/// Addresses of ours at one relay that are told to others.
const ADDRESSES_AT_RELAY: usize = 4;

/// Streams that wait for a direct connection.
const MAX_WAITING: usize = 256;

/// What the task knows of relays.
#[derive(Debug, Default)]
pub(super) struct Circuits {
    keeper: Keeper,
    /// A relay failed: it is another one's turn.
    failed: bool,
    allow_private: bool,
    /// Who offers to be a relay, of those connected.
    hops: BTreeSet<PeerId>,
    /// Who has said what it offers, of those connected.
    identified: BTreeSet<PeerId>,
    /// Relays asked for a place, by the listener that stands for it.
    listeners: HashMap<ListenerId, PeerId>,
    /// How the relays that are being asked were to be reached.
    asked: BTreeMap<PeerId, Relay>,
    /// Where we are reached through relays.
    addresses: BTreeMap<PeerId, Vec<Multiaddr>>,
    /// Peers whom relays announced and did not hand over yet.
    announced: usize,
    /// Streams for peers with whom there is no direct connection yet.
    waiting: Vec<(PeerId, OpenRequest)>,
    /// Connections that we opened: from which socket, and to where.
    opened: HashMap<ConnectionId, Opened>,
}

#[derive(Clone, Debug)]
struct Opened {
    address: Multiaddr,
    /// Whether it came from a socket that listens.
    from_listener: bool,
}

impl Circuits {
    pub(super) fn new(config: &ReachConfig) -> Self {
        let named = config.relays.iter().filter_map(|text| Relay::parse(text, Word::User)).collect();
        Self {
            keeper: Keeper::new(config.reservations, named),
            allow_private: config.allow_private,
            ..Self::default()
        }
    }

    /// Relays that may be asked, as an earlier swarm was told.
    pub(super) fn offered(&mut self, relays: Vec<Relay>) {
        self.keeper.offer(relays);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        if self.failed { Some(Instant::now()) } else { self.keeper.due() }
    }

    /// Every address at which relays hand us over.
    pub(super) fn all_addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        self.addresses.values().flatten()
    }

    /// Whether a listener stands for a place at a relay.
    pub(super) fn has(&self, listener: ListenerId) -> bool {
        self.listeners.contains_key(&listener)
    }
}

impl Task {
    /// Asks for places at relays as far as they are wanted.
    pub(super) fn tend_relays(&mut self) {
        self.circuits.failed = false;
        let now = Instant::now();
        for late in self.circuits.keeper.overdue(now) {
            debug!(relay = %late, "no place within the time");
            self.abandon(&late);
        }
        while let Some(relay) = self.circuits.keeper.next(now) {
            debug!(relay = %relay.peer, address = %relay.address, "asking a relay for a place");
            let peer = relay.peer;
            self.circuits.asked.insert(peer, relay.clone());
            if self.directly_connected(&peer) {
                self.ask_for_place(&peer);
            } else {
                let target = Target::direct(relay.address, peer);
                self.dial(Open { target, word: relay.word, reuse: Reuse::No, job: Job::Reserve(peer) });
            }
        }
    }

    pub(super) fn offer_relays(&mut self, relays: Vec<Relay>) {
        let me = *self.swarm.local_peer_id();
        self.circuits.keeper.offer(relays.into_iter().filter(|relay| relay.peer != me).collect());
        self.tend_relays();
    }

    pub(super) fn directly_connected(&self, peer: &PeerId) -> bool {
        self.swarm.behaviour().streams.direct_connection_with(peer).is_some()
    }

    /// Listens at a relay that has said that it is one; waits for that otherwise.
    fn ask_for_place(&mut self, peer: &PeerId) {
        if !self.circuits.keeper.is_trying(peer) || self.circuits.listeners.values().any(|held| held == peer)
        {
            return;
        }
        if !self.circuits.hops.contains(peer) {
            if self.circuits.identified.contains(peer) {
                debug!(relay = %peer, "it is no relay");
                self.place_failed(peer, Failure::Refused);
            }
            return;
        }
        let Some(relay) = self.circuits.asked.get(peer) else { return };
        match self.swarm.listen_on(relay.circuit()) {
            Ok(listener) => drop(self.circuits.listeners.insert(listener, *peer)),
            Err(error) => {
                debug!(relay = %peer, %error, "cannot listen at the relay");
                self.place_failed(peer, Failure::Refused);
            }
        }
    }

    pub(super) fn place_failed(&mut self, peer: &PeerId, failure: Failure) {
        self.circuits.keeper.failed(peer, failure, Instant::now());
        self.circuits.failed = true;
        self.circuits.asked.remove(peer);
        if self.circuits.addresses.remove(peer).is_some() {
            self.circuits.announced = 0; // whoever was to come through it does not
            info!(relay = %peer, "the place at a relay is lost");
            self.board.reach.relayed(&peer.to_base58(), Vec::new());
        }
    }

    /// Gives up an attempt. The listener is not removed: an answer that is under way would find it gone, which the
    /// library does not survive. It ends with its connection.
    fn abandon(&mut self, peer: &PeerId) {
        self.circuits.asked.remove(peer);
        if self.circuits.listeners.values().any(|held| held == peer)
            && let Some(connection) = self.swarm.behaviour().streams.direct_connection_with(peer)
        {
            self.swarm.close_connection(connection);
        }
    }

    /// What a relay's answer says of where we are reached.
    pub(super) fn relayed_address(&mut self, listener: ListenerId, address: &Multiaddr) {
        let Some(peer) = self.circuits.listeners.get(&listener).copied() else { return };
        let named = self.circuits.asked.get(&peer).is_some_and(|relay| relay.word == Word::User);
        // What a stranger says of itself is told on only where it may be true.
        if !named && !self.circuits.allow_private && !is_public(address) {
            return;
        }
        self.add_relayed(peer, address.clone());
    }

    fn add_relayed(&mut self, peer: PeerId, address: Multiaddr) {
        let address = with_peer(address, *self.swarm.local_peer_id());
        let known = self.circuits.addresses.entry(peer).or_default();
        if known.contains(&address) || known.len() >= ADDRESSES_AT_RELAY {
            return;
        }
        known.push(address.clone());
        let texts = known.iter().map(ToString::to_string).collect();
        self.swarm.add_external_address(address);
        self.board.reach.relayed(&peer.to_base58(), texts);
    }

    /// A listener at a relay is gone, and with it the place.
    pub(super) fn circuit_closed(&mut self, listener: ListenerId) {
        let Some(peer) = self.circuits.listeners.remove(&listener) else { return };
        for address in self.circuits.addresses.get(&peer).cloned().unwrap_or_default() {
            self.swarm.remove_external_address(&address);
        }
        // One that still answers has refused; one that does not is gone.
        let refused = self.directly_connected(&peer) && !self.circuits.addresses.contains_key(&peer);
        self.place_failed(&peer, if refused { Failure::Refused } else { Failure::Gone });
    }

    pub(super) fn handle_relay(&mut self, event: relay::client::Event) {
        match event {
            relay::client::Event::ReservationReqAccepted { relay_peer_id: peer, renewal, limit } => {
                self.circuits.keeper.granted(peer);
                let bytes = limit.as_ref().and_then(|limit| limit.data_in_bytes());
                let time = limit.as_ref().and_then(|limit| limit.duration());
                self.board.reach.granted(peer.to_base58(), bytes, time);
                if !renewal && let Some(relay) = self.circuits.asked.get(&peer).cloned() {
                    info!(relay = %peer, bytes, ?time, "a relay holds a place for us");
                    self.add_relayed(peer, relay.circuit());
                }
            }
            relay::client::Event::OutboundCircuitEstablished { relay_peer_id, .. } => {
                debug!(relay = %relay_peer_id, "a circuit to a peer is open");
            }
            relay::client::Event::InboundCircuitEstablished { src_peer_id, .. } => {
                debug!(peer = %src_peer_id, "a peer comes through a relay");
                self.circuits.announced += 1;
                self.nudge_relays();
            }
        }
    }

    /// A peer that a relay had announced is here; the next one is waited for.
    pub(super) fn handed_over(&mut self) {
        self.circuits.announced = self.circuits.announced.saturating_sub(1);
        if self.circuits.announced > 0 {
            self.nudge_relays();
        }
    }

    /// Has the connections with our relays looked at once more: libp2p-relay 0.22 hands over one of the peers that came
    /// at the same moment, and forgets to be woken for the next.
    fn nudge_relays(&mut self) {
        let relays: Vec<PeerId> = self.circuits.addresses.keys().copied().collect();
        for peer in relays {
            self.swarm.behaviour_mut().streams.nudge(&peer);
        }
    }

    /// What a peer said of itself and of us.
    pub(super) fn identified(&mut self, peer: PeerId, connection: ConnectionId, info: &identify::Info) {
        if self.swarm.behaviour().streams.is_relayed(connection) {
            return;
        }
        self.circuits.identified.insert(peer);
        if info.protocols.contains(&relay::HOP_PROTOCOL_NAME) {
            if self.circuits.hops.insert(peer) {
                self.circuits.keeper.offers(&peer);
                self.circuits.failed = true;
            }
        } else {
            self.circuits.hops.remove(&peer);
        }
        self.ask_for_place(&peer);
        if let Some(opened) = self.circuits.opened.get(&connection) {
            let transport = transport_name(&opened.address);
            let listener =
                opened.from_listener.then(|| self.listener_like(&opened.address, transport)).flatten();
            self.board.reach.observed(Observed {
                address: info.observed_addr.to_string(),
                listener: listener.map(|address| address.to_string()),
                by: peer.to_base58(),
                at: crate::gate::remote_ip(&opened.address),
            });
        }
    }

    /// A listener of ours from which a connection to `address` may have come.
    fn listener_like(&self, address: &Multiaddr, transport: &str) -> Option<Multiaddr> {
        let family = |address: &Multiaddr| matches!(address.iter().next(), Some(Part::Ip6(_)));
        let mut listeners = self.board.addresses().into_iter();
        listeners.find(|own| transport_name(own) == transport && family(own) == family(address))
    }

    /// A connection is there: what it is good for.
    pub(super) fn connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        match endpoint {
            ConnectedPoint::Dialer { address, port_use, .. } => {
                let from_listener = *port_use == PortUse::Reuse;
                self.circuits.opened.insert(connection, Opened { address: address.clone(), from_listener });
            }
            ConnectedPoint::Listener { send_back_addr, local_addr } if !endpoint.is_relayed() => {
                if let Some(ip) = crate::gate::remote_ip(send_back_addr) {
                    self.board.reach.came(transport_name(local_addr), ip);
                }
            }
            ConnectedPoint::Listener { .. } => {}
        }
        if endpoint.is_relayed() {
            return;
        }
        for (_, request) in
            self.circuits.waiting.extract_if(.., |(wanted, _)| *wanted == peer).collect::<Vec<_>>()
        {
            self.swarm.behaviour_mut().streams.open(connection, request);
        }
    }

    /// A connection is gone.
    pub(super) fn disconnected(&mut self, peer: PeerId, connection: ConnectionId, left: u32) {
        self.circuits.opened.remove(&connection);
        if left == 0 {
            self.circuits.hops.remove(&peer);
            self.circuits.identified.remove(&peer);
        }
        if self.circuits.keeper.is_trying(&peer) && !self.directly_connected(&peer) {
            self.place_failed(&peer, Failure::Gone);
        }
    }

    /// A stream on a direct connection with `peer`, once there is one.
    pub(super) fn open_direct(&mut self, peer: PeerId, request: OpenRequest) {
        self.circuits.waiting.retain(|(_, request)| !request.reply.is_closed());
        if let Some(connection) = self.swarm.behaviour().streams.direct_connection_with(&peer) {
            self.swarm.behaviour_mut().streams.open(connection, request);
        } else if self.circuits.waiting.len() < MAX_WAITING {
            self.circuits.waiting.push((peer, request));
        } else {
            let busy = format!("{MAX_WAITING} streams wait for direct connections already");
            let _ = request.reply.send(Err(OpenError::Refused(busy))); // who asked may have gone
        }
    }

    /// Dials a peer through a relay that is connected.
    pub(super) fn dial_circuit(&mut self, open: Open) {
        let Open { target, word, job, .. } = open;
        let (Some(peer), Some(via)) = (target.peer, &target.via) else {
            return job.fail(OpenError::Unreachable {
                address: target.text.clone(),
                reason: "the address names no relay and peer".to_owned(),
            });
        };
        let Some(relay) = via.peer else { return };
        let circuit = via.address.clone().with(Part::P2p(relay)).with(Part::P2pCircuit);
        let options = DialOpts::peer_id(peer)
            .condition(libp2p::swarm::dial_opts::PeerCondition::Always)
            .addresses(vec![circuit])
            .build();
        let connection = options.connection_id();
        let naming = self.naming.clone();
        match naming.on_word(word, || self.swarm.dial(options)) {
            Ok(()) => drop(self.dials.insert(connection, (target, job))),
            Err(error) => job.fail(dial_error(&target, &error)),
        }
    }

    pub(super) fn handle_punch(&mut self, event: &punching::Event) {
        let peer = wire_peer_id(&event.peer);
        match &event.result {
            Ok(transport) => {
                debug!(%peer, transport, "there is a direct connection");
                self.board.reach.punched(Some(transport));
            }
            Err(error) => {
                debug!(%peer, %error, "no direct connection could be had");
                self.board.reach.punched(None);
            }
        }
    }
}

/// Whether an address begins with an IP address that may be anywhere, or with a name.
pub(super) fn is_public(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Part::Ip4(ip)) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && second & 0xc0 == 64;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared)
        }
        Some(Part::Ip6(ip)) => {
            !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified())
        }
        Some(Part::Dns(_) | Part::Dns4(_) | Part::Dns6(_)) => true,
        _ => false,
    }
}
