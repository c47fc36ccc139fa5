//! Registrations and queries at one registrar.

use super::*;
use crate::{
    message::{RegConfirmation, RequestId, encode_all},
    parameters::{LIFETIME, LONGEST_WAIT, REGISTRATION_WINDOW},
    tests::{ip_of, large_record, record, record_at, renumbered, without_address},
};

fn registrar(now: Instant) -> Registrar {
    Registrar::new(Parameters::default(), Secret::new([9; 32]), now)
}

fn sender(n: u8) -> Sender {
    Sender { node: record(n).node_id(), ip: ip_of(n) }
}

fn ask(record: Record, ticket: &[u8]) -> Message {
    let id = RequestId::from([3; 8]);
    Message::RegTopic(RegTopic {
        id,
        topic: Topic::of("les"),
        record,
        ticket: ticket.to_vec(),
        distances: Vec::new(),
    })
}

/// What became of it, the ticket and the wait.
fn register(at: &mut Registrar, n: u8, ticket: &[u8], now: Instant) -> (Registration, Vec<u8>, Duration) {
    let reply = at.handle_request(sender(n), &ask(record(n), ticket), Budget::TALK, now).expect("answered");
    let Some(Message::RegConfirmation(RegConfirmation { ticket, wait, .. })) = reply.messages.first() else {
        panic!("{reply:?} does not begin with a confirmation");
    };
    (reply.registration.expect("a registration"), ticket.clone(), Duration::from_millis(*wait))
}

/// Registers `n`, however long it takes, and says how long it took.
fn admit(at: &mut Registrar, n: u8, start: Instant) -> Duration {
    let (mut ticket, mut now) = (Vec::new(), start);
    for _ in 0..200 {
        let (registration, next, wait) = register(at, n, &ticket, now);
        match registration {
            Registration::Admitted => return now - start,
            Registration::Waits => (ticket, now) = (next, now + wait),
            other => panic!("{other:?}"),
        }
    }
    panic!("never admitted")
}

#[test]
fn the_first_waits_a_moment_and_is_admitted() {
    let start = Instant::now();
    let mut registrar = registrar(start);

    let (registration, ticket, wait) = register(&mut registrar, 1, &[], start);
    assert_eq!((registration, wait), (Registration::Waits, Duration::from_millis(1)));
    let (registration, ticket, lifetime) = register(&mut registrar, 1, &ticket, start + wait);

    assert_eq!((registration, lifetime), (Registration::Admitted, LIFETIME));
    assert!(ticket.is_empty());
    assert_eq!(registrar.advertisements().count(Topic::of("les")), 1);
    assert_eq!(registrar.poll_timeout(), Some(start + wait + LIFETIME));
}

#[test]
fn a_second_of_the_only_topic_waits_for_the_first_to_leave() {
    let start = Instant::now();
    let mut registrar = registrar(start);
    admit(&mut registrar, 1, start);

    let (_, _, wait) = register(&mut registrar, 2, &[], start);
    assert_eq!(wait, LIFETIME);
    let took = admit(&mut registrar, 2, start);

    // 900 s / 0.999^10: the table is a thousandth full.
    assert!(took >= LIFETIME && took < LIFETIME + Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_ticket_is_used_once_and_not_by_others() {
    let start = Instant::now();
    let mut registrar = registrar(start);
    let (_, ticket, wait) = register(&mut registrar, 1, &[], start);
    let then = start + wait;

    let stolen = register(&mut registrar, 2, &ticket, then).0;
    assert_eq!(stolen, Registration::StartsAnew(TicketError::NotOurs));
    let newer = registrar.handle_request(sender(1), &ask(renumbered(1, 2), &ticket), Budget::TALK, then);
    let newer = newer.expect("answered").registration;
    assert_eq!(newer, Some(Registration::StartsAnew(TicketError::NotOurs)));
    assert_eq!(register(&mut registrar, 1, &ticket, then).0, Registration::Admitted);
    let (again, none, rest) = register(&mut registrar, 1, &ticket, then + Duration::from_secs(5));
    assert_eq!((again, none.len(), rest), (Registration::Present, 0, LIFETIME - Duration::from_secs(5)));
    let (late, ..) = register(&mut registrar, 1, &ticket, then + LIFETIME);

    let by = LIFETIME - REGISTRATION_WINDOW;
    assert_eq!(late, Registration::StartsAnew(TicketError::Late { by }));
    assert!(registrar.advertisements().is_empty());
}

#[test]
fn coming_early_or_late_costs_what_was_waited() {
    let start = Instant::now();
    let mut registrar = registrar(start);
    admit(&mut registrar, 1, start);
    let (_, ticket, wait) = register(&mut registrar, 2, &[], start);

    let second = Duration::from_secs(1);
    let (early, _, again) = register(&mut registrar, 2, &ticket, start + wait - second);
    assert_eq!(early, Registration::StartsAnew(TicketError::Early { by: second }));
    assert!(again > Duration::ZERO);
    let (late, ..) = register(&mut registrar, 2, &ticket, start + wait + REGISTRATION_WINDOW + second);
    assert_eq!(late, Registration::StartsAnew(TicketError::Late { by: second }));
}

#[test]
fn asking_for_new_tickets_gains_nothing() {
    let start = Instant::now();
    let mut registrar = registrar(start);
    admit(&mut registrar, 1, start);
    let (_, _, first) = register(&mut registrar, 2, &[], start);

    let minute = Duration::from_secs(60);
    for minutes in 1..14 {
        // Others dilute the topic's share, which would make the wait shorter.
        let other = Topic::of(&format!("other {minutes}"));
        let entered = registrar.advertisements.insert(
            other,
            record(100 + minutes),
            ip_of(100 + minutes),
            start + minute * u32::from(minutes),
        );
        assert_eq!(entered, Ok(()));
        let passed = minute * u32::from(minutes);
        let (_, _, wait) = register(&mut registrar, 2, &[], start + passed);
        assert!(wait + passed + Duration::from_secs(1) >= first, "{wait:?} after {passed:?}");
    }
}

#[test]
fn a_record_must_be_the_senders_and_say_where_it_is() {
    let now = Instant::now();
    let mut registrar = registrar(now);
    let mut fault = |sender, record| registrar.handle_request(sender, &ask(record, &[]), Budget::TALK, now);

    assert_eq!(fault(sender(1), record(2)), Err(RequestFault::ForeignRecord));
    let other = RequestFault::OtherAddress { ip: ip_of(1) };
    assert_eq!(fault(sender(1), record_at(1, ip_of(2))), Err(other));
    assert_eq!(fault(sender(1), without_address(1)), Err(other));
    let ip = "2a00:1450::1".parse().expect("an address");
    assert!(fault(Sender { ip, ..sender(1) }, record_at(1, ip)).is_ok());
    let IpAddr::V4(v4) = ip_of(1) else { panic!("of v4") };
    assert!(fault(Sender { ip: v4.to_ipv6_mapped().into(), ..sender(1) }, record(1)).is_ok());
}

#[test]
fn answers_are_no_requests() {
    let now = Instant::now();
    let confirmation = RegConfirmation { id: RequestId::from([3; 8]), total: 1, ticket: Vec::new(), wait: 1 };

    let answer =
        registrar(now).handle_request(sender(1), &Message::RegConfirmation(confirmation), Budget::TALK, now);

    assert_eq!(answer, Err(RequestFault::NotARequest));
}

fn query(distances: Vec<u16>) -> Message {
    Message::TopicQuery(TopicQuery { id: RequestId::from([4; 8]), topic: Topic::of("les"), distances })
}

fn advertisers(reply: &Reply) -> usize {
    let count = |message: &Message| match message {
        Message::TopicNodes(nodes) => nodes.records.len(),
        _ => 0,
    };
    reply.messages.iter().map(count).sum()
}

#[test]
fn queries_get_up_to_ten_that_have_not_expired() {
    let start = Instant::now();
    let mut registrar = registrar(start);
    for n in 0..30 {
        let entered = registrar.advertisements.insert(Topic::of("les"), record(n), ip_of(n), start);
        assert_eq!(entered, Ok(()));
    }
    let mut ask = |budget, now| registrar.handle_request(sender(99), &query(Vec::new()), budget, now);

    let packets = ask(Budget::PACKETS, start).expect("answered");
    assert_eq!((advertisers(&packets), packets.registration), (MAX_RETURNED, None));
    let talk = ask(Budget::TALK, start).expect("answered");
    assert_eq!(advertisers(&talk), 8);
    assert!(encode_all(&talk.messages).len() <= Budget::TALK.whole);
    let late = ask(Budget::PACKETS, start + LIFETIME).expect("answered");
    assert_eq!((advertisers(&late), late.messages.len()), (0, 1));
}

#[test]
fn nodes_are_told_of_at_the_distances_asked_for() {
    let now = Instant::now();
    let mut registrar = registrar(now);
    for n in 0..60 {
        assert!(registrar.handle_node(record(n)));
    }
    let topic = Topic::of("les");

    let distances = vec![0, 1, 254, 255, 256];
    let reply =
        registrar.handle_request(sender(99), &query(distances), Budget::PACKETS, now).expect("answered");

    let [Message::TopicNodes(none), Message::Nodes(nodes)] = &reply.messages[..] else { panic!("{reply:?}") };
    assert!(none.records.is_empty());
    let at: Vec<_> = nodes.records.iter().map(|record| topic.distance(record.node_id())).collect();
    assert_eq!(at, [Some(256), Some(255), Some(254)]);
    assert_eq!((none.total, nodes.total), (2, 2));
    for n in 0..60 {
        registrar.forget_node(record(n).node_id());
    }
    let reply =
        registrar.handle_request(sender(99), &query(vec![256]), Budget::PACKETS, now).expect("answered");
    assert_eq!(reply.messages.len(), 1);
}

#[test]
fn a_full_table_takes_nobody_until_one_leaves() {
    let start = Instant::now();
    let parameters = Parameters { capacity: 2, ..Parameters::default() };
    let mut registrar = Registrar::new(parameters, Secret::new([9; 32]), start);
    for (n, topic) in [(1, "a"), (2, "b")] {
        assert_eq!(registrar.advertisements.insert(Topic::of(topic), record(n), ip_of(n), start), Ok(()));
    }

    let (_, _, wait) = register(&mut registrar, 3, &[], start);
    assert_eq!(wait, LIFETIME);
    let took = admit(&mut registrar, 3, start);

    assert!(took >= LIFETIME && took <= LONGEST_WAIT, "{took:?}");
    assert_eq!(registrar.advertisements().len(), 1);
}

#[test]
fn waits_stay_within_a_lifetime_and_a_clock_that_goes_back_is_survived() {
    let start = Instant::now() + Duration::from_secs(1000);
    let parameters =
        Parameters { safety: 1e9, window: Duration::MAX, lifetime: LIFETIME, ..Parameters::default() };
    let mut registrar = Registrar::new(parameters, Secret::new([9; 32]), start);

    assert_eq!(register(&mut registrar, 1, &[], start).2, LIFETIME);
    let back = start - Duration::from_secs(500);
    assert_eq!(register(&mut registrar, 1, &[], back).2, LIFETIME);
}

#[test]
fn the_largest_records_fit_one_response() {
    let now = Instant::now();
    let mut registrar = registrar(now);
    for n in 0..10 {
        registrar.handle_node(large_record(n));
        let _ = registrar.advertisements.insert(Topic::of("les"), large_record(n), ip_of(n), now);
    }
    let distances: Vec<u16> = (0..=256).collect();

    let reply = registrar.handle_request(sender(99), &query(distances), Budget::TALK, now).expect("answered");

    assert_eq!(advertisers(&reply), 3);
    assert!(encode_all(&reply.messages).len() <= 1100);
}

#[test]
fn those_it_tells_of_have_a_limit() {
    let mut neighbours = Neighbours::default();
    let filler = record(1);
    // Their ids do not matter here, only their number.
    for n in 0..MAX_NEIGHBOURS {
        neighbours.insert_for_test(B256::from(alloy_primitives::U256::from(n)), filler.clone());
    }

    assert!(!neighbours.insert(record(2)));
}
