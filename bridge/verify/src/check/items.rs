//! Cutting RLP lists into their items without reading what these mean.

use alloy_rlp::Header;

use super::Lie;

/// One RLP item of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    /// With its header.
    pub(super) raw: &'a [u8],
    /// Without it.
    pub(super) payload: &'a [u8],
    pub(super) is_list: bool,
}

/// The first item of `bytes`, and what follows it. Non-canonical headers are refused.
pub(super) fn first<'a>(what: &'static str, bytes: &'a [u8]) -> Result<(Item<'a>, &'a [u8]), Lie> {
    let malformed = |reason| Lie::Malformed { what, reason };
    let mut rest = bytes;
    let header = Header::decode(&mut rest).map_err(|_| malformed("not canonical RLP"))?;
    let (payload, rest) =
        rest.split_at_checked(header.payload_length).ok_or_else(|| malformed("truncated"))?;
    let raw = bytes.get(..bytes.len() - rest.len()).ok_or_else(|| malformed("truncated"))?;
    Ok((Item { raw, payload, is_list: header.list }, rest))
}

/// The items of a whole list; nothing may follow it.
pub(super) fn list<'a>(what: &'static str, bytes: &'a [u8]) -> Result<Vec<Item<'a>>, Lie> {
    let (outer, rest) = first(what, bytes)?;
    if !outer.is_list || !rest.is_empty() {
        return Err(Lie::Malformed {
            what,
            reason: if rest.is_empty() { "not a list" } else { "bytes left over" },
        });
    }
    split(what, outer.payload)
}

/// The items of a list's payload.
pub(super) fn split<'a>(what: &'static str, mut payload: &'a [u8]) -> Result<Vec<Item<'a>>, Lie> {
    let mut items = Vec::new();
    while !payload.is_empty() {
        let (item, rest) = first(what, payload)?;
        items.push(item);
        payload = rest;
    }
    Ok(items)
}
