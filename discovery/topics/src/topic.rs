//! Topics: 32-byte service identifiers in the space of node ids, and how far a node is from one.

use std::fmt;

use alloy_primitives::{B256, keccak256};
use causeway_records::Record;

/// The largest logarithmic distance: the first bit differs.
pub const MAX_DISTANCE: u16 = 256;

/// The entry by which a node says that it is a registrar (devp2p `enr-entries/ng.md`).
pub const CAPABILITY_KEY: &str = "topic-discovery";

/// The version of topic discovery that we speak.
pub const CAPABILITY_VERSION: u64 = 1;

/// What is advertised: a 32-byte service identifier.
///
/// The draft leaves to applications how they choose it. Ours are the keccak-256 of a namespace's text, see
/// [`Topic::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub B256);

impl Topic {
    /// The topic of a namespace, the same text as in the rendezvous protocol of libp2p.
    pub fn of(namespace: &str) -> Self {
        Self(keccak256(namespace))
    }

    /// The logarithmic distance to `node`: 1 if only the last bit differs, [`MAX_DISTANCE`] if the first does.
    /// `None` if the node's id is the topic itself.
    ///
    /// This is how FINDNODE counts. The draft's theory counts its buckets from 0 to 255; its messages carry
    /// "positive" distances, which is what decides here.
    pub fn distance(self, node: B256) -> Option<u16> {
        let zeroes = (self.0 ^ node).0.iter().try_fold(0u16, |zeroes, byte| match byte.leading_zeros() {
            8 => Ok(zeroes + 8),
            some => Err(zeroes + u16::try_from(some).unwrap_or_default()),
        });
        zeroes.err().map(|zeroes| MAX_DISTANCE - zeroes)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which nodes may be asked to register or to look up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registrars {
    /// Those whose record has [`CAPABILITY_KEY`] with [`CAPABILITY_VERSION`], as the draft asks.
    #[default]
    Announced,
    /// Whoever is handed in: the caller knows by other means that they answer.
    Any,
}

impl Registrars {
    /// Whether the node of `record` may be asked.
    pub fn admit(self, record: &Record) -> bool {
        match self {
            Self::Announced => announced_version(record) == Some(CAPABILITY_VERSION),
            Self::Any => true,
        }
    }
}

/// The version of topic discovery that `record` announces; `None` if it does not, or not by an integer.
pub fn announced_version(record: &Record) -> Option<u64> {
    let (_, value) = record.entries().find(|(key, _)| *key == CAPABILITY_KEY.as_bytes())?;
    causeway_wire::rlp::single(value).and_then(causeway_wire::rlp::Item::uint).ok()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::b256;

    use super::*;
    use crate::tests::{announcing, record};

    #[test]
    fn a_topic_is_the_hash_of_its_namespace() {
        // keccak-256 of the empty string, as in the yellow paper.
        let empty = b256!("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");

        assert_eq!(Topic::of(""), Topic(empty));
        assert_ne!(Topic::of("les/1"), Topic::of("les/2"));
    }

    #[test]
    fn distances_are_those_of_findnode() {
        let topic = Topic(B256::ZERO);
        let at = |byte: usize, value: u8| {
            let mut id = B256::ZERO;
            id.0[byte] = value;
            topic.distance(id)
        };

        assert_eq!(at(0, 0x80), Some(256));
        assert_eq!(at(0, 0xff), Some(256));
        assert_eq!(at(0, 0x01), Some(249));
        assert_eq!(at(1, 0x80), Some(248));
        assert_eq!(at(31, 0x03), Some(2));
        assert_eq!(at(31, 0x01), Some(1));
        assert_eq!(topic.distance(B256::ZERO), None);
    }

    #[test]
    fn registrars_are_known_by_their_record() {
        assert_eq!(announced_version(&record(1)), None);
        assert_eq!(announced_version(&announcing(1, &[0x01])), Some(1));
        assert_eq!(announced_version(&announcing(1, &[0xc0])), None);

        assert!(Registrars::Announced.admit(&announcing(1, &[0x01])));
        assert!(!Registrars::Announced.admit(&announcing(1, &[0x02])));
        assert!(!Registrars::Announced.admit(&record(1)));
        assert!(Registrars::Any.admit(&record(1)));
    }
}
