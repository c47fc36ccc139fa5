//! A chain's rules: genesis hash from a geth `genesis.json`, forks, fork id, engine; built-in networks.

mod builtin;
mod forks;
mod genesis;
mod json;

use std::collections::BTreeMap;

use alloy_consensus::Header;
use alloy_eip2124::{ForkFilter, ForkFilterKey, Head as ForkHead};
use alloy_primitives::{B256, U256};
use causeway_wire::{ForkId, NetworkId};

pub use forks::Forks;
pub(crate) use forks::passed;
pub(crate) use genesis::INITIAL_BASE_FEE;

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
    /// When the rules change.
    pub forks: Forks,
    /// Total difficulty from which on headers are proof of stake.
    pub terminal_total_difficulty: Option<U256>,
    /// Blocks whose hash is part of the chain's rules (both sides of a contested fork).
    pub required_hashes: BTreeMap<u64, B256>,
}

/// Why there is no such chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainSpecError {
    /// The text is not JSON, or not an object where one is due.
    #[error("genesis file is not the JSON that it should be: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// A key that must be there is not.
    #[error("genesis file has no `{key}`; geth requires it, add it")]
    Missing {
        /// The key, with the keys above it.
        key: String,
    },
    /// A value that cannot be read.
    #[error("genesis file: `{key}` is {value}, but it must be {expected}")]
    Value {
        /// The key, with the keys above it.
        key: String,
        /// What is there, shortened.
        value: String,
        /// What should be.
        expected: &'static str,
    },
    /// A consensus engine that is not checked here.
    #[error(
        "genesis file: the engine of `config.{engine}` is not supported yet; clique, ethash and proof of stake are"
    )]
    Engine {
        /// The config's key.
        engine: &'static str,
    },
}

impl ChainSpec {
    /// The names that [`Self::builtin`] knows.
    pub const BUILTIN: [&'static str; 4] = ["mainnet", "sepolia", "classic", "mordor"];

    /// `mainnet`, `sepolia`, `classic`, `mordor`; `None` for another name.
    pub fn builtin(name: &str) -> Option<Self> {
        builtin::named(name)
    }

    /// From the text of a geth `genesis.json`.
    ///
    /// # Errors
    /// If it is not one; the message names the key and what to do.
    pub fn from_genesis_json(name: &str, text: &str) -> Result<Self, ChainSpecError> {
        genesis::read(name, text)
    }

    /// The same chain under another network id.
    #[must_use]
    pub fn with_network(mut self, network: NetworkId) -> Self {
        self.network = network;
        self
    }

    /// The fork id at a head (EIP-2124).
    pub fn fork_id(&self, number: u64, timestamp: u64) -> ForkId {
        let id = self.fork_filter(number, timestamp).current();
        ForkId { hash: id.hash.0, next: id.next }
    }

    /// The judge of others' fork ids at a head.
    pub fn fork_filter(&self, number: u64, timestamp: u64) -> ForkFilter {
        let head = ForkHead { number, timestamp, ..ForkHead::default() };
        let blocks = self.forks.by_block().iter().copied().map(ForkFilterKey::Block);
        let times = self.forks.by_time().iter().copied().map(ForkFilterKey::Time);
        ForkFilter::new(head, self.genesis_hash, self.genesis.timestamp, blocks.chain(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> ChainSpec {
        ChainSpec::builtin(name).expect("a built-in network")
    }

    #[test]
    fn every_built_in_genesis_has_its_known_hash() {
        let known = [
            ("mainnet", 1, 1, "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
            (
                "sepolia",
                11_155_111,
                11_155_111,
                "25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9",
            ),
            ("classic", 61, 1, "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
            ("mordor", 63, 7, "a68ebde7932eccb177d38d55dcc6461a019dd795a681e59b5a3e4f3a7259a3f1"),
        ];
        assert_eq!(known.map(|(name, ..)| name), ChainSpec::BUILTIN);
        for (name, chain_id, network, hash) in known {
            let spec = spec(name);

            assert_eq!(hex::encode(spec.genesis_hash), hash, "{name}");
            assert_eq!(spec.genesis.hash_slow(), spec.genesis_hash, "{name}");
            assert_eq!((spec.chain_id, spec.network), (chain_id, NetworkId(network)), "{name}");
            assert_eq!(spec.name, name);
        }
        assert!(ChainSpec::builtin("ropsten").is_none());
    }

    #[test]
    fn network_id_can_be_another_one() {
        assert_eq!(spec("classic").with_network(NetworkId(5)).network, NetworkId(5));
    }

    fn assert_ids(name: &str, table: &[(u64, u64, u32, u64)]) {
        let spec = spec(name);
        for &(number, time, hash, next) in table {
            let id = spec.fork_id(number, time);
            assert_eq!((u32::from_be_bytes(id.hash), id.next), (hash, next), "{name} at {number}, {time}");
        }
    }

    // Facts of go-ethereum core/forkid/forkid_test.go (02b73d4).
    #[test]
    fn mainnet_fork_ids_are_those_of_geth() {
        assert_ids(
            "mainnet",
            &[
                (0, 0, 0xfc64_ec04, 1_150_000),
                (1_149_999, 0, 0xfc64_ec04, 1_150_000),
                (1_150_000, 0, 0x97c2_c34c, 1_920_000),
                (1_919_999, 0, 0x97c2_c34c, 1_920_000),
                (1_920_000, 0, 0x91d1_f948, 2_463_000),
                (2_463_000, 0, 0x7a64_da13, 2_675_000),
                (2_675_000, 0, 0x3edd_5b10, 4_370_000),
                (4_370_000, 0, 0xa00b_c324, 7_280_000),
                (7_280_000, 0, 0x668d_b0af, 9_069_000),
                (9_069_000, 0, 0x879d_6e30, 9_200_000),
                (9_200_000, 0, 0xe029_e991, 12_244_000),
                (12_244_000, 0, 0x0eb4_40f6, 12_965_000),
                (12_965_000, 0, 0xb715_077d, 13_773_000),
                (13_773_000, 0, 0x20c3_27fc, 15_050_000),
                (15_049_999, 0, 0x20c3_27fc, 15_050_000),
                (15_050_000, 0, 0xf0af_d0e3, 1_681_338_455),
                (20_000_000, 1_681_338_454, 0xf0af_d0e3, 1_681_338_455),
                (20_000_000, 1_681_338_455, 0xdce9_6c2d, 1_710_338_135),
                (30_000_000, 1_710_338_135, 0x9f3d_2254, 1_746_612_311),
                (30_000_000, 1_746_612_311, 0xc376_cf8b, 1_764_798_551),
                (30_000_000, 1_764_798_551, 0x5167_e2a6, 1_765_290_071),
                (30_000_000, 1_765_290_071, 0xcba2_a1c0, 1_767_747_671),
                (30_000_000, 1_767_747_670, 0xcba2_a1c0, 1_767_747_671),
                (50_000_000, 2_000_000_000, 0x07c9_462e, 0),
            ],
        );
    }

    #[test]
    fn sepolia_fork_ids_are_those_of_geth() {
        assert_ids(
            "sepolia",
            &[
                (0, 0, 0xfe33_66e7, 1_735_371),
                (1_735_370, 0, 0xfe33_66e7, 1_735_371),
                (1_735_371, 0, 0xb96c_bd13, 1_677_557_088),
                (1_735_372, 1_677_557_087, 0xb96c_bd13, 1_677_557_088),
                (1_735_372, 1_677_557_088, 0xf7f9_bc08, 1_706_655_072),
                (1_735_372, 1_706_655_072, 0x88cf_81d9, 1_741_159_776),
                (1_735_372, 1_741_159_776, 0xed88_b5fd, 1_760_427_360),
                (1_735_372, 1_760_427_360, 0xe2ae_4999, 1_761_017_184),
                (1_735_372, 1_761_017_184, 0x5607_8a1e, 1_761_607_008),
                (1_735_372, 2_000_000_000, 0x2689_56b6, 0),
            ],
        );
    }

    // Facts of core-geth core/forkid/forkid_test.go (4185df4).
    #[test]
    fn classic_and_mordor_fork_ids_are_those_of_core_geth() {
        assert_ids(
            "classic",
            &[
                (0, 0, 0xfc64_ec04, 1_150_000),
                (1_150_000, 0, 0x97c2_c34c, 2_500_000),
                (2_499_999, 0, 0x97c2_c34c, 2_500_000),
                (2_500_000, 0, 0xdb06_803f, 3_000_000),
                (3_000_000, 0, 0xaff4_bed4, 5_000_000),
                (5_000_000, 0, 0xf79a_63c0, 5_900_000),
                (5_900_000, 0, 0x7448_99d6, 8_772_000),
                (8_772_000, 0, 0x518b_59c6, 9_573_000),
                (9_573_000, 0, 0x7ba2_2882, 10_500_839),
                (10_500_839, 0, 0x9007_bfcc, 11_700_000),
                (11_700_000, 0, 0xdb63_a1ca, 13_189_133),
                (13_189_133, 0, 0x0f6b_f187, 14_525_000),
                (14_525_000, 0, 0x7fd1_bb25, 19_250_000),
                (19_249_999, 0, 0x7fd1_bb25, 19_250_000),
                (19_250_001, 0, 0xbe46_d57c, 0),
            ],
        );
        assert_ids(
            "mordor",
            &[
                (0, 0, 0x1757_82aa, 301_243),
                (301_243, 0, 0x604f_6ee1, 999_983),
                (999_983, 0, 0xf42f_5539, 2_520_000),
                (2_520_000, 0, 0x66b5_c286, 3_985_893),
                (3_985_893, 0, 0x92b3_23e0, 5_520_000),
                (5_520_000, 0, 0x8c9b_1797, 9_957_000),
                (9_957_001, 0, 0x3a6b_00d7, 0),
            ],
        );
    }

    #[test]
    fn fork_filter_refuses_stale_and_foreign_chains() {
        let theirs = |hash: u32, next| alloy_eip2124::ForkId {
            hash: alloy_eip2124::ForkHash(hash.to_be_bytes()),
            next,
        };
        let petersburg = spec("mainnet").fork_filter(7_987_396, 0);

        assert!(petersburg.validate(theirs(0x668d_b0af, 0)).is_ok());
        assert!(petersburg.validate(theirs(0xa00b_c324, 7_280_000)).is_ok());
        assert!(petersburg.validate(theirs(0xa00b_c324, 0)).is_err());
        assert!(petersburg.validate(theirs(0xafec_6b27, 0)).is_err());
    }
}
