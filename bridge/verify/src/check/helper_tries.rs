//! Helper tries (les.md 7.2 to 7.4): old blocks by number, and log bloom bits, against a trusted root.

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use alloy_trie::{HashBuilder, Nibbles};
use causeway_wire::{HelperTrie, HelperTrieRequest};

use super::{Lie, NodeSet, Shown};
use crate::chain::decode_header;

/// Blocks in a section of either trie.
pub const CHT_SECTION: u64 = 32_768;

/// Bits of a log bloom, and vectors in each section of the bloom trie.
pub const BLOOM_BITS: u16 = 2048;

/// Bytes of one bit's vector over a section.
const VECTOR: usize = CHT_SECTION as usize / 8;

/// Auxiliary data wanted: the header (`auxReq` of les.md 7.2).
const AUXILIARY_HEADER: u64 = 2;

/// Value of the canonical hash trie.
#[derive(RlpEncodable, RlpDecodable)]
struct ChtNode {
    hash: B256,
    td: U256,
}

/// What a helper trie shows of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelperShown {
    /// A block of the canonical chain.
    Block {
        /// Its hash.
        hash: B256,
        /// Its total difficulty.
        td: U256,
        /// Its header, if it was asked for.
        header: Option<Box<Header>>,
    },
    /// The bits of a section, 4,096 bytes: bit `j`, the most significant first, is the bloom bit of the
    /// section's block `j`.
    Bits(Vec<u8>),
    /// The canonical hash trie has no such block.
    Absent,
    /// The nodes do not reach far enough.
    LeftOut,
}

/// Checks a `HelperTries` answer. `root` gives the trusted root of a trie's version; a request for which
/// there is none must not have been sent, and is [`HelperShown::LeftOut`] without judgement of its nodes.
///
/// # Errors
/// A wrong or useless node, a header that is not the proven one, bits that cannot be decompressed.
pub fn helper_tries(
    requests: &[HelperTrieRequest],
    nodes: &[Bytes],
    auxiliary: &[Bytes],
    root: &dyn Fn(HelperTrie, u64) -> Option<B256>,
) -> Result<Vec<HelperShown>, Lie> {
    let mut set = NodeSet::new(nodes)?;
    let mut headers = auxiliary.iter();
    let mut all_roots_known = true;
    let mut found = Vec::with_capacity(requests.len());
    for request in requests {
        let Some(root) = root(request.trie, request.section) else {
            all_roots_known = false;
            found.push(HelperShown::LeftOut);
            continue;
        };
        let shown = set.walk(root, &request.key)?;
        found.push(match request.trie {
            HelperTrie::CanonicalHash => block(request, shown, &mut headers)?,
            HelperTrie::BloomBits => bits(shown)?,
        });
    }
    if all_roots_known {
        set.all_used()?;
        let rest = headers.len();
        if rest > 0 {
            let (found, asked) = (auxiliary.len(), auxiliary.len() - rest);
            return Err(Lie::TooMany { what: "auxiliary headers", found, asked });
        }
    }
    Ok(found)
}

fn block<'a>(
    request: &HelperTrieRequest,
    shown: Shown,
    headers: &mut impl Iterator<Item = &'a Bytes>,
) -> Result<HelperShown, Lie> {
    let value = match shown {
        Shown::Present(value) => value,
        Shown::Absent => return Ok(HelperShown::Absent),
        Shown::LeftOut => return Ok(HelperShown::LeftOut),
    };
    let ChtNode { hash, td } = alloy_rlp::decode_exact(&value).map_err(|_| Lie::Malformed {
        what: "canonical hash trie value",
        reason: "not hash and total difficulty",
    })?;
    if request.auxiliary != AUXILIARY_HEADER {
        return Ok(HelperShown::Block { hash, td, header: None });
    }
    let rlp = headers.next().ok_or(Lie::TooFew { what: "auxiliary headers", found: 0, expected: 1 })?;
    let header =
        decode_header(rlp).map_err(|_| Lie::Malformed { what: "auxiliary header", reason: "not its RLP" })?;
    let found = keccak256(rlp);
    if found != hash {
        return Err(Lie::Root { what: "hash of an auxiliary header", expected: hash, found });
    }
    if cht_key(header.number) != request.key {
        return Err(Lie::Malformed { what: "auxiliary header", reason: "has another number than the key" });
    }
    Ok(HelperShown::Block { hash, td, header: Some(Box::new(header)) })
}

fn bits(shown: Shown) -> Result<HelperShown, Lie> {
    match shown {
        Shown::Present(value) => Ok(HelperShown::Bits(decompress_bits(&value, VECTOR)?)),
        // Vectors without any bit are not stored.
        Shown::Absent => Ok(HelperShown::Bits(vec![0; VECTOR])),
        Shown::LeftOut => Ok(HelperShown::LeftOut),
    }
}

/// The key of a block in the canonical hash trie.
pub fn cht_key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The key of a bit's vector in the bloom trie.
pub fn bloom_key(bit: u16, section: u64) -> Bytes {
    let mut key = bit.to_be_bytes().to_vec();
    key.extend(section.to_be_bytes());
    key.into()
}

/// The root of the canonical hash trie of a section, from hashes and total difficulties of blocks
/// `0..32768 * (section + 1)`, ascending (a block that does not come after the one before is passed over).
pub fn cht_root(blocks: impl Iterator<Item = (u64, B256, U256)>) -> B256 {
    let mut builder = HashBuilder::default();
    let mut next = 0;
    for (number, hash, td) in blocks {
        if number < next {
            continue;
        }
        builder.add_leaf(Nibbles::unpack(number.to_be_bytes()), &alloy_rlp::encode(ChtNode { hash, td }));
        next = number.saturating_add(1);
    }
    builder.root()
}

/// The hash by which a section's roots are trusted together (les.md 7.4).
pub fn checkpoint_hash(checkpoint: &causeway_wire::les::Checkpoint) -> B256 {
    let mut bytes = checkpoint.section.to_be_bytes().to_vec();
    for part in [checkpoint.head, checkpoint.cht_root, checkpoint.bloom_root] {
        bytes.extend(part);
    }
    keccak256(bytes)
}

/// Decompresses a bit vector of `length` bytes (les.md 7.3): bytes that are zero are left out, a bitmap,
/// itself compressed so, says which; what would not become shorter is stored as it is.
///
/// # Errors
/// If `data` is not what compression makes of any vector of this length.
pub fn decompress_bits(data: &[u8], length: usize) -> Result<Vec<u8>, Lie> {
    if data.len() == length {
        return Ok(data.to_vec());
    }
    let (decoded, rest) = decompress(data, length)?;
    if rest.is_empty() { Ok(decoded) } else { Err(wrong_bits("bytes left over")) }
}

/// Takes one vector off the front of `data`; the rest follows. Depth: `length` shrinks eightfold.
fn decompress(data: &[u8], length: usize) -> Result<(Vec<u8>, &[u8]), Lie> {
    let mut decoded = vec![0; length];
    if length == 0 || data.is_empty() {
        return Ok((decoded, data));
    }
    if let [only] = decoded.as_mut_slice() {
        // A zero is not stored: what is there belongs to the level above.
        return Ok(match data {
            [byte, rest @ ..] if *byte != 0 => {
                *only = *byte;
                (decoded, rest)
            }
            _ => (decoded, data),
        });
    }
    let (bitmap, mut data) = decompress(data, length.div_ceil(8))?;
    for index in (0..bitmap.len() * 8).filter(|index| is_set(&bitmap, *index)) {
        let slot = decoded.get_mut(index).ok_or_else(|| wrong_bits("bit beyond the end"))?;
        match data {
            [byte, rest @ ..] if *byte != 0 => (*slot, data) = (*byte, rest),
            [_, ..] => return Err(wrong_bits("zero byte")),
            [] => return Err(wrong_bits("truncated")),
        }
    }
    Ok((decoded, data))
}

fn is_set(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte & (0x80 >> (index % 8)) != 0)
}

fn wrong_bits(reason: &'static str) -> Lie {
    Lie::Malformed { what: "bloom bits", reason }
}

#[cfg(test)]
mod tests;
