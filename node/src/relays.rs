//! Which relays may be asked to keep a place for us, while nobody reaches us directly.

use std::{str::FromStr, time::Duration};

use causeway_discovery::View;
use causeway_pool::{PeerInfo, PeerState, Role};
use causeway_reachability::{Confidence, Reachability, State};
use causeway_records::{Multiaddr, Part, Reach, Record, is_allowed};

/// Most addresses that are offered at a time.
const MAX_OFFERED: usize = 32;

/// Most addresses of one relay.
const MAX_ADDRESSES: usize = 2;

/// So long nothing is asked of relays while it is not known whether they are needed.
const GRACE: Duration = Duration::from_secs(10);

/// Whether relays are of use: not where others reach us directly, as they showed themselves.
pub(crate) fn wanted(found: &Reachability, age: Duration) -> bool {
    match found.state {
        State::Public | State::Mapped => found.confidence == Confidence::Low && age >= GRACE,
        State::Punchable | State::RelayedOnly | State::Unreachable => true,
        State::Unknown => age >= GRACE,
    }
}

/// Other Causeways with addresses that others may reach: those that are reached through relays themselves last, and
/// the connected ones first.
pub(crate) fn candidates(view: &View, reach: Reach) -> Vec<String> {
    let known = |peer: &&PeerInfo| {
        peer.role == Some(Role::Relay) && !matches!(peer.state, PeerState::Dropped | PeerState::Waiting)
    };
    let peers = view.peers.iter().filter(known);
    let mut peers: Vec<(&PeerInfo, Vec<Multiaddr>)> = peers.map(|peer| (peer, addresses(peer))).collect();
    // Stable: among equals the pool's order stays.
    peers.sort_by_key(|(peer, addresses)| {
        let is_relayed = addresses.iter().any(|address| address.relay().is_some());
        (is_relayed, peer.state != PeerState::Connected, std::cmp::Reverse(peer.worth))
    });
    let mut offered = Vec::new();
    for (_, addresses) in peers {
        for address in addresses.into_iter().filter(|address| is_usable(address, reach)).take(MAX_ADDRESSES) {
            let text = address.to_string();
            if offered.len() < MAX_OFFERED && !offered.contains(&text) {
                offered.push(text);
            }
        }
    }
    offered
}

/// Where a peer is, by its record and by what else is known.
fn addresses(peer: &PeerInfo) -> Vec<Multiaddr> {
    let record = peer.record.as_deref().and_then(|text| Record::from_str(text).ok());
    let mut addresses = record.map(|record| record.libp2p_addrs()).unwrap_or_default();
    addresses.extend(peer.addresses.iter().filter_map(|text| text.parse().ok()));
    addresses
}

/// Whether a relay can be dialed there by us and by others: with its id, through no relay itself.
fn is_usable(address: &Multiaddr, reach: Reach) -> bool {
    address.relay().is_none()
        && !address.parts().contains(&Part::Circuit)
        && address.is_dialable()
        && matches!(address.parts().last(), Some(Part::P2p(_)))
        && address.ip().is_none_or(|ip| is_allowed(ip, reach))
}

#[cfg(test)]
mod tests {
    use causeway_pool::{Source, Summary};

    use super::*;

    const ID: &str = "/p2p/16Uiu2HAmT14ttcUrwsTn5fwCUc4qY4twN2HqyZgSgZKUMtVei6SC";

    fn peer(state: PeerState, role: Role, addresses: &[String]) -> PeerInfo {
        PeerInfo {
            key: String::new(),
            role: Some(role),
            source: Source::Rendezvous,
            state,
            stacks: Vec::new(),
            inbound: false,
            client: String::new(),
            connected_for: None,
            wait: None,
            worth: 0,
            latency_ms: None,
            failures: 0,
            last_seen: None,
            record: None,
            addresses: addresses.to_vec(),
        }
    }

    fn view(peers: Vec<PeerInfo>) -> View {
        View { summary: Summary::default(), peers, udp: None, topics: None }
    }

    #[test]
    fn connected_relays_with_public_addresses_come_first_and_those_behind_relays_last() {
        let at = |ip: &str| format!("/ip4/{ip}/udp/1/quic-v1{ID}");
        let through = format!("/ip4/1.1.1.9/udp/1/quic-v1{ID}/p2p-circuit{ID}");
        let view = view(vec![
            peer(PeerState::Candidate, Role::Relay, &[at("1.1.1.1")]),
            peer(PeerState::Connected, Role::Relay, &[at("1.1.1.0")]),
            peer(PeerState::Connected, Role::LesFullNode, &[at("1.1.1.2")]),
            peer(PeerState::Waiting, Role::Relay, &[at("1.1.1.3")]),
            peer(
                PeerState::Connected,
                Role::Relay,
                &[
                    at("192.168.1.1"),
                    through,
                    "enode://x".to_owned(),
                    at("1.1.1.4"),
                    at("1.1.1.5"),
                    at("1.1.1.6"),
                ],
            ),
        ]);

        // The connected one names a relay: others come to it through that one.
        assert_eq!(
            candidates(&view, Reach::Public),
            [at("1.1.1.0"), at("1.1.1.1"), at("1.1.1.4"), at("1.1.1.5")]
        );
        assert!(candidates(&view, Reach::Local).contains(&at("192.168.1.1")));
    }

    #[test]
    fn offers_are_bounded() {
        let peers = (0..100)
            .map(|n| peer(PeerState::Candidate, Role::Relay, &[format!("/ip4/1.1.{n}.1/udp/1/quic-v1{ID}")]));

        assert_eq!(candidates(&view(peers.collect()), Reach::Public).len(), MAX_OFFERED);
    }

    #[test]
    fn who_is_reached_directly_needs_none_and_who_does_not_know_waits_a_moment() {
        let found = |state, confidence| Reachability { state, confidence, ..Reachability::unknown() };

        assert!(!wanted(&found(State::Unknown, Confidence::Low), Duration::ZERO));
        assert!(wanted(&found(State::Unknown, Confidence::Low), GRACE));
        assert!(!wanted(&found(State::Public, Confidence::Medium), GRACE));
        assert!(wanted(&found(State::Mapped, Confidence::Low), GRACE));
        assert!(wanted(&found(State::Punchable, Confidence::High), Duration::ZERO));
    }
}
