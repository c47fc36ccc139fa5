//! Clique seals (EIP-225): who made a block is in its extra data.

use alloy_consensus::Header;
use causeway_verify::clique_seal_hash;

use crate::account::DevAccount;
use crate::genesis::EPOCH;

/// Bytes of extra data before anything else, free to use.
pub(crate) const VANITY: usize = 32;
/// Bytes of the signature at the end of extra data.
pub(crate) const SEAL: usize = 65;

/// Fills in the extra data of an otherwise finished header. `branch` makes blocks of another branch differ.
pub(crate) fn seal(header: &mut Header, signer: &DevAccount, branch: u64) {
    let mut extra = b"causeway devnet".to_vec();
    extra.resize(VANITY - size_of::<u64>(), 0);
    extra.extend_from_slice(&branch.to_be_bytes());
    if header.number.is_multiple_of(EPOCH) {
        extra.extend_from_slice(signer.address.as_slice());
    }
    let unsealed = extra.len();
    extra.resize(unsealed + SEAL, 0);
    header.extra_data = extra.clone().into();
    let signature = signer.sign_hash(clique_seal_hash(header));
    extra.truncate(unsealed);
    extra.extend_from_slice(&signature.as_rsy());
    header.extra_data = extra.into();
}
