//! What the way out does to our ports, by what peers see us at.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use serde::Serialize;

use crate::{Carrier, Evidence, Family, Transport};

/// Peers that must see the same listener before anything follows.
const OBSERVERS: usize = 2;

/// So many percent of them must agree for an address to be the one. Some few may remember an address that we had
/// before, or lie.
const AGREE_PERCENT: usize = 70;

/// What the way out does to our ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Translation {
    /// Too few peers have said what they see.
    Unknown,
    /// Nothing: peers see the address that we have.
    None,
    /// Every peer sees the same address.
    EndpointIndependent,
    /// Each peer sees another port.
    EndpointDependent,
}

/// What happens to packets of a transport; that of others with the same carrier where it was not seen itself.
pub(crate) fn translation(evidence: &Evidence, family: Family, transport: Transport) -> Translation {
    match of_transport(evidence, family, transport) {
        Translation::Unknown => of_carrier(evidence, family, transport.carrier()),
        known => known,
    }
}

fn of_carrier(evidence: &Evidence, family: Family, carrier: Carrier) -> Translation {
    let seen: BTreeSet<Transport> = evidence
        .observed
        .iter()
        .map(|observed| observed.place.transport)
        .filter(|transport| transport.carrier() == carrier)
        .collect();
    let mut each = seen.into_iter().map(|transport| of_transport(evidence, family, transport));
    each.find(|found| *found != Translation::Unknown).unwrap_or(Translation::Unknown)
}

fn of_transport(evidence: &Evidence, family: Family, transport: Transport) -> Translation {
    // Each observer's last word.
    let mut words: BTreeMap<&str, SocketAddr> = BTreeMap::new();
    for observed in &evidence.observed {
        let place = observed.place;
        if place.transport == transport && place.family() == family && evidence.is_outside(place.addr.ip()) {
            words.insert(&observed.by, place.addr);
        }
    }
    if words.len() < OBSERVERS {
        return Translation::Unknown;
    }
    let mut tally: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for addr in words.values() {
        *tally.entry(*addr).or_default() += 1;
    }
    let Some((winner, votes)) = tally.into_iter().max_by_key(|(_, votes)| *votes) else {
        return Translation::Unknown;
    };
    if votes * 100 < words.len() * AGREE_PERCENT {
        return Translation::EndpointDependent;
    }
    if evidence.is_local(winner.ip()) { Translation::None } else { Translation::EndpointIndependent }
}

#[cfg(test)]
mod tests {
    use causeway_records::Reach;

    use super::*;
    use crate::{Observed, Place};

    fn seen(views: &[(&str, Transport, &str)]) -> Evidence {
        let mut evidence = Evidence::none(Reach::Public);
        evidence.outgoing = vec![[192, 168, 1, 10].into(), [8, 8, 4, 4].into()];
        evidence.observed = views
            .iter()
            .map(|(by, transport, addr)| Observed {
                place: Place { transport: *transport, addr: addr.parse().expect("an address") },
                by: (*by).to_owned(),
            })
            .collect();
        evidence
    }

    fn of(views: &[(&str, Transport, &str)]) -> Translation {
        translation(&seen(views), Family::Ipv4, Transport::Quic)
    }

    #[test]
    fn two_who_agree_or_differ_decide() {
        use Transport::Quic;
        assert_eq!(of(&[]), Translation::Unknown);
        assert_eq!(of(&[("a", Quic, "1.1.1.1:7")]), Translation::Unknown);
        assert_eq!(of(&[("a", Quic, "1.1.1.1:7"), ("a", Quic, "1.1.1.1:8")]), Translation::Unknown);
        assert_eq!(
            of(&[("a", Quic, "1.1.1.1:7"), ("b", Quic, "1.1.1.1:7")]),
            Translation::EndpointIndependent
        );
        assert_eq!(of(&[("a", Quic, "1.1.1.1:7"), ("b", Quic, "1.1.1.1:8")]), Translation::EndpointDependent);
        assert_eq!(of(&[("a", Quic, "8.8.4.4:7"), ("b", Quic, "8.8.4.4:7")]), Translation::None);
    }

    #[test]
    fn one_liar_among_many_changes_nothing() {
        let mut views: Vec<_> = ["a", "b", "c", "d"].map(|by| (by, Transport::Quic, "1.1.1.1:7")).to_vec();
        views.push(("e", Transport::Quic, "9.9.9.9:9"));

        assert_eq!(of(&views), Translation::EndpointIndependent);
    }

    #[test]
    fn what_another_transport_shows_holds_for_the_same_carrier_only() {
        use Transport::{Tcp, WebTransport};
        let over = |transport| [("a", transport, "1.1.1.1:7"), ("b", transport, "1.1.1.1:8")];

        assert_eq!(of(&over(WebTransport)), Translation::EndpointDependent);
        assert_eq!(of(&over(Tcp)), Translation::Unknown);
    }

    #[test]
    fn neighbours_in_the_home_say_nothing_about_the_router() {
        use Transport::Quic;
        let views = [("a", Quic, "192.168.1.10:7"), ("b", Quic, "192.168.1.10:7")];

        assert_eq!(of(&views), Translation::Unknown);
    }
}
