//! The state after a block: accounts with their storage and code, as one trie of tries.
//!
//! A clone is a version; versions share what did not change between them.

use alloy_consensus::TrieAccount;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::KECCAK_EMPTY;
use revm::bytecode::Bytecode;
use revm::state::{Account as Touched, AccountInfo};

use crate::trie::{Trie, Value};

/// One version of the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    accounts: Trie<Account>,
}

/// One account in it.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    code_hash: B256,
    code: Bytecode,
    storage: Trie<Slot>,
}

/// One value in an account's storage; never zero.
#[derive(Clone, Copy, Debug)]
struct Slot(U256);

impl Value for Slot {
    fn encode(&self) -> Vec<u8> {
        alloy_rlp::encode(self.0)
    }
}

impl Value for Account {
    fn encode(&self) -> Vec<u8> {
        alloy_rlp::encode(TrieAccount {
            nonce: self.nonce,
            balance: self.balance,
            storage_root: self.storage.root(),
            code_hash: self.code_hash,
        })
    }
}

impl Default for Account {
    fn default() -> Self {
        Self {
            nonce: 0,
            balance: U256::ZERO,
            code_hash: KECCAK_EMPTY,
            code: Bytecode::default(),
            storage: Trie::default(),
        }
    }
}

impl Account {
    pub(crate) fn code(&self) -> Bytes {
        self.code.original_bytes()
    }

    /// What the virtual machine wants to know of it.
    pub(crate) fn info(&self) -> AccountInfo {
        AccountInfo {
            balance: self.balance,
            nonce: self.nonce,
            code_hash: self.code_hash,
            code: Some(self.code.clone()),
            ..AccountInfo::default()
        }
    }

    pub(crate) fn slot(&self, slot: U256) -> U256 {
        self.storage.find(slot_key(slot)).map_or(U256::ZERO, |value| value.0)
    }

    /// The nodes on the way to a slot, by the slot's hash.
    pub(crate) fn prove(&self, key: B256, from_level: u64) -> Vec<Bytes> {
        self.storage.prove(key, from_level)
    }

    fn set_slot(&mut self, slot: U256, value: U256) {
        if value.is_zero() {
            self.storage.remove(slot_key(slot));
        } else {
            self.storage.insert(slot_key(slot), Slot(value));
        }
    }
}

impl State {
    /// Puts an account of the genesis allocation in.
    pub(crate) fn allocate(
        &mut self,
        address: Address,
        balance: U256,
        code: Bytes,
        storage: &[(U256, U256)],
    ) {
        let code_hash = if code.is_empty() { KECCAK_EMPTY } else { keccak256(&code) };
        let mut account = Account { balance, code_hash, code: Bytecode::new_raw(code), ..Account::default() };
        for (slot, value) in storage {
            account.set_slot(*slot, *value);
        }
        self.accounts.insert(keccak256(address), account);
    }

    /// Takes over what a transaction changed.
    pub(crate) fn apply(&mut self, changes: impl IntoIterator<Item = (Address, Touched)>) {
        for (address, touched) in changes {
            if touched.is_touched() {
                self.apply_one(keccak256(address), &touched);
            }
        }
    }

    fn apply_one(&mut self, key: B256, touched: &Touched) {
        // Touched and empty accounts are removed (EIP-161).
        if touched.is_selfdestructed() || touched.info.is_empty() {
            return self.accounts.remove(key);
        }
        let present = if touched.is_created() { None } else { self.accounts.find(key) };
        let mut account = present.cloned().unwrap_or_default();
        account.nonce = touched.info.nonce;
        account.balance = touched.info.balance;
        if account.code_hash != touched.info.code_hash {
            account.code_hash = touched.info.code_hash;
            account.code = touched.info.code.clone().unwrap_or_default();
        }
        for (slot, value) in touched.changed_storage_slots() {
            account.set_slot(*slot, value.present_value());
        }
        self.accounts.insert(key, account);
    }

    /// The hash that a header commits to.
    pub(crate) fn root(&self) -> B256 {
        self.accounts.root()
    }

    pub(crate) fn account(&self, address: Address) -> Option<&Account> {
        self.by_hash(keccak256(address))
    }

    /// The account whose address has this hash.
    pub(crate) fn by_hash(&self, key: B256) -> Option<&Account> {
        self.accounts.find(key)
    }

    /// The nodes on the way to an account, by its address' hash.
    pub(crate) fn prove(&self, key: B256, from_level: u64) -> Vec<Bytes> {
        self.accounts.prove(key, from_level)
    }

    pub(crate) fn nonce(&self, address: Address) -> u64 {
        self.account(address).map_or(0, |account| account.nonce)
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        self.account(address).map_or(U256::ZERO, |account| account.balance)
    }
}

fn slot_key(slot: U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}
