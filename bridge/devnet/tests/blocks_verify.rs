//! Everything that the development chain answers passes the checks that light peers and the relay make.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256, b256, keccak256};
use causeway_devnet::{Config, DevAccount, DevChain, genesis, genesis_json};
use causeway_verify::check::{self, Shown};
use causeway_verify::{ChainSpec, Engine, HeaderChain, Root};
use causeway_wire::{AccountKey, Answer, CodeRequest, HashOrNumber, ProofRequest, Query};

const NOW: u64 = 1_750_000_000;

#[test]
fn genesis_is_the_one_that_the_json_describes() {
    let chain = chain(0);
    let spec = spec();

    let (hash, header) = chain.header(0).expect("genesis exists");

    assert_eq!(header.state_root, spec.genesis.state_root);
    assert_eq!((header, hash), (spec.genesis.clone(), spec.genesis_hash));
    assert_eq!(spec.chain_id, genesis::CHAIN_ID);
    assert_eq!(spec.engine, Engine::Clique { period: genesis::PERIOD, epoch: genesis::EPOCH });
}

/// The chain of `examples/export.rs`: go-ethereum v1.10.26's `core.BlockChain.InsertChain` executed and accepted
/// both branches, and computed the same genesis. A change of these hashes calls for doing that again.
#[test]
fn blocks_are_still_those_that_geth_accepted() {
    let now = genesis::TIMESTAMP + 10_000;
    let mut chain =
        DevChain::new(Config { history: 199, ..Config::at(now) }).expect("the configuration is good");

    let head = chain.advance(now + 7).expect("there is room").expect("it is time");
    let branch = chain.reorg(5, now + 20).expect("the states are there");

    let genesis = chain.header(0).expect("genesis exists").0;
    assert_eq!(genesis, b256!("7dd632ed7c3438ba9a33171cdbf3ad8950dfb449bb88684094d8e9de4320f01c"));
    assert_eq!(head, b256!("634e9a6bfda56eefb0cb9306e1ed6d517fc1c69d228c6001e0116008ef3d73a2"));
    assert_eq!(branch, b256!("b45e16c9967b795e0f6cb831462f8d40eb253549474bba2ea3639cb78f94b6f3"));
}

#[test]
fn headers_and_reorganisations_are_accepted_from_genesis() {
    let mut chain = chain(64);
    let mut index = HeaderChain::new(spec(), Root::Genesis, 1_000).expect("genesis is its own hash");

    index.insert(&headers(&mut chain, 1)).expect("every header keeps the rules");
    assert_eq!(
        (index.head().hash, index.head().td),
        (chain.head_update().head.hash, chain.head_update().head.td)
    );

    chain.reorg(7, NOW + 2).expect("the states are there");
    let inserted = index.insert(&headers(&mut chain, 58)).expect("the new branch keeps the rules");
    assert_eq!((inserted.new, inserted.reorg_depth), (8, 7));
    assert_eq!(
        (index.head().hash, index.head().td),
        (chain.head_update().head.hash, chain.head_update().head.td)
    );
}

#[test]
fn bodies_and_receipts_of_all_blocks_fit_their_headers() {
    let mut chain = chain(64);
    let blocks: Vec<(B256, Header)> = (0..=64).filter_map(|number| chain.header(number)).collect();
    let hashes: Vec<B256> = blocks.iter().map(|(hash, _)| *hash).collect();

    let Ok(Answer::Bodies(bodies)) = chain.answer(Query::Bodies(hashes.clone())) else { panic!("no bodies") };
    let Ok(Answer::Receipts(receipts)) = chain.answer(Query::Receipts(hashes)) else { panic!("no receipts") };

    assert_eq!((bodies.len(), receipts.len()), (65, 65));
    for ((_, header), (body, receipts)) in blocks.iter().zip(bodies.iter().zip(&receipts)) {
        check::body(header, body).expect("the body fits");
        check::receipts(header, receipts).expect("the receipts fit");
        let receipts = check::decode_receipts(receipts).expect("the types are known");
        let bloom = receipts
            .iter()
            .fold(alloy_primitives::Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        assert_eq!(bloom, header.logs_bloom);
        assert!(header.number == 0 || receipts.iter().any(|receipt| !receipt.logs().is_empty()));
    }
}

#[test]
fn accounts_slots_and_code_of_all_states_are_proven() {
    let mut chain = chain(64);
    for number in 0..=64 {
        let (block, header) = chain.header(number).expect("it exists");
        let contract = Some(AccountKey::Hash(keccak256(genesis::CONTRACT)));
        let account = |address: Address| request(block, None, keccak256(address));
        let slot = |slot: u64| request(block, contract, keccak256(B256::from(U256::from(slot))));
        let requests = [
            account(genesis::CONTRACT),
            account(DevAccount::traffic().address),
            account(Address::repeat_byte(0x77)),
            slot(number),
            slot(number + 1),
            request(block, contract, keccak256(B256::from(genesis::GENESIS_SLOT))),
            request(
                block,
                Some(AccountKey::Address(genesis::CONTRACT)),
                keccak256(B256::from(genesis::GENESIS_SLOT)),
            ),
        ];

        let nodes = proofs(&mut chain, &requests);
        let shown =
            check::proofs(&requests, &nodes, &|_| Some(header.state_root), &|_, _| None).expect("no lie");

        let Shown::Present(contract_account) = &shown[0] else { panic!("the contract is there") };
        let contract_account = check::account(contract_account).expect("it is an account");
        let Shown::Present(traffic) = &shown[1] else { panic!("the sender is there") };
        assert!(check::account(traffic).expect("it is an account").nonce >= 2 * number);
        assert_eq!(shown[2], Shown::Absent);
        assert_eq!(shown[3] == Shown::Absent, number == 0);
        assert_eq!(shown[4], Shown::Absent);
        assert_eq!(shown[5], Shown::Present(alloy_rlp::encode(genesis::GENESIS_VALUE).into()));
        assert_eq!(shown[6], shown[5]);
        let code = CodeRequest { block, account: AccountKey::Address(genesis::CONTRACT) };
        let Ok(Answer::Codes(codes)) = chain.answer(Query::Codes(vec![code])) else { panic!("no code") };
        assert_eq!(codes.iter().map(keccak256).collect::<Vec<_>>(), [contract_account.code_hash]);

        // What an asker already has is left out, just as a relay would prune it from the whole proof.
        let mut known = requests;
        for (level, request) in (0..).zip(&mut known) {
            request.from_level = level % 3;
        }
        let root = |request: &ProofRequest| {
            Some(if request.account.is_some() { contract_account.storage_root } else { header.state_root })
        };
        assert_eq!(proofs(&mut chain, &known), check::prune(&known, &nodes, &root));
    }
}

fn chain(history: u64) -> DevChain {
    DevChain::new(Config { history, ..Config::at(NOW) }).expect("the configuration is good")
}

fn spec() -> Arc<ChainSpec> {
    Arc::new(ChainSpec::from_genesis_json("dev", &genesis_json()).expect("the genesis is good"))
}

fn headers(chain: &mut DevChain, from: u64) -> Vec<Bytes> {
    let query = Query::Headers { start: HashOrNumber::Number(from), amount: 192, skip: 0, reverse: false };
    let Ok(Answer::Headers(headers)) = chain.answer(query) else { panic!("no headers") };
    headers
}

fn request(block: B256, account: Option<AccountKey>, key: B256) -> ProofRequest {
    ProofRequest { block, account, key, from_level: 0 }
}

fn proofs(chain: &mut DevChain, requests: &[ProofRequest]) -> Vec<Bytes> {
    let Ok(Answer::Proofs(nodes)) = chain.answer(Query::Proofs(requests.to_vec())) else {
        panic!("no proofs")
    };
    nodes
}
