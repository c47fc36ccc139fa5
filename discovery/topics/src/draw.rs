//! Choices that nobody outside can foresee, from a seed that the caller gives.

use std::fmt;

use alloy_primitives::{B256, keccak256};

/// A row of numbers derived from a secret seed.
#[derive(Clone)]
pub(crate) struct Draw {
    seed: B256,
    drawn: u64,
}

impl Draw {
    pub(crate) fn new(seed: B256) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Eight bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 8] {
        self.drawn = self.drawn.wrapping_add(1);
        let hash = keccak256([&self.seed[..], &self.drawn.to_be_bytes()].concat());
        let [a, b, c, d, e, f, g, h, ..] = hash.0;
        [a, b, c, d, e, f, g, h]
    }

    /// An index below `count`; `None` if that is 0.
    pub(crate) fn below(&mut self, count: usize) -> Option<usize> {
        let count = u64::try_from(count).ok()?;
        let index = u64::from_be_bytes(self.bytes()).checked_rem(count)?;
        usize::try_from(index).ok()
    }

    /// Takes up to `wanted` of `items`, in random order.
    pub(crate) fn some<T>(&mut self, mut items: Vec<T>, wanted: usize) -> Vec<T> {
        let mut taken = Vec::new();
        while taken.len() < wanted {
            let Some(index) = self.below(items.len()) else { break };
            taken.push(items.swap_remove(index));
        }
        taken
    }
}

/// The seed stays unsaid.
impl fmt::Debug for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draw").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn some_are_taken_without_repetition() {
        let mut draw = Draw::new(B256::ZERO);

        let few = draw.some((0..100).collect(), 10);
        let all = draw.some((0..5).collect(), 10);

        assert_eq!(few.iter().collect::<BTreeSet<_>>().len(), 10);
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (0..5).collect());
        assert_eq!(draw.below(0), None);
    }

    #[test]
    fn every_item_is_drawn_about_as_often() {
        let mut draw = Draw::new(B256::repeat_byte(7));
        let mut counts = [0u32; 10];

        for _ in 0..10_000 {
            counts[draw.below(10).expect("not empty")] += 1;
        }

        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
