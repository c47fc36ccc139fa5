//! Transactions: sent on, and their status, as far as it can be checked.

use std::time::Duration;

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_translate::AskError;
use causeway_verify::{Lie, check};
use causeway_wire::{Answer, Inclusion, Query, TransactionStatus};
use futures::future::join_all;

use super::{Verified, WRONG_KIND};
use crate::{backend::BackendError, upstream::Upstream};

/// `status` of an included transaction (les.md 2.4).
const INCLUDED: u64 = 3;

/// How long a block that a full node names may take to reach the verified chain.
const ARRIVAL: Duration = Duration::from_secs(2);

impl Verified {
    /// Sends to several full nodes at once and gives the answer of the one that says most.
    pub(super) async fn send_transactions(&self, transactions: Vec<Bytes>) -> Result<Answer, BackendError> {
        let hashes: Vec<B256> = transactions.iter().map(keccak256).collect();
        let query = Query::SendTransactions(transactions);
        self.statuses(&query, &hashes, self.config.spread).await
    }

    pub(super) async fn transaction_status(&self, hashes: Vec<B256>) -> Result<Answer, BackendError> {
        let query = Query::TransactionStatus(hashes.clone());
        self.statuses(&query, &hashes, self.config.spread).await
    }

    /// Asks several full nodes; a claimed inclusion is believed only if the block's body shows it. The rest
    /// is the full nodes' word, the best of it.
    async fn statuses(&self, query: &Query, hashes: &[B256], spread: usize) -> Result<Answer, BackendError> {
        let deadline = tokio::time::Instant::now() + self.config.patience;
        let mut changes = self.nodes.changes();
        loop {
            changes.borrow_and_update();
            let upstreams = self.some(query, spread);
            let answers =
                join_all(upstreams.iter().map(|upstream| self.statuses_of(upstream, query, hashes)));
            let answers =
                tokio::time::timeout_at(deadline, answers).await.map_err(|_| BackendError::Timeout)?;
            let mut best: Option<Vec<TransactionStatus>> = None;
            for statuses in answers.into_iter().flatten() {
                match &mut best {
                    None => best = Some(statuses),
                    Some(best) => {
                        for (best, other) in best.iter_mut().zip(statuses) {
                            if worth(&other) > worth(best) {
                                *best = other;
                            }
                        }
                    }
                }
            }
            if let Some(best) = best {
                return Ok(Answer::TransactionStatus(best));
            }
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(BackendError::NoUpstream);
            }
        }
    }

    async fn statuses_of(
        &self,
        upstream: &Upstream,
        query: &Query,
        hashes: &[B256],
    ) -> Result<Vec<TransactionStatus>, AskError> {
        let Answer::TransactionStatus(statuses) = upstream.ask(query.clone()).await? else {
            self.nodes.convict(upstream, &WRONG_KIND);
            return Err(AskError::Closed);
        };
        if statuses.len() != hashes.len() {
            let lie = Lie::TooFew { what: "statuses", found: statuses.len(), expected: hashes.len() };
            self.nodes.convict(upstream, &lie);
            return Err(AskError::Closed);
        }
        for (status, hash) in statuses.iter().zip(hashes) {
            if status.status != INCLUDED {
                continue;
            }
            let Some(inclusion) = &status.inclusion else {
                self.nodes.convict(
                    upstream,
                    &Lie::Presence { what: "the place of an included transaction", due: true },
                );
                return Err(AskError::Closed);
            };
            match self.check_inclusion(hash, inclusion).await {
                Ok(()) => {}
                Err(Unproven::Lie(lie)) => {
                    self.nodes.convict(upstream, &lie);
                    return Err(AskError::Closed);
                }
                Err(Unproven::NotShown) => return Err(AskError::NotServed),
            }
        }
        Ok(statuses)
    }

    /// Looks the transaction up in the block that is said to hold it.
    async fn check_inclusion(&self, transaction: &B256, inclusion: &Inclusion) -> Result<(), Unproven> {
        let known = self.await_block(&inclusion.block).await.ok_or(Unproven::NotShown)?;
        if known.header.number != inclusion.number {
            let (announced, number) = (inclusion.number, known.header.number);
            return Err(Unproven::Lie(Lie::AnnouncedNumber { hash: inclusion.block, announced, number }));
        }
        let body = self.body_of(inclusion.block).await.map_err(|_| Unproven::NotShown)?;
        check::transaction_at(&body, transaction, inclusion.index).map_err(Unproven::Lie)
    }

    /// The header of a block that may be a moment ahead of the verified chain.
    async fn await_block(&self, block: &B256) -> Option<std::sync::Arc<causeway_verify::Known>> {
        let mut heads = self.follower.heads();
        let arrival = async {
            loop {
                if let Ok(known) = self.header_of(block).await {
                    return Some(known);
                }
                heads.changed().await.ok()?;
            }
        };
        tokio::time::timeout(ARRIVAL, arrival).await.ok().flatten()
    }
}

enum Unproven {
    Lie(Lie),
    NotShown,
}

/// Included says more than pending, that more than queued; an error says least but for unknown.
fn worth(status: &TransactionStatus) -> u64 {
    match status.status {
        1..=INCLUDED => status.status + 1,
        _ if !status.error.is_empty() => 1,
        _ => 0,
    }
}
