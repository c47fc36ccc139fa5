//! One searcher among registrars.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    parameters::WANTED_ADVERTISERS,
    tests::{record, without_address},
};

fn searcher(nodes: std::ops::Range<u8>, now: Instant) -> Searcher {
    let ourselves = record(255).node_id();
    let mut searcher = Searcher::new(Topic::of("les"), ourselves, Registrars::Any, B256::ZERO);
    for n in nodes {
        searcher.handle_node(record(n), now);
    }
    searcher
}

fn nodes(id: RequestId, total: u64, numbers: std::ops::Range<u8>) -> Nodes {
    Nodes { id, total, records: numbers.map(record).collect(), refused: 0 }
}

fn found(searcher: &mut Searcher) -> (Vec<Record>, Option<Summary>) {
    let (mut records, mut summary) = (Vec::new(), None);
    while let Some(event) = searcher.poll_event() {
        match event {
            SearchEvent::Found(record) => records.push(record),
            SearchEvent::Finished(end) => summary = Some(end),
        }
    }
    (records, summary)
}

#[test]
fn buckets_are_asked_from_the_farthest_until_nobody_is_left() {
    let now = Instant::now();
    let mut searcher = searcher(0..200, now);
    searcher.start(WANTED_ADVERTISERS);

    let mut asked: BTreeMap<u16, usize> = BTreeMap::new();
    let mut last = 256;
    while let Some(request) = searcher.poll_request(now) {
        let node = request.registrar.node_id();
        let distance = Topic::of("les").distance(node).expect("another id");
        assert!(distance <= last);
        last = distance;
        *asked.entry(distance).or_default() += 1;
        let answer = Message::TopicNodes(nodes(request.message.id(), 1, 100..102));
        assert_eq!(searcher.handle_message(node, answer, now), Ok(()));
    }

    for (distance, asked) in &asked {
        let there = searcher.table().ready(*distance, now).count();
        assert_eq!(*asked, there.min(QUERIES_PER_BUCKET), "at {distance}");
    }
    let (records, summary) = found(&mut searcher);
    assert_eq!(records, [record(100), record(101)]); // each once
    assert_eq!(summary, Some(Summary { found: 2, asked: asked.values().sum(), failed: 0 }));
    assert!(!searcher.is_searching());
}

#[test]
fn a_lookup_ends_when_enough_were_found() {
    let now = Instant::now();
    let mut searcher = searcher(0..50, now);
    searcher.start(7);

    let request = searcher.poll_request(now).expect("a query");
    let answer = Message::TopicNodes(nodes(request.message.id(), 1, 100..109));
    assert_eq!(searcher.handle_message(request.registrar.node_id(), answer, now), Ok(()));

    let (records, summary) = found(&mut searcher);
    assert_eq!((records.len(), summary), (7, Some(Summary { found: 7, asked: 1, failed: 0 })));
    assert_eq!(searcher.poll_request(now), None);
}

#[test]
fn no_registrar_brings_more_than_ten() {
    let now = Instant::now();
    let mut searcher = searcher(0..1, now);
    searcher.start(MAX_WANTED);
    let request = searcher.poll_request(now).expect("a query");
    let (id, node) = (request.message.id(), request.registrar.node_id());

    for part in [100..108, 108..116, 116..124] {
        assert_eq!(searcher.handle_message(node, Message::TopicNodes(nodes(id, 3, part)), now), Ok(()));
    }

    let (records, summary) = found(&mut searcher);
    assert_eq!(records.len(), MAX_RETURNED);
    assert!(summary.is_some());
    let more = Message::TopicNodes(nodes(id, 3, 124..125));
    assert_eq!(searcher.handle_message(node, more, now), Err(AnswerFault::Unasked));
}

#[test]
fn auxiliary_nodes_are_asked_in_the_same_lookup_and_are_no_results() {
    let now = Instant::now();
    let mut searcher = searcher(0..1, now);
    searcher.start(WANTED_ADVERTISERS);
    let request = searcher.poll_request(now).expect("a query");
    let (id, node) = (request.message.id(), request.registrar.node_id());

    let mut auxiliary = nodes(id, 2, 1..2);
    auxiliary.records.push(without_address(3));
    assert_eq!(searcher.handle_message(node, Message::Nodes(auxiliary), now), Ok(()));
    assert_eq!(searcher.handle_message(node, Message::TopicNodes(nodes(id, 2, 0..0)), now), Ok(()));

    let next = searcher.poll_request(now).expect("the auxiliary node is asked");
    assert_eq!(next.registrar, record(1));
    assert_eq!(found(&mut searcher), (Vec::new(), None));
}

#[test]
fn silent_registrars_are_replaced() {
    let start = Instant::now();
    let mut searcher = searcher(0..100, start);
    searcher.start(WANTED_ADVERTISERS);
    let silent: Vec<_> = std::iter::from_fn(|| searcher.poll_request(start)).collect();
    assert_eq!(silent.len(), MAX_IN_FLIGHT);

    let late = start + ANSWER_TIMEOUT;
    assert_eq!(searcher.poll_timeout(), Some(late));
    searcher.handle_timeout(late);

    let mut asked = 0;
    while let Some(request) = searcher.poll_request(late) {
        assert!(!silent.iter().any(|silent| silent.registrar == request.registrar));
        let answer = Message::TopicNodes(nodes(request.message.id(), 1, 0..0));
        assert_eq!(searcher.handle_message(request.registrar.node_id(), answer, late), Ok(()));
        asked += usize::from(Topic::of("les").distance(request.registrar.node_id()) == Some(256));
    }
    assert_eq!(asked, QUERIES_PER_BUCKET); // as many as without the silent ones
    let (_, summary) = found(&mut searcher);
    assert_eq!(summary.map(|summary| summary.failed), Some(MAX_IN_FLIGHT));
}

#[test]
fn a_part_of_an_answer_counts() {
    let start = Instant::now();
    let mut searcher = searcher(0..1, start);
    searcher.start(WANTED_ADVERTISERS);
    let request = searcher.poll_request(start).expect("a query");
    let answer = Message::TopicNodes(nodes(request.message.id(), 2, 100..103));
    assert_eq!(searcher.handle_message(request.registrar.node_id(), answer, start), Ok(()));

    searcher.handle_timeout(start + ANSWER_TIMEOUT);

    let (records, summary) = found(&mut searcher);
    assert_eq!((records.len(), summary), (3, Some(Summary { found: 3, asked: 1, failed: 0 })));
}

#[test]
fn a_lookup_without_anybody_to_ask_ends_at_once() {
    let now = Instant::now();
    let mut searcher = searcher(0..0, now);

    searcher.start(WANTED_ADVERTISERS);
    assert_eq!(searcher.poll_request(now), None);

    assert_eq!(found(&mut searcher), (Vec::new(), Some(Summary::default())));
}

#[test]
fn what_was_not_asked_is_not_taken() {
    let now = Instant::now();
    let mut searcher = searcher(0..1, now);
    let answer = |id| Message::TopicNodes(nodes(id, 1, 100..101));
    let node = record(0).node_id();

    let fault = searcher.handle_message(node, answer(RequestId::from([0; 8])), now);
    assert_eq!(fault, Err(AnswerFault::Unasked));
    searcher.start(WANTED_ADVERTISERS);
    let request = searcher.poll_request(now).expect("a query");
    let other = searcher.handle_message(node, answer(RequestId::from([0; 8])), now);
    assert_eq!(other, Err(AnswerFault::Unasked));
    let kind = searcher.handle_message(node, request.message, now);
    assert_eq!(kind, Err(AnswerFault::OtherKind));
    assert_eq!(found(&mut searcher), (Vec::new(), Some(Summary { found: 0, asked: 1, failed: 1 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever registrars answer, each lookup ends, and finds no more than it was told to.
    #[test]
    fn every_lookup_ends(
        answers in prop::collection::vec((0u8..5, 1u64..17, 0u8..240), 1..200),
        wanted in any::<usize>(),
    ) {
        let mut now = Instant::now();
        let mut searcher = searcher(0..60, now);
        searcher.start(wanted);
        let mut answers = answers.into_iter().cycle();
        let mut sent = 0;
        while searcher.is_searching() {
            while let Some(request) = searcher.poll_request(now) {
                sent += 1;
                let (id, node) = (request.message.id(), request.registrar.node_id());
                let (kind, total, first) = answers.next().expect("endless");
                let message = match kind {
                    0 | 1 => Message::TopicNodes(nodes(id, total, first..first + 9)),
                    2 => Message::Nodes(nodes(id, total, first..first + 9)),
                    3 => request.message,
                    _ => continue,
                };
                let _ = searcher.handle_message(node, message, now);
            }
            now += Duration::from_secs(1);
            searcher.handle_timeout(now);
        }
        let (records, summary) = found(&mut searcher);
        prop_assert!(sent <= 256);
        prop_assert!(records.len() <= wanted.clamp(1, MAX_WANTED));
        prop_assert_eq!(summary.map(|summary| summary.found), Some(records.len()));
    }
}
