//! The header index: what links to the root, by hash and by number, with total difficulty.

mod engine;
mod rules;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, U256, keccak256};

use crate::ChainSpec;
use crate::seal::clique::Snapshot;
use engine::Sealing;

pub(crate) use rules::decode as decode_header;
pub use rules::{MAX_HEADER, Rule};

/// Headers on side branches that are kept; beyond, the lowest go first.
pub const MAX_SIDE_HEADERS: usize = 2048;

/// A header of the verified chain.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its hash.
    pub hash: B256,
    /// Its fields.
    pub header: Header,
    /// Its bytes as they came.
    pub rlp: Bytes,
    /// Total difficulty up to and including it.
    pub td: U256,
}

/// What the chain hangs on.
#[derive(Clone, Debug)]
pub enum Root {
    /// The genesis of the specification.
    Genesis,
    /// A block that the user trusts, with its header's bytes (checked against the hash), and its total
    /// difficulty if known (else counted from zero, which the status says).
    Checkpoint {
        /// The trusted hash.
        hash: B256,
        /// The header's RLP.
        rlp: Bytes,
        /// Its total difficulty.
        td: Option<U256>,
    },
}

/// What an insertion changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// Headers that were new.
    pub new: usize,
    /// Whether the head moved.
    pub head_moved: bool,
    /// Blocks of the old canonical chain that were rolled back.
    pub reorg_depth: u64,
}

/// Why a header is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Its parent is not known: fetch further back. Not a lie.
    #[error("parent {parent} of block {number} is not known")]
    UnknownParent {
        /// The parent's hash.
        parent: B256,
        /// The block's number.
        number: u64,
    },
    /// It branches off further back than headers are kept whole. Not a lie, but not followed.
    #[error("block {number} branches off below the headers that are kept")]
    TooDeep {
        /// The block's number.
        number: u64,
    },
    /// It is not one of the known blocks. Not a lie by itself.
    #[error("block {hash} is not known")]
    NotKnown {
        /// Its hash.
        hash: B256,
    },
    /// A checkpoint's bytes have another hash than the trusted one.
    #[error("checkpoint has the hash {found}, not {expected}")]
    Checkpoint {
        /// The trusted hash.
        expected: B256,
        /// The hash of the bytes.
        found: B256,
    },
    /// It breaks a rule of the chain.
    #[error("block {number} breaks the rules: {rule}")]
    Rule {
        /// The block's number; 0 if it cannot be read.
        number: u64,
        /// Which rule.
        rule: Rule,
    },
}

impl HeaderError {
    /// Whether who sent the header is at fault.
    pub fn is_lie(&self) -> bool {
        matches!(self, Self::Rule { .. })
    }
}

/// A header kept whole.
#[derive(Clone, Debug)]
struct Entry {
    known: Arc<Known>,
    /// Clique: who may sign the next block, if the signers are known.
    signers: Option<Arc<Snapshot>>,
}

/// The verified chain. Canonical is the branch with the most total difficulty (first seen wins a tie; in
/// proof of stake, where difficulty stands still, the longer one).
#[derive(Debug)]
pub struct HeaderChain {
    spec: Arc<ChainSpec>,
    sealing: Sealing,
    root_number: u64,
    td_known: bool,
    keep: u64,
    /// Hash and total difficulty from the root on.
    canonical: Vec<(B256, U256)>,
    /// Number of each canonical hash.
    numbers: BTreeMap<B256, u64>,
    /// Headers kept whole: the last canonical ones, the root, and side branches.
    entries: BTreeMap<B256, Entry>,
    /// Side branches, the lowest first.
    side: BTreeSet<(u64, B256)>,
    /// Lowest canonical header kept whole, apart from the root.
    whole_from: u64,
    head: Arc<Known>,
}

impl HeaderChain {
    /// A chain of only its root. `keep`: number of recent headers kept whole; of older ones only hash and
    /// total difficulty are kept, and side branches below are dropped.
    ///
    /// # Errors
    /// If a checkpoint's bytes do not have its hash.
    pub fn new(spec: Arc<ChainSpec>, root: Root, keep: usize) -> Result<Self, HeaderError> {
        let (known, td_known) = match root {
            Root::Genesis => (genesis(&spec), true),
            Root::Checkpoint { hash, rlp, td } => {
                let found = keccak256(&rlp);
                if found != hash {
                    return Err(HeaderError::Checkpoint { expected: hash, found });
                }
                let header = decode_header(&rlp).map_err(|rule| HeaderError::Rule { number: 0, rule })?;
                let known = Known { hash, header, rlp, td: td.unwrap_or_default() };
                (known, td.is_some() || hash == spec.genesis_hash)
            }
        };
        let known = if known.hash == spec.genesis_hash { genesis(&spec) } else { known };
        Ok(Self::from_root(spec, Arc::new(known), td_known, keep))
    }

    fn from_root(spec: Arc<ChainSpec>, root: Arc<Known>, td_known: bool, keep: usize) -> Self {
        let number = root.header.number;
        let (sealing, signers) = Sealing::new(&spec, &root.header);
        let entry = Entry { known: Arc::clone(&root), signers };
        Self {
            spec,
            sealing,
            root_number: number,
            td_known,
            keep: u64::try_from(keep).unwrap_or(u64::MAX).max(1),
            canonical: vec![(root.hash, root.td)],
            numbers: BTreeMap::from([(root.hash, number)]),
            entries: BTreeMap::from([(root.hash, entry)]),
            side: BTreeSet::new(),
            whole_from: number,
            head: root,
        }
    }

    /// Adds headers, ascending, each the child of the one before. Known ones are passed over.
    ///
    /// # Errors
    /// At the first header that does not fit; those before it stay.
    pub fn insert(&mut self, headers: &[Bytes]) -> Result<Inserted, HeaderError> {
        let before = Arc::clone(&self.head);
        let mut inserted = Inserted::default();
        let mut lowest = before.header.number;
        for rlp in headers {
            let Some(ancestor) = self.insert_one(rlp)? else { continue };
            inserted.new += 1;
            lowest = lowest.min(ancestor);
        }
        inserted.head_moved = self.head.hash != before.hash;
        if inserted.head_moved {
            inserted.reorg_depth = before.header.number - lowest;
        }
        Ok(inserted)
    }

    /// Adds one header. Gives the number down to which the canonical chain stayed; `None` if it was known.
    fn insert_one(&mut self, rlp: &Bytes) -> Result<Option<u64>, HeaderError> {
        let hash = keccak256(rlp);
        if self.number_of(&hash).is_some() {
            return Ok(None);
        }
        let header = decode_header(rlp).map_err(|rule| HeaderError::Rule { number: 0, rule })?;
        let number = header.number;
        let Some(parent) = self.entries.get(&header.parent_hash) else {
            return Err(match self.numbers.contains_key(&header.parent_hash) {
                true => HeaderError::TooDeep { number },
                false => HeaderError::UnknownParent { parent: header.parent_hash, number },
            });
        };
        let broken = |rule| HeaderError::Rule { number, rule };
        let signers = self.check(parent, &header, hash).map_err(broken)?;
        let td =
            parent.known.td.checked_add(header.difficulty).ok_or_else(|| broken(Rule::TotalDifficulty))?;
        let known = Arc::new(Known { hash, header, rlp: rlp.clone(), td });
        self.entries.insert(hash, Entry { known: Arc::clone(&known), signers });
        self.side.insert((number, hash));
        let stayed =
            if self.outweighs_head(&known) { self.adopt(&known) } else { Some(self.head.header.number) };
        self.bound_side();
        match stayed {
            Some(number) => Ok(Some(number)),
            None => {
                self.drop_side(number, hash);
                Err(HeaderError::TooDeep { number })
            }
        }
    }

    fn outweighs_head(&self, known: &Known) -> bool {
        let staked = known.header.difficulty.is_zero();
        known.td > self.head.td
            || (known.td == self.head.td && staked && known.header.number > self.head.header.number)
    }

    /// Makes the branch that ends in `known` canonical. Gives the number of the last common block;
    /// `None` (and no change) if the branch is not whole.
    fn adopt(&mut self, known: &Arc<Known>) -> Option<u64> {
        let mut branch = vec![Arc::clone(known)];
        let mut parent = known.header.parent_hash;
        let ancestor = loop {
            if let Some(number) = self.numbers.get(&parent) {
                break *number;
            }
            let entry = self.entries.get(&parent)?;
            parent = entry.known.header.parent_hash;
            branch.push(Arc::clone(&entry.known));
        };
        self.roll_back(ancestor);
        for known in branch.iter().rev() {
            let number = known.header.number;
            self.side.remove(&(number, known.hash));
            self.canonical.push((known.hash, known.td));
            self.numbers.insert(known.hash, number);
        }
        self.head = Arc::clone(known);
        self.shed_old();
        Some(ancestor)
    }

    /// Takes the canonical blocks above `ancestor` to the side.
    fn roll_back(&mut self, ancestor: u64) {
        while let Some(number) = self.last_number().filter(|number| *number > ancestor) {
            if let Some((hash, _)) = self.canonical.pop() {
                self.numbers.remove(&hash);
                if self.entries.contains_key(&hash) {
                    self.side.insert((number, hash));
                }
            }
        }
        // A lower head must be kept whole, and all above it is.
        self.whole_from = self.whole_from.min(ancestor + 1);
    }

    fn last_number(&self) -> Option<u64> {
        let above = u64::try_from(self.canonical.len()).ok()?.checked_sub(1)?;
        self.root_number.checked_add(above)
    }

    /// Forgets the fields of canonical headers, and side branches, further back than `keep`.
    fn shed_old(&mut self) {
        let keep_from = (self.head.header.number + 1).saturating_sub(self.keep);
        while self.whole_from < keep_from {
            if let Some((hash, _)) = self.canonical(self.whole_from)
                && self.whole_from != self.root_number
            {
                self.entries.remove(&hash);
            }
            self.whole_from += 1;
        }
        while let Some(&(number, hash)) = self.side.first()
            && number < keep_from
        {
            self.drop_side(number, hash);
        }
    }

    fn bound_side(&mut self) {
        while self.side.len() > MAX_SIDE_HEADERS
            && let Some(&(number, hash)) = self.side.first()
        {
            self.drop_side(number, hash);
        }
    }

    fn drop_side(&mut self, number: u64, hash: B256) {
        if self.side.remove(&(number, hash)) {
            self.entries.remove(&hash);
        }
    }
}

fn genesis(spec: &ChainSpec) -> Known {
    Known {
        hash: spec.genesis_hash,
        header: spec.genesis.clone(),
        rlp: alloy_rlp::encode(&spec.genesis).into(),
        td: spec.genesis.difficulty,
    }
}

#[cfg(test)]
mod tests;
