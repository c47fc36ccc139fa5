//! Decides who gets a reservation and who a circuit. No IO: requests and the time in, decisions out.

mod circuits;
mod known;
mod reservations;
#[cfg(test)]
mod walk;

use std::time::Instant;

use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

pub use self::circuits::CircuitId;
pub(crate) use self::{
    circuits::Circuit,
    reservations::{Expired, Granted, Reservation},
};
use self::{circuits::Circuits, known::Known, reservations::Reservations};
use crate::{
    Limits,
    message::Status,
    origin::{Origin, Site},
    rates::Rates,
};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    /// `None`: limits for each address do not hold for it.
    pub(crate) origin: Option<Origin>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The request came through a relay.
    #[error("asked over a relayed connection")]
    Relayed,
    /// The policy says no.
    #[error("the policy refuses")]
    Policy,
    /// The service was switched off.
    #[error("the service is off")]
    Off,
    /// Too many requests of this peer.
    #[error("too many requests of this peer")]
    PeerRate,
    /// Too many requests from this address.
    #[error("too many requests from this address")]
    AddressRate,
    /// No place for another reservation.
    #[error("no place for another reservation")]
    ReservationsFull,
    /// Too many reservations from this address.
    #[error("too many reservations from this address")]
    AddressReservations,
    /// The destination has no reservation.
    #[error("the destination has no reservation")]
    NoReservation,
    /// No place for another circuit.
    #[error("no place for another circuit")]
    CircuitsFull,
    /// Too many circuits opened by this peer.
    #[error("too many circuits opened by this peer")]
    SourceCircuits,
    /// Too many circuits to this destination.
    #[error("too many circuits to the destination")]
    DestinationCircuits,
    /// Too many circuits from this address.
    #[error("too many circuits from this address")]
    AddressCircuits,
    /// The destination did not answer, or refused.
    #[error("the destination did not agree")]
    DestinationFailed,
    /// The request could not be read.
    #[error("malformed request")]
    Malformed,
    /// What was sent is not a request.
    #[error("not a request")]
    Unexpected,
}

impl Refusal {
    /// What a peer that wanted a reservation is told.
    pub(crate) fn of_reservation(self) -> Status {
        match self {
            Self::Relayed | Self::Policy | Self::Off => Status::PermissionDenied,
            Self::Malformed => Status::MalformedMessage,
            Self::Unexpected => Status::UnexpectedMessage,
            Self::PeerRate
            | Self::AddressRate
            | Self::ReservationsFull
            | Self::AddressReservations
            | Self::NoReservation
            | Self::CircuitsFull
            | Self::SourceCircuits
            | Self::DestinationCircuits
            | Self::AddressCircuits
            | Self::DestinationFailed => Status::ReservationRefused,
        }
    }

    /// What a peer that wanted a circuit is told.
    pub(crate) fn of_circuit(self) -> Status {
        match self {
            Self::Relayed | Self::Policy | Self::Off => Status::PermissionDenied,
            Self::Malformed => Status::MalformedMessage,
            Self::Unexpected => Status::UnexpectedMessage,
            Self::NoReservation => Status::NoReservation,
            Self::DestinationFailed => Status::ConnectionFailed,
            Self::PeerRate
            | Self::AddressRate
            | Self::ReservationsFull
            | Self::AddressReservations
            | Self::CircuitsFull
            | Self::SourceCircuits
            | Self::DestinationCircuits
            | Self::AddressCircuits => Status::ResourceLimitExceeded,
        }
    }
}

/// Reservations, circuits and rates of all peers.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    reservations: Reservations,
    known: Known,
    circuits: Circuits,
    reserve: Gate,
    connect: Gate,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            reserve: Gate::new(limits.reserve_rate, limits.reserve_rate_per_address, limits.rates),
            connect: Gate::new(limits.connect_rate, limits.connect_rate_per_address, limits.rates),
            known: Known::new(limits.known_for, limits.known),
            reservations: Reservations::default(),
            circuits: Circuits::default(),
            limits,
        }
    }

    /// A peer wants a reservation, or to renew the one it has; whichever it is when it comes here.
    pub(crate) fn reserve(&mut self, asker: Asker, now: Instant) -> Result<Granted, Refusal> {
        self.reserve.pass(asker, now)?;
        let known = self.known.is_known(&asker.peer, now);
        let granted = self.reservations.grant(asker, known, &self.limits, now)?;
        self.known.see(asker.peer, now);
        Ok(granted)
    }

    /// A peer wants a circuit. It counts from now on, until it is closed or abandoned.
    pub(crate) fn connect(
        &mut self,
        source: Asker,
        destination: PeerId,
        now: Instant,
    ) -> Result<(CircuitId, ConnectionId), Refusal> {
        self.connect.pass(source, now)?;
        let reservation = self.reservations.of(&destination).filter(|held| held.expires > now);
        let connection = reservation.ok_or(Refusal::NoReservation)?.connection;
        let circuit = Circuit {
            source: source.peer,
            source_connection: source.connection,
            destination,
            destination_connection: connection,
            origin: source.origin,
            asked: now,
            opened: None,
        };
        Ok((self.circuits.add(circuit, &self.limits)?, connection))
    }

    /// The destination agreed. `None` if nobody waits for that any more.
    pub(crate) fn opened(&mut self, circuit: CircuitId, now: Instant) -> Option<&Circuit> {
        self.circuits.open(circuit, now)
    }

    /// A circuit is over, or did not come about.
    pub(crate) fn close(&mut self, circuit: CircuitId) -> Option<Circuit> {
        self.circuits.remove(circuit)
    }

    /// A connection is gone. Its reservation moves to another one of the same peer if there is one.
    pub(crate) fn disconnected(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        other: Option<ConnectionId>,
        now: Instant,
    ) -> Disconnected {
        let reservation = self.reservations.disconnected(peer, connection, other);
        if reservation.is_some() {
            self.known.see(peer, now);
        }
        Disconnected {
            ended: reservation == Some(None),
            moved: reservation.flatten(),
            circuits: self.circuits.remove_all_on(connection),
        }
    }

    /// All reservations end.
    pub(crate) fn withdraw(&mut self) -> Vec<Expired> {
        self.reservations.clear()
    }

    /// Takes out what ran out of time: reservations, and circuits the destination of which is silent.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> (Vec<Expired>, Vec<(CircuitId, Circuit)>) {
        let expired = self.reservations.expire(now);
        for expired in &expired {
            self.known.see(expired.peer, now);
        }
        (expired, self.circuits.abandon(now, self.patience()))
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let abandon = self.circuits.oldest_unopened().map(|asked| asked + self.patience());
        self.reservations.next_expiry().into_iter().chain(abandon).min()
    }

    pub(crate) fn reservations(&self) -> impl Iterator<Item = (&PeerId, &Reservation)> {
        self.reservations.iter()
    }

    pub(crate) fn has_reservation(&self, peer: &PeerId) -> bool {
        self.reservations.of(peer).is_some()
    }

    pub(crate) fn circuits(&self) -> usize {
        self.circuits.len()
    }

    /// Opening the stream takes a handshake's time at most, and so does the answer. After both the
    /// handler has given up; whoever is still waiting then was forgotten.
    fn patience(&self) -> std::time::Duration {
        self.limits.handshake * 3
    }
}

/// What went with a connection.
#[derive(Debug, Default)]
pub(crate) struct Disconnected {
    pub(crate) ended: bool,
    pub(crate) moved: Option<ConnectionId>,
    pub(crate) circuits: Vec<(CircuitId, Circuit)>,
}

/// How often one may ask.
#[derive(Debug)]
struct Gate {
    peers: Rates<PeerId>,
    origins: Rates<Origin>,
}

impl Gate {
    fn new(peer: crate::Rate, origin: crate::Rate, capacity: usize) -> Self {
        Self { peers: Rates::new(peer, capacity), origins: Rates::new(origin, capacity) }
    }

    /// What one of the two refuses is not charged to the other: one peer cannot use up the rate of
    /// its whole address, nor an address fill up the memory with peer ids.
    fn pass(&mut self, asker: Asker, now: Instant) -> Result<(), Refusal> {
        if asker.origin.is_some_and(|origin| !self.origins.allows(&origin, now)) {
            return Err(Refusal::AddressRate);
        }
        if !self.peers.allows(&asker.peer, now) {
            return Err(Refusal::PeerRate);
        }
        self.peers.take(asker.peer, now);
        if let Some(origin) = asker.origin {
            self.origins.take(origin, now);
        }
        Ok(())
    }
}

/// Counts of addresses and of sites.
#[derive(Debug, Default, PartialEq, Eq)]
struct Origins {
    addresses: std::collections::BTreeMap<Origin, usize>,
    sites: std::collections::BTreeMap<Site, usize>,
}

impl Origins {
    fn has_room(&self, origin: Option<Origin>, per_address: usize, per_site: usize) -> bool {
        let Some(origin) = origin else { return true };
        let at = |site| self.sites.get(&site).copied().unwrap_or(0);
        self.addresses.get(&origin).copied().unwrap_or(0) < per_address
            && origin.site().is_none_or(|site| at(site) < per_site)
    }

    fn add(&mut self, origin: Option<Origin>) {
        let Some(origin) = origin else { return };
        *self.addresses.entry(origin).or_default() += 1;
        if let Some(site) = origin.site() {
            *self.sites.entry(site).or_default() += 1;
        }
    }

    fn remove(&mut self, origin: Option<Origin>) {
        let Some(origin) = origin else { return };
        subtract(&mut self.addresses, &origin);
        if let Some(site) = origin.site() {
            subtract(&mut self.sites, &site);
        }
    }
}

/// One less; what is none is not kept.
fn subtract<Key: Ord>(counts: &mut std::collections::BTreeMap<Key, usize>, key: &Key) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
