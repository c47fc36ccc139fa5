//! Who is let in and who is not, by counts and lists.

use std::time::Duration;

use super::*;

fn gate() -> Gate {
    let limits = HostLimits {
        connections: 100,
        incoming: 60,
        outgoing: 50,
        pending_incoming: 40,
        per_peer: 2,
        per_ipv4: 3,
        per_ipv6_64: 2,
        per_ipv6_48: 4,
        ..HostLimits::default()
    };
    Gate::new(limits, SharedRules::default())
}

fn id(number: usize) -> ConnectionId {
    ConnectionId::new_unchecked(number)
}

fn at(address: &str) -> Multiaddr {
    address.parse().expect("multiaddr")
}

/// Without regard to how fast they come.
fn knock(gate: &mut Gate, connection: ConnectionId, from: &Multiaddr) -> Result<(), Refused> {
    gate.rate = HandshakeRate::new(u32::MAX);
    gate.knock(connection, &Multiaddr::empty(), from, Instant::now())
}

fn far() -> Multiaddr {
    at("/ip4/198.51.100.1/tcp/1")
}

#[test]
fn networks_share_a_limit() {
    let limits = HostLimits { per_ipv4_24: 2, per_ipv6_56: 2, ..HostLimits::default() };
    let mut gate = Gate::new(limits, SharedRules::default());
    knock(&mut gate, id(0), &at("/ip4/192.0.2.1/tcp/1")).expect("first");
    knock(&mut gate, id(1), &at("/ip4/192.0.2.2/tcp/1")).expect("second");
    knock(&mut gate, id(2), &at("/ip6/2001:db8:1:101::1/tcp/1")).expect("first");
    knock(&mut gate, id(3), &at("/ip6/2001:db8:1:102::1/tcp/1")).expect("second");

    let full = |what| Err(Refused::Full { what, limit: 2 });
    assert_eq!(knock(&mut gate, id(4), &at("/ip4/192.0.2.3/tcp/1")), full("connections from one IPv4 /24"));
    let third = knock(&mut gate, id(5), &at("/ip6/2001:db8:1:103::1/tcp/1"));
    assert_eq!(third, full("connections from one IPv6 /56"));
    assert_eq!(knock(&mut gate, id(6), &at("/ip4/192.0.3.1/tcp/1")), Ok(()));
    assert_eq!(knock(&mut gate, id(7), &at("/ip6/2001:db8:1:201::1/tcp/1")), Ok(()));
}

#[test]
fn allowed_networks_have_no_limits_and_denied_ones_no_entrance() {
    let mut gate = gate();
    let entered = PeerId::random();
    gate.entered(id(0), entered, &at("/ip4/203.0.113.1/tcp/1"), true);
    gate.entered(id(1), PeerId::random(), &far(), true);
    let lists = crate::Lists {
        allow: vec!["192.0.2.0/24".parse().expect("subnet")],
        deny: vec!["203.0.113.0/24".parse().expect("subnet")],
        only_allowed: false,
    };

    assert_eq!(gate.set_rules(Rules::new(&lists)), [id(0)]);

    let denied = Refused::Denied(Denied::Subnet("203.0.113.0/24".parse().expect("subnet")));
    assert_eq!(knock(&mut gate, id(2), &at("/ip6/::ffff:203.0.113.9/tcp/1")), Err(denied));
    assert_eq!(gate.may_dial(None, &[at("/ip4/203.0.113.9/udp/1/quic-v1")]), Err(denied));
    assert_eq!(gate.enter(&entered, &at("/ip4/203.0.113.9/tcp/1"), true), Err(denied), "a pending one");
    for number in 10..20 {
        knock(&mut gate, id(number), &at("/ip4/192.0.2.1/tcp/1")).expect("no limit");
    }
}

#[test]
fn address_has_its_share_and_gets_it_back() {
    let mut gate = gate();
    let home = at("/ip4/192.0.2.1/tcp/1");
    for number in 0..3 {
        knock(&mut gate, id(number), &home).expect("below the limit");
    }

    assert_eq!(
        knock(&mut gate, id(3), &home),
        Err(Refused::Full { what: "connections from one IPv4 address", limit: 3 })
    );
    assert!(knock(&mut gate, id(4), &at("/ip6/::ffff:192.0.2.1/udp/1/quic-v1")).is_err());
    assert!(knock(&mut gate, id(5), &at("/ip4/192.0.2.2/tcp/1")).is_ok());

    gate.entered(id(0), PeerId::random(), &far(), true);
    assert!(knock(&mut gate, id(6), &home).is_err(), "established ones count too");
    gate.left(id(0));
    assert!(knock(&mut gate, id(6), &home).is_ok());
}

#[test]
fn ipv6_is_counted_by_network() {
    let mut gate = gate();
    knock(&mut gate, id(0), &at("/ip6/2001:db8:1:1::1/tcp/1")).expect("first");
    knock(&mut gate, id(1), &at("/ip6/2001:db8:1:1::2/tcp/1")).expect("second of the /64");
    assert!(knock(&mut gate, id(2), &at("/ip6/2001:db8:1:1::3/tcp/1")).is_err());
    knock(&mut gate, id(3), &at("/ip6/2001:db8:1:2::1/tcp/1")).expect("another /64");
    knock(&mut gate, id(4), &at("/ip6/2001:db8:1:3::1/tcp/1")).expect("fourth of the /48");
    assert!(knock(&mut gate, id(5), &at("/ip6/2001:db8:1:4::1/tcp/1")).is_err());
    assert!(knock(&mut gate, id(6), &at("/ip6/2001:db8:2:1::1/tcp/1")).is_ok());
}

#[test]
fn loopback_is_limited_in_total_only() {
    let mut gate = gate();
    for number in 0..40 {
        knock(&mut gate, id(number), &at("/ip4/127.0.0.1/tcp/1")).expect("exempt");
    }

    assert_eq!(
        knock(&mut gate, id(40), &at("/ip6/::1/tcp/1")),
        Err(Refused::Full { what: "incoming handshakes", limit: 40 })
    );
}

#[test]
fn peer_has_its_share() {
    let mut gate = gate();
    let peer = PeerId::random();
    gate.entered(id(0), peer, &far(), true);
    gate.entered(id(1), peer, &far(), false);

    assert_eq!(
        gate.enter(&peer, &far(), true),
        Err(Refused::Full { what: "connections with one peer", limit: 2 })
    );
    assert_eq!(gate.enter(&PeerId::random(), &far(), true), Ok(()));
    gate.left(id(1));
    assert_eq!(gate.enter(&peer, &far(), false), Ok(()));
}

#[test]
fn directions_and_totals_are_limited() {
    let mut gate = gate();
    for number in 0..60 {
        gate.entered(id(number), PeerId::random(), &far(), true);
    }
    assert!(knock(&mut gate, id(999), &at("/ip4/127.0.0.1/tcp/1")).is_err());
    assert!(gate.enter(&PeerId::random(), &far(), true).is_err());
    for number in 60..100 {
        assert!(gate.enter(&PeerId::random(), &far(), false).is_ok());
        gate.entered(id(number), PeerId::random(), &far(), false);
    }
    assert!(gate.enter(&PeerId::random(), &far(), false).is_err());
}

#[test]
fn nothing_is_remembered_of_who_left() {
    let mut gate = gate();
    for number in 0..1000 {
        knock(&mut gate, id(number), &at("/ip6/2001:db8::1/tcp/1")).expect("below the limit");
        gate.entered(id(number), PeerId::random(), &far(), true);
        gate.left(id(number));
    }

    assert_eq!(gate.per_peer.0.len() + gate.per_origin.0.len() + gate.origins.len(), 0);
    assert_eq!(gate.established.len() + gate.pending_incoming.len() + gate.incoming, 0);
}

#[test]
fn strangers_come_only_so_fast_and_friends_as_they_like() {
    let limits = HostLimits { handshakes_per_ip: 5, ..HostLimits::default() };
    let mut gate = Gate::new(limits, SharedRules::default());
    gate.set_rules(Rules::new(&crate::Lists {
        allow: vec!["192.0.2.0/24".parse().expect("subnet")],
        ..crate::Lists::default()
    }));
    let start = Instant::now();
    let mut let_in = |from: &str, now| {
        let from = at(from);
        let mut come = |number| {
            let result = gate.knock(id(number), &Multiaddr::empty(), &from, now);
            gate.left(id(number));
            result.is_ok()
        };
        (0..50).filter(|number| come(*number)).count()
    };

    assert_eq!(let_in("/ip4/203.0.113.1/tcp/1", start), 20);
    assert_eq!(let_in("/ip4/203.0.113.1/udp/1/quic-v1", start), 0, "over whichever transport");
    assert_eq!(let_in("/ip4/203.0.113.1/tcp/1", start + Duration::from_secs(1)), 5);
    assert_eq!(let_in("/ip4/203.0.113.2/tcp/1", start), 20);
    assert_eq!(let_in("/ip6/2001:db8::1/tcp/1", start), 20);
    assert_eq!(let_in("/ip6/2001:db8::2/tcp/1", start), 0, "of the same /64");
    assert_eq!(let_in("/ip4/192.0.2.1/tcp/1", start), 50);
    assert_eq!(let_in("/ip4/127.0.0.1/tcp/1", start), 50);
}

#[test]
fn nobody_new_comes_in_while_memory_is_short() {
    let mut gate = gate();
    gate.entered(id(0), PeerId::random(), &far(), true);
    let local = at("/ip4/127.0.0.1/tcp/1");
    for level in [Level::Tight, Level::Short] {
        gate.set_memory(level);
        assert_eq!(knock(&mut gate, id(1), &far()), Err(Refused::NoMemory));
        assert_eq!(knock(&mut gate, id(1), &local), Err(Refused::NoMemory), "without exceptions");
        assert_eq!(gate.may_dial(None, &[far()]), Err(Refused::NoMemory));
    }
    assert_eq!(gate.enter(&PeerId::random(), &far(), true), Ok(()), "who has shaken hands may stay");

    gate.set_memory(Level::Enough);
    assert_eq!(knock(&mut gate, id(1), &far()), Ok(()));
}

#[test]
fn relays_hand_over_so_many_and_no_more_and_who_left_makes_room() {
    let mut gate = Gate::new(HostLimits { relayed: 2, ..HostLimits::default() }, SharedRules::default());
    let here = at("/ip4/192.0.2.9/udp/1/quic-v1/p2p-circuit");
    let come =
        |gate: &mut Gate, number| gate.knock(id(number), &here, &Multiaddr::empty(), Instant::now()).is_ok();
    assert!(come(&mut gate, 0) && come(&mut gate, 1));

    assert!(!come(&mut gate, 2));
    gate.left(id(0));

    assert!(come(&mut gate, 3));
}

#[test]
fn a_peer_that_names_many_addresses_to_be_met_at_is_not_dialed() {
    let gate = Gate::new(HostLimits::default(), SharedRules::default());
    let addresses: Vec<Multiaddr> =
        (0..=MAX_ADDRESSES).map(|number| at(&format!("/ip4/192.0.2.{number}/tcp/1"))).collect();

    assert!(gate.may_dial(None, &addresses[1..]).is_ok());
    assert!(gate.may_dial(None, &addresses).is_err());
}
