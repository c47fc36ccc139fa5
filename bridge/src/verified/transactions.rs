//! Transactions: sent on, and their status, as far as it can be checked.

use std::time::Duration;

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_translate::AskError;
use causeway_verify::{Lie, check};
use causeway_wire::{Answer, HashOrNumber, Inclusion, Query, TransactionStatus};
use futures::{StreamExt, stream::FuturesUnordered};

use super::{Verified, WRONG_KIND};
use crate::{backend::BackendError, upstream::Upstream};

/// `status` of an included transaction (les.md 2.4).
const INCLUDED: u64 = 3;

/// The largest status there is: an error, in the form of devp2p's text.
const LAST_STATUS: u64 = 4;

/// Longest error text that is passed on, in bytes.
const MAX_ERROR: usize = 1024;

/// How long slower full nodes may take once one has told a transaction's status.
const GRACE: Duration = Duration::from_secs(1);

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
            let mut answers: FuturesUnordered<_> =
                upstreams.iter().map(|upstream| self.statuses_of(upstream, query, hashes)).collect();
            let mut best: Option<Vec<TransactionStatus>> = None;
            // Once somebody answered well, the slower ones get a little time to know more.
            let mut until = deadline;
            loop {
                let statuses = match tokio::time::timeout_at(until, answers.next()).await {
                    Ok(Some(Ok(statuses))) => statuses,
                    Ok(Some(Err(_))) => continue,
                    Ok(None) => break,
                    Err(_) if best.is_some() => break,
                    Err(_) => return Err(BackendError::Timeout),
                };
                until = until.min(tokio::time::Instant::now() + GRACE);
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
            let checked = match check_form(status) {
                Ok(Some(inclusion)) => self.check_inclusion(upstream, hash, inclusion).await,
                Ok(None) => Ok(()),
                Err(lie) => Err(Unproven::Lie(lie)),
            };
            match checked {
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
    async fn check_inclusion(
        &self,
        upstream: &Upstream,
        transaction: &B256,
        inclusion: &Inclusion,
    ) -> Result<(), Unproven> {
        let Some(known) = self.await_block(&inclusion.block).await else {
            self.demand_header(upstream, &inclusion.block).await?;
            return Err(Unproven::NotShown);
        };
        if known.header.number != inclusion.number {
            let (announced, number) = (inclusion.number, known.header.number);
            return Err(Unproven::Lie(Lie::AnnouncedNumber { hash: inclusion.block, announced, number }));
        }
        let body = self.body_of(inclusion.block).await.map_err(|_| Unproven::NotShown)?;
        check::transaction_at(&body, transaction, inclusion.index).map_err(Unproven::Lie)
    }

    /// Who names a block that nobody else knows must have its header, and that must obey the chain's rules.
    async fn demand_header(&self, upstream: &Upstream, block: &B256) -> Result<(), Unproven> {
        let start = HashOrNumber::Hash(*block);
        let query = Query::Headers { start, amount: 1, skip: 0, reverse: false };
        let Ok(Answer::Headers(headers)) = upstream.ask(query).await else { return Err(Unproven::NotShown) };
        let found = headers.first().map(keccak256);
        if found != Some(*block) {
            let found = found.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
            let expected = block.to_string();
            return Err(Unproven::Lie(Lie::Header { index: 0, what: "hash", found, expected }));
        }
        // Where seals are not checked one node's word is not enough to take a header in.
        if self.follower.chain().seal_rule() != "clique" {
            return Ok(());
        }
        match self.follower.insert(&headers).await {
            Err(error) if error.is_lie() => Err(Unproven::Lie(Lie::Malformed {
                what: "block of a transaction",
                reason: "against the rules",
            })),
            Ok(()) | Err(_) => Ok(()),
        }
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

/// Where the transaction is said to be included, if it is.
fn check_form(status: &TransactionStatus) -> Result<Option<&Inclusion>, Lie> {
    let malformed = |reason| Err(Lie::Malformed { what: "transaction status", reason });
    if status.status > LAST_STATUS {
        return malformed("no such status");
    }
    if status.error.len() > MAX_ERROR {
        return malformed("an error text over the limit");
    }
    let what = "the place of an included transaction";
    match (status.status == INCLUDED, &status.inclusion) {
        (true, None) => Err(Lie::Presence { what, due: true }),
        (false, Some(_)) => Err(Lie::Presence { what, due: false }),
        (true, Some(inclusion)) => Ok(Some(inclusion)),
        (false, None) => Ok(None),
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
