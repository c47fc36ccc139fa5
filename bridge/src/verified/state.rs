//! Accounts, storage and code, checked against state roots of known headers.

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::{EMPTY_ROOT_HASH, TrieAccount};
use alloy_primitives::{B256, Bytes};
use causeway_verify::{check, check::Shown};
use causeway_wire::{AccountKey, Answer, CodeRequest, ProofRequest, Query, les::limit};

use super::{Judged, Verified, WRONG_KIND, blocks::bounded};
use crate::{
    backend::BackendError,
    cache::{Key, Value},
    upstream::Upstream,
};

/// The root in which the paths of a block's state start, or of an account's storage in it.
type Roots = BTreeMap<(B256, Option<B256>), B256>;

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
    ///
    /// A storage path is asked for once its account is proven: geth counts a question about an account that does
    /// not exist as a fault of ours, and hangs up after twenty of them.
    async fn prove(&self, requests: &[ProofRequest]) -> Result<(Proven, Roots), BackendError> {
        let (mut roots, lowest) = self.state_roots(requests).await?;
        let in_reach: Vec<_> =
            requests.iter().filter(|request| roots.contains_key(&(request.block, None))).collect();
        if in_reach.is_empty() {
            return Err(BackendError::UnknownBlock);
        }
        // What is known of accounts is written down here: the cache may forget it while the answer is under way.
        for (block, account) in in_reach.iter().filter_map(|request| storage_of(request)) {
            if let Some(known) = self.cache.account(block, account) {
                roots.insert((block, Some(account)), storage_root(known.as_ref()));
            }
        }

        let mut proven: BTreeMap<ProofRequest, Shown> = BTreeMap::new();
        let mut nodes = Vec::new();
        for round in 0..2 {
            let mut asked: Vec<(ProofRequest, B256)> = Vec::new();
            for request in &in_reach {
                let (block, account) = path_of(request);
                let path = match (roots.get(&(block, account)), account) {
                    (Some(_), _) => from_the_root(request),
                    (None, Some(account)) => account_path(block, account),
                    (None, None) => continue,
                };
                let Some(root) = roots.get(&path_of(&path)).copied() else { continue };
                if proven.contains_key(&path) || asked.iter().any(|(other, _)| *other == path) {
                    continue;
                }
                if root == EMPTY_ROOT_HASH {
                    proven.insert(path, Shown::Absent);
                } else {
                    asked.push((path, root));
                }
            }
            let (shown, found) = match self.ask_paths(&asked, lowest).await {
                Ok(answer) => answer,
                Err(BackendError::NotServed) if round > 0 => break,
                Err(error) => return Err(error),
            };
            nodes.extend(found);
            for ((path, _), shown) in asked.into_iter().zip(shown) {
                if path.account.is_none()
                    && let Some(account) = account_of(&shown)
                {
                    roots.insert((path.block, Some(path.key)), storage_root(account.as_ref()));
                    self.cache.put(Key::Account(path.block, path.key), Value::Account(account));
                }
                proven.insert(path, shown);
            }
        }
        let shown = requests
            .iter()
            .map(|request| proven.get(&from_the_root(request)).cloned().unwrap_or(Shown::LeftOut))
            .collect();
        Ok((Proven { shown, nodes }, roots))
    }

    /// The state roots of the blocks that are known and whose state some full node says it has, and the lowest
    /// of these blocks.
    async fn state_roots(&self, requests: &[ProofRequest]) -> Result<(Roots, Option<u64>), BackendError> {
        let blocks: BTreeSet<_> = requests.iter().map(|request| request.block).collect();
        let mut roots = Roots::new();
        let mut lowest: Option<u64> = None;
        for block in blocks {
            match self.header_of(&block).await {
                Ok(known) if self.somebody_keeps_state(known.header.number) => {
                    roots.insert((block, None), known.header.state_root);
                    lowest =
                        Some(lowest.map_or(known.header.number, |lowest| lowest.min(known.header.number)));
                }
                Ok(_) | Err(BackendError::UnknownBlock | BackendError::NotServed) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((roots, lowest))
    }

    /// Whether a full node says that it has the state of this block; true while none is connected, for who comes
    /// back may have it. Asked in spite of its word, geth counts that as a fault of ours.
    fn somebody_keeps_state(&self, number: u64) -> bool {
        let able = self.nodes.able(&Query::Proofs(Vec::new()), Some(number));
        !able.is_empty() || !self.nodes.all().iter().any(Upstream::is_live)
    }

    /// Asks for paths whose roots are known; gives what each shows, and the nodes.
    async fn ask_paths(
        &self,
        asked: &[(ProofRequest, B256)],
        lowest: Option<u64>,
    ) -> Result<(Vec<Shown>, Vec<Bytes>), BackendError> {
        if asked.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let query = Query::Proofs(asked.iter().map(|(path, _)| path.clone()).collect());
        self.ask_around(&query, lowest, |answer| {
            let Answer::Proofs(nodes) = answer else { return Err(WRONG_KIND) };
            let mut set = check::NodeSet::new(&nodes)?;
            let mut shown = Vec::with_capacity(asked.len());
            for (path, root) in asked {
                let found = set.walk(*root, path.key.as_slice())?;
                if let (None, Shown::Present(value)) = (&path.account, &found) {
                    check::account(value)?;
                }
                shown.push(found);
            }
            set.all_used()?;
            let left_out = shown.iter().filter(|shown| matches!(shown, Shown::LeftOut)).count();
            let outcome = (shown, nodes);
            Ok(match left_out {
                0 => Judged::Whole(outcome),
                all if all == asked.len() => Judged::Nothing,
                _ => Judged::Partial(outcome),
            })
        })
        .await
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
        let mut wanted: Vec<(CodeRequest, B256)> = Vec::new();
        for chunk in requests.chunks(limit::PROOFS as usize) {
            let accounts = self.accounts(chunk).await?;
            for (request, account) in chunk.iter().zip(accounts) {
                if let Some(hash) = code_hash(account.as_ref()) {
                    wanted.push((request.clone(), hash));
                }
            }
        }
        let mut found: BTreeMap<B256, Bytes> = BTreeMap::new();
        for (_, hash) in &wanted {
            if let Some(code) = self.cache.item(&Key::Code(*hash)) {
                found.insert(*hash, code);
            }
        }
        let missing: Vec<_> = wanted.iter().filter(|(_, hash)| !found.contains_key(hash)).cloned().collect();
        if !missing.is_empty() {
            match self.fetch_codes(&missing).await {
                Ok(fetched) => found.extend(fetched),
                Err(BackendError::NotServed) if !found.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        let codes: Vec<_> = wanted.iter().filter_map(|(_, hash)| found.get(hash).cloned()).collect();
        if codes.is_empty() {
            return Err(BackendError::NotServed);
        }
        Ok(Answer::Codes(bounded(codes)))
    }

    /// The accounts of code requests; `None` for one that does not exist or that nobody proves.
    async fn accounts(&self, requests: &[CodeRequest]) -> Result<Vec<Option<TrieAccount>>, BackendError> {
        let mut accounts: Vec<_> = requests
            .iter()
            .map(|request| self.cache.account(request.block, request.account.hash()))
            .collect();
        let (unknown, paths): (Vec<usize>, Vec<ProofRequest>) = requests
            .iter()
            .enumerate()
            .filter(|(index, _)| accounts.get(*index).is_some_and(Option::is_none))
            .map(|(index, request)| (index, account_path(request.block, request.account.hash())))
            .unzip();
        if !paths.is_empty() {
            match self.prove(&paths).await {
                Ok((proven, _)) => {
                    for (index, shown) in unknown.into_iter().zip(&proven.shown) {
                        if let Some(account) = accounts.get_mut(index) {
                            *account = account_of(shown);
                        }
                    }
                }
                Err(BackendError::NotServed | BackendError::UnknownBlock) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(accounts.into_iter().map(Option::flatten).collect())
    }

    async fn fetch_codes(
        &self,
        missing: &[(CodeRequest, B256)],
    ) -> Result<BTreeMap<B256, Bytes>, BackendError> {
        let number = |request: &CodeRequest| self.follower.chain().number_of(&request.block);
        let missing: Vec<_> = missing
            .iter()
            .filter(|(request, _)| number(request).is_none_or(|number| self.somebody_keeps_state(number)))
            .collect();
        if missing.is_empty() {
            return Err(BackendError::NotServed);
        }
        let query = Query::Codes(missing.iter().map(|(request, _)| request.clone()).collect());
        let hashes: Vec<B256> = missing.iter().map(|(_, hash)| *hash).collect();
        let lowest = missing.iter().filter_map(|(request, _)| number(request)).min();
        let codes = self
            .ask_around(&query, lowest, |answer| {
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

/// The path as it is asked for: from the root down, so that it can be checked.
fn from_the_root(request: &ProofRequest) -> ProofRequest {
    ProofRequest { from_level: 0, ..request.clone() }
}

fn account_path(block: B256, account: B256) -> ProofRequest {
    ProofRequest { block, account: None, key: account, from_level: 0 }
}

/// Block and account of a path in an account's storage.
fn storage_of(request: &ProofRequest) -> Option<(B256, B256)> {
    request.account.as_ref().map(|account| (request.block, account.hash()))
}

/// The account that an account's path shows; `None` if it shows nothing.
fn account_of(shown: &Shown) -> Option<Option<TrieAccount>> {
    match shown {
        Shown::Present(value) => check::account(value).ok().map(Some),
        Shown::Absent => Some(None),
        Shown::LeftOut => None,
    }
}

/// Where a path starts: the state of a block, or an account's storage in it.
fn path_of(request: &ProofRequest) -> (B256, Option<B256>) {
    (request.block, request.account.as_ref().map(AccountKey::hash))
}

fn storage_root(account: Option<&TrieAccount>) -> B256 {
    account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root)
}

/// The hash of an account's code, if it has code.
fn code_hash(account: Option<&TrieAccount>) -> Option<B256> {
    account.map(|account| account.code_hash).filter(|hash| *hash != alloy_primitives::KECCAK256_EMPTY)
}
