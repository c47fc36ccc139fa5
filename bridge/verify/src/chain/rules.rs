//! What every header must keep to against its parent, and which rule it broke.

use alloy_consensus::Header;
use alloy_primitives::{B256, U256};

use crate::ChainSpec;
use crate::chain_spec::INITIAL_BASE_FEE;
use crate::seal::clique::CliqueFault;

/// Largest header that is decoded: a clique checkpoint with the most signers, and room for the fields.
pub const MAX_HEADER: usize = crate::seal::clique::MAX_EXTRA + 2048;

/// Longest extra data outside of clique.
const MAX_EXTRA: usize = 32;

/// Most gas a block may have.
const MAX_GAS_LIMIT: u64 = i64::MAX as u64;

/// Least gas limit of a block.
const MIN_GAS_LIMIT: u64 = 5000;

/// The gas limit moves by less than the parent's by this.
const GAS_LIMIT_DIVISOR: u64 = 1024;

/// A block may use this many times the gas that the base fee aims at (EIP-1559).
const ELASTICITY: u64 = 2;

/// The base fee moves by at most the parent's by this.
const BASE_FEE_DIVISOR: u128 = 8;

/// Blocks from the DAO fork on that carry its mark.
const DAO_RANGE: u64 = 10;

/// The mark of blocks on the DAO fork's side.
const DAO_EXTRA: &[u8] = b"dao-hard-fork";

/// A rule that a header breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// It is not the RLP of a header.
    #[error("not a header: {0}")]
    Malformed(alloy_rlp::Error),
    /// It is larger than any header.
    #[error("{size} bytes, over the limit of {MAX_HEADER}")]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// Its number is not one more than its parent's.
    #[error("the parent has number {parent}")]
    Number {
        /// The parent's number.
        parent: u64,
    },
    /// It is not late enough after its parent.
    #[error("time {found} is before {least}")]
    Timestamp {
        /// The earliest time.
        least: u64,
        /// Its time.
        found: u64,
    },
    /// Its gas limit is out of bounds.
    #[error("gas limit {found} after one of {parent}")]
    GasLimit {
        /// The parent's limit, doubled at the first London block.
        parent: u64,
        /// Its limit.
        found: u64,
    },
    /// More gas used than the limit.
    #[error("{used} gas used, the limit is {limit}")]
    GasUsed {
        /// Its use.
        used: u64,
        /// Its limit.
        limit: u64,
    },
    /// Too much extra data.
    #[error("{length} bytes of extra data, over the limit of {MAX_EXTRA}")]
    ExtraData {
        /// Its length.
        length: usize,
    },
    /// The mark of the DAO fork where it must not be, or none where it must.
    #[error("extra data is on the other side of the DAO fork")]
    DaoExtra,
    /// A base fee that does not follow from the parent.
    #[error("base fee {found}, but it must be {expected}")]
    BaseFee {
        /// What it must be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A field of a fork that is not active, or none of one that is.
    #[error("{field} must{} be there", if *.due { "" } else { " not" })]
    ForkField {
        /// The field.
        field: &'static str,
        /// Whether it must be there.
        due: bool,
    },
    /// A difficulty that does not follow from the parent.
    #[error("difficulty {found}, but it must be {expected}")]
    Difficulty {
        /// What it must be.
        expected: U256,
        /// What it is.
        found: U256,
    },
    /// Proof of stake before the terminal total difficulty.
    #[error("proof of stake before its time")]
    StakeTooEarly,
    /// A proof-of-stake header with a field of proof of work.
    #[error("proof of stake with a {field}")]
    Stake {
        /// The field.
        field: &'static str,
    },
    /// Another block where the chain's rules name one.
    #[error("block has to be {expected}")]
    RequiredHash {
        /// The hash that it must have.
        expected: B256,
    },
    /// A total difficulty beyond all bounds.
    #[error("total difficulty overflows")]
    TotalDifficulty,
    /// A rule of proof of authority.
    #[error("clique: {0}")]
    Clique(#[from] CliqueFault),
}

/// Decodes a header; nothing may be left over.
pub(crate) fn decode(rlp: &[u8]) -> Result<Header, Rule> {
    if rlp.len() > MAX_HEADER {
        return Err(Rule::TooLarge { size: rlp.len() });
    }
    alloy_rlp::decode_exact(rlp).map_err(Rule::Malformed)
}

/// Checks what does not depend on the engine, except that the time and extra data of clique are its own.
pub(super) fn check(spec: &ChainSpec, parent: &Header, header: &Header, hash: B256) -> Result<(), Rule> {
    if parent.number.checked_add(1) != Some(header.number) {
        return Err(Rule::Number { parent: parent.number });
    }
    check_gas(spec, parent, header)?;
    check_fork_fields(spec, header)?;
    check_base_fee(spec, parent, header)?;
    check_dao(spec, header)?;
    match spec.required_hashes.get(&header.number) {
        Some(expected) if *expected != hash => Err(Rule::RequiredHash { expected: *expected }),
        _ => Ok(()),
    }
}

/// Checks the time: at least `gap` seconds after the parent.
pub(super) fn check_time(parent: &Header, header: &Header, gap: u64) -> Result<(), Rule> {
    let least = parent.timestamp.saturating_add(gap);
    if header.timestamp < least { Err(Rule::Timestamp { least, found: header.timestamp }) } else { Ok(()) }
}

/// Checks the extra data of any engine but clique.
pub(super) fn check_extra(header: &Header) -> Result<(), Rule> {
    let length = header.extra_data.len();
    if length > MAX_EXTRA { Err(Rule::ExtraData { length }) } else { Ok(()) }
}

/// Checks the fields that proof of stake has fixed (EIP-3675).
pub(super) fn check_stake(header: &Header) -> Result<(), Rule> {
    if !header.nonce.is_zero() {
        return Err(Rule::Stake { field: "nonce" });
    }
    if header.ommers_hash != alloy_consensus::EMPTY_OMMER_ROOT_HASH {
        return Err(Rule::Stake { field: "list of uncles" });
    }
    Ok(())
}

fn check_gas(spec: &ChainSpec, parent: &Header, header: &Header) -> Result<(), Rule> {
    if header.gas_used > header.gas_limit {
        return Err(Rule::GasUsed { used: header.gas_used, limit: header.gas_limit });
    }
    let first_london = spec.forks.is_london(header.number) && !spec.forks.is_london(parent.number);
    let before = if first_london { parent.gas_limit.saturating_mul(ELASTICITY) } else { parent.gas_limit };
    let in_bounds = (MIN_GAS_LIMIT..=MAX_GAS_LIMIT).contains(&header.gas_limit);
    if in_bounds && before.abs_diff(header.gas_limit) < before / GAS_LIMIT_DIVISOR {
        Ok(())
    } else {
        Err(Rule::GasLimit { parent: before, found: header.gas_limit })
    }
}

fn check_fork_fields(spec: &ChainSpec, header: &Header) -> Result<(), Rule> {
    let (number, time) = (header.number, header.timestamp);
    let cancun = spec.forks.is_cancun(number, time);
    let amsterdam = spec.forks.is_amsterdam(number, time);
    for (field, present, due) in [
        ("base fee", header.base_fee_per_gas.is_some(), spec.forks.is_london(number)),
        ("withdrawals root", header.withdrawals_root.is_some(), spec.forks.is_shanghai(number, time)),
        ("blob gas used", header.blob_gas_used.is_some(), cancun),
        ("excess blob gas", header.excess_blob_gas.is_some(), cancun),
        ("parent beacon block root", header.parent_beacon_block_root.is_some(), cancun),
        ("requests hash", header.requests_hash.is_some(), spec.forks.is_prague(number, time)),
        ("block access list hash", header.block_access_list_hash.is_some(), amsterdam),
        ("slot number", header.slot_number.is_some(), amsterdam),
    ] {
        if present != due {
            return Err(Rule::ForkField { field, due });
        }
    }
    Ok(())
}

fn check_base_fee(spec: &ChainSpec, parent: &Header, header: &Header) -> Result<(), Rule> {
    let Some(found) = header.base_fee_per_gas else { return Ok(()) };
    let expected = match parent.base_fee_per_gas {
        Some(fee) if spec.forks.is_london(parent.number) => next_base_fee(fee, parent),
        _ => INITIAL_BASE_FEE,
    };
    if found == expected { Ok(()) } else { Err(Rule::BaseFee { expected, found }) }
}

/// The base fee after a block (EIP-1559).
fn next_base_fee(fee: u64, parent: &Header) -> u64 {
    let target = u128::from(parent.gas_limit / ELASTICITY);
    let used = u128::from(parent.gas_used);
    // Both factors are below 2^64, and the target is zero only under a limit that no header passes with.
    let change =
        (u128::from(fee) * used.abs_diff(target)).checked_div(target).unwrap_or(0) / BASE_FEE_DIVISOR;
    let change = u64::try_from(change).unwrap_or(u64::MAX);
    match used.cmp(&target) {
        std::cmp::Ordering::Equal => fee,
        std::cmp::Ordering::Greater => fee.saturating_add(change.max(1)),
        std::cmp::Ordering::Less => fee.saturating_sub(change),
    }
}

fn check_dao(spec: &ChainSpec, header: &Header) -> Result<(), Rule> {
    let Some(fork) = spec.forks.dao else { return Ok(()) };
    let in_range = header.number.checked_sub(fork).is_some_and(|since| since < DAO_RANGE);
    let marked = header.extra_data.as_ref() == DAO_EXTRA;
    if in_range && marked != spec.forks.dao_support { Err(Rule::DaoExtra) } else { Ok(()) }
}
