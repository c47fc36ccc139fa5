//! A Merkle Patricia trie whose versions share structure: a change copies only the nodes on its path.
//!
//! Keys are 32-byte hashes, so no key is a prefix of another and branches never hold a value.

use std::sync::{Arc, OnceLock};

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};
use alloy_trie::EMPTY_ROOT_HASH;

/// What a leaf holds.
pub(crate) trait Value: Clone {
    /// The RLP that the trie commits to.
    fn encode(&self) -> Vec<u8>;
}

/// One version of a trie. Cloning is cheap and shares every node.
#[derive(Clone, Debug)]
pub(crate) struct Trie<V> {
    root: Option<Link<V>>,
}

type Link<V> = Arc<Node<V>>;

#[derive(Debug)]
struct Node<V> {
    kind: Kind<V>,
    /// Filled when first asked for; nodes never change afterwards.
    rlp: OnceLock<Bytes>,
}

#[derive(Debug)]
enum Kind<V> {
    Leaf { path: Box<[u8]>, value: V },
    Extension { path: Box<[u8]>, child: Link<V> },
    Branch(Box<[Option<Link<V>>; 16]>),
}

/// What removing a key left of a subtree.
enum Rest<V> {
    Unchanged,
    Nothing,
    Changed(Link<V>),
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<V: Value> Trie<V> {
    /// Sets the value at a hashed key.
    pub(crate) fn insert(&mut self, key: B256, value: V) {
        self.root = Some(insert(self.root.as_ref(), &nibbles(key), value));
    }

    /// Removes the value at a hashed key, if there is one.
    pub(crate) fn remove(&mut self, key: B256) {
        match self.root.as_ref().map_or(Rest::Unchanged, |root| remove(root, &nibbles(key))) {
            Rest::Unchanged => {}
            Rest::Nothing => self.root = None,
            Rest::Changed(root) => self.root = Some(root),
        }
    }

    /// The value at a hashed key.
    pub(crate) fn find(&self, key: B256) -> Option<&V> {
        let key = nibbles(key);
        let mut rest = key.as_slice();
        let mut node = self.root.as_ref()?;
        loop {
            match &node.kind {
                Kind::Leaf { path, value } => return (**path == *rest).then_some(value),
                Kind::Extension { path, child } => {
                    rest = rest.strip_prefix(&**path)?;
                    node = child;
                }
                Kind::Branch(children) => {
                    let (first, tail) = rest.split_first()?;
                    node = children[usize::from(*first)].as_ref()?;
                    rest = tail;
                }
            }
        }
    }

    /// The hash that commits to everything in this version.
    pub(crate) fn root(&self) -> B256 {
        self.root.as_ref().map_or(EMPTY_ROOT_HASH, |root| keccak256(root.rlp()))
    }

    /// The nodes on the way to a hashed key, from the root to its leaf or to where the way ends,
    /// without the first `from_level` of them. Nodes that lie inside their parent count as a level
    /// but are not listed.
    pub(crate) fn prove(&self, key: B256, from_level: u64) -> Vec<Bytes> {
        let key = nibbles(key);
        let mut rest = key.as_slice();
        let mut next = self.root.as_ref();
        let mut nodes = Vec::new();
        let mut level = 0;
        while let Some(node) = next {
            let rlp = node.rlp();
            if level >= from_level && (level == 0 || rlp.len() >= 32) {
                nodes.push(rlp.clone());
            }
            level += 1;
            next = match &node.kind {
                Kind::Leaf { .. } => None,
                Kind::Extension { path, child } => rest.strip_prefix(&**path).map(|tail| {
                    rest = tail;
                    child
                }),
                Kind::Branch(children) => rest.split_first().and_then(|(first, tail)| {
                    rest = tail;
                    children[usize::from(*first)].as_ref()
                }),
            };
        }
        nodes
    }
}

impl<V: Value> Node<V> {
    fn rlp(&self) -> &Bytes {
        self.rlp.get_or_init(|| {
            let mut payload = Vec::new();
            match &self.kind {
                Kind::Leaf { path, value } => {
                    hex_prefix(path, Ending::Leaf).as_slice().encode(&mut payload);
                    value.encode().as_slice().encode(&mut payload);
                }
                Kind::Extension { path, child } => {
                    hex_prefix(path, Ending::Extension).as_slice().encode(&mut payload);
                    child.append_reference(&mut payload);
                }
                Kind::Branch(children) => {
                    for child in children.iter() {
                        match child {
                            Some(child) => child.append_reference(&mut payload),
                            None => payload.push(EMPTY_STRING_CODE),
                        }
                    }
                    payload.push(EMPTY_STRING_CODE);
                }
            }
            let mut rlp = Vec::with_capacity(payload.len() + 4);
            Header { list: true, payload_length: payload.len() }.encode(&mut rlp);
            rlp.extend_from_slice(&payload);
            rlp.into()
        })
    }

    /// How a parent names this node: by hash, or by the node itself if that is shorter.
    fn append_reference(&self, out: &mut Vec<u8>) {
        let rlp = self.rlp();
        if rlp.len() < 32 {
            out.extend_from_slice(rlp);
        } else {
            keccak256(rlp).encode(out);
        }
    }
}

fn node<V>(kind: Kind<V>) -> Link<V> {
    Arc::new(Node { kind, rlp: OnceLock::new() })
}

fn leaf<V>(path: &[u8], value: V) -> Link<V> {
    node(Kind::Leaf { path: path.into(), value })
}

/// An extension before a branch, or the branch itself if there is nothing to extend by.
fn extend<V>(path: &[u8], child: Link<V>) -> Link<V> {
    if path.is_empty() { child } else { node(Kind::Extension { path: path.into(), child }) }
}

/// Puts nibbles before a node of any kind.
fn join<V: Value>(prefix: &[u8], child: &Link<V>) -> Link<V> {
    match &child.kind {
        Kind::Leaf { path, value } => leaf(&[prefix, path].concat(), value.clone()),
        Kind::Extension { path, child } => extend(&[prefix, path].concat(), Arc::clone(child)),
        Kind::Branch(_) => extend(prefix, Arc::clone(child)),
    }
}

fn insert<V: Value>(at: Option<&Link<V>>, key: &[u8], value: V) -> Link<V> {
    let Some(at) = at else { return leaf(key, value) };
    match &at.kind {
        Kind::Leaf { path, value: present } => {
            let shared = shared_prefix(path, key);
            if shared == key.len() {
                return leaf(key, value);
            }
            fork(
                &path[..shared],
                (path[shared], leaf(&path[shared + 1..], present.clone())),
                &key[shared..],
                value,
            )
        }
        Kind::Extension { path, child } => {
            let shared = shared_prefix(path, key);
            if shared == path.len() {
                return extend(path, insert(Some(child), &key[shared..], value));
            }
            fork(
                &path[..shared],
                (path[shared], extend(&path[shared + 1..], Arc::clone(child))),
                &key[shared..],
                value,
            )
        }
        Kind::Branch(children) => {
            let mut children = children.clone();
            let slot = &mut children[usize::from(key[0])];
            *slot = Some(insert(slot.as_ref(), &key[1..], value));
            node(Kind::Branch(children))
        }
    }
}

/// A branch after `prefix` with a subtree that was there and a new leaf.
fn fork<V>(prefix: &[u8], present: (u8, Link<V>), key: &[u8], value: V) -> Link<V> {
    let mut children: Box<[Option<Link<V>>; 16]> = Box::default();
    children[usize::from(present.0)] = Some(present.1);
    children[usize::from(key[0])] = Some(leaf(&key[1..], value));
    extend(prefix, node(Kind::Branch(children)))
}

fn remove<V: Value>(at: &Link<V>, key: &[u8]) -> Rest<V> {
    match &at.kind {
        Kind::Leaf { path, .. } if **path == *key => Rest::Nothing,
        Kind::Leaf { .. } => Rest::Unchanged,
        Kind::Extension { path, child } => match key.strip_prefix(&**path).map(|rest| remove(child, rest)) {
            None | Some(Rest::Unchanged) => Rest::Unchanged,
            Some(Rest::Nothing) => Rest::Nothing,
            Some(Rest::Changed(child)) => Rest::Changed(join(path, &child)),
        },
        Kind::Branch(children) => {
            let slot = usize::from(key[0]);
            let Some(child) = &children[slot] else { return Rest::Unchanged };
            let left = match remove(child, &key[1..]) {
                Rest::Unchanged => return Rest::Unchanged,
                Rest::Nothing => None,
                Rest::Changed(child) => Some(child),
            };
            let mut children = children.clone();
            children[slot] = left;
            Rest::Changed(settle(children))
        }
    }
}

/// A branch, or what takes its place if one child is left.
fn settle<V: Value>(children: Box<[Option<Link<V>>; 16]>) -> Link<V> {
    let mut left =
        (0_u8..).zip(children.iter()).filter_map(|(nibble, child)| Some((nibble, child.as_ref()?)));
    match (left.next(), left.next()) {
        (Some((nibble, only)), None) => join(&[nibble], only),
        _ => node(Kind::Branch(children)),
    }
}

fn shared_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn nibbles(key: B256) -> Vec<u8> {
    key.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).collect()
}

#[derive(Clone, Copy)]
enum Ending {
    Extension,
    Leaf,
}

/// Yellow paper appendix C: nibbles as bytes, with a flag for their parity and the node's kind.
fn hex_prefix(path: &[u8], ending: Ending) -> Vec<u8> {
    let flag = match ending {
        Ending::Extension => 0x00,
        Ending::Leaf => 0x20,
    };
    let (first, even) = match path.split_first() {
        Some((nibble, rest)) if path.len() % 2 == 1 => (flag | 0x10 | nibble, rest),
        _ => (flag, path),
    };
    let pairs = even.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    std::iter::once(first).chain(pairs).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use alloy_primitives::U256;
    use alloy_trie::{Nibbles, proof::verify_proof, root};

    use super::*;

    impl Value for U256 {
        fn encode(&self) -> Vec<u8> {
            alloy_rlp::encode(self)
        }
    }

    #[test]
    fn every_version_has_the_root_that_alloy_trie_computes() {
        let mut trie = Trie::default();
        let mut model = BTreeMap::new();
        let mut versions = Vec::new();
        for step in 0..600_u64 {
            let dice = keccak256(step.to_be_bytes());
            let key = keccak256([dice[0] % 97]);
            if dice[1] % 3 == 0 {
                trie.remove(key);
                model.remove(&key);
            } else {
                let value = U256::from(step + 1);
                trie.insert(key, value);
                model.insert(key, value);
            }

            assert_eq!(trie.root(), root::storage_root(model.clone()), "step {step}");
            versions.push((trie.clone(), trie.root()));
        }

        for (version, root) in versions {
            assert_eq!(version.root(), root);
        }
    }

    #[test]
    fn removing_everything_leaves_the_empty_trie() {
        let mut trie = Trie::default();
        let keys: Vec<B256> = (0..40_u8).map(|n| keccak256([n])).collect();
        keys.iter().for_each(|key| trie.insert(*key, U256::from(7)));

        keys.iter().for_each(|key| trie.remove(*key));

        assert_eq!(trie.root(), EMPTY_ROOT_HASH);
        assert!(trie.prove(keys[0], 0).is_empty());
    }

    #[test]
    fn proofs_of_presence_and_absence_satisfy_alloy_trie() {
        let mut trie = Trie::default();
        for n in 0..200_u64 {
            trie.insert(keccak256(n.to_be_bytes()), U256::from(n + 1));
        }

        for n in 0..300_u64 {
            let key = keccak256(n.to_be_bytes());
            let expected = (n < 200).then(|| alloy_rlp::encode(U256::from(n + 1)));
            let nodes = trie.prove(key, 0);
            verify_proof(trie.root(), Nibbles::unpack(key), expected, &nodes).expect("the proof holds");
            assert_eq!(trie.prove(key, 1), nodes[1..]);
        }
    }

    #[test]
    fn nodes_inside_their_parent_are_not_listed() {
        // Two keys that differ in the last nibble only: the leaves are two bytes and lie in the branch.
        let mut trie = Trie::default();
        let mut first = B256::ZERO;
        let mut second = B256::ZERO;
        first[31] = 1;
        second[31] = 2;
        trie.insert(first, U256::from(1));
        trie.insert(second, U256::from(2));

        let nodes = trie.prove(first, 0);

        assert_eq!(nodes.len(), 1, "the extension holds the branch, which holds the leaves");
        assert_eq!(keccak256(&nodes[0]), trie.root());
    }
}
