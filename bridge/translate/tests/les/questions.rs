//! What is asked of the backend, and who gets the answer.

use alloy_primitives::{B256, Bytes};
use causeway_translate::{ServerConfig, Ticket, Unanswered};
use causeway_wire::{
    Answer, CodeRequest, HelperTrie, HelperTrieRequest, ProofRequest, Query, RequestId, TransactionStatus,
    les::Version,
};

use crate::kit::*;

fn helper_tries() -> Query {
    Query::HelperTries(vec![HelperTrieRequest {
        trie: HelperTrie::CanonicalHash,
        section: 3,
        key: Bytes::from_static(&[0; 8]),
        from_level: 0,
        auxiliary: 2,
    }])
}

fn send_one() -> Query {
    Query::SendTransactions(vec![transaction(1)])
}

fn fail(server: &mut Server, ticket: Ticket, why: Unanswered) -> Vec<Deed> {
    server.core.handle_answer(ticket, Err(why), server.now);
    server.deeds()
}

#[test]
fn amount_zero_gets_an_empty_answer_at_once() {
    let nothing = [
        (headers(1, 0), Answer::Headers(Vec::new())),
        (Query::Bodies(Vec::new()), Answer::Bodies(Vec::new())),
        (Query::Receipts(Vec::new()), Answer::Receipts(Vec::new())),
        (Query::Codes(Vec::new()), Answer::Codes(Vec::new())),
        (Query::Proofs(Vec::new()), Answer::Proofs(Vec::new())),
        (Query::HelperTries(Vec::new()), Answer::HelperTries { nodes: Vec::new(), auxiliary: Vec::new() }),
        (Query::SendTransactions(Vec::new()), Answer::TransactionStatus(Vec::new())),
        (Query::TransactionStatus(Vec::new()), Answer::TransactionStatus(Vec::new())),
    ];
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    for (id, (query, empty)) in nothing.into_iter().enumerate() {
        let (message, deeds) = server.ask(1, id as u64, query);

        assert_eq!(response(&deeds).3, empty);
        assert_eq!(deeds.len(), 2);
        assert_eq!(deeds[1], Deed::Released(message));
    }
}

#[test]
fn lists_over_the_limit_are_asked_for_up_to_the_limit() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    let hashes: Vec<B256> = (0..100).map(B256::with_last_byte).collect();

    let (_, deeds) = server.ask(1, 1, Query::Bodies(hashes.clone()));

    let [Deed::Asked(ticket, asked)] = &deeds[..] else { panic!("{deeds:?}") };
    assert_eq!(*asked, Query::Bodies(hashes[..32].to_vec()));
    let deeds = server.answer(*ticket, Answer::Bodies(vec![Bytes::from_static(&[0xc2, 0xc0, 0xc0]); 40]));
    let Answer::Bodies(bodies) = response(&deeds).3 else { panic!() };
    assert_eq!(bodies.len(), 32, "a backend that gives more is cut");
}

#[test]
fn numbers_near_the_end_of_their_range_pass() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    let query = Query::Headers {
        start: causeway_wire::HashOrNumber::Number(u64::MAX),
        amount: 192,
        skip: u64::MAX,
        reverse: false,
    };

    let (_, ticket) = server.ask_new(1, u64::MAX, query);

    let deeds = server.answer(ticket, Answer::Headers(Vec::new()));
    assert_eq!(response(&deeds).1, RequestId(u64::MAX));
}

#[test]
fn equal_questions_are_put_once_and_answered_to_each_under_its_own_id() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    server.greeted(2, Version::Les2);
    let (a, ticket) = server.ask_new(1, 7, headers(1, 1));
    let (b, deeds) = server.ask(1, 8, headers(1, 1));
    assert_eq!(deeds, []);
    let (c, deeds) = server.ask(2, 7, headers(1, 1));
    assert_eq!(deeds, []);
    assert_eq!(server.core.pending(), (2, 1, 3));

    let deeds = server.answer(ticket, some_headers(1));

    let answered: Vec<_> = deeds
        .chunks(2)
        .map(|pair| {
            let (session, id, _, _) = response(pair);
            (session, id.0, pair[1].clone())
        })
        .collect();
    let expected = [(1, 7, Deed::Released(a)), (1, 8, Deed::Released(b)), (2, 7, Deed::Released(c))];
    assert_eq!(answered, expected);
    server.ask_new(1, 9, headers(1, 1));
}

#[test]
fn bodies_and_receipts_of_the_same_block_are_different_questions() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);

    server.ask_new(1, 1, Query::Bodies(vec![B256::ZERO]));
    server.ask_new(1, 2, Query::Receipts(vec![B256::ZERO]));
    server.ask_new(1, 3, Query::TransactionStatus(vec![B256::ZERO]));
}

#[test]
fn sending_the_same_transaction_twice_is_two_acts() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);

    let (_, first) = server.ask_new(1, 1, send_one());
    let (_, second) = server.ask_new(1, 2, send_one());

    assert_ne!(first, second);
}

#[test]
fn a_question_past_half_its_time_is_not_shared_any_more() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    let (early, first) = server.ask_new(1, 1, headers(1, 1));
    server.pass(PATIENCE / 2 + MS);
    let (_, second) = server.ask_new(1, 2, headers(1, 1));
    assert_eq!(server.ask(1, 3, headers(1, 1)).1, [], "the newer one is shared");

    assert_eq!(server.pass(PATIENCE / 2 - MS), [Deed::Forgot(first), Deed::Released(early)]);

    assert_eq!(server.ask(1, 4, headers(1, 1)).1, [], "the end of the older one changed nothing");
    assert_eq!(server.answer(second, some_headers(1)).len(), 6);
}

#[test]
fn a_question_unanswered_in_time_is_given_up_in_silence() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    let (message, ticket) = server.ask_new(1, 1, headers(1, 1));

    assert_eq!(server.pass(PATIENCE - MS), []);
    assert_eq!(server.pass(MS), [Deed::Forgot(ticket), Deed::Released(message)]);

    assert_eq!(server.answer(ticket, some_headers(1)), [], "a late answer reaches nobody");
    assert_eq!(server.core.pending(), (1, 0, 0));
}

#[test]
fn a_shared_question_lives_on_for_the_others() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    server.greeted(2, Version::Les4);
    let (message, ticket) = server.ask_new(1, 1, headers(1, 1));
    server.ask(2, 5, headers(1, 1));

    assert_eq!(server.close(1), [Deed::Released(message)]);

    let deeds = server.answer(ticket, some_headers(1));
    assert_eq!(response(&deeds).0, 2);
    assert_eq!(server.core.pending(), (1, 0, 0));
}

#[test]
fn the_end_of_a_session_releases_its_messages_and_forgets_its_questions() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    let (a, first) = server.ask_new(1, 1, headers(1, 1));
    let (b, second) = server.ask_new(1, 2, headers(2, 1));

    let deeds = server.close(1);

    let expected = [Deed::Forgot(first), Deed::Released(a), Deed::Forgot(second), Deed::Released(b)];
    assert_eq!(deeds, expected);
    assert_eq!(server.core.pending(), (0, 0, 0));
    assert_eq!(server.core.poll_timeout(), None);
    assert_eq!(server.close(1), []);
    let (late, deeds) = server.ask(1, 3, headers(3, 1));
    assert_eq!(deeds, [Deed::Released(late)], "what was on its way is released too");
}

#[test]
fn what_nobody_has_is_an_empty_answer_where_there_is_one() {
    let account = causeway_wire::AccountKey::Hash(B256::ZERO);
    let proof = ProofRequest { block: B256::ZERO, account: None, key: B256::ZERO, from_level: 0 };
    let unknown = TransactionStatus { status: 0, inclusion: None, error: String::new() };
    let refused = TransactionStatus { error: "no full node relays transactions".into(), ..unknown.clone() };
    let cases = [
        (headers(1, 1), Answer::Headers(Vec::new())),
        (Query::Bodies(vec![B256::ZERO]), Answer::Bodies(Vec::new())),
        (Query::Receipts(vec![B256::ZERO]), Answer::Receipts(Vec::new())),
        (Query::Codes(vec![CodeRequest { block: B256::ZERO, account }]), Answer::Codes(Vec::new())),
        (Query::Proofs(vec![proof]), Answer::Proofs(Vec::new())),
        (Query::TransactionStatus(vec![B256::ZERO; 3]), Answer::TransactionStatus(vec![unknown; 3])),
        (send_one(), Answer::TransactionStatus(vec![refused])),
    ];
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    for (id, (query, expected)) in cases.into_iter().enumerate() {
        let (_, ticket) = server.ask_new(1, id as u64, query);
        let deeds = fail(&mut server, ticket, Unanswered::NotServed);
        assert_eq!(response(&deeds).3, expected);
    }
}

#[test]
fn helper_tries_that_nobody_has_are_silence() {
    for version in Version::ALL {
        let mut server = Server::with_head(server_config());
        server.greeted(1, version);
        let (message, ticket) = server.ask_new(1, 1, helper_tries());

        assert_eq!(fail(&mut server, ticket, Unanswered::NotServed), [Deed::Released(message)]);
    }
}

#[test]
fn what_nobody_could_be_asked_for_is_silence() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    for (id, query) in [headers(1, 1), send_one(), helper_tries()].into_iter().enumerate() {
        let (message, ticket) = server.ask_new(1, id as u64, query);

        assert_eq!(fail(&mut server, ticket, Unanswered::Unavailable), [Deed::Released(message)]);
    }
}

#[test]
fn an_answer_is_never_larger_than_a_message_may_be() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    let account = causeway_wire::AccountKey::Hash(B256::ZERO);
    let code = CodeRequest { block: B256::ZERO, account };
    let (_, ticket) = server.ask_new(1, 1, Query::Codes(vec![code; 3]));

    let deeds = server.answer(ticket, Answer::Codes(vec![Bytes::from(vec![1; 4 << 20]); 3]));

    let Answer::Codes(codes) = response(&deeds).3 else { panic!() };
    assert_eq!(codes.len(), 2);
}

#[test]
fn requests_of_one_peer_under_way_are_bounded() {
    let mut server = Server::with_head(server_config());
    server.greeted(1, Version::Les4);
    for id in 0..64 {
        server.ask_new(1, id, headers(id, 1));
    }

    let (message, deeds) = server.ask(1, 64, headers(64, 1));

    assert_eq!(deeds, [Deed::Released(message)]);
    assert_eq!(server.core.pending(), (1, 64, 64));
}

#[test]
fn questions_under_way_are_bounded_over_all_peers() {
    let mut server = Server::with_head(ServerConfig { max_sessions: 100, ..server_config() });
    for session in 0..64 {
        server.greeted(session, Version::Les4);
        for id in 0..64 {
            server.ask_new(session, id, headers(session * 64 + id, 1));
        }
    }
    server.greeted(64, Version::Les4);

    let (message, deeds) = server.ask(64, 1, headers(u64::MAX, 1));
    assert_eq!(deeds, [Deed::Released(message)]);
    assert_eq!(server.ask(64, 2, headers(5, 1)).1, [], "sharing one is still possible");

    let deeds = server.close(0);
    assert_eq!(deeds.len(), 127, "64 releases; of 64 questions one is shared");
    server.ask_new(64, 3, headers(u64::MAX, 1));
}
