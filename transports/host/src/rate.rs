//! How fast one address may come: a token bucket for each. No clock.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::gate::{Origin, origins_of};

/// How many may come at once, for each that may come in a second.
const BURST: u32 = 4;

/// Addresses remembered at once, at some 50 bytes each.
const MAX_SOURCES: usize = 16_384;

/// Shortest time between two searches for addresses that can be forgotten, while all places are taken.
const SWEEP: Duration = Duration::from_millis(100);

/// Holds each IPv4 address and each IPv6 /64 to so many new connections a second; four times as many may come at
/// once. The loopback is exempt: that is the user's own machine, or a proxy on it.
///
/// An address is remembered until its bucket is full again, which takes four seconds at most.
#[derive(Debug)]
pub struct HandshakeRate {
    limit: u32,
    /// When each bucket is full again, which says all about it.
    full_again: HashMap<Origin, Instant>,
    swept: Option<Instant>,
}

/// Why a connection comes too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooFast {
    /// This address has used up its share.
    #[error("more than {limit} new connections a second from this address")]
    Source {
        /// The limit.
        limit: u32,
    },
    /// So many addresses came within seconds that there is no room to count another one.
    #[error("new connections from {limit} addresses within seconds")]
    All {
        /// The limit.
        limit: usize,
    },
}

impl HandshakeRate {
    /// At most `limit` new connections a second from one address; 0 counts as 1.
    pub fn new(limit: u32) -> Self {
        Self { limit: limit.max(1), full_again: HashMap::new(), swept: None }
    }

    /// Counts a connection from `ip`.
    ///
    /// # Errors
    /// If it comes too early; it is not counted then.
    pub fn take(&mut self, ip: IpAddr, now: Instant) -> Result<(), TooFast> {
        let ip = ip.to_canonical();
        let Some(source) = origins_of(ip).next().filter(|_| !ip.is_loopback()) else { return Ok(()) };
        let one = Duration::from_secs(1) / self.limit;
        let full_again = match self.full_again.get(&source) {
            Some(full_again) => now.max(*full_again) + one,
            None => {
                self.make_room(now)?;
                now + one
            }
        };
        if full_again - now > one * self.limit.saturating_mul(BURST) {
            return Err(TooFast::Source { limit: self.limit });
        }
        self.full_again.insert(source, full_again);
        Ok(())
    }

    fn make_room(&mut self, now: Instant) -> Result<(), TooFast> {
        let full = |sources: usize| sources >= MAX_SOURCES;
        if full(self.full_again.len()) && self.swept.is_none_or(|swept| now >= swept + SWEEP) {
            self.full_again.retain(|_, full_again| *full_again > now);
            self.swept = Some(now);
        }
        if full(self.full_again.len()) { Err(TooFast::All { limit: MAX_SOURCES }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("ip")
    }

    fn taken(rate: &mut HandshakeRate, from: &str, now: Instant) -> usize {
        (0..100).filter(|_| rate.take(ip(from), now).is_ok()).count()
    }

    #[test]
    fn five_a_second_and_twenty_at_once() {
        let mut rate = HandshakeRate::new(5);
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);

        assert_eq!(taken(&mut rate, "203.0.113.1", start), 20);
        assert_eq!(rate.take(ip("203.0.113.1"), after(199)), Err(TooFast::Source { limit: 5 }));
        assert_eq!(taken(&mut rate, "203.0.113.1", after(200)), 1);
        assert_eq!(taken(&mut rate, "203.0.113.1", after(1_200)), 5);
        assert_eq!(taken(&mut rate, "203.0.113.1", after(1_000_000)), 20);
        assert_eq!(taken(&mut rate, "203.0.113.1", start), 0, "a clock that goes back gives nothing");
    }

    #[test]
    fn each_address_has_its_own_share_and_a_v6_network_one_together() {
        let mut rate = HandshakeRate::new(1);
        let now = Instant::now();

        assert_eq!(taken(&mut rate, "203.0.113.1", now), 4);
        assert_eq!(taken(&mut rate, "::ffff:203.0.113.1", now), 0);
        assert_eq!(taken(&mut rate, "203.0.113.2", now), 4);
        assert_eq!(taken(&mut rate, "2001:db8:0:1::1", now), 4);
        assert_eq!(taken(&mut rate, "2001:db8:0:1:ffff::1", now), 0);
        assert_eq!(taken(&mut rate, "2001:db8:0:2::1", now), 4);
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(taken(&mut rate, loopback, now), 100);
        }
    }

    #[test]
    fn addresses_are_forgotten_when_their_bucket_is_full_and_not_before() {
        let mut rate = HandshakeRate::new(1);
        let start = Instant::now();
        let nth = |number: u32| IpAddr::from([10, (number >> 16) as u8, (number >> 8) as u8, number as u8]);
        for number in 0..MAX_SOURCES as u32 {
            rate.take(nth(number), start).expect("room");
        }

        let refused = Err(TooFast::All { limit: MAX_SOURCES });
        assert_eq!(rate.take(ip("203.0.113.1"), start), refused);
        assert_eq!(rate.take(nth(7), start), Ok(()), "who is known is judged as ever");
        assert_eq!(rate.take(ip("203.0.113.1"), start + Duration::from_millis(999)), refused);
        let later = start + Duration::from_millis(1_100);
        assert_eq!(rate.take(ip("203.0.113.1"), later), Ok(()));
        assert_eq!(rate.full_again.len(), 2, "the newcomer and the one who came twice");
        assert_eq!(taken(&mut rate, "10.0.0.7", later), 3, "which is remembered");
    }

    #[test]
    fn a_limit_of_nothing_is_one_and_a_huge_one_does_no_harm() {
        let now = Instant::now();
        assert_eq!(taken(&mut HandshakeRate::new(0), "203.0.113.1", now), 4);
        assert_eq!(taken(&mut HandshakeRate::new(u32::MAX), "203.0.113.1", now), 100);
    }
}
