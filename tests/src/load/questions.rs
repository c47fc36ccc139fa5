//! The questions of a load, and whether an answer is right.

use std::{
    collections::HashMap,
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use anyhow::{bail, ensure};
use causeway_verify::check::{self, Shown};
use causeway_wire::{AccountKey, Answer, HashOrNumber, ProofRequest, Query, les::limit};

use super::LightPeer;

/// The contract of geth's chain in `tests/peers/geth`, which stores its caller at the slot of the block's number.
const CONTRACT: Address = address!("00000000000000000000000000000000c0de0001");
/// It is called in block 1 and each so many blocks later.
const BUSY_EVERY: u64 = 5;

/// What one request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One header by its hash.
    Headers1,
    /// 192 headers from a number on.
    Headers192,
    /// The contract's account and one of its slots, in one request, not twice the same.
    Proof,
    /// The same for one slot at each of a hundred blocks: what many light peers ask.
    ProofAgain,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Headers1, Self::Headers192, Self::Proof, Self::ProofAgain];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Headers1 => "headers1",
            Self::Headers192 => "headers192",
            Self::Proof => "proof",
            Self::ProofAgain => "proof-again",
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Self::ALL.into_iter().find(|kind| kind.name() == text) {
            Some(kind) => Ok(kind),
            None => bail!("no such kind of question: {text}"),
        }
    }
}

/// One question, with what is needed to judge its answer.
#[derive(Clone, Debug)]
pub struct Question {
    /// The question.
    pub query: Query,
    /// Index of its block.
    block: usize,
}

/// What a light peer knows before it asks: the headers of a window, linked.
#[derive(Debug)]
pub struct Questions {
    first: u64,
    headers: Vec<Header>,
    /// Hashes of proofs that were verified, by block and key.
    proven: Mutex<HashMap<(B256, B256), B256>>,
}

#[derive(Debug)]
struct Header {
    hash: B256,
    state_root: B256,
    rlp: Bytes,
}

impl Questions {
    /// Fetches the last `window` headers below the server's head.
    ///
    /// # Errors
    /// If they do not come or do not link.
    pub async fn fetch(peer: &LightPeer, window: u64) -> anyhow::Result<Self> {
        let head = peer.head();
        let first = (head + 1).saturating_sub(window).max(1);
        let mut headers: Vec<Header> = Vec::new();
        let mut parent = None;
        while first + (headers.len() as u64) <= head {
            let start = first + headers.len() as u64;
            let amount = limit::HEADERS.min(head + 1 - start);
            let query =
                Query::Headers { start: HashOrNumber::Number(start), amount, skip: 0, reverse: false };
            let Answer::Headers(answer) = peer.ask(query).await? else { bail!("an answer of another kind") };
            ensure!(!answer.is_empty(), "no headers from {start} on");
            for rlp in answer {
                let fields: alloy_consensus::Header = alloy_rlp::decode_exact(&rlp)?;
                ensure!(parent.is_none_or(|parent| parent == fields.parent_hash), "headers do not link");
                let hash = keccak256(&rlp);
                parent = Some(hash);
                // A copy: slices of the answers would keep all of them.
                let rlp = Bytes::copy_from_slice(&rlp);
                headers.push(Header { hash, state_root: fields.state_root, rlp });
            }
        }
        ensure!(
            headers.len() as u64 > limit::HEADERS,
            "a chain of more than {} blocks is needed",
            limit::HEADERS
        );
        Ok(Self { first, headers, proven: Mutex::default() })
    }

    /// The question with this index, the same in every run.
    pub fn draw(&self, kind: Kind, index: u64) -> Question {
        let chance = mix(index);
        let blocks = self.headers.len();
        let pick = |count: usize| usize::try_from(chance % count.max(1) as u64).unwrap_or(0);
        match kind {
            Kind::Headers1 => {
                let block = pick(blocks);
                let start = HashOrNumber::Hash(self.headers[block].hash);
                Question { query: Query::Headers { start, amount: 1, skip: 0, reverse: false }, block }
            }
            Kind::Headers192 => {
                let block = pick(blocks + 1 - limit::HEADERS as usize);
                let start = HashOrNumber::Number(self.first + block as u64);
                let amount = limit::HEADERS;
                Question { query: Query::Headers { start, amount, skip: 0, reverse: false }, block }
            }
            Kind::Proof | Kind::ProofAgain => {
                // The newest blocks: their state is what servers still have. Every slot comes once at each of them
                // before any comes again.
                let recent = blocks.min(STATES) as u64;
                let block = blocks - 1 - usize::try_from(index % recent).unwrap_or(0);
                let number = self.first + block as u64;
                let slots = if kind == Kind::Proof { (number - 1) / BUSY_EVERY + 1 } else { 1 };
                let slot = 1 + BUSY_EVERY * (index / recent % slots);
                let hash = self.headers[block].hash;
                let account = keccak256(CONTRACT);
                let request = |account, key| ProofRequest { block: hash, account, key, from_level: 0 };
                let key = keccak256(B256::from(U256::from(slot)));
                let requests = vec![request(None, account), request(Some(AccountKey::Hash(account)), key)];
                Question { query: Query::Proofs(requests), block }
            }
        }
    }

    /// Whether an answer is right: headers byte for byte; a proof by its walk, the first time, then by its hash.
    pub fn is_right(&self, question: &Question, answer: &Answer) -> bool {
        match (&question.query, answer) {
            (Query::Headers { amount, .. }, Answer::Headers(found)) => {
                let expected = self.headers.iter().skip(question.block).take(*amount as usize);
                found.len() as u64 == *amount
                    && found.iter().zip(expected).all(|(found, expected)| *found == expected.rlp)
            }
            (Query::Proofs(requests), Answer::Proofs(nodes)) => {
                self.is_proven(question.block, requests, nodes)
            }
            _ => false,
        }
    }

    fn is_proven(&self, block: usize, requests: &[ProofRequest], nodes: &[Bytes]) -> bool {
        let [_, slot] = requests else { return false };
        let found = keccak256(nodes.concat());
        let known =
            self.proven.lock().unwrap_or_else(PoisonError::into_inner).get(&(slot.block, slot.key)).copied();
        if known == Some(found) {
            return true;
        }
        let root = self.headers[block].state_root;
        let shown = check::proofs(requests, nodes, &|_| Some(root), &|_, _| None);
        let all = |shown: Vec<Shown>| shown.iter().all(|shown| matches!(shown, Shown::Present(_)));
        if !shown.is_ok_and(all) {
            return false;
        }
        self.proven.lock().unwrap_or_else(PoisonError::into_inner).insert((slot.block, slot.key), found);
        true
    }
}

/// Blocks back from the head whose state is asked for; servers with pruning keep 128.
const STATES: usize = 100;

/// Splitmix64: chance that is the same in every run.
fn mix(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
