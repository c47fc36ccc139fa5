//! Whether two Statuses are about the same chain.

use std::time::Duration;

use alloy_eip2124::{ForkFilter, ForkHash};
use alloy_primitives::{B256, U256};
use causeway_wire::{
    ForkId, HeadUpdate, NetworkId,
    les::{Status, Version},
};

use crate::Fault;

/// How long either side may take to send its Status (les.md section 3).
pub(crate) const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// Which chain a session must be about.
#[derive(Clone, Debug)]
pub struct ChainIdentity {
    /// Network id.
    pub network: NetworkId,
    /// Genesis hash.
    pub genesis: B256,
    /// Difficulty of the genesis block: its total difficulty, where it has to stand in for a head.
    pub genesis_td: U256,
    /// Fork id of our head, and judge of theirs (EIP-2124). Advanced with `set_head`.
    pub forks: ForkFilter,
}

impl ChainIdentity {
    /// Follows a new head, so that fork ids are given and judged as of it.
    pub(crate) fn advance(&mut self, update: &HeadUpdate) {
        self.forks.set_head(alloy_eip2124::Head {
            number: update.head.number,
            hash: update.head.hash,
            total_difficulty: update.head.td,
            timestamp: update.timestamp,
            ..Default::default()
        });
    }

    /// The fork id of our head, in the versions whose Status has one.
    pub(crate) fn fork_id(&self, version: Version) -> Option<ForkId> {
        (version >= Version::Les4).then(|| self.current())
    }

    /// Checks what does not depend on our head: genesis, network and version.
    pub(crate) fn check(&self, status: &Status, version: Version) -> Result<(), Fault> {
        if status.genesis != self.genesis {
            return Err(Fault::WrongGenesis { theirs: status.genesis, ours: self.genesis });
        }
        if status.network != self.network {
            return Err(Fault::WrongNetwork { theirs: status.network, ours: self.network });
        }
        if status.version != version.number() {
            return Err(Fault::WrongVersion { theirs: status.version, ours: version.number() });
        }
        Ok(())
    }

    /// Checks the fork id where the version has one. EthereumJS sends it in older versions too; there it
    /// binds nobody.
    pub(crate) fn check_fork(&self, status: &Status, version: Version) -> Result<(), Fault> {
        if version < Version::Les4 {
            return Ok(());
        }
        let theirs = status.fork_id.ok_or(Fault::MissingKey { key: "forkID" })?;
        self.forks
            .validate(alloy_eip2124::ForkId { hash: ForkHash(theirs.hash), next: theirs.next })
            .map_err(|_| Fault::WrongFork { theirs, ours: self.current() })
    }

    fn current(&self) -> ForkId {
        let current = self.forks.current();
        ForkId { hash: current.hash.0, next: current.next }
    }
}
