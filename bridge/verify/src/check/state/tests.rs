//! State proofs: geth's pass, altered, cut and padded ones do not.

use alloy_primitives::KECCAK256_EMPTY;
use causeway_wire::AccountKey;
use proptest::prelude::*;

use super::*;
use crate::vectors::{self, Vectors, decoded};

fn state_root(vectors: &Vectors) -> B256 {
    decoded(&vectors.head().header).state_root
}

/// Checks an answer to `requests` under the head of geth's chain.
fn check(vectors: &Vectors, requests: &[ProofRequest], nodes: &[Bytes]) -> Result<Vec<Shown>, Lie> {
    let (head, state) = (vectors.head().hash, state_root(vectors));
    let contract = keccak256(vectors.contract);
    let storage = vectors.proofs.iter().find(|proof| proof.request.account.is_some()).expect("a slot").root;
    proofs(requests, nodes, &|block| (*block == head).then_some(state), &|block, account| {
        (*block == head && *account == contract).then_some(storage)
    })
}

#[test]
fn single_proofs_of_geth_show_presence_and_absence() {
    for vectors in [vectors::clique(), vectors::ethash()] {
        for proof in &vectors.proofs {
            let shown = check(vectors, std::slice::from_ref(&proof.request), &proof.nodes);

            let expected =
                if proof.value.is_empty() { Shown::Absent } else { Shown::Present(proof.value.clone()) };
            assert_eq!(shown, Ok(vec![expected]));
        }
        let absent = vectors.proofs.iter().filter(|proof| proof.value.is_empty()).count();
        assert!(absent >= 3);
    }
}

#[test]
fn a_real_mainnet_account_is_proven() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/vectors/mainnet-headers.json")).expect("JSON");
    let root: B256 = vectors::parse(&file["headers"][1]["stateRoot"]);
    let proof = &file["proof"];
    let mut nodes = NodeSet::new(&vectors::list(&proof["nodes"], vectors::parse)).expect("nodes");
    let address: alloy_primitives::Address = vectors::parse(&proof["address"]);

    let Ok(Shown::Present(value)) = nodes.walk(root, keccak256(address).as_slice()) else {
        panic!("an account")
    };

    let account = account(&value).expect("an account");
    assert_eq!(account.balance, vectors::parse::<U256>(&proof["balance"]));
    assert_eq!(Some(account.nonce), proof["nonce"].as_u64());
    assert_eq!(nodes.all_used(), Ok(()));
}

#[test]
fn accounts_and_slots_are_read_from_their_values() {
    let vectors = vectors::clique();
    let value = |at: usize| &vectors.proofs[at].value;

    let contract = account(value(1)).expect("an account");
    assert_eq!(contract.code_hash, keccak256(&vectors.code));
    assert_eq!(contract.storage_root, vectors.proofs[4].root);
    let plain = account(value(3)).expect("an account");
    assert_eq!((plain.balance, plain.code_hash), (U256::from(3 * 1_000_000_007_u64), KECCAK256_EMPTY));
    assert_eq!(plain.storage_root, EMPTY_ROOT_HASH);
    assert_eq!(slot_value(value(4)), Ok(U256::from(7)));
    assert!(account(value(4)).is_err());
    assert!(slot_value(value(1)).is_err());
}

fn together(vectors: &Vectors) -> Vec<ProofRequest> {
    [1, 0, 4, 5, 8].map(|at| vectors.proofs[at].request.clone()).into()
}

#[test]
fn an_answer_with_several_paths_is_checked_as_one() {
    for vectors in [vectors::clique(), vectors::ethash()] {
        let shown = check(vectors, &together(vectors), &vectors.together).expect("geth's answer");

        assert_eq!(shown[0], Shown::Present(vectors.proofs[1].value.clone()));
        assert_eq!(shown[3], Shown::Present(vectors.proofs[5].value.clone()));
        assert_eq!(shown[4], Shown::Absent);
    }
}

#[test]
fn an_account_proven_in_the_same_answer_gives_its_storage_root() {
    let vectors = vectors::clique();
    let state = state_root(vectors);

    let shown = proofs(&together(vectors), &vectors.together, &|_| Some(state), &|_, _| None);

    assert_eq!(shown.expect("geth's answer")[2], Shown::Present(vectors.proofs[4].value.clone()));
}

#[test]
fn a_path_without_a_known_root_is_left_out_without_judgement() {
    let vectors = vectors::clique();
    let slot = &vectors.proofs[4];

    let shown = proofs(std::slice::from_ref(&slot.request), &slot.nodes, &|_| None, &|_, _| None);

    assert_eq!(shown, Ok(vec![Shown::LeftOut]));
}

#[test]
fn storage_of_an_absent_account_is_absent() {
    let vectors = vectors::clique();
    let absent = &vectors.proofs[2];
    let slot = ProofRequest {
        account: Some(AccountKey::Hash(absent.request.key)),
        key: B256::ZERO,
        ..absent.request.clone()
    };
    let state = state_root(vectors);

    let shown = proofs(&[absent.request.clone(), slot], &absent.nodes, &|_| Some(state), &|_, _| None);

    assert_eq!(shown, Ok(vec![Shown::Absent, Shown::Absent]));
}

#[test]
fn left_out_useless_and_double_nodes_are_noticed() {
    let vectors = vectors::clique();
    let proof = &vectors.proofs[0];
    let request = std::slice::from_ref(&proof.request);

    assert_eq!(check(vectors, request, &[]), Ok(vec![Shown::LeftOut]));
    let [missing @ .., _] = proof.nodes.as_slice() else { panic!("nodes") };
    assert!(matches!(check(vectors, request, missing), Err(Lie::UselessNode { .. })));
    assert!(matches!(check(vectors, request, &vectors.together), Err(Lie::UselessNode { .. })));
    let mut double = proof.nodes.clone();
    double.push(proof.nodes[0].clone());
    let hash = keccak256(&proof.nodes[0]);
    assert_eq!(check(vectors, request, &double), Err(Lie::DuplicateNode { hash }));
    // One item of two left out: its part is absent, the rest is used.
    let both = [proof.request.clone(), vectors.proofs[1].request.clone()];
    let shown = check(vectors, &both, &proof.nodes).expect("a part of the answer");
    assert_eq!(shown, [Shown::Present(proof.value.clone()), Shown::LeftOut]);
}

#[test]
fn an_empty_trie_needs_no_nodes() {
    let mut set = NodeSet::new(&[]).expect("no nodes");
    assert_eq!(set.walk(EMPTY_ROOT_HASH, &[1; 32]), Ok(Shown::Absent));
    assert_eq!(set.all_used(), Ok(()));
}

#[test]
fn small_nodes_stand_inside_their_parents() {
    // Two leaves under a branch, all shorter than 32 bytes: keys 0x10 and 0x20, values 'a' and 'b'.
    let branch = {
        let mut items = vec![0x80; 17];
        items.splice(2..3, [0xc2, 0x30, b'b']);
        items.splice(1..2, [0xc2, 0x30, b'a']);
        let mut node = vec![0xc0 + items.len() as u8];
        node.extend(items);
        Bytes::from(node)
    };
    let root = keccak256(&branch);
    let mut set = NodeSet::new(&[branch]).expect("one node");

    assert_eq!(set.walk(root, &[0x10]), Ok(Shown::Present(Bytes::from_static(b"a"))));
    assert_eq!(set.walk(root, &[0x20]), Ok(Shown::Present(Bytes::from_static(b"b"))));
    assert_eq!(set.walk(root, &[0x21]), Ok(Shown::Absent));
    assert_eq!(set.walk(root, &[0x30]), Ok(Shown::Absent));
    assert_eq!(set.walk(root, &[]), Ok(Shown::Absent));
    assert_eq!(set.all_used(), Ok(()));
}

#[test]
fn malformed_nodes_are_lies_not_panics() {
    for node in [
        &[][..],
        &[0xc0],
        &[0xc1, 0x80],
        &[0xc2, 0x80, 0x80],
        &[0xc2, 0x00, 0x80],
        &[0xc2, 0x40, 0x01],
        &[0xc2, 0x0f, 0x01],
        &[0xc2, 0x20, 0x80],
        &[0xc2, 0xc0, 0x01],
        &[0xc3, 0x01, 0x02, 0x03],
        &[0xc4, 0x82, 0x00, 0x12, 0x01],
        &[
            0xd1, 0xc0, 0x01, 0x01, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
            0x80, 0x80,
        ],
    ] {
        let mut set = NodeSet::new(&[Bytes::copy_from_slice(node)]).expect("one node");
        assert!(matches!(set.walk(keccak256(node), &[0x12; 32]), Err(Lie::Malformed { .. })), "{node:02x?}");
    }
}

#[test]
fn codes_are_matched_by_hash_in_order() {
    let code = |byte: u8| Bytes::from(vec![byte; 40]);
    let hashes = [keccak256(code(1)), KECCAK256_EMPTY, keccak256(code(2))];
    let items = |codes_: &[Bytes]| codes(&hashes, codes_).map(|verdict| verdict.items);

    assert_eq!(items(&[code(1), Bytes::new(), code(2)]), Ok(vec![Some(0), Some(1), Some(2)]));
    assert_eq!(items(&[code(1), code(2)]), Ok(vec![Some(0), None, Some(1)]));
    assert_eq!(items(&[]), Ok(vec![None; 3]));
    assert_eq!(items(&[code(3)]), Err(Lie::Code { found: keccak256(code(3)) }));
    assert_eq!(items(&[code(2), code(1)]), Err(Lie::OutOfPlace { index: 1 }));
    assert!(matches!(items(&vec![code(1); 4]), Err(Lie::TooMany { .. })));
}

#[test]
fn pruning_leaves_what_each_asker_lacks() {
    let vectors = vectors::clique();
    let (state, storage) = (state_root(vectors), vectors.proofs[4].root);
    let roots = |request: &ProofRequest| Some(if request.account.is_some() { storage } else { state });
    let requests = together(vectors);

    // Everything asked for from the start: the answer as geth made it.
    assert_eq!(prune(&requests, &vectors.together, &roots), vectors.together);
    // One path of it: that path.
    assert_eq!(prune(&requests[1..2], &vectors.together, &roots), vectors.proofs[0].nodes);
    // The beginning is known.
    let from_two = ProofRequest { from_level: 2, ..requests[1].clone() };
    assert_eq!(prune(&[from_two], &vectors.together, &roots), vectors.proofs[0].nodes[2..]);
    let from_beyond = ProofRequest { from_level: u64::MAX, ..requests[1].clone() };
    assert!(prune(&[from_beyond], &vectors.together, &roots).is_empty());
    // A path that the nodes do not hold adds nothing.
    assert!(prune(&[vectors.proofs[6].request.clone()], &vectors.proofs[0].nodes, &roots).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_altered_proof_passes(which in 0_usize..10, node in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bits in 1..=255_u8) {
        let vectors = vectors::ethash();
        let proof = &vectors.proofs[which];
        let mut nodes = proof.nodes.clone();
        let node = node.index(nodes.len());
        let mut altered = nodes[node].to_vec();
        let at = at.index(altered.len());
        altered[at] ^= bits;
        nodes[node] = altered.into();

        prop_assert!(check(vectors, std::slice::from_ref(&proof.request), &nodes).is_err());
    }

    #[test]
    fn no_altered_code_passes(at in any::<prop::sample::Index>(), bits in 1..=255_u8) {
        let vectors = vectors::clique();
        let mut code = vectors.code.to_vec();
        let at = at.index(code.len());
        code[at] ^= bits;
        prop_assert!(codes(&[keccak256(&vectors.code)], &[code.into()]).is_err());
    }

    #[test]
    fn random_nodes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), key in prop::collection::vec(any::<u8>(), 0..33)) {
        let mut set = NodeSet::new(&[bytes.clone().into()]).expect("one node");
        let _ = set.walk(keccak256(&bytes), &key);
        let _ = account(&bytes);
    }
}
