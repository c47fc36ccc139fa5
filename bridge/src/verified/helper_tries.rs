//! Canonical hash tries: proofs checked against roots that our own header index gives.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Mutex, PoisonError},
};

use alloy_primitives::{B256, U256};
use causeway_verify::check::{self, CHT_SECTION as SECTION, HelperShown};
use causeway_wire::{Answer, HelperTrie, HelperTrieRequest, Query};

use super::{Judged, Verified, WRONG_KIND};
use crate::backend::BackendError;

/// Confirmations after which full nodes build a section's trie (les.md 7.2).
const CONFIRMATIONS: u64 = 256;

/// Roots that were computed already; a section is final once it is built.
#[derive(Debug, Default)]
pub(super) struct Roots(Mutex<BTreeMap<u64, B256>>);

impl Verified {
    /// The root of a section's canonical hash trie, if the index reaches back to genesis and past the section.
    ///
    /// The first question about a section costs one pass over all blocks up to its end.
    pub async fn cht_root(&self, section: u64) -> Option<B256> {
        let roots = self.helper_roots.0.lock().unwrap_or_else(PoisonError::into_inner).get(&section).copied();
        if roots.is_some() {
            return roots;
        }
        let end = section.checked_add(1)?.checked_mul(SECTION)?;
        let blocks: Vec<(u64, B256, U256)> = {
            let chain = self.follower.chain();
            if chain.root_number() != 0 || chain.head().header.number < end.checked_add(CONFIRMATIONS)? - 1 {
                return None;
            }
            (0..end)
                .map_while(|number| chain.canonical(number).map(|(hash, td)| (number, hash, td)))
                .collect()
        };
        if blocks.len() as u64 != end {
            return None;
        }
        let root = tokio::task::spawn_blocking(|| check::cht_root(blocks.into_iter())).await.ok()?;
        self.helper_roots.0.lock().unwrap_or_else(PoisonError::into_inner).insert(section, root);
        Some(root)
    }

    /// Bloom tries are not served: their roots cannot be had from headers alone without all blooms.
    pub(super) async fn helper_tries(&self, requests: &[HelperTrieRequest]) -> Result<Answer, BackendError> {
        let mut roots = BTreeMap::new();
        for request in requests {
            if request.trie != HelperTrie::CanonicalHash {
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
