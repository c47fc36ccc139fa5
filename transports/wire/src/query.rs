//! The neutral middle: what can be asked about a chain and what comes back, apart from any protocol.
//!
//! Chain objects are kept as the raw RLP that came over the wire: hashes are over bytes, and what is
//! passed on is what was checked.

use alloy_primitives::{Address, B256, Bytes, keccak256};

/// A block named by hash or by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashOrNumber {
    /// By its hash.
    Hash(B256),
    /// By its number on the canonical chain.
    Number(u64),
}

/// An account as LES names it in `accKey`: by hash (geth before 1.12.1) or by address (from then on).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccountKey {
    /// `keccak256(address)`.
    Hash(B256),
    /// The address.
    Address(Address),
}

impl AccountKey {
    /// The key of the account in the state trie.
    pub fn hash(&self) -> B256 {
        match self {
            Self::Hash(hash) => *hash,
            Self::Address(address) => keccak256(address),
        }
    }
}

/// One path to prove: an account in a block's state, or a slot in an account's storage.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProofRequest {
    /// The block whose state is meant.
    pub block: B256,
    /// `None`: `key` is an account's hash in the state trie. `Some`: `key` is a slot's hash in that account's storage.
    pub account: Option<AccountKey>,
    /// `keccak256` of the address or of the slot's 32-byte index.
    pub key: B256,
    /// How many nodes of the path's beginning the asker has already (`fromLevel`).
    pub from_level: u64,
}

/// The code of one account at one block.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeRequest {
    /// The block whose state is meant.
    pub block: B256,
    /// The account.
    pub account: AccountKey,
}

/// Which helper trie (les.md 7.2, 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HelperTrie {
    /// Canonical hash trie: block number to hash and total difficulty.
    CanonicalHash,
    /// Bloom bits: bit and section to a compressed bit vector.
    BloomBits,
}

/// One path in a helper trie.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HelperTrieRequest {
    /// The trie.
    pub trie: HelperTrie,
    /// The section whose trie version is meant (32,768 blocks each).
    pub section: u64,
    /// The key: 8 bytes (block number) or 10 bytes (bit, section).
    pub key: Bytes,
    /// How many nodes of the path's beginning the asker has already.
    pub from_level: u64,
    /// Auxiliary data wanted: 0 none, 2 the block's header.
    pub auxiliary: u64,
}

/// A question about a chain. Limits on counts are the protocol's, see [`crate::les`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Query {
    /// A run of headers.
    Headers {
        /// The first block.
        start: HashOrNumber,
        /// How many at most.
        amount: u64,
        /// Blocks left out between two results.
        skip: u64,
        /// Towards genesis.
        reverse: bool,
    },
    /// Bodies of these blocks.
    Bodies(Vec<B256>),
    /// Receipts of these blocks.
    Receipts(Vec<B256>),
    /// Codes of accounts.
    Codes(Vec<CodeRequest>),
    /// Account and storage proofs.
    Proofs(Vec<ProofRequest>),
    /// Helper trie proofs.
    HelperTries(Vec<HelperTrieRequest>),
    /// Signed transactions to relay, each in its canonical form: a legacy transaction's RLP list,
    /// or a typed one's `type || payload` (without the RLP string header around it).
    SendTransactions(Vec<Bytes>),
    /// What became of these transactions.
    TransactionStatus(Vec<B256>),
}

impl Query {
    /// The number of items that the answer may hold and that costs are counted by.
    pub fn amount(&self) -> u64 {
        match self {
            Self::Headers { amount, .. } => *amount,
            Self::Bodies(items) | Self::Receipts(items) | Self::TransactionStatus(items) => {
                items.len() as u64
            }
            Self::Codes(items) => items.len() as u64,
            Self::Proofs(items) => items.len() as u64,
            Self::HelperTries(items) => items.len() as u64,
            Self::SendTransactions(items) => items.len() as u64,
        }
    }

    /// The first items of this query, as many as a server answers ([`crate::les::item_limit`]).
    pub fn truncated(&self) -> Self {
        let limit = crate::les::item_limit(self);
        match self {
            Self::Headers { start, amount, skip, reverse } => {
                Self::Headers { start: *start, amount: (*amount).min(limit), skip: *skip, reverse: *reverse }
            }
            Self::Bodies(items) => Self::Bodies(first(items, limit)),
            Self::Receipts(items) => Self::Receipts(first(items, limit)),
            Self::Codes(items) => Self::Codes(first(items, limit)),
            Self::Proofs(items) => Self::Proofs(first(items, limit)),
            Self::HelperTries(items) => Self::HelperTries(first(items, limit)),
            Self::SendTransactions(items) => Self::SendTransactions(first(items, limit)),
            Self::TransactionStatus(items) => Self::TransactionStatus(first(items, limit)),
        }
    }
}

fn first<T: Clone>(items: &[T], limit: u64) -> Vec<T> {
    items.iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect()
}

/// Where a transaction was included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The block's hash.
    pub block: B256,
    /// The block's number.
    pub number: u64,
    /// The transaction's index in it.
    pub index: u64,
}

/// What a full node says of a transaction (les.md 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionStatus {
    /// 0 unknown, 1 queued, 2 pending, 3 included, 4 error.
    pub status: u64,
    /// For an included transaction, where.
    pub inclusion: Option<Inclusion>,
    /// Why it was refused; empty if it was not.
    pub error: String,
}

/// The answer to a [`Query`] of the same name. Every item is raw RLP as it came, unless said otherwise.
/// Items that the answerer does not have are left out, except in transaction statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Header lists.
    Headers(Vec<Bytes>),
    /// Body lists `[transactions, uncles(, withdrawals)]`.
    Bodies(Vec<Bytes>),
    /// One list of receipts for each block.
    Receipts(Vec<Bytes>),
    /// Codes: plain bytes, not RLP.
    Codes(Vec<Bytes>),
    /// Trie nodes, each its raw RLP list.
    Proofs(Vec<Bytes>),
    /// Trie nodes as in `Proofs`, and auxiliary items as plain bytes (a header's RLP).
    HelperTries {
        /// The nodes of all paths, each once.
        nodes: Vec<Bytes>,
        /// One header for each request that asked for it.
        auxiliary: Vec<Bytes>,
    },
    /// One status for each transaction asked about or sent.
    TransactionStatus(Vec<TransactionStatus>),
}
