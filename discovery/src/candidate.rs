//! A node worth dialing, and who named it.

use causeway_records::Enode;

/// A devp2p node worth dialing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its key and where it listens.
    pub enode: Enode,
    /// Who named it.
    pub origin: Origin,
}

/// Where a candidate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The user named it: it is tried for ever and its failures are worth a word in the log.
    Fixed,
}
