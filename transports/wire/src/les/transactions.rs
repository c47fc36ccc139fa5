//! Transactions: sent (code 13), and their status (answer 15).
//!
//! ```text
//! SendTxV2  [reqID, [tx, ...]]                             legacy: a list; typed: a string `type || payload`
//! TxStatus  [reqID, BV, [[status, lookup, error], ...]]    lookup: [] or [blockHash, blockNumber, index]
//! ```
//!
//! TxStatus is as go-ethereum v1.10.26 writes it. devp2p `caps/les.md` has `[status, data]`, where data is
//! the lookup or, with status 4, the error; that is read too.

use alloy_primitives::Bytes;
use alloy_rlp::Encodable;

use super::{DecodeFlaw, items::Bound, limit};
use crate::{
    Answer, Inclusion, TransactionStatus,
    rlp::{Error, Item, Reader, put_list, put_string, put_uint},
};

/// Shortest transaction that is read, in canonical form: a legacy one has nine fields behind its header.
/// Keeps a list of empty items from growing thirtyfold in memory.
pub const MIN_TRANSACTION: usize = 10;

/// First byte from which a canonical form is a list, that is a legacy transaction (EIP-2718).
const FIRST_LIST_BYTE: u8 = 0xc0;
/// Largest type of a typed transaction (EIP-2718).
const LAST_TYPE: u8 = 0x7f;

pub(super) fn decode_sent(payload: &Bytes, mut items: Reader<'_>) -> Result<Vec<Bytes>, DecodeFlaw> {
    let mut transactions = Vec::new();
    while !items.is_empty() {
        transactions.push(payload.slice_ref(canonical(items.item()?)?));
    }
    Ok(transactions)
}

/// The canonical form of a transaction that stands in a list.
fn canonical(item: Item<'_>) -> Result<&[u8], Error> {
    let canonical = if item.is_list { item.raw } else { item.payload };
    if canonical.len() < MIN_TRANSACTION {
        return Err(Error::Length);
    }
    if !item.is_list && canonical.first().is_none_or(|first| *first > LAST_TYPE) {
        return Err(Error::Kind);
    }
    Ok(canonical)
}

pub(super) fn put_sent(out: &mut Vec<u8>, transactions: &[Bytes]) {
    put_list(out, |out| {
        for transaction in transactions {
            match transaction.first() {
                Some(first) if *first >= FIRST_LIST_BYTE => out.extend_from_slice(transaction),
                _ => put_string(out, transaction),
            }
        }
    });
}

pub(super) fn decode_statuses(items: Reader<'_>) -> Result<Answer, DecodeFlaw> {
    let bound = Bound { what: "transaction statuses", limit: limit::TRANSACTION_STATUS };
    bound.each(items, |fields| Ok(status(fields)?)).map(Answer::TransactionStatus)
}

fn status(mut fields: Reader<'_>) -> Result<TransactionStatus, Error> {
    let status = fields.loose_uint()?;
    let data = fields.item()?;
    let inclusion = if data.is_list { inclusion(data.list()?)? } else { None };
    let error = match (fields.is_empty(), data.is_list) {
        (false, _) => fields.string()?,
        (true, false) => data.payload,
        (true, true) => &[],
    };
    fields.finish()?;
    Ok(TransactionStatus { status, inclusion, error: String::from_utf8_lossy(error).into_owned() })
}

fn inclusion(mut fields: Reader<'_>) -> Result<Option<Inclusion>, Error> {
    if fields.is_empty() {
        return Ok(None);
    }
    let inclusion =
        Inclusion { block: fields.hash()?, number: fields.loose_uint()?, index: fields.loose_uint()? };
    fields.finish()?;
    Ok(Some(inclusion))
}

pub(super) fn put_statuses(out: &mut Vec<u8>, statuses: &[TransactionStatus]) {
    put_list(out, |out| {
        for status in statuses {
            put_list(out, |out| {
                put_uint(out, status.status);
                put_list(out, |out| {
                    if let Some(inclusion) = status.inclusion {
                        inclusion.block.encode(out);
                        put_uint(out, inclusion.number);
                        put_uint(out, inclusion.index);
                    }
                });
                put_string(out, status.error.as_bytes());
            });
        }
    });
}
