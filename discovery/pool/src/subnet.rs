//! Subnets, and how often each was dialed lately: whoever owns one must not become all our peers, and nobody may
//! point many of our dials at one network.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use causeway_records::{Host, Multiaddr, Network, Reach, Way, is_allowed};

/// Time in which the dials into a subnet are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// The network of a public address; none of others: our own network is not rationed.
fn of_ip(ip: IpAddr) -> Option<Network> {
    is_allowed(ip.to_canonical(), Reach::Public).then(|| ip.into())
}

/// Every public network into which these ways lead. Names are not known here.
pub(crate) fn of_ways(ways: &[Way]) -> BTreeSet<Network> {
    let ips = ways.iter().flat_map(|way| match way {
        Way::Devp2p(enodes) => enodes
            .iter()
            .filter_map(|enode| match enode.host {
                Host::Ip(ip) => Some(ip),
                Host::Name(_) => None,
            })
            .collect::<Vec<_>>(),
        Way::Libp2p(addrs) => addrs.iter().filter_map(Multiaddr::ip).collect(),
    });
    ips.filter_map(of_ip).collect()
}

/// The dials of the last minute, by subnet.
#[derive(Debug, Default)]
pub(crate) struct RecentDials(BTreeMap<Network, VecDeque<Instant>>);

impl RecentDials {
    /// When all of `subnets` have had fewer than `most` dials within a minute; `None` if that is so now.
    pub(crate) fn free_at(&self, subnets: &BTreeSet<Network>, most: usize, now: Instant) -> Option<Instant> {
        let busy_until = |subnet| {
            let dials = self.0.get(subnet)?;
            let oldest_that_counts = dials.len().checked_sub(most)?;
            let at = dials.get(oldest_that_counts).map_or(now, |dial| *dial);
            at.checked_add(WINDOW).filter(|free| *free > now)
        };
        subnets.iter().filter_map(busy_until).max()
    }

    pub(crate) fn note(&mut self, subnets: &BTreeSet<Network>, now: Instant) {
        self.0.retain(|_, dials| {
            dials.retain(|dial| now.saturating_duration_since(*dial) < WINDOW);
            !dials.is_empty()
        });
        for subnet in subnets {
            self.0.entry(*subnet).or_default().push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(ip: &str) -> Option<Network> {
        of_ip(ip.parse().expect("valid"))
    }

    #[test]
    fn neighbours_share_a_subnet_and_home_has_none() {
        assert!(subnet("8.8.4.1").is_some());
        assert_eq!(subnet("8.8.4.1"), subnet("8.8.4.254"));
        assert_eq!(subnet("8.8.4.1"), subnet("::ffff:8.8.4.9"));
        assert_eq!([subnet("192.168.1.1"), subnet("127.0.0.1"), subnet("::1")], [None; 3]);
    }

    #[test]
    fn a_subnet_is_free_again_a_minute_after_its_dials() {
        let start = Instant::now();
        let subnets: BTreeSet<Network> = subnet("8.8.4.1").into_iter().collect();
        let mut dials = RecentDials::default();

        dials.note(&subnets, start);
        assert_eq!(dials.free_at(&subnets, 2, start), None);
        dials.note(&subnets, start + WINDOW / 2);

        assert_eq!(dials.free_at(&subnets, 2, start + WINDOW / 2), Some(start + WINDOW));
        assert_eq!(dials.free_at(&subnets, 2, start + WINDOW), None);
        dials.note(&subnets, start + WINDOW * 2);
        assert_eq!(dials.0.values().map(VecDeque::len).sum::<usize>(), 1);
    }

    #[test]
    fn no_dials_allowed_is_no_dial() {
        let start = Instant::now();
        let subnets: BTreeSet<Network> = subnet("8.8.4.1").into_iter().collect();
        let mut dials = RecentDials::default();
        dials.note(&subnets, start);

        assert_eq!(dials.free_at(&subnets, 0, start), Some(start + WINDOW));
    }
}
