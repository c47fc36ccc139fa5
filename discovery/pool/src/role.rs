//! What a peer is good for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a peer is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A devp2p node that serves LES.
    LesFullNode,
    /// A devp2p node that serves eth (and snap), not LES.
    EthFullNode,
    /// A node like us: LES over libp2p, perhaps over devp2p too.
    Relay,
    /// A peer that asks.
    LightPeer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LesFullNode => "les-full-node",
            Self::EthFullNode => "eth-full-node",
            Self::Relay => "relay",
            Self::LightPeer => "light-peer",
        })
    }
}
