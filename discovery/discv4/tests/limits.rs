//! What strangers can make us do, and hold, is bounded.

mod support;

use std::{net::SocketAddr, time::Duration};

use causeway_discv4::{Dropped, Event, HOST_BURST, HOST_RATE, Limits, MAX_BONDS_PER_HOST};
use causeway_records::Reach;
use support::{
    EPOCH, addr,
    scene::{Scene, asked, find_node, key, kinds, neighbors, ping, pinged},
    secret,
};

/// For a victim whose address is forged: within the limits a ping gets a pong and at times a ping, at most two
/// and a half times its bytes; a flood gets less than it sends.
#[test]
fn pings_from_a_forged_address_are_no_lever() {
    let mut scene = Scene::new();
    let bytes_out = |scene: &mut Scene| -> usize {
        std::iter::from_fn(|| scene.machine.poll_transmit()).map(|transmit| transmit.packet.len()).sum()
    };
    let one_in = ping(Some(1)).encode(&secret(1)).0.len();
    scene.send(1, addr(1), &ping(Some(1))).0.expect("a good ping");
    let one_out = bytes_out(&mut scene);
    assert!(2 * one_out <= 5 * one_in, "{one_out} bytes for {one_in}");

    let (mut bytes_in, mut out) = (0, 0);
    for n in 0..3000 {
        scene.now += Duration::from_millis(1);
        let (packet, _) = ping(Some(n)).encode(&secret(u32::try_from(n % 50).expect("small") + 1));
        bytes_in += packet.len();
        let _ = scene.machine.handle_packet(addr(1), &packet, scene.now, EPOCH);
        out += bytes_out(&mut scene);
    }

    assert!(out <= bytes_in, "{out} bytes for {bytes_in}");
}

#[test]
fn pings_back_to_one_machine_are_bounded() {
    let mut scene = Scene::new();

    let mut back = 0;
    for n in 1..150 {
        let from = SocketAddr::new(addr(1).ip(), 1000 + u16::try_from(n).expect("small"));
        scene.send(n, from, &ping(None)).0.expect("within the intake's limits");
        back += pinged(&mut scene).len();
    }

    assert_eq!(back, 6 * Limits::default().callbacks_per_host as usize);
}

#[test]
fn pings_back_to_all_are_bounded() {
    let mut scene = Scene::with(Reach::Public, Limits { requests: 10_000, ..Limits::default() });

    let mut back = 0;
    for n in 1..500 {
        scene.send(n, addr(n), &ping(None)).0.expect("within the intake's limits");
        back += pinged(&mut scene).len();
    }

    assert_eq!(back, 2 * Limits::default().callbacks_per_second as usize);
}

#[test]
fn pings_to_those_that_others_name_are_bounded() {
    let limits = Limits { pings_per_second: 2, ..Limits::default() };
    let mut scene = Scene::with(Reach::Public, limits);
    asked(&mut scene);

    let named: Vec<(u32, SocketAddr)> = (100..112).map(|n| (n, addr(n))).collect();
    scene.send(1, addr(1), &neighbors(&named)).0.expect("asked for");
    let at_once = pinged(&mut scene).len();
    let due = scene.machine.poll_timeout().expect("more to do");
    assert!(due <= scene.now + Duration::from_millis(500));
    let mut later = 0;
    for _ in 0..20 {
        scene.pass(Duration::from_millis(100));
        later += pinged(&mut scene).len();
    }

    assert_eq!((at_once, later), (4, 4));
}

#[test]
fn questions_under_way_are_bounded() {
    let mut scene = Scene::with(Reach::Public, Limits { requests: 5, ..Limits::default() });

    for n in 1..50 {
        let _ = scene.send(n, addr(n), &ping(None));
        assert!(scene.machine.stats().requests <= 5);
    }

    assert_eq!(pinged(&mut scene).len(), 5);
}

#[test]
fn events_that_nobody_takes_are_bounded_and_the_end_of_a_lookup_is_told_all_the_same() {
    let mut scene = Scene::with(Reach::Public, Limits { events: 4, ..Limits::default() });
    for n in 1..10 {
        scene.bond(n, addr(n), None);
    }
    assert!(scene.machine.lookup(key(99), scene.now, EPOCH));
    while scene.machine.stats().lookups > 0 {
        scene.pass(Duration::from_millis(500));
    }

    assert_eq!(scene.machine.stats().events_dropped, 9 * 2 - 4); // each is found, and says where it sees us
    let events = scene.events();
    assert_eq!((events.len(), events.last()), (5, Some(&Event::LookupDone { found: 0 })));
}

/// Whoever announces records and gives none is asked for each once, and again after a while.
#[test]
fn a_record_that_is_not_given_is_not_asked_for_again_soon() {
    let mut scene = Scene::new();
    scene.bond(1, addr(1), Some(3));
    let asked = |scene: &mut Scene, seq| {
        scene.send(1, addr(1), &ping(Some(seq))).0.expect("a good ping");
        kinds(&scene.sent()).contains(&5)
    };
    assert!(kinds(&scene.sent()).contains(&5));

    scene.pass(Duration::from_secs(1));
    assert!(!asked(&mut scene, 3));
    assert!(asked(&mut scene, 4), "another one is announced");
    scene.pass(Duration::from_secs(299));
    assert!(!asked(&mut scene, 4));
    scene.pass(Duration::from_secs(1));
    assert!(asked(&mut scene, 4));
}

#[test]
fn one_machine_cannot_push_out_the_proofs_of_others() {
    let mut scene = Scene::new();
    scene.bond(1, addr(1), None);

    for n in 0..(2 * MAX_BONDS_PER_HOST) {
        scene.now += Duration::from_secs(1);
        scene.bond(2, SocketAddr::new(addr(2).ip(), 2000 + u16::try_from(n).expect("small")), None);
    }

    assert_eq!(scene.machine.stats().bonds, MAX_BONDS_PER_HOST + 1);
    assert_eq!(scene.send(1, addr(1), &find_node()).0, Ok(()));
}

#[test]
fn too_many_packets_of_a_machine_are_not_looked_at() {
    let mut scene = Scene::new();
    let junk = [0; 200];

    let looked_at = |scene: &mut Scene, count: usize| {
        let outcome = |_| scene.machine.handle_packet(addr(1), &junk, scene.now, EPOCH);
        (0..count).map(outcome).filter(|outcome| *outcome != Err(Dropped::TooMany)).count()
    };
    assert_eq!(looked_at(&mut scene, 1000), HOST_BURST as usize);
    scene.now += Duration::from_secs(1);
    assert_eq!(looked_at(&mut scene, 1000), HOST_RATE as usize);
    assert_eq!(scene.send(2, addr(2), &ping(None)).0, Ok(()), "others are heard");
}
