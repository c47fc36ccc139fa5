//! What is kept for the next run, and what an earlier one left.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use super::Pool;
use crate::{
    MAX_REMEMBERED, Memory, Role, Source, memory::Remembered, node::Node, patience::Patience,
    worth::LONGEST_MEMORY,
};

impl Pool {
    /// Those that worked, the most worthy first, as of the UNIX time `unix` in seconds. The user's own nodes are
    /// not among them: the user names them.
    pub fn memory(&self, now: Instant, unix: u64) -> Memory {
        let mut peers: Vec<Remembered> = self
            .nodes
            .iter()
            .filter(|(key, _)| self.shunned.cause(**key, now).is_none())
            .filter_map(|(key, node)| {
                let silent = node.silence(now)?;
                let role = node.role.filter(|role| *role != Role::LightPeer)?;
                let kept = !node.is_named() && !node.contact.is_empty() && silent < node.worth.kept();
                kept.then(|| Remembered {
                    key: *key,
                    contact: node.contact.clone(),
                    role,
                    worth: node.worth,
                    failures: node.patience.failures(),
                    last_seen: unix.saturating_sub(silent.as_secs()),
                })
            })
            .collect();
        peers.sort_by_key(|peer| (Reverse(peer.worth.score()), Reverse(peer.last_seen), peer.key));
        peers.truncate(MAX_REMEMBERED);
        Memory { peers }
    }

    /// Takes in what an earlier run remembered, as far as it is not too long ago; says how many that is.
    pub fn remember(&mut self, memory: Memory, now: Instant, unix: u64) -> usize {
        let before = self.nodes.len();
        for peer in memory.peers {
            let Remembered { key, contact, role, worth, failures, last_seen } = peer;
            let silent = Duration::from_secs(unix.saturating_sub(last_seen)).min(LONGEST_MEMORY);
            if key == self.config.me || silent >= worth.kept() || role == Role::LightPeer {
                continue;
            }
            if self.shunned.cause(key, now).is_some() {
                continue;
            }
            let lot = self.random.next();
            if let Some(known) = self.nodes.get_mut(&key) {
                known.worth = worth; // the addresses that it came with are newer
                continue;
            }
            let mut node = Node::new(Source::Cache, Some(role), lot);
            node.contact = contact;
            node.worth = worth;
            node.patience = Patience::with_failures(failures);
            node.tried = true;
            node.worked = Some(now);
            node.silent_before = silent;
            if self.make_room(&node).is_ok() {
                self.nodes.insert(key, node);
            }
        }
        self.events.counts_changed = true;
        self.nodes.len().saturating_sub(before)
    }
}
