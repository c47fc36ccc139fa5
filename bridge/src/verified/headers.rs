//! Headers: from the verified index, and from full nodes where only a hash is kept.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{B256, Bytes, keccak256};
use causeway_verify::{HeaderChain, Known, Lie};
use causeway_wire::{Answer, HashOrNumber, Query, les::limit};

use super::{Judged, Verified, WRONG_KIND};
use crate::{backend::BackendError, cache::Key};

/// What the index says the answer must be, block by block.
struct Plan {
    blocks: Vec<Planned>,
}

struct Planned {
    number: u64,
    hash: B256,
    rlp: Option<Bytes>,
}

impl Plan {
    /// The blocks that a header query means, as far as the verified chain knows them.
    fn new(chain: &HeaderChain, start: HashOrNumber, amount: u64, skip: u64, reverse: bool) -> Self {
        let amount = amount.min(limit::HEADERS);
        let (mut number, side) = match start {
            HashOrNumber::Number(number) => (number, None),
            HashOrNumber::Hash(hash) => match chain.number_of(&hash) {
                None => return Self { blocks: Vec::new() },
                Some(number) if chain.canonical(number).is_some_and(|(canonical, _)| canonical == hash) => {
                    (number, None)
                }
                Some(number) => (number, Some(hash)),
            },
        };
        if let Some(hash) = side {
            return Self::side(chain, hash, amount, skip, reverse);
        }
        let mut blocks = Vec::new();
        while (blocks.len() as u64) < amount {
            let Some((hash, _)) = chain.canonical(number) else { break };
            blocks.push(Planned { number, hash, rlp: chain.by_hash(&hash).map(|known| known.rlp.clone()) });
            let next = skip
                .checked_add(1)
                .and_then(|step| if reverse { number.checked_sub(step) } else { number.checked_add(step) });
            let Some(next) = next else { break };
            number = next;
        }
        Self { blocks }
    }

    /// On a side branch only the way down is known: ascending follows the canonical chain only (les.md 2.1).
    fn side(chain: &HeaderChain, start: B256, amount: u64, skip: u64, reverse: bool) -> Self {
        let mut blocks = Vec::new();
        let mut next = Some(start);
        while (blocks.len() as u64) < amount
            && let Some(hash) = next
            && let Some(number) = chain.number_of(&hash)
        {
            blocks.push(Planned { number, hash, rlp: chain.by_hash(&hash).map(|known| known.rlp.clone()) });
            let step = skip.checked_add(1).filter(|_| reverse);
            next = step.and_then(|step| chain.ancestor(&hash, step));
        }
        Self { blocks }
    }

    /// From the first to the last block whose bytes are not at hand. They are far behind the head, where no full
    /// node of this chain has others; those around them may be near the head, where it may.
    fn missing(&self) -> &[Planned] {
        let is_missing = |block: &Planned| block.rlp.is_none();
        let first = self.blocks.iter().position(is_missing).unwrap_or(self.blocks.len());
        let end = self.blocks.iter().rposition(is_missing).map_or(first, |last| last + 1);
        self.blocks.get(first..end).unwrap_or_default()
    }

    fn whole(&self) -> Option<Vec<Bytes>> {
        self.blocks.iter().map(|block| block.rlp.clone()).collect()
    }
}

impl Verified {
    pub(super) fn headers_now(
        &self,
        start: HashOrNumber,
        amount: u64,
        skip: u64,
        reverse: bool,
    ) -> Option<Answer> {
        let mut plan = Plan::new(&self.follower.chain(), start, amount, skip, reverse);
        self.fill(&mut plan);
        plan.whole().map(Answer::Headers)
    }

    fn fill(&self, plan: &mut Plan) {
        for block in plan.blocks.iter_mut().filter(|block| block.rlp.is_none()) {
            block.rlp = self.cache.item(&Key::Header(block.hash));
        }
    }

    pub(super) async fn headers(
        &self,
        start: HashOrNumber,
        amount: u64,
        skip: u64,
        reverse: bool,
    ) -> Result<Answer, BackendError> {
        let mut plan = Plan::new(&self.follower.chain(), start, amount, skip, reverse);
        self.fill(&mut plan);
        if let Some(whole) = plan.whole() {
            return Ok(Answer::Headers(whole));
        }
        let missing = plan.missing();
        let Some(first) = missing.first() else { return Ok(Answer::Headers(Vec::new())) };
        let query = Query::Headers {
            start: HashOrNumber::Number(first.number),
            amount: missing.len() as u64,
            skip,
            reverse,
        };
        let highest = missing.iter().map(|block| block.number).max();
        let headers = self
            .ask_around(&query, highest, |answer| {
                let Answer::Headers(headers) = answer else { return Err(WRONG_KIND) };
                if headers.len() > missing.len() {
                    return Err(Lie::TooMany { what: "headers", found: headers.len(), asked: missing.len() });
                }
                for (header, block) in headers.iter().zip(missing) {
                    let found = keccak256(header);
                    if found != block.hash {
                        return Err(Lie::NotCanonical { number: block.number, found, canonical: block.hash });
                    }
                }
                Ok(match headers.len() {
                    0 => Judged::Nothing,
                    got if got < missing.len() => Judged::Partial(headers),
                    _ => Judged::Whole(headers),
                })
            })
            .await?;
        for (header, block) in headers.iter().zip(missing) {
            self.cache.put_item(Key::Header(block.hash), header);
        }
        let mut fetched: BTreeMap<B256, Bytes> =
            missing.iter().map(|block| block.hash).zip(headers).collect();
        let whole =
            plan.blocks.into_iter().map_while(|block| block.rlp.or_else(|| fetched.remove(&block.hash)));
        Ok(Answer::Headers(whole.collect()))
    }

    /// A block of the verified chain.
    ///
    /// # Errors
    /// If it is not on the verified chain, or nobody shows its header.
    pub async fn block(&self, block: HashOrNumber) -> Result<Arc<Known>, BackendError> {
        let hash = match block {
            HashOrNumber::Hash(hash) => hash,
            HashOrNumber::Number(number) => {
                self.follower.chain().canonical(number).ok_or(BackendError::UnknownBlock)?.0
            }
        };
        self.header_of(&hash).await
    }

    /// The header of a known block, whole.
    pub(super) async fn header_of(&self, block: &B256) -> Result<Arc<Known>, BackendError> {
        if let Some(known) = self.header_now(block) {
            return Ok(known);
        }
        let number = self.follower.chain().number_of(block).ok_or(BackendError::UnknownBlock)?;
        let Answer::Headers(headers) = self.headers(HashOrNumber::Number(number), 1, 0, false).await? else {
            return Err(BackendError::NotServed);
        };
        let header = headers.first().ok_or(BackendError::NotServed)?;
        self.follower.chain().recognise(header).map_err(|_| BackendError::UnknownBlock)
    }

    /// The header of a known block, if it is at hand.
    pub(super) fn header_now(&self, block: &B256) -> Option<Arc<Known>> {
        let chain = self.follower.chain();
        if let Some(known) = chain.by_hash(block) {
            return Some(Arc::clone(known));
        }
        chain.number_of(block)?;
        let rlp = self.cache.item(&Key::Header(*block))?;
        chain.recognise(&rlp).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks ascending from 0; those marked are at hand.
    fn plan(at_hand: &[bool]) -> Plan {
        let planned = |(number, known): (u64, &bool)| {
            let rlp = known.then(|| Bytes::from_static(b"header"));
            Planned { number, hash: B256::with_last_byte(number as u8), rlp }
        };
        Plan { blocks: (0..).zip(at_hand).map(planned).collect() }
    }

    fn missing(at_hand: &[bool]) -> Vec<u64> {
        plan(at_hand).missing().iter().map(|block| block.number).collect()
    }

    #[test]
    fn no_full_node_is_asked_for_what_is_at_hand_near_the_head() {
        assert_eq!(missing(&[false, true]), [0]);
        assert_eq!(missing(&[true, false, false, true, true]), [1, 2]);
        assert_eq!(missing(&[false, true, false, true]), [0, 1, 2]);
        assert_eq!(missing(&[true, true]), [] as [u64; 0]);
        assert_eq!(missing(&[]), [] as [u64; 0]);
    }
}
