//! Who can be reached through us, and until when.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

use super::{Asker, Origins, Refusal};
use crate::{Limits, origin::Origin};

/// A peer's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) connection: ConnectionId,
    pub(crate) expires: Instant,
    origin: Option<Origin>,
}

/// What a peer got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) expires: Instant,
    /// It had one already.
    pub(crate) renewed: bool,
    /// The other connection that one was on.
    pub(crate) left: Option<ConnectionId>,
}

/// A reservation that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
}

/// At most one for each peer.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    held: BTreeMap<PeerId, Reservation>,
    expiries: BTreeSet<(Instant, PeerId)>,
    origins: Origins,
}

impl Reservations {
    /// A renewal always finds place, except from another address where there is none.
    pub(super) fn grant(
        &mut self,
        asker: Asker,
        known: bool,
        limits: &Limits,
        now: Instant,
    ) -> Result<Granted, Refusal> {
        let before = self.held.get(&asker.peer).copied();
        let kept = if known { 0 } else { limits.reservations_kept };
        if before.is_none() && self.held.len() >= limits.reservations.saturating_sub(kept) {
            return Err(Refusal::ReservationsFull);
        }
        let stays = before.is_some_and(|before| before.origin == asker.origin);
        let (per_address, per_site) = (limits.reservations_per_address, limits.reservations_per_site);
        if !stays && !self.origins.has_room(asker.origin, per_address, per_site) {
            return Err(Refusal::AddressReservations);
        }
        self.remove(&asker.peer);
        let expires = now + limits.reservation_time;
        let reservation = Reservation { connection: asker.connection, expires, origin: asker.origin };
        self.held.insert(asker.peer, reservation);
        self.expiries.insert((expires, asker.peer));
        self.origins.add(asker.origin);
        Ok(Granted {
            expires,
            renewed: before.is_some(),
            left: before.map(|before| before.connection).filter(|left| *left != asker.connection),
        })
    }

    /// `Some(Some(connection))` if it moved there, `Some(None)` if it ended with its connection.
    pub(super) fn disconnected(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        other: Option<ConnectionId>,
    ) -> Option<Option<ConnectionId>> {
        let reservation = self.held.get_mut(&peer).filter(|held| held.connection == connection)?;
        match other {
            Some(other) => reservation.connection = other,
            None => self.remove(&peer),
        }
        Some(other)
    }

    pub(super) fn expire(&mut self, now: Instant) -> Vec<Expired> {
        let mut expired = Vec::new();
        while let Some((at, peer)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            if let Some(reservation) = self.held.get(&peer) {
                expired.push(Expired { peer, connection: reservation.connection });
            }
            self.remove(&peer);
            self.expiries.remove(&(at, peer));
        }
        expired
    }

    pub(super) fn clear(&mut self) -> Vec<Expired> {
        let all = std::mem::take(self).held.into_iter();
        all.map(|(peer, held)| Expired { peer, connection: held.connection }).collect()
    }

    pub(super) fn of(&self, peer: &PeerId) -> Option<&Reservation> {
        self.held.get(peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Reservation)> {
        self.held.iter()
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    fn remove(&mut self, peer: &PeerId) {
        if let Some(reservation) = self.held.remove(peer) {
            self.expiries.remove(&(reservation.expires, *peer));
            self.origins.remove(reservation.origin);
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        assert_eq!(self.held.len(), self.expiries.len());
        let mut origins = Origins::default();
        for (peer, held) in &self.held {
            assert!(self.expiries.contains(&(held.expires, *peer)));
            origins.add(held.origin);
        }
        assert_eq!(origins, self.origins);
    }
}
