//! Requests of light peers: each kind over each way in each version, in any number, at the edges.

use std::{collections::BTreeMap, time::Duration};

use alloy_primitives::{Address, B256, keccak256};
use causeway_bridge::Backend;
use causeway_devnet::genesis;
use causeway_tests::{
    full_node,
    house::{Chain, FullNode, Relay, RelayOptions, Way},
    light_peer::{Heard, LightPeer},
    probe::{self, Probe},
    verifying_peer::VerifyingPeer,
};
use causeway_wire::{
    AccountKey, Answer, CodeRequest, HashOrNumber, HelperTrie, HelperTrieRequest, ProofRequest, Query,
    RequestId,
    les::{Message, Version, code, item_limit, limit},
};

const HISTORY: u64 = 12;

struct House {
    chain: Chain,
    full_node: FullNode,
    relay: Relay,
}

impl House {
    async fn start() -> Self {
        let chain = Chain::new(HISTORY);
        let full_node = FullNode::start(&chain).await;
        let relay = Relay::start(RelayOptions::default()).await;
        relay.admit(&full_node.address()).await.expect("it is honest");
        relay.reaches(chain.head().head.hash).await;
        Self { chain, full_node, relay }
    }

    async fn stop(self) {
        self.relay.is_idle().await;
        self.relay.stop().await;
        self.full_node.stop().await;
    }

    fn block(&self, number: u64) -> B256 {
        let query = headers(HashOrNumber::Number(number), 1, 0, false);
        let Some(Answer::Headers(headers)) = full_node::answer(&self.chain.backend, query) else {
            panic!("no block {number}")
        };
        keccak256(&headers[0])
    }

    async fn peer(&self, way: Way, version: Version) -> LightPeer {
        LightPeer::greet(&self.relay.address(way), version).await.0
    }
}

fn headers(start: HashOrNumber, amount: u64, skip: u64, reverse: bool) -> Query {
    Query::Headers { start, amount, skip, reverse }
}

fn count(answer: &Answer) -> usize {
    match answer {
        Answer::Headers(items)
        | Answer::Bodies(items)
        | Answer::Receipts(items)
        | Answer::Codes(items)
        | Answer::Proofs(items) => items.len(),
        Answer::HelperTries { nodes, .. } => nodes.len(),
        Answer::TransactionStatus(statuses) => statuses.len(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_answered_over_every_way_in_every_version() {
    let house = House::start().await;
    for way in Way::ALL {
        for version in Version::ALL {
            let (mut peer, status) = LightPeer::greet(&house.relay.address(way), version).await;
            assert_eq!(status.version, version.number());
            assert_eq!(status.head, house.chain.head().head);
            assert_eq!(status.fork_id.is_some(), version == Version::Les4);

            for probe in Probe::ALL {
                let answer = peer.ask(probe.query(&house.chain.backend)).await;

                let right = probe.answer(&house.chain.backend);
                assert!(probe::same(&answer, &right), "{way:?} {version:?} {probe:?}: {answer:?}");
            }
            peer.leave().await;
        }
    }
    house.stop().await;
}

/// The product's own light side, which checks all of it again.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_verifies_on_the_light_side() {
    let house = House::start().await;
    for way in Way::ALL {
        let peer = VerifyingPeer::connect(&house.relay.address(way)).await;
        for probe in Probe::ALL {
            let answer = peer.verified.answer(probe.query(&house.chain.backend)).await;
            let answer = answer.unwrap_or_else(|error| panic!("{way:?} {probe:?}: {error}"));
            assert!(probe::same(&answer, &probe.answer(&house.chain.backend)), "{way:?} {probe:?}");
        }
        assert!(peer.upstream.is_live());
        peer.leave().await;
    }
    house.stop().await;
}

/// One full-sized request of each kind, right behind the Status and before anything was read.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_batch_behind_the_status_is_answered() {
    let house = House::start().await;
    let block = house.chain.head().head.hash;
    for (way, version) in
        Way::ALL.into_iter().zip([Version::Les4, Version::Les2, Version::Les3, Version::Les2])
    {
        let mut peer = LightPeer::dial(&house.relay.address(way), version).await;
        let account = |index: u64| keccak256(index.to_be_bytes());
        let proof = |index| ProofRequest { block, account: None, key: account(index), from_level: 0 };
        let code = |index| CodeRequest { block, account: AccountKey::Hash(account(index)) };
        let helper = |index: u64| HelperTrieRequest {
            trie: HelperTrie::CanonicalHash,
            section: 0,
            key: index.to_be_bytes().to_vec().into(),
            from_level: 0,
            auxiliary: 2,
        };
        let batch = [
            headers(HashOrNumber::Number(0), limit::HEADERS, 0, false),
            Query::Bodies(vec![block; limit::BODIES as usize]),
            Query::Receipts(vec![block; limit::RECEIPTS as usize]),
            Query::Codes((0..limit::CODES).map(code).collect()),
            Query::Proofs((0..limit::PROOFS).map(proof).collect()),
            Query::HelperTries((0..limit::HELPER_TRIES).map(helper).collect()),
            Query::SendTransactions(vec![vec![0x02; 200].into(); limit::SEND_TRANSACTIONS as usize]),
            Query::TransactionStatus((0..limit::TRANSACTION_STATUS).map(account).collect()),
        ];

        peer.send(&Message::Status(peer.status()));
        let asked: BTreeMap<RequestId, Query> =
            batch.into_iter().map(|query| (peer.request(query.clone()), query)).collect();

        peer.hear_status().await;
        let mut answered = BTreeMap::new();
        while answered.len() < asked.len() - 1 {
            let (id, buffer, answer) = peer.response().await;
            assert!(buffer <= causeway_translate::ServerConfig::default_flow().buffer_limit);
            assert!(answered.insert(id, answer).is_none(), "answered twice");
        }
        for (id, query) in &asked {
            let Some(answer) = answered.get(id) else {
                assert!(matches!(query, Query::HelperTries(_)), "{way:?}: unanswered: {query:?}");
                continue;
            };
            let items = match query {
                Query::Headers { .. } => usize::try_from(HISTORY + 1).expect("small"),
                Query::Codes(_) => 0,
                Query::Proofs(_) => {
                    assert!(count(answer) > 0);
                    continue;
                }
                _ => usize::try_from(item_limit(query)).expect("small"),
            };
            assert_eq!(count(answer), items, "{way:?}: {query:?}");
        }
        peer.leave().await;
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_at_and_over_the_limits() {
    let house = House::start().await;
    let mut peer = house.peer(Way::Quic, Version::Les4).await;
    let block = house.block(3);

    let none = [
        headers(HashOrNumber::Number(1), 0, 0, false),
        Query::Bodies(Vec::new()),
        Query::Receipts(Vec::new()),
        Query::Codes(Vec::new()),
        Query::Proofs(Vec::new()),
        Query::HelperTries(Vec::new()),
        Query::SendTransactions(Vec::new()),
        Query::TransactionStatus(Vec::new()),
    ];
    for query in none {
        assert_eq!(count(&peer.ask(query.clone()).await), 0, "{query:?}");
    }

    let over = |limit: u64| usize::try_from(limit).expect("small") + 9;
    assert_eq!(count(&peer.ask(Query::Bodies(vec![block; over(limit::BODIES)])).await), 32);
    assert_eq!(count(&peer.ask(Query::Receipts(vec![block; over(limit::RECEIPTS)])).await), 128);
    let statuses = Query::TransactionStatus(vec![block; over(limit::TRANSACTION_STATUS)]);
    assert_eq!(count(&peer.ask(statuses).await), 256);
    let account = AccountKey::Address(genesis::CONTRACT);
    let codes = Query::Codes(vec![CodeRequest { block, account }; over(limit::CODES)]);
    assert_eq!(count(&peer.ask(codes).await), 64);
    assert_eq!(count(&peer.ask(headers(HashOrNumber::Number(0), u64::MAX, 0, false)).await), 13);

    peer.leave().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_near_the_end_of_all_numbers() {
    let house = House::start().await;
    let mut peer = house.peer(Way::WebSocket, Version::Les4).await;
    let fifth = HashOrNumber::Hash(house.block(5));
    let by = HashOrNumber::Number;
    let table = [
        (headers(by(HISTORY + 1), 1, 0, false), 0),
        (headers(by(u64::MAX), 3, 0, false), 0),
        (headers(by(u64::MAX), 3, u64::MAX, true), 0),
        (headers(by(u64::MAX - 1), u64::MAX, u64::MAX, false), 0),
        (headers(by(5), 3, u64::MAX, false), 1),
        (headers(by(5), 3, u64::MAX, true), 1),
        (headers(by(5), 3, u64::MAX - 1, false), 1),
        (headers(by(5), 3, u64::MAX - 5, true), 1),
        (headers(fifth, 3, u64::MAX, false), 1),
        (headers(fifth, 3, u64::MAX - 4, true), 1),
        (headers(fifth, 192, 0, true), 6),
        (headers(fifth, 192, 2, false), 3),
        (headers(by(HISTORY), 192, 3, true), 4),
        (headers(HashOrNumber::Hash(B256::repeat_byte(1)), 1, 0, false), 0),
    ];
    for (query, expected) in table {
        let answer = peer.ask(query.clone()).await;
        assert_eq!(count(&answer), expected, "{query:?}");
        assert_eq!(Some(answer), full_node::answer(&house.chain.backend, query));
    }
    peer.leave().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_named_in_each_form() {
    let house = House::start().await;
    let mut peer = house.peer(Way::Tcp, Version::Les4).await;
    let sample = house.chain.backend.sample().expect("there are blocks");
    let (address, hash) = (genesis::CONTRACT, keccak256(genesis::CONTRACT));
    let slot = keccak256(B256::from(sample.slot));
    let storage = |account| {
        let request = ProofRequest { block: sample.block, account: Some(account), key: slot, from_level: 0 };
        Query::Proofs(vec![request])
    };

    let by_hash = peer.ask(storage(AccountKey::Hash(hash))).await;
    let by_address = peer.ask(storage(AccountKey::Address(address))).await;
    let nobody = peer.ask(storage(AccountKey::Address(Address::repeat_byte(5)))).await;
    let code_by_hash = CodeRequest { block: sample.block, account: AccountKey::Hash(hash) };
    let code_by_address = CodeRequest { block: sample.block, account: AccountKey::Address(address) };
    let codes = peer.ask(Query::Codes(vec![code_by_hash, code_by_address])).await;

    assert_eq!(by_hash, Probe::Storage.answer(&house.chain.backend));
    assert_eq!(by_address, by_hash);
    assert_eq!(count(&nobody), 0);
    assert_eq!(count(&codes), 2);
    peer.leave().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_known_already_are_left_out() {
    let house = House::start().await;
    let mut peer = house.peer(Way::Rlpx, Version::Les4).await;
    let Query::Proofs(requests) = Probe::Account.query(&house.chain.backend) else { panic!() };
    let Answer::Proofs(whole) = peer.ask(Query::Proofs(requests.clone())).await else { panic!() };
    assert!(whole.len() > 1);

    for level in [1, 2, 100, u64::MAX] {
        let from = requests.iter().map(|request| ProofRequest { from_level: level, ..request.clone() });
        let Answer::Proofs(rest) = peer.ask(Query::Proofs(from.collect())).await else { panic!() };

        let left_out = usize::try_from(level).unwrap_or(usize::MAX).min(whole.len());
        assert_eq!(rest, whole[left_out..], "{level}");
    }
    peer.leave().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_is_left_out() {
    let house = House::start().await;
    let mut peer = house.peer(Way::Quic, Version::Les4).await;
    let (known, other, unknown) = (house.block(3), house.block(7), B256::repeat_byte(0xee));
    let ask = |blocks: Vec<B256>| full_node::answer(&house.chain.backend, Query::Bodies(blocks));

    let mixed = peer.ask(Query::Bodies(vec![unknown, known, unknown, other])).await;
    let nothing = peer.ask(Query::Receipts(vec![unknown])).await;
    let proof =
        |block| ProofRequest { block, account: None, key: keccak256(genesis::CONTRACT), from_level: 0 };
    let proofs = peer.ask(Query::Proofs(vec![proof(unknown), proof(known)])).await;
    let no_proofs = peer.ask(Query::Proofs(vec![proof(unknown)])).await;
    let no_code = CodeRequest { block: unknown, account: AccountKey::Address(genesis::CONTRACT) };
    let codes = peer.ask(Query::Codes(vec![no_code])).await;
    let Answer::TransactionStatus(statuses) = peer.ask(Query::TransactionStatus(vec![unknown])).await else {
        panic!()
    };

    assert_eq!(Some(mixed), ask(vec![known, other]));
    assert_eq!((count(&nothing), count(&no_proofs), count(&codes)), (0, 0, 0));
    assert!(count(&proofs) > 0);
    assert_eq!((statuses.len(), statuses[0].status), (1, 0));
    peer.leave().await;
    house.stop().await;
}

/// Many questions at once: each answer carries its own question's id.
#[tokio::test(flavor = "multi_thread")]
async fn answers_find_their_questions() {
    let house = House::start().await;
    for way in Way::ALL {
        let mut peer = house.peer(way, Version::Les4).await;
        let mut asked = BTreeMap::new();
        for turn in 0..120 {
            let query = match turn % 3 {
                0 => headers(HashOrNumber::Number(turn % 13), 1, 0, false),
                1 => Query::Bodies(vec![house.block(turn % 13)]),
                _ => Query::Receipts(vec![house.block(turn % 13)]),
            };
            asked.insert(peer.request(query.clone()), query);
        }
        while !asked.is_empty() {
            let (id, _, answer) = peer.response().await;
            let query = asked.remove(&id).expect("asked, and not answered yet");
            assert_eq!(Some(answer), full_node::answer(&house.chain.backend, query));
        }
        peer.leave().await;
    }
    house.stop().await;
}

/// A transaction that is sent reaches the full node's pool, and its block.
#[tokio::test(flavor = "multi_thread")]
async fn a_sent_transaction_is_included() {
    let house = House::start().await;
    let mut peer = house.peer(Way::WebSocket, Version::Les4).await;
    let [alice, ..] = causeway_devnet::DevAccount::funded();
    let transaction = alice.sign(alloy_consensus::TxLegacy {
        chain_id: Some(genesis::CHAIN_ID),
        gas_price: 5_000_000_000,
        gas_limit: 21_000,
        to: alloy_primitives::TxKind::Call(Address::repeat_byte(7)),
        ..Default::default()
    });
    let mut raw = Vec::new();
    transaction.rlp_encode(&mut raw);
    let hash = keccak256(&raw);

    let Answer::TransactionStatus(sent) = peer.ask(Query::SendTransactions(vec![raw.into()])).await else {
        panic!()
    };
    let head = house.chain.grow();
    house.relay.reaches(head.head.hash).await;
    let Answer::TransactionStatus(found) = peer.ask(Query::TransactionStatus(vec![hash])).await else {
        panic!()
    };

    assert_eq!((sent[0].status, sent[0].error.as_str()), (2, ""));
    assert_eq!(found[0].status, 3);
    assert_eq!(found[0].inclusion.map(|inclusion| inclusion.block), Some(head.head.hash));
    peer.leave().await;
    house.stop().await;
}

/// Hundreds of full-sized answers for a peer that asks for all of them first and reads later.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_faster_than_it_reads_is_answered_all_the_same() {
    let house = House::start().await;
    for way in [Way::Quic, Way::Rlpx] {
        let mut peer = house.peer(way, Version::Les4).await;
        let mut asked = 0;
        for _ in 0..250 {
            peer.request(headers(HashOrNumber::Number(0), limit::HEADERS, 0, false));
            asked += 1;
        }
        tokio::time::sleep(Duration::from_millis(300)).await; // it reads nothing meanwhile
        while asked > 0 {
            match peer.hear().await {
                Heard::Message(Message::Response { .. }) => asked -= 1,
                Heard::Message(Message::Announce(_)) => {}
                other => panic!("{way:?}: {other:?} with {asked} answers to come"),
            }
        }
        peer.leave().await;
    }
    house.stop().await;
}

/// Codes of messages that a client never sends end the session.
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_light_peer_end_its_session() {
    let house = House::start().await;
    for code in [code::ANNOUNCE, code::BLOCK_HEADERS, code::TX_STATUS, code::STOP, code::RESUME, 0x08, 0x0d] {
        let mut peer = house.peer(Way::Tcp, Version::Les4).await;
        peer.send_raw(code, bytes::Bytes::from_static(&[0xc0]));
        peer.end().await;
        peer.leave().await;
    }
    house.stop().await;
}
