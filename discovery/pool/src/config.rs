//! How many peers are wanted, and how hard they are looked for.

use std::time::Duration;

use causeway_records::Reach;
use causeway_wire::{NodeKey, Stack};

use crate::Role;

/// Pause between searches below target (status-go's fast mode).
pub const FAST_SEARCH: Duration = Duration::from_secs(3);

/// Pause between searches at target (status-go's slow mode).
pub const SLOW_SEARCH: Duration = Duration::from_secs(30);

/// Candidates that are kept for later; the least promising go first.
pub const CANDIDATES: usize = 2_000;

/// Candidates of one subnet (/24, /56) that are kept: whoever owns one subnet cannot fill the pool.
pub const CANDIDATES_PER_SUBNET: usize = 16;

/// Dials into one public subnet within a minute.
pub const SUBNET_DIALS: usize = 4;

/// Strangers of one public subnet that are dialed or were, and are connected.
pub const SUBNET_PEERS: usize = 2;

/// How many peers of each role are wanted: the pool dials to reach it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// [`Role::LesFullNode`]
    pub les_full_nodes: usize,
    /// [`Role::EthFullNode`]
    pub eth_full_nodes: usize,
    /// [`Role::Relay`]
    pub relays: usize,
}

impl Targets {
    /// The target of `role`. Light peers are never dialed.
    pub fn of(&self, role: Role) -> usize {
        match role {
            Role::LesFullNode => self.les_full_nodes,
            Role::EthFullNode => self.eth_full_nodes,
            Role::Relay => self.relays,
            Role::LightPeer => 0,
        }
    }

    /// Whether nobody is wanted beyond whom the user named: nothing is searched for then.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What the pool aims at.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Our own key: never dialed.
    pub me: NodeKey,
    /// How many peers are wanted.
    pub targets: Targets,
    /// Most connections that we dialed, the user's nodes among them. Those are dialed even beyond it; a
    /// stranger leaves then.
    pub most: usize,
    /// Most strangers dialed at once.
    pub dials_at_once: usize,
    /// Which addresses strangers may send us to.
    pub reach: Reach,
    /// The stack that is tried first if a node is on both.
    pub first: Stack,
    /// Pause between searches while peers are missing.
    pub fast: Duration,
    /// Pause between searches otherwise.
    pub slow: Duration,
    /// Most candidates that are kept.
    pub candidates: usize,
    /// Most candidates of one public subnet that are kept.
    pub candidates_per_subnet: usize,
    /// Most dials into one public subnet within a minute.
    pub subnet_dials: usize,
    /// Most strangers of one public subnet among the peers that we dialed.
    pub subnet_peers: usize,
}

impl PoolConfig {
    /// A relay that finds its full nodes and other relays. Nothing here speaks eth to full nodes yet, so none are
    /// wanted for that.
    pub fn relay(me: NodeKey) -> Self {
        Self {
            me,
            targets: Targets { les_full_nodes: 4, eth_full_nodes: 0, relays: 2 },
            most: 50,
            dials_at_once: 16,
            reach: Reach::Public,
            first: Stack::Devp2p,
            fast: FAST_SEARCH,
            slow: SLOW_SEARCH,
            candidates: CANDIDATES,
            candidates_per_subnet: CANDIDATES_PER_SUBNET,
            subnet_dials: SUBNET_DIALS,
            subnet_peers: SUBNET_PEERS,
        }
    }

    /// A light peer on a desk: a few relays, and full nodes where there are any.
    pub fn light(me: NodeKey) -> Self {
        Self {
            targets: Targets { les_full_nodes: 1, eth_full_nodes: 0, relays: 3 },
            most: 12,
            dials_at_once: 6,
            first: Stack::Libp2p,
            ..Self::relay(me)
        }
    }

    /// A phone: 8 connections in all, one dial at a time, and long pauses between searches, as each wakes the
    /// radio.
    pub fn phone(me: NodeKey) -> Self {
        Self {
            targets: Targets { les_full_nodes: 1, eth_full_nodes: 0, relays: 2 },
            most: 8,
            dials_at_once: 1,
            fast: Duration::from_secs(10),
            slow: Duration::from_secs(120),
            candidates: 200,
            ..Self::light(me)
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B512;

    use super::*;

    #[test]
    fn every_preset_has_room_for_what_it_wants() {
        let me = NodeKey(B512::ZERO);
        for config in [PoolConfig::relay(me), PoolConfig::light(me), PoolConfig::phone(me)] {
            let wanted = config.targets.les_full_nodes + config.targets.relays;
            assert!(wanted <= config.most && config.dials_at_once > 0, "{config:?}");
            assert!(config.fast < config.slow);
        }
        assert_eq!((PoolConfig::phone(me).most, PoolConfig::phone(me).dials_at_once), (8, 1));
    }
}
