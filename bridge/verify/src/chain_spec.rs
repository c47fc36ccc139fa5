//! A chain's rules: genesis hash from a geth `genesis.json`, forks, fork id, engine; built-in networks.

use alloy_consensus::Header;
use alloy_eip2124::ForkFilter;
use alloy_primitives::B256;
use causeway_wire::{ForkId, NetworkId};

/// The rule by which a chain's headers are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Proof of authority (EIP-225).
    Clique {
        /// Least seconds between blocks.
        period: u64,
        /// Blocks between checkpoints that list the signers.
        epoch: u64,
    },
    /// Proof of work; after the terminal total difficulty, if there is one, proof of stake.
    Ethash,
    /// Proof of stake from the first block.
    Beacon,
}

/// Everything that is fixed about a chain.
#[derive(Clone, Debug)]
pub struct ChainSpec {
    /// `mainnet`, ..., or the file's name.
    pub name: String,
    /// Chain id of the config.
    pub chain_id: u64,
    /// Network id of Status; the chain id unless said otherwise.
    pub network: NetworkId,
    /// The genesis block's header.
    pub genesis: Header,
    /// Its hash.
    pub genesis_hash: B256,
    /// How headers are sealed.
    pub engine: Engine,
}

/// Why there is no such chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainSpecError {
    /// To be filled in by the owner of this crate.
    #[error("placeholder")]
    Placeholder,
}

impl ChainSpec {
    /// `mainnet`, `sepolia`, `classic`, `mordor`; `None` for another name.
    pub fn builtin(name: &str) -> Option<Self> {
        let _ = name;
        todo!()
    }

    /// From the text of a geth `genesis.json`.
    ///
    /// # Errors
    /// If it is not one; the message names the key and what to do.
    pub fn from_genesis_json(name: &str, text: &str) -> Result<Self, ChainSpecError> {
        let _ = (name, text);
        todo!()
    }

    /// The fork id at a head (EIP-2124).
    pub fn fork_id(&self, number: u64, timestamp: u64) -> ForkId {
        let _ = (number, timestamp);
        todo!()
    }

    /// The judge of others' fork ids at a head.
    pub fn fork_filter(&self, number: u64, timestamp: u64) -> ForkFilter {
        let _ = (number, timestamp);
        todo!()
    }
}
