//! Canonical hash tries: proofs checked against roots that our own header index gives.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::{B256, U256};
use causeway_verify::{
    HeaderChain,
    check::{self, CHT_SECTION as SECTION, HelperShown},
};
use causeway_wire::{Answer, HelperTrie, HelperTrieRequest, Query};
use tokio::sync::Semaphore;

use super::{Judged, Verified, WRONG_KIND};
use crate::backend::BackendError;

/// Confirmations after which full nodes build a section's trie (les.md 7.2).
const CONFIRMATIONS: u64 = 256;

/// Roots that were computed already; a section is final once it is built.
#[derive(Debug)]
pub(super) struct Roots {
    known: Arc<Mutex<BTreeMap<u64, B256>>>,
    /// One is computed at a time: each holds its section's blocks in memory and a core for seconds.
    building: Arc<Semaphore>,
}

impl Default for Roots {
    fn default() -> Self {
        Self { known: Arc::default(), building: Arc::new(Semaphore::new(1)) }
    }
}

impl Roots {
    fn get(&self, section: u64) -> Option<B256> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&section).copied()
    }
}

impl Verified {
    /// The root of a section's canonical hash trie, if the index reaches back to genesis and past the section.
    ///
    /// The first question about a section costs one pass over all blocks up to its end. Whoever gives up waiting
    /// does not undo it: the next one finds the root.
    pub async fn cht_root(&self, section: u64) -> Option<B256> {
        if let Some(root) = self.helper_roots.get(section) {
            return Some(root);
        }
        let end = section.checked_add(1)?.checked_mul(SECTION)?;
        let is_built = |chain: &HeaderChain| {
            let settled = end.checked_add(CONFIRMATIONS);
            chain.root_number() == 0
                && settled.is_some_and(|settled| chain.head().header.number >= settled - 1)
        };
        if !is_built(&self.follower.chain()) {
            return None;
        }
        let turn = Arc::clone(&self.helper_roots.building).acquire_owned().await.ok()?;
        if let Some(root) = self.helper_roots.get(section) {
            return Some(root);
        }
        let blocks: Vec<(u64, B256, U256)> = {
            let chain = self.follower.chain();
            (0..end)
                .map_while(|number| chain.canonical(number).map(|(hash, td)| (number, hash, td)))
                .collect()
        };
        if blocks.len() as u64 != end {
            return None;
        }
        let known = Arc::clone(&self.helper_roots.known);
        let building = tokio::task::spawn_blocking(move || {
            let root = check::cht_root(blocks.into_iter());
            known.lock().unwrap_or_else(PoisonError::into_inner).insert(section, root);
            drop(turn);
            root
        });
        building.await.ok()
    }

    /// Bloom tries are not served: their roots cannot be had from headers alone without all blooms.
    pub(super) async fn helper_tries(&self, requests: &[HelperTrieRequest]) -> Result<Answer, BackendError> {
        let mut roots = BTreeMap::new();
        for request in requests {
            if request.trie != HelperTrie::CanonicalHash {
                return Err(BackendError::NotServed);
            }
            // Of a block that is not in the trie, geth shows the header beside the proof that it is not there;
            // such answers prove nothing that anybody needs.
            if !is_in_section(request) {
                return Err(BackendError::NotServed);
            }
            let section = request.section;
            if let Entry::Vacant(entry) = roots.entry(section) {
                entry.insert(self.cht_root(section).await.ok_or(BackendError::NotServed)?);
            }
        }
        // Asked for from the root down, so that the proof can be checked, and passed on so: geth ignores
        // `fromLevel` since 1.12.1, and its clients ask from level 0 always.
        let whole: Vec<_> =
            requests.iter().map(|request| HelperTrieRequest { from_level: 0, ..request.clone() }).collect();
        let query = Query::HelperTries(whole.clone());
        let (nodes, auxiliary) = self
            .ask_around(&query, None, |answer| {
                let Answer::HelperTries { nodes, auxiliary } = answer else { return Err(WRONG_KIND) };
                let root = |_, section| roots.get(&section).copied();
                let shown = check::helper_tries(&whole, &nodes, &auxiliary, &root)?;
                let left_out = shown.iter().any(|shown| matches!(shown, HelperShown::LeftOut));
                Ok(if left_out { Judged::Nothing } else { Judged::Whole((nodes, auxiliary)) })
            })
            .await?;
        Ok(Answer::HelperTries { nodes, auxiliary })
    }
}

/// Whether the key is the number of a block that the section's trie holds.
fn is_in_section(request: &HelperTrieRequest) -> bool {
    let key: &[u8] = &request.key;
    let Ok(number) = key.try_into().map(u64::from_be_bytes) else { return false };
    let end = request.section.checked_add(1).and_then(|sections| sections.checked_mul(SECTION));
    end.is_some_and(|end| number < end)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;

    use super::*;

    fn request(section: u64, key: Bytes) -> HelperTrieRequest {
        HelperTrieRequest { trie: HelperTrie::CanonicalHash, section, key, from_level: 0, auxiliary: 2 }
    }

    #[test]
    fn only_blocks_up_to_the_sections_end_are_asked_for() {
        assert!(is_in_section(&request(0, check::cht_key(0))));
        assert!(is_in_section(&request(0, check::cht_key(SECTION - 1))));
        assert!(is_in_section(&request(1, check::cht_key(SECTION))));
        assert!(!is_in_section(&request(0, check::cht_key(SECTION))));
        assert!(!is_in_section(&request(u64::MAX, check::cht_key(0))));
        assert!(!is_in_section(&request(0, Bytes::new())));
        assert!(!is_in_section(&request(0, Bytes::from_static(&[0; 7]))));
        assert!(!is_in_section(&request(0, Bytes::from_static(&[0; 9]))));
    }
}
