//! The client role: Statuses, questions within the server's credit, announcements.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use causeway_translate::{AccountKeyForm, AskError, ClientCommand, ClientConfig, Fault, Ticket, sign_head};
use causeway_wire::{
    AccountKey, Answer, CodeRequest, ForkId, Head, HelperTrie, HelperTrieRequest, NetworkId, ProofRequest,
    Query, RequestId, TransactionStatus,
    les::{Announce, AnnounceKind, FlowControl, Message, RequestCost, Serving, Status, Version},
};

use crate::kit::*;

fn answered(ticket: u64, outcome: Result<Answer, AskError>) -> Act {
    Act::Told(ClientCommand::Answered { ticket: Ticket(ticket), outcome })
}

fn closed(fault: Fault) -> Act {
    Act::Told(ClientCommand::Close(fault))
}

fn announce(number: u64, td: u64) -> Announce {
    Announce {
        head: Some(Head { hash: block(0, number), number, td: U256::from(td) }),
        reorg_depth: 0,
        signature: None,
        buffer: None,
        costs: Vec::new(),
        origins: Vec::new(),
        update_bytes: 0,
    }
}

fn update(buffer: Option<(u64, u64)>, costs: Vec<RequestCost>) -> Message {
    Message::Announce(Announce { head: None, buffer, costs, ..announce(0, 0) })
}

fn storage(account: AccountKey) -> Query {
    let account = Some(account);
    Query::Proofs(vec![ProofRequest { block: B256::ZERO, account, key: B256::ZERO, from_level: 0 }])
}

fn sent(acts: &[Act]) -> Vec<(RequestId, Query)> {
    acts.iter()
        .filter_map(|act| match act {
            Act::Sent(Message::Request { id, query }) => Some((*id, query.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn our_status_is_that_of_a_client() {
    for version in Version::ALL {
        let (_, status) = Asker::new(client_config(), version);
        assert_eq!(status, Message::Status(client_status(version)));
    }
    let config = ClientConfig { signed: true, origins: true, ..client_config() };
    let (_, status) = Asker::new(config, Version::Les4);
    let wishes =
        Status { announce: Some(AnnounceKind::Signed), origins: true, ..client_status(Version::Les4) };
    assert_eq!(status, Message::Status(wishes));
}

#[test]
fn statuses_that_do_not_agree_end_the_session() {
    let ours = server_status(Version::Les4);
    let other = B256::repeat_byte(9);
    let unknown = ForkId { hash: [1, 2, 3, 4], next: 0 };
    let with_flow = |flow: FlowControl| Status { flow_control: Some(flow), ..ours.clone() };
    let default = causeway_translate::ServerConfig::default_flow;
    let long = Head { td: U256::from(1) << 100, ..ours.head };
    let cases = [
        (Status { genesis: other, ..ours.clone() }, Fault::WrongGenesis { theirs: other, ours: GENESIS }),
        (
            Status { network: NetworkId(8), ..ours.clone() },
            Fault::WrongNetwork { theirs: NetworkId(8), ours: NetworkId(7) },
        ),
        (Status { version: 2, ..ours.clone() }, Fault::WrongVersion { theirs: 2, ours: 4 }),
        (Status { fork_id: None, ..ours.clone() }, Fault::MissingKey { key: "forkID" }),
        (
            Status { fork_id: Some(unknown), ..ours.clone() },
            Fault::WrongFork { theirs: unknown, ours: fork_id_at(100) },
        ),
        (Status { flow_control: None, ..ours.clone() }, Fault::MissingKey { key: "flowControl/MRR" }),
        (Status { recent_tx_lookup: None, ..ours.clone() }, Fault::MissingKey { key: "recentTxLookup" }),
        (
            with_flow(FlowControl { costs: Vec::new(), ..default() }),
            Fault::MissingKey { key: "flowControl/MRC" },
        ),
        (
            with_flow(FlowControl { recharge: 0, ..default() }),
            Fault::UselessFlowControl { buffer_limit: 768_000_000, recharge: 0 },
        ),
        (
            with_flow(FlowControl { buffer_limit: 0, ..default() }),
            Fault::UselessFlowControl { buffer_limit: 0, recharge: 128_000 },
        ),
        (Status { head: long, ..ours.clone() }, Fault::TotalDifficultyTooLong { bits: 101, limit: 100 }),
    ];
    for (status, fault) in cases {
        let (mut asker, _) = Asker::new(client_config(), Version::Les4);
        assert_eq!(asker.ask(1, headers(1, 1)), []);

        let acts = asker.hear(Message::Status(status));

        assert_eq!(acts[0], answered(1, Err(AskError::Closed)));
        let undecoded = matches!(&acts[1], Act::Told(ClientCommand::Close(Fault::Undecodable(_))));
        assert!(acts[1] == closed(fault.clone()) || undecoded, "{acts:?} instead of {fault:?}");
        assert_eq!(asker.core.pending(), 0);
        assert_eq!(asker.core.poll_timeout(), None);
    }
}

#[test]
fn a_fork_id_in_an_old_version_binds_nobody() {
    let fork_id = Some(ForkId { hash: [1, 2, 3, 4], next: 5 });
    let status = Message::Status(Status { fork_id, ..server_status(Version::Les2) });
    let (mut asker, _) = Asker::new(client_config(), Version::Les2);

    let acts = asker.hear_raw(0x00, status.encode(Version::Les4));

    assert!(matches!(acts[..], [Act::Told(ClientCommand::Greeted { .. })]), "{acts:?}");
}

#[test]
fn the_status_comes_first_once_and_in_time() {
    let (mut asker, _) = Asker::new(client_config(), Version::Les4);
    assert_eq!(asker.hear(Message::Stop), [closed(Fault::NoStatus { code: 0x16 })]);

    let (mut asker, _) = Asker::new(client_config(), Version::Les4);
    assert_eq!(asker.pass(4999 * MS), []);
    assert_eq!(asker.pass(MS), [closed(Fault::StatusTimeout { seconds: 5 })]);

    let status = server_status(Version::Les4);
    let mut asker = Asker::greeted(client_config(), Version::Les4, &status);
    assert_eq!(asker.core.status(), Some(&status));
    assert_eq!(asker.hear(Message::Status(status)), [closed(Fault::SecondStatus)]);
    assert_eq!(asker.core.status(), None);
    assert_eq!(asker.ask(1, headers(1, 1)), [answered(1, Err(AskError::Closed))]);
}

#[test]
fn what_a_client_sends_is_not_for_a_client() {
    let mut asker = Asker::with_flow(flow(1000, 1, 1));

    let acts = asker.hear(Message::Request { id: RequestId(1), query: headers(1, 1) });

    assert_eq!(acts, [closed(Fault::WrongDirection { code: 0x02 })]);
}

#[test]
fn oversized_answers_end_the_session() {
    let mut asker = Asker::with_flow(flow(1000, 1, 1));
    let size = (10 << 20) + 1;

    let acts = asker.hear_raw(0x03, vec![0; size].into());

    assert_eq!(acts, [closed(Fault::TooLarge { code: 0x03, size, limit: 10 << 20 })]);
}

#[test]
fn questions_before_the_status_go_out_behind_it_in_order() {
    let (mut asker, _) = Asker::new(client_config(), Version::Les4);
    assert_eq!(asker.ask(1, headers(1, 1)), []);
    assert_eq!(asker.ask(2, Query::Bodies(vec![B256::ZERO])), []);

    let acts = asker.hear(Message::Status(server_status(Version::Les4)));

    assert!(matches!(acts[0], Act::Told(ClientCommand::Greeted { .. })));
    let queries: Vec<Query> = sent(&acts).into_iter().map(|(_, query)| query).collect();
    assert_eq!(queries, [headers(1, 1), Query::Bodies(vec![B256::ZERO])]);
}

#[test]
fn ids_begin_at_the_seed_and_do_not_repeat() {
    let mut asker = Asker::with_flow(flow(1_000_000, 1, 1));

    let ids: Vec<u64> = (0..100).map(|i| asker.ask_now(i, headers(i, 1)).0).collect();

    assert_eq!(ids[..3], [u64::MAX, 0, 1]);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 100);
}

#[test]
fn a_server_of_headers_only_is_asked_for_headers_only() {
    // As EthereumJS greets: a fork id even in les/2, no txRelay, and a price for headers alone.
    let costs = vec![RequestCost { code: 0x02, base: 10, item: 10 }];
    for version in Version::ALL {
        let status = Status {
            fork_id: (version == Version::Les4).then(|| fork_id_at(100)),
            recent_tx_lookup: (version == Version::Les4).then_some(1),
            serving: Serving { tx_relay: false, recent_state: None, ..server_status(version).serving },
            flow_control: Some(FlowControl { buffer_limit: 1000, recharge: 10, costs: costs.clone() }),
            ..server_status(version)
        };
        let mut asker = Asker::greeted(client_config(), version, &status);

        asker.ask_now(1, headers(1, 1));
        for query in [
            Query::Bodies(vec![B256::ZERO]),
            Query::Receipts(vec![B256::ZERO]),
            storage(AccountKey::Hash(B256::ZERO)),
            Query::SendTransactions(vec![transaction(1)]),
            Query::TransactionStatus(vec![B256::ZERO]),
        ] {
            assert_eq!(asker.ask(2, query), [answered(2, Err(AskError::NotServed))]);
        }
    }
}

#[test]
fn a_server_that_only_announces_is_asked_nothing() {
    let status = Status { serving: Serving::default(), ..server_status(Version::Les4) };
    let (mut asker, _) = Asker::new(client_config(), Version::Les4);
    assert_eq!(asker.ask(1, headers(1, 1)), []);

    let acts = asker.hear(Message::Status(status));

    assert_eq!(acts[1], answered(1, Err(AskError::NotServed)));
    let send = Query::SendTransactions(vec![transaction(1)]);
    assert_eq!(asker.ask(2, send), [answered(2, Err(AskError::NotServed))]);
}

#[test]
fn what_a_server_would_be_silent_about_is_not_asked() {
    let mut asker = Asker::with_flow(flow(1_000_000, 1, 1));

    assert_eq!(asker.ask(1, headers(1, 0)), [answered(1, Ok(Answer::Headers(Vec::new())))]);
    assert_eq!(asker.ask(2, headers(1, 193)), [answered(2, Err(AskError::NotServed))]);
    asker.ask_now(3, headers(1, 192));
}

#[test]
fn accounts_are_named_as_the_server_takes_them() {
    let address = Address::repeat_byte(0xaa);
    let by_hash = AccountKey::Hash(keccak256(address));
    let by_address = AccountKey::Address(address);
    let code = |account| Query::Codes(vec![CodeRequest { block: B256::ZERO, account }]);
    let status = server_status(Version::Les4);

    let mut asker = Asker::greeted(client_config(), Version::Les4, &status);
    for (query, expected) in [
        (storage(by_address), storage(by_hash)),
        (storage(by_hash), storage(by_hash)),
        (code(by_address), code(by_hash)),
    ] {
        assert_eq!(sent(&asker.ask(1, query))[0].1, expected);
    }

    let config = ClientConfig { account_key: AccountKeyForm::Address, ..client_config() };
    let mut asker = Asker::greeted(config, Version::Les4, &status);
    assert_eq!(sent(&asker.ask(1, storage(by_address)))[0].1, storage(by_address));
    assert_eq!(asker.ask(2, storage(by_hash)), [answered(2, Err(AskError::NotServed))]);
    assert_eq!(asker.ask(3, code(by_hash)), [answered(3, Err(AskError::NotServed))]);
    let account = ProofRequest { block: B256::ZERO, account: None, key: B256::ZERO, from_level: 0 };
    assert_eq!(sent(&asker.ask(4, Query::Proofs(vec![account]))).len(), 1);
}

#[test]
fn questions_wait_in_order_for_the_servers_credit() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    let first = asker.ask_now(1, headers(1, 8));
    assert_eq!(asker.ask(2, headers(2, 4)), [], "400 and a millisecond are more than 200");
    assert_eq!(asker.ask(3, headers(3, 1)), [], "never before the one that waits");
    assert_eq!(asker.core.pending(), 3);

    let acts = asker.hear_answer(first, 300, some_headers(1));
    assert_eq!(acts, [answered(1, Ok(some_headers(1)))]);

    assert_eq!(asker.pass(100 * MS), []);
    let acts = asker.pass(MS);
    assert_eq!(sent(&acts).len(), 1, "400 units and a millisecond: {acts:?}");
    assert_eq!(sent(&acts)[0].1, headers(2, 4));
    assert_eq!(sent(&asker.pass(100 * MS)).len(), 1);
}

#[test]
fn an_answer_that_costs_little_lets_the_next_go_at_once() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    let first = asker.ask_now(1, headers(1, 8));
    asker.ask(2, headers(2, 4));

    let acts = asker.hear_answer(first, 990, some_headers(1));

    assert_eq!(sent(&acts).len(), 1);
}

#[test]
fn sending_large_transactions_reserves_by_size() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    let mut large = vec![1; 100_000];
    large[..4].copy_from_slice(&[0xfa, 0x01, 0x86, 0x9c]);
    asker.ask_now(1, Query::SendTransactions(vec![Bytes::from(large)]));

    assert_eq!(asker.ask(2, headers(1, 4)), [], "610 of 1000 are reserved, not 100");
    asker.core.forget(Ticket(2));
    asker.ask_now(3, headers(1, 3));
}

#[test]
fn stop_fails_what_is_under_way_and_resume_lets_the_rest_go() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    let first = asker.ask_now(1, headers(1, 8));
    asker.ask(2, headers(2, 4));

    assert_eq!(asker.hear(Message::Stop), [answered(1, Err(AskError::Stopped))]);
    assert!(asker.core.is_stopped());
    assert_eq!(asker.ask(3, headers(3, 1)), []);
    assert_eq!(asker.pass(SECOND), []);
    assert_eq!(asker.hear(Message::Stop), []);
    assert_eq!(asker.hear_answer(first, 1000, some_headers(1)), [], "forgotten on both sides");

    let acts = asker.hear(Message::Resume { buffer: 450 });

    assert_eq!(sent(&acts).into_iter().map(|(_, query)| query).collect::<Vec<_>>(), [headers(2, 4)]);
    assert_eq!(asker.pass(50 * MS), []);
    assert_eq!(sent(&asker.pass(MS)).len(), 1, "50 are left, 100 and a millisecond are needed");
}

#[test]
fn resume_without_stop_changes_nothing() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    asker.ask_now(1, headers(1, 10));
    asker.ask(2, headers(2, 1));

    assert_eq!(asker.hear(Message::Resume { buffer: 1000 }), []);
    assert_eq!(asker.core.pending(), 2);
}

#[test]
fn les_2_knows_no_stop() {
    let mut asker = Asker::greeted(client_config(), Version::Les2, &server_status(Version::Les2));

    let acts = asker.hear_raw(0x16, Bytes::from_static(&[0xc0]));

    assert!(matches!(acts[..], [Act::Told(ClientCommand::Close(Fault::Undecodable(_)))]));
}

#[test]
fn a_silent_server_times_out_and_its_late_answer_still_tells_the_buffer() {
    let mut asker = Asker::with_flow(flow(10_000_000, 1, 1_000_000));
    let first = asker.ask_now(1, headers(1, 9));
    asker.ask(2, headers(2, 5));

    // The one waiting for credit has its own patience, which is over at the same time.
    let acts = asker.pass(PATIENCE);
    assert_eq!(acts, [answered(2, Err(AskError::Timeout)), answered(1, Err(AskError::Timeout))]);
    assert_eq!((asker.core.consecutive_timeouts(), asker.core.pending()), (1, 0));

    assert_eq!(asker.ask(3, headers(3, 5)), []);
    let acts = asker.hear_answer(first, 9_900_000, some_headers(1));
    assert_eq!(sent(&acts).len(), 1, "its answer reaches nobody, but its buffer counts");
}

#[test]
fn timeouts_in_a_row_are_counted_until_an_answer() {
    let mut asker = Asker::with_flow(flow(1_000_000, 1, 1));
    for i in 0..4 {
        asker.ask_now(i, headers(i, 1));
    }
    asker.pass(PATIENCE);
    assert_eq!(asker.core.consecutive_timeouts(), 4);

    let id = asker.ask_now(5, headers(5, 1));
    asker.hear_answer(id, 1000, some_headers(1));

    assert_eq!(asker.core.consecutive_timeouts(), 0);
    assert_eq!(asker.core.poll_timeout(), None);
}

#[test]
fn a_full_buffer_that_never_hears_an_answer_does_not_stand_still() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    asker.ask_now(1, headers(1, 10));
    asker.pass(PATIENCE);

    assert_eq!(asker.ask(2, headers(2, 5)), []);
    assert_eq!(sent(&asker.pass(501 * MS)).len(), 1);
}

#[test]
fn answers_that_are_none_to_the_request_end_the_session() {
    let status = |n| {
        Answer::TransactionStatus(vec![
            TransactionStatus { status: 0, inclusion: None, error: String::new() };
            n
        ])
    };
    let helper = HelperTrieRequest {
        trie: HelperTrie::CanonicalHash,
        section: 0,
        key: Bytes::from_static(&[0; 8]),
        from_level: 0,
        auxiliary: 2,
    };
    let node = Bytes::from_static(&[0xc1, 0x80]);
    let helper_answer =
        Answer::HelperTries { nodes: Vec::new(), auxiliary: vec![Bytes::from_static(&[1]); 2] };
    let bodies = || Query::Bodies(vec![B256::ZERO]);
    let proof = || storage(AccountKey::Hash(B256::ZERO));
    let cases = [
        (bodies(), some_headers(1), Fault::WrongAnswer { request: 0x04, answer: 0x03 }),
        (headers(1, 2), some_headers(3), Fault::TooManyItems { answer: 0x03, items: 3, limit: 2 }),
        (proof(), Answer::Proofs(vec![node; 66]), Fault::TooManyItems { answer: 0x10, items: 66, limit: 65 }),
        (
            Query::HelperTries(vec![helper]),
            helper_answer,
            Fault::TooManyItems { answer: 0x12, items: 2, limit: 1 },
        ),
        (
            Query::TransactionStatus(vec![B256::ZERO; 2]),
            status(1),
            Fault::StatusCount { statuses: 1, transactions: 2 },
        ),
        (
            Query::SendTransactions(vec![transaction(1)]),
            status(2),
            Fault::StatusCount { statuses: 2, transactions: 1 },
        ),
    ];
    for (query, answer, fault) in cases {
        let mut asker = Asker::with_flow(flow(1_000_000, 1, 1));
        let id = asker.ask_now(1, query);

        let acts = asker.hear_answer(id, 0, answer);

        assert_eq!(acts, [answered(1, Err(AskError::Closed)), closed(fault)]);
    }
}

#[test]
fn fewer_items_than_asked_for_are_an_answer() {
    let mut asker = Asker::with_flow(flow(1_000_000, 1, 1));
    let id = asker.ask_now(1, headers(1, 5));

    let acts = asker.hear_answer(id, 0, some_headers(0));

    assert_eq!(acts, [answered(1, Ok(some_headers(0)))]);
}

#[test]
fn answers_to_nothing_are_ignored() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    let id = asker.ask_now(1, headers(1, 10));
    assert_eq!(asker.hear_answer(RequestId(77), 1000, some_headers(1)), []);
    assert_eq!(asker.ask(2, headers(2, 1)), [], "their buffer does not count");
    asker.hear_answer(id, 1000, some_headers(1));

    assert_eq!(asker.hear_answer(id, 1000, some_headers(1)), [], "a second answer is one to nothing");
}

#[test]
fn answers_may_come_in_any_order() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    let first = asker.ask_now(1, headers(1, 1));
    let second = asker.ask_now(2, headers(2, 1));

    assert_eq!(asker.hear_answer(second, 800, some_headers(1)), [answered(2, Ok(some_headers(1)))]);
    assert_eq!(asker.hear_answer(first, 990, some_headers(1)), [answered(1, Ok(some_headers(1)))]);
}

#[test]
fn what_is_forgotten_is_not_sent_and_not_answered() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    let first = asker.ask_now(1, headers(1, 10));
    asker.ask(2, headers(2, 1));
    asker.core.forget(Ticket(1));
    asker.core.forget(Ticket(2));
    assert_eq!(asker.core.pending(), 0);

    assert_eq!(asker.hear_answer(first, 1000, some_headers(1)), []);
    asker.ask_now(3, headers(3, 10));
}

#[test]
fn the_queue_is_bounded() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    asker.ask_now(0, headers(1, 10));
    for i in 0..16 {
        assert_eq!(asker.ask(i + 1, headers(i, 1)), []);
    }

    assert_eq!(asker.ask(17, headers(17, 1)), [answered(17, Err(AskError::QueueFull))]);
}

#[test]
fn requests_under_way_are_bounded_however_cheap() {
    let mut asker = Asker::with_flow(flow(1000, 1, 0));
    let first = asker.ask_now(0, headers(0, 1));
    for i in 1..512 {
        asker.ask_now(i, headers(i, 1));
    }
    assert_eq!(asker.ask(512, headers(512, 1)), []);

    assert_eq!(sent(&asker.hear_answer(first, 1000, some_headers(1))).len(), 1);
}

#[test]
fn the_end_of_the_session_fails_every_question() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    asker.ask_now(1, headers(1, 10));
    asker.ask(2, headers(2, 1));

    asker.core.handle_close();

    let acts = asker.acts();
    assert_eq!(acts, [answered(2, Err(AskError::Closed)), answered(1, Err(AskError::Closed))]);
    assert_eq!((asker.core.pending(), asker.core.poll_timeout()), (0, None));
    assert_eq!(asker.hear(Message::Stop), []);
}

#[test]
fn heads_are_told_as_long_as_total_difficulty_grows() {
    let mut asker = Asker::with_flow(flow(1000, 1, 1));
    for (number, td) in [(101, 1101), (103, 1200)] {
        let acts = asker.hear(Message::Announce(announce(number, td)));
        let [Act::Told(ClientCommand::Announced(told))] = &acts[..] else { panic!("{acts:?}") };
        assert_eq!(told.head, announce(number, td).head);
    }

    // geth can send a head twice.
    assert_eq!(asker.hear(Message::Announce(announce(103, 1200))), []);

    let acts = asker.hear(Message::Announce(announce(104, 1200)));

    let (previous, announced) = (U256::from(1200), U256::from(1200));
    assert_eq!(acts, [closed(Fault::TotalDifficultyNotGrowing { previous, announced })]);
}

#[test]
fn the_head_of_the_status_counts_as_announced() {
    let mut asker = Asker::with_flow(flow(1000, 1, 1));

    assert_eq!(asker.hear(Message::Announce(announce(100, 1100))), [], "the very same head");
    let acts = asker.hear(Message::Announce(announce(101, 1100)));

    let td = U256::from(1100);
    assert_eq!(acts, [closed(Fault::TotalDifficultyNotGrowing { previous: td, announced: td })]);
}

#[test]
fn signatures_that_were_asked_for_are_checked() {
    let config = ClientConfig { signed: true, ..client_config() };
    let status = server_status(Version::Les4);
    let hear = |signature: Option<[u8; 65]>| {
        let mut asker = Asker::greeted(config.clone(), Version::Les4, &status);
        asker.hear(Message::Announce(Announce { signature, ..announce(101, 1101) })).remove(0)
    };
    let head = announce(101, 1101).head.unwrap();
    let stranger = secp256k1::SecretKey::from_secret_bytes([7; 32]).unwrap();

    assert!(matches!(hear(Some(sign_head(&head, &secret_key()))), Act::Told(ClientCommand::Announced(_))));
    assert_eq!(hear(None), closed(Fault::Unsigned));
    assert_eq!(hear(Some(sign_head(&head, &stranger))), closed(Fault::BadSignature));
    assert_eq!(hear(Some([0xff; 65])), closed(Fault::BadSignature));
}

#[test]
fn updates_of_parameters_apply_at_once() {
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    asker.ask_now(1, headers(1, 10));
    assert_eq!(asker.ask(2, headers(2, 5)), []);

    let acts = asker.hear(update(Some((1600, 2)), Vec::new()));
    assert_eq!(sent(&acts).len(), 1, "600 more, for 500 and a millisecond");

    assert_eq!(asker.ask(3, headers(3, 1)), []);
    let cheaper = vec![RequestCost { code: 0x02, base: 0, item: 10 }];
    assert_eq!(sent(&asker.hear(update(None, cheaper))).len(), 1);

    let useless = Fault::UselessFlowControl { buffer_limit: 5, recharge: 0 };
    assert_eq!(asker.hear(update(Some((5, 0)), Vec::new())).last(), Some(&closed(useless)));
}

#[test]
fn updates_have_a_budget() {
    let row = RequestCost { code: 0x02, base: 1, item: 1 };
    let big = update(None, vec![row; 5000]); // some 20,000 bytes
    let mut asker = Asker::with_flow(flow(1000, 1, 100));
    for _ in 0..4 {
        assert_eq!(asker.hear(big.clone()), []);
    }
    assert_eq!(asker.pass(300 * SECOND), []);
    assert_eq!(asker.hear(big.clone()), [], "refilled by a byte in 10 ms");

    let acts: Vec<Act> = (0..5).flat_map(|_| asker.hear(big.clone())).collect();

    assert!(matches!(acts[..], [Act::Told(ClientCommand::Close(Fault::TooManyUpdates { .. }))]), "{acts:?}");
}

#[test]
fn absurd_promises_of_a_server_do_no_harm() {
    let costs = vec![RequestCost { code: 0x02, base: u64::MAX, item: u64::MAX }];
    let promise = FlowControl { buffer_limit: u64::MAX, recharge: 1, costs };
    let mut asker = Asker::with_flow(promise);
    let id = asker.ask_now(1, headers(1, 192));
    assert_eq!(asker.ask(2, headers(2, 192)), []);

    asker.hear_answer(id, 1, some_headers(0));

    let due = asker.core.poll_timeout().expect("a timeout");
    assert!(due <= asker.now + PATIENCE, "its patience bounds the wait");
    assert_eq!(asker.pass(PATIENCE), [answered(2, Err(AskError::Timeout))]);
}

#[test]
fn longer_of_both_wishes_for_a_heartbeat_counts() {
    for (ours, theirs, agreed) in
        [(None, None, 15), (Some(600), None, 600), (Some(5), Some(60), 60), (None, Some(u64::MAX), 600)]
    {
        let config = ClientConfig { heartbeat: ours, ..client_config() };
        let (mut asker, status) = Asker::new(config, Version::Les4);
        assert!(matches!(status, Message::Status(Status { heartbeat, .. }) if heartbeat == ours));

        let acts = asker.hear(Message::Status(Status { heartbeat: theirs, ..server_status(Version::Les4) }));

        let [Act::Told(ClientCommand::Greeted { heartbeat, .. })] = acts[..] else { panic!("{acts:?}") };
        assert_eq!(heartbeat.as_secs(), agreed);
    }
}
