//! Capabilities (`les/4`) and where the shared ones lie in a connection's code space.

use std::{borrow::Cow, fmt};

/// A sub-protocol's name and version, as Hello lists it and as `/name/version` names it on libp2p.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capability {
    /// ASCII, at most 8 characters by convention.
    pub name: Cow<'static, str>,
    /// The version number.
    pub version: u64,
}

impl Capability {
    /// A capability known at compile time.
    pub const fn new(name: &'static str, version: u64) -> Self {
        Self { name: Cow::Borrowed(name), version }
    }

    /// How many message codes it takes (rlpx.md section 8); both ends must agree on it.
    /// `None` for a capability that we do not know.
    pub fn length(&self) -> Option<u64> {
        Some(match (self.name.as_ref(), self.version) {
            ("les", 1) => 15,
            ("les", 2) => 22,
            ("les", 3 | 4) => 24,
            ("eth", 62) => 8,
            ("eth", 63..=68) => 17,
            ("eth", 69 | 70) => 18,
            ("eth", 71) => 20,
            ("eth", 72) => 22,
            ("snap", 1) => 8,
            ("snap", 2) => 10,
            _ => return None,
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// A capability that both ends have, with the first code it owns on this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedCapability {
    /// Name and version.
    pub capability: Capability,
    /// The wire code of its local code 0; 0x10 or more.
    pub offset: u64,
    /// The number of codes it owns.
    pub length: u64,
}

/// First code after those of the base protocol.
pub const BASE_LENGTH: u64 = 0x10;

/// The capabilities shared by both Hellos, highest version per name, sorted by name, with their offsets.
pub fn agree(ours: &[Capability], theirs: &[Capability]) -> Vec<SharedCapability> {
    let mut best: Vec<&Capability> =
        ours.iter().filter(|our| our.length().is_some() && theirs.contains(our)).collect();
    best.sort_by(|a, b| a.name.cmp(&b.name).then(b.version.cmp(&a.version)));
    best.dedup_by(|later, earlier| later.name == earlier.name);
    let mut offset = BASE_LENGTH;
    let mut shared = Vec::with_capacity(best.len());
    for capability in best {
        let Some(length) = capability.length() else { continue };
        shared.push(SharedCapability { capability: capability.clone(), offset, length });
        offset += length;
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH_68: Capability = Capability::new("eth", 68);
    const ETH_69: Capability = Capability::new("eth", 69);
    const ETH_72: Capability = Capability::new("eth", 72);
    const LES_2: Capability = Capability::new("les", 2);
    const LES_3: Capability = Capability::new("les", 3);
    const LES_4: Capability = Capability::new("les", 4);
    const SNAP_1: Capability = Capability::new("snap", 1);
    const SNAP_2: Capability = Capability::new("snap", 2);

    /// The agreed capabilities as `(name, first code, last code)`.
    fn ranges(ours: &[Capability], theirs: &[Capability]) -> Vec<(String, u64, u64)> {
        let range = |shared: &SharedCapability| {
            (shared.capability.to_string(), shared.offset, shared.offset + shared.length - 1)
        };
        agree(ours, theirs).iter().map(range).collect()
    }

    fn range(name: &str, first: u64, last: u64) -> (String, u64, u64) {
        (name.to_owned(), first, last)
    }

    // The table of the RLPx reference, section 8, from go-ethereum's protocol lengths.
    #[test]
    fn offsets_are_those_of_go_ethereum() {
        let same = |set: &[Capability]| ranges(set, set);

        assert_eq!(same(&[ETH_68, SNAP_1]), [range("eth/68", 0x10, 0x20), range("snap/1", 0x21, 0x28)]);
        assert_eq!(same(&[ETH_69, SNAP_1]), [range("eth/69", 0x10, 0x21), range("snap/1", 0x22, 0x29)]);
        assert_eq!(
            same(&[ETH_68, LES_4, SNAP_1]),
            [range("eth/68", 0x10, 0x20), range("les/4", 0x21, 0x38), range("snap/1", 0x39, 0x40)]
        );
        assert_eq!(same(&[LES_4]), [range("les/4", 0x10, 0x27)]);
        assert_eq!(same(&[ETH_72, SNAP_2]), [range("eth/72", 0x10, 0x25), range("snap/2", 0x26, 0x2f)]);
    }

    #[test]
    fn highest_common_version_is_taken_whatever_the_order() {
        let expected = [range("les/3", 0x10, 0x27)];

        assert_eq!(ranges(&[LES_4, LES_3, LES_2], &[LES_2, LES_3]), expected);
        assert_eq!(ranges(&[LES_2, LES_3], &[LES_3, LES_4, LES_2]), expected);
        assert_eq!(ranges(&[LES_2], &[LES_2, LES_2]), [range("les/2", 0x10, 0x25)]);
        assert_eq!(ranges(&[LES_3, LES_3], &[LES_3]), expected);
    }

    #[test]
    fn names_are_sorted_bytewise_whatever_the_order() {
        let expected = [range("eth/68", 0x10, 0x20), range("les/4", 0x21, 0x38), range("snap/1", 0x39, 0x40)];

        assert_eq!(ranges(&[SNAP_1, LES_4, ETH_68], &[LES_4, ETH_68, SNAP_1]), expected);
    }

    #[test]
    fn what_one_side_lacks_takes_no_codes() {
        assert_eq!(ranges(&[LES_4, SNAP_1], &[ETH_68, SNAP_1]), [range("snap/1", 0x10, 0x17)]);
        assert_eq!(ranges(&[LES_4], &[ETH_68]), []);
        assert_eq!(ranges(&[], &[LES_4]), []);
    }

    #[test]
    fn capability_of_unknown_length_is_not_agreed_on() {
        let unknown = Capability::new("shh", 99);

        assert_eq!(unknown.length(), None);
        assert_eq!(ranges(&[unknown.clone(), LES_4], &[unknown, LES_4]), [range("les/4", 0x10, 0x27)]);
    }

    #[test]
    fn display_is_name_and_version() {
        assert_eq!(LES_4.to_string(), "les/4");
    }
}
