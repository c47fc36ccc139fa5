//! The door for strangers: how many connections from one address and its network, and how fast.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use causeway_host::{Denied, HandshakeRate, Rules, TooFast};

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GateError {
    #[error("{limit} connections from this address are open")]
    TooMany { limit: usize },
    #[error("{limit} connections from this address's network are open")]
    TooManyOfNetwork { limit: usize },
    #[error(transparent)]
    TooFast(#[from] TooFast),
    #[error(transparent)]
    Denied(#[from] Denied),
}

/// What the gate holds strangers to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Open connections from one IPv4 address or IPv6 /64.
    pub(crate) of_source: usize,
    /// Open connections from one IPv4 /24.
    pub(crate) of_ipv4_24: usize,
    /// Open connections from one IPv6 /56.
    pub(crate) of_ipv6_56: usize,
    /// New connections a second from one source.
    pub(crate) rate: u32,
}

/// Counts connections by source: an IPv4 address, or an IPv6 /64 (which one host has to itself), and by network.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    bounds: Bounds,
    state: Arc<Mutex<State>>,
}

/// Open connections; no entry where there are none.
#[derive(Debug)]
struct State {
    sources: HashMap<Source, usize>,
    networks: HashMap<Network, usize>,
    rate: HandshakeRate,
}

/// An address without what one host can change at will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
}

/// A /24 of IPv4, or a /56 of IPv6, which many providers give to one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    V4([u8; 3]),
    V6([u8; 7]),
}

impl Source {
    fn network(self) -> Network {
        match self {
            Self::V4([a, b, c, _]) => Network::V4([a, b, c]),
            Self::V6([a, b, c, d, e, f, g, _]) => Network::V6([a, b, c, d, e, f, g]),
        }
    }
}

/// A connection that was let in; leaves when dropped.
#[derive(Debug)]
pub(crate) struct Passed {
    gate: Gate,
    source: Option<Source>,
}

impl Gate {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let rate = HandshakeRate::new(bounds.rate);
        let state = State { sources: HashMap::new(), networks: HashMap::new(), rate };
        Self { bounds, state: Arc::new(Mutex::new(state)) }
    }

    /// Lets a connection from `ip` in, unless `rules` deny it. Loopback has no limits (that is the user's own
    /// machine, or a proxy on it), and allowed networks have none.
    pub(crate) fn pass(&self, ip: IpAddr, rules: &Rules, now: Instant) -> Result<Passed, GateError> {
        rules.check_ip(ip)?;
        let Some(source) = source_of(ip).filter(|_| !rules.exempts(ip)) else {
            return Ok(Passed { gate: self.clone(), source: None });
        };
        let mut state = self.lock();
        let State { sources, networks, rate } = &mut *state;
        let network = source.network();
        let of_network = match network {
            Network::V4(_) => self.bounds.of_ipv4_24,
            Network::V6(_) => self.bounds.of_ipv6_56,
        };
        let Bounds { of_source, .. } = self.bounds;
        if sources.get(&source).is_some_and(|open| *open >= of_source) {
            return Err(GateError::TooMany { limit: of_source });
        }
        if networks.get(&network).is_some_and(|open| *open >= of_network) {
            return Err(GateError::TooManyOfNetwork { limit: of_network });
        }
        rate.take(ip, now)?;
        *sources.entry(source).or_default() += 1;
        *networks.entry(network).or_default() += 1;
        Ok(Passed { gate: self.clone(), source: Some(source) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        let Some(source) = self.source else { return };
        let mut state = self.gate.lock();
        leave(&mut state.sources, source);
        leave(&mut state.networks, source.network());
    }
}

fn leave<K: Eq + Hash>(open: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = open.entry(key) {
        *count.get_mut() -= 1; // an entry stands for at least one
        if *count.get() == 0 {
            count.remove();
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
    use std::time::Duration;

    use super::*;

    const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));

    /// A gate that looks at addresses only.
    fn gate(of_source: usize, rate: u32) -> Door {
        Door::new(Bounds { of_source, of_ipv4_24: usize::MAX, of_ipv6_56: usize::MAX, rate })
    }

    /// A gate with rules.
    struct Door(Gate, Rules);

    impl Door {
        fn new(bounds: Bounds) -> Self {
            Self(Gate::new(bounds), Rules::default())
        }

        fn pass(&self, ip: IpAddr, now: Instant) -> Result<Passed, GateError> {
            self.0.pass(ip, &self.1, now)
        }
    }

    #[test]
    fn a_network_opens_only_so_many() {
        let door = Door::new(Bounds { of_source: 9, of_ipv4_24: 2, of_ipv6_56: 2, rate: 100 });
        let now = Instant::now();
        let pass = |text: &str| door.pass(text.parse().expect("ip"), now);
        let first = pass("203.0.113.1").expect("passes");
        let _second = pass("203.0.113.2").expect("passes");
        let _third = pass("2001:db8:0:101::1").expect("passes");
        let _fourth = pass("2001:db8:0:102::1").expect("passes");

        let full = Some(GateError::TooManyOfNetwork { limit: 2 });
        assert_eq!(pass("203.0.113.3").err(), full);
        assert_eq!(pass("2001:db8:0:103::1").err(), full);
        assert!(pass("203.0.114.3").is_ok() && pass("2001:db8:0:201::1").is_ok());
        drop(first);
        assert!(pass("203.0.113.3").is_ok());
        drop((_second, _third, _fourth));
        assert!(door.0.lock().networks.is_empty());
    }

    #[test]
    fn lists_come_before_limits() {
        let lists = causeway_host::Lists {
            deny: vec!["203.0.113.0/24".parse().expect("subnet"), "127.0.0.1".parse().expect("subnet")],
            allow: vec!["198.51.100.0/24".parse().expect("subnet")],
            only_allowed: false,
        };
        let door = Door(gate(1, 1).0, Rules::new(&lists));
        let now = Instant::now();

        assert!(matches!(door.pass(STRANGER, now), Err(GateError::Denied(Denied::Subnet(_)))));
        assert!(matches!(door.pass([127, 0, 0, 1].into(), now), Err(GateError::Denied(_))));
        let friends: Vec<_> = (0..50).map(|_| door.pass([198, 51, 100, 1].into(), now)).collect();
        assert!(friends.iter().all(Result::is_ok));
    }

    #[test]
    fn one_address_opens_only_so_many() {
        let door = gate(2, 100);
        let now = Instant::now();
        let first = door.pass(STRANGER, now).expect("passes");
        let _second = door.pass(STRANGER, now).expect("passes");

        assert_eq!(door.pass(STRANGER, now).err(), Some(GateError::TooMany { limit: 2 }));

        drop(first);
        assert!(door.pass(STRANGER, now).is_ok());
    }

    #[test]
    fn one_address_opens_only_so_fast() {
        let door = gate(100, 5);
        let now = Instant::now();

        let passed = |now| (0..50).filter(|_| door.pass(STRANGER, now).is_ok()).count();

        assert_eq!(passed(now), 20);
        assert_eq!(passed(now + Duration::from_secs(1)), 5);
        assert_eq!(door.pass(STRANGER, now).err(), Some(GateError::TooFast(TooFast::Source { limit: 5 })));
    }

    #[test]
    fn a_v6_network_is_one_source_and_a_mapped_v4_address_is_v4() {
        let door = gate(1, 100);
        let now = Instant::now();
        let ip = |text: &str| text.parse::<IpAddr>().expect("valid");
        let _held = door.pass(ip("2001:db8:0:1::1"), now).expect("passes");
        let _mapped = door.pass(ip("::ffff:203.0.113.1"), now).expect("passes");

        assert!(door.pass(ip("2001:db8:0:1:ffff::2"), now).is_err());
        assert!(door.pass(ip("2001:db8:0:2::1"), now).is_ok());
        assert!(door.pass(STRANGER, now).is_err());
    }

    #[test]
    fn loopback_is_exempt() {
        let door = gate(1, 1);
        let now = Instant::now();

        let held: Vec<_> = (0..50).map(|_| door.pass([127, 0, 0, 1].into(), now)).collect();

        assert!(held.iter().all(Result::is_ok));
    }

    #[test]
    fn nothing_is_remembered_of_who_left() {
        let door = gate(1, 1);
        let now = Instant::now();
        for number in 0..1000_u32 {
            let [_, a, b, c] = number.to_be_bytes();
            drop(door.pass(IpAddr::from([11, a, b, c]), now).expect("passes"));
        }

        let state = door.0.lock();
        assert_eq!(state.sources.len() + state.networks.len(), 0);
    }
}
