//! The operating system's randomness, handed to the machines that may not ask for it themselves.

use causeway_rlpx::Randomness;

/// What one RLPx handshake needs of chance.
pub(crate) fn randomness() -> Randomness {
    Randomness::from_seed(rand::random())
}
