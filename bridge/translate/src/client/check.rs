//! What can be said against a message of a server without knowing the chain.

use std::time::Instant;

use alloy_primitives::U256;
use causeway_wire::{
    Answer, Head, NodeKey,
    les::{Announce, FlowControl, Message, Status, Version, limit},
};

use crate::{Fault, answers, heads::signer_of_head, recharge::Recharge};

/// Most trie nodes for one proven key: 64 nibbles and the value's node.
const NODES_PER_ITEM: u64 = 65;

/// Bytes of updates that may come at once, as geth has it; refilled by a byte in 10 ms.
const UPDATE_BYTES: u64 = 100_000;

/// Bytes of an announcement's list that come because we asked for signatures.
const SIGNATURE_BYTES: usize = 80;

/// Bytes of an announcement's list that come because we asked for origins.
const ORIGINS_BYTES: usize = 32 + Announce::MAX_ORIGINS * 256;

/// Checks that an answer is one to this request: of its kind, with no more items than it asked for.
/// What the items say is for others to verify.
pub(super) fn answer(request: u64, amount: u64, message: &Message, answer: &Answer) -> Result<(), Fault> {
    if !answers::is_of_kind(request, answer) {
        return Err(Fault::WrongAnswer { request, answer: message.code() });
    }
    let nodes = amount.saturating_mul(NODES_PER_ITEM);
    let counts: &[(usize, u64)] = match answer {
        Answer::Headers(items) | Answer::Bodies(items) | Answer::Receipts(items) | Answer::Codes(items) => {
            &[(items.len(), amount)]
        }
        Answer::Proofs(items) => &[(items.len(), nodes)],
        Answer::HelperTries { nodes: items, auxiliary } => &[(items.len(), nodes), (auxiliary.len(), amount)],
        Answer::TransactionStatus(statuses) => {
            if statuses.len() as u64 != amount {
                return Err(Fault::StatusCount { statuses: statuses.len(), transactions: amount });
            }
            &[]
        }
    };
    for &(items, limit) in counts {
        if items as u64 > limit {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            return Err(Fault::TooManyItems { answer: message.code(), items, limit });
        }
    }
    Ok(())
}

/// Checks that a Status is one of a server we can ask, and gives its promise.
pub(super) fn promise(status: &Status, version: Version) -> Result<&FlowControl, Fault> {
    let flow = status.flow_control.as_ref().ok_or(Fault::MissingKey { key: "flowControl/MRR" })?;
    if version >= Version::Les4 && status.recent_tx_lookup.is_none() {
        return Err(Fault::MissingKey { key: "recentTxLookup" });
    }
    if flow.costs.is_empty() {
        return Err(Fault::MissingKey { key: "flowControl/MRC" });
    }
    buffer(flow.buffer_limit, flow.recharge)?;
    total_difficulty(status.head.td)?;
    Ok(flow)
}

/// Checks that a buffer ever lets anything through.
pub(super) fn buffer(buffer_limit: u64, recharge: u64) -> Result<(), Fault> {
    if buffer_limit == 0 || recharge == 0 {
        return Err(Fault::UselessFlowControl { buffer_limit, recharge });
    }
    Ok(())
}

/// Checks an announced head: its total difficulty grew, and it is signed by `signer` if that is given.
pub(super) fn head(
    announce: &Announce,
    head: &Head,
    previous: U256,
    signer: Option<&NodeKey>,
) -> Result<(), Fault> {
    total_difficulty(head.td)?;
    if let Some(signer) = signer {
        let signature = announce.signature.as_ref().ok_or(Fault::Unsigned)?;
        if signer_of_head(head, signature).as_ref() != Some(signer) {
            return Err(Fault::BadSignature);
        }
    }
    if head.td <= previous {
        return Err(Fault::TotalDifficultyNotGrowing { previous, announced: head.td });
    }
    Ok(())
}

fn total_difficulty(td: U256) -> Result<(), Fault> {
    let (bits, limit) = (td.bit_len(), limit::TD_BITS);
    if bits > limit { Err(Fault::TotalDifficultyTooLong { bits, limit }) } else { Ok(()) }
}

/// The bytes of updates that a server may still send.
#[derive(Debug)]
pub(super) struct UpdateBudget {
    /// In tenths of a byte, of which one flows in each millisecond.
    tenths: u64,
    recharge: Recharge,
    signature: usize,
    origins: usize,
}

impl UpdateBudget {
    /// A full budget. What we asked for in announcements is not charged.
    pub(super) fn new(signed: bool, origins: bool, now: Instant) -> Self {
        let signature = if signed { SIGNATURE_BYTES } else { 0 };
        let origins = if origins { ORIGINS_BYTES } else { 0 };
        Self { tenths: UPDATE_BYTES * 10, recharge: Recharge::new(1, now), signature, origins }
    }

    /// Charges an Announce.
    pub(super) fn charge(&mut self, announce: &Announce, now: Instant) -> Result<(), Fault> {
        let signature = if announce.head.is_some() { self.signature } else { 0 };
        let origins = if announce.head.is_some() || !announce.origins.is_empty() { self.origins } else { 0 };
        let free = signature + origins;
        let bytes = announce.update_bytes.saturating_sub(free) as u64;
        self.tenths = self.tenths.saturating_add(self.recharge.gained(now)).min(UPDATE_BYTES * 10);
        match self.tenths.checked_sub(bytes.saturating_mul(10)) {
            Some(rest) => {
                self.tenths = rest;
                Ok(())
            }
            None => Err(Fault::TooManyUpdates { bytes, left: self.tenths / 10 }),
        }
    }
}
