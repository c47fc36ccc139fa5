//! Where a peer was heard of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a peer was heard of; the more trustworthy first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The user named it, and trusts it: it is let in whatever the limits say.
    Trusted,
    /// The user named it.
    Static,
    /// What worked in an earlier run.
    Cache,
    /// A signed list in the DNS.
    Dns,
    /// A rendezvous server.
    Rendezvous,
    /// Node Discovery v5.
    Discv5,
    /// Node Discovery v4.
    Discv4,
    /// It came by itself.
    Inbound,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trusted => "trusted",
            Self::Static => "static",
            Self::Cache => "cache",
            Self::Dns => "dns",
            Self::Rendezvous => "rendezvous",
            Self::Discv5 => "discv5",
            Self::Discv4 => "discv4",
            Self::Inbound => "inbound",
        })
    }
}
