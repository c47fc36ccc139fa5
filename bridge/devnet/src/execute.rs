//! Builds one block on a parent: transactions run by revm, then roots, bloom and gas filled in.

use std::convert::Infallible;

use alloy_consensus::proofs::{calculate_receipt_root, calculate_transaction_root};
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Eip658Value, Header, Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction as _,
    TxEnvelope, TxType,
};
use alloy_eips::eip1559::BaseFeeParams;
use alloy_primitives::{Address, B256, Bloom, Bytes, U256};
use revm::bytecode::Bytecode;
use revm::context::{BlockEnv, Context};
use revm::database_interface::{DatabaseRef, WrapDatabaseRef};
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{ExecuteEvm, MainBuilder, MainContext};

use crate::genesis::{CHAIN_ID, GAS_LIMIT};
use crate::state::State;
use crate::transaction::Transaction;

/// Blocks whose hashes a contract can ask for.
const HASHES: usize = 256;

/// A block that is being filled.
#[derive(Debug)]
pub(crate) struct Draft {
    header: Header,
    signer: Address,
    state: State,
    /// Hashes of the blocks before this one, the parent last.
    ancestors: Vec<B256>,
    transactions: Vec<TxEnvelope>,
    receipts: Vec<ReceiptEnvelope>,
}

/// A block that only lacks its seal.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) header: Header,
    pub(crate) body: Bytes,
    pub(crate) receipts: Bytes,
    /// Hashes of its transactions, in order.
    pub(crate) transactions: Vec<B256>,
    pub(crate) state: State,
}

/// Why a transaction cannot be in this block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It may fit a later one.
    ForNow,
    /// It will never fit on this branch.
    ForGood,
}

impl Draft {
    /// An empty block on `parent`, whose state is `state`. `canonical` are the hashes of the parent's
    /// line, the parent's own last.
    pub(crate) fn new(
        parent: &Header,
        state: State,
        canonical: &[B256],
        timestamp: u64,
        signer: Address,
    ) -> Self {
        let ancestors = canonical[canonical.len().saturating_sub(HASHES)..].to_vec();
        let header = Header {
            parent_hash: canonical.last().copied().unwrap_or_default(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            // The only signer is always in turn.
            difficulty: U256::from(2),
            number: parent.number + 1,
            gas_limit: GAS_LIMIT,
            timestamp,
            base_fee_per_gas: parent.next_block_base_fee(BaseFeeParams::ethereum()),
            ..Header::default()
        };
        Self { header, signer, state, ancestors, transactions: Vec::new(), receipts: Vec::new() }
    }

    pub(crate) fn number(&self) -> u64 {
        self.header.number
    }

    pub(crate) fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or_default()
    }

    pub(crate) fn gas_left(&self) -> u64 {
        GAS_LIMIT - self.header.gas_used
    }

    /// The state so far.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Runs a transaction and takes it into the block.
    pub(crate) fn push(&mut self, transaction: &Transaction) -> Result<(), Unfit> {
        let base_fee = u128::from(self.base_fee());
        if transaction.envelope.gas_limit() > self.gas_left()
            || transaction.envelope.max_fee_per_gas() < base_fee
        {
            return Err(Unfit::ForNow);
        }
        let database = WrapDatabaseRef(View {
            state: &self.state,
            number: self.header.number,
            ancestors: &self.ancestors,
        });
        let mut machine = Context::mainnet()
            .with_db(database)
            .with_block(self.environment())
            .modify_cfg_chained(|config| {
                config.set_spec_and_mainnet_gas_params(SpecId::LONDON);
                config.chain_id = CHAIN_ID;
            })
            .build_mainnet();
        let outcome = machine.transact(transaction.environment()).map_err(|_| Unfit::ForGood)?;

        self.state.apply(outcome.state);
        self.header.gas_used += outcome.result.tx_gas_used();
        let receipt = Receipt {
            status: Eip658Value::Eip658(outcome.result.is_success()),
            cumulative_gas_used: self.header.gas_used,
            // What a failed transaction logged is undone with it.
            logs: if outcome.result.is_success() { outcome.result.into_logs() } else { Vec::new() },
        };
        self.receipts.push(envelope(transaction.envelope.tx_type(), receipt.with_bloom()));
        self.transactions.push(transaction.envelope.clone());
        Ok(())
    }

    /// Fills in everything but the seal.
    pub(crate) fn finish(mut self) -> Filled {
        self.header.state_root = self.state.root();
        self.header.transactions_root = calculate_transaction_root(&self.transactions);
        self.header.receipts_root = calculate_receipt_root(&self.receipts);
        self.header.logs_bloom =
            self.receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        Filled {
            header: self.header,
            body: body(&self.transactions),
            receipts: alloy_rlp::encode(&self.receipts).into(),
            transactions: self.transactions.iter().map(|transaction| *transaction.hash()).collect(),
            state: self.state,
        }
    }

    fn environment(&self) -> BlockEnv {
        BlockEnv {
            number: U256::from(self.header.number),
            // Fees go to whoever signed the block, not to the header's empty beneficiary.
            beneficiary: self.signer,
            timestamp: U256::from(self.header.timestamp),
            gas_limit: self.header.gas_limit,
            basefee: self.base_fee(),
            difficulty: self.header.difficulty,
            prevrandao: None,
            ..BlockEnv::default()
        }
    }
}

/// `[transactions, uncles]`.
fn body(transactions: &Vec<TxEnvelope>) -> Bytes {
    let mut payload = alloy_rlp::encode(transactions);
    payload.push(alloy_rlp::EMPTY_LIST_CODE);
    let mut body = Vec::with_capacity(payload.len() + 4);
    alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut body);
    body.extend_from_slice(&payload);
    body.into()
}

fn envelope(kind: TxType, receipt: ReceiptWithBloom<Receipt>) -> ReceiptEnvelope {
    match kind {
        TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
        TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
        TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
        TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
        TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
    }
}

/// What the virtual machine reads from.
#[derive(Debug)]
struct View<'a> {
    state: &'a State,
    number: u64,
    ancestors: &'a [B256],
}

impl DatabaseRef for View<'_> {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.state.account(address).map(crate::state::Account::info))
    }

    /// Never needed: every account comes with its code.
    fn code_by_hash_ref(&self, _: B256) -> Result<Bytecode, Infallible> {
        Ok(Bytecode::default())
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self.state.account(address).map_or(U256::ZERO, |account| account.slot(slot)))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        let back = self.number.checked_sub(number).and_then(|back| usize::try_from(back).ok());
        let index = back.and_then(|back| self.ancestors.len().checked_sub(back));
        Ok(index.and_then(|index| self.ancestors.get(index)).copied().unwrap_or_default())
    }
}
