//! How the development chain lives: it grows, takes transactions, forgets, and changes branches.

use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use causeway_bridge::{Backend, BackendError};
use causeway_devnet::{Config, DevAccount, DevBackend, DevChain, DevError, genesis};
use causeway_wire::{AccountKey, Answer, CodeRequest, HashOrNumber, ProofRequest, Query, TransactionStatus};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const NOW: u64 = 1_750_000_000;

#[test]
fn same_inputs_give_the_same_chain() {
    let mut one = chain();
    let mut other = chain();

    one.advance(NOW + 2).expect("there is room");
    other.advance(NOW + 2).expect("there is room");

    assert_eq!(one.head_update(), other.head_update());
    assert_eq!(one.export_rlp(), other.export_rlp());
}

#[test]
fn history_ends_now_and_a_block_comes_every_period() {
    let mut chain = chain();
    assert_eq!(chain.head_update().timestamp, NOW);
    assert_eq!(chain.head_update().head.number, 64);
    assert_eq!(chain.head_update().head.td, U256::from(1 + 2 * 64));

    assert_eq!(chain.advance(NOW + 1), Ok(None));
    assert!(chain.advance(NOW + 2).expect("there is room").is_some());
    assert!(chain.advance(NOW + 100).expect("there is room").is_some());

    assert_eq!(chain.head_update().timestamp, NOW + 100);
    assert_eq!(chain.head_update().head.td, U256::from(1 + 2 * 66));
}

#[test]
fn a_clock_before_the_history_is_refused() {
    let config = Config::at(genesis::TIMESTAMP + 10);

    assert!(matches!(DevChain::new(config), Err(DevError::TooEarly { .. })));
    assert!(matches!(DevChain::new(Config { history: u64::MAX, ..Config::at(NOW) }), Err(DevError::Full)));
}

#[test]
fn headers_follow_geth_in_every_direction() {
    let mut chain = chain();
    let hash = |chain: &DevChain, number| chain.header(number).expect("it exists").0;
    let fifth = HashOrNumber::Hash(hash(&chain, 5));

    assert_eq!(numbers(&mut chain, HashOrNumber::Number(0), 3, 0, false), [0, 1, 2]);
    assert_eq!(numbers(&mut chain, HashOrNumber::Number(60), 9, 1, false), [60, 62, 64]);
    assert_eq!(numbers(&mut chain, HashOrNumber::Number(3), 9, 0, true), [3, 2, 1, 0]);
    assert_eq!(numbers(&mut chain, fifth, 3, 2, false), [5, 8, 11]);
    assert_eq!(numbers(&mut chain, fifth, 9, 1, true), [5, 3, 1]);
    assert_eq!(numbers(&mut chain, HashOrNumber::Number(65), 3, 0, false), [0; 0]);
    assert_eq!(numbers(&mut chain, HashOrNumber::Hash(B256::ZERO), 3, 0, false), [0; 0]);
    assert_eq!(numbers(&mut chain, HashOrNumber::Number(u64::MAX), 3, u64::MAX, false), [0; 0]);
    assert_eq!(numbers(&mut chain, HashOrNumber::Number(7), 3, u64::MAX, false), [7]);
    assert_eq!(numbers(&mut chain, HashOrNumber::Number(7), 3, u64::MAX - 1, true), [7]);
    assert_eq!(numbers(&mut chain, HashOrNumber::Number(7), u64::MAX, 0, false).len(), 58);
    assert_eq!(numbers(&mut chain, HashOrNumber::Number(7), 0, 0, false), [0; 0]);
}

#[test]
fn unknown_blocks_are_left_out() {
    let mut chain = chain();
    let (third, _) = chain.header(3).expect("it exists");

    let Ok(Answer::Bodies(bodies)) = chain.answer(Query::Bodies(vec![B256::ZERO, third])) else {
        panic!("no bodies")
    };
    let Ok(Answer::Receipts(receipts)) = chain.answer(Query::Receipts(vec![third, B256::ZERO])) else {
        panic!("no receipts")
    };
    let unknown = ProofRequest { block: B256::ZERO, account: None, key: B256::ZERO, from_level: 0 };

    assert_eq!(bodies.len(), 1);
    assert_eq!(receipts.len(), 1);
    assert_eq!(chain.answer(Query::Proofs(vec![unknown])), Ok(Answer::Proofs(Vec::new())));
    assert_eq!(chain.answer(Query::HelperTries(Vec::new())), Err(BackendError::NotServed));
}

#[test]
fn sent_transactions_of_every_type_are_included_and_found() {
    let mut chain = chain();
    let [alice, ..] = DevAccount::funded();
    let to = TxKind::Call(Address::repeat_byte(7));
    let id = genesis::CHAIN_ID;
    let fee = 5_000_000_000;
    let sent = [
        encode(alice.sign(TxLegacy {
            chain_id: Some(id),
            nonce: 0,
            gas_price: fee,
            gas_limit: 21_000,
            to,
            ..TxLegacy::default()
        })),
        encode(alice.sign(TxEip2930 {
            chain_id: id,
            nonce: 1,
            gas_price: fee,
            gas_limit: 21_000,
            to,
            ..TxEip2930::default()
        })),
        encode(transfer(&alice, 2, U256::from(1))),
    ];

    let statuses = send(&mut chain, &sent);
    chain.advance(NOW + 2).expect("there is room");

    assert!(statuses.iter().all(|status| status.status == 2 && status.error.is_empty()), "{statuses:?}");
    let hashes = sent.iter().map(keccak256).collect();
    let Ok(Answer::TransactionStatus(found)) = chain.answer(Query::TransactionStatus(hashes)) else {
        panic!("no statuses")
    };
    for (index, status) in (0..).zip(found) {
        let inclusion = status.inclusion.expect("it is in the head");
        assert_eq!((status.status, inclusion.number, inclusion.index), (3, 65, index));
        assert_eq!(inclusion.block, chain.head_update().head.hash);
    }
    assert_eq!(send(&mut chain, &sent[..1])[0].status, 3, "sent again, it is still included");
}

#[test]
fn a_gap_in_nonces_queues_until_it_is_filled() {
    let mut chain = chain();
    let [alice, ..] = DevAccount::funded();
    let late = encode(transfer(&alice, 1, U256::from(1)));

    assert_eq!(send(&mut chain, std::slice::from_ref(&late))[0].status, 1);
    chain.advance(NOW + 2).expect("there is room");
    assert_eq!(status(&mut chain, &late).status, 1);

    assert_eq!(send(&mut chain, &[encode(transfer(&alice, 0, U256::from(1)))])[0].status, 2);
    assert_eq!(status(&mut chain, &late).status, 2);
    chain.advance(NOW + 4).expect("there is room");
    assert_eq!(status(&mut chain, &late).status, 3);
}

#[test]
fn refused_transactions_get_geths_words() {
    let mut chain = chain();
    let [alice, bob, ..] = DevAccount::funded();
    let id = genesis::CHAIN_ID;
    let base = TxEip1559 {
        chain_id: id,
        gas_limit: 21_000,
        max_fee_per_gas: 5_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::ZERO),
        ..TxEip1559::default()
    };
    let ether = |count: u64| U256::from(count) * U256::from(10).pow(U256::from(18));
    let foreign = TxEip1559 { chain_id: 1, ..base.clone() };
    let unsigned = foreign_signature(base.clone());
    let cases = [
        (Bytes::from_static(&[0xc1, 0x80]), "rlp: the bytes are not one signed transaction"),
        (Bytes::new(), "rlp: the bytes are not one signed transaction"),
        (Bytes::from_static(&[3, 0xc0]), "transaction type not supported"),
        (Bytes::from(vec![2; 128 * 1024 + 1]), "oversized data"),
        (encode(alice.sign(foreign)), "invalid sender"),
        (unsigned, "invalid sender"),
        (encode(alice.sign(TxEip1559 { gas_limit: 30_000_001, ..base.clone() })), "exceeds block gas limit"),
        (encode(alice.sign(TxEip1559 { gas_limit: 20_999, ..base.clone() })), "intrinsic gas too low"),
        (
            encode(alice.sign(TxEip1559 { max_priority_fee_per_gas: 0, ..base.clone() })),
            "transaction underpriced",
        ),
        (
            encode(alice.sign(TxEip1559 { max_priority_fee_per_gas: 6_000_000_000, ..base.clone() })),
            "max priority fee per gas higher than max fee per gas",
        ),
        (
            encode(alice.sign(TxEip1559 { value: ether(1_000), ..base.clone() })),
            "insufficient funds for gas * price + value",
        ),
        (
            encode(alice.sign(TxEip1559 { value: U256::MAX, ..base.clone() })),
            "insufficient funds for gas * price + value",
        ),
        (encode(DevAccount::traffic().sign(base.clone())), "nonce too low"),
    ];
    for (bytes, words) in cases {
        let answer = send(&mut chain, &[bytes]);
        assert_eq!((answer[0].status, answer[0].error.as_str()), (0, words));
    }

    let first = encode(bob.sign(base.clone()));
    let cheap = encode(bob.sign(TxEip1559 { value: U256::from(1), ..base.clone() }));
    let dear = TxEip1559 { max_fee_per_gas: 6_000_000_000, max_priority_fee_per_gas: 2, ..base };
    let dear = encode(bob.sign(dear));
    let answers = send(&mut chain, &[first.clone(), first.clone(), cheap, dear]);
    let words: Vec<&str> = answers.iter().map(|status| status.error.as_str()).collect();
    assert_eq!(words, ["", "", "replacement transaction underpriced", ""]);
    assert_eq!(status(&mut chain, &first).status, 0, "it was replaced");
}

#[test]
fn the_pool_is_bounded() {
    let mut chain = chain();
    let [alice, ..] = DevAccount::funded();
    let many: Vec<Bytes> = (1..=100).map(|nonce| encode(transfer(&alice, nonce, U256::from(1)))).collect();

    let answers = send(&mut chain, &many);

    assert_eq!(chain.counts().waiting, 64);
    assert_eq!(answers[64].error, "txpool is full");
    chain.advance(NOW + 3_600).expect("there is room");
    assert_eq!(chain.counts().waiting, 64);
    chain.advance(NOW + 3_602).expect("there is room");
    assert_eq!(chain.counts().waiting, 0, "what waits for an hour is let go");
}

#[test]
fn contracts_can_be_created_and_destroyed_by_senders() {
    let mut chain = chain();
    let [alice, ..] = DevAccount::funded();
    // Init code that returns `33ff` (CALLER SELFDESTRUCT): PUSH2 33ff, PUSH1 0, MSTORE, PUSH1 2, PUSH1 30, RETURN.
    let init = Bytes::from_static(&[0x61, 0x33, 0xff, 0x60, 0, 0x52, 0x60, 2, 0x60, 30, 0xf3]);
    let create = TxEip1559 {
        chain_id: genesis::CHAIN_ID,
        gas_limit: 200_000,
        max_fee_per_gas: 5_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Create,
        input: init,
        ..TxEip1559::default()
    };
    let contract = alice.address.create(0);
    let call = TxEip1559 { nonce: 1, to: TxKind::Call(contract), input: Bytes::new(), ..create.clone() };

    send(&mut chain, &[encode(alice.sign(create))]);
    chain.advance(NOW + 2).expect("there is room");
    let born = chain.head_update().head.hash;
    send(&mut chain, &[encode(alice.sign(call))]);
    chain.advance(NOW + 4).expect("there is room");
    let gone = chain.head_update().head.hash;

    let code = |block| CodeRequest { block, account: AccountKey::Address(contract) };
    assert_eq!(
        chain.answer(Query::Codes(vec![code(born)])),
        Ok(Answer::Codes(vec![Bytes::from_static(&[0x33, 0xff])]))
    );
    assert_eq!(chain.answer(Query::Codes(vec![code(gone)])), Ok(Answer::Codes(Vec::new())));
}

#[test]
fn an_answer_stops_at_two_mebibytes() {
    let mut chain = chain();
    let [alice, ..] = DevAccount::funded();
    // Init code that returns the largest code, 24,576 zeros: PUSH2 6000, PUSH1 0, RETURN.
    let create = TxEip1559 {
        chain_id: genesis::CHAIN_ID,
        gas_limit: 6_000_000,
        max_fee_per_gas: 5_000_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Create,
        input: Bytes::from_static(&[0x61, 0x60, 0, 0x60, 0, 0xf3]),
        ..TxEip1559::default()
    };
    send(&mut chain, &[encode(alice.sign(create))]);
    chain.advance(NOW + 2).expect("there is room");
    let account = AccountKey::Address(alice.address.create(0));
    let request = CodeRequest { block: chain.head_update().head.hash, account };

    let Ok(Answer::Codes(codes)) = chain.answer(Query::Codes(vec![request; 200])) else { panic!("no codes") };

    assert_eq!(codes.len(), (2 * 1024 * 1024_usize).div_ceil(24_576));
}

#[test]
fn memory_is_bounded_over_two_thousand_blocks() {
    let mut chain =
        DevChain::new(Config { bodies_kept: 500, ..Config::at(NOW) }).expect("the configuration is good");
    for block in 1..=2_000 {
        chain.advance(NOW + 2 * block).expect("there is room");
    }

    let counts = chain.counts();
    assert_eq!((counts.headers, counts.bodies, counts.states), (2_065, 500, 128));
    assert!(counts.included <= 3 * 500, "{counts:?}");
    let state = proof_of(&chain, 2_064 - 127);
    let stale = proof_of(&chain, 2_064 - 128);
    assert!(
        matches!(chain.answer(Query::Proofs(vec![state.clone()])), Ok(Answer::Proofs(nodes)) if !nodes.is_empty())
    );
    assert_eq!(chain.answer(Query::Proofs(vec![stale.clone()])), Err(BackendError::NotServed));
    assert_eq!(
        chain.answer(Query::Proofs(vec![stale, state.clone()])),
        chain.answer(Query::Proofs(vec![state]))
    );
    let (old, _) = chain.header(1_564).expect("headers are kept");
    assert_eq!(chain.answer(Query::Bodies(vec![old])), Err(BackendError::NotServed));
    assert_eq!(chain.answer(Query::Receipts(vec![old])), Err(BackendError::NotServed));
    assert_eq!(chain.export_rlp(), Err(DevError::Pruned { number: 1 }));
}

#[test]
fn a_reorganisation_is_told_by_its_depth_and_keeps_what_was_sent() {
    let mut chain = chain();
    let [alice, ..] = DevAccount::funded();
    let sent = encode(transfer(&alice, 0, U256::from(5)));
    send(&mut chain, std::slice::from_ref(&sent));
    for block in 1..=4 {
        chain.advance(NOW + 2 * block).expect("there is room");
    }
    let before = chain.head_update();
    let rolled_back = status(&mut chain, &sent).inclusion.expect("it is included").block;

    assert_eq!(chain.reorg(4, NOW + 9), Err(DevError::TooEarly { now: NOW + 9, earliest: NOW + 10 }));
    chain.reorg(4, NOW + 10).expect("the states are there");
    let after = chain.head_update();

    assert_eq!((after.head.number, after.head.td), (before.head.number + 1, before.head.td + U256::from(2)));
    assert_eq!(after.reorg_depth(&before), 4);
    let inclusion = status(&mut chain, &sent).inclusion.expect("it is included again");
    assert_ne!(inclusion.block, rolled_back);
    assert_eq!(inclusion.number, 65);
    // The old branch can still be walked, down to where it joins, but not upwards.
    let old = HashOrNumber::Hash(before.head.hash);
    assert_eq!(numbers(&mut chain, old, 6, 0, true), [68, 67, 66, 65, 64, 63]);
    assert_eq!(numbers(&mut chain, old, 2, 4, true), [68, 63]);
    assert_eq!(numbers(&mut chain, old, 6, 0, false), [68]);
    assert_eq!(chain.counts().side_blocks, 4);
}

#[test]
fn a_reorganisation_has_a_deepest_point() {
    let mut chain =
        DevChain::new(Config { states_kept: 10, ..Config::at(NOW) }).expect("the configuration is good");

    assert_eq!(chain.reorg(10, NOW + 100), Err(DevError::TooDeep { depth: 10, most: 9 }));
    assert!(chain.reorg(9, NOW + 100).is_ok());
    assert_eq!(
        chain.reorg(u64::MAX, NOW + 200).map_err(|error| matches!(error, DevError::TooDeep { .. })),
        Err(true)
    );
    for round in 2..200 {
        chain.reorg(3, NOW + 100 * round).expect("the states are there");
    }
    assert!(chain.counts().side_blocks <= 256, "{:?}", chain.counts());
    assert!(chain.counts().states <= 10 + 10 * 3, "{:?}", chain.counts());
}

#[test]
fn a_sample_names_what_is_there() {
    let mut chain = chain();
    chain.advance(NOW + 2).expect("there is room");

    let sample = chain.sample().expect("the traffic flows");

    assert_eq!(sample.block, chain.head_update().head.hash);
    assert_eq!(sample.slot, U256::from(65));
    assert_eq!(sample.value, U256::from_be_slice(DevAccount::traffic().address.as_slice()));
    let Ok(Answer::TransactionStatus(found)) =
        chain.answer(Query::TransactionStatus(vec![sample.transaction]))
    else {
        panic!("no status")
    };
    assert_eq!(found[0].inclusion.expect("it is included").number, 65);
}

#[tokio::test(start_paused = true)]
async fn a_spawned_node_announces_a_block_every_period_until_it_is_stopped() {
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let node = DevBackend::spawn(Config::at(NOW), &tracker, stop.clone()).expect("the configuration is good");
    let mut heads = node.heads();
    let number = |head: &Option<Arc<causeway_wire::HeadUpdate>>| {
        head.as_ref().map(|head| (head.head.number, head.timestamp))
    };
    assert_eq!(number(&heads.borrow_and_update()), Some((64, NOW)));

    for block in 1..=3 {
        heads.changed().await.expect("the node lives");
        assert_eq!(number(&heads.borrow_and_update()), Some((64 + block, NOW + 2 * block)));
    }
    let answer =
        node.answer(Query::Headers { start: HashOrNumber::Number(67), amount: 1, skip: 0, reverse: false });
    assert!(matches!(answer.await, Ok(Answer::Headers(headers)) if headers.len() == 1));

    stop.cancel();
    tracker.close();
    tokio::time::timeout(Duration::from_secs(1), tracker.wait()).await.expect("the task ends");
    assert_eq!(node.head().head.number, 67);
}

fn chain() -> DevChain {
    DevChain::new(Config::at(NOW)).expect("the configuration is good")
}

fn numbers(chain: &mut DevChain, start: HashOrNumber, amount: u64, skip: u64, reverse: bool) -> Vec<u64> {
    let Ok(Answer::Headers(headers)) = chain.answer(Query::Headers { start, amount, skip, reverse }) else {
        panic!("no headers")
    };
    let decode = |bytes: &Bytes| {
        alloy_rlp::decode_exact::<alloy_consensus::Header>(bytes).expect("it is a header").number
    };
    headers.iter().map(decode).collect()
}

fn transfer(from: &DevAccount, nonce: u64, value: U256) -> alloy_consensus::Signed<TxEip1559> {
    from.sign(TxEip1559 {
        chain_id: genesis::CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 5_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(Address::repeat_byte(9)),
        value,
        ..TxEip1559::default()
    })
}

fn foreign_signature(transaction: TxEip1559) -> Bytes {
    encode(transaction.into_signed(Signature::new(U256::ZERO, U256::ZERO, false)))
}

fn encode(signed: impl Into<TxEnvelope>) -> Bytes {
    signed.into().encoded_2718().into()
}

fn send(chain: &mut DevChain, transactions: &[Bytes]) -> Vec<TransactionStatus> {
    match chain.answer(Query::SendTransactions(transactions.to_vec())) {
        Ok(Answer::TransactionStatus(statuses)) => statuses,
        other => panic!("{other:?}"),
    }
}

fn status(chain: &mut DevChain, transaction: &Bytes) -> TransactionStatus {
    match chain.answer(Query::TransactionStatus(vec![keccak256(transaction)])) {
        Ok(Answer::TransactionStatus(mut statuses)) => statuses.remove(0),
        other => panic!("{other:?}"),
    }
}

fn proof_of(chain: &DevChain, number: u64) -> ProofRequest {
    let (block, _) = chain.header(number).expect("headers are kept");
    ProofRequest { block, account: None, key: keccak256(genesis::CONTRACT), from_level: 0 }
}
