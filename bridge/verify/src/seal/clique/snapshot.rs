//! Who may sign after a block: the signers, who signed lately, and the votes under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, U256};

use super::{ADD, CliqueFault, check_form, clique_signer, listed_signers};

/// The state of the votes after a block. Cheap to clone: the signers are shared until a vote passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    epoch: u64,
    signers: Arc<BTreeSet<Address>>,
    /// Who signed which of the last blocks.
    recent: BTreeMap<u64, Address>,
    /// Votes that count, the oldest first.
    votes: Vec<Vote>,
}

/// One signer's wish about one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Vote {
    signer: Address,
    account: Address,
    add: bool,
}

impl Snapshot {
    /// The state at a trusted block that lists its signers: genesis or a checkpoint.
    pub fn at_checkpoint(header: &Header, epoch: u64) -> Option<Self> {
        let signers = listed_signers(&header.extra_data)?.into_iter().collect();
        Some(Self { epoch, signers: Arc::new(signers), recent: BTreeMap::new(), votes: Vec::new() })
    }

    /// The signers, ascending.
    pub fn signers(&self) -> impl Iterator<Item = &Address> {
        self.signers.iter()
    }

    /// Checks the next header and gives the state after it.
    ///
    /// # Errors
    /// The rule of EIP-225 that it breaks.
    pub fn apply(&self, header: &Header) -> Result<Self, CliqueFault> {
        check_form(header, self.epoch)?;
        let number = header.number;
        let checkpoint = number.is_multiple_of(self.epoch);
        if checkpoint && !self.listed_by(header) {
            return Err(CliqueFault::CheckpointSigners);
        }
        let signer = clique_signer(header)?;
        let mut next = self.clone();
        if checkpoint {
            next.votes.clear();
        }
        next.forget_recent(number);
        if !next.signers.contains(&signer) {
            return Err(CliqueFault::NotASigner { signer });
        }
        if next.recent.values().any(|recent| *recent == signer) {
            return Err(CliqueFault::SignedRecently { signer });
        }
        let expected = if self.in_turn(number) == Some(signer) { 2 } else { 1 };
        if header.difficulty != U256::from(expected) {
            return Err(CliqueFault::Difficulty { expected: Some(expected), found: header.difficulty });
        }
        next.recent.insert(number, signer);
        next.vote(Vote { signer, account: header.beneficiary, add: header.nonce == ADD }, number);
        Ok(next)
    }

    /// Whose turn a block is.
    pub fn in_turn(&self, number: u64) -> Option<Address> {
        let index = number.checked_rem(self.signers.len() as u64)?;
        self.signers.iter().nth(usize::try_from(index).ok()?).copied()
    }

    fn listed_by(&self, header: &Header) -> bool {
        listed_signers(&header.extra_data).is_some_and(|listed| listed.iter().eq(self.signers.iter()))
    }

    /// Lets the signer of the oldest block that still barred it sign again.
    fn forget_recent(&mut self, number: u64) {
        let limit = self.signers.len() as u64 / 2 + 1;
        if let Some(oldest) = number.checked_sub(limit) {
            self.recent.remove(&oldest);
        }
    }

    fn vote(&mut self, vote: Vote, number: u64) {
        self.votes.retain(|earlier| (earlier.signer, earlier.account) != (vote.signer, vote.account));
        // A vote for what is already so does not count.
        if self.signers.contains(&vote.account) != vote.add {
            self.votes.push(vote);
        }
        // Also a block that does not vote on the account in question (its vote does not count) settles a
        // vote that has enough by now, because signers left meanwhile: the rule is checked on touch.
        let mut on_account = self.votes.iter().filter(|other| other.account == vote.account).peekable();
        let Some(&&Vote { add, account, .. }) = on_account.peek() else { return };
        if on_account.count() > self.signers.len() / 2 {
            self.pass(account, add, number);
        }
    }

    fn pass(&mut self, account: Address, add: bool, number: u64) {
        let signers = Arc::make_mut(&mut self.signers);
        if add {
            signers.insert(account);
        } else {
            signers.remove(&account);
            self.forget_recent(number);
            self.votes.retain(|vote| vote.signer != account);
        }
        self.votes.retain(|vote| vote.account != account);
    }
}
