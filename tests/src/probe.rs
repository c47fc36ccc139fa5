//! Questions to which a development chain has an answer, one of each kind.

use alloy_primitives::{B256, keccak256};
use causeway_devnet::{DevBackend, genesis};
use causeway_wire::{AccountKey, Answer, CodeRequest, HashOrNumber, ProofRequest, Query};

use crate::full_node;

/// A kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Headers by number.
    Headers,
    /// The body of a recent block.
    Body,
    /// The receipts of a recent block.
    Receipts,
    /// The proof of an account.
    Account,
    /// The proof of an account that does not exist.
    NoAccount,
    /// The proof of a storage slot.
    Storage,
    /// A code.
    Code,
    /// The status of an included transaction.
    Transaction,
}

impl Probe {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Headers,
        Self::Body,
        Self::Receipts,
        Self::Account,
        Self::NoAccount,
        Self::Storage,
        Self::Code,
        Self::Transaction,
    ];

    /// The question about a chain as it stands.
    ///
    /// # Panics
    /// If the chain is empty.
    pub fn query(self, backend: &DevBackend) -> Query {
        let sample = backend.sample().expect("the chain has blocks with transactions");
        let contract = keccak256(genesis::CONTRACT);
        let proof = |account, key| {
            Query::Proofs(vec![ProofRequest { block: sample.block, account, key, from_level: 0 }])
        };
        match self {
            Self::Headers => {
                Query::Headers { start: HashOrNumber::Number(2), amount: 3, skip: 1, reverse: false }
            }
            Self::Body => Query::Bodies(vec![sample.block]),
            Self::Receipts => Query::Receipts(vec![sample.block]),
            Self::Account => proof(None, contract),
            Self::NoAccount => proof(None, keccak256("nobody")),
            Self::Storage => {
                let slot = keccak256(B256::from(sample.slot));
                proof(Some(AccountKey::Hash(contract)), slot)
            }
            Self::Code => {
                let account = AccountKey::Hash(contract);
                Query::Codes(vec![CodeRequest { block: sample.block, account }])
            }
            Self::Transaction => Query::TransactionStatus(vec![sample.transaction]),
        }
    }

    /// The right answer to [`Self::query`].
    ///
    /// # Panics
    /// If the chain has none.
    pub fn answer(self, backend: &DevBackend) -> Answer {
        full_node::answer(backend, self.query(backend)).expect("the chain has it")
    }
}

/// Whether two answers say the same: nodes of proofs may come in any order.
pub fn same(one: &Answer, other: &Answer) -> bool {
    match (one, other) {
        (Answer::Proofs(one), Answer::Proofs(other)) => {
            let (mut one, mut other) = (one.clone(), other.clone());
            one.sort();
            other.sort();
            one == other
        }
        _ => one == other,
    }
}

/// Whether an answer says that nobody has it; of transactions, that they are not known to be included.
pub fn is_none(answer: &Answer) -> bool {
    match answer {
        Answer::Headers(items)
        | Answer::Bodies(items)
        | Answer::Receipts(items)
        | Answer::Codes(items)
        | Answer::Proofs(items) => items.is_empty(),
        Answer::HelperTries { nodes, auxiliary } => nodes.is_empty() && auxiliary.is_empty(),
        Answer::TransactionStatus(statuses) => {
            statuses.iter().all(|status| status.status < 3 && status.inclusion.is_none())
        }
    }
}
