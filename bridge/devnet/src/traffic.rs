//! The transactions that every block holds, so that there is something to read.

use alloy_consensus::{TxEip1559, TxEip2930, TxEnvelope, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};

use crate::account::DevAccount;
use crate::execute::Draft;
use crate::genesis::{CHAIN_ID, CONTRACT};
use crate::transaction::Transaction;

/// Gas that the transactions of one block need at most.
pub(crate) const GAS: u64 = 2 * TRANSFER_GAS + CALL_GAS;
const TRANSFER_GAS: u64 = 21_000;
const CALL_GAS: u64 = 100_000;
/// What the sealer is paid for each gas.
const TIP: u64 = 1_000_000_000;
/// Accounts that receive transfers in turn: a fixed number, so that the state does not grow.
const RECIPIENTS: u64 = 16;

/// Puts a transfer with a priority fee, a call of the contract and, in two of three blocks, a legacy
/// transfer into the block; gives the hash of the call.
pub(crate) fn fill(draft: &mut Draft, sender: &DevAccount, branch: u64) -> Option<B256> {
    let number = draft.number();
    let first = draft.state().nonce(sender.address);
    let fee = u128::from(draft.base_fee()) + u128::from(TIP);
    // Another branch moves other amounts, so that its states differ.
    let value = U256::from(1_000 + number).saturating_add(U256::from(branch));

    let transfer = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: first,
        gas_limit: TRANSFER_GAS,
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: TIP.into(),
        to: TxKind::Call(recipient(number)),
        value,
        ..TxEip1559::default()
    };
    push(draft, sender, sender.sign(transfer).into());
    let call = push(draft, sender, call(sender, first + 1, number, fee));
    if !number.is_multiple_of(3) {
        let transfer = TxLegacy {
            chain_id: Some(CHAIN_ID),
            nonce: first + 2,
            gas_price: fee,
            gas_limit: TRANSFER_GAS,
            to: TxKind::Call(recipient(number + 1)),
            value,
            input: Bytes::new(),
        };
        push(draft, sender, sender.sign(transfer).into());
    }
    call
}

/// A call of the contract: every other one names the slot beforehand (EIP-2930).
fn call(sender: &DevAccount, nonce: u64, number: u64, fee: u128) -> TxEnvelope {
    let to = TxKind::Call(CONTRACT);
    if number.is_multiple_of(2) {
        let slots = AccessListItem { address: CONTRACT, storage_keys: vec![B256::from(U256::from(number))] };
        sender
            .sign(TxEip2930 {
                chain_id: CHAIN_ID,
                nonce,
                gas_price: fee,
                gas_limit: CALL_GAS,
                to,
                access_list: AccessList(vec![slots]),
                ..TxEip2930::default()
            })
            .into()
    } else {
        sender
            .sign(TxEip1559 {
                chain_id: CHAIN_ID,
                nonce,
                gas_limit: CALL_GAS,
                max_fee_per_gas: fee,
                max_priority_fee_per_gas: TIP.into(),
                to,
                ..TxEip1559::default()
            })
            .into()
    }
}

fn push(draft: &mut Draft, sender: &DevAccount, envelope: TxEnvelope) -> Option<B256> {
    let transaction = Transaction::signed(envelope, sender.address);
    draft.push(&transaction).ok()?;
    Some(transaction.hash)
}

fn recipient(number: u64) -> Address {
    Address::from_word(keccak256(format!("causeway devnet recipient {}", number % RECIPIENTS)))
}
