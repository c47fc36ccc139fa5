//! Who is let in: connections and handshakes under way, in all and of one network address, and how fast.
//!
//! A handshake counts as a connection from the start, so one that is finished always finds its place.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::config::Limits;

/// Buckets that handshakes take their tokens from. Which one belongs to an address nobody outside knows; addresses
/// that share one share its rate. So their number does not grow with what strangers make up.
const BUCKETS: usize = 4_096;

/// What is counted as one: an IPv4 address, or an IPv6 network of 64 bits, which is what a household gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// STUN requests that got no answer for the rate of their address, so far.
    pub throttled: u64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

#[derive(Debug)]
struct Inner {
    limits: Limits,
    counts: Mutex<Counts>,
    buckets: Mutex<Vec<Option<Bucket>>>,
    hash: RandomState,
    refused: AtomicU64,
    throttled: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The gate of a transport; its listeners share it. Clones are the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Inner>);

impl Gate {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            limits,
            counts: Mutex::default(),
            buckets: Mutex::new(vec![None; BUCKETS]),
            hash: RandomState::new(),
            refused: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
        }))
    }

    /// Whether an address may begin once more.
    pub(crate) fn take_token(&self, ip: IpAddr, now: Instant) -> bool {
        let limits = &self.0.limits;
        let full = f64::from(limits.handshake_burst);
        let index = self.0.hash.hash_one(Origin::of(ip)) % BUCKETS as u64;
        let mut buckets = lock(&self.0.buckets);
        let Some(bucket) = buckets.get_mut(index as usize) else { return false };
        let bucket = bucket.get_or_insert(Bucket { tokens: full, at: now });
        let gained =
            now.saturating_duration_since(bucket.at).as_secs_f64() * f64::from(limits.handshake_rate);
        *bucket = Bucket { tokens: (bucket.tokens + gained).min(full), at: now.max(bucket.at) };
        let enough = bucket.tokens >= 1.0;
        if enough {
            bucket.tokens -= 1.0;
        } else {
            self.0.throttled.fetch_add(1, Ordering::Relaxed);
        }
        enough
    }

    /// Lets a client in that sends its first record of DTLS.
    pub(crate) fn enter(&self, ip: IpAddr) -> Result<Place, Full> {
        let limits = &self.0.limits;
        let origin = Origin::of(ip);
        let mut counts = lock(&self.0.counts);
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
            return Err(full);
        }
        let counts = &mut *counts;
        for count in [&mut counts.all, counts.of_one.entry(origin).or_default()] {
            count.connections += 1;
            count.handshakes += 1;
        }
        Ok(Place { gate: self.clone(), origin, handshake: true })
    }

    pub(crate) fn report(&self) -> GateReport {
        let all = lock(&self.0.counts).all;
        GateReport {
            connections: all.connections,
            handshakes: all.handshakes,
            refused: self.0.refused.load(Ordering::Relaxed),
            throttled: self.0.throttled.load(Ordering::Relaxed),
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
        let mut counts = lock(&self.gate.0.counts);
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
    use std::time::Duration;

    use super::*;

    fn gate() -> Gate {
        Gate::new(Limits {
            connections: 4,
            connections_of_one: 3,
            handshakes: 3,
            handshakes_of_one: 2,
            handshake_rate: 2,
            handshake_burst: 3,
            ..Limits::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_limit_is_kept() {
        let gate = gate();
        let enter = |from| gate.enter(ip(from));
        let mut places = vec![enter("10.0.0.1").expect("room"), enter("10.0.0.1").expect("room")];
        assert_eq!(enter("10.0.0.1").err(), Some(Full::HandshakesOfOne(2)));
        places.push(enter("10.0.0.2").expect("room"));
        assert_eq!(enter("10.0.0.3").err(), Some(Full::Handshakes(3)));
        places.iter_mut().for_each(Place::establish);
        places.push(enter("10.0.0.1").expect("room"));
        assert_eq!(enter("10.0.0.3").err(), Some(Full::Connections(4)));
        places.remove(2);
        assert_eq!(enter("10.0.0.1").err(), Some(Full::ConnectionsOfOne(3)));
        assert_eq!(gate.report(), GateReport { connections: 3, handshakes: 1, refused: 4, throttled: 0 });
        places.clear();
        assert_eq!(gate.report().connections, 0);
        assert!(lock(&gate.0.counts).of_one.is_empty(), "nothing is left behind");
    }

    #[test]
    fn addresses_of_one_household_count_as_one() {
        let gate = gate();
        let _places = [gate.enter(ip("2001:db8:1:2::3")), gate.enter(ip("2001:db8:1:2:ffff::4"))];
        assert_eq!(gate.enter(ip("2001:db8:1:2::9")).err(), Some(Full::HandshakesOfOne(2)));
        assert!(gate.enter(ip("2001:db8:1:3::3")).is_ok());
        assert_eq!(Origin::of(ip("::ffff:10.0.0.1")), Origin::of(ip("10.0.0.1")));
    }

    #[test]
    fn an_address_that_begins_too_often_has_to_wait() {
        let gate = gate();
        let start = Instant::now();
        let take = |seconds| gate.take_token(ip("10.0.0.1"), start + Duration::from_secs_f64(seconds));
        assert_eq!([0.0; 4].map(take), [true, true, true, false]);
        assert_eq!([0.4, 0.6, 0.6].map(take), [false, true, false]);
        assert_eq!([99.0; 4].map(take), [true, true, true, false]);
        assert_eq!(gate.report().throttled, 4);
        assert!(!take(0.0), "a clock that goes back gives nothing");
    }
}
