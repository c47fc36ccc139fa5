//! Transactions that wait for a block.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256};

use crate::execute::{Draft, Unfit};
use crate::state::State;
use crate::transaction::{Refusal, Transaction};

/// Transactions that wait at once.
const MAX_WAITING: usize = 1024;
/// Bytes of all waiting transactions.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Transactions of one sender that wait at once.
const MAX_PER_SENDER: usize = 64;
/// Seconds of the chain's time that a transaction may wait.
const PATIENCE: u64 = 3_600;
/// Percent by which a replacement must raise both fees, as in geth.
const PRICE_BUMP: u128 = 10;

/// Where a waiting transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A transaction with a lower nonce is missing.
    Queued,
    /// It can go into the next block.
    Pending,
}

/// The pool. It knows no chain: the head's state and timestamp (`now`) are arguments.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    senders: BTreeMap<Address, BTreeMap<u64, Waiting>>,
    by_hash: HashMap<B256, (Address, u64)>,
    bytes: usize,
    arrivals: u64,
}

#[derive(Debug)]
struct Waiting {
    transaction: Arc<Transaction>,
    /// The head's timestamp when it came.
    since: u64,
    /// Its place in the order of arrival.
    arrival: u64,
}

impl Pool {
    /// Takes a transaction in, in place of one with the same sender and nonce if it pays more.
    pub(crate) fn add(
        &mut self,
        transaction: Arc<Transaction>,
        state: &State,
        now: u64,
    ) -> Result<Standing, Refusal> {
        transaction.check()?;
        let (sender, nonce) = (transaction.sender, transaction.nonce());
        if nonce < state.nonce(sender) {
            return Err(Refusal::NonceTooLow);
        }
        if state.balance(sender) < transaction.cost() {
            return Err(Refusal::Funds);
        }
        transaction.check_gas()?;
        let queue = self.senders.get(&sender);
        let replaced = queue.and_then(|queue| queue.get(&nonce)).map(|waiting| &waiting.transaction);
        if let Some(replaced) = replaced {
            if !outbids(&transaction, replaced) {
                return Err(Refusal::Replacement);
            }
        } else if self.by_hash.len() >= MAX_WAITING
            || queue.is_some_and(|queue| queue.len() >= MAX_PER_SENDER)
        {
            return Err(Refusal::Full);
        }
        let bytes = self.bytes - replaced.map_or(0, |replaced| replaced.size) + transaction.size;
        if bytes > MAX_BYTES {
            return Err(Refusal::Full);
        }

        self.take(sender, nonce);
        self.bytes += transaction.size;
        self.arrivals += 1;
        self.by_hash.insert(transaction.hash, (sender, nonce));
        let waiting = Waiting { transaction, since: now, arrival: self.arrivals };
        self.senders.entry(sender).or_default().insert(nonce, waiting);
        Ok(self.standing_of(sender, nonce, state))
    }

    /// Fills a block in order of arrival, but for `reserve` gas; gives what went in.
    pub(crate) fn fill(&mut self, draft: &mut Draft, reserve: u64) -> Vec<Arc<Transaction>> {
        let mut taken = Vec::new();
        let ready = |pool: &Self, sender, state: &State| {
            let waiting = pool.senders.get(&sender)?.get(&state.nonce(sender))?;
            Some((waiting.arrival, Arc::clone(&waiting.transaction)))
        };
        // One of each sender: the others follow when it is in.
        let senders = self.senders.keys().copied();
        let mut next: BTreeMap<_, _> =
            senders.filter_map(|sender| ready(self, sender, draft.state())).collect();
        while let Some((_, transaction)) = next.pop_first() {
            let fits = transaction.envelope.gas_limit().saturating_add(reserve) <= draft.gas_left();
            match if fits { draft.push(&transaction) } else { Err(Unfit::ForNow) } {
                Ok(()) => {
                    self.take(transaction.sender, transaction.nonce());
                    next.extend(ready(self, transaction.sender, draft.state()));
                    taken.push(transaction);
                }
                Err(Unfit::ForNow) => {}
                Err(Unfit::ForGood) => self.take(transaction.sender, transaction.nonce()),
            }
        }
        taken
    }

    /// Lets go of what can no longer be included, or has waited too long.
    pub(crate) fn settle(&mut self, state: &State, now: u64) {
        let gone: Vec<(Address, u64)> = self
            .senders
            .iter()
            .flat_map(|(sender, queue)| queue.iter().map(move |(nonce, waiting)| (*sender, *nonce, waiting)))
            .filter(|(sender, nonce, waiting)| {
                *nonce < state.nonce(*sender) || waiting.since + PATIENCE < now
            })
            .map(|(sender, nonce, _)| (sender, nonce))
            .collect();
        for (sender, nonce) in gone {
            self.take(sender, nonce);
        }
    }

    /// Where a transaction stands; `None` if it is not here.
    pub(crate) fn standing(&self, hash: &B256, state: &State) -> Option<Standing> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        Some(self.standing_of(*sender, *nonce, state))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_hash.len()
    }

    fn standing_of(&self, sender: Address, nonce: u64, state: &State) -> Standing {
        let queue = self.senders.get(&sender);
        let waits = |nonce: &u64| queue.is_some_and(|queue| queue.contains_key(nonce));
        if nonce - state.nonce(sender).min(nonce) < MAX_PER_SENDER as u64
            && (state.nonce(sender)..nonce).all(|lower| waits(&lower))
        {
            Standing::Pending
        } else {
            Standing::Queued
        }
    }

    fn take(&mut self, sender: Address, nonce: u64) {
        let Some(queue) = self.senders.get_mut(&sender) else { return };
        let Some(waiting) = queue.remove(&nonce) else { return };
        if queue.is_empty() {
            self.senders.remove(&sender);
        }
        self.by_hash.remove(&waiting.transaction.hash);
        self.bytes -= waiting.transaction.size;
    }
}

fn outbids(new: &Transaction, old: &Transaction) -> bool {
    let bumped = |fee: u128| fee.saturating_add((fee / 100 * PRICE_BUMP).max(1));
    new.tip() >= bumped(old.tip()) && new.envelope.max_fee_per_gas() >= bumped(old.envelope.max_fee_per_gas())
}
