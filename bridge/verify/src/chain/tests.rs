//! The header index: links, rules, reorgs, bounds, against geth's chains and a naive model.

use alloy_primitives::Address;
use causeway_wire::{Head, HeadUpdate};
use proptest::prelude::*;

use super::*;
use crate::chain_spec::Engine;
use crate::check::Lie;
use crate::seal::clique::CliqueFault;
use crate::vectors::{self, Vectors, decoded};

fn index(vectors: &Vectors, keep: usize) -> HeaderChain {
    HeaderChain::new(Arc::clone(&vectors.spec), Root::Genesis, keep).expect("a genesis")
}

/// A child of `parent` that keeps to the rules of an ethash chain without forks, made `seconds` later.
fn child(spec: &ChainSpec, parent: &Header, seconds: u64, mark: u8) -> Header {
    let timestamp = parent.timestamp + seconds;
    Header {
        parent_hash: parent.hash_slow(),
        number: parent.number + 1,
        timestamp,
        gas_limit: parent.gas_limit,
        ommers_hash: alloy_consensus::EMPTY_OMMER_ROOT_HASH,
        difficulty: crate::seal::ethash::expected_difficulty(&spec.forks, parent, timestamp),
        extra_data: vec![mark].into(),
        ..Header::default()
    }
}

/// `count` headers after `parent`, each `seconds` after the one before.
fn branch(spec: &ChainSpec, parent: &Header, count: usize, seconds: u64, mark: u8) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    for _ in 0..count {
        headers.push(child(spec, headers.last().unwrap_or(parent), seconds, mark));
    }
    headers
}

fn rlp(headers: &[Header]) -> Vec<Bytes> {
    headers.iter().map(|header| alloy_rlp::encode(header).into()).collect()
}

fn mordor() -> Arc<ChainSpec> {
    Arc::new(ChainSpec::builtin("mordor").expect("a built-in network"))
}

fn rule(result: Result<Inserted, HeaderError>) -> Rule {
    match result {
        Err(HeaderError::Rule { rule, .. }) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn chains_of_geth_are_followed_with_its_hashes_and_difficulties() {
    for vectors in [vectors::clique(), vectors::ethash()] {
        let mut chain = index(vectors, 1024);

        let inserted = chain.insert(&vectors.headers()).expect("geth's headers");

        assert_eq!(inserted, Inserted { new: 24, head_moved: true, reorg_depth: 0 });
        assert_eq!(chain.canonical(0).expect("genesis").0, vectors.genesis_hash);
        for block in &vectors.blocks {
            assert_eq!(chain.canonical(block.number), Some((block.hash, block.td)));
            assert_eq!(chain.number_of(&block.hash), Some(block.number));
            assert_eq!(chain.by_hash(&block.hash).expect("whole").rlp, block.header);
        }
        assert_eq!(chain.head().hash, vectors.head().hash);
        assert_eq!(chain.insert(&vectors.headers()), Ok(Inserted::default()));
    }
}

#[test]
fn seal_rule_says_what_is_checked() {
    assert_eq!(index(vectors::clique(), 8).seal_rule(), "clique");
    assert_eq!(index(vectors::ethash(), 8).seal_rule(), "ethash-difficulty");
}

#[test]
fn old_headers_are_kept_by_hash_and_recognised_by_their_bytes() {
    let vectors = vectors::clique();
    let mut chain = index(vectors, 4);
    chain.insert(&vectors.headers()).expect("geth's headers");

    let old = &vectors.blocks[9];
    assert!(chain.by_hash(&old.hash).is_none());
    assert!(chain.by_hash(&vectors.blocks[20].hash).is_some());
    assert!(chain.by_hash(&vectors.genesis_hash).is_some());
    assert_eq!(chain.entries.len(), 5);
    let known = chain.recognise(&old.header).expect("known");
    assert_eq!((known.hash, known.td, known.header.number), (old.hash, old.td, 10));
    let mut altered = old.header.to_vec();
    altered[40] ^= 1;
    assert!(matches!(chain.recognise(&altered.into()), Err(HeaderError::NotKnown { .. })));
}

#[test]
fn a_branch_too_far_back_is_neither_followed_nor_a_lie() {
    let spec = mordor();
    let main = branch(&spec, &spec.genesis, 12, 13, 0);
    let mut chain = HeaderChain::new(Arc::clone(&spec), Root::Genesis, 4).expect("a genesis");
    chain.insert(&rlp(&main)).expect("valid");

    let error = chain.insert(&rlp(&[child(&spec, &main[3], 1, 7)])).expect_err("too deep");

    assert_eq!(error, HeaderError::TooDeep { number: 5 });
    assert!(!error.is_lie());
}

#[test]
fn a_heavier_branch_takes_over_and_the_lighter_one_stays_known() {
    let spec = mordor();
    let slow = branch(&spec, &spec.genesis, 6, 20, 0);
    let fast = branch(&spec, &slow[2], 3, 2, 1);
    let mut chain = HeaderChain::new(Arc::clone(&spec), Root::Genesis, 100).expect("a genesis");
    chain.insert(&rlp(&slow)).expect("valid");
    let before = chain.head_update(Arc::from([]));

    let inserted = chain.insert(&rlp(&fast)).expect("valid");

    assert_eq!(inserted, Inserted { new: 3, head_moved: true, reorg_depth: 3 });
    assert_eq!(chain.head().header, fast[2]);
    assert_eq!(chain.head_update(Arc::from([])).reorg_depth(&before), 3);
    assert!(chain.by_hash(&slow[5].hash_slow()).is_some());
    assert!(!chain.is_canonical(&slow[5].hash_slow()));
    assert_eq!(chain.ancestor(&slow[5].hash_slow(), 1), Some(slow[4].hash_slow()));
    assert_eq!(chain.ancestor(&slow[5].hash_slow(), 4), Some(slow[1].hash_slow()));

    // And back again, once the old branch has grown heavier.
    let more = branch(&spec, &slow[5], 3, 20, 2);
    let back = chain.insert(&rlp(&more)).expect("valid");
    assert_eq!((back.head_moved, back.reorg_depth), (true, 3));
    assert_eq!(chain.canonical(5).expect("known").0, slow[4].hash_slow());
    assert_eq!(chain.lineage(2), [more[2].hash_slow(), more[1].hash_slow()]);
}

#[test]
fn an_equal_branch_does_not_take_over() {
    let spec = mordor();
    let first = branch(&spec, &spec.genesis, 2, 13, 0);
    let second = branch(&spec, &spec.genesis, 2, 13, 1);
    let mut chain = HeaderChain::new(spec, Root::Genesis, 100).expect("a genesis");
    chain.insert(&rlp(&first)).expect("valid");

    let inserted = chain.insert(&rlp(&second)).expect("valid");

    assert_eq!(inserted, Inserted { new: 2, head_moved: false, reorg_depth: 0 });
    assert_eq!(chain.head().header, first[1]);
}

#[test]
fn side_headers_are_bounded() {
    let spec = mordor();
    let main = branch(&spec, &spec.genesis, 2, 2, 0);
    let mut chain = HeaderChain::new(Arc::clone(&spec), Root::Genesis, 100).expect("a genesis");
    chain.insert(&rlp(&main)).expect("valid");

    let flood: Vec<Header> = (0..MAX_SIDE_HEADERS as u32 + 50)
        .map(|mark| Header {
            extra_data: mark.to_be_bytes().to_vec().into(),
            ..child(&spec, &spec.genesis, 13, 0)
        })
        .collect();
    chain.insert(&rlp(&flood)).expect("valid");

    assert_eq!(chain.side.len(), MAX_SIDE_HEADERS);
    assert_eq!(chain.entries.len(), MAX_SIDE_HEADERS + 3);
    assert_eq!(chain.head().header, main[1]);
}

#[test]
fn a_header_whose_parent_is_unknown_is_no_lie() {
    let vectors = vectors::clique();
    let mut chain = index(vectors, 8);

    let error = chain.insert(&[vectors.blocks[3].header.clone()]).expect_err("unknown parent");

    assert_eq!(error, HeaderError::UnknownParent { parent: vectors.blocks[2].hash, number: 4 });
    assert!(!error.is_lie());
    assert_eq!(chain.head().hash, vectors.genesis_hash);
}

#[test]
fn headers_before_a_wrong_one_stay() {
    let vectors = vectors::ethash();
    let mut chain = index(vectors, 8);
    let mut headers = vectors.headers();
    headers[3] = alloy_rlp::encode(Header { gas_used: u64::MAX, ..decoded(&headers[3]) }).into();

    let error = chain.insert(&headers).expect_err("gas used");

    assert!(error.is_lie());
    assert_eq!(chain.head().hash, vectors.blocks[2].hash);
}

/// The child of block `parent` of geth's ethash chain, changed.
fn changed(number: usize, change: impl Fn(&mut Header)) -> Rule {
    let vectors = vectors::ethash();
    let mut chain = index(vectors, 1024);
    chain.insert(&vectors.headers()[..number - 1]).expect("geth's headers");
    let mut header = decoded(&vectors.headers()[number - 1]);
    change(&mut header);
    rule(chain.insert(&rlp(&[header])))
}

#[test]
fn each_rule_is_kept() {
    assert_eq!(changed(5, |header| header.number += 1), Rule::Number { parent: 4 });
    assert!(matches!(changed(5, |header| header.timestamp = 1_600_000_000), Rule::Timestamp { .. }));
    assert!(matches!(changed(5, |header| header.timestamp += 30), Rule::Difficulty { .. }));
    assert!(matches!(changed(5, |header| header.difficulty += U256::ONE), Rule::Difficulty { .. }));
    assert!(matches!(
        changed(5, |header| header.gas_limit += header.gas_limit / 1024),
        Rule::GasLimit { .. }
    ));
    assert!(matches!(
        changed(5, |header| (header.gas_limit, header.gas_used) = (4999, 0)),
        Rule::GasLimit { .. }
    ));
    assert!(matches!(changed(5, |header| header.gas_used = header.gas_limit + 1), Rule::GasUsed { .. }));
    assert_eq!(changed(5, |header| header.extra_data = Bytes::new()), Rule::DaoExtra);
    assert_eq!(changed(14, |header| header.extra_data = vec![0; 33].into()), Rule::ExtraData { length: 33 });
    assert_eq!(
        changed(14, |header| header.base_fee_per_gas = Some(1_000_000_000)),
        Rule::ForkField { field: "base fee", due: false }
    );
    assert_eq!(
        changed(15, |header| header.base_fee_per_gas = None),
        Rule::ForkField { field: "base fee", due: true }
    );
    assert!(matches!(changed(15, |header| header.gas_limit /= 2), Rule::GasLimit { .. }));
    assert!(matches!(changed(15, |header| header.base_fee_per_gas = Some(7)), Rule::BaseFee { .. }));
    assert!(matches!(changed(20, |header| header.base_fee_per_gas = Some(7)), Rule::BaseFee { .. }));
    assert_eq!(
        changed(20, |header| header.withdrawals_root = Some(B256::ZERO)),
        Rule::ForkField { field: "withdrawals root", due: false }
    );
    assert_eq!(changed(20, |header| header.difficulty = U256::ZERO), Rule::StakeTooEarly);
}

#[test]
fn junk_and_oversized_headers_are_lies() {
    let vectors = vectors::clique();
    let mut chain = index(vectors, 8);
    let mut longer = vectors.blocks[0].header.to_vec();
    longer.push(0);

    assert!(matches!(rule(chain.insert(&[Bytes::from_static(&[0xc1])])), Rule::Malformed(_)));
    assert!(matches!(rule(chain.insert(&[longer.into()])), Rule::Malformed(_)));
    assert!(matches!(rule(chain.insert(&[vec![0; MAX_HEADER + 1].into()])), Rule::TooLarge { .. }));
}

#[test]
fn required_hashes_refuse_the_other_side_of_a_fork() {
    let mut spec = (*mordor()).clone();
    let (main, other) = (child(&spec, &spec.genesis, 13, 0), child(&spec, &spec.genesis, 13, 1));
    spec.required_hashes = BTreeMap::from([(1, main.hash_slow())]);
    let mut chain = HeaderChain::new(Arc::new(spec), Root::Genesis, 8).expect("a genesis");

    assert_eq!(rule(chain.insert(&rlp(&[other]))), Rule::RequiredHash { expected: main.hash_slow() });
    chain.insert(&rlp(&[main])).expect("the required one");
}

#[test]
fn proof_of_stake_links_after_the_terminal_difficulty_only() {
    let mut spec = (*mordor()).clone();
    let work = branch(&spec, &spec.genesis, 3, 13, 0);
    spec.terminal_total_difficulty = Some(spec.genesis.difficulty + work[0].difficulty + work[1].difficulty);
    let staked = |parent: &Header| Header { difficulty: U256::ZERO, ..child(&spec, parent, 12, 0) };
    let (early, first) = (staked(&work[0]), staked(&work[1]));
    let second = staked(&first);
    let mut chain = HeaderChain::new(Arc::new(spec.clone()), Root::Genesis, 8).expect("a genesis");
    chain.insert(&rlp(&work[..2])).expect("valid");

    assert_eq!(rule(chain.insert(&rlp(&[early]))), Rule::StakeTooEarly);
    assert!(matches!(rule(chain.insert(&rlp(&work[2..]))), Rule::Difficulty { .. }));
    assert_eq!(chain.seal_rule(), "ethash-difficulty");
    let inserted = chain.insert(&rlp(&[first, second.clone()])).expect("valid");

    assert_eq!(inserted, Inserted { new: 2, head_moved: true, reorg_depth: 0 });
    assert_eq!(chain.head().header, second);
    assert_eq!(chain.seal_rule(), "proof-of-stake-unchecked");
    let with_nonce = Header { nonce: alloy_primitives::B64::repeat_byte(1), ..staked(&second) };
    assert_eq!(rule(chain.insert(&rlp(&[with_nonce]))), Rule::Stake { field: "nonce" });
}

#[test]
fn a_checkpoint_has_to_have_its_hash() {
    let vectors = vectors::clique();
    let block = &vectors.blocks[9];
    let root = |hash| Root::Checkpoint { hash, rlp: block.header.clone(), td: None };

    assert!(HeaderChain::new(Arc::clone(&vectors.spec), root(block.hash), 8).is_ok());
    assert_eq!(
        HeaderChain::new(Arc::clone(&vectors.spec), root(B256::ZERO), 8).expect_err("another hash"),
        HeaderError::Checkpoint { expected: B256::ZERO, found: block.hash }
    );
}

fn from_checkpoint(vectors: &Vectors, number: usize, td: Option<U256>) -> HeaderChain {
    let block = &vectors.blocks[number - 1];
    let root = Root::Checkpoint { hash: block.hash, rlp: block.header.clone(), td };
    HeaderChain::new(Arc::clone(&vectors.spec), root, 64).expect("a checkpoint")
}

#[test]
fn a_clique_checkpoint_at_an_epoch_gives_the_signers() {
    let vectors = vectors::clique();
    let mut chain = from_checkpoint(vectors, 10, Some(U256::from(18)));

    assert_eq!(chain.seal_rule(), "clique");
    chain.insert(&vectors.headers()[10..]).expect("geth's headers");
    assert_eq!(chain.head().td, vectors.head().td);
    assert_eq!((chain.root_number(), chain.canonical(9)), (10, None));
}

#[test]
fn a_clique_checkpoint_between_epochs_is_named_unanchored() {
    let vectors = vectors::clique();
    let mut chain = from_checkpoint(vectors, 7, None);

    chain.insert(&vectors.headers()[7..]).expect("geth's headers");

    assert_eq!(chain.seal_rule(), "clique-unanchored");
    assert!(!chain.knows_total_difficulty());
    // Counted from zero, and so not compared with what others announce.
    assert_eq!(chain.head().td, vectors.head().td - U256::from(12));
    let head = vectors.head();
    assert_eq!(chain.check_announced(&Head { hash: head.hash, number: 24, td: head.td }), Ok(()));
    // From the next epoch on the listed signers count.
    let entry = chain.entries.get(&vectors.blocks[9].hash).expect("whole");
    assert_eq!(entry.signers.as_ref().expect("signers").signers().count(), 4);
    let mut chain = from_checkpoint(vectors, 7, None);
    let mut unsigned = decoded(&vectors.blocks[7].header);
    let mut extra = unsigned.extra_data.to_vec();
    extra[32..].fill(0xff);
    unsigned.extra_data = extra.into();
    assert_eq!(rule(chain.insert(&rlp(&[unsigned]))), Rule::Clique(CliqueFault::Signature));
}

#[test]
fn an_announced_head_is_compared_with_the_known_block() {
    let vectors = vectors::ethash();
    let chain = vectors.chain();
    let block = &vectors.blocks[11];
    let head = Head { hash: block.hash, number: 12, td: block.td };

    assert_eq!(chain.check_announced(&head), Ok(()));
    assert!(matches!(
        chain.check_announced(&Head { number: 13, ..head }),
        Err(Lie::AnnouncedNumber { announced: 13, number: 12, .. })
    ));
    let td = block.td + U256::ONE;
    assert!(matches!(chain.check_announced(&Head { td, ..head }), Err(Lie::AnnouncedTd { .. })));
    assert_eq!(chain.check_announced(&Head { hash: B256::ZERO, number: 5, td }), Ok(()));
}

#[test]
fn lineage_and_ancestors_follow_the_canonical_chain() {
    let vectors = vectors::ethash();
    let chain = vectors.chain();

    let lineage = chain.lineage(HeadUpdate::LINEAGE);
    assert_eq!(lineage.len(), 25);
    assert_eq!(lineage[0], vectors.head().hash);
    assert_eq!(lineage[24], vectors.genesis_hash);
    assert_eq!(chain.ancestor(&lineage[0], 5), Some(lineage[5]));
    assert_eq!(chain.ancestor(&lineage[0], 25), None);
}

#[test]
fn real_mainnet_headers_keep_to_the_difficulty_rule() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/vectors/mainnet-headers.json")).expect("JSON");
    let number = |value: &serde_json::Value| vectors::parse::<U256>(value).to::<u64>();
    let headers = vectors::list(&file["headers"], |value| {
        let header = Header {
            parent_hash: vectors::parse(&value["parentHash"]),
            ommers_hash: vectors::parse(&value["uncles"]),
            beneficiary: vectors::parse::<Address>(&value["miner"]),
            state_root: vectors::parse(&value["stateRoot"]),
            transactions_root: alloy_consensus::EMPTY_ROOT_HASH,
            receipts_root: alloy_consensus::EMPTY_ROOT_HASH,
            difficulty: vectors::parse(&value["difficulty"]),
            number: number(&value["number"]),
            gas_limit: number(&value["gasLimit"]),
            timestamp: number(&value["timestamp"]),
            extra_data: vectors::parse(&value["extraData"]),
            mix_hash: vectors::parse(&value["mixHash"]),
            nonce: vectors::parse(&value["nonce"]),
            ..Header::default()
        };
        assert_eq!(header.hash_slow(), vectors::parse::<B256>(&value["hash"]));
        (header, vectors::parse::<U256>(&value["td"]))
    });
    let [(parent, td), (child, child_td)] = headers.as_slice() else { panic!("two headers") };
    let spec = Arc::new(ChainSpec::builtin("mainnet").expect("a built-in network"));
    assert_eq!(spec.engine, Engine::Ethash);
    let root =
        Root::Checkpoint { hash: parent.hash_slow(), rlp: alloy_rlp::encode(parent).into(), td: Some(*td) };
    let mut chain = HeaderChain::new(spec, root, 8).expect("a checkpoint");

    chain.insert(&rlp(std::slice::from_ref(child))).expect("a real block");

    assert_eq!(chain.head().td, *child_td);
}

/// A tree of headers on mordor's genesis: each the child of an earlier one, so many seconds later.
fn tree(spec: &ChainSpec, shape: &[(prop::sample::Index, u64)]) -> Vec<Header> {
    let mut headers = vec![spec.genesis.clone()];
    for (mark, (parent, seconds)) in shape.iter().enumerate() {
        // Mostly the last header's child, so that branches grow.
        let last = headers.len() - 1;
        let parent = if seconds % 3 == 0 { parent.index(headers.len()) } else { last };
        headers.push(child(spec, &headers[parent], *seconds, mark as u8));
    }
    headers
}

/// The branch that ends in the header with most total difficulty, the first of equals; genesis first.
fn heaviest(headers: &[Header]) -> Vec<&Header> {
    let by_hash: BTreeMap<B256, &Header> =
        headers.iter().map(|header| (header.hash_slow(), header)).collect();
    let line = |header: &Header| {
        let mut line = vec![by_hash[&header.hash_slow()]];
        while let Some(parent) = by_hash.get(&line[line.len() - 1].parent_hash) {
            line.push(parent);
        }
        line.reverse();
        line
    };
    let td = |header: &Header| line(header).iter().map(|header| header.difficulty).sum::<U256>();
    let best = headers.iter().rev().max_by_key(|header| td(header)).expect("genesis");
    line(best)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever byte of a signed header is altered, the header is refused. (The other signature of the same
    /// signer over the same header, `n - s`, takes more than one byte.)
    #[test]
    fn no_altered_clique_header_is_taken(number in 0_usize..24, at in any::<prop::sample::Index>(), bits in 1..=255_u8) {
        let vectors = vectors::clique();
        let mut chain = index(vectors, 64);
        chain.insert(&vectors.headers()[..number]).expect("geth's headers");
        let mut header = vectors.headers()[number].to_vec();
        let at = at.index(header.len());
        header[at] ^= bits;

        prop_assert!(chain.insert(&[header.into()]).is_err());
        prop_assert_eq!(chain.head().header.number, number as u64);
    }

    /// Without proof of work an altered header may be a possible one, but never the one that it was.
    #[test]
    fn no_altered_ethash_header_is_recognised(number in 0_usize..24, at in any::<prop::sample::Index>(), bits in 1..=255_u8) {
        let vectors = vectors::ethash();
        let chain = vectors.chain();
        let mut header = vectors.headers()[number].to_vec();
        let at = at.index(header.len());
        header[at] ^= bits;

        prop_assert!(chain.recognise(&header.into()).is_err());
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let mut chain = HeaderChain::new(mordor(), Root::Genesis, 8).expect("a genesis");
        prop_assert!(chain.insert(&[bytes.into()]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However branches grow and overtake each other, the index holds the heaviest one.
    #[test]
    fn the_heaviest_branch_is_canonical(
        shape in prop::collection::vec((any::<prop::sample::Index>(), 1_u64..60), 1..40), keep in 1_usize..50
    ) {
        let spec = mordor();
        let headers = tree(&spec, &shape);
        let mut chain = HeaderChain::new(Arc::clone(&spec), Root::Genesis, 64).expect("a genesis");
        let mut short = HeaderChain::new(spec, Root::Genesis, keep).expect("a genesis");
        for (count, header) in headers.iter().enumerate().skip(1) {
            let before = chain.head_update(Arc::from([]));
            let inserted = chain.insert(&rlp(std::slice::from_ref(header))).expect("valid");

            let line = heaviest(&headers[..=count]);
            prop_assert_eq!(&chain.head().header, line[line.len() - 1]);
            prop_assert_eq!(chain.canonical.len(), line.len());
            for header in &line {
                prop_assert_eq!(chain.canonical(header.number).expect("known").0, header.hash_slow());
                prop_assert_eq!(chain.number_of(&header.hash_slow()), Some(header.number));
            }
            prop_assert_eq!(chain.numbers.len(), line.len());
            prop_assert_eq!(chain.entries.len(), count + 1);
            prop_assert_eq!(chain.side.len(), count + 1 - line.len());
            prop_assert_eq!(inserted.reorg_depth, chain.head_update(Arc::from([])).reorg_depth(&before));

            // With a short memory deep branches may be refused, but what is there hangs together.
            let known = short.insert(&rlp(std::slice::from_ref(header)));
            prop_assert!(known.is_ok() || !known.is_err_and(|error| error.is_lie()));
            prop_assert!(short.entries.contains_key(&short.head().hash));
            prop_assert_eq!(short.canonical.last().expect("root").0, short.head().hash);
            prop_assert_eq!(short.numbers.len(), short.canonical.len());
            let whole = short.entries.len() - short.side.len();
            prop_assert!(whole <= keep + 1, "{whole} whole headers, keep {keep}");
            for number in (short.head().header.number + 1).saturating_sub(keep as u64)..=short.head().header.number {
                let hash = short.canonical(number).expect("known").0;
                if let Some(known) = short.by_hash(&hash) && number > 0 {
                    prop_assert_eq!(known.header.parent_hash, short.canonical(number - 1).expect("known").0);
                }
            }
        }
    }
}
