//! Who is neither dialed nor taken in for a while.

use std::{collections::BTreeMap, time::Instant};

use causeway_wire::NodeKey;

/// Most that are held; who would be let in first is let in then.
pub const MAX_SHUNNED: usize = 4_096;

/// Why a node is shunned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It lied.
    Lied,
    /// It failed too often.
    Failed,
    /// It is ourselves, by another key than we thought.
    Myself,
}

/// Keys, each until its time; `None` for ever.
#[derive(Debug, Default)]
pub(crate) struct Shunned(BTreeMap<NodeKey, (Option<Instant>, Cause)>);

impl Shunned {
    pub(crate) fn insert(&mut self, key: NodeKey, cause: Cause, until: Option<Instant>, now: Instant) {
        self.0.retain(|_, (until, _)| until.is_none_or(|until| until > now));
        if self.0.get(&key).is_some_and(|(until, _)| until.is_none()) {
            return; // for ever is longer
        }
        if self.0.len() >= MAX_SHUNNED && !self.0.contains_key(&key) {
            // `None`, for ever, is no candidate for leaving unless all are.
            let first = self.0.iter().min_by_key(|(_, (until, _))| (until.is_none(), *until));
            if let Some(first) = first.map(|(key, _)| *key) {
                self.0.remove(&first);
            }
        }
        self.0.insert(key, (until, cause));
    }

    /// A node that failed too often has come by itself: it lives.
    pub(crate) fn pardon_failed(&mut self, key: NodeKey) {
        if self.0.get(&key).is_some_and(|(_, cause)| *cause == Cause::Failed) {
            self.0.remove(&key);
        }
    }

    pub(crate) fn cause(&self, key: NodeKey, now: Instant) -> Option<Cause> {
        let (until, cause) = self.0.get(&key)?;
        until.is_none_or(|until| until > now).then_some(*cause)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alloy_primitives::B512;

    use super::*;

    fn key(number: u64) -> NodeKey {
        NodeKey(B512::left_padding_from(&number.to_be_bytes()))
    }

    #[test]
    fn a_time_passes_and_for_ever_does_not() {
        let now = Instant::now();
        let later = now + Duration::from_secs(10);
        let mut shunned = Shunned::default();

        shunned.insert(key(1), Cause::Lied, Some(later), now);
        shunned.insert(key(2), Cause::Myself, None, now);

        assert_eq!(shunned.cause(key(1), now), Some(Cause::Lied));
        assert_eq!(shunned.cause(key(1), later), None);
        assert_eq!(shunned.cause(key(2), later), Some(Cause::Myself));
    }

    #[test]
    fn more_than_fit_push_out_who_would_leave_first() {
        let now = Instant::now();
        let mut shunned = Shunned::default();

        for number in 0..=MAX_SHUNNED as u64 {
            shunned.insert(key(number), Cause::Lied, Some(now + Duration::from_secs(1 + number)), now);
        }

        assert_eq!(shunned.len(), MAX_SHUNNED);
        assert_eq!(shunned.cause(key(0), now), None);
        assert_eq!(shunned.cause(key(1), now), Some(Cause::Lied));
    }
}
