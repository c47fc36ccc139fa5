//! Checked bytes as typed values, for those who show them to people.

use alloy_consensus::{BlockBody, ReceiptEnvelope, TxEnvelope};

/// Checked bytes that cannot be shown: of a type that this version does not know. Nobody's lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be decoded: {reason}")]
pub struct DecodeError {
    /// What was decoded.
    pub what: &'static str,
    /// Why it failed.
    pub reason: alloy_rlp::Error,
}

/// A checked body with its transactions, uncles and withdrawals.
///
/// # Errors
/// If a transaction is of an unknown type.
pub fn decode_body(body: &[u8]) -> Result<BlockBody<TxEnvelope>, DecodeError> {
    alloy_rlp::decode_exact(body).map_err(|reason| DecodeError { what: "body", reason })
}

/// A block's checked receipts.
///
/// # Errors
/// If a receipt is of an unknown type.
pub fn decode_receipts(receipts: &[u8]) -> Result<Vec<ReceiptEnvelope>, DecodeError> {
    alloy_rlp::decode_exact(receipts).map_err(|reason| DecodeError { what: "receipts", reason })
}
