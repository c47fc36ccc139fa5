//! The key/value lists of Status and Announce: `[[key, value], ...]`, in any order.
//!
//! As geth's map does, unknown keys are ignored and the last of equal keys counts.

use std::collections::BTreeMap;

use super::{DecodeFlaw, RequestCost, limit};
use crate::rlp::{Item, Reader, put_list, put_string, put_uint};

/// What geth adds for each entry to the lengths of its key and value.
const ENTRY_OVERHEAD: usize = 8;

/// A list that was read, its values not yet looked at.
pub(super) struct KeyValues<'a> {
    values: BTreeMap<&'a [u8], Item<'a>>,
    /// Sum over the entries of key, value and overhead, as geth counts it.
    pub(super) bytes: usize,
}

impl<'a> KeyValues<'a> {
    pub(super) fn decode(mut list: Reader<'a>) -> Result<Self, DecodeFlaw> {
        let mut values = BTreeMap::new();
        let mut bytes = 0;
        while !list.is_empty() {
            let mut entry = list.list()?;
            let key = entry.string()?;
            let value = entry.item()?;
            entry.finish()?;
            bytes += key.len() + value.raw.len() + ENTRY_OVERHEAD;
            if bytes > limit::STATUS_BYTES {
                return Err(DecodeFlaw::over(
                    "bytes of keys and values",
                    bytes as u64,
                    limit::STATUS_BYTES as u64,
                ));
            }
            values.insert(key, value);
        }
        Ok(Self { values, bytes })
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.values.contains_key(key.as_bytes())
    }

    pub(super) fn item(&self, key: &str) -> Option<Item<'a>> {
        self.values.get(key.as_bytes()).copied()
    }

    pub(super) fn uint(&self, key: &str) -> Result<Option<u64>, DecodeFlaw> {
        Ok(self.item(key).map(Item::loose_uint).transpose()?)
    }

    /// The rows of a cost table.
    pub(super) fn costs(&self, key: &str) -> Result<Option<Vec<RequestCost>>, DecodeFlaw> {
        let Some(item) = self.item(key) else { return Ok(None) };
        let mut list = item.list()?;
        let mut costs = Vec::new();
        while !list.is_empty() {
            let mut row = list.list()?;
            costs.push(RequestCost {
                code: row.loose_uint()?,
                base: row.loose_uint()?,
                item: row.loose_uint()?,
            });
            row.finish()?;
        }
        Ok(Some(costs))
    }
}

/// Writes one entry.
pub(super) fn put_entry(out: &mut Vec<u8>, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    put_list(out, |out| {
        put_string(out, key.as_bytes());
        value(out);
    });
}

pub(super) fn put_uint_entry(out: &mut Vec<u8>, key: &str, value: u64) {
    put_entry(out, key, |out| put_uint(out, value));
}

/// Writes an entry that only has to be there.
pub(super) fn put_empty_entry(out: &mut Vec<u8>, key: &str) {
    put_entry(out, key, |out| put_string(out, &[]));
}

/// Writes a cost table, its rows by code.
pub(super) fn put_costs_entry(out: &mut Vec<u8>, key: &str, costs: &[RequestCost]) {
    let mut sorted = costs.to_vec();
    sorted.sort_by_key(|cost| cost.code);
    put_entry(out, key, |out| {
        put_list(out, |out| {
            for cost in sorted {
                put_list(out, |out| {
                    put_uint(out, cost.code);
                    put_uint(out, cost.base);
                    put_uint(out, cost.item);
                });
            }
        });
    });
}
