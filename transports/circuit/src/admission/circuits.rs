//! Circuits that are open or about to be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

use super::{Origins, Refusal, subtract};
use crate::{Limits, origin::Origin};

/// A circuit of this relay; no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CircuitId(u64);

impl CircuitId {
    #[cfg(test)]
    pub(crate) fn new_unchecked(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for CircuitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who talks to whom on which connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Circuit {
    pub(crate) source: PeerId,
    pub(crate) source_connection: ConnectionId,
    pub(crate) destination: PeerId,
    pub(crate) destination_connection: ConnectionId,
    pub(crate) origin: Option<Origin>,
    pub(crate) asked: Instant,
    /// When the destination agreed.
    pub(crate) opened: Option<Instant>,
}

/// All circuits, and how many each party has.
#[derive(Debug, Default)]
pub(super) struct Circuits {
    next: u64,
    all: BTreeMap<CircuitId, Circuit>,
    unopened: BTreeSet<(Instant, CircuitId)>,
    on: BTreeSet<(ConnectionId, CircuitId)>,
    sources: BTreeMap<PeerId, usize>,
    destinations: BTreeMap<PeerId, usize>,
    origins: Origins,
}

impl Circuits {
    pub(super) fn add(&mut self, circuit: Circuit, limits: &Limits) -> Result<CircuitId, Refusal> {
        let count = |counts: &BTreeMap<PeerId, usize>, peer| counts.get(peer).copied().unwrap_or(0);
        if self.all.len() >= limits.circuits {
            return Err(Refusal::CircuitsFull);
        }
        if count(&self.sources, &circuit.source) >= limits.circuits_per_source {
            return Err(Refusal::SourceCircuits);
        }
        if count(&self.destinations, &circuit.destination) >= limits.circuits_per_destination {
            return Err(Refusal::DestinationCircuits);
        }
        if !self.origins.has_room(circuit.origin, limits.circuits_per_address, limits.circuits_per_site) {
            return Err(Refusal::AddressCircuits);
        }
        let id = CircuitId(self.next);
        self.next += 1;
        self.all.insert(id, circuit);
        self.unopened.insert((circuit.asked, id));
        self.on.extend([(circuit.source_connection, id), (circuit.destination_connection, id)]);
        *self.sources.entry(circuit.source).or_default() += 1;
        *self.destinations.entry(circuit.destination).or_default() += 1;
        self.origins.add(circuit.origin);
        Ok(id)
    }

    /// `None` if it is not there, or open already.
    pub(super) fn open(&mut self, id: CircuitId, now: Instant) -> Option<&Circuit> {
        let circuit = self.all.get_mut(&id).filter(|circuit| circuit.opened.is_none())?;
        circuit.opened = Some(now);
        self.unopened.remove(&(circuit.asked, id));
        Some(circuit)
    }

    pub(super) fn remove(&mut self, id: CircuitId) -> Option<Circuit> {
        let circuit = self.all.remove(&id)?;
        self.unopened.remove(&(circuit.asked, id));
        self.on.remove(&(circuit.source_connection, id));
        self.on.remove(&(circuit.destination_connection, id));
        subtract(&mut self.sources, &circuit.source);
        subtract(&mut self.destinations, &circuit.destination);
        self.origins.remove(circuit.origin);
        Some(circuit)
    }

    pub(super) fn remove_all_on(&mut self, connection: ConnectionId) -> Vec<(CircuitId, Circuit)> {
        let range = (connection, CircuitId(0))..=(connection, CircuitId(u64::MAX));
        let ids: Vec<_> = self.on.range(range).map(|(_, id)| *id).collect();
        ids.into_iter().filter_map(|id| Some((id, self.remove(id)?))).collect()
    }

    /// Those that have waited for so long.
    pub(super) fn abandon(&mut self, now: Instant, patience: Duration) -> Vec<(CircuitId, Circuit)> {
        let waited = |(asked, _): &(Instant, CircuitId)| now.saturating_duration_since(*asked) >= patience;
        let ids: Vec<_> = self.unopened.iter().copied().take_while(waited).collect();
        ids.into_iter().filter_map(|(_, id)| Some((id, self.remove(id)?))).collect()
    }

    pub(super) fn oldest_unopened(&self) -> Option<Instant> {
        self.unopened.first().map(|(asked, _)| *asked)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut again = Self::default();
        for (id, circuit) in &self.all {
            *again.sources.entry(circuit.source).or_default() += 1;
            *again.destinations.entry(circuit.destination).or_default() += 1;
            again.origins.add(circuit.origin);
            again.on.extend([(circuit.source_connection, *id), (circuit.destination_connection, *id)]);
            if circuit.opened.is_none() {
                again.unopened.insert((circuit.asked, *id));
            }
        }
        assert_eq!((&again.sources, &again.destinations), (&self.sources, &self.destinations));
        assert_eq!((&again.origins, &again.on, &again.unopened), (&self.origins, &self.on, &self.unopened));
    }

    #[cfg(test)]
    pub(super) fn check_limits(&self, limits: &Limits) {
        assert!(self.sources.values().all(|count| *count <= limits.circuits_per_source));
        assert!(self.destinations.values().all(|count| *count <= limits.circuits_per_destination));
        assert!(self.origins.addresses.values().all(|count| *count <= limits.circuits_per_address));
        assert!(self.origins.sites.values().all(|count| *count <= limits.circuits_per_site));
    }
}
