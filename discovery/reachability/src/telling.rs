//! What others are told: the endpoints of our record, libp2p's addresses, and which addresses are to be tested first.

use std::net::{IpAddr, SocketAddr};

use causeway_records::{Contents, Multiaddr, Part};

use crate::{Confidence, Evidence, Family, Finding, Outcome, Place, Reachability, Telling, Transport};

/// Most addresses that identify tells: as many as the host takes.
pub const MAX_TOLD: usize = 16;

/// Most addresses through relays among them.
const MAX_RELAYED: usize = 4;

/// Most addresses through one relay.
const MAX_OF_RELAY: usize = 2;

/// How our addresses come to be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// By what others see and the router says.
    #[default]
    Others,
    /// Only those that we are bound to.
    BoundOnly,
    /// The user says; ports outside are those inside.
    Fixed(IpAddr),
}

/// What we know of ourselves.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// How our addresses come to be known.
    pub policy: Policy,
    /// libp2p's listeners, with their certificates' hashes and our peer id.
    pub listening: Vec<Multiaddr>,
    /// Listeners by DNS names, in the form of records.
    pub named: Vec<Multiaddr>,
    /// Where RLPx listens.
    pub devp2p: Option<SocketAddr>,
    /// Where discovery listens.
    pub discovery: Option<SocketAddr>,
    /// Where enough nodes of discovery see us, in each family.
    pub seen: Vec<SocketAddr>,
}

/// What others are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The endpoints of our record; nothing else is set.
    pub endpoints: Contents,
    /// libp2p's addresses for identify, at most [`MAX_TOLD`], the more useful first.
    pub libp2p: Vec<String>,
}

/// Addresses that others should test before they are told: ports that the router opened, the address that the user
/// named, and our own where it is one that others may reach.
pub fn candidates(own: &Own, evidence: &Evidence) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let places = own.listening.iter().filter_map(|listener| Some((Place::of(listener)?, listener)));
    // A certificate holds for a name: by its address alone nobody dials a secure WebSocket.
    let mut places: Vec<_> = places.filter(|(place, _)| place.transport != Transport::Wss).collect();
    places.sort_by_key(|(place, _)| place.transport);
    for (place, listener) in places {
        let mut addrs = Vec::new();
        if let Some(Outcome::Open { external, .. }) =
            evidence.mapping(place.family(), place.transport.carrier(), place.addr.port())
        {
            addrs.push(*external);
        }
        match own.policy {
            Policy::Fixed(ip) if Family::of(ip) == place.family() => {
                addrs.push(SocketAddr::new(ip, place.addr.port()));
            }
            Policy::Fixed(_) | Policy::Others | Policy::BoundOnly => addrs.push(place.addr),
        }
        for addr in addrs {
            if addr.port() != 0 && evidence.is_outside(addr.ip()) && !addr.ip().is_loopback() {
                let text = at(listener, addr).to_string();
                if !found.contains(&text) && found.len() < MAX_TOLD {
                    found.push(text);
                }
            }
        }
    }
    found
}

/// What others are told of us, as things stand.
pub fn tell(own: &Own, found: &Reachability, evidence: &Evidence) -> Told {
    let look = Look { own, found, evidence };
    let (v4, v6) = (look.family(Family::Ipv4), look.family(Family::Ipv6));
    let mut endpoints = Contents {
        ip: match v4.ip {
            Some(IpAddr::V4(ip)) => Some(ip),
            Some(IpAddr::V6(_)) | None => None,
        },
        ip6: match v6.ip {
            Some(IpAddr::V6(ip)) => Some(ip),
            Some(IpAddr::V4(_)) | None => None,
        },
        tcp: v4.devp2p,
        udp: v4.discovery,
        tcp6: v6.devp2p,
        udp6: v6.discovery,
        quic: v4.quic,
        quic6: v6.quic,
        ..Contents::default()
    };
    // Ports without an address of their family are the other's, as records have them: `tcp6` falls back to `tcp`.
    endpoints.tcp = endpoints.tcp.or(endpoints.tcp6);
    endpoints.udp = endpoints.udp.or(endpoints.udp6);
    endpoints.multiaddrs = own.named.clone();
    endpoints.multiaddrs.extend(v4.websocket.into_iter().chain(v6.websocket));
    let needs_none = found.state.is_direct() && found.confidence > Confidence::Low;
    endpoints.relays = if needs_none { Vec::new() } else { look.relayed() };
    let libp2p = look.libp2p(&endpoints, [v4.ip, v6.ip]);
    Told { endpoints, libp2p }
}

struct Look<'a> {
    own: &'a Own,
    found: &'a Reachability,
    evidence: &'a Evidence,
}

/// What the record says of one family.
#[derive(Default)]
struct Said {
    ip: Option<IpAddr>,
    devp2p: Option<u16>,
    discovery: Option<u16>,
    quic: Option<u16>,
    websocket: Option<Multiaddr>,
}

impl Look<'_> {
    fn family(&self, family: Family) -> Said {
        let ip = self.ip(family);
        let listener = |transport| {
            let places = self.own.listening.iter().filter_map(Place::of);
            let mut here =
                places.filter(move |place| place.family() == family && place.transport == transport);
            here.next().map(|place| place.addr)
        };
        let in_family = |addr: Option<SocketAddr>| addr.filter(|addr| serves(*addr, family));
        let port = |transport, addr: Option<SocketAddr>| {
            addr.and_then(|addr| self.port(family, transport, addr.port(), ip))
        };
        let websocket = port(Transport::Ws, listener(Transport::Ws));
        let websocket = ip.zip(websocket).and_then(|(ip, port)| {
            let host = if ip.is_ipv4() { "ip4" } else { "ip6" };
            format!("/{host}/{ip}/tcp/{port}/ws").parse().ok()
        });
        Said {
            ip,
            devp2p: port(Transport::Devp2p, in_family(self.own.devp2p)),
            discovery: self.discovery(family, ip),
            quic: port(Transport::Quic, listener(Transport::Quic)),
            websocket: websocket.filter(|_| self.tells_websocket(family)),
        }
    }

    /// Our address of a family, by whoever knows it best.
    fn ip(&self, family: Family) -> Option<IpAddr> {
        let of_family = |ip: &IpAddr| Family::of(*ip) == family;
        let bound = || {
            let addr = self.own.devp2p.or(self.own.discovery)?;
            Some(addr.ip()).filter(|ip| !ip.is_unspecified()).filter(of_family)
        };
        match self.own.policy {
            Policy::Fixed(ip) if of_family(&ip) => Some(ip),
            Policy::Fixed(_) | Policy::BoundOnly => bound(),
            Policy::Others => {
                let seen = || self.own.seen.iter().map(SocketAddr::ip).find(of_family);
                self.addresses(family).next().map(|addr| addr.ip()).or_else(seen).or_else(bound)
            }
        }
    }

    /// Where we are reached directly, or the router says so.
    fn addresses(&self, family: Family) -> impl Iterator<Item = SocketAddr> {
        let here =
            move |finding: &&Finding| finding.family == family && finding.telling == Telling::Addresses;
        self.found.findings.iter().filter(here).flat_map(|finding| finding.addresses.iter().copied())
    }

    /// The port at which `transport` is told at `ip`, if it is.
    fn port(&self, family: Family, transport: Transport, bound: u16, ip: Option<IpAddr>) -> Option<u16> {
        if self.own.policy != Policy::Others {
            return Some(bound);
        }
        let Some(finding) = self.found.finding(family, transport) else {
            return (!self.is_left_out(family, transport, bound)).then_some(bound);
        };
        match finding.telling {
            Telling::Nothing => None,
            Telling::AsBound => (!self.is_left_out(family, transport, bound)).then_some(bound),
            Telling::Addresses => {
                finding.addresses.iter().find(|addr| Some(addr.ip()) == ip).map(SocketAddr::port)
            }
        }
    }

    /// Whether the router opened other ports and not this one: then nobody gets through to it.
    fn is_left_out(&self, family: Family, transport: Transport, bound: u16) -> bool {
        let open = |outcome: &Outcome| matches!(outcome, Outcome::Open { .. });
        let any =
            self.evidence.mappings.iter().any(|mapping| mapping.family == family && open(&mapping.outcome));
        any && !self.evidence.mapping(family, transport.carrier(), bound).is_some_and(open)
    }

    /// Nodes of discovery reach us where they see us, whatever stands between: without this key they would not know
    /// us at all.
    fn discovery(&self, family: Family, ip: Option<IpAddr>) -> Option<u16> {
        let bound = self.own.discovery.filter(|addr| serves(*addr, family))?;
        if self.own.policy != Policy::Others {
            return Some(bound.port());
        }
        let seen = || self.own.seen.iter().find(|addr| Some(addr.ip()) == ip).map(SocketAddr::port);
        let finding = self.found.finding(family, Transport::Discovery);
        let open = finding.filter(|finding| finding.telling == Telling::Addresses);
        let open = open.and_then(|finding| finding.addresses.iter().find(|addr| Some(addr.ip()) == ip));
        open.map(SocketAddr::port).or_else(seen).or_else(|| Some(bound.port()))
    }

    /// Over IPv6 only where it is known to work: records are small.
    fn tells_websocket(&self, family: Family) -> bool {
        let known = self.found.finding(family, Transport::Ws);
        family == Family::Ipv4 || known.is_some_and(|finding| finding.telling == Telling::Addresses)
    }

    /// Every libp2p address: those of the record, through relays, and each listener where it is reached.
    fn libp2p(&self, endpoints: &Contents, ips: [Option<IpAddr>; 2]) -> Vec<String> {
        let mut told: Vec<String> = Vec::new();
        let mut push = |address: String| {
            if !told.contains(&address) && told.len() < MAX_TOLD {
                told.push(address);
            }
        };
        let id = self.own.listening.iter().find_map(|address| match address.parts().last() {
            Some(Part::P2p(_)) => address.parts().last().map(ToString::to_string),
            _ => None,
        });
        let id = id.unwrap_or_default();
        let mut direct = Vec::new();
        for listener in &self.own.listening {
            let Some(place) = Place::of(listener).filter(|place| place.transport != Transport::Wss) else {
                continue;
            };
            let ip = ips.into_iter().flatten().find(|ip| Family::of(*ip) == place.family());
            for addr in self.told_at(&place, ip) {
                direct.push((place.transport, at(listener, addr).to_string()));
            }
        }
        direct.sort_by_key(|(transport, _)| *transport);
        let (first, rest): (Vec<_>, Vec<_>) = direct
            .into_iter()
            .partition(|(transport, _)| matches!(transport, Transport::Quic | Transport::Tcp));
        first.into_iter().for_each(|(_, address)| push(address));
        endpoints.multiaddrs.iter().for_each(|address| push(format!("{address}{id}")));
        self.relayed().iter().for_each(|address| push(address.to_string()));
        rest.into_iter().for_each(|(_, address)| push(address));
        told
    }

    /// Where others reach us through relays that they can reach, too; of each relay a few.
    fn relayed(&self) -> Vec<Multiaddr> {
        let each = self.evidence.reservations.iter().map(|hop| {
            let read = hop.addresses.iter().filter_map(|text| text.parse::<Multiaddr>().ok());
            let usable = read.filter(|address| {
                address.relay().is_some() && address.ip().is_none_or(|ip| self.evidence.is_outside(ip))
            });
            usable.take(MAX_OF_RELAY)
        });
        each.flatten().take(MAX_RELAYED).collect()
    }

    /// Where a libp2p listener is told to be.
    fn told_at(&self, place: &Place, ip: Option<IpAddr>) -> Vec<SocketAddr> {
        let finding = self.found.finding(place.family(), place.transport);
        let telling = finding.map_or(Telling::AsBound, |finding| finding.telling);
        if self.own.policy == Policy::Others && telling == Telling::Addresses {
            return finding.map(|finding| finding.addresses.clone()).unwrap_or_default();
        }
        // A TCP listener that nobody tested is in no record either.
        if place.transport == Transport::Tcp {
            return Vec::new();
        }
        let port = self.port(place.family(), place.transport, place.addr.port(), ip);
        ip.zip(port).map(|(ip, port)| SocketAddr::new(ip, port)).into_iter().collect()
    }
}

/// Whether something bound to `addr` is there for a family: `::` is for both.
fn serves(addr: SocketAddr, family: Family) -> bool {
    Family::of(addr.ip()) == family || (addr.is_ipv6() && addr.ip().is_unspecified())
}

/// A listener's multiaddr at another address.
fn at(listener: &Multiaddr, addr: SocketAddr) -> Multiaddr {
    let parts = listener.parts().iter().enumerate().map(|(index, part)| match (index, part) {
        (0, _) => match addr.ip() {
            IpAddr::V4(ip) => Part::Ip4(ip),
            IpAddr::V6(ip) => Part::Ip6(ip),
        },
        (1, Part::Tcp(_)) => Part::Tcp(addr.port()),
        (1, Part::Udp(_)) => Part::Udp(addr.port()),
        (_, part) => part.clone(),
    });
    let text: String = parts.map(|part| part.to_string()).collect();
    text.parse().unwrap_or_else(|_| listener.clone())
}
