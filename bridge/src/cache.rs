//! Verified answers, kept by what they are about; bounded by bytes.

use std::sync::Arc;

use alloy_consensus::TrieAccount;
use alloy_primitives::{B256, Bytes};
use causeway_wire::ProofRequest;
use quick_cache::{Weighter, sync::Cache};

/// What an answer is about. Everything here is immutable: a block or a state never changes under its hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// The body of a block.
    Body(B256),
    /// The receipts of a block.
    Receipts(B256),
    /// A code by its hash.
    Code(B256),
    /// An account by block and account hash.
    Account(B256, B256),
    /// The nodes of a proof list.
    Proofs(Vec<ProofRequest>),
    /// A header too old to be in the index whole.
    Header(B256),
}

/// A verified answer.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// One object's bytes.
    Item(Bytes),
    /// Several objects' bytes.
    Items(Arc<[Bytes]>),
    /// A proven account; `None` for a proven absence.
    Account(Option<TrieAccount>),
}

#[derive(Clone, Copy, Debug)]
struct ByBytes;

/// Bytes that an entry takes beside its own.
const OVERHEAD: usize = 128;

impl Weighter<Key, Value> for ByBytes {
    fn weight(&self, key: &Key, value: &Value) -> u64 {
        let key = match key {
            Key::Proofs(requests) => requests.len() * size_of::<ProofRequest>(),
            Key::Body(_) | Key::Receipts(_) | Key::Code(_) | Key::Account(..) | Key::Header(_) => 0,
        };
        let value = match value {
            Value::Item(item) => item.len(),
            Value::Items(items) => items.iter().map(|item| item.len() + size_of::<Bytes>()).sum(),
            Value::Account(_) => size_of::<TrieAccount>(),
        };
        (OVERHEAD + key + value) as u64
    }
}

/// Verified answers, at most so many bytes of them.
#[derive(Debug)]
pub(crate) struct AnswerCache {
    entries: Cache<Key, Value, ByBytes>,
}

/// Average size of an entry, for the cache's first allocation.
const TYPICAL_ENTRY: u64 = 1024;

impl AnswerCache {
    /// An empty cache for `bytes` bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / TYPICAL_ENTRY).unwrap_or(usize::MAX).max(16);
        Self { entries: Cache::with_weighter(entries, bytes, ByBytes) }
    }

    pub(crate) fn item(&self, key: &Key) -> Option<Bytes> {
        match self.entries.get(key)? {
            Value::Item(item) => Some(item),
            Value::Items(_) | Value::Account(_) => None,
        }
    }

    pub(crate) fn items(&self, key: &Key) -> Option<Arc<[Bytes]>> {
        match self.entries.get(key)? {
            Value::Items(items) => Some(items),
            Value::Item(_) | Value::Account(_) => None,
        }
    }

    pub(crate) fn account(&self, block: B256, account: B256) -> Option<Option<TrieAccount>> {
        match self.entries.get(&Key::Account(block, account))? {
            Value::Account(account) => Some(account),
            Value::Item(_) | Value::Items(_) => None,
        }
    }

    pub(crate) fn put(&self, key: Key, value: Value) {
        self.entries.insert(key, value);
    }

    /// An item is a slice of the message it came in; a copy of its own does not keep the others alive.
    pub(crate) fn put_item(&self, key: Key, item: &Bytes) {
        self.put(key, Value::Item(Bytes::copy_from_slice(item)));
    }
}
