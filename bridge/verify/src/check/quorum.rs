//! Signed announcements of trusted nodes (ultra light client, les.md 6).

use std::collections::{BTreeMap, BTreeSet};

use causeway_wire::les::{Announce, Origin};
use causeway_wire::{Head, NodeKey};

use super::Lie;
use crate::seal;

/// Who signed an announcement of a head.
///
/// # Errors
/// If the signature has no key.
pub fn announcement_signer(head: &Head, signature: &[u8; 65]) -> Result<NodeKey, Lie> {
    seal::recover(Announce::digest(head), signature).ok_or(Lie::Signature)
}

/// Whether a passed-on announcement is signed by the node that it names.
///
/// # Errors
/// If it is not.
pub fn origin(origin: &Origin) -> Result<(), Lie> {
    if announcement_signer(&origin.head, &origin.signature)? == origin.node {
        Ok(())
    } else {
        Err(Lie::Signature)
    }
}

/// Counts what trusted nodes announce. Memory is bounded by their number.
#[derive(Clone, Debug)]
pub struct Quorum {
    trusted: BTreeSet<NodeKey>,
    percent: u8,
    announced: BTreeMap<NodeKey, Head>,
}

impl Quorum {
    /// Percent of the trusted nodes that have to agree, unless said otherwise (geth's default).
    pub const DEFAULT_PERCENT: u8 = 75;

    /// A quorum of `percent` of these nodes. Percentages over 100 count as 100; at least one node has to
    /// agree, whatever the percentage.
    pub fn new(trusted: impl IntoIterator<Item = NodeKey>, percent: u8) -> Self {
        Self { trusted: trusted.into_iter().collect(), percent: percent.min(100), announced: BTreeMap::new() }
    }

    /// Whether a node is one of the trusted.
    pub fn trusts(&self, node: &NodeKey) -> bool {
        self.trusted.contains(node)
    }

    /// Takes a signed announcement. Gives whether its signer is trusted, and so counts from now on.
    ///
    /// # Errors
    /// If it is not signed by `node`.
    pub fn announce(&mut self, node: NodeKey, head: Head, signature: &[u8; 65]) -> Result<bool, Lie> {
        if announcement_signer(&head, signature)? != node {
            return Err(Lie::Signature);
        }
        let counts = self.trusts(&node);
        if counts {
            self.announced.insert(node, head);
        }
        Ok(counts)
    }

    /// Takes the announcements that a relay passed on.
    ///
    /// # Errors
    /// At the first that is not signed by the node that it names.
    pub fn announce_all(&mut self, origins: &[Origin]) -> Result<usize, Lie> {
        let mut counted = 0;
        for origin in origins {
            counted += usize::from(self.announce(origin.node, origin.head, &origin.signature)?);
        }
        Ok(counted)
    }

    /// Forgets what a node announced: it is gone.
    pub fn forget(&mut self, node: &NodeKey) {
        self.announced.remove(node);
    }

    /// How many trusted nodes have announced this very head (hash, number and total difficulty).
    pub fn agreeing(&self, head: &Head) -> usize {
        self.announced.values().filter(|announced| *announced == head).count()
    }

    /// Whether enough trusted nodes have announced this head.
    pub fn is_trusted(&self, head: &Head) -> bool {
        let agreeing = self.agreeing(head);
        agreeing > 0 && 100 * agreeing >= usize::from(self.percent) * self.trusted.len()
    }

    /// The head that enough trusted nodes announce; of several, the one with most total difficulty.
    pub fn trusted_head(&self) -> Option<Head> {
        let heads = self.announced.values().filter(|head| self.is_trusted(head));
        heads.max_by_key(|head| (head.td, head.number, head.hash)).copied()
    }
}

#[cfg(test)]
mod tests;
