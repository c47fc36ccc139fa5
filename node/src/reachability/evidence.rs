//! Gathers what is known of how others reach us.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, SystemTime},
};

use causeway_discovery::{UdpStats, View};
use causeway_mapping::{MappingError, MappingStatus, PortState, Protocol};
use causeway_reachability::{
    Arrival, Carrier, Evidence, Family, Hop, MappedPort, Observed, Outcome, Place, Punches, Transport,
    UdpSeen, VERDICT_LIFE, Verdict,
};
use causeway_records::{Network, Reach};
use causeway_transports::{ReachFacts, Transports};

/// So long something may need to answer before its silence means anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// After so many dials without a single connection, and no answer over UDP, nothing gets through here.
const FRUITLESS: u64 = 20;

/// After so many questions of discovery without any answer, UDP does not work here.
const IN_VAIN: u64 = 5;

/// Failures that the host cannot ascribe to a transport: each punch tries all.
const ANY: &str = "any";

/// How sessions of devp2p call what carries them.
const RLPX: &str = "rlpx";

/// Everything that there is to look at.
pub(super) struct Gathered<'a> {
    pub(super) transports: &'a Transports,
    pub(super) facts: &'a ReachFacts,
    pub(super) mapping: &'a MappingStatus,
    pub(super) view: &'a View,
    pub(super) udp: Option<SocketAddr>,
    pub(super) reach: Reach,
    pub(super) arrivals: Vec<Arrival>,
    /// How long the node is up.
    pub(super) age: Duration,
}

impl Gathered<'_> {
    pub(super) fn evidence(self) -> Evidence {
        let outgoing = outgoing();
        let mut listeners: Vec<Place> =
            self.transports.multiaddrs().iter().filter_map(|text| Place::read(text)).collect();
        let devp2p = self.transports.devp2p_addr().map(|addr| (Transport::Devp2p, addr));
        let discovery = self.udp.map(|addr| (Transport::Discovery, addr));
        for (transport, addr) in devp2p.into_iter().chain(discovery) {
            listeners.extend(places(transport, addr, &outgoing));
        }
        let traffic = self.traffic();
        let udp = udp_seen(traffic, self.view.udp.as_ref(), self.reach, self.age);
        Evidence {
            reach: self.reach,
            listeners,
            outgoing,
            observed: self.observed(),
            verdicts: self.verdicts(),
            mappings: mapped_ports(self.mapping),
            reservations: self.reservations(),
            punched: punched(self.facts),
            udp,
            captive_portal: udp != UdpSeen::Works && self.is_nothing_through(traffic),
            arrivals: self.arrivals,
        }
    }

    /// Only of sockets that listen: other connections have ports that nobody listens at.
    fn observed(&self) -> Vec<Observed> {
        let listening = self.facts.observed.iter().filter(|observed| observed.listener.is_some());
        let read = listening.filter_map(|observed| {
            let by = match (self.reach, observed.at) {
                (Reach::Public, Some(at)) => format!("{:?}", Network::from(at)),
                (Reach::Local, Some(at)) => at.to_string(),
                (_, None) => observed.by.clone(),
            };
            Some(Observed { place: Place::read(&observed.address)?, by })
        });
        read.collect()
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let read = self.facts.verdicts.iter().filter_map(|verdict| {
            Some(Verdict {
                place: Place::read(&verdict.address)?,
                reachable: verdict.reachable,
                confirmations: verdict.confirmations,
                at: verdict.at,
            })
        });
        read.collect()
    }

    fn reservations(&self) -> Vec<Hop> {
        let held = self.facts.reservations.iter();
        held.map(|held| Hop { relay: held.relay.clone(), addresses: held.addresses.clone() }).collect()
    }

    /// What came to us, or from us to others, and over what.
    fn traffic(&self) -> Traffic {
        let sessions = self.transports.connected();
        let direct = self.facts.direct.iter().filter(|(_, count)| **count > 0);
        let names =
            sessions.iter().map(|session| session.transport).chain(direct.map(|(name, _)| name.as_str()));
        let mut traffic = Traffic::default();
        for name in names {
            match Transport::named(name).map(Transport::carrier) {
                Some(Carrier::Udp) => traffic.udp = true,
                Some(Carrier::Tcp) => traffic.tcp = true,
                None => traffic.tcp |= name == RLPX,
            }
        }
        traffic
    }

    /// Whether all that was tried failed, as where one has to sign in before anything works.
    fn is_nothing_through(&self, traffic: Traffic) -> bool {
        let summary = &self.view.summary;
        self.reach == Reach::Public
            && self.age >= PATIENCE
            && summary.dials >= FRUITLESS
            && summary.failed_dials >= summary.dials
            && !(traffic.udp || traffic.tcp)
    }
}

/// What works here.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    udp: bool,
    tcp: bool,
}

/// Whether UDP works, by what was carried over it and by what discovery heard. In a closed network nothing follows from
/// silence: there may be nobody.
fn udp_seen(traffic: Traffic, discovery: Option<&UdpStats>, reach: Reach, age: Duration) -> UdpSeen {
    let heard = discovery
        .is_some_and(|stats| stats.discv5_connected > 0 || stats.discv4_nodes > 0 || stats.found > 0);
    if heard || traffic.udp {
        return UdpSeen::Works;
    }
    let asked = discovery.is_some_and(|stats| stats.asked >= IN_VAIN);
    let silent = asked && reach == Reach::Public && age >= PATIENCE;
    if silent && traffic.tcp { UdpSeen::Blocked } else { UdpSeen::Unknown }
}

fn punched(facts: &ReachFacts) -> BTreeMap<Transport, Punches> {
    let failed = facts.punches.get(ANY).map_or(0, |punches| punches.tried);
    let of = |transport: Transport| {
        let own = facts.punches.get(transport.name()).copied().unwrap_or_default();
        let punches = Punches { tried: own.tried.saturating_add(failed), succeeded: own.succeeded };
        (punches.tried > 0).then_some((transport, punches))
    };
    [Transport::Quic, Transport::Tcp].into_iter().filter_map(of).collect()
}

/// What the router did, as evidence.
pub(crate) fn mapped_ports(status: &MappingStatus) -> Vec<MappedPort> {
    let ports = status.ports.iter().flat_map(|port| {
        [(Family::Ipv4, &port.ipv4), (Family::Ipv6, &port.ipv6)].map(|(family, state)| (port, family, state))
    });
    let read = ports.filter_map(|(port, family, state)| {
        let outcome = match state {
            PortState::Mapped(mapping) => {
                Outcome::Open { external: mapping.external, method: mapping.method.to_string() }
            }
            PortState::Failed(MappingError::DoubleNat { external, .. }) => {
                Outcome::Shared { outside: Some(external.ip()) }
            }
            PortState::Failed(MappingError::NoOutsideAddress { .. }) => Outcome::Shared { outside: None },
            PortState::Failed(_) | PortState::Asking => Outcome::Closed,
            PortState::Unneeded | PortState::Off => return None,
        };
        let carrier = match port.wish.protocol {
            Protocol::Tcp => Carrier::Tcp,
            Protocol::Udp => Carrier::Udp,
        };
        Some(MappedPort { carrier, internal: port.wish.internal, family, outcome })
    });
    read.collect()
}

/// A listener at each address that packets leave by, if it is bound to all.
fn places(transport: Transport, addr: SocketAddr, outgoing: &[IpAddr]) -> Vec<Place> {
    if !addr.ip().is_unspecified() {
        return vec![Place { transport, addr }];
    }
    let served = outgoing.iter().filter(|ip| addr.is_ipv6() || ip.is_ipv4());
    served.map(|ip| Place { transport, addr: SocketAddr::new(*ip, addr.port()) }).collect()
}

/// The addresses by which packets leave this machine. Nothing is sent: the system only chooses.
pub(crate) fn outgoing() -> Vec<IpAddr> {
    let far: [(&str, &str); 2] = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let chosen = far.into_iter().filter_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok()
    });
    chosen.map(|addr| addr.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback()).collect()
}

/// Strangers that came, by the host's counters.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    counts: BTreeMap<String, u64>,
    last: BTreeMap<Transport, Arrival>,
}

impl Arrivals {
    /// Who came so far, and when. Over which family is known only where a transport listens on one.
    pub(super) fn note(
        &mut self,
        counts: &BTreeMap<String, u64>,
        listeners: &[String],
        now: SystemTime,
    ) -> Vec<Arrival> {
        for (name, count) in counts {
            let grown = self.counts.get(name).is_none_or(|before| count > before);
            let Some(transport) = Transport::named(name).filter(|_| grown && *count > 0) else { continue };
            let places = listeners.iter().filter_map(|text| Place::read(text));
            let mut families: Vec<Family> =
                places.filter(|place| place.transport == transport).map(|place| place.family()).collect();
            families.sort_unstable();
            families.dedup();
            if let [family] = families[..] {
                self.last.insert(transport, Arrival { family, transport, at: now });
            }
        }
        self.counts.clone_from(counts);
        let fresh = |arrival: &&Arrival| now.duration_since(arrival.at).is_ok_and(|age| age < VERDICT_LIFE);
        self.last.values().filter(fresh).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use causeway_mapping::{Mapping, Method, PortStatus, PortWish};

    use super::*;

    #[test]
    fn what_the_router_did_is_read_in_both_families() {
        let wish = PortWish { protocol: Protocol::Udp, internal: 30314, name: "quic" };
        let gateway = IpAddr::from([192, 168, 1, 1]);
        let mapping = Mapping {
            external: ([8, 8, 4, 4], 40000).into(),
            internal: ([192, 168, 1, 10], 30314).into(),
            method: Method::Pcp,
            gateway,
            expires: None,
        };
        let double = MappingError::DoubleNat { gateway, external: ([10, 0, 0, 1], 40000).into() };
        let status =
            |ipv4, ipv6| MappingStatus { ports: vec![PortStatus { wish: wish.clone(), ipv4, ipv6 }] };
        let outcomes = |status: &MappingStatus| {
            mapped_ports(status).into_iter().map(|port| (port.family, port.outcome)).collect::<Vec<_>>()
        };

        let open = outcomes(&status(PortState::Mapped(mapping), PortState::Off));
        let shared = outcomes(&status(PortState::Failed(double), PortState::Asking));

        let external = ([8, 8, 4, 4], 40000).into();
        assert_eq!(open, [(Family::Ipv4, Outcome::Open { external, method: "PCP".to_owned() })]);
        let outside = Some([10, 0, 0, 1].into());
        assert_eq!(shared, [(Family::Ipv4, Outcome::Shared { outside }), (Family::Ipv6, Outcome::Closed)]);
    }

    #[test]
    fn punches_that_failed_count_for_every_transport() {
        let mut facts = ReachFacts::default();
        let punches = |tried, succeeded| causeway_transports::Punches { tried, succeeded };
        facts.punches = [("any".to_owned(), punches(2, 0)), ("quic".to_owned(), punches(1, 1))].into();

        let read = punched(&facts);

        assert_eq!(read.get(&Transport::Quic), Some(&Punches { tried: 3, succeeded: 1 }));
        assert_eq!(read.get(&Transport::Tcp), Some(&Punches { tried: 2, succeeded: 0 }));
    }

    #[test]
    fn udp_is_blocked_where_it_was_asked_in_vain_and_tcp_works() {
        let tcp = Traffic { tcp: true, udp: false };
        let asked = UdpStats { asked: IN_VAIN, ..UdpStats::default() };
        let answered = UdpStats { discv5_connected: 1, ..asked.clone() };
        let seen = |traffic, stats: &UdpStats| udp_seen(traffic, Some(stats), Reach::Public, PATIENCE);

        assert_eq!(seen(tcp, &asked), UdpSeen::Blocked);
        assert_eq!(seen(tcp, &answered), UdpSeen::Works);
        assert_eq!(seen(Traffic { udp: true, ..tcp }, &asked), UdpSeen::Works);
        assert_eq!(seen(Traffic::default(), &asked), UdpSeen::Unknown);
        assert_eq!(seen(tcp, &UdpStats::default()), UdpSeen::Unknown);
        assert_eq!(udp_seen(tcp, Some(&asked), Reach::Local, PATIENCE), UdpSeen::Unknown);
        assert_eq!(udp_seen(tcp, Some(&asked), Reach::Public, Duration::ZERO), UdpSeen::Unknown);
        assert_eq!(udp_seen(tcp, None, Reach::Public, PATIENCE), UdpSeen::Unknown);
    }

    #[test]
    fn strangers_count_when_they_come_and_where_it_is_known_over_what() {
        let mut arrivals = Arrivals::default();
        let listeners = ["/ip4/192.168.1.10/tcp/1/ws", "/ip4/192.168.1.10/tcp/2", "/ip6/2606:4700::1/tcp/2"]
            .map(str::to_owned);
        let counts = |ws, tcp| BTreeMap::from([("ws".to_owned(), ws), ("tcp".to_owned(), tcp)]);
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);

        assert!(arrivals.note(&counts(0, 0), &listeners, at(0)).is_empty());
        let ws = Arrival { family: Family::Ipv4, transport: Transport::Ws, at: at(1) };
        assert_eq!(arrivals.note(&counts(1, 1), &listeners, at(1)), [ws]);
        assert_eq!(arrivals.note(&counts(1, 1), &listeners, at(2)), [ws]);
        assert_eq!(arrivals.note(&counts(2, 1), &listeners, at(3)), [Arrival { at: at(3), ..ws }]);
        assert!(arrivals.note(&counts(2, 1), &listeners, at(3) + VERDICT_LIFE).is_empty());
    }

    #[test]
    fn what_is_bound_to_all_addresses_is_at_those_that_packets_leave_by() {
        let outgoing =
            ["192.168.1.10".parse().expect("an address"), "2606:4700::1".parse().expect("an address")];
        let count =
            |addr: &str| places(Transport::Devp2p, addr.parse().expect("an address"), &outgoing).len();

        assert_eq!((count("0.0.0.0:1"), count("[::]:1"), count("127.0.0.1:1")), (1, 2, 1));
    }
}
