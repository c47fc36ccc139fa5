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
            ("les", 2) => 22,
            ("les", 3 | 4) => 24,
            ("eth", 62) => 8,
            ("eth", 63..=68) => 17,
            ("eth", 69 | 70) => 18,
            ("snap", 1) => 8,
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
