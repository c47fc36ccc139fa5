//! A signed transaction with its sender: decoding, and what can be judged of it without a state.

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, TxKind, U256};
use revm::context::TxEnv;

use crate::account::recover;
use crate::genesis::{CHAIN_ID, GAS_LIMIT};

/// Longest transaction that is accepted, as in geth's pool.
pub(crate) const MAX_TRANSACTION: usize = 128 * 1024;

/// A decoded transaction whose signature is good.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) envelope: TxEnvelope,
    pub(crate) hash: B256,
    pub(crate) sender: Address,
    /// Bytes of its canonical form.
    pub(crate) size: usize,
}

/// Why the pool refuses a transaction, in geth's words where geth has words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("rlp: the bytes are not one signed transaction")]
    Malformed,
    #[error("transaction type not supported")]
    Type,
    #[error("oversized data")]
    Oversized,
    #[error("exceeds block gas limit")]
    GasLimit,
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    #[error("invalid sender")]
    Sender,
    #[error("transaction underpriced")]
    Underpriced,
    #[error("nonce too low")]
    NonceTooLow,
    #[error("insufficient funds for gas * price + value")]
    Funds,
    #[error("intrinsic gas too low")]
    IntrinsicGas,
    #[error("replacement transaction underpriced")]
    Replacement,
    #[error("txpool is full")]
    Full,
}

impl Transaction {
    /// Reads a transaction in its canonical form and recovers who signed it.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, Refusal> {
        let size = bytes.len();
        if size > MAX_TRANSACTION {
            return Err(Refusal::Oversized);
        }
        // Below 0xc0 the first byte is a type (EIP-2718); London knows 1 and 2.
        if matches!(bytes.first(), Some(0 | 3..=0x7f)) {
            return Err(Refusal::Type);
        }
        let envelope = TxEnvelope::decode_2718(&mut bytes).map_err(|_| Refusal::Malformed)?;
        if !bytes.is_empty() {
            return Err(Refusal::Malformed);
        }
        let (signed_hash, signature) = match &envelope {
            TxEnvelope::Legacy(signed) => (signed.signature_hash(), signed.signature()),
            TxEnvelope::Eip2930(signed) => (signed.signature_hash(), signed.signature()),
            TxEnvelope::Eip1559(signed) => (signed.signature_hash(), signed.signature()),
            TxEnvelope::Eip4844(_) | TxEnvelope::Eip7702(_) => return Err(Refusal::Type),
        };
        // Only a legacy transaction from before EIP-155 may leave the chain open.
        if envelope.chain_id().is_some_and(|chain| chain != CHAIN_ID) {
            return Err(Refusal::Sender);
        }
        let sender = recover(signed_hash, signature).ok_or(Refusal::Sender)?;
        Ok(Self { hash: *envelope.hash(), envelope, sender, size })
    }

    /// A transaction that was just signed here.
    pub(crate) fn signed(envelope: TxEnvelope, sender: Address) -> Self {
        Self { hash: *envelope.hash(), size: envelope.encode_2718_len(), envelope, sender }
    }

    /// The checks that come first and need no state.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.envelope.gas_limit() > GAS_LIMIT {
            return Err(Refusal::GasLimit);
        }
        if self.tip() > self.envelope.max_fee_per_gas() {
            return Err(Refusal::TipAboveFee);
        }
        if self.tip() == 0 {
            return Err(Refusal::Underpriced);
        }
        Ok(())
    }

    /// The check that comes last, after those against the state.
    pub(crate) fn check_gas(&self) -> Result<(), Refusal> {
        if self.envelope.gas_limit() < self.intrinsic_gas() { Err(Refusal::IntrinsicGas) } else { Ok(()) }
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }

    /// What the sender pays the block's maker for each gas, at most.
    pub(crate) fn tip(&self) -> u128 {
        self.envelope.priority_fee_or_price()
    }

    /// What the sender must have: gas at its highest price, and the value.
    pub(crate) fn cost(&self) -> U256 {
        let gas =
            U256::from(self.envelope.gas_limit()).saturating_mul(U256::from(self.envelope.max_fee_per_gas()));
        gas.saturating_add(self.envelope.value())
    }

    /// Gas before the first step of execution, under London's rules.
    fn intrinsic_gas(&self) -> u64 {
        let bytes: u64 = self.envelope.input().iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum();
        let list = self
            .envelope
            .access_list()
            .map_or(0, |list| list.iter().map(|item| 2_400 + 1_900 * item.storage_keys.len() as u64).sum());
        let create = if self.envelope.kind() == TxKind::Create { 32_000 } else { 0 };
        21_000 + create + bytes + list
    }

    /// The transaction as the virtual machine takes it.
    pub(crate) fn environment(&self) -> TxEnv {
        TxEnv {
            tx_type: self.envelope.tx_type().into(),
            caller: self.sender,
            gas_limit: self.envelope.gas_limit(),
            gas_price: self.envelope.max_fee_per_gas(),
            kind: self.envelope.kind(),
            value: self.envelope.value(),
            data: self.envelope.input().clone(),
            nonce: self.envelope.nonce(),
            chain_id: self.envelope.chain_id(),
            access_list: self.envelope.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: self.envelope.max_priority_fee_per_gas(),
            ..TxEnv::default()
        }
    }
}
