//! Numbers that look random and follow from a seed, so that a run can be repeated.

use alloy_primitives::keccak256;

/// A stream of numbers: the hashes of seed and position.
#[derive(Debug)]
pub(crate) struct Random {
    seed: [u8; 32],
    position: u64,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, position: 0 }
    }

    pub(crate) fn next(&mut self) -> u64 {
        let mut input = [0; 40];
        input[..32].copy_from_slice(&self.seed);
        input[32..].copy_from_slice(&self.position.to_be_bytes());
        self.position = self.position.wrapping_add(1);
        let mut number = [0; 8];
        number.copy_from_slice(&keccak256(input)[..8]);
        u64::from_be_bytes(number)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let run = |seed| {
            let mut random = Random::new([seed; 32]);
            [random.next(), random.next(), random.next()]
        };

        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert_ne!(run(1)[0], run(1)[1]);
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut random = Random::new([7; 32]);

        assert!((0..100).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
    }
}
