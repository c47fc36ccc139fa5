//! Headers (codes 02 and 03).
//!
//! ```text
//! GetBlockHeaders  [reqID, [start, amount, skip, reverse]]    start: 32 bytes or an integer
//! BlockHeaders     [reqID, BV, [header, ...]]                 headers are lists
//! ```
//!
//! devp2p `caps/les.md`, "GetBlockHeaders". EthereumJS (client 0.10.2) writes a skip or reverse of zero as
//! the byte `00`.

use alloy_rlp::Encodable;

use super::DecodeFlaw;
use crate::{
    HashOrNumber, Query,
    rlp::{Error, Item, Reader, put_list, put_uint},
};

pub(super) fn decode_query(mut fields: Reader<'_>) -> Result<Query, DecodeFlaw> {
    let query = Query::Headers {
        start: start(fields.item()?)?,
        amount: fields.loose_uint()?,
        skip: fields.loose_uint()?,
        reverse: match fields.loose_uint()? {
            0 => false,
            1 => true,
            _ => return Err(Error::Overflow.into()),
        },
    };
    fields.finish()?;
    Ok(query)
}

fn start(item: Item<'_>) -> Result<HashOrNumber, Error> {
    if item.payload.len() == 32 {
        item.hash().map(HashOrNumber::Hash)
    } else {
        item.loose_uint().map(HashOrNumber::Number)
    }
}

pub(super) fn put_query(out: &mut Vec<u8>, start: HashOrNumber, amount: u64, skip: u64, reverse: bool) {
    put_list(out, |out| {
        match start {
            HashOrNumber::Hash(hash) => hash.encode(out),
            HashOrNumber::Number(number) => put_uint(out, number),
        }
        put_uint(out, amount);
        put_uint(out, skip);
        put_uint(out, reverse.into());
    });
}
