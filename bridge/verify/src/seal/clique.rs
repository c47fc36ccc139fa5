//! Proof of authority (EIP-225): the seal, who signed it, and the signers that votes make.

mod snapshot;

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::{Address, B64, B256, Bytes, U256, keccak256};

pub use snapshot::Snapshot;

/// Bytes before the signers in the extra data, free to use.
pub const VANITY: usize = 32;

/// Bytes of the signature that end the extra data.
pub const SEAL: usize = 65;

/// Blocks between checkpoints if the config says nothing.
pub const DEFAULT_EPOCH: u64 = 30_000;

/// Longest extra data of a checkpoint (geth's sanity check: 100 KiB, some 5,000 signers).
pub const MAX_EXTRA: usize = 100 * 1024;

/// Nonce of a vote for adding the beneficiary as a signer.
const ADD: B64 = B64::repeat_byte(0xff);

/// Nonce of a vote for dropping it.
const DROP: B64 = B64::ZERO;

/// How a header breaks EIP-225.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CliqueFault {
    /// Extra data that is too short for vanity and seal, or over the limit.
    #[error("extra data of {length} bytes, vanity and seal need {}, the limit is {MAX_EXTRA}", VANITY + SEAL)]
    ExtraLength {
        /// Its length.
        length: usize,
    },
    /// Signers listed where there is no checkpoint, or not a whole number of them.
    #[error("{length} bytes of signers in the extra data")]
    SignerBytes {
        /// Bytes between vanity and seal.
        length: usize,
    },
    /// A checkpoint whose list is not the signers, ascending.
    #[error("checkpoint does not list the signers")]
    CheckpointSigners,
    /// A checkpoint that votes.
    #[error("checkpoint votes")]
    CheckpointVote,
    /// A nonce that is neither of the two votes.
    #[error("nonce {nonce} is not a vote")]
    Vote {
        /// The nonce.
        nonce: B64,
    },
    /// A mix digest, which has no meaning here.
    #[error("mix digest is not zero")]
    MixDigest,
    /// Uncles, which have no meaning here.
    #[error("uncle hash is not that of an empty list")]
    Uncles,
    /// Fields that the seal does not cover.
    #[error("fork fields behind the base fee")]
    ForkFields,
    /// A signature from which no key can be recovered.
    #[error("signature has no key")]
    Signature,
    /// Somebody else's signature.
    #[error("{signer} is not a signer")]
    NotASigner {
        /// Who signed.
        signer: Address,
    },
    /// A signer that must still wait.
    #[error("{signer} signed one of the last blocks")]
    SignedRecently {
        /// Who signed.
        signer: Address,
    },
    /// A difficulty that does not tell whose turn it is.
    #[error("difficulty is {found}, but it must be {}", .expected.map_or("1 or 2".to_owned(), |expected| expected.to_string()))]
    Difficulty {
        /// Where the signers are known, what it must be.
        expected: Option<u8>,
        /// What it is.
        found: U256,
    },
}

/// The hash that a clique signer signs: the header without its signature.
pub fn clique_seal_hash(header: &Header) -> B256 {
    let unsigned = header.extra_data.len().saturating_sub(SEAL);
    let header = Header {
        extra_data: header.extra_data.slice(..unsigned),
        // The seal knows no fields behind the base fee; headers that have some are refused.
        withdrawals_root: None,
        blob_gas_used: None,
        excess_blob_gas: None,
        parent_beacon_block_root: None,
        requests_hash: None,
        block_access_list_hash: None,
        slot_number: None,
        ..header.clone()
    };
    keccak256(alloy_rlp::encode(header))
}

/// Who signed a header.
///
/// # Errors
/// If it has no signature, or one without a key.
pub fn clique_signer(header: &Header) -> Result<Address, CliqueFault> {
    let length = header.extra_data.len();
    let seal = length
        .checked_sub(SEAL)
        .filter(|rest| *rest >= VANITY)
        .and_then(|rest| header.extra_data.get(rest..));
    let seal: &[u8; SEAL] =
        seal.and_then(|seal| seal.try_into().ok()).ok_or(CliqueFault::ExtraLength { length })?;
    let key = super::recover(clique_seal_hash(header), seal).ok_or(CliqueFault::Signature)?;
    Ok(super::address(&key))
}

/// The signers that a checkpoint's extra data lists; `None` if it lists none, or is no list.
pub fn listed_signers(extra: &Bytes) -> Option<Vec<Address>> {
    let end = extra.len().checked_sub(SEAL)?;
    let list = extra.get(VANITY..end)?;
    let (addresses, rest) = list.as_chunks::<20>();
    (!addresses.is_empty() && rest.is_empty()).then(|| addresses.iter().map(Address::from).collect())
}

/// Checks all that a header shows by itself, without its parents.
///
/// # Errors
/// The first rule that it breaks.
pub(crate) fn check_form(header: &Header, epoch: u64) -> Result<(), CliqueFault> {
    let length = header.extra_data.len();
    if !(VANITY + SEAL..=MAX_EXTRA).contains(&length) {
        return Err(CliqueFault::ExtraLength { length });
    }
    let checkpoint = header.number.is_multiple_of(epoch);
    let signers = length - VANITY - SEAL;
    if (!checkpoint && signers != 0) || (checkpoint && !signers.is_multiple_of(20)) {
        return Err(CliqueFault::SignerBytes { length: signers });
    }
    if header.nonce != ADD && header.nonce != DROP {
        return Err(CliqueFault::Vote { nonce: header.nonce });
    }
    if checkpoint && (header.nonce != DROP || header.beneficiary != Address::ZERO) {
        return Err(CliqueFault::CheckpointVote);
    }
    if header.mix_hash != B256::ZERO {
        return Err(CliqueFault::MixDigest);
    }
    if header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
        return Err(CliqueFault::Uncles);
    }
    if header.withdrawals_root.is_some() {
        return Err(CliqueFault::ForkFields);
    }
    if header.difficulty != U256::from(1) && header.difficulty != U256::from(2) {
        return Err(CliqueFault::Difficulty { expected: None, found: header.difficulty });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
