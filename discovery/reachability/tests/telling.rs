//! What others are told of us, from the first minute to the end.

use std::time::{Duration, SystemTime};

use causeway_reachability::{
    Carrier, Evidence, Family, Hop, Judge, MAX_TOLD, MappedPort, Outcome, Own, Place, Policy, Reachability,
    Transport, Verdict, candidates, tell,
};
use causeway_records::{Multiaddr, Reach};

const ID: &str = "/p2p/16Uiu2HAmT14ttcUrwsTn5fwCUc4qY4twN2HqyZgSgZKUMtVei6SC";
const HASH: &str = "/certhash/uEiAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn listening() -> Vec<Multiaddr> {
    let listening = [
        format!("/ip4/192.168.1.10/tcp/30314{ID}"),
        format!("/ip4/192.168.1.10/udp/30314/quic-v1{ID}"),
        format!("/ip4/192.168.1.10/tcp/30315/ws{ID}"),
        format!("/ip4/192.168.1.10/tcp/30316/tls/ws{ID}"),
        format!("/ip4/192.168.1.10/udp/30315/quic-v1/webtransport{HASH}{ID}"),
    ];
    listening.iter().map(|text| text.parse().expect("multiaddr")).collect()
}

fn own() -> Own {
    let every = |port| Some(([0, 0, 0, 0], port).into());
    Own { listening: listening(), devp2p: every(30313), discovery: every(30313), ..Own::default() }
}

fn home() -> Evidence {
    let mut evidence = Evidence::none(Reach::Public);
    evidence.listeners = listening().iter().filter_map(Place::of).collect();
    evidence.listeners.extend(
        [Transport::Devp2p, Transport::Discovery]
            .map(|transport| Place { transport, addr: ([192, 168, 1, 10], 30313).into() }),
    );
    evidence.outgoing = vec![[192, 168, 1, 10].into()];
    evidence
}

/// The router opened each of these ports, a thousand higher outside.
fn opened(evidence: &mut Evidence, ports: &[(Carrier, u16)]) {
    let open = |(carrier, internal): &(Carrier, u16)| MappedPort {
        carrier: *carrier,
        internal: *internal,
        family: Family::Ipv4,
        outcome: Outcome::Open {
            external: ([8, 8, 4, 4], internal + 1000).into(),
            method: "UPnP".to_owned(),
        },
    };
    evidence.mappings = ports.iter().map(open).collect();
}

const EVERY_PORT: [(Carrier, u16); 6] = [
    (Carrier::Tcp, 30313),
    (Carrier::Udp, 30313),
    (Carrier::Tcp, 30314),
    (Carrier::Udp, 30314),
    (Carrier::Tcp, 30315),
    (Carrier::Udp, 30315),
];

fn judge(evidence: &Evidence) -> Reachability {
    Judge::default().weigh(evidence, now())
}

fn verdict(transport: Transport, addr: ([u8; 4], u16), reachable: bool) -> Verdict {
    let place = Place { transport, addr: addr.into() };
    Verdict { place, reachable, confirmations: 2, at: now() }
}

/// Our address through a relay.
fn through(ip: &str) -> String {
    format!("/ip4/{ip}/udp/1/quic-v1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N/p2p-circuit{ID}")
}

#[test]
fn while_nothing_is_known_our_ports_are_told_where_peers_see_us() {
    let mut own = own();
    let evidence = home();
    let told = tell(&own, &judge(&evidence), &evidence);
    assert_eq!((told.endpoints.ip, told.endpoints.tcp, told.endpoints.udp), (None, Some(30313), Some(30313)));
    assert_eq!((told.endpoints.quic, told.libp2p), (Some(30314), Vec::new()));

    own.seen = vec![([8, 8, 4, 4], 31000).into()];

    let told = tell(&own, &judge(&evidence), &evidence);
    assert_eq!(told.endpoints.ip, Some([8, 8, 4, 4].into()));
    assert_eq!((told.endpoints.tcp, told.endpoints.udp), (Some(30313), Some(31000)));
    let expected = [
        format!("/ip4/8.8.4.4/udp/30314/quic-v1{ID}"),
        format!("/ip4/8.8.4.4/tcp/30315/ws{ID}"),
        format!("/ip4/8.8.4.4/udp/30315/quic-v1/webtransport{HASH}{ID}"),
    ];
    assert_eq!(told.libp2p, expected);
}

#[test]
fn ports_that_the_router_opened_are_tested_first_and_told_with_their_outside_numbers() {
    let (own, mut evidence) = (own(), home());
    opened(&mut evidence, &EVERY_PORT);

    let to_test = candidates(&own, &evidence);

    let expected = [
        format!("/ip4/8.8.4.4/udp/31314/quic-v1{ID}"),
        format!("/ip4/8.8.4.4/tcp/31314{ID}"),
        format!("/ip4/8.8.4.4/udp/31315/quic-v1/webtransport{HASH}{ID}"),
        format!("/ip4/8.8.4.4/tcp/31315/ws{ID}"),
    ];
    assert_eq!(to_test, expected);

    let told = tell(&own, &judge(&evidence), &evidence);

    let endpoints = told.endpoints;
    assert_eq!(endpoints.ip, Some([8, 8, 4, 4].into()));
    assert_eq!((endpoints.tcp, endpoints.udp, endpoints.quic), (Some(31313), Some(31313), Some(31314)));
    assert_eq!(endpoints.multiaddrs, ["/ip4/8.8.4.4/tcp/31315/ws".parse().expect("multiaddr")]);
    let mut libp2p = told.libp2p;
    libp2p.sort();
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(libp2p, expected);
}

#[test]
fn a_port_that_the_router_left_out_is_not_told() {
    let (own, mut evidence) = (own(), home());
    opened(&mut evidence, &[(Carrier::Udp, 30314)]);

    let told = tell(&own, &judge(&evidence), &evidence);

    assert_eq!((told.endpoints.quic, told.endpoints.tcp), (Some(31314), None));
    assert!(told.endpoints.multiaddrs.is_empty());
    assert_eq!(told.libp2p, [format!("/ip4/8.8.4.4/udp/31314/quic-v1{ID}")]);
}

#[test]
fn what_nobody_reaches_is_not_told_and_what_a_relay_keeps_is() {
    let (mut own, mut evidence) = (own(), home());
    own.seen = vec![([8, 8, 4, 4], 30313).into()];
    evidence.verdicts = vec![
        verdict(Transport::Quic, ([8, 8, 4, 4], 30314), false),
        verdict(Transport::Tcp, ([8, 8, 4, 4], 30314), false),
    ];
    let through = through("9.9.9.9");
    let addresses = vec![through.clone(), "nonsense".to_owned(), self::through("192.168.1.99")];
    evidence.reservations = vec![Hop { relay: "R".to_owned(), addresses }];

    let told = tell(&own, &judge(&evidence), &evidence);

    assert_eq!((told.endpoints.quic, told.endpoints.tcp), (None, None));
    assert_eq!((told.endpoints.ip, told.endpoints.udp), (Some([8, 8, 4, 4].into()), Some(30313)));
    assert!(told.endpoints.multiaddrs.is_empty());
    assert_eq!(told.libp2p, std::slice::from_ref(&through));
    assert_eq!(told.endpoints.relays, [through.parse().expect("multiaddr")]);
}

#[test]
fn where_nobody_gets_through_the_wall_ports_behind_it_that_nobody_tried_are_not_told_either() {
    let (mut own, mut evidence) = (own(), home());
    own.seen = vec![([8, 8, 4, 4], 31000).into()];
    let told = |evidence: &Evidence| tell(&own, &judge(evidence), evidence).libp2p;
    let ws = format!("/ip4/8.8.4.4/tcp/30315/ws{ID}");
    assert!(told(&evidence).contains(&ws));

    evidence.verdicts = vec![verdict(Transport::Quic, ([8, 8, 4, 4], 30314), false)];
    assert_eq!(told(&evidence), Vec::<String>::new());

    // Somebody got through to another port: the user opened some of them, and it may be one of those.
    evidence.verdicts.push(verdict(Transport::Tcp, ([8, 8, 4, 4], 30314), true));
    assert!(told(&evidence).contains(&ws));
}

#[test]
fn the_record_has_no_relays_where_others_came_through_directly() {
    let (own, mut evidence) = (own(), home());
    evidence.reservations = vec![Hop { relay: "R".to_owned(), addresses: vec![through("9.9.9.9")] }];
    assert_eq!(tell(&own, &judge(&evidence), &evidence).endpoints.relays.len(), 1);
    evidence.verdicts = vec![verdict(Transport::Quic, ([8, 8, 4, 4], 30314), true)];

    let told = tell(&own, &judge(&evidence), &evidence);

    assert!(told.endpoints.relays.is_empty());
    assert!(told.libp2p.contains(&through("9.9.9.9")));
}

#[test]
fn a_private_address_outside_is_never_told() {
    let (own, mut evidence) = (own(), home());
    evidence.mappings = vec![MappedPort {
        carrier: Carrier::Udp,
        internal: 30314,
        family: Family::Ipv4,
        outcome: Outcome::Open { external: ([10, 0, 0, 2], 30314).into(), method: "UPnP".to_owned() },
    }];

    assert!(candidates(&own, &evidence).is_empty());
    let told = tell(&own, &judge(&evidence), &evidence);

    assert_eq!((told.endpoints.ip, told.libp2p), (None, Vec::new()));

    evidence.reach = Reach::Local;
    let told = tell(&own, &judge(&evidence), &evidence);
    assert_eq!(told.endpoints.ip, Some([10, 0, 0, 2].into()));
}

#[test]
fn the_users_word_stands_and_is_tested_all_the_same() {
    let (mut own, mut evidence) = (own(), home());
    own.policy = Policy::Fixed([8, 8, 8, 8].into());
    own.seen = vec![([8, 8, 4, 4], 1).into()];
    evidence.verdicts = vec![verdict(Transport::Quic, ([8, 8, 8, 8], 30314), false)];

    assert!(candidates(&own, &evidence).contains(&format!("/ip4/8.8.8.8/udp/30314/quic-v1{ID}")));
    let told = tell(&own, &judge(&evidence), &evidence).endpoints;

    assert_eq!((told.ip, told.quic, told.udp), (Some([8, 8, 8, 8].into()), Some(30314), Some(30313)));
}

#[test]
fn bound_only_tells_only_what_we_are_bound_to() {
    let (mut own, evidence) = (own(), home());
    own.policy = Policy::BoundOnly;
    own.seen = vec![([8, 8, 4, 4], 1).into()];
    assert_eq!(tell(&own, &judge(&evidence), &evidence).endpoints.ip, None);

    own.devp2p = Some(([192, 168, 1, 10], 30313).into());

    assert_eq!(tell(&own, &judge(&evidence), &evidence).endpoints.ip, Some([192, 168, 1, 10].into()));
}

#[test]
fn each_family_has_its_own_ports() {
    let mut own = own();
    own.devp2p = Some("[::]:30313".parse().expect("an address"));
    own.discovery = own.devp2p;
    own.listening.push(format!("/ip6/2606:4700::10/udp/30314/quic-v1{ID}").parse().expect("multiaddr"));
    let mut evidence = home();
    let addr = "[2606:4700::10]:30314".parse().expect("an address");
    let global = Place { transport: Transport::Quic, addr };
    evidence.listeners.push(global);
    opened(&mut evidence, &EVERY_PORT);
    evidence.verdicts = vec![Verdict { place: global, reachable: true, confirmations: 3, at: now() }];

    let told = tell(&own, &judge(&evidence), &evidence).endpoints;

    assert_eq!(told.ip6, Some("2606:4700::10".parse().expect("an address")));
    assert_eq!((told.quic, told.quic6), (Some(31314), Some(30314)));
    assert_eq!((told.udp, told.udp6), (Some(31313), Some(30313)));
    assert_eq!(told.tcp, Some(31313));
}

#[test]
fn however_many_relays_there_are_no_more_is_told_than_identify_holds() {
    let (mut own, mut evidence) = (own(), home());
    own.seen = vec![([8, 8, 4, 4], 30313).into()];
    let hop = |n: usize| Hop { relay: n.to_string(), addresses: vec![through(&format!("9.9.9.{n}")); 3] };
    evidence.reservations = (0..40).map(hop).collect();

    let told = tell(&own, &judge(&evidence), &evidence).libp2p;

    assert!(told.len() <= MAX_TOLD);
    assert!(told.contains(&through("9.9.9.1")));
    assert!(told.contains(&format!("/ip4/8.8.4.4/udp/30314/quic-v1{ID}")));
}
