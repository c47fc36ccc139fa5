//! The verification's checks, on bytes that no honest node would send and on altered real answers.

use std::sync::{Arc, OnceLock};

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, keccak256};
use causeway_verify::{
    ChainSpec, HeaderChain, Root,
    check::{self, HeaderQuery, NodeSet, Shown},
};
use causeway_wire::{AccountKey, HashOrNumber, HelperTrie, HelperTrieRequest, ProofRequest};
use serde_json::Value;

use crate::pieces::Pieces;

/// ```text
/// form(1) rest
/// ```
/// Forms: a body, receipts, a proof over invented tries, a real proof altered, code, helper tries, headers on
/// a clique chain, a checkpoint. Nothing panics, and what passes is the real thing, byte for byte.
pub fn verify_answer(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    match pieces.byte() % 8 {
        0 => body(pieces),
        1 => receipts(pieces),
        2 => invented_proof(pieces),
        3 => real_proof(pieces),
        4 => codes(pieces),
        5 => helper_tries(pieces),
        6 => clique(pieces),
        _ => checkpoint(pieces),
    }
}

/// A chain that geth made.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) proofs: Vec<Proof>,
    pub(crate) cht_root: B256,
    pub(crate) cht_proof: Vec<Bytes>,
}

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) header: Bytes,
    pub(crate) fields: Header,
    pub(crate) body: Bytes,
    pub(crate) receipts: Bytes,
}

#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) root: B256,
    pub(crate) key: B256,
    pub(crate) value: Bytes,
    pub(crate) nodes: Vec<Bytes>,
}

pub(crate) fn chain() -> &'static Chain {
    static CHAIN: OnceLock<Chain> = OnceLock::new();
    CHAIN.get_or_init(|| {
        let text = include_str!("../../../bridge/verify/tests/vectors/geth-clique.json");
        let json: Value = serde_json::from_str(text).expect("JSON");
        let genesis = json["genesis"].as_str().expect("the text of a genesis.json");
        Chain {
            spec: Arc::new(ChainSpec::from_genesis_json("fuzz", genesis).expect("a genesis.json")),
            blocks: list(&json["blocks"]).map(block).collect(),
            proofs: list(&json["proofs"]).map(proof).collect(),
            cht_root: hash(&json["chtRoot"]),
            cht_proof: list(&json["chtProof17"]).map(hex).collect(),
        }
    })
}

fn block(json: &Value) -> Block {
    let header = hex(&json["header"]);
    let fields = alloy_rlp::decode_exact(&header).expect("a header");
    Block { header, fields, body: hex(&json["body"]), receipts: hex(&json["receipts"]) }
}

fn proof(json: &Value) -> Proof {
    let nodes = list(&json["nodes"]).map(hex).collect();
    Proof { root: hash(&json["root"]), key: hash(&json["key"]), value: hex(&json["value"]), nodes }
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().expect("a list").iter()
}

fn hex(json: &Value) -> Bytes {
    hex::decode(json.as_str().expect("a string").trim_start_matches("0x")).expect("hex").into()
}

fn hash(json: &Value) -> B256 {
    B256::from_slice(&hex(json))
}

/// Which block an input is about.
fn a_block(which: u8) -> &'static Block {
    &chain().blocks[usize::from(which) % chain().blocks.len()]
}

fn body(mut pieces: Pieces<'_>) {
    let block = a_block(pieces.byte());
    let bytes = pieces.rest();
    let _ = check::decode_body(bytes);
    let _ = check::transactions(bytes);
    let _ = check::transaction_at(bytes, &B256::ZERO, 0);
    if check::body(&block.fields, bytes).is_ok() {
        assert_eq!(bytes, &block.body[..], "a body that is not the real one was believed");
    }
}

fn receipts(mut pieces: Pieces<'_>) {
    let block = a_block(pieces.byte());
    let bytes = pieces.rest();
    let _ = check::decode_receipts(bytes);
    if check::receipts(&block.fields, bytes).is_ok() {
        assert_eq!(bytes, &block.receipts[..], "receipts that are not the real ones were believed");
    }
}

/// Parts behind their lengths; in each, the mark `a0 'h' 'a' index` stands for the hash of a later part, so
/// that tries can be invented.
fn linked(mut pieces: Pieces<'_>) -> Vec<Bytes> {
    let mut parts = Vec::new();
    while !pieces.is_empty() && parts.len() < 64 {
        parts.push(pieces.sized());
    }
    let mut nodes: Vec<Bytes> = vec![Bytes::new(); parts.len()];
    for (index, part) in parts.into_iter().enumerate().rev() {
        let mut node = Vec::new();
        let mut rest = part;
        while let Some((byte, behind)) = rest.split_first() {
            if let [0xa0, b'h', b'a', other, behind @ ..] = rest
                && let Some(linked) = nodes.get(usize::from(*other)).filter(|_| usize::from(*other) > index)
            {
                node.push(0xa0);
                node.extend_from_slice(keccak256(linked).as_slice());
                rest = behind;
            } else {
                node.push(*byte);
                rest = behind;
            }
        }
        nodes[index] = node.into();
    }
    nodes
}

fn invented_proof(mut pieces: Pieces<'_>) {
    let keys = [B256::from(pieces.array()), B256::from(pieces.array())];
    let from_level = u64::from(pieces.byte());
    let nodes = linked(pieces);
    let Some(root) = nodes.first().map(keccak256) else { return };
    let Ok(mut set) = NodeSet::new(&nodes) else { return };
    for key in keys {
        if let Ok(Shown::Present(value)) = set.walk(root, key.as_slice()) {
            let _ = check::account(&value);
            let _ = check::slot_value(&value);
        }
    }
    let _ = set.all_used();
    let request = |key, account| ProofRequest { block: B256::ZERO, account, key, from_level };
    let requests = [request(keys[0], None), request(keys[1], Some(AccountKey::Hash(keys[0])))];
    let shown = check::proofs(&requests, &nodes, &|_| Some(root), &|_, _| None);
    let pruned = check::prune(&requests, &nodes, &|_| Some(root));
    assert!(pruned.len() <= nodes.len());
    if let Ok(shown) = shown {
        assert_eq!(shown.len(), requests.len());
    }
}

/// ```text
/// which(1) {node(1) place(2) xor(1)}
/// ```
fn real_proof(mut pieces: Pieces<'_>) {
    let proof = &chain().proofs[usize::from(pieces.byte()) % chain().proofs.len()];
    let mut nodes: Vec<Vec<u8>> = proof.nodes.iter().map(|node| node.to_vec()).collect();
    while !pieces.is_empty() {
        let count = nodes.len().max(1);
        let node = nodes.get_mut(usize::from(pieces.byte()) % count);
        let place = usize::from(u16::from_be_bytes(pieces.array()));
        let change = pieces.byte();
        match node {
            Some(node) if place >= node.len() && change.is_multiple_of(2) => node.truncate(change.into()),
            Some(node) if place >= node.len() => node.push(change),
            Some(node) => node[place] ^= change,
            None => {}
        }
    }
    let nodes: Vec<Bytes> = nodes.into_iter().map(Bytes::from).collect();
    let Ok(mut set) = NodeSet::new(&nodes) else { return };
    match set.walk(proof.root, proof.key.as_slice()) {
        Ok(Shown::Present(value)) => assert_eq!(value, proof.value, "a value that is not there"),
        Ok(Shown::Absent) => assert!(proof.value.is_empty(), "what is there was shown absent"),
        Ok(Shown::LeftOut) | Err(_) => {}
    }
}

fn codes(mut pieces: Pieces<'_>) {
    let asked: Vec<B256> = (0..pieces.byte() % 4).map(|_| keccak256(pieces.sized())).collect();
    let codes = linked(pieces);
    if let Ok(verdict) = check::codes(&asked, &codes) {
        for (asked, answer) in asked.iter().zip(&verdict.items) {
            assert!(answer.is_none_or(|answer| keccak256(&codes[answer]) == *asked));
        }
    }
}

fn helper_tries(mut pieces: Pieces<'_>) {
    let number = u64::from(pieces.byte() % 32);
    let bloom = pieces.byte() % 2 == 1;
    let auxiliary = Bytes::copy_from_slice(pieces.sized());
    let altered = pieces.byte();
    let nodes = linked(pieces);
    let (trie, key) = match bloom {
        true => (HelperTrie::BloomBits, check::bloom_key(7, 0)),
        false => (HelperTrie::CanonicalHash, check::cht_key(number)),
    };
    let request = HelperTrieRequest { trie, section: 0, key, from_level: 0, auxiliary: 2 };
    let Some(root) = nodes.first().map(keccak256) else { return };
    let headers = if auxiliary.is_empty() { Vec::new() } else { vec![auxiliary.clone()] };
    let _ = check::helper_tries(std::slice::from_ref(&request), &nodes, &headers, &|_, _| Some(root));
    let _ = check::decompress_bits(&auxiliary, 4096);

    let mut real = chain().cht_proof.clone();
    if altered > 0 {
        real.extend(nodes);
    }
    let request = HelperTrieRequest { key: check::cht_key(17), trie: HelperTrie::CanonicalHash, ..request };
    if let Ok(shown) = check::helper_tries(&[request], &real, &headers, &|_, _| Some(chain().cht_root)) {
        assert_eq!(shown.len(), 1);
        assert!(auxiliary == chain().blocks[16].header, "another header than block 17's was believed");
    }
}

/// ```text
/// blocks(1) {header(sized)}
/// ```
/// Real headers first, then those of the input, one by one and as an answer.
fn clique(mut pieces: Pieces<'_>) {
    let mut headers = HeaderChain::new(Arc::clone(&chain().spec), Root::Genesis, 64).expect("genesis");
    let real: Vec<Bytes> = chain()
        .blocks
        .iter()
        .take(usize::from(pieces.byte() % 4))
        .map(|block| block.header.clone())
        .collect();
    headers.insert(&real).expect("geth's own headers");
    let root = headers.head().hash;
    let mut answer = Vec::new();
    while !pieces.is_empty() && answer.len() < 8 {
        answer.push(Bytes::copy_from_slice(pieces.sized()));
    }
    let query = HeaderQuery {
        start: HashOrNumber::Number(headers.head().header.number + 1),
        amount: 8,
        skip: 0,
        reverse: false,
    };
    let _ = check::headers(&headers, &query, &answer);
    for header in &answer {
        let _ = headers.insert(std::slice::from_ref(header));
        let _ = headers.recognise(header);
    }
    assert!(headers.ancestor(&root, 0).is_some());
    assert_eq!(
        headers.canonical(headers.head().header.number).map(|(hash, _)| hash),
        Some(headers.head().hash)
    );
}

/// A header that the user trusts, whatever is in it, and one on top of it.
fn checkpoint(mut pieces: Pieces<'_>) {
    let rlp = Bytes::copy_from_slice(pieces.sized());
    let child = Bytes::copy_from_slice(pieces.rest());
    let root = Root::Checkpoint { hash: keccak256(&rlp), rlp, td: None };
    if let Ok(mut headers) = HeaderChain::new(Arc::clone(&chain().spec), root, 16) {
        let _ = headers.insert(&[child]);
        assert!(!headers.lineage(1).is_empty());
    }
}
