//! What light peers may spend.

use alloy_primitives::{B256, Bytes};
use causeway_translate::{Fault, Unanswered};
use causeway_wire::{
    Answer, CodeRequest, HelperTrie, HelperTrieRequest, ProofRequest, Query, RequestId,
    les::{Message, Version, limit},
};

use crate::kit::*;

/// Bytes of `headers(small, 1)` as a request with a small id, and what each of them costs.
const REQUEST: u64 = 7;
const BYTE: u64 = 10;

#[test]
fn an_answer_from_upstream_costs_half_the_worst_case_and_its_bytes() {
    let mut server = Server::with_flow(flow(1_000_000, 0, 100_000));
    server.greeted(1, Version::Les4);
    let (message, ticket) = server.ask_new(1, 7, headers(1, 2));
    server.pass(50 * MS);

    let deeds = server.answer(ticket, some_headers(2));

    let (_, id, buffer, answer) = response(&deeds);
    assert_eq!((id, answer), (RequestId(7), some_headers(2)));
    assert_eq!(buffer, 1_000_000 - 100_000 - (REQUEST + 8) * BYTE);
    assert_eq!(deeds.last(), Some(&Deed::Released(message)));
    assert_eq!(server.core.pending(), (1, 0, 0));
}

#[test]
fn an_answer_from_the_cache_costs_its_bytes() {
    let mut server = Server::with_flow(flow(1_000_000, 0, 100_000));
    server.greeted(1, Version::Les4);
    let (_, ticket) = server.ask_new(1, 7, headers(1, 2));

    let deeds = server.answer(ticket, some_headers(2));

    assert_eq!(response(&deeds).2, 1_000_000 - (REQUEST + 8) * BYTE);
}

#[test]
fn who_shares_a_question_pays_for_bytes_only() {
    let mut server = Server::with_flow(flow(1_000_000, 0, 100_000));
    server.greeted(1, Version::Les4);
    server.greeted(2, Version::Les3);
    let (_, ticket) = server.ask_new(1, 7, headers(1, 1));
    assert_eq!(server.ask(2, 9, headers(1, 1)).1, []);
    server.pass(50 * MS);

    let deeds = server.answer(ticket, some_headers(1));

    let buffer = |deeds: &[Deed]| response(deeds).2;
    assert_eq!(buffer(&deeds[..2]), 1_000_000 - 50_000 - (REQUEST + 4) * BYTE);
    assert_eq!(buffer(&deeds[2..]), 1_000_000 - (REQUEST + 4) * BYTE);
}

#[test]
fn buffer_is_told_as_if_no_later_request_had_been_accepted() {
    let mut server = Server::with_flow(flow(1_000_000, 0, 100_000));
    server.greeted(1, Version::Les4);
    let (_, first) = server.ask_new(1, 1, headers(1, 1));
    let (_, second) = server.ask_new(1, 2, headers(2, 5));

    let deeds = server.answer(first, some_headers(1));
    assert_eq!(response(&deeds).2, 1_000_000 - (REQUEST + 4) * BYTE);

    let deeds = server.answer(second, some_headers(1));
    assert_eq!(response(&deeds).2, 1_000_000 - 2 * (REQUEST + 4) * BYTE);
}

#[test]
fn a_first_batch_of_one_full_request_of_each_kind_is_safe() {
    let full = |most: u64| most as usize;
    let hash = |n: usize| B256::with_last_byte(n as u8);
    let account = causeway_wire::AccountKey::Hash(B256::ZERO);
    let proof = ProofRequest { block: B256::ZERO, account: None, key: B256::ZERO, from_level: 0 };
    let helper = HelperTrieRequest {
        trie: HelperTrie::CanonicalHash,
        section: 0,
        key: Bytes::from_static(&[0; 8]),
        from_level: 0,
        auxiliary: 2,
    };
    let batch = [
        headers(0, limit::HEADERS),
        Query::Bodies((0..full(limit::BODIES)).map(hash).collect()),
        Query::Receipts((0..full(limit::RECEIPTS)).map(hash).collect()),
        Query::Codes(vec![CodeRequest { block: B256::ZERO, account }; full(limit::CODES)]),
        Query::Proofs(vec![proof; full(limit::PROOFS)]),
        Query::HelperTries(vec![helper; full(limit::HELPER_TRIES)]),
        Query::SendTransactions(vec![transaction(1); full(limit::SEND_TRANSACTIONS)]),
        Query::TransactionStatus((0..full(limit::TRANSACTION_STATUS)).map(hash).collect()),
    ];
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les2);

    for (id, query) in batch.into_iter().enumerate() {
        let (_, deeds) = server.ask(1, id as u64, query.clone());
        assert!(matches!(&deeds[..], [Deed::Asked(_, asked)] if *asked == query), "{deeds:?}");
    }
}

#[test]
fn a_les_2_peer_that_overspends_is_closed() {
    let mut server = Server::with_flow(flow(1_000_000, 1, 100_000));
    server.greeted(1, Version::Les2);
    let (first, ticket) = server.ask_new(1, 1, headers(1, 8));

    let (second, deeds) = server.ask(1, 2, headers(2, 3));

    let fault = Fault::Overspent { needed: 300_000, left: 200_000 };
    assert_eq!(fault.reason(), 0x03);
    let expected =
        [Deed::Released(second), Deed::Forgot(ticket), Deed::Released(first), Deed::Closed(1, fault)];
    assert_eq!(deeds, expected);
}

#[test]
fn a_les_3_peer_that_overspends_is_stopped_until_its_buffer_recovered() {
    let mut server = Server::with_flow(flow(1_000_000, 50, 100_000));
    server.greeted(1, Version::Les3);
    let (_, ticket) = server.ask_new(1, 1, headers(1, 10));

    let (dropped, deeds) = server.ask(1, 2, headers(2, 1));
    assert_eq!(deeds, [Deed::Released(dropped)], "the answer under way comes first");
    server.pass(100 * MS);
    let deeds = server.answer(ticket, some_headers(1));
    assert!(matches!(
        deeds[..],
        [Deed::Sent(1, Message::Response { .. }), Deed::Released(_), Deed::Sent(1, Message::Stop)]
    ));

    let (dropped, deeds) = server.ask(1, 3, headers(3, 1));
    assert_eq!(deeds, [Deed::Released(dropped)], "nothing is answered until Resume");
    let Deed::Sent(1, Message::Announce(_)) = server.head(head(101))[0] else { panic!() };

    assert_eq!(server.pass(699 * MS), []);
    let deeds = server.pass(MS);
    let [Deed::Sent(1, Message::Resume { buffer })] = deeds[..] else { panic!("{deeds:?}") };
    let recharged = 800 * 50; // the first one dropped came when nothing was left to be charged
    assert_eq!(buffer, 500_000 - (REQUEST + 4) * BYTE - REQUEST * BYTE + recharged);
    server.ask_new(1, 4, headers(4, 1));
}

#[test]
fn a_stopped_peer_waits_until_an_eighth_of_its_buffer_is_back() {
    let mut server = Server::with_flow(flow(1_000_000, 50, 100_000));
    server.greeted(1, Version::Les4);
    let (slow, ticket) = server.ask_new(1, 1, Query::SendTransactions(vec![transaction(1); 10]));
    let (_, deeds) = server.ask(1, 2, headers(2, 1));
    assert!(matches!(deeds[..], [Deed::Released(_)]));

    // The answer does not come: the Stop does not wait for it for ever.
    assert_eq!(server.pass(1999 * MS), []);
    let stop = server.pass(MS);
    assert_eq!(stop, [Deed::Forgot(ticket), Deed::Released(slow), Deed::Sent(1, Message::Stop)]);
    assert_eq!(server.answer(ticket, Answer::TransactionStatus(Vec::new())), [], "too late");

    // Half of the worst case was given back: more than an eighth.
    let deeds = server.pass(700 * MS);
    assert!(matches!(deeds[..], [Deed::Sent(1, Message::Resume { buffer })] if buffer > 500_000));
}

#[test]
fn a_stopped_peer_that_goes_on_sending_waits_longer() {
    let mut server = Server::with_flow(flow(100_000, 100, 100_000));
    server.greeted(1, Version::Les4);
    server.ask_new(1, 1, headers(1, 1));
    server.ask(1, 2, headers(2, 1));
    let mut deeds = server.pass(2 * SECOND);
    assert_eq!(deeds.pop(), Some(Deed::Sent(1, Message::Stop)));

    server.pass(690 * MS);
    let flood = Query::Bodies(vec![B256::ZERO; 400]); // some 13,000 bytes: 130,000 units
    let (message, deeds) = server.ask(1, 3, flood);

    assert_eq!(deeds, [Deed::Released(message)]);
    assert_eq!(server.pass(125 * MS), [], "an eighth takes 125 ms from nothing");
    let deeds = server.pass(20 * MS);
    assert!(
        matches!(deeds[..], [Deed::Sent(1, Message::Resume { buffer })] if buffer == 12_501),
        "{deeds:?}"
    );
}

#[test]
fn a_peer_that_overspends_with_nothing_under_way_is_stopped_at_once() {
    let mut server = Server::with_flow(flow(100_000, 100, 50_000));
    server.greeted(1, Version::Les4);
    let (_, ticket) = server.ask_new(1, 1, headers(1, 2));
    server.pass(5 * MS);
    server.answer(ticket, some_headers(1)); // half comes back

    let (message, deeds) = server.ask(1, 2, headers(2, 2));

    assert_eq!(deeds, [Deed::Released(message), Deed::Sent(1, Message::Stop)]);
}

#[test]
fn amounts_over_the_limit_are_charged_for_what_is_answered() {
    let mut server = Server::with_flow(flow(200, 0, 1));
    server.greeted(1, Version::Les2);

    let (_, deeds) = server.ask(1, 1, headers(0, u64::MAX));

    assert!(matches!(&deeds[..], [Deed::Asked(_, asked)] if *asked == headers(0, 192)), "{deeds:?}");
}

#[test]
fn silence_gives_back_what_was_not_spent() {
    let mut server = Server::with_flow(flow(1_000_000, 0, 100_000));
    server.greeted(1, Version::Les4);
    let (_, lost) = server.ask_new(1, 1, headers(1, 10));
    server.core.handle_answer(lost, Err(Unanswered::Unavailable), server.now);
    assert!(matches!(server.deeds()[..], [Deed::Released(_)]));

    let (_, ticket) = server.ask_new(1, 2, headers(2, 1));
    let deeds = server.answer(ticket, some_headers(1));

    assert_eq!(response(&deeds).2, 1_000_000 - (2 * REQUEST + 4) * BYTE);
}
