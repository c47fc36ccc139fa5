//! What the chain answers, in the way geth's LES server does.

use std::collections::HashSet;
use std::sync::Arc;

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_bridge::BackendError;
use causeway_wire::{Answer, CodeRequest, HashOrNumber, ProofRequest, Query, TransactionStatus};

use crate::chain::{Block, Contents, DevChain};
use crate::pool::Standing;
use crate::state::State;
use crate::transaction::Transaction;

/// Bytes after which no further item is added to an answer, as in geth.
const SOFT_LIMIT: usize = 2 * 1024 * 1024;
/// What a header counts towards [`SOFT_LIMIT`].
const HEADER_SIZE: usize = 500;

/// `status` of les.md 2.4.
const UNKNOWN: u64 = 0;
const QUEUED: u64 = 1;
const PENDING: u64 = 2;
const INCLUDED: u64 = 3;

/// Items of one answer, up to the soft limit.
#[derive(Debug, Default)]
struct Items {
    items: Vec<Bytes>,
    bytes: usize,
    /// Something that was here once is gone by age.
    stale: bool,
}

impl Items {
    fn push(&mut self, item: Bytes) {
        self.bytes += item.len();
        self.items.push(item);
    }

    fn full(&self) -> bool {
        self.bytes >= SOFT_LIMIT
    }

    /// The items; if nothing but age stands between the asker and any answer, that is said.
    fn finish(self) -> Result<Vec<Bytes>, BackendError> {
        if self.items.is_empty() && self.stale { Err(BackendError::NotServed) } else { Ok(self.items) }
    }
}

impl DevChain {
    /// Answers one question. Unknown items are left out; only [`Query::SendTransactions`] changes anything.
    ///
    /// # Errors
    /// [`BackendError::NotServed`] if all that was asked for is too old to be kept, and for helper tries.
    pub fn answer(&mut self, query: Query) -> Result<Answer, BackendError> {
        match query {
            Query::Headers { start, amount, skip, reverse } => {
                Ok(Answer::Headers(self.headers(start, amount, skip, reverse)))
            }
            Query::Bodies(blocks) => Ok(Answer::Bodies(self.contents(&blocks, |contents| &contents.body)?)),
            Query::Receipts(blocks) => {
                Ok(Answer::Receipts(self.contents(&blocks, |contents| &contents.receipts)?))
            }
            Query::Codes(requests) => Ok(Answer::Codes(self.codes(&requests)?)),
            Query::Proofs(requests) => Ok(Answer::Proofs(self.proofs(&requests)?)),
            // The first section is complete after 32,768 blocks, and nobody waits for that here.
            Query::HelperTries(_) => Err(BackendError::NotServed),
            Query::SendTransactions(transactions) => Ok(Answer::TransactionStatus(
                transactions.iter().map(|transaction| self.send(transaction)).collect(),
            )),
            Query::TransactionStatus(hashes) => {
                Ok(Answer::TransactionStatus(hashes.iter().map(|hash| self.status(hash)).collect()))
            }
        }
    }

    fn headers(&self, start: HashOrNumber, amount: u64, skip: u64, reverse: bool) -> Vec<Bytes> {
        let most = amount.min((SOFT_LIMIT / HEADER_SIZE) as u64);
        let mut headers = Vec::new();
        let mut next = match start {
            HashOrNumber::Hash(hash) => self.blocks.get(&hash),
            HashOrNumber::Number(number) => self.at(number),
        };
        while let Some(block) = next {
            if headers.len() as u64 >= most {
                break;
            }
            headers.push(block.rlp.clone());
            next = skip.checked_add(1).and_then(|step| self.step(block, step, reverse));
        }
        headers
    }

    /// The block `step` before or after another one: before it on its own branch, after it only on the canonical one.
    fn step<'a>(&'a self, from: &'a Block, step: u64, reverse: bool) -> Option<&'a Block> {
        let number = from.number;
        let mut block = from;
        if !reverse {
            return if self.is_canonical(from) { self.at(number.checked_add(step)?) } else { None };
        }
        let target = number.checked_sub(step)?;
        while block.number > target && !self.is_canonical(block) {
            block = self.blocks.get(&block.parent)?;
        }
        if block.number == target { Some(block) } else { self.at(target) }
    }

    fn is_canonical(&self, block: &Block) -> bool {
        self.at(block.number).is_some_and(|canonical| std::ptr::eq(canonical, block))
    }

    fn contents(&self, blocks: &[B256], part: fn(&Contents) -> &Bytes) -> Result<Vec<Bytes>, BackendError> {
        let mut items = Items::default();
        for block in blocks.iter().filter_map(|hash| self.blocks.get(hash)) {
            if items.full() {
                break;
            }
            match &block.contents {
                Some(contents) => items.push(part(contents).clone()),
                None => items.stale = true,
            }
        }
        items.finish()
    }

    fn codes(&self, requests: &[CodeRequest]) -> Result<Vec<Bytes>, BackendError> {
        let mut items = Items::default();
        for request in requests {
            if items.full() {
                break;
            }
            let Some(state) = self.state_after(&request.block, &mut items) else { continue };
            let code = state.by_hash(request.account.hash()).map(crate::state::Account::code);
            if let Some(code) = code.filter(|code| !code.is_empty()) {
                items.push(code);
            }
        }
        items.finish()
    }

    /// The union of all paths, each node once, where it is first needed.
    fn proofs(&self, requests: &[ProofRequest]) -> Result<Vec<Bytes>, BackendError> {
        let mut items = Items::default();
        let mut seen = HashSet::new();
        for request in requests {
            if items.full() {
                break;
            }
            let Some(state) = self.state_after(&request.block, &mut items) else { continue };
            let path = match &request.account {
                None => state.prove(request.key, request.from_level),
                Some(account) => match state.by_hash(account.hash()) {
                    Some(account) => account.prove(request.key, request.from_level),
                    None => continue,
                },
            };
            for node in path {
                if seen.insert(keccak256(&node)) {
                    items.push(node);
                }
            }
        }
        items.finish()
    }

    fn state_after(&self, block: &B256, items: &mut Items) -> Option<&State> {
        let block = self.blocks.get(block)?;
        items.stale |= block.state.is_none();
        block.state.as_ref()
    }

    fn send(&mut self, bytes: &[u8]) -> TransactionStatus {
        let known = self.status(&keccak256(bytes));
        if known.status != UNKNOWN {
            return known;
        }
        let (state, now) = (self.state().clone(), self.head().timestamp);
        let added = Transaction::decode(bytes)
            .and_then(|transaction| self.pool.add(Arc::new(transaction), &state, now));
        match added {
            Ok(standing) => {
                TransactionStatus { status: code(standing), inclusion: None, error: String::new() }
            }
            Err(refusal) => {
                TransactionStatus { status: UNKNOWN, inclusion: None, error: refusal.to_string() }
            }
        }
    }

    fn status(&self, hash: &B256) -> TransactionStatus {
        if let Some(inclusion) = self.included.get(hash) {
            return TransactionStatus { status: INCLUDED, inclusion: Some(*inclusion), error: String::new() };
        }
        let status = self.pool.standing(hash, self.state()).map_or(UNKNOWN, code);
        TransactionStatus { status, inclusion: None, error: String::new() }
    }
}

fn code(standing: Standing) -> u64 {
    match standing {
        Standing::Queued => QUEUED,
        Standing::Pending => PENDING,
    }
}
