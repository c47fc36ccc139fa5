//! When a chain's header rules change, and the list of forks that its fork id runs over.

/// Activation of the forks that matter to headers. `None`: never.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forks {
    /// Homestead: the difficulty formula of EIP-2.
    pub homestead: Option<u64>,
    /// The DAO fork, if the chain's config names it.
    pub dao: Option<u64>,
    /// Whether this chain is on the fork's side.
    pub dao_support: bool,
    /// Byzantium: the difficulty formula of EIP-100, the bomb put off by 3 million blocks.
    pub byzantium: Option<u64>,
    /// Constantinople: the bomb put off by 5 million blocks.
    pub constantinople: Option<u64>,
    /// Muir Glacier: 9 million.
    pub muir_glacier: Option<u64>,
    /// London: base fee; the bomb put off by 9.7 million.
    pub london: Option<u64>,
    /// Arrow Glacier: 10.7 million.
    pub arrow_glacier: Option<u64>,
    /// Gray Glacier: 11.4 million.
    pub gray_glacier: Option<u64>,
    /// ECIP-1010 (classic): the bomb stands still from the first block up to the second.
    pub bomb_pause: Option<(u64, u64)>,
    /// ECIP-1041 (classic): no bomb from here on.
    pub bomb_disposal: Option<u64>,
    /// Shanghai, a time: withdrawals.
    pub shanghai: Option<u64>,
    /// Cancun, a time: blob gas, the beacon block's root.
    pub cancun: Option<u64>,
    /// Prague, a time: requests.
    pub prague: Option<u64>,
    /// Amsterdam, a time: block access lists, slot number.
    pub amsterdam: Option<u64>,
    pub(super) by_block: Vec<u64>,
    pub(super) by_time: Vec<u64>,
}

impl Forks {
    /// The same rules with these forks in the fork id. Order and repetition do not matter.
    #[must_use]
    pub(super) fn with_ids(self, mut blocks: Vec<u64>, mut times: Vec<u64>) -> Self {
        for list in [&mut blocks, &mut times] {
            list.sort_unstable();
            list.dedup();
        }
        blocks.retain(|number| *number != 0);
        Self { by_block: blocks, by_time: times, ..self }
    }

    /// Fork blocks in the order of the fork id, without those at genesis.
    pub fn by_block(&self) -> &[u64] {
        &self.by_block
    }

    /// Fork times in the order of the fork id; those up to the genesis' time do not count.
    pub fn by_time(&self) -> &[u64] {
        &self.by_time
    }

    /// Whether EIP-1559 holds at a block.
    pub fn is_london(&self, number: u64) -> bool {
        passed(self.london, number)
    }

    /// Whether headers carry a withdrawals root. As in geth, forks by time need London as well.
    pub fn is_shanghai(&self, number: u64, timestamp: u64) -> bool {
        self.is_london(number) && passed(self.shanghai, timestamp)
    }

    /// Whether headers carry blob gas and the beacon block's root.
    pub fn is_cancun(&self, number: u64, timestamp: u64) -> bool {
        self.is_london(number) && passed(self.cancun, timestamp)
    }

    /// Whether headers carry a requests hash.
    pub fn is_prague(&self, number: u64, timestamp: u64) -> bool {
        self.is_london(number) && passed(self.prague, timestamp)
    }

    /// Whether headers carry a block access list hash and a slot number.
    pub fn is_amsterdam(&self, number: u64, timestamp: u64) -> bool {
        self.is_london(number) && passed(self.amsterdam, timestamp)
    }
}

/// Whether a fork is active at a block or time.
pub(crate) fn passed(fork: Option<u64>, at: u64) -> bool {
    fork.is_some_and(|fork| fork <= at)
}
