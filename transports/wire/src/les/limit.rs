//! Most items a server answers in one request, and the other limits of messages.
//!
//! Counts are those of devp2p `caps/les.md` and go-ethereum v1.10.26.

/// Headers.
pub const HEADERS: u64 = 192;
/// Block bodies.
pub const BODIES: u64 = 32;
/// Blocks' receipts.
pub const RECEIPTS: u64 = 128;
/// Contract codes.
pub const CODES: u64 = 64;
/// State and storage proofs.
pub const PROOFS: u64 = 64;
/// Helper trie proofs.
pub const HELPER_TRIES: u64 = 64;
/// Transactions sent.
pub const SEND_TRANSACTIONS: u64 = 64;
/// Transaction statuses.
pub const TRANSACTION_STATUS: u64 = 256;
/// Trie nodes of one answer: [`PROOFS`] paths of 64 nibbles and a leaf, nothing shared.
pub const NODES: u64 = PROOFS * 65;
/// Largest request on any stack but SendTxV2, bytes of payload (design section 2).
pub const REQUEST_BYTES: usize = 128 * 1024;
/// Largest SendTxV2, bytes of payload.
pub const SEND_BYTES: usize = 1024 * 1024;
/// Largest message of a server, bytes of payload.
pub const ANSWER_BYTES: usize = 10 * 1024 * 1024;
/// A server stops adding items to an answer here (geth's `softResponseLimit`).
pub const SOFT_ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// Most bytes of keys and values in one key/value list of Status or Announce (geth).
pub const STATUS_BYTES: usize = 100_000;
/// Longest bit length of a total difficulty.
pub const TD_BITS: usize = 100;
