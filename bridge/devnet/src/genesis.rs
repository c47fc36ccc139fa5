//! The first block: a geth `genesis.json`, and the same as header and state.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::{Address, B256, Bytes, U256, address, b256, hex};
use alloy_trie::EMPTY_ROOT_HASH;
use serde_json::{Map, Value, json};

use crate::account::DevAccount;
use crate::seal::{SEAL, VANITY};
use crate::state::State;

/// Chain id, and network id of Status.
pub const CHAIN_ID: u64 = 20_260;
/// Least seconds between two blocks.
pub const PERIOD: u64 = 2;
/// Blocks between two headers that list the signers.
pub const EPOCH: u64 = 30_000;
/// Timestamp of the first block: 1 January 2024, 00:00 UTC.
pub const TIMESTAMP: u64 = 1_704_067_200;
/// Gas limit of every block.
pub const GAS_LIMIT: u64 = 30_000_000;
/// Base fee of the first block (EIP-1559's initial value).
const BASE_FEE: u64 = 1_000_000_000;

/// The contract that every block calls.
///
/// A call stores its caller at the slot that has the block's number, clears the slot of the block
/// [`RING`] blocks earlier, logs `Stored(address caller, uint256 indexed number)` and returns the caller.
pub const CONTRACT: Address = address!("00000000000000000000000000000000c0de0001");
/// A slot of [`CONTRACT`] that holds [`GENESIS_VALUE`] from the first block on and is never changed.
pub const GENESIS_SLOT: U256 = U256::from_limbs([0xdec0de, 0, 0, 0]);
/// What [`GENESIS_SLOT`] holds.
pub const GENESIS_VALUE: U256 = U256::from_limbs([42, 0, 0, 0]);
/// The number of callers that [`CONTRACT`] remembers: the state does not grow with the chain.
pub const RING: u64 = 1024;
/// First topic of the log: `keccak256("Stored(address,uint256)")`.
pub const TOPIC: B256 = b256!("ebfcf7c0a1b09f6499e519a8d8bb85ce33cd539ec6cbd964e116cd74943ead1a");

/// [`CONTRACT`]'s code.
const CODE: &[u8] = &hex!(
    "33"     // CALLER            caller
    "43"     // NUMBER            number caller
    "55"     // SSTORE            storage[number] = caller
    "6000"   // PUSH1 0           0
    "610400" // PUSH2 1024        1024 0
    "43"     // NUMBER            number 1024 0
    "03"     // SUB               (number - 1024) 0      far beyond all numbers while the ring is not full
    "55"     // SSTORE            storage[number - 1024] = 0
    "33"     // CALLER            caller
    "6000"   // PUSH1 0           0 caller
    "52"     // MSTORE            memory[0..32] = caller
    "43"     // NUMBER            number
    "7f"     // PUSH32 TOPIC      topic number
    "ebfcf7c0a1b09f6499e519a8d8bb85ce33cd539ec6cbd964e116cd74943ead1a"
    "6020"   // PUSH1 32          32 topic number
    "6000"   // PUSH1 0           0 32 topic number
    "a2"     // LOG2              log memory[0..32] with topics TOPIC, number
    "6020"   // PUSH1 32          32
    "6000"   // PUSH1 0           0 32
    "f3"     // RETURN            memory[0..32]
);

/// One account of the allocation.
struct Allocation {
    address: Address,
    balance: U256,
    code: Bytes,
    storage: Vec<(U256, U256)>,
}

fn allocation() -> Vec<Allocation> {
    let ether = |count: u64| U256::from(count) * U256::from(10).pow(U256::from(18));
    let plain = |address, balance| Allocation { address, balance, code: Bytes::new(), storage: Vec::new() };
    let mut accounts = vec![plain(DevAccount::traffic().address, ether(1_000_000))];
    accounts.extend(DevAccount::funded().map(|account| plain(account.address, ether(1_000))));
    accounts.push(Allocation {
        address: CONTRACT,
        balance: U256::ZERO,
        code: Bytes::from_static(CODE),
        storage: vec![(GENESIS_SLOT, GENESIS_VALUE)],
    });
    accounts
}

fn extra_data() -> Bytes {
    [[0; VANITY].as_slice(), DevAccount::signer().address.as_slice(), &[0; SEAL]].concat().into()
}

/// The chain's `genesis.json`, as geth and `--network FILE` read it. It never changes.
///
/// London and everything before is active from the first block, nothing after it: clients as old as
/// geth v1.10.26 can follow the chain.
pub fn genesis_json() -> String {
    let alloc: Map<String, Value> =
        allocation().into_iter().map(|account| (account.address.to_string(), account.json())).collect();
    let genesis = json!({
        "config": {
            "chainId": CHAIN_ID,
            "homesteadBlock": 0,
            "eip150Block": 0,
            "eip155Block": 0,
            "eip158Block": 0,
            "byzantiumBlock": 0,
            "constantinopleBlock": 0,
            "petersburgBlock": 0,
            "istanbulBlock": 0,
            "berlinBlock": 0,
            "londonBlock": 0,
            "clique": { "period": PERIOD, "epoch": EPOCH },
        },
        "nonce": "0x0",
        "timestamp": format!("{TIMESTAMP:#x}"),
        "extraData": extra_data().to_string(),
        "gasLimit": format!("{GAS_LIMIT:#x}"),
        "difficulty": "0x1",
        "mixHash": B256::ZERO.to_string(),
        "coinbase": Address::ZERO.to_string(),
        "baseFeePerGas": format!("{BASE_FEE:#x}"),
        "alloc": alloc,
    });
    format!("{genesis:#}\n")
}

impl Allocation {
    fn json(&self) -> Value {
        let mut fields = json!({ "balance": format!("{:#x}", self.balance) });
        if !self.code.is_empty() {
            fields["code"] = json!(self.code.to_string());
        }
        if !self.storage.is_empty() {
            let word = |value: &U256| B256::from(*value).to_string();
            fields["storage"] =
                self.storage.iter().map(|(slot, value)| (word(slot), json!(word(value)))).collect();
        }
        fields
    }
}

/// The state after the first block.
pub(crate) fn state() -> State {
    let mut state = State::default();
    for account in allocation() {
        state.allocate(account.address, account.balance, account.code, &account.storage);
    }
    state
}

/// The first block's header.
pub(crate) fn header(state: &State) -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        state_root: state.root(),
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        difficulty: U256::from(1),
        gas_limit: GAS_LIMIT,
        timestamp: TIMESTAMP,
        extra_data: extra_data(),
        base_fee_per_gas: Some(BASE_FEE),
        ..Header::default()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn topic_is_the_events_hash() {
        assert_eq!(TOPIC, keccak256("Stored(address,uint256)"));
    }

    #[test]
    fn code_holds_the_topic() {
        assert!(CODE.windows(32).any(|window| window == TOPIC.as_slice()));
    }
}
