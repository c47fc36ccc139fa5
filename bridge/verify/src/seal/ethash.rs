//! The difficulty rule of proof of work. The seals themselves are not checked: that needs the DAG's cache.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::U256;

use crate::chain_spec::{Forks, passed};

/// Least difficulty there is.
const MINIMUM: u64 = 131_072;

/// A step of difficulty is the parent's difficulty by this.
const BOUND_DIVISOR: u64 = 2048;

/// Most steps down in one block.
const MOST_STEPS_DOWN: u64 = 99;

/// The bomb doubles after this many blocks.
const BOMB_PERIOD: u64 = 100_000;

/// The difficulty that the child of `parent` must have if it is made at `timestamp` (later than the parent).
pub fn expected_difficulty(forks: &Forks, parent: &Header, timestamp: u64) -> U256 {
    let number = parent.number.saturating_add(1);
    let adjusted = adjusted(forks, parent, number, timestamp).max(U256::from(MINIMUM));
    adjusted.saturating_add(bomb(forks, number))
}

/// Difficulty before the bomb.
fn adjusted(forks: &Forks, parent: &Header, number: u64, timestamp: u64) -> U256 {
    let elapsed = timestamp.saturating_sub(parent.timestamp);
    let (up, down) = if passed(forks.byzantium, number) {
        let best = if parent.ommers_hash == EMPTY_OMMER_ROOT_HASH { 1 } else { 2 };
        (best, elapsed / 9)
    } else if passed(forks.homestead, number) {
        (1, elapsed / 10)
    } else {
        (1, if elapsed < 13 { 0 } else { 2 })
    };
    let step = parent.difficulty / U256::from(BOUND_DIVISOR);
    if down <= up {
        parent.difficulty.saturating_add(step * U256::from(up - down))
    } else {
        parent.difficulty.saturating_sub(step * U256::from((down - up).min(MOST_STEPS_DOWN)))
    }
}

/// The exponential part: `2^(n / 100,000 - 2)` where forks have put off `n`.
fn bomb(forks: &Forks, number: u64) -> U256 {
    let delayed = match forks.bomb_pause {
        _ if passed(forks.bomb_disposal, number) => 0,
        Some((pause, resume)) if number >= pause => {
            if number < resume {
                pause
            } else {
                number.saturating_sub(resume.saturating_sub(pause))
            }
        }
        Some(_) | None => number.saturating_sub(delay(forks, number)),
    };
    match (delayed / BOMB_PERIOD).checked_sub(2) {
        Some(exponent) => {
            usize::try_from(exponent).ok().and_then(|bits| U256::ONE.checked_shl(bits)).unwrap_or(U256::MAX)
        }
        None => U256::ZERO,
    }
}

/// Blocks by which the bomb is put off at a block.
fn delay(forks: &Forks, number: u64) -> u64 {
    [
        (forks.gray_glacier, 11_400_000),
        (forks.arrow_glacier, 10_700_000),
        (forks.london, 9_700_000),
        (forks.muir_glacier, 9_000_000),
        (forks.constantinople, 5_000_000),
        (forks.byzantium, 3_000_000),
    ]
    .into_iter()
    .find(|(fork, _)| passed(*fork, number))
    .map_or(0, |(_, delay)| delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChainSpec;

    /// Expected difficulty on a built-in network after a parent of this number, difficulty and uncles.
    fn after(network: &str, number: u64, difficulty: u64, uncles: bool, seconds: u64) -> U256 {
        let spec = ChainSpec::builtin(network).expect("a built-in network");
        let parent = Header {
            number,
            difficulty: U256::from(difficulty),
            timestamp: 1000,
            ommers_hash: if uncles { alloy_primitives::B256::repeat_byte(1) } else { EMPTY_OMMER_ROOT_HASH },
            ..Header::default()
        };
        expected_difficulty(&spec.forks, &parent, 1000 + seconds)
    }

    #[test]
    fn each_era_has_its_step() {
        let d = 2048 * 1_000_000;
        let step = 1_000_000;
        for (number, uncles, seconds, steps) in [
            (10, false, 12, 1_i64),        // Frontier
            (10, false, 13, -1),           //
            (1_150_000, false, 9, 1),      // Homestead
            (1_150_000, false, 10, 0),     //
            (1_150_000, false, 5000, -99), //
            (4_370_000, false, 8, 1),      // Byzantium
            (4_370_000, true, 8, 2),       //
            (4_370_000, true, 18, 0),      //
            (4_370_000, false, 900, -99),  //
        ] {
            let spec = ChainSpec::builtin("mainnet").expect("a built-in network");
            let expected = U256::from((d as i64 + steps * step) as u64) + bomb(&spec.forks, number + 1);
            assert_eq!(after("mainnet", number, d, uncles, seconds), expected, "{number} {seconds}");
        }
    }

    #[test]
    fn difficulty_has_a_floor() {
        assert_eq!(after("mordor", 5, MINIMUM, false, 5000), U256::from(MINIMUM));
    }

    #[test]
    fn bomb_is_put_off_by_each_fork() {
        let forks = ChainSpec::builtin("mainnet").expect("a built-in network").forks;
        let two_to = |bits: usize| U256::ONE << bits;
        assert_eq!(bomb(&forks, 199_999), U256::ZERO);
        assert_eq!(bomb(&forks, 200_000), two_to(0));
        assert_eq!(bomb(&forks, 4_369_999), two_to(41));
        assert_eq!(bomb(&forks, 4_370_000), two_to(11));
        assert_eq!(bomb(&forks, 7_280_000), two_to(20));
        assert_eq!(bomb(&forks, 9_200_000), two_to(0));
        assert_eq!(bomb(&forks, 12_965_000), two_to(30));
        assert_eq!(bomb(&forks, 13_773_000), two_to(28));
        assert_eq!(bomb(&forks, 15_050_000), two_to(34));
        assert_eq!(bomb(&forks, u64::MAX), U256::MAX);
    }

    // ECIP-1010: the bomb stands at 2^28 from block 3,000,000 to 5,000,000 and then runs on, two million
    // blocks late; ECIP-1041 removes it at 5,900,000.
    #[test]
    fn bomb_of_classic_pauses_and_goes() {
        let forks = ChainSpec::builtin("classic").expect("a built-in network").forks;
        assert_eq!(bomb(&forks, 2_999_999), U256::ONE << 27);
        assert_eq!(bomb(&forks, 3_000_000), U256::ONE << 28);
        assert_eq!(bomb(&forks, 4_999_999), U256::ONE << 28);
        assert_eq!(bomb(&forks, 5_000_000), U256::ONE << 28);
        assert_eq!(bomb(&forks, 5_899_999), U256::ONE << 36);
        assert_eq!(bomb(&forks, 5_900_000), U256::ZERO);
        assert_eq!(bomb(&forks, 19_250_000), U256::ZERO);
    }
}
