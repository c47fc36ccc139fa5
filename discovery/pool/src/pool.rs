//! The pool: a state machine that is driven with what others find and with the time.

mod connections;
mod dialing;
mod intake;
mod recall;
mod search;
#[cfg(test)]
mod tests;
mod view;

pub use connections::{Connected, MAX_CLIENT, MAX_CONNECTED};
pub use dialing::Dial;
pub use intake::{MAX_NAMED, Refused};
pub use search::Search;

use std::{collections::BTreeMap, time::Instant};

use alloy_eip2124::ForkFilter;
use causeway_records::Rules;
use causeway_wire::NodeKey;

use crate::{
    PoolConfig, Role, info::Events, node::Node, random::Random, shunned::Shunned, subnet::RecentDials,
};
use search::Pace;

/// All nodes that we know, on either stack, by their key.
///
/// After each `handle_*` the caller drains `poll_dial`, `poll_evict`, `poll_search` and `poll_event`, and again at
/// the time that [`Pool::poll_timeout`] names.
#[derive(Debug)]
pub struct Pool {
    config: PoolConfig,
    forks: ForkFilter,
    random: Random,
    nodes: BTreeMap<NodeKey, Node>,
    shunned: Shunned,
    recent: RecentDials,
    pace: Pace,
    events: Events,
    dials: u64,
    failed_dials: u64,
}

impl Pool {
    /// An empty pool that searches at once. `forks` is our chain as of our head; the same `seed` gives the same
    /// choices.
    pub fn new(config: PoolConfig, forks: ForkFilter, seed: [u8; 32], now: Instant) -> Self {
        Self {
            pace: Pace::new(now),
            config,
            forks,
            random: Random::new(seed),
            nodes: BTreeMap::new(),
            shunned: Shunned::default(),
            recent: RecentDials::default(),
            events: Events::default(),
            dials: 0,
            failed_dials: 0,
        }
    }

    /// Our head has passed a fork, or our chain is known now: who was on another chain is judged again.
    pub fn set_forks(&mut self, forks: ForkFilter) {
        if self.forks.current() == forks.current() {
            self.forks = forks;
            return;
        }
        self.forks = forks;
        for node in self.nodes.values_mut().filter(|node| node.ruled_out) {
            node.ruled_out = false;
            node.due = None;
        }
    }

    /// Whether the user named this node and trusts it.
    pub fn is_trusted(&self, key: NodeKey) -> bool {
        self.nodes.get(&key).is_some_and(|node| node.source == crate::Source::Trusted)
    }

    /// When one of `poll_*` will have something, if none of `handle_*` comes first.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let search = self.next_search();
        let dial = self.next_dial();
        search.into_iter().chain(dial).min()
    }

    fn rules(&self) -> Rules<'_> {
        Rules { reach: self.config.reach, forks: &self.forks, first: self.config.first }
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for node in self.nodes.values() {
            if let Some(connection) = &node.connected {
                let role = tally.role(connection.role);
                if connection.leaving {
                    role.leaving += 1;
                } else if connection.is_dialed() || node.is_named() {
                    role.dialed += 1;
                } else {
                    role.inbound += 1;
                }
                if connection.is_dialed() {
                    tally.dialed += 1;
                    tally.leaving += usize::from(connection.leaving);
                }
            }
            if let Some(dialing) = &node.dialing {
                tally.dialing += 1;
                tally.strangers_dialing += usize::from(!node.is_named());
                let fresh = !dialing.hanging && node.connected.is_none();
                tally.role(dialing.role).fresh_dials += usize::from(fresh);
            }
        }
        tally
    }

    /// How many peers of `role` are missing, dials under way not counted.
    fn missing(&self, tally: &Tally, role: Role) -> usize {
        let target = self.config.targets.of(role);
        target.saturating_sub(tally.of(role).towards(target))
    }
}

/// Counts of one role.
#[derive(Clone, Copy, Debug, Default)]
struct RoleTally {
    /// We dialed them, or the user named them.
    dialed: usize,
    /// They came.
    inbound: usize,
    leaving: usize,
    /// Dials that may well succeed soon.
    fresh_dials: usize,
}

impl RoleTally {
    /// What counts towards `target`. Who comes by himself may not fill more than half of it: a stranger with
    /// many keys would choose all our peers then.
    fn towards(&self, target: usize) -> usize {
        self.dialed + self.inbound.min(target / 2)
    }
}

/// Counts of all connections and dials.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    roles: [RoleTally; 4],
    /// Connections that we dialed.
    dialed: usize,
    /// Of these, the ones that are to be let go.
    leaving: usize,
    dialing: usize,
    strangers_dialing: usize,
}

/// Every role, in the order of their counts.
const ROLES: [Role; 4] = [Role::LesFullNode, Role::EthFullNode, Role::Relay, Role::LightPeer];

impl Tally {
    fn role(&mut self, role: Role) -> &mut RoleTally {
        let [les, eth, relay, light] = &mut self.roles;
        match role {
            Role::LesFullNode => les,
            Role::EthFullNode => eth,
            Role::Relay => relay,
            Role::LightPeer => light,
        }
    }

    fn of(&self, role: Role) -> RoleTally {
        let [les, eth, relay, light] = self.roles;
        match role {
            Role::LesFullNode => les,
            Role::EthFullNode => eth,
            Role::Relay => relay,
            Role::LightPeer => light,
        }
    }
}
