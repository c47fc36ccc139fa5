//! Each row of the advice (deploy guide, section 10): from evidence of that kind to those words.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use causeway_reachability::{
    Arrival, Carrier, Confidence, Evidence, Family, Finding, Hop, Judge, MappedPort, Observed, Outcome,
    Place, Punches, Reachability, State, Telling, Transport, UdpSeen, Verdict,
};
use causeway_records::Reach;

const LAN: &str = "192.168.1.10";
const OUTSIDE: &str = "8.8.4.4:30314";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn place(transport: Transport, addr: &str) -> Place {
    Place { transport, addr: addr.parse().expect("an address") }
}

/// A home with QUIC and TCP at port 30314.
fn home() -> Evidence {
    let mut evidence = Evidence::none(Reach::Public);
    let lan: IpAddr = LAN.parse().expect("an address");
    evidence.listeners = vec![
        place(Transport::Quic, &format!("{LAN}:30314")),
        place(Transport::Tcp, &format!("{LAN}:30314")),
        place(Transport::Quic, "127.0.0.1:30314"),
    ];
    evidence.outgoing = vec![lan];
    evidence
}

fn verdict(transport: Transport, addr: &str, reachable: bool, confirmations: u32) -> Verdict {
    Verdict { place: place(transport, addr), reachable, confirmations, at: now() }
}

fn seen(views: &[&str]) -> Vec<Observed> {
    let views = views.iter().enumerate();
    views.map(|(by, addr)| Observed { place: place(Transport::Quic, addr), by: by.to_string() }).collect()
}

fn mapped(carrier: Carrier, outcome: Outcome) -> MappedPort {
    MappedPort { carrier, internal: 30314, family: Family::Ipv4, outcome }
}

fn open(external: &str) -> Outcome {
    Outcome::Open { external: external.parse().expect("an address"), method: "PCP".to_owned() }
}

fn relay() -> Hop {
    Hop {
        relay: "relay".to_owned(),
        addresses: vec!["/ip4/9.9.9.9/udp/1/quic-v1/p2p/R/p2p-circuit".to_owned()],
    }
}

fn judge(evidence: &Evidence) -> Reachability {
    Judge::default().weigh(evidence, now())
}

fn quic(found: &Reachability) -> &Finding {
    found.finding(Family::Ipv4, Transport::Quic).expect("a finding")
}

#[test]
fn public_and_dialed_back() {
    let mut evidence = home();
    evidence.verdicts = vec![verdict(Transport::Quic, OUTSIDE, true, 3)];

    let found = judge(&evidence);

    assert_eq!((found.state, found.confidence, found.tested), (State::Public, Confidence::High, Some(now())));
    assert_eq!(found.advice, "Others reach you directly. Nothing to do.");
    assert_eq!(found.why, "3 peers dialed it and got through");
    assert_eq!(quic(&found).telling, Telling::Addresses);
}

#[test]
fn one_dial_back_is_less_sure() {
    let mut evidence = home();
    evidence.verdicts = vec![verdict(Transport::Quic, OUTSIDE, true, 1)];

    assert_eq!(judge(&evidence).confidence, Confidence::Medium);
}

#[test]
fn mapped_and_dialed_back() {
    let mut evidence = home();
    evidence.mappings = vec![mapped(Carrier::Udp, open("8.8.4.4:40001"))];
    evidence.verdicts = vec![verdict(Transport::Quic, "8.8.4.4:40001", true, 3)];

    let found = judge(&evidence);

    assert_eq!(found.state, State::Mapped);
    let words = "Others reach you directly. Nothing to do. Your router opened port 40001 automatically.";
    assert_eq!(found.advice, words);
    assert_eq!(found.why, "the router opened port 40001 by PCP; 3 peers dialed it and got through");
}

#[test]
fn mapped_and_not_tested_is_said_so_and_told() {
    let mut evidence = home();
    evidence.mappings = vec![mapped(Carrier::Udp, open("8.8.4.4:40001"))];

    let found = judge(&evidence);

    assert_eq!((found.state, found.confidence, found.tested), (State::Mapped, Confidence::Low, None));
    assert_eq!(quic(&found).telling, Telling::Addresses);
    assert!(found.advice.contains("Your router opened port 40001 automatically"), "{}", found.advice);
}

#[test]
fn a_mapping_is_tested_before_it_is_told_where_somebody_tests() {
    let mut evidence = home();
    evidence.mappings = vec![mapped(Carrier::Udp, open("8.8.4.4:40001"))];
    evidence.verdicts = vec![verdict(Transport::Tcp, OUTSIDE, false, 2)];

    let found = judge(&evidence);

    assert_eq!((quic(&found).state, quic(&found).telling), (State::Mapped, Telling::Nothing));
}

#[test]
fn a_mapping_through_which_nobody_comes_is_no_mapping() {
    let mut evidence = home();
    evidence.mappings = vec![mapped(Carrier::Udp, open(OUTSIDE))];
    evidence.verdicts = vec![verdict(Transport::Quic, OUTSIDE, false, 2)];

    let found = judge(&evidence);

    assert_eq!(quic(&found).state, State::Unreachable);
    assert_eq!(quic(&found).telling, Telling::Nothing);
}

#[test]
fn endpoint_independent_without_a_mapping() {
    let mut evidence = home();
    evidence.observed = seen(&[OUTSIDE, OUTSIDE, OUTSIDE]);
    evidence.verdicts = vec![verdict(Transport::Quic, OUTSIDE, false, 2)];

    let found = judge(&evidence);

    assert_eq!(found.state, State::Punchable);
    let words = "Works through hole punching for most. For best results enable UPnP or forward UDP 30314 and \
                 TCP 30314 to 192.168.1.10.";
    assert_eq!(found.advice, words);
    assert_eq!(quic(&found).telling, Telling::Nothing);
}

#[test]
fn punches_that_never_work_are_believed_more_than_what_peers_see() {
    let mut evidence = home();
    evidence.observed = seen(&[OUTSIDE, OUTSIDE]);
    evidence.verdicts = vec![verdict(Transport::Quic, OUTSIDE, false, 2)];
    evidence.punched.insert(Transport::Quic, Punches { tried: 3, succeeded: 0 });
    evidence.punched.insert(Transport::Tcp, Punches { tried: 3, succeeded: 0 });
    evidence.reservations = vec![relay()];

    let found = judge(&evidence);

    assert_eq!(found.state, State::RelayedOnly);
    assert!(quic(&found).why.ends_with("0 of 3 hole punches worked"), "{}", quic(&found).why);
}

#[test]
fn endpoint_dependent() {
    let mut evidence = home();
    evidence.observed = seen(&["8.8.4.4:1001", "8.8.4.4:1002"]);
    evidence.verdicts = vec![verdict(Transport::Quic, "8.8.4.4:1001", false, 2)];
    evidence.reservations = vec![relay()];

    let found = judge(&evidence);

    assert_eq!(found.state, State::RelayedOnly);
    let words = "Your router changes ports per destination; some devices will use a relay. Forwarding UDP 30314 \
                 fixes this.";
    assert_eq!(found.advice, words);

    evidence.reservations.clear();
    assert_eq!(quic(&judge(&evidence)).state, State::Unreachable);
    evidence.punched.insert(Transport::Quic, Punches { tried: 9, succeeded: 1 });
    assert_eq!(quic(&judge(&evidence)).state, State::Punchable);
}

const SHARED: &str = "Your provider shares one address among many homes (CGNAT) or there are two routers. Port \
                      forwarding here will not help; use IPv6, ask the provider for a public address, or stay \
                      relayed.";

#[test]
fn the_routers_outside_address_is_shared_or_private() {
    for outside in ["100.70.1.2", "192.168.0.2"] {
        let mut evidence = home();
        let outside: IpAddr = outside.parse().expect("an address");
        evidence.mappings = vec![mapped(Carrier::Udp, Outcome::Shared { outside: Some(outside) })];
        evidence.observed = seen(&[OUTSIDE, OUTSIDE]);
        evidence.reservations = vec![relay()];

        let found = judge(&evidence);

        assert_eq!((found.state, found.advice.as_str()), (State::Punchable, SHARED));
        assert!(quic(&found).why.contains(&outside.to_string()));
        assert_eq!(quic(&found).telling, Telling::Nothing);
    }
}

#[test]
fn a_modem_in_the_providers_shared_network_needs_no_router_to_know_it() {
    let mut evidence = home();
    evidence.listeners = vec![place(Transport::Quic, "100.70.1.2:30314")];
    evidence.outgoing = vec![[100, 70, 1, 2].into()];
    evidence.verdicts = vec![verdict(Transport::Quic, OUTSIDE, false, 1)];

    assert_eq!(judge(&evidence).advice, SHARED);
}

#[test]
fn a_vpns_shared_address_is_ignored() {
    let mut evidence = home();
    let vpn = "100.100.7.7:30314";
    evidence.listeners.push(place(Transport::Quic, vpn));
    evidence.observed = seen(&[vpn, vpn]);
    let outside = Some([100, 100, 7, 7].into());
    evidence.mappings = vec![mapped(Carrier::Udp, Outcome::Shared { outside })];
    evidence.verdicts = vec![verdict(Transport::Quic, vpn, true, 3)];

    let found = judge(&evidence);

    assert_eq!(found.state, State::Unknown);
    assert_ne!(found.advice, SHARED);
}

#[test]
fn global_ipv6_behind_a_firewall() {
    let mut evidence = home();
    let global = "[2606:4700::10]:30314";
    evidence.listeners = vec![place(Transport::Quic, global)];
    evidence.verdicts = vec![verdict(Transport::Quic, global, false, 2)];

    let found = judge(&evidence);

    assert_eq!(found.advice, "Allow UDP 30314 inbound to this machine in the router's IPv6 firewall.");
    assert_eq!(found.state, State::Punchable);
}

#[test]
fn where_ipv4_is_shared_the_ipv6_firewall_matters_most() {
    let mut evidence = home();
    let global = "[2606:4700::10]:30314";
    evidence.listeners.push(place(Transport::Quic, global));
    evidence.mappings = vec![mapped(Carrier::Udp, Outcome::Shared { outside: None })];
    evidence.verdicts = vec![verdict(Transport::Quic, global, false, 2)];

    let found = judge(&evidence);

    assert_eq!(found.advice, "Allow UDP 30314 inbound to this machine in the router's IPv6 firewall.");
    assert_eq!(quic(&found).advice, SHARED);
}

#[test]
fn a_public_address_behind_a_firewall() {
    let mut evidence = home();
    evidence.listeners = vec![place(Transport::Tcp, OUTSIDE)];
    evidence.outgoing = vec![[8, 8, 4, 4].into()];
    assert_eq!(judge(&evidence).state, State::Unknown);

    evidence.verdicts = vec![verdict(Transport::Tcp, OUTSIDE, false, 2)];

    let found = judge(&evidence);
    assert!(found.advice.starts_with("Allow TCP 30314 inbound"), "{}", found.advice);
}

#[test]
fn udp_is_blocked() {
    let mut evidence = home();
    evidence.udp = UdpSeen::Blocked;
    evidence.verdicts = vec![verdict(Transport::Tcp, OUTSIDE, false, 2)];
    evidence.reservations = vec![relay()];

    let found = judge(&evidence);

    assert_eq!(found.advice, "This network blocks UDP; using WebSocket over TCP. Slower, works.");
    assert_eq!((found.state, quic(&found).state), (State::RelayedOnly, State::Unreachable));
}

#[test]
fn udp_that_was_dialed_is_not_blocked() {
    let mut evidence = home();
    evidence.udp = UdpSeen::Blocked;
    evidence.verdicts = vec![verdict(Transport::Quic, OUTSIDE, true, 1)];

    assert_eq!(judge(&evidence).state, State::Public);
}

#[test]
fn captive_portal() {
    let mut evidence = home();
    evidence.captive_portal = true;

    let found = judge(&evidence);

    assert_eq!((found.state, found.advice.as_str()), (State::Unreachable, "Sign in to this network first."));
}

#[test]
fn bound_to_loopback() {
    let mut evidence = home();
    evidence.listeners =
        vec![place(Transport::Quic, "127.0.0.1:30314"), place(Transport::Devp2p, "127.0.0.1:30313")];

    let found = judge(&evidence);

    assert_eq!(found.advice, "Your setting --addr 127.0.0.1 makes listener quic unreachable.");
    assert_eq!(found.state, State::Unreachable);
    let devp2p = found.finding(Family::Ipv4, Transport::Devp2p).expect("a finding");
    assert_eq!(devp2p.advice, "Your setting --addr 127.0.0.1 makes listener devp2p unreachable.");
}

#[test]
fn nobody_gets_through_and_it_is_not_known_why() {
    let mut evidence = home();
    evidence.verdicts = vec![verdict(Transport::Quic, OUTSIDE, false, 1)];

    let found = judge(&evidence);

    assert_eq!(quic(&found).advice, "Enable UPnP or forward UDP 30314 and TCP 30314 to 192.168.1.10.");
    assert_eq!(quic(&found).why, "1 peer dialed it and did not get through");
    assert_eq!(found.state, State::Unknown); // TCP was not tested
}

#[test]
fn before_anybody_tested_nothing_is_claimed_but_what_relays_grant() {
    let mut evidence = home();
    let found = judge(&evidence);
    assert_eq!((found.state, quic(&found).telling), (State::Unknown, Telling::AsBound));

    evidence.reservations = vec![relay()];

    assert_eq!(judge(&evidence).state, State::RelayedOnly);
}

#[test]
fn what_peers_see_alone_keeps_nothing_from_being_told() {
    let mut evidence = home();
    evidence.observed = seen(&[OUTSIDE, OUTSIDE]);

    let found = judge(&evidence);

    let Finding { state, confidence, telling, .. } = quic(&found);
    assert_eq!((state, confidence), (&State::Punchable, &Confidence::Low));
    assert_eq!(telling, &Telling::AsBound);
}

#[test]
fn one_good_address_of_several_is_enough() {
    let mut evidence = home();
    evidence.verdicts =
        vec![verdict(Transport::Quic, "8.8.4.4:7", false, 5), verdict(Transport::Quic, OUTSIDE, true, 1)];

    let found = judge(&evidence);

    assert_eq!(quic(&found).addresses, [OUTSIDE.parse().expect("an address")]);
}

#[test]
fn verdicts_on_private_addresses_are_nobodys() {
    let mut evidence = home();
    evidence.verdicts = vec![verdict(Transport::Quic, &format!("{LAN}:30314"), true, 3)];
    assert_eq!(judge(&evidence).state, State::Unknown);

    evidence.reach = Reach::Local;

    assert_eq!(judge(&evidence).state, State::Public);
}

#[test]
fn strangers_who_come_show_it_where_no_hole_can_be_punched() {
    let mut evidence = home();
    evidence.listeners.push(place(Transport::Ws, &format!("{LAN}:30315")));
    let came = |transport| Arrival { family: Family::Ipv4, transport, at: now() };
    evidence.arrivals = vec![came(Transport::Quic), came(Transport::Tcp)];
    assert_eq!(judge(&evidence).state, State::Unknown);

    evidence.arrivals.push(came(Transport::Ws));

    let found = judge(&evidence);
    assert_eq!((found.state, found.confidence), (State::Public, Confidence::Medium));
}

#[test]
fn ports_that_nobody_can_dial_back_go_by_their_neighbours() {
    let mut evidence = home();
    let public = "8.8.4.4:30314";
    evidence.outgoing = vec![[8, 8, 4, 4].into()];
    evidence.listeners = vec![
        place(Transport::Quic, public),
        place(Transport::WebTransport, "8.8.4.4:30315"),
        place(Transport::Tcp, public),
        place(Transport::Devp2p, "8.8.4.4:30313"),
    ];
    evidence.verdicts =
        vec![verdict(Transport::Quic, public, true, 3), verdict(Transport::Tcp, public, false, 3)];

    let found = judge(&evidence);

    let state = |transport| found.finding(Family::Ipv4, transport).map(|finding| finding.state);
    assert_eq!(state(Transport::WebTransport), Some(State::Public));
    assert_eq!(state(Transport::Devp2p), Some(State::Unreachable));
}

#[test]
fn devp2p_and_discovery_are_told_where_the_router_opened_them() {
    let mut evidence = home();
    evidence.listeners.push(place(Transport::Devp2p, &format!("{LAN}:30313")));
    evidence.listeners.push(place(Transport::Discovery, &format!("{LAN}:30313")));
    assert_eq!(judge(&evidence).finding(Family::Ipv4, Transport::Devp2p), None);
    let at = |carrier, outcome| MappedPort { carrier, internal: 30313, family: Family::Ipv4, outcome };
    evidence.mappings = vec![at(Carrier::Tcp, open("8.8.4.4:5")), at(Carrier::Udp, open("8.8.4.4:6"))];

    let found = judge(&evidence);

    for (transport, port) in [(Transport::Devp2p, 5), (Transport::Discovery, 6)] {
        let finding = found.finding(Family::Ipv4, transport).expect("a finding");
        assert_eq!((finding.state, finding.telling), (State::Mapped, Telling::Addresses));
        assert_eq!(finding.addresses, [([8, 8, 4, 4], port).into()]);
    }
}

#[test]
fn it_is_written_as_json_with_its_times_in_seconds() {
    let mut evidence = home();
    evidence.verdicts = vec![verdict(Transport::Quic, OUTSIDE, true, 3)];

    let object = serde_json::to_value(judge(&evidence)).expect("JSON");

    assert_eq!(object["state"], "public");
    assert_eq!(object["testedAt"], 1_800_000_000_u64);
    assert_eq!(object["udpTranslation"], "unknown");
    let first = &object["findings"][0];
    assert_eq!((&first["family"], &first["transport"]), (&"ipv4".into(), &"quic".into()));
    assert_eq!((&first["port"], &first["confidence"]), (&30314.into(), &"high".into()));
    assert_eq!(first["addresses"][0], OUTSIDE);
}
