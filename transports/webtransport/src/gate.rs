//! Who is let in: connections and handshakes under way, in all and of one network address.
//!
//! A handshake counts as a connection from the start, so one that is finished always finds its place.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::config::Limits;

/// What is counted as one: an IPv4 address, or an IPv6 network of 64 bits, which is what a household gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Origin(IpAddr);

impl Origin {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            v4 @ IpAddr::V4(_) => Self(v4),
            IpAddr::V6(v6) => Self(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 64)))),
        }
    }
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Full {
    /// Connections and handshakes in all.
    #[error("{0} connections in all")]
    Connections(usize),
    /// Connections and handshakes of one address.
    #[error("{0} connections of one address")]
    ConnectionsOfOne(usize),
    /// Handshakes under way in all.
    #[error("{0} handshakes under way")]
    Handshakes(usize),
    /// Handshakes under way of one address.
    #[error("{0} handshakes of one address under way")]
    HandshakesOfOne(usize),
}

/// What is done with a first packet.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The handshake goes on, and holds its place by this.
    Accept(Place),
    /// The client is to show that it receives what is sent to its address.
    Retry,
    /// It is refused.
    Refuse(Full),
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    connections: usize,
    handshakes: usize,
}

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    of_one: BTreeMap<Origin, Count>,
}

/// Numbers of a listener's gate, to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateReport {
    /// Connections, with the handshakes under way.
    pub connections: usize,
    /// Handshakes under way.
    pub handshakes: usize,
    /// Clients refused for a limit, so far.
    pub refused: u64,
    /// Clients asked to show their address first, so far.
    pub retried: u64,
}

#[derive(Debug)]
struct Inner {
    limits: Limits,
    counts: Mutex<Counts>,
    refused: AtomicU64,
    retried: AtomicU64,
}

impl Inner {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gate of a transport; its listeners share it. Clones are the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Inner>);

impl Gate {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            limits,
            counts: Mutex::default(),
            refused: AtomicU64::new(0),
            retried: AtomicU64::new(0),
        }))
    }

    /// Judges a client at its first packet. `validated`: it has shown that it receives at its address.
    pub(crate) fn judge(&self, ip: IpAddr, validated: bool) -> Verdict {
        let limits = &self.0.limits;
        let origin = Origin::of(ip);
        let mut counts = self.0.counts();
        // An address that may be false must not fill up what belongs to the true one, so Retry comes first.
        if !validated && counts.all.handshakes >= limits.retry_from {
            self.0.retried.fetch_add(1, Ordering::Relaxed);
            return Verdict::Retry;
        }
        let of_one = counts.of_one.get(&origin).copied().unwrap_or_default();
        let full = if counts.all.connections >= limits.connections {
            Some(Full::Connections(limits.connections))
        } else if of_one.connections >= limits.connections_of_one {
            Some(Full::ConnectionsOfOne(limits.connections_of_one))
        } else if counts.all.handshakes >= limits.handshakes {
            Some(Full::Handshakes(limits.handshakes))
        } else if of_one.handshakes >= limits.handshakes_of_one {
            Some(Full::HandshakesOfOne(limits.handshakes_of_one))
        } else {
            None
        };
        if let Some(full) = full {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            return Verdict::Refuse(full);
        }
        let counts = &mut *counts;
        for count in [&mut counts.all, counts.of_one.entry(origin).or_default()] {
            count.connections += 1;
            count.handshakes += 1;
        }
        Verdict::Accept(Place { gate: self.clone(), origin, handshake: true })
    }

    pub(crate) fn report(&self) -> GateReport {
        let all = self.0.counts().all;
        GateReport {
            connections: all.connections,
            handshakes: all.handshakes,
            refused: self.0.refused.load(Ordering::Relaxed),
            retried: self.0.retried.load(Ordering::Relaxed),
        }
    }
}

/// A connection's place behind the gate, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Gate,
    origin: Origin,
    handshake: bool,
}

impl Place {
    /// The handshake is over.
    pub(crate) fn establish(&mut self) {
        if std::mem::take(&mut self.handshake) {
            self.count(|count| count.handshakes = count.handshakes.saturating_sub(1));
        }
    }

    fn count(&self, change: impl Fn(&mut Count)) {
        let mut counts = self.gate.0.counts();
        change(&mut counts.all);
        if let Some(count) = counts.of_one.get_mut(&self.origin) {
            change(count);
            if count.connections == 0 {
                counts.of_one.remove(&self.origin);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.establish();
        self.count(|count| count.connections = count.connections.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(change: impl FnOnce(&mut Limits)) -> Gate {
        let mut limits = Limits {
            connections: 4,
            connections_of_one: 3,
            handshakes: 3,
            handshakes_of_one: 2,
            retry_from: 100,
            ..Limits::default()
        };
        change(&mut limits);
        Gate::new(limits)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn accept(gate: &Gate, from: &str) -> Place {
        match gate.judge(ip(from), false) {
            Verdict::Accept(place) => place,
            other => panic!("{other:?}"),
        }
    }

    fn refused(gate: &Gate, from: &str) -> Full {
        match gate.judge(ip(from), false) {
            Verdict::Refuse(full) => full,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_limit_is_kept() {
        let gate = gate(|_| ());
        let mut places = vec![accept(&gate, "10.0.0.1"), accept(&gate, "10.0.0.1")];
        assert_eq!(refused(&gate, "10.0.0.1"), Full::HandshakesOfOne(2));
        places.push(accept(&gate, "10.0.0.2"));
        assert_eq!(refused(&gate, "10.0.0.3"), Full::Handshakes(3));
        places.iter_mut().for_each(Place::establish);
        places.push(accept(&gate, "10.0.0.1"));
        assert_eq!(refused(&gate, "10.0.0.3"), Full::Connections(4));
        places.remove(2);
        assert_eq!(refused(&gate, "10.0.0.1"), Full::ConnectionsOfOne(3));
        assert_eq!(gate.report(), GateReport { connections: 3, handshakes: 1, refused: 4, retried: 0 });
    }

    #[test]
    fn places_are_free_again_and_leave_nothing_behind() {
        let gate = gate(|_| ());
        for _ in 0..10 {
            let mut place = accept(&gate, "10.0.0.1");
            place.establish();
            place.establish();
            drop(place);
            drop(accept(&gate, "10.0.0.2"));
        }
        assert_eq!(gate.report(), GateReport::default());
        assert!(gate.0.counts().of_one.is_empty());
    }

    #[test]
    fn under_load_an_address_is_to_be_shown_first() {
        let gate = gate(|limits| limits.retry_from = 1);
        let _place = accept(&gate, "10.0.0.1");
        assert!(matches!(gate.judge(ip("10.0.0.2"), false), Verdict::Retry));
        assert!(matches!(gate.judge(ip("10.0.0.2"), true), Verdict::Accept(_)));
        assert_eq!(gate.report().retried, 1);
    }

    #[test]
    fn addresses_of_one_household_count_as_one() {
        let gate = gate(|limits| limits.handshakes_of_one = 1);
        let _place = accept(&gate, "2001:db8:1:2::3");
        assert_eq!(refused(&gate, "2001:db8:1:2:ffff::4"), Full::HandshakesOfOne(1));
        let _place = accept(&gate, "2001:db8:1:3::3");
        let _place = accept(&gate, "10.0.0.1");
        assert_eq!(Origin::of(ip("::ffff:10.0.0.1")), Origin::of(ip("10.0.0.1")));
    }
}
