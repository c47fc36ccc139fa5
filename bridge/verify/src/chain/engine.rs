//! How the chain's engine judges a header, and what that judgement is worth.

use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{B256, U256};

use super::rules::{self, Rule};
use super::{Entry, HeaderChain};
use crate::seal::clique::{self, Snapshot};
use crate::seal::ethash;
use crate::{ChainSpec, Engine};

/// What is checked of the seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealing {
    /// Clique with signers known from genesis or a trusted checkpoint.
    Clique,
    /// Clique from a root that does not list the signers.
    CliqueUnanchored,
    /// Proof of work: difficulty only.
    Ethash,
    /// Proof of stake: nothing.
    Beacon,
}

impl Sealing {
    /// The engine's way from this root on, and the signers after the root.
    pub(super) fn new(spec: &ChainSpec, root: &Header) -> (Self, Option<Arc<Snapshot>>) {
        match spec.engine {
            Engine::Clique { epoch, .. } => {
                let listed = root.number.is_multiple_of(epoch).then(|| Snapshot::at_checkpoint(root, epoch));
                match listed.flatten() {
                    Some(snapshot) => (Self::Clique, Some(Arc::new(snapshot))),
                    None => (Self::CliqueUnanchored, None),
                }
            }
            Engine::Ethash => (Self::Ethash, None),
            Engine::Beacon => (Self::Beacon, None),
        }
    }
}

impl HeaderChain {
    /// Whether this chain's seals are checked, and if not, why (for the status and the light peer's `by`):
    ///
    /// - `clique`: every signature against the signers that genesis or a trusted checkpoint lists;
    /// - `clique-unanchored`: the root lists no signers, so signatures are checked for their form until a
    ///   checkpoint lists some, and then against that list, which nobody vouches for;
    /// - `ethash-difficulty`: the difficulty rule, but no proof of work;
    /// - `proof-of-stake-unchecked`: links only.
    pub fn seal_rule(&self) -> &'static str {
        match self.sealing {
            _ if self.head.header.difficulty.is_zero() && self.head.header.number != 0 => {
                "proof-of-stake-unchecked"
            }
            Sealing::Clique => "clique",
            Sealing::CliqueUnanchored => "clique-unanchored",
            Sealing::Ethash => "ethash-difficulty",
            Sealing::Beacon => "proof-of-stake-unchecked",
        }
    }

    /// Checks a header against its parent. Gives clique's signers after it.
    pub(super) fn check(
        &self,
        parent: &Entry,
        header: &Header,
        hash: B256,
    ) -> Result<Option<Arc<Snapshot>>, Rule> {
        rules::check(&self.spec, &parent.known.header, header, hash)?;
        if self.is_staked(parent, header)? {
            rules::check_time(&parent.known.header, header, 1)?;
            rules::check_extra(header)?;
            rules::check_stake(header)?;
            return Ok(None);
        }
        match self.spec.engine {
            Engine::Clique { period, epoch } => {
                rules::check_time(&parent.known.header, header, period)?;
                Ok(next_signers(parent.signers.as_deref(), header, epoch)?)
            }
            Engine::Ethash | Engine::Beacon => {
                rules::check_time(&parent.known.header, header, 1)?;
                rules::check_extra(header)?;
                let expected =
                    ethash::expected_difficulty(&self.spec.forks, &parent.known.header, header.timestamp);
                if header.difficulty != expected {
                    return Err(Rule::Difficulty { expected, found: header.difficulty });
                }
                Ok(None)
            }
        }
    }

    /// Whether a header has to be proof of stake; an error if it is what it must not be.
    fn is_staked(&self, parent: &Entry, header: &Header) -> Result<bool, Rule> {
        let staked = header.difficulty.is_zero();
        let terminal = match self.spec.engine {
            Engine::Beacon => Some(U256::ZERO),
            Engine::Clique { .. } | Engine::Ethash => self.spec.terminal_total_difficulty,
        };
        let Some(terminal) = terminal else {
            return if staked { Err(Rule::StakeTooEarly) } else { Ok(false) };
        };
        let parent_staked = parent.known.header.difficulty.is_zero() && parent.known.header.number != 0;
        if parent_staked || parent.known.td >= terminal {
            return if staked {
                Ok(true)
            } else {
                Err(Rule::Difficulty { expected: U256::ZERO, found: header.difficulty })
            };
        }
        // From a checkpoint of unknown total difficulty nobody can tell when the time has come.
        if staked && self.td_known { Err(Rule::StakeTooEarly) } else { Ok(staked) }
    }
}

/// Applies a header to the signers; where these are unknown, checks its form and takes those that a
/// checkpoint lists.
fn next_signers(
    signers: Option<&Snapshot>,
    header: &Header,
    epoch: u64,
) -> Result<Option<Arc<Snapshot>>, clique::CliqueFault> {
    if let Some(signers) = signers {
        return Ok(Some(Arc::new(signers.apply(header)?)));
    }
    clique::check_form(header, epoch)?;
    let signer = clique::clique_signer(header)?;
    if !header.number.is_multiple_of(epoch) {
        return Ok(None);
    }
    let Some(snapshot) = Snapshot::at_checkpoint(header, epoch) else {
        return Err(clique::CliqueFault::CheckpointSigners);
    };
    if !snapshot.signers().any(|listed| *listed == signer) {
        return Err(clique::CliqueFault::NotASigner { signer });
    }
    Ok(Some(Arc::new(snapshot)))
}
