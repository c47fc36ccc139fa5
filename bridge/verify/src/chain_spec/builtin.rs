//! The networks that need no file: their genesis headers as fields, their forks as numbers.
//!
//! Values are facts of go-ethereum `params/config.go` (02b73d4) and core-geth `params/config_classic.go`,
//! `config_mordor.go` (4185df4); the tests compare genesis hashes and fork ids with the published ones.

use std::collections::BTreeMap;

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header};
use alloy_primitives::{B64, B256, Bytes, U256, b256, bytes};
use causeway_wire::NetworkId;

use super::{ChainSpec, Engine, Forks};

pub(super) fn named(name: &str) -> Option<ChainSpec> {
    match name {
        "mainnet" => Some(mainnet()),
        "sepolia" => Some(sepolia()),
        "classic" => Some(classic()),
        "mordor" => Some(mordor()),
        _ => None,
    }
}

fn mainnet() -> ChainSpec {
    let forks = Forks {
        homestead: Some(1_150_000),
        dao: Some(1_920_000),
        dao_support: true,
        byzantium: Some(4_370_000),
        constantinople: Some(7_280_000),
        muir_glacier: Some(9_200_000),
        london: Some(12_965_000),
        arrow_glacier: Some(13_773_000),
        gray_glacier: Some(15_050_000),
        shanghai: Some(1_681_338_455),
        cancun: Some(1_710_338_135),
        prague: Some(1_746_612_311),
        ..Forks::default()
    }
    .with_ids(
        vec![
            1_150_000, 1_920_000, 2_463_000, 2_675_000, 4_370_000, 7_280_000, 9_069_000, 9_200_000,
            12_244_000, 12_965_000, 13_773_000, 15_050_000,
        ],
        vec![1_681_338_455, 1_710_338_135, 1_746_612_311, 1_764_798_551, 1_765_290_071, 1_767_747_671],
    );
    ChainSpec {
        // 58,750,000,000,000,000,000,000
        terminal_total_difficulty: Some(U256::from(58_750_000_000_000_000_000_000_u128)),
        required_hashes: BTreeMap::from([(
            2_463_000,
            b256!("2086799aeebeae135c246c65021c82b4e15a2c451340993aacfd2751886514f0"),
        )]),
        ..spec("mainnet", 1, 1, frontier_genesis(), forks)
    }
}

fn sepolia() -> ChainSpec {
    let forks = Forks {
        homestead: Some(0),
        byzantium: Some(0),
        constantinople: Some(0),
        muir_glacier: Some(0),
        london: Some(0),
        shanghai: Some(1_677_557_088),
        cancun: Some(1_706_655_072),
        prague: Some(1_741_159_776),
        ..Forks::default()
    }
    .with_ids(
        vec![1_735_371],
        vec![1_677_557_088, 1_706_655_072, 1_741_159_776, 1_760_427_360, 1_761_017_184, 1_761_607_008],
    );
    let genesis = Header {
        state_root: b256!("5eb6e371a698b8d68f665192350ffcecbbbf322916f4b51bd79bb6887da3f494"),
        difficulty: U256::from(0x20000),
        gas_limit: 30_000_000,
        timestamp: 1_633_267_481,
        extra_data: Bytes::from_static(b"Sepolia, Athens, Attica, Greece!"),
        base_fee_per_gas: Some(1_000_000_000),
        ..empty_block()
    };
    ChainSpec {
        terminal_total_difficulty: Some(U256::from(17_000_000_000_000_000_u64)),
        ..spec("sepolia", 11_155_111, 11_155_111, genesis, forks)
    }
}

fn classic() -> ChainSpec {
    let forks = Forks {
        homestead: Some(1_150_000),
        byzantium: Some(8_772_000),
        bomb_pause: Some((3_000_000, 5_000_000)),
        bomb_disposal: Some(5_900_000),
        ..Forks::default()
    }
    .with_ids(
        vec![
            1_150_000, 2_500_000, 3_000_000, 5_000_000, 5_900_000, 8_772_000, 9_573_000, 10_500_839,
            11_700_000, 13_189_133, 14_525_000, 19_250_000,
        ],
        Vec::new(),
    );
    ChainSpec {
        required_hashes: BTreeMap::from([
            (1_920_000, b256!("94365e3a8c0b35089c1d1195081fe7489b528a84b22199c916180db8b28ade7f")),
            (2_500_000, b256!("ca12c63534f565899681965528d536c52cb05b7c48e269c2a6cb77ad864d878a")),
        ]),
        ..spec("classic", 61, 1, frontier_genesis(), forks)
    }
}

fn mordor() -> ChainSpec {
    let forks = Forks { homestead: Some(0), byzantium: Some(0), bomb_disposal: Some(0), ..Forks::default() }
        .with_ids(vec![301_243, 999_983, 2_520_000, 3_985_893, 5_520_000, 9_957_000], Vec::new());
    let genesis = Header {
        difficulty: U256::from(0x20000),
        gas_limit: 0x2f_efd8,
        timestamp: 0x5d96_76db,
        extra_data: Bytes::from_static(b"phoenix chicken absurd banana"),
        ..empty_block()
    };
    ChainSpec {
        required_hashes: BTreeMap::from([
            (840_013, b256!("2ceada2b191879b71a5bcf2241dd9bc50d6d953f1640e62f9c2cee941dc61c9d")),
            (840_014, b256!("8ec29dd692c8985b82410817bac232fc82805b746538d17bc924624fe74a0fcf")),
        ]),
        ..spec("mordor", 63, 7, genesis, forks)
    }
}

fn spec(name: &str, chain_id: u64, network: u64, genesis: Header, forks: Forks) -> ChainSpec {
    ChainSpec {
        name: name.to_owned(),
        chain_id,
        network: NetworkId(network),
        genesis_hash: genesis.hash_slow(),
        genesis,
        engine: Engine::Ethash,
        forks,
        terminal_total_difficulty: None,
        required_hashes: BTreeMap::new(),
    }
}

/// Block 0 of mainnet, which classic shares.
fn frontier_genesis() -> Header {
    Header {
        state_root: b256!("d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544"),
        difficulty: U256::from(0x4_0000_0000_u64),
        gas_limit: 5000,
        extra_data: bytes!("11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa"),
        nonce: B64::new([0, 0, 0, 0, 0, 0, 0, 0x42]),
        ..empty_block()
    }
}

/// A header of a block without anything in it, number 0, on an empty state.
pub(super) fn empty_block() -> Header {
    Header {
        parent_hash: B256::ZERO,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        state_root: EMPTY_ROOT_HASH,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        ..Header::default()
    }
}
