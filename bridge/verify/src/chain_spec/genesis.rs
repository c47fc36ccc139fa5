//! A geth `genesis.json`: the header that geth makes of it, its engine and its forks.

use std::collections::BTreeMap;

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header, TrieAccount};
use alloy_primitives::{Address, B64, B256, Bytes, KECCAK256_EMPTY, U256, b256, keccak256};
use alloy_trie::{HashBuilder, Nibbles};
use causeway_wire::NetworkId;

use super::json::{self, Object};
use super::{ChainSpec, ChainSpecError, Engine, Forks};
use crate::seal::clique;

/// Gas limit of a genesis that says 0 (geth's `GenesisGasLimit`).
const DEFAULT_GAS_LIMIT: u64 = 4_712_388;

/// Base fee of the first London block.
pub(crate) const INITIAL_BASE_FEE: u64 = 1_000_000_000;

/// Hash of an empty list of requests: SHA-256 of nothing (EIP-7685).
const EMPTY_REQUESTS_HASH: B256 = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

/// Keys of `config` that are forks by block number, as geth gathers them (its reflection takes every field
/// whose name ends in `Block`). `mergeForkBlock`, `shanghaiBlock` and `cancunBlock` are of 2022's releases.
const BLOCK_FORKS: [&str; 18] = [
    "homesteadBlock",
    "daoForkBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "muirGlacierBlock",
    "berlinBlock",
    "londonBlock",
    "arrowGlacierBlock",
    "grayGlacierBlock",
    "mergeNetsplitBlock",
    "mergeForkBlock",
    "shanghaiBlock",
    "cancunBlock",
];

/// Keys of `config` that are forks by time.
const TIME_FORKS: [&str; 13] = [
    "shanghaiTime",
    "cancunTime",
    "pragueTime",
    "osakaTime",
    "bpo1Time",
    "bpo2Time",
    "bpo3Time",
    "bpo4Time",
    "bpo5Time",
    "amsterdamTime",
    "bogotaTime",
    "verkleTime",
    "ubtTime",
];

/// Engines of other nodes' genesis files.
const UNSUPPORTED_ENGINES: [&str; 6] = ["qbft", "ibft2", "ibft", "istanbul", "aura", "parlia"];

pub(super) fn read(name: &str, text: &str) -> Result<ChainSpec, ChainSpecError> {
    let file = Object::parse("", text)?;
    let config = file.need("config")?.object()?;
    let forks = forks(&config)?;
    let genesis = header(&file, &forks)?;
    let terminal = config.find("terminalTotalDifficulty").map(|field| field.u256()).transpose()?;
    let engine = engine(&config, terminal, &genesis)?;
    if matches!(engine, Engine::Clique { .. }) && clique::listed_signers(&genesis.extra_data).is_none() {
        return Err(match file.find("extraData") {
            Some(field) => field.wrong("32 bytes, the signers' addresses (at least one), 65 zero bytes"),
            None => ChainSpecError::Missing { key: "extraData".to_owned() },
        });
    }
    let chain_id = config.need("chainId")?.u64()?;
    let network = config.u64("networkId")?.unwrap_or(chain_id); // core-geth's key
    Ok(ChainSpec {
        name: name.to_owned(),
        chain_id,
        network: NetworkId(network),
        genesis_hash: genesis.hash_slow(),
        required_hashes: required_hashes(&config)?,
        genesis,
        engine,
        forks,
        terminal_total_difficulty: terminal,
    })
}

fn forks(config: &Object<'_>) -> Result<Forks, ChainSpecError> {
    let named = |keys: &[&str]| -> Result<Vec<u64>, ChainSpecError> {
        keys.iter().filter_map(|key| config.u64(key).transpose()).collect()
    };
    let forks = Forks {
        homestead: config.u64("homesteadBlock")?,
        dao: config.u64("daoForkBlock")?,
        dao_support: config.find("daoForkSupport").map(|field| field.bool()).transpose()?.unwrap_or(false),
        byzantium: config.u64("byzantiumBlock")?,
        constantinople: config.u64("constantinopleBlock")?,
        muir_glacier: config.u64("muirGlacierBlock")?,
        london: config.u64("londonBlock")?,
        arrow_glacier: config.u64("arrowGlacierBlock")?,
        gray_glacier: config.u64("grayGlacierBlock")?,
        shanghai: config.u64("shanghaiTime")?,
        cancun: config.u64("cancunTime")?,
        prague: config.u64("pragueTime")?,
        amsterdam: config.u64("amsterdamTime")?,
        ..Forks::default()
    };
    Ok(forks.with_ids(named(&BLOCK_FORKS)?, named(&TIME_FORKS)?))
}

fn required_hashes(config: &Object<'_>) -> Result<BTreeMap<u64, B256>, ChainSpecError> {
    let hash = config.fixed::<32>("eip150Hash")?.map(B256::from).filter(|hash| *hash != B256::ZERO);
    Ok(config.u64("eip150Block")?.zip(hash).into_iter().collect())
}

fn engine(config: &Object<'_>, terminal: Option<U256>, genesis: &Header) -> Result<Engine, ChainSpecError> {
    if let Some(engine) = UNSUPPORTED_ENGINES.into_iter().find(|key| config.find(key).is_some()) {
        return Err(ChainSpecError::Engine { engine });
    }
    if terminal == Some(U256::ZERO) {
        return Ok(Engine::Beacon);
    }
    let Some(clique) = config.find("clique") else {
        return Ok(if genesis.difficulty.is_zero() { Engine::Beacon } else { Engine::Ethash });
    };
    let clique = clique.object()?;
    let period = clique.u64("period")?.unwrap_or(0);
    let epoch = clique.u64("epoch")?.filter(|epoch| *epoch != 0).unwrap_or(clique::DEFAULT_EPOCH);
    Ok(Engine::Clique { period, epoch })
}

/// What geth's `Genesis.ToBlock` gives.
fn header(file: &Object<'_>, forks: &Forks) -> Result<Header, ChainSpecError> {
    let number = file.u64("number")?.unwrap_or(0);
    let timestamp = file.u64("timestamp")?.unwrap_or(0);
    let gas_limit = match file.need("gasLimit")?.u64()? {
        0 => DEFAULT_GAS_LIMIT,
        limit => limit,
    };
    // As in geth, the forks of the genesis block are those of block 0, whatever number it is given.
    let cancun = forks.is_cancun(0, timestamp);
    let amsterdam = forks.is_amsterdam(0, timestamp);
    let stated_fee = file.u64("baseFeePerGas")?;
    let base_fee_per_gas = match stated_fee {
        None if forks.is_london(0) => Some(INITIAL_BASE_FEE),
        stated => stated,
    };
    Ok(Header {
        parent_hash: file.fixed("parentHash")?.map(B256::from).unwrap_or_default(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: file.fixed("coinbase")?.map(Address::from).unwrap_or_default(),
        state_root: state_root(&file.need("alloc")?.object()?)?,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        logs_bloom: Default::default(),
        difficulty: file.need("difficulty")?.u256()?,
        number,
        gas_limit,
        gas_used: file.u64("gasUsed")?.unwrap_or(0),
        timestamp,
        extra_data: file.find("extraData").map(|field| field.bytes()).transpose()?.unwrap_or_default(),
        mix_hash: file.fixed("mixHash")?.map(B256::from).unwrap_or_default(),
        nonce: B64::from(file.u64("nonce")?.unwrap_or(0).to_be_bytes()),
        base_fee_per_gas,
        withdrawals_root: forks.is_shanghai(0, timestamp).then_some(EMPTY_ROOT_HASH),
        blob_gas_used: cancun.then_some(file.u64("blobGasUsed")?.unwrap_or(0)),
        excess_blob_gas: cancun.then_some(file.u64("excessBlobGas")?.unwrap_or(0)),
        parent_beacon_block_root: cancun.then_some(B256::ZERO),
        requests_hash: forks.is_prague(0, timestamp).then_some(EMPTY_REQUESTS_HASH),
        // An empty access list is an empty RLP list, and so are no uncles.
        block_access_list_hash: amsterdam.then_some(EMPTY_OMMER_ROOT_HASH),
        slot_number: amsterdam.then_some(file.u64("slotNumber")?.unwrap_or(0)),
    })
}

fn state_root(alloc: &Object<'_>) -> Result<B256, ChainSpecError> {
    let mut leaves = BTreeMap::new();
    for (address, field) in alloc.fields() {
        let Some(address) = json::fixed::<20>(address) else {
            return Err(ChainSpecError::Value {
                key: "alloc".to_owned(),
                value: format!("{address:?} as a key"),
                expected: "addresses of 20 bytes, with or without 0x",
            });
        };
        let account = field.object()?;
        let code = account.find("code").map(|field| field.bytes()).transpose()?.unwrap_or_default();
        let balance = account.find("balance").map(|field| field.u256()).transpose()?.unwrap_or_default();
        let nonce = account.u64("nonce")?.unwrap_or(0);
        let account = TrieAccount::new(nonce, balance, storage_root(&account)?, code_hash(&code));
        leaves.insert(keccak256(address), alloy_rlp::encode(account));
    }
    Ok(trie_root(&leaves))
}

fn storage_root(account: &Object<'_>) -> Result<B256, ChainSpecError> {
    let Some(storage) = account.find("storage") else { return Ok(EMPTY_ROOT_HASH) };
    let mut leaves = BTreeMap::new();
    for (slot, field) in storage.object()?.fields() {
        let Some(slot) = json::word(slot) else {
            return Err(ChainSpecError::Value {
                key: storage.path,
                value: format!("{slot:?} as a key"),
                expected: "slots of at most 32 bytes, \"0x...\"",
            });
        };
        let value = U256::from_be_bytes(field.word()?);
        if !value.is_zero() {
            leaves.insert(keccak256(slot), alloy_rlp::encode(value));
        }
    }
    Ok(trie_root(&leaves))
}

fn trie_root(leaves: &BTreeMap<B256, Vec<u8>>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

fn code_hash(code: &Bytes) -> B256 {
    if code.is_empty() { KECCAK256_EMPTY } else { keccak256(code) }
}

#[cfg(test)]
mod tests;
