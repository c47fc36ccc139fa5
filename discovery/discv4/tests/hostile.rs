//! Strangers and liars: whatever they send, they get nothing by it.

mod support;

use std::{net::SocketAddr, time::Duration};

use alloy_primitives::B256;
use causeway_discv4::{
    Dropped, Event, Limits, MAX_AHEAD, REQUEST_TIMEOUT,
    packet::{
        Endpoint, EnrRequest, EnrResponse, FindNode, Neighbor, Neighbors, Opened, Packet, Ping, Pong, seal,
    },
};
use causeway_records::{Contents, Enode, MAX_RECORD, Multiaddr, Reach, Record};
use causeway_wire::NodeKey;
use proptest::prelude::*;
use support::{
    EPOCH, addr, record,
    scene::{Scene, asked, endpoint, enr_request, find_node, key, kinds, neighbors, ping, pinged, pong},
    secret,
};

#[test]
fn a_ping_is_answered_and_returned_whatever_it_says_of_itself() {
    let mut scene = Scene::new();

    let (outcome, hash) = scene.send(1, addr(1), &ping(None));

    assert_eq!(outcome, Ok(()));
    let sent = scene.sent();
    assert_eq!(kinds(&sent), [2, 1]);
    let (to, Opened { packet: Packet::Pong(pong), .. }) = &sent[0] else { panic!("a pong first") };
    assert_eq!((*to, pong.ping_hash, pong.enr_seq), (addr(1), hash, Some(5)));
    assert_eq!(pong.to, Endpoint::new(addr(1), 30305));
}

#[test]
fn questions_without_a_proof_are_not_answered() {
    let mut scene = Scene::new();

    assert_eq!(scene.send(1, addr(1), &find_node()).0, Err(Dropped::NoProof));
    assert_eq!(scene.send(1, addr(1), &enr_request()).0, Err(Dropped::NoProof));
    scene.send(1, addr(1), &ping(None)).0.expect("a good ping");
    scene.sent();
    assert_eq!(scene.send(1, addr(1), &find_node()).0, Err(Dropped::NoProof));
    assert_eq!(scene.send(1, addr(1), &enr_request()).0, Err(Dropped::NoProof));

    assert_eq!(scene.sent(), []);
}

#[test]
fn a_proof_is_one_of_a_key_at_an_address() {
    let mut scene = Scene::new();
    scene.bond(1, addr(1), None);

    let elsewhere = SocketAddr::new(addr(1).ip(), 4);
    assert_eq!(scene.send(1, addr(2), &find_node()).0, Err(Dropped::NoProof));
    assert_eq!(scene.send(1, elsewhere, &find_node()).0, Err(Dropped::NoProof));
    assert_eq!(scene.send(2, addr(1), &find_node()).0, Err(Dropped::NoProof));
    assert_eq!(scene.send(1, addr(2), &enr_request()).0, Err(Dropped::NoProof));
    assert_eq!(scene.sent(), []);

    assert_eq!(scene.send(1, addr(1), &find_node()).0, Ok(()));
    assert_eq!(kinds(&scene.sent()), [4]);
}

#[test]
fn a_proof_ends_after_a_day() {
    let mut scene = Scene::new();
    scene.bond(1, addr(1), None);

    scene.now += causeway_discv4::BOND_LIFE;

    assert_eq!(scene.send(1, addr(1), &find_node()).0, Err(Dropped::NoProof));
}

#[test]
fn a_pong_with_another_hash_or_from_elsewhere_or_too_late_proves_nothing() {
    let mut scene = Scene::new();
    scene.send(1, addr(1), &ping(None)).0.expect("a good ping");
    let hash = scene.sent()[1].1.hash;

    assert_eq!(scene.send(1, addr(1), &pong(B256::ZERO, None)).0, Err(Dropped::Unsolicited));
    assert_eq!(scene.send(2, addr(1), &pong(hash, None)).0, Err(Dropped::Unsolicited));
    assert_eq!(scene.send(1, addr(2), &pong(hash, None)).0, Err(Dropped::Unsolicited));
    scene.pass(REQUEST_TIMEOUT);
    assert_eq!(scene.send(1, addr(1), &pong(hash, None)).0, Err(Dropped::Unsolicited));
    assert_eq!(scene.send(1, addr(1), &find_node()).0, Err(Dropped::NoProof));
    assert_eq!((scene.machine.table_len(), scene.events()), (0, vec![]));
}

#[test]
fn the_record_is_given_to_the_proven() {
    let mut scene = Scene::new();
    scene.bond(1, addr(1), None);

    let (_, hash) = scene.send(1, addr(1), &enr_request());

    let sent = scene.sent();
    let [(_, Opened { packet: Packet::EnrResponse(response), .. })] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(response.request_hash, hash);
    assert_eq!(Record::decode(&response.record).map(|record| record.key()), Ok(key(0)));
}

#[test]
fn the_largest_record_fits_its_packet() {
    let mut scene = Scene::new();
    let wordy: Multiaddr =
        "/dns4/a-name-of-some-length.relay.example.org/tcp/443/wss".parse().expect("valid");
    let contents = Contents { multiaddrs: vec![wordy; 9], ..Contents::default() };
    let large = Record::sign(&secret(0), u64::MAX, &contents).expect("a record").record;
    assert!(large.size() > MAX_RECORD - 60);
    scene.machine.set_record(large);
    scene.bond(1, addr(1), None);

    scene.send(1, addr(1), &enr_request()).0.expect("a proven node's question");

    assert_eq!(kinds(&scene.sent()), [6]); // whose size `sent` has looked at
}

#[test]
fn what_has_expired_or_lasts_too_long_counts_for_nothing() {
    let at = |expiration| {
        [
            Packet::Ping(Ping { from: endpoint(), to: endpoint(), expiration, enr_seq: None }),
            Packet::Pong(Pong { to: endpoint(), ping_hash: B256::ZERO, expiration, enr_seq: None }),
            Packet::FindNode(FindNode { target: key(1), expiration }),
            Packet::Neighbors(Neighbors { nodes: Vec::new(), expiration }),
            Packet::EnrRequest(EnrRequest { expiration }),
        ]
    };
    let mut scene = Scene::new();
    scene.bond(1, addr(1), None);
    let furthest = EPOCH + MAX_AHEAD.as_secs();

    for packet in at(EPOCH - 1) {
        let expired = Dropped::Expired { expiration: EPOCH - 1, now: EPOCH };
        assert_eq!(scene.send(1, addr(1), &packet).0, Err(expired));
    }
    for expiration in [furthest + 1, u64::MAX] {
        for packet in at(expiration) {
            let too_far = Dropped::TooFarAhead { expiration, now: EPOCH };
            assert_eq!(scene.send(1, addr(1), &packet).0, Err(too_far));
        }
    }
    assert_eq!(scene.sent(), []);
    assert_eq!(scene.send(1, addr(1), &at(EPOCH)[0]).0, Ok(()));
    assert_eq!(scene.send(1, addr(1), &at(furthest)[0]).0, Ok(()));
}

#[test]
fn answers_without_questions_count_for_nothing() {
    let mut scene = Scene::new();
    scene.bond(1, addr(1), None);
    scene.events();
    let response = EnrResponse { request_hash: B256::ZERO, record: record(1, addr(1), 1).encode().into() };

    assert_eq!(scene.send(1, addr(1), &neighbors(&[(9, addr(9))])).0, Err(Dropped::Unsolicited));
    assert_eq!(scene.send(1, addr(1), &Packet::EnrResponse(response)).0, Err(Dropped::Unsolicited));
    scene.pass(Duration::from_secs(1));

    assert!(kinds(&scene.sent()).iter().all(|kind| *kind != 1), "the named node is not pinged");
    assert_eq!(scene.events(), []);
}

#[test]
fn no_more_than_sixteen_neighbors_are_taken() {
    let mut scene = Scene::new();
    asked(&mut scene);
    let of = |range: std::ops::Range<u32>| neighbors(&range.map(|n| (n, addr(n))).collect::<Vec<_>>());

    assert_eq!(scene.send(1, addr(1), &of(100..112)).0, Ok(()));
    assert_eq!(scene.send(1, addr(1), &of(112..124)).0, Ok(()));
    assert_eq!(scene.send(1, addr(1), &of(124..130)).0, Err(Dropped::Unsolicited));
    let mut to: Vec<SocketAddr> = Vec::new();
    for _ in 0..20 {
        to.extend(pinged(&mut scene));
        scene.pass(Duration::from_secs(1));
    }

    to.sort();
    assert_eq!(to, (100..116).map(addr).collect::<Vec<_>>());
}

#[test]
fn neighbors_that_cannot_be_are_passed_over() {
    let mut scene = Scene::new();
    asked(&mut scene);
    let good = addr(100);
    let named = |at: &str| (101, at.parse().expect("an address"));
    let private = [
        named("192.168.0.1:30303"),
        named("127.0.0.1:30303"),
        named("0.0.0.0:30303"),
        named("224.0.0.1:30303"),
        named("198.51.100.1:30303"),
        named("[::ffff:10.0.0.1]:30303"),
        named("9.8.7.6:0"),
        named("9.8.7.6:53"),
        named("9.8.7.6:1024"),
        (0, addr(101)), // ourselves
        (100, good),
    ];
    let Packet::Neighbors(mut answer) = neighbors(&private) else { unreachable!() };
    let no_point = NodeKey(alloy_primitives::B512::repeat_byte(0xff));
    answer.nodes.push(Neighbor { endpoint: Endpoint::new(addr(102), 1), key: no_point });
    answer.nodes.push(Neighbor { endpoint: Endpoint { ip: None, udp: 30303, tcp: 1 }, key: key(103) });

    assert_eq!(scene.send(1, addr(1), &Packet::Neighbors(answer)).0, Ok(()));

    assert_eq!(pinged(&mut scene), [good]);
}

#[test]
fn local_nodes_are_not_named_to_public_ones() {
    let mut scene = Scene::with(Reach::Local, Limits::default());
    let local = |last: u8| ([192, 168, 0, last], 30303).into();
    scene.bond(1, local(1), None);
    scene.bond(2, local(2), None);
    scene.bond(3, addr(3), None);
    let named_to = |scene: &mut Scene, n, at| {
        scene.send(n, at, &find_node()).0.expect("a proven node's question");
        let sent = scene.sent();
        let Packet::Neighbors(answer) = &sent[0].1.packet else { panic!("{sent:?}") };
        let mut keys: Vec<NodeKey> = answer.nodes.iter().map(|node| node.key).collect();
        keys.sort();
        keys
    };

    assert_eq!(named_to(&mut scene, 3, addr(3)), []);
    let mut expected = [key(2), key(3)];
    expected.sort();
    assert_eq!(named_to(&mut scene, 1, local(1)), expected);
}

/// The hash of our question for the record of node 1.
fn record_asked(scene: &mut Scene, seq: u64) -> B256 {
    scene.bond(1, addr(1), Some(seq));
    scene.events();
    let asked = scene.sent().into_iter().find(|(_, opened)| matches!(opened.packet, Packet::EnrRequest(_)));
    asked.expect("a question for the record").1.hash
}

fn answer_record(scene: &mut Scene, request_hash: B256, record: &Record) -> Result<(), Dropped> {
    let response = EnrResponse { request_hash, record: record.encode().into() };
    scene.send(1, addr(1), &Packet::EnrResponse(response)).0
}

#[test]
fn a_record_that_is_not_the_nodes_or_lies_is_not_passed_on() {
    let local = record(1, ([10, 0, 0, 1], 30303).into(), 3);
    let cases = [
        (record(2, addr(1), 3), Dropped::ForeignRecord),
        (record(1, addr(1), 2), Dropped::OldRecord { seq: 2, announced: 3 }),
        (local, Dropped::RecordAddress),
    ];
    for (record, fault) in cases {
        let mut scene = Scene::new();
        let hash = record_asked(&mut scene, 3);

        assert_eq!(answer_record(&mut scene, hash, &record), Err(fault));

        let events = scene.events();
        assert!(matches!(&events[..], [Event::Found { record: None, .. }]), "{events:?}");
    }
}

#[test]
fn a_record_that_is_none_is_not_passed_on() {
    let mut scene = Scene::new();
    let request_hash = record_asked(&mut scene, 3);
    let response = EnrResponse { request_hash, record: vec![0xc0].into() };

    let outcome = scene.send(1, addr(1), &Packet::EnrResponse(response)).0;

    assert!(matches!(outcome, Err(Dropped::Record(_))), "{outcome:?}");
    assert!(matches!(&scene.events()[..], [Event::Found { record: None, .. }]));
}

#[test]
fn a_good_record_comes_with_its_node() {
    let mut scene = Scene::new();
    let hash = record_asked(&mut scene, 3);

    assert_eq!(answer_record(&mut scene, B256::ZERO, &record(1, addr(1), 3)), Err(Dropped::Unsolicited));
    assert_eq!(answer_record(&mut scene, hash, &record(1, addr(1), 3)), Ok(()));
    assert_eq!(answer_record(&mut scene, hash, &record(1, addr(1), 3)), Err(Dropped::Unsolicited));

    let events = scene.events();
    let [Event::Found { enode, record: Some(record) }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((record.seq(), enode.key, enode.tcp), (3, key(1), 30300)); // by its record, not by its ping
}

#[test]
fn a_record_without_an_address_is_taken() {
    let mut scene = Scene::new();
    let hash = record_asked(&mut scene, 3);
    let bare = Record::sign(&secret(1), 3, &Contents::default()).expect("a record").record;

    assert_eq!(answer_record(&mut scene, hash, &bare), Ok(()));

    let events = scene.events();
    assert!(matches!(&events[..], [Event::Found { enode, record: Some(_) }] if enode.tcp == 30305));
}

#[test]
fn a_node_whose_record_does_not_come_is_told_without() {
    let mut scene = Scene::new();
    record_asked(&mut scene, 3);

    scene.pass(REQUEST_TIMEOUT);

    let events = scene.events();
    assert!(matches!(&events[..], [Event::Found { enode: Enode { tcp: 30305, .. }, record: None }]));
}

#[test]
fn a_node_that_knows_no_records_is_told_at_once() {
    let mut scene = Scene::new();

    scene.bond(1, addr(1), None);

    let events = scene.events();
    assert!(matches!(
        &events[..],
        [Event::Observed { ours, by }, Event::Found { record: None, .. }] if *ours == addr(0) && *by == addr(1)
    ));
    assert!(!kinds(&scene.sent()).contains(&5));
}

#[test]
fn our_own_packets_and_impossible_sources_are_dropped() {
    let mut scene = Scene::new();

    assert_eq!(scene.send(0, addr(1), &ping(None)).0, Err(Dropped::OwnKey));
    for from in ["9.8.7.6:0", "0.0.0.0:1", "255.255.255.255:1", "224.0.0.1:1", "[::]:1", "[ff02::1]:1"] {
        assert_eq!(
            scene.send(1, from.parse().expect("valid"), &ping(None)).0,
            Err(Dropped::Source),
            "{from}"
        );
    }
    assert_eq!(scene.sent(), []);
}

#[test]
fn an_address_of_ipv4_in_ipv6_is_the_same() {
    let mut scene = Scene::new();
    scene.bond(1, addr(1), None);
    let std::net::IpAddr::V4(v4) = addr(1).ip() else { panic!("v4") };
    let mapped = SocketAddr::new(v4.to_ipv6_mapped().into(), addr(1).port());

    assert_eq!(scene.send(1, mapped, &find_node()).0, Ok(()));
    assert!(scene.sent().iter().all(|(to, _)| *to == addr(1)));
}

fn any_signed() -> impl Strategy<Value = Vec<u8>> {
    let template = prop_oneof![
        Just(ping(Some(3))),
        Just(pong(B256::ZERO, Some(3))),
        Just(find_node()),
        Just(neighbors(&[(5, addr(5)), (6, addr(6))])),
        Just(enr_request()),
        Just(Packet::EnrResponse(EnrResponse {
            request_hash: B256::ZERO,
            record: record(1, addr(1), 1).encode().into(),
        })),
    ];
    (template, any::<Option<(prop::sample::Index, u8)>>()).prop_map(|(packet, change)| {
        let mut signed = packet.encode(&secret(1)).0[97..].to_vec();
        if let Some((index, byte)) = change {
            *index.get_mut(&mut signed) = byte;
        }
        signed
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_packets_leave_the_machine_whole(
        steps in prop::collection::vec((1..4_u32, 1..4_u32, any_signed(), 0..2000_u64), 1..20)
    ) {
        let mut scene = Scene::new();
        scene.bond(1, addr(1), Some(1));
        for (n, at, signed, wait) in steps {
            let (packet, _) = seal(&signed, &secret(n));
            let _ = scene.machine.handle_packet(addr(at), &packet, scene.now, EPOCH);
            scene.pass(Duration::from_millis(wait));
            for (to, _) in scene.sent() {
                prop_assert_ne!(to.port(), 0);
            }
        }
        prop_assert!(scene.machine.stats().requests <= Limits::default().requests);
    }

    #[test]
    fn strangers_get_a_pong_and_a_ping_at_most(signed in any_signed(), junk: Vec<u8>) {
        let mut scene = Scene::new();
        let stranger = addr(2);
        let (packet, hash) = seal(&signed, &secret(2));

        prop_assert!(scene.machine.handle_packet(stranger, &junk, scene.now, EPOCH).is_err());
        prop_assert_eq!(scene.sent(), []);
        let _ = scene.machine.handle_packet(stranger, &packet, scene.now, EPOCH);

        for (to, opened) in scene.sent() {
            prop_assert_eq!(to, stranger);
            match opened.packet {
                Packet::Pong(pong) => prop_assert_eq!(pong.ping_hash, hash),
                Packet::Ping(_) => prop_assert_eq!(signed[0], 1),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
