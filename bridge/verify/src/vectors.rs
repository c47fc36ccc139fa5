//! Vectors for the tests: chains that geth made (see `tests/vectors/README.md`).

use std::sync::{Arc, LazyLock};

use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_wire::{AccountKey, ProofRequest};
use serde_json::Value;

use crate::{ChainSpec, HeaderChain, Root};

/// A chain as geth made it.
pub(crate) struct Vectors {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) genesis_hash: B256,
    pub(crate) genesis_header: Bytes,
    pub(crate) blocks: Vec<Block>,
    pub(crate) proofs: Vec<Proof>,
    /// Nodes of one answer with accounts and slots.
    pub(crate) together: Vec<Bytes>,
    pub(crate) contract: Address,
    pub(crate) code: Bytes,
    pub(crate) cht_root: B256,
    pub(crate) cht_proof_17: Vec<Bytes>,
}

pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) td: U256,
    pub(crate) header: Bytes,
    pub(crate) body: Bytes,
    pub(crate) receipts: Bytes,
    pub(crate) transactions: Vec<B256>,
    pub(crate) fork_hash: [u8; 4],
    pub(crate) fork_next: u64,
    pub(crate) signer: Option<Address>,
    pub(crate) seal_hash: Option<B256>,
}

pub(crate) struct Proof {
    pub(crate) request: ProofRequest,
    pub(crate) root: B256,
    pub(crate) nodes: Vec<Bytes>,
    pub(crate) value: Bytes,
}

/// Read once: the tests that alter bytes need them hundreds of times.
static CLIQUE: LazyLock<Vectors> = LazyLock::new(|| read(include_str!("../tests/vectors/geth-clique.json")));
static ETHASH: LazyLock<Vectors> = LazyLock::new(|| read(include_str!("../tests/vectors/geth-ethash.json")));

pub(crate) fn clique() -> &'static Vectors {
    &CLIQUE
}

pub(crate) fn ethash() -> &'static Vectors {
    &ETHASH
}

impl Vectors {
    /// All headers, ascending from block 1.
    pub(crate) fn headers(&self) -> Vec<Bytes> {
        self.blocks.iter().map(|block| block.header.clone()).collect()
    }

    /// An index of the whole chain.
    pub(crate) fn chain(&self) -> HeaderChain {
        let mut chain = HeaderChain::new(Arc::clone(&self.spec), Root::Genesis, 1024).expect("a genesis");
        chain.insert(&self.headers()).expect("geth's headers");
        chain
    }

    pub(crate) fn head(&self) -> &Block {
        self.blocks.last().expect("blocks")
    }
}

pub(crate) fn decoded(rlp: &Bytes) -> alloy_consensus::Header {
    alloy_rlp::decode_exact(rlp).expect("a header")
}

pub(crate) fn parse<T: std::str::FromStr>(value: &Value) -> T {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value}"))
}

pub(crate) fn list<T>(value: &Value, one: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().map(|items| items.iter().map(one).collect()).unwrap_or_default()
}

fn read(text: &str) -> Vectors {
    let file: Value = serde_json::from_str(text).expect("JSON");
    let genesis = file["genesis"].as_str().expect("text");
    Vectors {
        spec: Arc::new(ChainSpec::from_genesis_json("test", genesis).expect("a genesis")),
        genesis_hash: parse(&file["genesisHash"]),
        genesis_header: parse(&file["genesisHeader"]),
        blocks: list(&file["blocks"], block),
        proofs: list(&file["proofs"], proof),
        together: list(&file["together"], parse),
        contract: parse(&file["contract"]),
        code: parse(&file["code"]),
        cht_root: parse(&file["chtRoot"]),
        cht_proof_17: list(&file["chtProof17"], parse),
    }
}

fn block(value: &Value) -> Block {
    let fork_hash: Bytes = parse(&value["forkHash"]);
    Block {
        number: value["number"].as_u64().expect("number"),
        hash: parse(&value["hash"]),
        td: parse(&value["td"]),
        header: parse(&value["header"]),
        body: parse(&value["body"]),
        receipts: parse(&value["receipts"]),
        transactions: list(&value["transactions"], parse),
        fork_hash: fork_hash.as_ref().try_into().expect("4 bytes"),
        fork_next: value["forkNext"].as_u64().expect("number"),
        signer: value.get("signer").map(parse),
        seal_hash: value.get("sealHash").map(parse),
    }
}

fn proof(value: &Value) -> Proof {
    Proof {
        request: ProofRequest {
            block: parse(&value["block"]),
            account: value.get("account").map(|account| AccountKey::Address(parse(account))),
            key: parse(&value["key"]),
            from_level: 0,
        },
        root: parse(&value["root"]),
        nodes: list(&value["nodes"], parse),
        value: parse(&value["value"]),
    }
}
