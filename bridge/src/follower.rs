//! Keeps the verified chain at the head of the full nodes: fetches headers, judges them, publishes heads.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use causeway_translate::AskError;
use causeway_verify::{HeaderChain, HeaderError, Lie, check};
use causeway_wire::{
    Answer, HashOrNumber, Head, HeadUpdate, NodeKey, Query,
    les::{Announce, Origin, limit},
};
use tokio::sync::watch;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::{
    full_nodes::FullNodes,
    upstream::{Tip, Upstream},
};

/// Headers inserted under one lock, so that readers wait for a few milliseconds at most.
const INSERT_CHUNK: usize = 24;

/// Pause before an upstream that did not answer is asked for headers again.
const RETRY: Duration = Duration::from_secs(1);

/// How often a full node may fail to show the head that it announced.
const MAX_STRIKES: u32 = 3;

/// Runs of 192 headers that are walked down from an announced head until they must have met our chain.
const MAX_RUNS: usize = 12;

/// Bytes of headers that such a walk may hold; a usual header has 600.
const MAX_WALK_BYTES: usize = 16 * 1024 * 1024;

/// Heads whose signed announcements are remembered.
const ORIGIN_HEADS: usize = 16;

/// The verified chain and who keeps it up to date.
#[derive(Debug)]
pub struct Follower {
    chain: RwLock<HeaderChain>,
    nodes: Arc<FullNodes>,
    heads: watch::Sender<Option<Arc<HeadUpdate>>>,
    origins: Mutex<VecDeque<(B256, Vec<Origin>)>>,
    /// Total difficulty up to the checkpoint, where the chain hangs on one: the first full node's word, as no
    /// header tells it.
    base_td: OnceLock<U256>,
}

/// Why a full node's line could not be followed.
#[derive(Debug, thiserror::Error)]
enum Stray {
    #[error(transparent)]
    Lie(#[from] Lie),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("its chain does not meet ours at or above block {root}")]
    OtherChain { root: u64 },
    #[error("its chain leaves ours further back than is walked: not met down to block {oldest}")]
    TooFar { oldest: u64 },
    #[error("it announced block {number} and cannot show it")]
    NotShown { number: u64 },
    #[error("it answered a question about headers with something else")]
    WrongKind,
    #[error("header {index} of its answer {wrong}")]
    Run { index: usize, wrong: &'static str },
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl Stray {
    /// Whether the full node is at fault. A reorg deeper than the headers we keep is nobody's lie: it may be ours
    /// that is the wrong branch, by another full node's doing.
    fn is_lie(&self) -> bool {
        match self {
            Self::Header(error) => error.is_lie(),
            Self::Ask(_) | Self::TooFar { .. } => false,
            Self::Lie(_)
            | Self::OtherChain { .. }
            | Self::NotShown { .. }
            | Self::WrongKind
            | Self::Run { .. } => true,
        }
    }
}

impl Follower {
    /// Follows `nodes` from what `chain` holds already.
    pub fn new(chain: HeaderChain, nodes: Arc<FullNodes>) -> Self {
        Self {
            chain: RwLock::new(chain),
            nodes,
            heads: watch::Sender::new(None),
            origins: Mutex::default(),
            base_td: OnceLock::new(),
        }
    }

    /// The verified chain, for a short look.
    pub fn chain(&self) -> RwLockReadGuard<'_, HeaderChain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verified head, now and as it moves; `None` until a full node's line has been followed to its end.
    pub fn heads(&self) -> watch::Receiver<Option<Arc<HeadUpdate>>> {
        self.heads.subscribe()
    }

    /// Follows one full node until its session ends. A lie ends it here.
    pub async fn follow(&self, upstream: Upstream) {
        let span = info_span!("follow", peer = %upstream.peer());
        self.follow_tips(&upstream).instrument(span).await;
        self.nodes.dismiss(&upstream);
    }

    async fn follow_tips(&self, upstream: &Upstream) {
        let mut tips = upstream.tip();
        let mut strikes = 0;
        while upstream.is_live() {
            let tip = tips.borrow_and_update().clone();
            let again = match self.catch_up(upstream, &tip).await {
                Ok(()) => {
                    strikes = 0;
                    false
                }
                Err(Stray::Ask(error)) => {
                    debug!(%error, "headers not answered");
                    true
                }
                Err(Stray::NotShown { number }) if strikes < MAX_STRIKES => {
                    debug!(number, strikes, "announced head not shown");
                    strikes += 1;
                    true
                }
                Err(stray) if stray.is_lie() => {
                    self.nodes.convict(upstream, &stray);
                    return;
                }
                Err(stray) => {
                    warn!(%stray, "full node cannot be followed: disconnected");
                    upstream.leave();
                    return;
                }
            };
            tokio::select! {
                () = upstream.closed() => return,
                changed = tips.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY), if again => {}
            }
        }
    }

    /// Brings the chain to the tip of one full node, if that is heavier than ours.
    async fn catch_up(&self, upstream: &Upstream, tip: &Tip) -> Result<(), Stray> {
        if self.settle(upstream, tip)? {
            return Ok(());
        }
        let (root, ours, our_td) = {
            let chain = self.chain();
            let our_td = chain.head().td.saturating_add(self.base_td());
            (chain.root_number(), chain.head().header.number, our_td)
        };
        if tip.head.number < root {
            return Ok(()); // it is still on its way to the checkpoint, which says nothing against it
        }
        if tip.head.td <= our_td && self.heads.borrow().is_some() {
            // Not heavier than ours, so nothing to follow; but what is announced must exist. Further back than
            // one question reaches a branch is left alone.
            if ours.saturating_sub(tip.head.number) < limit::HEADERS {
                self.join(upstream, &tip.head, tip.reorg_depth).await?;
                if !self.settle(upstream, tip)? {
                    return Err(Stray::NotShown { number: tip.head.number });
                }
            }
            return Ok(());
        }
        self.approach(upstream, tip.head.number).await?;
        if !self.settle(upstream, tip)? {
            self.join(upstream, &tip.head, tip.reorg_depth).await?;
            if !self.settle(upstream, tip)? {
                return Err(Stray::NotShown { number: tip.head.number });
            }
        }
        Ok(())
    }

    /// Whether the announced head is known by now; if so, checks what was claimed of it and publishes.
    fn settle(&self, upstream: &Upstream, tip: &Tip) -> Result<bool, Stray> {
        let chain = self.chain();
        if chain.number_of(&tip.head.hash).is_none() {
            return Ok(false);
        }
        chain.check_announced(&tip.head)?;
        if !chain.knows_total_difficulty() {
            let counted = chain.by_hash(&tip.head.hash).map_or(tip.head.td, |known| known.td);
            self.base_td.get_or_init(|| tip.head.td.saturating_sub(counted));
        }
        drop(chain);
        // Not before: made-up heads would push out the origins of real ones.
        self.remember_origin(causeway_transports::node_key(&upstream.peer()), tip);
        self.publish();
        Ok(true)
    }

    /// Far behind: walks up by number, 192 headers a question, until the tip is within one question's reach.
    async fn approach(&self, upstream: &Upstream, target: u64) -> Result<(), Stray> {
        let root = self.chain().root_number();
        let mut next = self.chain().head().header.number + 1;
        let mut step_back = limit::HEADERS;
        while target.saturating_sub(next) >= limit::HEADERS {
            let headers = self.headers(upstream, HashOrNumber::Number(next), limit::HEADERS, false).await?;
            if headers.is_empty() {
                return Err(Stray::NotShown { number: next });
            }
            // The last one has no child in this answer to vouch for it: where seals are not checked, an altered
            // header would still be a possible one. It comes again as the first of the next run.
            let vouched = headers.len() - 1;
            match self.insert(headers.get(..vouched).unwrap_or_default()).await {
                Ok(()) if vouched == 0 => return Err(Stray::NotShown { number: next + 1 }),
                Ok(()) => next += vouched as u64,
                Err(HeaderError::UnknownParent { .. }) if next > root + 1 => {
                    next = next.saturating_sub(step_back).max(root + 1);
                    step_back *= 2;
                }
                Err(HeaderError::UnknownParent { .. }) => return Err(Stray::OtherChain { root }),
                Err(error) => return Err(error.into()),
            }
            if next % (limit::HEADERS * 16) < limit::HEADERS {
                info!(number = next, target, "following the chain");
            }
        }
        Ok(())
    }

    /// Near: walks down from the announced hash until it meets our chain, then takes the whole run in.
    async fn join(&self, upstream: &Upstream, head: &Head, depth: u64) -> Result<(), Stray> {
        let (root, ours) = {
            let chain = self.chain();
            (chain.root_number(), chain.head().header.number)
        };
        let mut runs: Vec<Vec<Bytes>> = Vec::new();
        let mut bytes = 0;
        let (mut from, mut number) = (head.hash, head.number);
        loop {
            let missing = number.saturating_sub(ours.saturating_sub(depth)).max(1);
            let amount = if runs.is_empty() { missing.min(limit::HEADERS) } else { limit::HEADERS };
            let mut headers = self.headers(upstream, HashOrNumber::Hash(from), amount, true).await?;
            self.cut_below_meeting(&mut headers);
            let Some(oldest) = headers.last() else {
                return Err(Stray::NotShown { number });
            };
            let (oldest_number, parent) = link_of(oldest)?;
            headers.reverse();
            bytes += headers.iter().map(|header| header.len()).sum::<usize>();
            runs.push(headers);
            if self.chain().number_of(&parent).is_some() {
                break;
            }
            // A run that does not meet ours within reach, or claims numbers that cannot be.
            if oldest_number <= root + 1 || oldest_number > number {
                return Err(Stray::OtherChain { root });
            }
            if runs.len() >= MAX_RUNS || bytes > MAX_WALK_BYTES {
                return Err(Stray::TooFar { oldest: oldest_number });
            }
            (from, number) = (parent, oldest_number - 1);
        }
        while let Some(headers) = runs.pop() {
            self.insert(&headers).await?;
        }
        Ok(())
    }

    /// Of a run towards genesis drops what lies below the place where it leaves our chain: that is ours already,
    /// and may reach down to the root, whose own parent nobody knows.
    fn cut_below_meeting(&self, headers: &mut Vec<Bytes>) {
        let chain = self.chain();
        let meets = |rlp: &Bytes| link_of(rlp).is_ok_and(|(_, parent)| chain.number_of(&parent).is_some());
        if let Some(lowest) = headers.iter().position(meets) {
            headers.truncate(lowest + 1);
        }
    }

    async fn headers(
        &self,
        upstream: &Upstream,
        start: HashOrNumber,
        amount: u64,
        reverse: bool,
    ) -> Result<Vec<Bytes>, Stray> {
        let query = Query::Headers { start, amount, skip: 0, reverse };
        let Answer::Headers(headers) = upstream.ask(query).await? else { return Err(Stray::WrongKind) };
        check_run(start, amount, reverse, &headers)?;
        Ok(headers)
    }

    /// Takes headers into the chain.
    pub(crate) async fn insert(&self, headers: &[Bytes]) -> Result<(), HeaderError> {
        for chunk in headers.chunks(INSERT_CHUNK) {
            self.chain.write().unwrap_or_else(PoisonError::into_inner).insert(chunk)?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Publishes the chain's head, if it is heavier than the one published before or more full nodes signed it.
    fn publish(&self) {
        let update = {
            let chain = self.chain();
            let origins = self.origins_of(&chain.head().hash);
            let mut update = chain.head_update(origins.into());
            update.head.td = update.head.td.saturating_add(self.base_td());
            update
        };
        self.heads.send_if_modified(|published| {
            let heavier = published.as_ref().is_none_or(|old| update.head.td > old.head.td);
            let signed = published
                .as_ref()
                .is_some_and(|old| update.head == old.head && update.origins.len() > old.origins.len());
            if heavier {
                debug!(number = update.head.number, hash = %update.head.hash, "new verified head");
            }
            if heavier || signed {
                *published = Some(Arc::new(update));
            }
            heavier || signed
        });
    }

    fn base_td(&self) -> U256 {
        self.base_td.get().copied().unwrap_or_default()
    }

    /// Keeps the signatures of an announced head. `author`: who announced it.
    fn remember_origin(&self, author: Option<NodeKey>, tip: &Tip) {
        let signed: Vec<_> =
            tip.origins.iter().filter(|origin| check::origin(origin).is_ok()).cloned().collect();
        if signed.is_empty() {
            return;
        }
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.iter().all(|(hash, _)| *hash != tip.head.hash) {
            if origins.len() >= ORIGIN_HEADS {
                origins.pop_front();
            }
            origins.push_back((tip.head.hash, Vec::new()));
        }
        let Some((_, of_head)) = origins.iter_mut().find(|(hash, _)| *hash == tip.head.hash) else { return };
        for origin in signed {
            if of_head.iter().any(|other| other.node == origin.node) {
                continue;
            }
            // What our own full nodes sign goes before what they pass on: anybody can make up signers.
            if author == Some(origin.node) {
                of_head.insert(0, origin);
                of_head.truncate(Announce::MAX_ORIGINS);
            } else if of_head.len() < Announce::MAX_ORIGINS {
                of_head.push(origin);
            }
        }
    }

    /// Signed announcements of this head by full nodes.
    pub fn origins_of(&self, hash: &B256) -> Vec<Origin> {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        origins.iter().find(|(head, _)| head == hash).map(|(_, of_head)| of_head.clone()).unwrap_or_default()
    }
}

/// Number and parent of a header.
fn link_of(rlp: &[u8]) -> Result<(u64, B256), Stray> {
    let header: Header =
        alloy_rlp::decode_exact(rlp).map_err(|_| Stray::Run { index: 0, wrong: "is not a header" })?;
    Ok((header.number, header.parent_hash))
}

/// Whether a run of headers begins where it was asked to and each links to the next. Whether it fits our
/// chain is for the insertion to say: it may be a branch.
fn check_run(start: HashOrNumber, amount: u64, reverse: bool, headers: &[Bytes]) -> Result<(), Stray> {
    if headers.len() as u64 > amount {
        return Err(Stray::Run { index: headers.len() - 1, wrong: "was not asked for" });
    }
    let mut previous: Option<(u64, B256, B256)> = None;
    for (index, rlp) in headers.iter().enumerate() {
        let wrong = |wrong| Err(Stray::Run { index, wrong });
        let Ok((number, parent)) = link_of(rlp) else { return wrong("is not a header") };
        let hash = keccak256(rlp);
        match (previous, start) {
            (None, HashOrNumber::Hash(asked)) if asked != hash => {
                return wrong("has another hash than was asked for");
            }
            (None, HashOrNumber::Number(asked)) if asked != number => {
                return wrong("has another number than was asked for");
            }
            (None, HashOrNumber::Hash(_) | HashOrNumber::Number(_)) => {}
            (Some((above, _, parent_of_above)), _) if reverse => {
                if parent_of_above != hash || above.checked_sub(1) != Some(number) {
                    return wrong("is not the parent of the one before");
                }
            }
            (Some((below, hash_of_below, _)), _) => {
                if parent != hash_of_below || below.checked_add(1) != Some(number) {
                    return wrong("is not the child of the one before");
                }
            }
        }
        previous = Some((number, hash, parent));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_that_leaves_ours_far_back_is_nobodys_lie() {
        assert!(!Stray::TooFar { oldest: 5 }.is_lie());
        assert!(!Stray::Header(HeaderError::TooDeep { number: 5 }).is_lie());
        assert!(Stray::OtherChain { root: 0 }.is_lie());
        assert!(Stray::NotShown { number: 5 }.is_lie());
    }
}
