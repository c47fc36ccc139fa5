//! Collects what is found out about how we are reached, within bounds, for whoever watches.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::sync::watch;

use super::{Observed, Punches, ReachFacts, Reservation, Verdict, keeper::Relay};

/// Observations kept; the oldest go first.
const MAX_OBSERVED: usize = 64;

/// Verdicts kept; the oldest go first.
const MAX_VERDICTS: usize = 64;

/// What is known, shared by the swarm's task and the handles.
#[derive(Debug)]
pub(crate) struct ReachLog {
    facts: watch::Sender<ReachFacts>,
    /// What the next tests are to be about.
    candidates: Mutex<Vec<libp2p::Multiaddr>>,
    /// Relays that may be asked for places.
    offered: Mutex<Vec<Relay>>,
}

impl Default for ReachLog {
    fn default() -> Self {
        Self {
            facts: watch::Sender::new(ReachFacts::default()),
            candidates: Mutex::default(),
            offered: Mutex::default(),
        }
    }
}

impl ReachLog {
    pub(crate) fn watch(&self) -> watch::Receiver<ReachFacts> {
        self.facts.subscribe()
    }

    pub(crate) fn candidates(&self) -> Vec<libp2p::Multiaddr> {
        self.candidates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_candidates(&self, candidates: Vec<libp2p::Multiaddr>) {
        *self.candidates.lock().unwrap_or_else(PoisonError::into_inner) = candidates;
    }

    pub(crate) fn offered(&self) -> Vec<Relay> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_offered(&self, relays: Vec<Relay>) {
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = relays;
    }

    pub(crate) fn listening(&self, listeners: Vec<String>) {
        self.change(|facts| {
            let changed = facts.listeners != listeners;
            facts.listeners = listeners;
            changed
        });
    }

    pub(crate) fn observed(&self, seen: Observed) {
        self.change(|facts| {
            let known = |old: &Observed| old.by == seen.by && old.listener == seen.listener;
            let before = facts.observed.iter().position(known);
            if before.and_then(|index| facts.observed.get(index)) == Some(&seen) {
                return false;
            }
            if let Some(index) = before {
                facts.observed.remove(index);
            } else if facts.observed.len() >= MAX_OBSERVED {
                facts.observed.remove(0);
            }
            facts.observed.push(seen);
            true
        });
    }

    pub(crate) fn verdict(&self, verdict: Verdict) {
        self.change(|facts| {
            facts.verdicts.retain(|old| old.address != verdict.address);
            if facts.verdicts.len() >= MAX_VERDICTS {
                facts.verdicts.remove(0);
            }
            facts.verdicts.push(verdict);
            true
        });
    }

    /// Addresses at which others reached us.
    pub(crate) fn reachable(&self) -> Vec<libp2p::Multiaddr> {
        let facts = self.facts.borrow();
        let reached = facts.verdicts.iter().filter(|verdict| verdict.reachable);
        reached.filter_map(|verdict| verdict.address.parse().ok()).collect()
    }

    pub(crate) fn expired(&self, address: &str) {
        self.change(|facts| {
            let before = facts.verdicts.len();
            facts.verdicts.retain(|verdict| verdict.address != address);
            facts.verdicts.len() != before
        });
    }

    /// A reservation was granted, for the first time or again.
    pub(crate) fn granted(&self, relay: String, bytes: Option<u64>, time: Option<Duration>) {
        let now = SystemTime::now();
        self.change(|facts| {
            match facts.reservations.iter_mut().find(|reservation| reservation.relay == relay) {
                Some(reservation) => {
                    (reservation.granted, reservation.bytes, reservation.time) = (now, bytes, time);
                }
                None => facts.reservations.push(Reservation {
                    relay,
                    addresses: Vec::new(),
                    since: now,
                    granted: now,
                    bytes,
                    time,
                }),
            }
            true
        });
    }

    /// A relay reaches us at these addresses; with none, it does no longer.
    pub(crate) fn relayed(&self, relay: &str, addresses: Vec<String>) {
        let now = SystemTime::now();
        self.change(|facts| {
            if addresses.is_empty() {
                let before = facts.reservations.len();
                facts.reservations.retain(|reservation| reservation.relay != relay);
                return facts.reservations.len() != before;
            }
            match facts.reservations.iter_mut().find(|reservation| reservation.relay == relay) {
                Some(reservation) => reservation.addresses = addresses,
                None => facts.reservations.push(Reservation {
                    relay: relay.to_owned(),
                    addresses,
                    since: now,
                    granted: now,
                    bytes: None,
                    time: None,
                }),
            }
            true
        });
    }

    /// A hole punch came to a connection over this transport, or to nothing.
    pub(crate) fn punched(&self, transport: Option<&'static str>) {
        self.change(|facts| {
            let punches: &mut Punches =
                facts.punches.entry(transport.unwrap_or("any").to_owned()).or_default();
            punches.tried += 1;
            punches.succeeded += u64::from(transport.is_some());
            true
        });
    }

    /// A stranger came without a relay between; `ip` is where from.
    pub(crate) fn came(&self, transport: &'static str, ip: IpAddr) {
        if is_near(ip) {
            return;
        }
        self.change(|facts| {
            *facts.direct.entry(transport.to_owned()).or_default() += 1;
            true
        });
    }

    /// A swarm that is no more holds no reservations.
    pub(crate) fn clear(&self) {
        self.change(|facts| {
            let changed = !facts.reservations.is_empty();
            facts.reservations.clear();
            changed
        });
    }

    fn change(&self, change: impl FnOnce(&mut ReachFacts) -> bool) {
        self.facts.send_if_modified(change);
    }
}

/// Whether somebody at `ip` may be in our own network, so that his coming says nothing about routers.
fn is_near(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(by: usize, port: u16) -> Observed {
        Observed {
            address: format!("/ip4/192.0.2.1/udp/{port}/quic-v1"),
            listener: None,
            by: by.to_string(),
            at: None,
        }
    }

    #[test]
    fn who_sees_us_anew_replaces_what_he_saw_and_strangers_fill_no_memory() {
        let log = ReachLog::default();
        let mut watch = log.watch();
        for by in 0..1000 {
            log.observed(seen(by, 1));
        }
        log.observed(seen(999, 2));
        watch.mark_unchanged();

        log.observed(seen(999, 2));

        assert!(!watch.has_changed().expect("alive"), "nothing new was said");
        let observed = &log.watch().borrow().observed.clone();
        assert_eq!(observed.len(), MAX_OBSERVED);
        assert_eq!(observed.last(), Some(&seen(999, 2)));
    }

    #[test]
    fn a_reservation_lasts_until_its_relay_is_gone() {
        let log = ReachLog::default();
        log.relayed("relay", vec!["/p2p-circuit".to_owned()]);
        log.granted("relay".to_owned(), Some(7), None);
        let held = log.watch().borrow().reservations.clone();
        assert_eq!((held.len(), held[0].bytes), (1, Some(7)));

        log.relayed("relay", Vec::new());

        assert!(log.watch().borrow().reservations.is_empty());
    }

    #[test]
    fn neighbours_say_nothing_about_our_router() {
        let log = ReachLog::default();
        log.came("quic", [10, 0, 0, 1].into());
        log.came("quic", [192, 0, 2, 1].into());

        assert_eq!(log.watch().borrow().direct.get("quic"), Some(&1));
    }
}
