//! Nodes that gave an empty answer: they do not know the protocol or do not want us, and are not asked again soon.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy_primitives::B256;

/// Whom nobody asks what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// To be registered.
    Advertise,
    /// Who is.
    Search,
}

/// How long such a node is left alone; until then it may have learned the protocol.
pub(super) const QUIET: Duration = Duration::from_secs(10 * 60);

/// Most that are remembered; the one that was heard of longest ago is forgotten first.
pub(super) const MAX_QUIET: usize = 1024;

/// Who gave an empty answer lately. A node that does not take our advertisement may still be asked for others.
#[derive(Debug, Default)]
pub(super) struct Quiet(BTreeMap<(Side, B256), Instant>);

impl Quiet {
    pub(super) fn insert(&mut self, side: Side, node: B256, now: Instant) {
        if self.0.len() >= MAX_QUIET {
            self.0.retain(|_, until| *until > now);
        }
        if self.0.len() >= MAX_QUIET
            && let Some(oldest) = self.0.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key)
        {
            self.0.remove(&oldest);
        }
        self.0.insert((side, node), now + QUIET);
    }

    pub(super) fn contains(&self, side: Side, node: B256, now: Instant) -> bool {
        self.0.get(&(side, node)).is_some_and(|until| *until > now)
    }

    /// Everybody may be asked again.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: usize) -> B256 {
        B256::left_padding_from(&n.to_be_bytes())
    }

    #[test]
    fn nodes_are_left_alone_for_a_while_and_on_one_side() {
        let now = Instant::now();
        let mut quiet = Quiet::default();
        quiet.insert(Side::Advertise, node(1), now);

        assert!(quiet.contains(Side::Advertise, node(1), now));
        assert!(!quiet.contains(Side::Search, node(1), now));
        assert!(!quiet.contains(Side::Advertise, node(2), now));
        assert!(!quiet.contains(Side::Advertise, node(1), now + QUIET));
        quiet.clear();
        assert!(!quiet.contains(Side::Advertise, node(1), now));
    }

    #[test]
    fn the_oldest_make_room() {
        let now = Instant::now();
        let mut quiet = Quiet::default();
        for n in 0..=MAX_QUIET {
            quiet.insert(Side::Search, node(n), now + Duration::from_millis(n as u64));
        }

        assert_eq!(quiet.0.len(), MAX_QUIET);
        assert!(!quiet.contains(Side::Search, node(0), now));
        assert!(quiet.contains(Side::Search, node(1), now));
        quiet.insert(Side::Search, node(0), now + 2 * QUIET);
        assert_eq!(quiet.0.len(), 1);
    }
}
