//! The door for strangers: how many connections from one address, and how fast.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Addresses remembered. When more come, those without an open connection are forgotten, and with them how
/// fast they came.
const MAX_SOURCES: usize = 4096;

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GateError {
    #[error("{limit} connections from this address are open")]
    TooMany { limit: usize },
    #[error("more than {limit} new connections a second from this address")]
    TooFast { limit: u32 },
    #[error("connections from {limit} addresses are open")]
    Full { limit: usize },
}

/// Counts connections by source: an IPv4 address, or an IPv6 /64 (which one host has to itself).
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    open_limit: usize,
    rate: u32,
    sources: Arc<Mutex<HashMap<Source, Seen>>>,
}

/// An address without what one host can change at will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
}

#[derive(Debug)]
struct Seen {
    open: usize,
    /// Connections it may still make at once.
    tokens: u32,
    refilled: Instant,
}

/// A connection that was let in; leaves when dropped.
#[derive(Debug)]
pub(crate) struct Passed {
    gate: Gate,
    source: Option<Source>,
}

impl Gate {
    pub(crate) fn new(open_limit: usize, rate: u32) -> Self {
        Self { open_limit, rate, sources: Arc::default() }
    }

    /// Lets a connection from `ip` in. Loopback always: that is the user's own machine, or a proxy on it.
    pub(crate) fn pass(&self, ip: IpAddr, now: Instant) -> Result<Passed, GateError> {
        let Some(source) = source_of(ip) else {
            return Ok(Passed { gate: self.clone(), source: None });
        };
        let mut sources = self.lock();
        if sources.len() >= MAX_SOURCES && !sources.contains_key(&source) {
            sources.retain(|_, seen| seen.open > 0);
            if sources.len() >= MAX_SOURCES {
                return Err(GateError::Full { limit: MAX_SOURCES });
            }
        }
        let burst = self.rate.saturating_mul(2);
        let seen = sources.entry(source).or_insert_with(|| Seen { open: 0, tokens: burst, refilled: now });
        seen.refill(self.rate, burst, now);
        if seen.open >= self.open_limit {
            return Err(GateError::TooMany { limit: self.open_limit });
        }
        seen.tokens = seen.tokens.checked_sub(1).ok_or(GateError::TooFast { limit: self.rate })?;
        seen.open += 1;
        Ok(Passed { gate: self.clone(), source: Some(source) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Source, Seen>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn refill(&mut self, rate: u32, burst: u32, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        let whole = u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX);
        if whole > 0 {
            self.tokens = self.tokens.saturating_add(rate.saturating_mul(whole)).min(burst);
            self.refilled += Duration::from_secs(u64::from(whole));
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if let Some(source) = self.source
            && let Some(seen) = self.gate.lock().get_mut(&source)
        {
            seen.open = seen.open.saturating_sub(1);
        }
    }
}

fn source_of(ip: IpAddr) -> Option<Source> {
    match ip.to_canonical() {
        ip if ip.is_loopback() => None,
        IpAddr::V4(ip) => Some(Source::V4(ip.octets())),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            Some(Source::V6([a, b, c, d, e, f, g, h]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

    #[test]
    fn one_address_opens_only_so_many() {
        let gate = Gate::new(2, 100);
        let now = Instant::now();
        let first = gate.pass(STRANGER, now).expect("passes");
        let _second = gate.pass(STRANGER, now).expect("passes");

        assert_eq!(gate.pass(STRANGER, now).err(), Some(GateError::TooMany { limit: 2 }));

        drop(first);
        assert!(gate.pass(STRANGER, now).is_ok());
    }

    #[test]
    fn one_address_opens_only_so_fast() {
        let gate = Gate::new(100, 5);
        let now = Instant::now();

        let passed = |now| (0..50).filter(|_| gate.pass(STRANGER, now).is_ok()).count();

        assert_eq!(passed(now), 10);
        assert_eq!(passed(now + Duration::from_millis(900)), 0);
        assert_eq!(passed(now + Duration::from_secs(1)), 5);
        assert_eq!(passed(now + Duration::from_secs(1_000_000)), 10);
    }

    #[test]
    fn a_v6_network_is_one_source_and_a_mapped_v4_address_is_v4() {
        let gate = Gate::new(1, 100);
        let now = Instant::now();
        let ip = |text: &str| text.parse::<IpAddr>().expect("valid");
        let _held = gate.pass(ip("2001:db8:0:1::1"), now).expect("passes");
        let _mapped = gate.pass(ip("::ffff:203.0.113.1"), now).expect("passes");

        assert!(gate.pass(ip("2001:db8:0:1:ffff::2"), now).is_err());
        assert!(gate.pass(ip("2001:db8:0:2::1"), now).is_ok());
        assert!(gate.pass(STRANGER, now).is_err());
    }

    #[test]
    fn loopback_is_exempt() {
        let gate = Gate::new(1, 1);
        let now = Instant::now();

        let held: Vec<_> = (0..50).map(|_| gate.pass([127, 0, 0, 1].into(), now)).collect();

        assert!(held.iter().all(Result::is_ok));
    }

    #[test]
    fn many_sources_are_forgotten_not_collected() {
        let gate = Gate::new(1, 1);
        let now = Instant::now();
        for number in 0..3 * MAX_SOURCES as u32 {
            let [_, a, b, c] = number.to_be_bytes();
            drop(gate.pass(IpAddr::from([11, a, b, c]), now).expect("passes"));
        }

        assert!(gate.lock().len() <= MAX_SOURCES);
    }
}
