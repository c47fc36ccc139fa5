//! Answers in Ethereum JSON-RPC spelling.

use alloy_consensus::{Header, ReceiptEnvelope, TrieAccount, TxEnvelope};
use alloy_eips::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_rlp::Decodable;
use anyhow::Context;
use causeway_verify::{Known, check::{self, Shown}};
use causeway_wire::TransactionStatus;
use serde_json::{Value, json};

/// A number as a quantity: `0x` and hex without leading zeroes.
pub fn quantity(number: u64) -> U64 {
    U64::from(number)
}

/// A header's fields, with its hash, total difficulty and bytes.
pub fn header(known: &Known) -> Value {
    let mut fields = json!(known.header);
    if let Value::Object(fields) = &mut fields {
        fields.insert("hash".into(), json!(known.hash));
        fields.insert("totalDifficulty".into(), json!(known.td));
        fields.insert("raw".into(), json!(known.rlp));
    }
    fields
}

/// A body's parts. A transaction of a type that we do not know is given as bytes.
///
/// # Errors
/// If an uncle cannot be read.
pub fn body(known: &Known, body: &[u8]) -> anyhow::Result<Value> {
    let parts = check::parts(body)?;
    let transactions: Vec<_> = parts
        .transactions
        .iter()
        .enumerate()
        .map(|(index, raw)| {
            let mut fields = match TxEnvelope::decode_2718(&mut raw.as_ref()) {
                Ok(transaction) => json!(transaction),
                Err(_) => json!({}),
            };
            if let Value::Object(fields) = &mut fields {
                fields.insert("hash".into(), json!(keccak256(raw)));
                fields.insert("transactionIndex".into(), json!(quantity(index as u64)));
                fields.insert("raw".into(), json!(raw));
            }
            fields
        })
        .collect();
    let uncles: Result<Vec<Header>, _> = parts.uncles.iter().map(|uncle| Header::decode(&mut uncle.as_ref())).collect();
    let uncles = uncles.context("reading an uncle")?;
    Ok(json!({
        "blockHash": known.hash,
        "blockNumber": quantity(known.header.number),
        "transactions": transactions,
        "uncles": uncles,
        "withdrawals": parts.withdrawals,
        "raw": Bytes::copy_from_slice(body),
    }))
}

/// A block's receipts. One of a type that we do not know is given as bytes.
///
/// # Errors
/// If the list cannot be taken apart.
pub fn receipts(known: &Known, list: &[u8]) -> anyhow::Result<Value> {
    let receipts: Vec<_> = check::receipt_items(list)?
        .iter()
        .enumerate()
        .map(|(index, raw)| {
            let mut fields = match ReceiptEnvelope::decode_2718(&mut raw.as_ref()) {
                Ok(receipt) => {
                    let receipt: ReceiptEnvelope = receipt;
                    json!(receipt)
                }
                Err(_) => json!({}),
            };
            if let Value::Object(fields) = &mut fields {
                fields.insert("transactionIndex".into(), json!(quantity(index as u64)));
                fields.insert("raw".into(), json!(raw));
            }
            fields
        })
        .collect();
    Ok(json!({ "blockHash": known.hash, "blockNumber": quantity(known.header.number), "receipts": receipts }))
}

/// A slot as `eth_getProof` gives it.
///
/// # Errors
/// If the value in the trie is not a number, or the proof was left out.
pub fn slot(slot: U256, shown: &Shown, proof: &[Bytes]) -> anyhow::Result<Value> {
    let value = match shown {
        Shown::Present(value) => U256::decode(&mut value.as_ref()).context("the slot's value is not a number")?,
        Shown::Absent => U256::ZERO,
        Shown::LeftOut => anyhow::bail!("the server does not prove slot {slot}"),
    };
    Ok(json!({ "key": slot, "value": value, "proof": proof }))
}

/// An account as `eth_getProof` gives it.
pub fn account(
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
pub fn status(hash: B256, status: &TransactionStatus) -> Value {
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
