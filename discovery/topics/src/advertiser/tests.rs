//! One advertiser among registrars.

use proptest::prelude::*;

use super::*;
use crate::{
    service_table::BUCKET_SIZE,
    tests::{record, renumbered},
};

const SECOND: Duration = Duration::from_secs(1);

fn advertiser(nodes: std::ops::Range<u8>, now: Instant) -> Advertiser {
    let mut advertiser = Advertiser::new(Topic::of("les"), record(255), Registrars::Any, B256::ZERO);
    for n in nodes {
        advertiser.handle_node(record(n), now);
    }
    advertiser
}

fn ask(advertiser: &mut Advertiser, now: Instant) -> (B256, RegTopic) {
    let request = advertiser.poll_request(now).expect("something to send");
    let Message::RegTopic(message) = request.message else { panic!("{request:?}") };
    (request.registrar.node_id(), message)
}

fn confirmation(request: &RegTopic, ticket: &[u8], wait: Duration) -> Message {
    let wait = wait.as_millis() as u64;
    Message::RegConfirmation(RegConfirmation { id: request.id, total: 1, ticket: ticket.to_vec(), wait })
}

#[test]
fn it_comes_back_with_the_ticket_when_told() {
    let start = Instant::now();
    let mut advertiser = advertiser(1..2, start);
    let (registrar, request) = ask(&mut advertiser, start);
    assert_eq!((request.topic, &request.record), (Topic::of("les"), &record(255)));
    assert!(request.ticket.is_empty());

    let answer = confirmation(&request, &[7; 40], 60 * SECOND);
    assert_eq!(advertiser.handle_message(registrar, answer, start), Ok(()));
    let back = start + 60 * SECOND + RETRY_MARGIN;
    assert_eq!(advertiser.poll_request(start + 60 * SECOND), None);
    assert_eq!(advertiser.poll_timeout(start), Some(back));
    let (again, second) = ask(&mut advertiser, back);
    assert_eq!((again, &second.ticket[..]), (registrar, &[7; 40][..]));
    assert_ne!(second.id, request.id);
    assert_eq!(advertiser.handle_message(registrar, confirmation(&second, &[], LIFETIME), back), Ok(()));

    assert_eq!(advertiser.counts(), Placements { asked: 0, waiting: 0, active: 1 });
    assert_eq!(advertiser.poll_timeout(back), Some(back + LIFETIME));
    assert_eq!(advertiser.poll_request(back), None);
    advertiser.handle_timeout(back + LIFETIME);
    assert_eq!(ask(&mut advertiser, back + LIFETIME).0, registrar); // the advertisement is renewed
}

#[test]
fn each_bucket_gets_five_and_the_farthest_comes_first() {
    let start = Instant::now();
    let mut advertiser = advertiser(0..200, start);
    let topic = Topic::of("les");
    assert_eq!(advertiser.table().ready(MAX, start).count(), BUCKET_SIZE);

    let mut asked: BTreeMap<u16, usize> = BTreeMap::new();
    let mut last = MAX;
    while let Some(request) = advertiser.poll_request(start) {
        let node = request.registrar.node_id();
        let distance = topic.distance(node).expect("another id");
        assert!(distance <= last, "{distance} after {last}");
        last = distance;
        *asked.entry(distance).or_default() += 1;
        let answer =
            RegConfirmation { id: request.message.id(), total: 1, ticket: Vec::new(), wait: 900_000 };
        assert_eq!(advertiser.handle_message(node, Message::RegConfirmation(answer), start), Ok(()));
    }

    assert_eq!(asked.get(&MAX), Some(&REGISTRATIONS_PER_BUCKET));
    for (distance, asked) in asked {
        let there = advertiser.table().ready(distance, start).count();
        assert_eq!(asked, there.min(REGISTRATIONS_PER_BUCKET), "at {distance}");
    }
}

const MAX: u16 = crate::MAX_DISTANCE;

#[test]
fn few_requests_are_under_way_at_once() {
    let start = Instant::now();
    let mut advertiser = advertiser(0..100, start);

    let requests = std::iter::from_fn(|| advertiser.poll_request(start)).count();

    assert_eq!(requests, MAX_IN_FLIGHT);
}

#[test]
fn nothing_is_due_that_cannot_be_sent() {
    let start = Instant::now();
    let mut advertiser = advertiser(0..100, start);
    for _ in 0..=MAX_IN_FLIGHT {
        let (registrar, request) = ask(&mut advertiser, start);
        let answer = confirmation(&request, &[7], SECOND);
        assert_eq!(advertiser.handle_message(registrar, answer, start), Ok(()));
    }

    let later = start + 2 * SECOND;
    while advertiser.poll_request(later).is_some() {}

    assert_eq!(advertiser.counts(), Placements { asked: MAX_IN_FLIGHT, waiting: 1, active: 0 });
    assert_eq!(advertiser.poll_timeout(later), Some(later + ANSWER_TIMEOUT));
}

#[test]
fn a_silent_registrar_is_left_alone_and_another_takes_its_place() {
    let start = Instant::now();
    let mut advertiser = advertiser(1..2, start);
    let (silent, request) = ask(&mut advertiser, start);

    assert_eq!(advertiser.poll_timeout(start), Some(start + ANSWER_TIMEOUT));
    advertiser.handle_timeout(start + ANSWER_TIMEOUT);
    assert_eq!(advertiser.poll_request(start + ANSWER_TIMEOUT), None);
    let late = confirmation(&request, &[], LIFETIME);
    assert_eq!(advertiser.handle_message(silent, late, start + 4 * SECOND), Err(AnswerFault::Unasked));
    advertiser.handle_node(record(2), start + 5 * SECOND);
    assert_eq!(ask(&mut advertiser, start + 5 * SECOND).0, record(2).node_id());

    advertiser.handle_failure(record(2).node_id(), start + 5 * SECOND);
    let back = advertiser.poll_timeout(start + 5 * SECOND).expect("they come back");
    assert_eq!(ask(&mut advertiser, back).0, silent);
}

#[test]
fn a_lost_packet_does_not_cost_the_waiting() {
    let start = Instant::now();
    let mut advertiser = advertiser(1..2, start);
    let (registrar, request) = ask(&mut advertiser, start);
    let answer = confirmation(&request, &[7], SECOND);
    assert_eq!(advertiser.handle_message(registrar, answer, start), Ok(()));
    let back = start + SECOND + RETRY_MARGIN;
    let (_, second) = ask(&mut advertiser, back);

    advertiser.handle_timeout(back + ANSWER_TIMEOUT);
    let (_, third) = ask(&mut advertiser, back + ANSWER_TIMEOUT);
    assert_eq!((third.ticket, second.ticket), (vec![7], vec![7]));
    advertiser.handle_timeout(back + ANSWER_TIMEOUT * 2);

    assert_eq!(advertiser.counts(), Placements::default()); // once is enough
}

#[test]
fn a_new_record_starts_the_waiting_anew() {
    let start = Instant::now();
    let mut advertiser = advertiser(1..2, start);
    let (registrar, request) = ask(&mut advertiser, start);
    let answer = confirmation(&request, &[7], 60 * SECOND);
    assert_eq!(advertiser.handle_message(registrar, answer, start), Ok(()));

    let newer = renumbered(255, 2);
    advertiser.handle_record(newer.clone(), start + SECOND);

    let (_, request) = ask(&mut advertiser, start + SECOND);
    assert_eq!((request.record, request.ticket), (newer, Vec::new()));
}

#[test]
fn answers_that_break_the_rules_end_the_attempt() {
    let start = Instant::now();
    let too_long = MAX_WAIT + SECOND;
    let nodes = |id| Nodes { id, total: 1, records: Vec::new(), refused: 0 };

    let mut one = advertiser(1..2, start);
    let (registrar, request) = ask(&mut one, start);
    let fault = one.handle_message(registrar, confirmation(&request, &[7], too_long), start);
    assert_eq!(fault, Err(AnswerFault::Wait { wait: too_long, limit: MAX_WAIT }));
    assert_eq!((one.counts(), one.poll_request(start)), (Placements::default(), None));

    let mut one = advertiser(1..2, start);
    let (registrar, request) = ask(&mut one, start);
    let other = Message::TopicNodes(nodes(request.id));
    assert_eq!(one.handle_message(registrar, other, start), Err(AnswerFault::OtherKind));

    let mut one = advertiser(1..2, start);
    let (registrar, request) = ask(&mut one, start);
    let faults: Vec<_> = (0..MAX_TOTAL)
        .map(|_| one.handle_message(registrar, Message::Nodes(nodes(request.id)), start))
        .collect();
    assert_eq!(faults.last(), Some(&Err(AnswerFault::TooMany)));
    assert!(faults[..15].iter().all(Result::is_ok));

    let mut one = advertiser(1..2, start);
    let (registrar, request) = ask(&mut one, start);
    let stranger = record(9).node_id();
    let answer = confirmation(&request, &[], LIFETIME);
    assert_eq!(one.handle_message(stranger, answer.clone(), start), Err(AnswerFault::Unasked));
    let twice = [answer.clone(), answer].map(|answer| one.handle_message(registrar, answer, start));
    assert_eq!(twice, [Ok(()), Err(AnswerFault::Unasked)]);
    assert_eq!(one.counts().active, 1);
}

#[test]
fn a_registrar_that_never_admits_is_left_in_the_end() {
    let start = Instant::now();
    let mut advertiser = advertiser(1..2, start);
    let mut now = start;
    let mut asked = 0;

    while let Some(request) = advertiser.poll_request(now) {
        asked += 1;
        let Message::RegTopic(message) = &request.message else { panic!("{request:?}") };
        let answer = confirmation(message, &[7], Duration::ZERO);
        let taken = advertiser.handle_message(request.registrar.node_id(), answer, now);
        assert_eq!(taken, Ok(()));
        now += RETRY_MARGIN;
    }

    assert_eq!(asked, MAX_RETRIES + 1);
    assert_eq!(advertiser.counts(), Placements::default());
}

#[test]
fn a_lifetime_that_is_none_does_not_make_it_ask_at_once() {
    let start = Instant::now();
    let mut advertiser = advertiser(1..2, start);
    let (registrar, request) = ask(&mut advertiser, start);

    let answer = confirmation(&request, &[], Duration::ZERO);
    assert_eq!(advertiser.handle_message(registrar, answer, start), Ok(()));

    assert_eq!(advertiser.poll_timeout(start), Some(start + MIN_LIFETIME));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever registrars answer, and however time passes, what is kept stays small and nothing panics.
    #[test]
    fn any_answers_are_survived(steps in prop::collection::vec((0u8..6, any::<u64>(), 0u64..2_000_000), 1..60)) {
        let mut now = Instant::now();
        let mut advertiser = advertiser(0..60, now);
        for (kind, wait, passed) in steps {
            now += Duration::from_millis(passed);
            advertiser.handle_timeout(now);
            while let Some(request) = advertiser.poll_request(now) {
                let (id, node) = (request.message.id(), request.registrar.node_id());
                let ticket = vec![1; usize::from(kind % 2)];
                let message = match kind {
                    0 | 1 => Message::RegConfirmation(RegConfirmation { id, total: 1, ticket, wait }),
                    2 | 3 => Message::Nodes(Nodes { id, total: 1, records: vec![record(kind)], refused: 0 }),
                    4 => Message::TopicNodes(Nodes { id, total: 1, records: Vec::new(), refused: 0 }),
                    _ => continue,
                };
                let _ = advertiser.handle_message(node, message, now);
            }
            let counts = advertiser.counts();
            prop_assert!(counts.asked <= MAX_IN_FLIGHT);
            let buckets = advertiser.table().distances().len();
            prop_assert!(counts.asked + counts.waiting + counts.active <= buckets * REGISTRATIONS_PER_BUCKET);
        }
    }
}
