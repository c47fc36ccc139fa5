//! Bodies and receipts, checked against the roots of known headers.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use causeway_verify::{Known, Lie, check};
use causeway_wire::{Answer, Query, les::limit};

use super::{Judged, Verified, WRONG_KIND};
use crate::{backend::BackendError, cache::Key};

/// Which part of a block.
#[derive(Clone, Copy)]
enum Part {
    Body,
    Receipts,
}

impl Part {
    fn key(self, block: B256) -> Key {
        match self {
            Self::Body => Key::Body(block),
            Self::Receipts => Key::Receipts(block),
        }
    }

    fn query(self, blocks: Vec<B256>) -> Query {
        match self {
            Self::Body => Query::Bodies(blocks),
            Self::Receipts => Query::Receipts(blocks),
        }
    }

    fn answer(self, items: Vec<Bytes>) -> Answer {
        match self {
            Self::Body => Answer::Bodies(items),
            Self::Receipts => Answer::Receipts(items),
        }
    }

    fn items(self, answer: Answer) -> Result<Vec<Bytes>, Lie> {
        match (self, answer) {
            (Self::Body, Answer::Bodies(items)) | (Self::Receipts, Answer::Receipts(items)) => Ok(items),
            _ => Err(WRONG_KIND),
        }
    }

    fn check(self) -> fn(&Header, &[u8]) -> Result<(), Lie> {
        match self {
            Self::Body => check::body,
            Self::Receipts => check::receipts,
        }
    }
}

impl Verified {
    pub(super) fn bodies_now(&self, blocks: &[B256]) -> Option<Answer> {
        self.parts_now(Part::Body, blocks)
    }

    pub(super) fn receipts_now(&self, blocks: &[B256]) -> Option<Answer> {
        self.parts_now(Part::Receipts, blocks)
    }

    pub(super) async fn bodies(&self, blocks: &[B256]) -> Result<Answer, BackendError> {
        self.parts(Part::Body, blocks).await
    }

    pub(super) async fn receipts(&self, blocks: &[B256]) -> Result<Answer, BackendError> {
        self.parts(Part::Receipts, blocks).await
    }

    /// One body of a known block.
    pub(super) async fn body_of(&self, block: B256) -> Result<Bytes, BackendError> {
        let Answer::Bodies(bodies) = self.bodies(&[block]).await? else {
            return Err(BackendError::NotServed);
        };
        bodies.into_iter().next().ok_or(BackendError::NotServed)
    }

    fn parts_now(&self, part: Part, blocks: &[B256]) -> Option<Answer> {
        let items: Option<Vec<_>> = blocks.iter().map(|block| self.cache.item(&part.key(*block))).collect();
        items.map(|items| part.answer(bounded(items)))
    }

    /// What is at hand, and the rest from full nodes; unknown blocks and what nobody has are left out.
    async fn parts(&self, part: Part, blocks: &[B256]) -> Result<Answer, BackendError> {
        let mut items: Vec<Option<Bytes>> =
            blocks.iter().map(|block| self.cache.item(&part.key(*block))).collect();
        let mut missing: Vec<(usize, Arc<Known>)> = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            if items[index].is_none() {
                match self.header_of(block).await {
                    Ok(known) => missing.push((index, known)),
                    Err(BackendError::UnknownBlock | BackendError::NotServed) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if !missing.is_empty() {
            let fetched = self.fetch_parts(part, &missing).await;
            match fetched {
                Ok(fetched) => {
                    for ((index, known), item) in missing.iter().zip(fetched) {
                        if let Some(item) = item {
                            self.cache.put_item(part.key(known.hash), &item);
                            items[*index] = Some(item);
                        }
                    }
                }
                Err(BackendError::NotServed) if items.iter().any(Option::is_some) => {}
                Err(error) => return Err(error),
            }
        }
        let items: Vec<_> = items.into_iter().flatten().collect();
        if items.is_empty() && !blocks.is_empty() {
            return Err(BackendError::NotServed);
        }
        Ok(part.answer(bounded(items)))
    }

    async fn fetch_parts(
        &self,
        part: Part,
        missing: &[(usize, Arc<Known>)],
    ) -> Result<Vec<Option<Bytes>>, BackendError> {
        let headers: Vec<&Header> = missing.iter().map(|(_, known)| &known.header).collect();
        let highest = headers.iter().map(|header| header.number).max();
        let query = part.query(missing.iter().map(|(_, known)| known.hash).collect());
        self.ask_around(&query, highest, |answer| {
            let items = part.items(answer)?;
            let verdict = check::in_order(&headers, &items, part.check())?;
            let found: Vec<_> =
                verdict.items.iter().map(|index| index.and_then(|index| items.get(index).cloned())).collect();
            Ok(if found.iter().all(Option::is_some) {
                Judged::Whole(found)
            } else if found.iter().all(Option::is_none) {
                Judged::Nothing
            } else {
                Judged::Partial(found)
            })
        })
        .await
    }
}

/// The first items, up to the size at which servers stop adding (les.md section 2).
pub(super) fn bounded(mut items: Vec<Bytes>) -> Vec<Bytes> {
    let mut size = 0;
    let fitting = items.iter().take_while(|item| {
        let fits = size < limit::SOFT_ANSWER_BYTES;
        size += item.len();
        fits
    });
    let fitting = fitting.count();
    items.truncate(fitting);
    items
}
