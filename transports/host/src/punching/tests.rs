//! Meetings that are arranged, had, missed and refused, without a network.

use super::*;

fn id(number: usize) -> ConnectionId {
    ConnectionId::new_unchecked(number)
}

fn at(address: &str) -> Multiaddr {
    address.parse().expect("multiaddr")
}

fn good() -> Vec<Multiaddr> {
    vec![at("/ip4/192.0.2.1/udp/1/quic-v1"), at("/ip4/192.0.2.1/tcp/1")]
}

fn peer() -> PeerId {
    PeerId::from_multihash(libp2p::multihash::Multihash::wrap(0, &[7; 8]).expect("short")).expect("id")
}

/// What the behaviour wants of the swarm.
#[derive(Debug, Default)]
struct Wanted {
    arranged: usize,
    /// How late the last of those begins.
    after: Duration,
    dialed: Vec<ConnectionId>,
    told: Vec<Result<&'static str, String>>,
}

fn wanted(punching: &mut Punching) -> Wanted {
    let mut wanted = Wanted::default();
    for action in punching.actions.drain(..) {
        match action {
            ToSwarm::NotifyHandler { event: Begin { after }, .. } => {
                wanted.arranged += 1;
                wanted.after = after;
            }
            ToSwarm::Dial { opts } => wanted.dialed.push(opts.connection_id()),
            ToSwarm::GenerateEvent(event) => {
                wanted.told.push(event.result.map_err(|missed| missed.to_string()));
            }
            other => panic!("{other:?}"),
        }
    }
    wanted
}

fn agree(punching: &mut Punching, part: Part, addresses: Vec<Multiaddr>, now: Instant) -> Wanted {
    punching.agreed(id(1), Agreed { part, addresses: Ok(addresses) }, now);
    wanted(punching)
}

#[test]
fn who_was_called_tries_three_times_and_the_caller_as_often_as_asked() {
    let now = Instant::now();
    for (part, arranged) in [(Part::Called, 1), (Part::Caller, 0)] {
        let mut punching = Punching::new();
        punching.came(id(1), peer(), part);
        assert_eq!(wanted(&mut punching).arranged, arranged);
        for time in 1..=3 {
            let dialed = agree(&mut punching, part, good(), now).dialed;
            assert_eq!(dialed.len(), 2, "each transport is dialed by itself");
            punching.missed(dialed[0]);
            assert!(punching.actions.is_empty(), "the other is still under way");
            punching.missed(dialed[1]);
            let after = wanted(&mut punching);
            if time < 3 {
                assert_eq!((after.arranged, after.told.len()), (arranged, 0));
            } else {
                assert_eq!((after.arranged, after.told.len()), (0, 1));
                assert!(after.told[0].is_err());
            }
        }
        assert!(punching.dials.is_empty());
    }
}

#[test]
fn who_knows_no_address_of_its_own_yet_is_asked_again_a_little_later() {
    let now = Instant::now();
    let mut punching = Punching::new();
    punching.came(id(1), peer(), Part::Called);
    assert_eq!(wanted(&mut punching).after, Duration::ZERO);

    let again = agree(&mut punching, Part::Called, Vec::new(), now);
    assert_eq!((again.arranged, again.after, again.told.len()), (1, NAMELESS, 0));
    assert_eq!(agree(&mut punching, Part::Called, good(), now).dialed.len(), 2, "by then it knows");

    let mut nameless = Punching::new();
    nameless.came(id(1), peer(), Part::Called);
    wanted(&mut nameless);
    let told: Vec<usize> =
        (0..TRIES).map(|_| agree(&mut nameless, Part::Called, Vec::new(), now).told.len()).collect();
    assert_eq!(told, [0, 0, 1], "three times, not for ever");
    assert_eq!(wanted(&mut nameless).arranged, 0);
}

#[test]
fn a_meeting_is_told_once_and_whoever_came_first_counts() {
    let mut punching = Punching::new();
    punching.came(id(1), peer(), Part::Called);
    wanted(&mut punching);
    let dialed = agree(&mut punching, Part::Called, good(), Instant::now()).dialed;

    punching.met(dialed[1]);
    assert_eq!(wanted(&mut punching).told, [Ok("tcp")]);
    punching.met(dialed[0]);
    assert!(wanted(&mut punching).told.is_empty());

    punching.came(id(1), peer(), Part::Called);
    wanted(&mut punching);
    let dialed = agree(&mut punching, Part::Called, good(), Instant::now()).dialed;
    punching.direct.insert(peer(), 1); // it got through to us
    punching.missed(dialed[0]);
    punching.missed(dialed[1]);
    assert_eq!(wanted(&mut punching).told.len(), 1);
}

#[test]
fn nobody_is_met_who_is_there_already() {
    let mut punching = Punching::new();
    punching.direct.insert(peer(), 1);

    punching.came(id(1), peer(), Part::Called);

    assert!(punching.actions.is_empty());
}

#[test]
fn who_comes_while_a_meeting_is_arranged_is_not_dialed() {
    let mut punching = Punching::new();
    for part in [Part::Called, Part::Caller] {
        punching.direct.clear();
        punching.came(id(1), peer(), part);
        wanted(&mut punching);
        punching.direct.insert(peer(), 1);

        assert!(agree(&mut punching, part, good(), Instant::now()).dialed.is_empty());
    }
}

#[test]
fn only_places_where_a_router_can_be_opened_are_dialed() {
    let bad = [
        "/dns4/example.org/tcp/1",
        "/ip4/192.0.2.1/tcp/1/ws",
        "/ip4/192.0.2.1/udp/1/quic-v1/webtransport",
        "/ip4/192.0.2.1/tcp/0",
        "/ip4/192.0.2.1/ip4/127.0.0.1/tcp/1",
        "/ip4/192.0.2.1/tcp/1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X/p2p-circuit",
    ];
    let mut punching = Punching::new();
    punching.came(id(1), peer(), Part::Caller);

    let refused = agree(&mut punching, Part::Caller, bad.map(at).to_vec(), Instant::now());
    assert!(refused.dialed.is_empty());
    assert_eq!((refused.arranged, refused.told.len()), (0, 0), "the other may ask again");
    for told in [0, 1] {
        assert_eq!(agree(&mut punching, Part::Caller, Vec::new(), Instant::now()).told.len(), told);
    }

    let many: Vec<Multiaddr> = (0..400).map(|port| at(&format!("/ip4/192.0.2.1/tcp/{}", port + 1))).collect();
    assert_eq!(places(&many), [("tcp", many[..ADDRESSES].to_vec())]);
    assert_eq!(meeting_place(&many[0].clone().with(Protocol::P2p(peer()))), Some(many[0].clone()));
}

#[test]
fn strangers_have_us_send_packets_so_often_and_no_oftener() {
    let start = Instant::now();
    let mut punching = Punching::new();
    let mut dialed = |now| {
        let mut dials = 0;
        for _ in 0..1000 {
            punching.came(id(1), peer(), Part::Caller);
            dials += agree(&mut punching, Part::Caller, good(), now).dialed.len();
        }
        dials
    };

    assert_eq!(dialed(start), 2 * BURST as usize);
    assert_eq!(dialed(start + 5 * PAUSE), 2 * 5);
    for dial in punching.dials.keys().copied().collect::<Vec<_>>() {
        punching.missed(dial);
    }
    assert!(punching.dials.is_empty());
}

#[test]
fn candidates_are_those_seen_last() {
    let candidates = Candidates::default();
    for port in 1..100 {
        candidates.add(&at(&format!("/ip4/192.0.2.1/tcp/{port}")));
    }
    candidates.add(&at("/ip4/192.0.2.1/tcp/95"));
    candidates.add(&at("/dns4/example.org/tcp/1"));

    let all = candidates.all();

    assert_eq!(all.len(), CANDIDATES);
    assert_eq!(all[0], at("/ip4/192.0.2.1/tcp/95"));
    assert_eq!(all[1], at("/ip4/192.0.2.1/tcp/99"));
}
