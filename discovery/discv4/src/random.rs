//! Chance from a seed: keccak of the seed and a counter. Nothing secret is made of it.

use alloy_primitives::{B256, B512, keccak256};
use causeway_wire::NodeKey;

#[derive(Clone, Debug)]
pub(crate) struct Random {
    seed: [u8; 32],
    drawn: u64,
}

impl Random {
    pub(crate) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// A number below `end`; 0 if there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let [a, b, c, d, ..] = self.draw().0;
        usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(0).checked_rem(end).unwrap_or(0)
    }

    /// A target of a lookup. No key needs to belong to it.
    pub(crate) fn target(&mut self) -> NodeKey {
        NodeKey(B512::from_slice(&[self.draw().0, self.draw().0].concat()))
    }

    fn draw(&mut self) -> B256 {
        self.drawn += 1;
        keccak256([&self.seed[..], &self.drawn.to_be_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_and_repeat_with_the_seed() {
        let mut one = Random::new([1; 32]);
        let mut same = Random::new([1; 32]);

        assert_ne!(one.target(), one.target());
        assert_eq!(same.target(), Random::new([1; 32]).target());
        assert_eq!(one.below(0), 0);
        assert!((0..100).all(|_| one.below(3) < 3));
    }
}
