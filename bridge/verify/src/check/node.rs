//! One node of a hexary trie, as far as a walk needs it.

use alloy_primitives::B256;

use super::Lie;
use super::items::{self, Item};

/// What a node says about the path that is left.
#[derive(Clone, Debug)]
pub(super) enum Step<'a> {
    /// The path ends here with this value.
    Value(&'a [u8]),
    /// Nothing is there.
    Nothing,
    /// It goes on in the node with this hash.
    Hash(B256, usize),
    /// It goes on in a node that stands here itself.
    Inline(&'a [u8], usize),
}

const NODE: &str = "trie node";

fn malformed(reason: &'static str) -> Lie {
    Lie::Malformed { what: NODE, reason }
}

/// One step along `path` (nibbles) through a node. Steps on give the nibbles that they used up.
pub(super) fn step<'a>(node: &'a [u8], path: &[u8]) -> Result<Step<'a>, Lie> {
    let items = items::list(NODE, node)?;
    match *items.as_slice() {
        [prefix, target] => short(prefix, target, path),
        [.., value] if items.len() == 17 => match path.first() {
            None => Ok(if string(value)?.is_empty() { Step::Nothing } else { Step::Value(value.payload) }),
            Some(nibble) => {
                let child = items.get(usize::from(*nibble)).ok_or_else(|| malformed("no such nibble"))?;
                child_of(*child, 1)
            }
        },
        _ => Err(malformed("neither 2 nor 17 items")),
    }
}

/// A leaf or an extension.
fn short<'a>(prefix: Item<'a>, target: Item<'a>, path: &[u8]) -> Result<Step<'a>, Lie> {
    let (is_leaf, nibbles) = hex_prefix(string(prefix)?)?;
    if is_leaf {
        let value = string(target)?;
        if value.is_empty() {
            return Err(malformed("leaf without a value"));
        }
        return Ok(if path == nibbles { Step::Value(value) } else { Step::Nothing });
    }
    if nibbles.is_empty() {
        return Err(malformed("extension of no length"));
    }
    match child_of(target, nibbles.len())? {
        Step::Nothing => Err(malformed("extension to nothing")),
        step if path.starts_with(&nibbles) => Ok(step),
        _ => Ok(Step::Nothing),
    }
}

fn child_of(item: Item<'_>, used: usize) -> Result<Step<'_>, Lie> {
    if item.is_list {
        return if item.raw.len() < 32 {
            Ok(Step::Inline(item.raw, used))
        } else {
            Err(malformed("long node embedded"))
        };
    }
    match item.payload.len() {
        0 => Ok(Step::Nothing),
        32 => Ok(Step::Hash(B256::from_slice(item.payload), used)),
        _ => Err(malformed("child that is not a hash")),
    }
}

fn string(item: Item<'_>) -> Result<&[u8], Lie> {
    if item.is_list { Err(malformed("list in place of a string")) } else { Ok(item.payload) }
}

/// Takes a hex prefix apart: whether it is a leaf's, and its nibbles.
fn hex_prefix(bytes: &[u8]) -> Result<(bool, Vec<u8>), Lie> {
    let [first, rest @ ..] = bytes else { return Err(malformed("empty hex prefix")) };
    let (flags, low) = (first >> 4, first & 0x0f);
    let odd = flags & 1 == 1;
    if flags > 3 || (!odd && low != 0) {
        return Err(malformed("wrong hex prefix"));
    }
    let mut nibbles = if odd { vec![low] } else { Vec::new() };
    nibbles.extend(unpack(rest));
    Ok((flags & 2 == 2, nibbles))
}

/// The nibbles of a key.
pub(super) fn unpack(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f])
}
