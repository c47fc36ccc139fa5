//! Which address others see us at, by the word of many.
//!
//! The crate `discv5` counts votes too, but then signs a record of its own with the winner: a second author of
//! our record. So its counting is off and this one is fed with the PONGs of our own visits.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6},
    time::{Duration, Instant},
};

use causeway_records::{Network, Reach, is_allowed};

/// How long a vote counts.
const VALID: Duration = Duration::from_secs(300);

/// An address that was told stands for so long, whatever comes after it: each change is a new record, which all who
/// know us fetch, and enough liars could call for one with each of their votes.
const STEADY: Duration = Duration::from_secs(300);

/// Votes kept; further voters are not heard until older votes have run out.
const MAX_VOTES: usize = 1024;

/// The runner-up must have less than this many percent of the winner's votes: a router that takes another port
/// for each peer has no address to tell.
const CONTENDER_PERCENT: usize = 70;

/// Our addresses as others confirmed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// The v4 address and port.
    pub v4: Option<SocketAddrV4>,
    /// The v6 address and port.
    pub v6: Option<SocketAddrV6>,
}

impl External {
    pub(super) fn set(&mut self, addr: SocketAddr) {
        match addr {
            SocketAddr::V4(addr) => self.v4 = Some(addr),
            SocketAddr::V6(addr) => self.v6 = Some(addr),
        }
    }
}

/// Who votes: on the public internet a subnet has one vote, however many nodes it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Voter {
    Network(Network),
    Node(SocketAddr),
}

/// The votes of the last minutes.
#[derive(Debug)]
pub(super) struct Votes {
    needed: usize,
    reach: Reach,
    /// Each voter's latest, for each of our address families.
    votes: BTreeMap<(Voter, bool), (SocketAddr, Instant)>,
    /// What was told of each family, and when it changed.
    told: BTreeMap<bool, (SocketAddr, Instant)>,
}

impl Votes {
    /// `needed` voters decide, at least one.
    pub(super) fn new(needed: usize, reach: Reach) -> Self {
        Self { needed: needed.max(1), reach, votes: BTreeMap::new(), told: BTreeMap::new() }
    }

    /// Counts that `from` sees us at `addr`; the address of that family that now has the votes it needs.
    pub(super) fn count(&mut self, from: SocketAddr, addr: SocketAddr, now: Instant) -> Option<SocketAddr> {
        if addr.port() == 0 || !is_allowed(addr.ip(), self.reach) || mapped(addr.ip()) {
            return None;
        }
        let voter = match self.reach {
            Reach::Public => Voter::Network(from.ip().into()),
            Reach::Local => Voter::Node(from),
        };
        let key = (voter, addr.is_ipv4());
        self.votes.retain(|_, (_, at)| now.duration_since(*at) < VALID);
        if self.votes.len() < MAX_VOTES || self.votes.contains_key(&key) {
            self.votes.insert(key, (addr, now));
        }
        let winner = self.winner(addr.is_ipv4())?;
        match self.told.get(&addr.is_ipv4()) {
            Some((told, _)) if *told == winner => {}
            Some((_, at)) if now.duration_since(*at) < STEADY => return None,
            Some(_) | None => {
                self.told.insert(addr.is_ipv4(), (winner, now));
            }
        }
        Some(winner)
    }

    fn winner(&self, v4: bool) -> Option<SocketAddr> {
        let mut tally: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for (addr, _) in self.votes.values().filter(|(addr, _)| addr.is_ipv4() == v4) {
            *tally.entry(*addr).or_default() += 1;
        }
        let (first, votes) = tally.iter().max_by_key(|(_, votes)| **votes)?;
        let contender = tally.iter().filter(|(addr, _)| *addr != first).map(|(_, votes)| *votes).max();
        let clear = contender.unwrap_or(0) * 100 < *votes * CONTENDER_PERCENT;
        (*votes >= self.needed && clear).then_some(*first)
    }
}

/// A v4 address in v6 clothes: nobody who speaks the protocol sends it.
fn mapped(ip: IpAddr) -> bool {
    ip.to_canonical() != ip
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: &str = "8.8.4.4:30313";
    const LIE: &str = "9.9.9.9:1";

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("valid")
    }

    fn voter(subnet: u8, host: u8) -> SocketAddr {
        SocketAddr::from(([1, 2, subnet, host], 30303))
    }

    #[test]
    fn enough_subnets_decide() {
        let start = Instant::now();
        let mut votes = Votes::new(3, Reach::Public);

        assert_eq!(votes.count(voter(1, 1), addr(US), start), None);
        assert_eq!(votes.count(voter(2, 1), addr(US), start), None);
        assert_eq!(votes.count(voter(3, 1), addr(US), start), Some(addr(US)));
    }

    #[test]
    fn one_subnet_has_one_vote() {
        let start = Instant::now();
        let mut votes = Votes::new(3, Reach::Public);

        for host in 1..=100 {
            assert_eq!(votes.count(voter(1, host), addr(LIE), start), None);
        }
    }

    #[test]
    fn a_contended_address_is_not_told() {
        let start = Instant::now();
        let mut votes = Votes::new(3, Reach::Public);

        for subnet in 1..=3 {
            votes.count(voter(subnet, 1), addr(US), start);
        }
        for subnet in 11..=13 {
            assert_eq!(votes.count(voter(subnet, 1), addr(LIE), start).filter(|won| *won == addr(LIE)), None);
        }
        assert_eq!(votes.count(voter(3, 1), addr(US), start), None);
        assert_eq!(votes.count(voter(4, 1), addr(US), start), None); // 4 to 3
        assert_eq!(votes.count(voter(5, 1), addr(US), start), Some(addr(US))); // 5 to 3
    }

    #[test]
    fn what_was_told_stands_for_a_while() {
        let start = Instant::now();
        let mut votes = Votes::new(2, Reach::Public);
        let mut agree = |said: &str, at: Instant| {
            votes.count(voter(1, 1), addr(said), at);
            votes.count(voter(2, 1), addr(said), at)
        };

        assert_eq!(agree(US, start), Some(addr(US)));
        assert_eq!(agree(LIE, start + Duration::from_secs(1)), None);
        assert_eq!(agree(US, start + Duration::from_secs(2)), Some(addr(US)));
        assert_eq!(agree(LIE, start + STEADY), Some(addr(LIE)));
        assert_eq!(agree(US, start + STEADY + Duration::from_secs(1)), None);
    }

    #[test]
    fn old_votes_run_out() {
        let start = Instant::now();
        let mut votes = Votes::new(2, Reach::Public);

        votes.count(voter(1, 1), addr(US), start);

        assert_eq!(votes.count(voter(2, 1), addr(US), start + VALID), None);
    }

    #[test]
    fn each_family_is_voted_on_alone() {
        let start = Instant::now();
        let mut votes = Votes::new(2, Reach::Public);
        let v6 = addr("[2606:4700::1]:30313");

        votes.count(voter(1, 1), addr(US), start);
        votes.count(voter(2, 1), addr(US), start);
        assert_eq!(votes.count(voter(1, 1), v6, start), None);
        assert_eq!(votes.count(voter(2, 1), v6, start), Some(v6));
    }

    #[test]
    fn private_addresses_and_port_zero_win_nothing_on_the_public_internet() {
        let start = Instant::now();
        let mut votes = Votes::new(1, Reach::Public);

        for said in
            ["127.0.0.1:1", "192.168.1.1:1", "8.8.4.4:0", "[::ffff:8.8.4.4]:1", "[::1]:1", "224.0.0.1:1"]
        {
            assert_eq!(votes.count(voter(1, 1), addr(said), start), None, "{said}");
        }
        let mut local = Votes::new(1, Reach::Local);
        assert_eq!(local.count(voter(1, 1), addr("127.0.0.1:1"), start), Some(addr("127.0.0.1:1")));
    }

    #[test]
    fn voters_beyond_the_bound_are_not_heard() {
        let start = Instant::now();
        let mut votes = Votes::new(1, Reach::Local);

        for port in 1..=2000 {
            votes.count(SocketAddr::from(([1, 2, 3, 4], port)), addr(US), start);
        }

        assert_eq!(votes.votes.len(), MAX_VOTES);
    }
}
