//! Answers in Ethereum JSON-RPC spelling.

use alloy_consensus::TrieAccount;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use causeway_verify::{
    Known,
    check::{self, Shown},
};
use causeway_wire::TransactionStatus;
use serde_json::{Value, json};

/// A number as a quantity: `0x` and hex without leading zeroes.
pub(crate) fn quantity(number: u64) -> U64 {
    U64::from(number)
}

/// A header's fields, with its hash, total difficulty (null if it is only counted from a checkpoint) and bytes.
pub(crate) fn header(known: &Known, td_is_known: bool) -> Value {
    let mut fields = json!(known.header);
    if let Value::Object(fields) = &mut fields {
        fields.insert("hash".into(), json!(known.hash));
        fields.insert("totalDifficulty".into(), json!(td_is_known.then_some(known.td)));
        fields.insert("raw".into(), json!(known.rlp));
    }
    fields
}

/// A body's parts. A transaction of a type that we do not know is given as hash and bytes only.
///
/// # Errors
/// If the body cannot be taken apart.
pub(crate) fn body(known: &Known, body: &[u8]) -> anyhow::Result<Value> {
    let decoded = check::decode_body(body).ok();
    let transactions: Vec<_> = check::transactions(body)?
        .iter()
        .enumerate()
        .map(|(index, raw)| {
            let decoded = decoded.as_ref().and_then(|body| body.transactions.get(index));
            let mut fields = decoded.map_or_else(|| json!({}), |transaction| json!(transaction));
            if let Value::Object(fields) = &mut fields {
                fields.insert("hash".into(), json!(check::transaction_hash(raw)));
                fields.insert("transactionIndex".into(), json!(quantity(index as u64)));
                fields.insert("raw".into(), json!(raw));
            }
            fields
        })
        .collect();
    Ok(json!({
        "blockHash": known.hash,
        "blockNumber": quantity(known.header.number),
        "transactions": transactions,
        "uncles": decoded.as_ref().map(|body| &body.ommers),
        "withdrawals": decoded.as_ref().and_then(|body| body.withdrawals.as_ref()),
        "raw": Bytes::copy_from_slice(body),
    }))
}

/// A block's receipts; null with the bytes beside if one is of a type that we do not know.
pub(crate) fn receipts(known: &Known, list: &[u8]) -> Value {
    json!({
        "blockHash": known.hash,
        "blockNumber": quantity(known.header.number),
        "receipts": check::decode_receipts(list).ok(),
        "raw": Bytes::copy_from_slice(list),
    })
}

/// A slot as `eth_getProof` gives it.
///
/// # Errors
/// If the value in the trie is not a number, or the proof was left out.
pub(crate) fn slot(slot: U256, shown: &Shown, proof: &[Bytes]) -> anyhow::Result<Value> {
    let value = match shown {
        Shown::Present(value) => check::slot_value(value)?,
        Shown::Absent => U256::ZERO,
        Shown::LeftOut => anyhow::bail!("the server does not prove slot {slot}"),
    };
    Ok(json!({ "key": slot, "value": value, "proof": proof }))
}

/// An account as `eth_getProof` gives it.
pub(crate) fn account(
    known: &Known,
    address: Address,
    account: &TrieAccount,
    proof: &[Bytes],
    storage: Vec<Value>,
) -> Value {
    json!({
        "address": address,
        "balance": account.balance,
        "nonce": quantity(account.nonce),
        "codeHash": account.code_hash,
        "storageHash": account.storage_root,
        "accountProof": proof,
        "storageProof": storage,
        "blockHash": known.hash,
        "blockNumber": quantity(known.header.number),
    })
}

/// A transaction's status.
pub(crate) fn status(hash: B256, status: &TransactionStatus) -> Value {
    let word = match status.status {
        1 => "queued",
        2 => "pending",
        3 => "included",
        _ if !status.error.is_empty() => "refused",
        _ => "unknown",
    };
    let inclusion = status.inclusion.as_ref();
    json!({
        "hash": hash,
        "status": word,
        "blockHash": inclusion.map(|inclusion| inclusion.block),
        "blockNumber": inclusion.map(|inclusion| quantity(inclusion.number)),
        "transactionIndex": inclusion.map(|inclusion| quantity(inclusion.index)),
        "error": (!status.error.is_empty()).then_some(&status.error),
    })
}
