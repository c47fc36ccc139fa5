//! What a light peer reads, each answer checked, as one JSON object (design section 4).

use std::sync::Arc;

use alloy_consensus::{EMPTY_ROOT_HASH, TrieAccount};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use anyhow::{Context, bail};
use causeway_bridge::{Backend, Path, Upstream};
use causeway_verify::{
    Known,
    check::{self, Shown},
};
use causeway_wire::{
    AccountKey, Answer, CodeRequest, HashOrNumber, HelperTrie, HelperTrieRequest, ProofRequest, Query,
    TransactionStatus,
};
use serde_json::{Map, Value, json};

use super::{LightPeer, json as spell};
use crate::cli::BlockArg;

/// Blocks in a section of the canonical hash trie.
const SECTION: u64 = 32_768;

fn with(mut object: Map<String, Value>, fields: Value) -> Value {
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    Value::Object(object)
}

impl LightPeer {
    /// An object with the fields that every answer has.
    fn answer(&self, verified: bool, by: String) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("schema".into(), json!(1));
        object.insert("verified".into(), json!(verified));
        object.insert("by".into(), json!(by));
        let session = self.session();
        object.insert("path".into(), json!(session.as_ref().map(|session| Path::of(session).name())));
        object.insert("transport".into(), json!(session.as_ref().map(Upstream::transport)));
        object
    }

    async fn block(&self, block: BlockArg) -> anyhow::Result<Arc<Known>> {
        let start = match block {
            BlockArg::Head => HashOrNumber::Hash(self.head()?.head.hash),
            BlockArg::Number(number) => HashOrNumber::Number(number),
            BlockArg::Hash(hash) => HashOrNumber::Hash(hash),
        };
        self.verified().block(start).await.context("the block is not on the verified chain")
    }

    fn header_fields(&self, known: &Known) -> Value {
        spell::header(known, self.verified().follower().chain().knows_total_difficulty())
    }

    /// A header.
    ///
    /// # Errors
    /// If the block is not on the verified chain.
    pub(crate) async fn header(&self, block: BlockArg) -> anyhow::Result<Value> {
        let known = self.block(block).await?;
        Ok(with(self.answer(true, self.header_rule()), self.header_fields(&known)))
    }

    /// A block's transactions, uncles and withdrawals.
    ///
    /// # Errors
    /// If the server does not show a body that fits the header.
    pub(crate) async fn body(&self, block: BlockArg) -> anyhow::Result<Value> {
        let known = self.block(block).await?;
        let Answer::Bodies(bodies) = self.ask(Query::Bodies(vec![known.hash])).await? else {
            bail!("not a body")
        };
        let body = bodies.first().context("the server does not have this body")?;
        let by = format!(
            "transactions, uncles and withdrawals roots of block {}; {}",
            known.header.number,
            self.header_rule()
        );
        Ok(with(self.answer(true, by), spell::body(&known, body)?))
    }

    /// A block's receipts.
    ///
    /// # Errors
    /// If the server does not show receipts that fit the header.
    pub(crate) async fn receipts(&self, block: BlockArg) -> anyhow::Result<Value> {
        let known = self.block(block).await?;
        let Answer::Receipts(lists) = self.ask(Query::Receipts(vec![known.hash])).await? else {
            bail!("not receipts")
        };
        let list = lists.first().context("the server does not have these receipts")?;
        let by = format!("receipts root of block {}; {}", known.header.number, self.header_rule());
        Ok(with(self.answer(true, by), spell::receipts(&known, list)))
    }

    /// An account and slots of its storage, as `eth_getProof` gives it.
    ///
    /// # Errors
    /// If the server does not prove them.
    pub(crate) async fn account(
        &self,
        address: Address,
        slots: &[U256],
        at: BlockArg,
    ) -> anyhow::Result<Value> {
        let known = self.block(at).await?;
        let hash = keccak256(address);
        let path = ProofRequest { block: known.hash, account: None, key: hash, from_level: 0 };
        let (shown, account_proof) = self.prove(path, known.header.state_root).await?;
        let account = match &shown {
            Shown::Present(value) => Some(check::account(value)?),
            Shown::Absent => None,
            Shown::LeftOut => bail!("the server does not have this state any more"),
        };
        let account = account.unwrap_or(TrieAccount {
            nonce: 0,
            balance: U256::ZERO,
            storage_root: EMPTY_ROOT_HASH,
            code_hash: KECCAK256_EMPTY,
        });
        let mut storage = Vec::with_capacity(slots.len());
        for slot in slots {
            let key = B256::from(*slot);
            let path = ProofRequest {
                block: known.hash,
                account: Some(AccountKey::Address(address)),
                key: keccak256(key),
                from_level: 0,
            };
            let (shown, proof) = self.prove(path, account.storage_root).await?;
            storage.push(spell::slot(*slot, &shown, &proof)?);
        }
        let by = format!("state root of block {}; {}", known.header.number, self.header_rule());
        Ok(with(self.answer(true, by), spell::account(&known, address, &account, &account_proof, storage)))
    }

    /// One path with its nodes from the root down.
    async fn prove(&self, request: ProofRequest, root: B256) -> anyhow::Result<(Shown, Vec<Bytes>)> {
        let key = request.key;
        if root == EMPTY_ROOT_HASH {
            return Ok((Shown::Absent, Vec::new()));
        }
        let Answer::Proofs(nodes) = self.ask(Query::Proofs(vec![request])).await? else {
            bail!("not a proof")
        };
        let mut set = check::NodeSet::new(&nodes)?;
        let shown = set.walk(root, key.as_slice())?;
        set.all_used()?;
        Ok((shown, nodes))
    }

    /// An account's code.
    ///
    /// # Errors
    /// If the server does not show the code that the proven account names.
    pub(crate) async fn code(&self, address: Address, at: BlockArg) -> anyhow::Result<Value> {
        let known = self.block(at).await?;
        let path = ProofRequest { block: known.hash, account: None, key: keccak256(address), from_level: 0 };
        let (shown, _) = self.prove(path, known.header.state_root).await?;
        let code_hash = match &shown {
            Shown::Present(value) => check::account(value)?.code_hash,
            Shown::Absent => KECCAK256_EMPTY,
            Shown::LeftOut => bail!("the server does not have this state any more"),
        };
        let code = if code_hash == KECCAK256_EMPTY {
            Bytes::new()
        } else {
            let request = CodeRequest { block: known.hash, account: AccountKey::Address(address) };
            let Answer::Codes(codes) = self.ask(Query::Codes(vec![request])).await? else {
                bail!("not a code")
            };
            codes.into_iter().next().context("the server does not have this code")?
        };
        if keccak256(&code) != code_hash {
            bail!("the code does not have the hash that the account proves");
        }
        let by = format!("code hash of the account in block {}; {}", known.header.number, self.header_rule());
        let fields = json!({ "address": address, "code": code, "codeHash": code_hash, "blockHash": known.hash, "blockNumber": spell::quantity(known.header.number) });
        Ok(with(self.answer(true, by), fields))
    }

    /// What became of a transaction. Only an inclusion can be verified.
    ///
    /// # Errors
    /// If the server does not say.
    pub(crate) async fn transaction(&self, hash: B256) -> anyhow::Result<Value> {
        let Answer::TransactionStatus(statuses) = self.ask(Query::TransactionStatus(vec![hash])).await?
        else {
            bail!("not a status");
        };
        let status = statuses.first().context("the server gave no status")?;
        Ok(self.status(hash, status))
    }

    fn status(&self, hash: B256, status: &TransactionStatus) -> Value {
        let included = status.inclusion.is_some() && status.status == 3;
        let by = if included {
            format!("the block's body; {}", self.header_rule())
        } else {
            "nothing: the server's word".to_owned()
        };
        with(self.answer(included, by), spell::status(hash, status))
    }

    /// Sends a signed transaction.
    ///
    /// # Errors
    /// If the server refuses it or does not answer.
    pub(crate) async fn send(&self, raw: Bytes) -> anyhow::Result<(bool, Value)> {
        let hash = keccak256(&raw);
        let Answer::TransactionStatus(statuses) = self.ask(Query::SendTransactions(vec![raw])).await? else {
            bail!("not a status");
        };
        let status = statuses.first().context("the server gave no status")?;
        let taken = status.error.is_empty() && matches!(status.status, 1..=3);
        Ok((taken, self.status(hash, status)))
    }

    /// A header by number, with a proof from the canonical hash trie, whose root our own headers give.
    ///
    /// # Errors
    /// If the chain is too short for a section that holds the block, or the server does not prove it.
    pub(crate) async fn cht(&self, number: u64) -> anyhow::Result<Value> {
        let section = number / SECTION;
        let request = HelperTrieRequest {
            trie: HelperTrie::CanonicalHash,
            section,
            key: Bytes::copy_from_slice(&number.to_be_bytes()),
            from_level: 0,
            auxiliary: 2,
        };
        let Answer::HelperTries { auxiliary, nodes } = self
            .ask(Query::HelperTries(vec![request]))
            .await
            .with_context(|| format!("section {section} is not complete, or the server does not prove it"))?
        else {
            bail!("not a helper trie proof");
        };
        let header = auxiliary.first().context("the proof came without the header")?;
        let known = self.verified().block(HashOrNumber::Number(number)).await?;
        if keccak256(header) != known.hash {
            bail!("the proven header is not the canonical one");
        }
        let by = format!(
            "canonical hash trie of section {section}, its root from our own header index; {}",
            self.header_rule()
        );
        let mut fields = self.header_fields(&known);
        if let Value::Object(fields) = &mut fields {
            fields.insert("proof".into(), json!(nodes));
        }
        Ok(with(self.answer(true, by), fields))
    }

    /// The head as an object.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn head_object(&self) -> anyhow::Result<Value> {
        self.header(BlockArg::Head).await
    }

    async fn ask(&self, query: Query) -> anyhow::Result<Answer> {
        Ok(self.verified().answer(query).await?)
    }
}
