//! Full nodes as a backend: asks one after the other until an answer passes its check.

mod blocks;
mod headers;
mod helper_tries;
mod state;
mod transactions;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use causeway_translate::AskError;
use causeway_verify::Lie;
use causeway_wire::{Answer, HeadUpdate, Query, SessionId};
use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::watch, time::Instant};
use tracing::debug;

use crate::{
    backend::{Backend, BackendError},
    cache::AnswerCache,
    follower::Follower,
    full_nodes::FullNodes,
    upstream::Upstream,
};

/// How questions are put.
#[derive(Clone, Debug)]
pub struct VerifiedConfig {
    /// How long a question may take in all, waiting for a full node to come back included.
    pub patience: Duration,
    /// Bytes of verified answers that are kept.
    pub cache_bytes: u64,
    /// Full nodes that a transaction is sent to.
    pub spread: usize,
}

impl Default for VerifiedConfig {
    fn default() -> Self {
        Self { patience: Duration::from_secs(25), cache_bytes: 64 * 1024 * 1024, spread: 3 }
    }
}

/// The full nodes, verified: what comes out of here has passed its check.
#[derive(Debug)]
pub struct Verified {
    follower: Arc<Follower>,
    nodes: Arc<FullNodes>,
    cache: AnswerCache,
    config: VerifiedConfig,
    helper_roots: helper_tries::Roots,
}

/// An answer of another kind than the question's. The client role refuses these before they come here.
const WRONG_KIND: Lie = Lie::Malformed { what: "answer", reason: "of another kind than the question" };

/// What a check made of one full node's answer.
enum Judged<T> {
    /// Everything that was asked, proven.
    Whole(T),
    /// Proven, but something was left out: somebody else may have more.
    Partial(T),
    /// Nothing of it.
    Nothing,
}

impl Verified {
    /// Answers from `nodes`, checked against the chain that `follower` keeps.
    pub fn new(follower: Arc<Follower>, nodes: Arc<FullNodes>, config: VerifiedConfig) -> Self {
        let cache = AnswerCache::new(config.cache_bytes);
        Self { follower, nodes, cache, config, helper_roots: helper_tries::Roots::default() }
    }

    /// Who keeps the chain.
    pub fn follower(&self) -> &Arc<Follower> {
        &self.follower
    }

    /// The full nodes asked.
    pub fn nodes(&self) -> &Arc<FullNodes> {
        &self.nodes
    }

    /// Puts `query` to full nodes, one after the other, until `judge` finds an answer whole. A lie costs
    /// its author the session; silence and gaps cost it its place in the order.
    ///
    /// `number`: the highest block that the question is about, if it is about one.
    async fn ask_around<T>(
        &self,
        query: &Query,
        number: Option<u64>,
        judge: impl Fn(Answer) -> Result<Judged<T>, Lie>,
    ) -> Result<T, BackendError> {
        let deadline = Instant::now() + self.config.patience;
        let mut changes = self.nodes.changes();
        let mut asked: BTreeSet<SessionId> = BTreeSet::new();
        let mut partial = None;
        let mut refused = false;
        let mut busy = false;
        let mut silent: BTreeSet<SessionId> = BTreeSet::new();
        let mut timed_out = false;
        loop {
            let next =
                self.nodes.able(query, number).into_iter().find(|upstream| !asked.contains(&upstream.id()));
            let Some(upstream) = next else {
                // With nobody else to ask, who was silent once is asked again: a message may get lost.
                if partial.is_none() && !refused && !silent.is_empty() {
                    timed_out = true;
                    asked.retain(|id| !silent.contains(id));
                    silent.clear();
                    continue;
                }
                if let Some(partial) = partial {
                    return Ok(partial);
                }
                if busy {
                    return Err(BackendError::Busy);
                }
                if refused {
                    return Err(BackendError::NotServed);
                }
                // Nobody left to ask: somebody may come back until the deadline.
                changes.borrow_and_update();
                if self.nodes.able(query, number).iter().any(|upstream| !asked.contains(&upstream.id())) {
                    continue;
                }
                match tokio::time::timeout_at(deadline, changes.changed()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) | Err(_) if timed_out => return Err(BackendError::Timeout),
                    Ok(Err(_)) | Err(_) => return Err(BackendError::NoUpstream),
                }
            };
            asked.insert(upstream.id());
            match tokio::time::timeout_at(deadline, upstream.ask(query.clone())).await {
                Err(_) => return Err(BackendError::Timeout),
                Ok(Err(error)) => {
                    debug!(peer = %upstream.peer(), %error, "full node did not answer");
                    match error {
                        AskError::NotServed => refused = true,
                        AskError::Timeout => {
                            silent.insert(upstream.id());
                        }
                        AskError::QueueFull => busy = true,
                        // It has forgotten the question, and takes it again after its Resume.
                        AskError::Stopped => {
                            asked.remove(&upstream.id());
                        }
                        AskError::Closed => {}
                    }
                }
                Ok(Ok(answer)) => match judge(answer) {
                    Ok(Judged::Whole(whole)) => return Ok(whole),
                    Ok(Judged::Partial(some)) => {
                        upstream.record_failure();
                        partial.get_or_insert(some);
                    }
                    Ok(Judged::Nothing) => {
                        upstream.record_failure();
                        refused = true;
                    }
                    Err(lie) => self.nodes.convict(&upstream, &lie),
                },
            }
        }
    }

    /// The least burdened full nodes for a question, at most `most`.
    fn some(&self, query: &Query, most: usize) -> Vec<Upstream> {
        let mut able = self.nodes.able(query, None);
        able.truncate(most);
        able
    }
}

impl Backend for Verified {
    fn answer(&self, query: Query) -> BoxFuture<'_, Result<Answer, BackendError>> {
        async move {
            match query {
                Query::Headers { start, amount, skip, reverse } => {
                    self.headers(start, amount, skip, reverse).await
                }
                Query::Bodies(blocks) => self.bodies(&blocks).await,
                Query::Receipts(blocks) => self.receipts(&blocks).await,
                Query::Codes(requests) => self.codes(&requests).await,
                Query::Proofs(requests) => self.proofs(&requests).await,
                Query::HelperTries(requests) => self.helper_tries(&requests).await,
                Query::SendTransactions(transactions) => self.send_transactions(transactions).await,
                Query::TransactionStatus(hashes) => self.transaction_status(hashes).await,
            }
        }
        .boxed()
    }

    fn answer_now(&self, query: &Query) -> Option<Answer> {
        match query {
            Query::Headers { start, amount, skip, reverse } => {
                self.headers_now(*start, *amount, *skip, *reverse)
            }
            Query::Bodies(blocks) => self.bodies_now(blocks),
            Query::Receipts(blocks) => self.receipts_now(blocks),
            Query::Codes(requests) => self.codes_now(requests),
            Query::Proofs(requests) => self.proofs_now(requests),
            Query::HelperTries(_) | Query::SendTransactions(_) | Query::TransactionStatus(_) => None,
        }
    }

    fn heads(&self) -> watch::Receiver<Option<Arc<HeadUpdate>>> {
        self.follower.heads()
    }
}
