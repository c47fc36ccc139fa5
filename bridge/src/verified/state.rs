//! Accounts, storage and code, checked against state roots of known headers.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::TrieAccount;
use alloy_primitives::{B256, Bytes};
use causeway_verify::{Lie, check, check::Shown};
use causeway_wire::{AccountKey, Answer, CodeRequest, ProofRequest, Query, les::limit};

use super::{Judged, Verified, WRONG_KIND, blocks::bounded};
use crate::{
    backend::BackendError,
    cache::{Key, Value},
};

/// A proof list that passed: what each path shows, and the nodes, unpruned.
struct Proven {
    shown: Vec<Shown>,
    nodes: Vec<Bytes>,
}

impl Verified {
    pub(super) fn proofs_now(&self, requests: &[ProofRequest]) -> Option<Answer> {
        let nodes = self.cache.items(&Key::Proofs(requests.to_vec()))?;
        Some(Answer::Proofs(nodes.to_vec()))
    }

    /// Proves the paths. For a path in an account's storage the account is proven along with it; the answer
    /// holds just the nodes of the paths that were asked for, as geth's clients demand (les.md 2.2).
    pub(super) async fn proofs(&self, requests: &[ProofRequest]) -> Result<Answer, BackendError> {
        let (mut nodes, mut seen) = (Vec::new(), BTreeSet::new());
        let mut answered = 0;
        // Each storage path may bring an account path along: half of the limit at a time.
        for chunk in requests.chunks(limit::PROOFS as usize / 2) {
            let (proven, roots) = match self.prove(chunk).await {
                Ok(proven) => proven,
                Err(BackendError::NotServed | BackendError::UnknownBlock) => continue,
                Err(error) => return Err(error),
            };
            let shown: Vec<_> = chunk
                .iter()
                .zip(&proven.shown)
                .filter(|(_, shown)| !matches!(shown, Shown::LeftOut))
                .map(|(request, _)| request.clone())
                .collect();
            answered += shown.len();
            let pruned =
                check::prune(&shown, &proven.nodes, &|request| roots.get(&path_of(request)).copied());
            nodes.extend(pruned.into_iter().filter(|node| seen.insert(alloy_primitives::keccak256(node))));
        }
        if answered == 0 && !requests.is_empty() {
            return Err(BackendError::NotServed);
        }
        if answered == requests.len() {
            let kept = nodes.iter().map(|node| Bytes::copy_from_slice(node)).collect();
            self.cache.put(Key::Proofs(requests.to_vec()), Value::Items(kept));
        }
        Ok(Answer::Proofs(nodes))
    }

    /// Proves paths, and gives the root that each path starts from.
    async fn prove(
        &self,
        requests: &[ProofRequest],
    ) -> Result<(Proven, BTreeMap<(B256, Option<B256>), B256>), BackendError> {
        let mut state_roots = BTreeMap::new();
        let mut highest = None;
        for request in requests {
            if state_roots.contains_key(&request.block) {
                continue;
            }
            match self.header_of(&request.block).await {
                Ok(known) => {
                    state_roots.insert(request.block, known.header.state_root);
                    highest = highest.max(Some(known.header.number));
                }
                Err(BackendError::UnknownBlock | BackendError::NotServed) => {}
                Err(error) => return Err(error),
            }
        }
        // Accounts first, so that storage roots are known when the storage paths are walked.
        let mut asked: Vec<ProofRequest> = Vec::new();
        for request in requests.iter().filter(|request| state_roots.contains_key(&request.block)) {
            if let Some(account) = request.account {
                let path =
                    ProofRequest { block: request.block, account: None, key: account.hash(), from_level: 0 };
                let known = self.cache.account(path.block, path.key).is_some();
                if !known && !asked.contains(&path) {
                    asked.push(path);
                }
            }
        }
        for request in requests.iter().filter(|request| state_roots.contains_key(&request.block)) {
            let path = ProofRequest { from_level: 0, ..request.clone() };
            if !asked.contains(&path) {
                asked.push(path);
            }
        }
        if asked.is_empty() {
            return Err(BackendError::UnknownBlock);
        }
        let query = Query::Proofs(asked.clone());
        let (shown, storage_roots, nodes) = self
            .ask_around(&query, highest, |answer| {
                let Answer::Proofs(nodes) = answer else { return Err(WRONG_KIND) };
                let mut set = check::NodeSet::new(&nodes)?;
                let mut storage_roots = BTreeMap::new();
                let mut shown = Vec::with_capacity(asked.len());
                for request in &asked {
                    shown.push(self.walk(&mut set, request, &state_roots, &mut storage_roots)?);
                }
                set.all_used()?;
                let left_out = shown.iter().filter(|shown| matches!(shown, Shown::LeftOut)).count();
                let outcome = (shown, storage_roots, nodes);
                Ok(match left_out {
                    0 => Judged::Whole(outcome),
                    all if all == asked.len() => Judged::Nothing,
                    _ => Judged::Partial(outcome),
                })
            })
            .await?;
        let mut roots = BTreeMap::new();
        for (block, root) in &state_roots {
            roots.insert((*block, None), *root);
        }
        for ((block, account), root) in &storage_roots {
            roots.insert((*block, Some(*account)), *root);
        }
        let of_path: BTreeMap<_, _> = asked.iter().zip(shown).collect();
        let shown = requests
            .iter()
            .map(|request| {
                let path = ProofRequest { from_level: 0, ..request.clone() };
                of_path.get(&path).cloned().unwrap_or(Shown::LeftOut)
            })
            .collect();
        Ok((Proven { shown, nodes }, roots))
    }

    /// Walks one path; an account met on the way is remembered with its storage root.
    fn walk(
        &self,
        set: &mut check::NodeSet,
        request: &ProofRequest,
        state_roots: &BTreeMap<B256, B256>,
        storage_roots: &mut BTreeMap<(B256, B256), B256>,
    ) -> Result<Shown, Lie> {
        let root = match request.account {
            None => state_roots.get(&request.block).copied(),
            Some(account) => match storage_roots.get(&(request.block, account.hash())) {
                Some(root) => Some(*root),
                None => self
                    .cache
                    .account(request.block, account.hash())
                    .map(|account| storage_root(account.as_ref())),
            },
        };
        let Some(root) = root else { return Ok(Shown::LeftOut) };
        let shown = set.walk(root, request.key.as_slice())?;
        match (request.account, &shown) {
            (None, Shown::Present(value)) => {
                let account = check::account(value)?;
                storage_roots.insert((request.block, request.key), account.storage_root);
                self.cache.put(Key::Account(request.block, request.key), Value::Account(Some(account)));
            }
            (None, Shown::Absent) => {
                storage_roots.insert((request.block, request.key), storage_root(None));
                self.cache.put(Key::Account(request.block, request.key), Value::Account(None));
            }
            (Some(account), _) => {
                storage_roots.insert((request.block, account.hash()), root);
            }
            (None, Shown::LeftOut) => {}
        }
        Ok(shown)
    }

    pub(super) fn codes_now(&self, requests: &[CodeRequest]) -> Option<Answer> {
        let mut codes = Vec::with_capacity(requests.len());
        for request in requests {
            let account = self.cache.account(request.block, request.account.hash())?;
            let Some(hash) = code_hash(account.as_ref()) else { continue };
            codes.push(self.cache.item(&Key::Code(hash))?);
        }
        (!codes.is_empty()).then(|| Answer::Codes(bounded(codes)))
    }

    /// Codes, each checked against the code hash of its proven account. An account without code has no
    /// entry in the answer, as with geth.
    pub(super) async fn codes(&self, requests: &[CodeRequest]) -> Result<Answer, BackendError> {
        let accounts: Vec<_> = requests
            .iter()
            .filter(|request| self.cache.account(request.block, request.account.hash()).is_none())
            .map(|request| ProofRequest {
                block: request.block,
                account: None,
                key: request.account.hash(),
                from_level: 0,
            })
            .collect();
        if !accounts.is_empty() {
            match self.proofs(&accounts).await {
                Ok(_) | Err(BackendError::NotServed | BackendError::UnknownBlock) => {}
                Err(error) => return Err(error),
            }
        }
        let mut wanted: Vec<(CodeRequest, B256)> = Vec::new();
        for request in requests {
            let account = self.cache.account(request.block, request.account.hash()).flatten();
            if let Some(hash) = code_hash(account.as_ref()) {
                wanted.push((request.clone(), hash));
            }
        }
        let missing: Vec<_> =
            wanted.iter().filter(|(_, hash)| self.cache.item(&Key::Code(*hash)).is_none()).cloned().collect();
        let mut fetched = BTreeMap::new();
        if !missing.is_empty() {
            fetched = self.fetch_codes(&missing).await?;
        }
        let codes: Vec<_> = wanted
            .iter()
            .filter_map(|(_, hash)| fetched.get(hash).cloned().or_else(|| self.cache.item(&Key::Code(*hash))))
            .collect();
        if codes.is_empty() {
            return Err(BackendError::NotServed);
        }
        Ok(Answer::Codes(bounded(codes)))
    }

    async fn fetch_codes(
        &self,
        missing: &[(CodeRequest, B256)],
    ) -> Result<BTreeMap<B256, Bytes>, BackendError> {
        let query = Query::Codes(missing.iter().map(|(request, _)| request.clone()).collect());
        let hashes: Vec<B256> = missing.iter().map(|(_, hash)| *hash).collect();
        let highest =
            missing.iter().filter_map(|(request, _)| self.follower.chain().number_of(&request.block)).max();
        let codes = self
            .ask_around(&query, highest, |answer| {
                let Answer::Codes(codes) = answer else { return Err(WRONG_KIND) };
                let verdict = check::codes(&hashes, &codes)?;
                let found = verdict.items.iter().filter(|item| item.is_some()).count();
                Ok(match found {
                    0 => Judged::Nothing,
                    found if found < hashes.len() => Judged::Partial(codes),
                    _ => Judged::Whole(codes),
                })
            })
            .await?;
        let by_hash: BTreeMap<_, _> =
            codes.into_iter().map(|code| (alloy_primitives::keccak256(&code), code)).collect();
        for (hash, code) in &by_hash {
            self.cache.put_item(Key::Code(*hash), code);
        }
        Ok(by_hash)
    }
}

/// Where a path starts: the state of a block, or an account's storage in it.
fn path_of(request: &ProofRequest) -> (B256, Option<B256>) {
    (request.block, request.account.as_ref().map(AccountKey::hash))
}

fn storage_root(account: Option<&TrieAccount>) -> B256 {
    account.map_or(alloy_consensus::EMPTY_ROOT_HASH, |account| account.storage_root)
}

/// The hash of an account's code, if it has code.
fn code_hash(account: Option<&TrieAccount>) -> Option<B256> {
    account.map(|account| account.code_hash).filter(|hash| *hash != alloy_primitives::KECCAK256_EMPTY)
}
