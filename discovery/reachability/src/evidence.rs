//! What is known of how others may reach us, as plain data.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime},
};

use causeway_records::{Reach, is_allowed};

use crate::{Carrier, Family, Place, Transport};

/// How long a dial-back counts, and that a stranger came. Who tests us has verdicts end earlier; an address that was not
/// reached is tried again after an hour at the latest.
pub const VERDICT_LIFE: Duration = Duration::from_secs(2 * 60 * 60);

/// All that is known.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Which addresses count as outside: in laboratories private ones do.
    pub reach: Reach,
    /// Where we listen, each interface by itself where that is known.
    pub listeners: Vec<Place>,
    /// The addresses of this machine with which packets leave it.
    pub outgoing: Vec<IpAddr>,
    /// What peers see us at.
    pub observed: Vec<Observed>,
    /// What became of others' attempts to dial us.
    pub verdicts: Vec<Verdict>,
    /// What the router did.
    pub mappings: Vec<MappedPort>,
    /// Places that relays keep for us now.
    pub reservations: Vec<Hop>,
    /// Hole punches.
    pub punched: BTreeMap<Transport, Punches>,
    /// Whether anything came over UDP.
    pub udp: UdpSeen,
    /// Nothing gets through at all, as where one has to sign in first.
    pub captive_portal: bool,
    /// Strangers that came by themselves.
    pub arrivals: Vec<Arrival>,
}

/// What one peer sees one of our listeners at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The transport, and where.
    pub place: Place,
    /// Who says so: those that cannot be told apart (one peer, or one network's peers) have the same name.
    pub by: String,
}

/// What became of others' attempts to dial an address of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Where they dialed.
    pub place: Place,
    /// Whether they got through.
    pub reachable: bool,
    /// How many say so.
    pub confirmations: u32,
    /// When the last of them did.
    pub at: SystemTime,
}

/// A port that the router was asked to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedPort {
    /// TCP or UDP.
    pub carrier: Carrier,
    /// Our port.
    pub internal: u16,
    /// In which family.
    pub family: Family,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a port that the router was asked to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is open.
    Open {
        /// Where others should reach it.
        external: SocketAddr,
        /// How it was asked for.
        method: String,
    },
    /// The router's own address outside is none that others reach: there is another router behind it.
    Shared {
        /// That address, where the router tells it.
        outside: Option<IpAddr>,
    },
    /// It is not open, or not yet.
    Closed,
}

/// A relay that keeps a place for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Its peer id.
    pub relay: String,
    /// Where others reach us through it, as multiaddrs.
    pub addresses: Vec<String>,
}

/// Hole punches of one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Punches {
    /// How often it was tried.
    pub tried: u64,
    /// How often it worked.
    pub succeeded: u64,
}

/// Whether UDP works here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UdpSeen {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// Answers came.
    Works,
    /// Much was asked over UDP and nothing answered, while TCP works.
    Blocked,
}

/// A stranger that dialed us directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Over which family.
    pub family: Family,
    /// Over what.
    pub transport: Transport,
    /// When.
    pub at: SystemTime,
}

impl Evidence {
    /// Nothing is known yet.
    pub fn none(reach: Reach) -> Self {
        Self {
            reach,
            listeners: Vec::new(),
            outgoing: Vec::new(),
            observed: Vec::new(),
            verdicts: Vec::new(),
            mappings: Vec::new(),
            reservations: Vec::new(),
            punched: BTreeMap::new(),
            udp: UdpSeen::Unknown,
            captive_portal: false,
            arrivals: Vec::new(),
        }
    }

    /// Whether others could reach an address at all. An address that a provider shares is ours alone, and a VPN's,
    /// where an interface has it that packets do not leave by.
    pub(crate) fn is_outside(&self, ip: IpAddr) -> bool {
        is_allowed(ip, self.reach) && !self.is_vpn(ip)
    }

    /// Whether an address out of 100.64.0.0/10 belongs to a VPN of this machine.
    pub(crate) fn is_vpn(&self, ip: IpAddr) -> bool {
        is_shared(ip)
            && !self.outgoing.contains(&ip)
            && self.listeners.iter().any(|listener| listener.addr.ip() == ip)
    }

    /// Whether one of our interfaces has the address.
    pub(crate) fn is_local(&self, ip: IpAddr) -> bool {
        self.outgoing.contains(&ip) || self.listeners.iter().any(|listener| listener.addr.ip() == ip)
    }

    /// The address at which the router's forwarding leads to us.
    pub fn lan_address(&self) -> Option<IpAddr> {
        let listening = self.listeners.iter().map(|listener| listener.addr.ip());
        let known = self.outgoing.iter().copied().chain(listening);
        let mut usable =
            known.filter(|ip| ip.is_ipv4() && !ip.is_loopback() && !ip.is_unspecified() && !self.is_vpn(*ip));
        usable.next()
    }

    /// What the router did for a listener.
    pub(crate) fn mapping(&self, family: Family, carrier: Carrier, internal: u16) -> Option<&Outcome> {
        let mut found = self.mappings.iter().filter(|mapping| {
            (mapping.family, mapping.carrier, mapping.internal) == (family, carrier, internal)
        });
        found.next().map(|mapping| &mapping.outcome)
    }

    /// Whether the router, or our own interface, has an address that many homes share.
    pub(crate) fn is_behind_shared(&self, family: Family) -> bool {
        let router = self.mappings.iter().filter(|mapping| mapping.family == family).any(|mapping| {
            matches!(&mapping.outcome, Outcome::Shared { outside } if !outside.is_some_and(|ip| self.is_vpn(ip)))
        });
        router
            || self
                .outgoing
                .iter()
                .any(|ip| Family::of(*ip) == family && is_shared(*ip) && self.reach == Reach::Public)
    }
}

/// Whether something at `at` still counts. What seems to come from the future does: the clock was set back.
pub(crate) fn counts(at: SystemTime, now: SystemTime) -> bool {
    now.duration_since(at).is_ok_and(|age| age < VERDICT_LIFE) || at > now
}

/// 100.64.0.0/10, which providers give to many homes at once, and some VPNs to their members.
fn is_shared(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.to_bits() & 0xffc0_0000 == Ipv4Addr::new(100, 64, 0, 0).to_bits(),
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(ip: [u8; 4]) -> Place {
        Place { transport: Transport::Quic, addr: (ip, 30314).into() }
    }

    #[test]
    fn a_shared_address_is_a_vpns_unless_packets_leave_by_it() {
        let mut evidence = Evidence::none(Reach::Public);
        evidence.outgoing = vec![[192, 168, 1, 10].into()];
        evidence.listeners = vec![listener([100, 100, 1, 1]), listener([192, 168, 1, 10])];
        assert!(evidence.is_vpn([100, 100, 1, 1].into()));
        assert!(!evidence.is_vpn([100, 100, 1, 2].into()));
        assert!(!evidence.is_behind_shared(Family::Ipv4));
        assert_eq!(evidence.lan_address(), Some([192, 168, 1, 10].into()));

        evidence.outgoing = vec![[100, 100, 1, 1].into()];
        assert!(!evidence.is_vpn([100, 100, 1, 1].into()));
        assert!(evidence.is_behind_shared(Family::Ipv4));
    }

    #[test]
    fn evidence_grows_old_but_a_clock_that_was_set_back_costs_nothing() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(counts(now, now));
        assert!(counts(now + Duration::from_secs(5), now));
        assert!(counts(now - VERDICT_LIFE + Duration::from_secs(1), now));
        assert!(!counts(now - VERDICT_LIFE, now));
    }
}
