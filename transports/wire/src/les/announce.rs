//! Announce, a server's new head or new flow-control parameters (code 01).
//!
//! ```text
//! [headHash, headNumber, headTd, reorgDepth, [[key, value], ...]]
//! ```
//!
//! devp2p `caps/les.md`, "Announce". EthereumJS (client 0.10.2) leaves out the last list and
//! writes a reorgDepth of zero as the byte `00`.

use alloy_primitives::{B256, U256, keccak256};
use alloy_rlp::Encodable;

use super::{
    BUFFER_LIMIT, COSTS, DecodeFlaw, ORIGINS, RECHARGE, RequestCost,
    key_values::{KeyValues, put_costs_entry, put_entry, put_uint_entry},
    limit,
};
use crate::{
    Head, NodeKey,
    rlp::{Item, Reader, put_list, put_string, put_uint},
};

/// Key of the signature.
const SIGN: &str = "sign";

/// The signed announcement of a full node, passed on under `causeway/origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who signed.
    pub node: NodeKey,
    /// What was announced.
    pub head: Head,
    /// `r || s || v` over `keccak(RLP[hash, number, td])`.
    pub signature: [u8; 65],
}

/// A new head, or new flow-control parameters (les.md section 5 and 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The head; `None` (zero hash on the wire) for an update of parameters only.
    pub head: Option<Head>,
    /// Blocks to roll back from the last announced head.
    pub reorg_depth: u64,
    /// `sign`: `r || s || v` of the server's node key.
    pub signature: Option<[u8; 65]>,
    /// `flowControl/BL` and `/MRR`, if both are there.
    pub buffer: Option<(u64, u64)>,
    /// `flowControl/MRC` rows, to be merged.
    pub costs: Vec<RequestCost>,
    /// `causeway/origins`, at most 8.
    pub origins: Vec<Origin>,
    /// Bytes of the key/value list, which clients charge against a budget.
    pub update_bytes: usize,
}

impl Announce {
    /// Most origins in one Announce (design section 2).
    pub const MAX_ORIGINS: usize = 8;

    /// The digest that a signed announcement signs: `keccak(RLP[hash, number, td])`.
    pub fn digest(head: &Head) -> B256 {
        let mut signed = Vec::with_capacity(64);
        put_list(&mut signed, |out| put_head(out, head));
        keccak256(signed)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let none = Head { hash: B256::ZERO, number: 0, td: U256::ZERO };
        let mut out = Vec::with_capacity(256);
        put_list(&mut out, |out| {
            put_head(out, self.head.as_ref().unwrap_or(&none));
            put_uint(out, self.reorg_depth);
            put_list(out, |out| self.put_entries(out));
        });
        out
    }

    fn put_entries(&self, out: &mut Vec<u8>) {
        if let Some(signature) = &self.signature {
            put_entry(out, SIGN, |out| put_string(out, signature));
        }
        if let Some((buffer_limit, recharge)) = self.buffer {
            put_uint_entry(out, RECHARGE, recharge);
            put_uint_entry(out, BUFFER_LIMIT, buffer_limit);
        }
        if !self.costs.is_empty() {
            put_costs_entry(out, COSTS, &self.costs);
        }
        if !self.origins.is_empty() {
            put_entry(out, ORIGINS, |out| {
                put_list(out, |out| {
                    self.origins.iter().take(Self::MAX_ORIGINS).for_each(|origin| origin.put(out))
                });
            });
        }
    }

    pub(super) fn decode(mut fields: Reader<'_>) -> Result<Self, DecodeFlaw> {
        let head = head(&mut fields)?;
        let reorg_depth = fields.loose_uint()?;
        let list = if fields.is_empty() { Reader::new(&[]) } else { fields.list()? };
        fields.finish()?;
        let values = KeyValues::decode(list)?;
        Ok(Self {
            head: (head.hash != B256::ZERO).then_some(head),
            reorg_depth,
            signature: values.item(SIGN).map(Item::fixed).transpose()?,
            buffer: values.uint(BUFFER_LIMIT)?.zip(values.uint(RECHARGE)?),
            costs: values.costs(COSTS)?.unwrap_or_default(),
            origins: values.item(ORIGINS).map(origins).transpose()?.unwrap_or_default(),
            update_bytes: values.bytes,
        })
    }
}

impl Origin {
    fn put(&self, out: &mut Vec<u8>) {
        put_list(out, |out| {
            put_string(out, self.node.0.as_slice());
            put_head(out, &self.head);
            put_string(out, &self.signature);
        });
    }
}

fn put_head(out: &mut Vec<u8>, head: &Head) {
    head.hash.encode(out);
    put_uint(out, head.number);
    head.td.encode(out);
}

/// The three fields `hash, number, td`.
fn head(fields: &mut Reader<'_>) -> Result<Head, DecodeFlaw> {
    let head = Head { hash: fields.hash()?, number: fields.loose_uint()?, td: fields.item()?.loose_u256()? };
    let bits = head.td.bit_len();
    if bits > limit::TD_BITS {
        return Err(DecodeFlaw::over("bits of total difficulty", bits as u64, limit::TD_BITS as u64));
    }
    Ok(head)
}

fn origins(item: Item<'_>) -> Result<Vec<Origin>, DecodeFlaw> {
    let mut list = item.list()?;
    let mut origins = Vec::new();
    while !list.is_empty() {
        if origins.len() == Announce::MAX_ORIGINS {
            let limit = Announce::MAX_ORIGINS as u64;
            return Err(DecodeFlaw::over("origins of a head", limit + 1, limit));
        }
        let mut fields = list.list()?;
        let node = NodeKey(fields.fixed::<64>()?.into());
        origins.push(Origin { node, head: head(&mut fields)?, signature: fields.fixed()? });
        fields.finish()?;
    }
    Ok(origins)
}
