//! Message codes, local to the capability.

/// Status
pub const STATUS: u64 = 0x00;
/// Announce
pub const ANNOUNCE: u64 = 0x01;
/// GetBlockHeaders
pub const GET_BLOCK_HEADERS: u64 = 0x02;
/// BlockHeaders
pub const BLOCK_HEADERS: u64 = 0x03;
/// GetBlockBodies
pub const GET_BLOCK_BODIES: u64 = 0x04;
/// BlockBodies
pub const BLOCK_BODIES: u64 = 0x05;
/// GetReceipts
pub const GET_RECEIPTS: u64 = 0x06;
/// Receipts
pub const RECEIPTS: u64 = 0x07;
/// GetContractCodes
pub const GET_CONTRACT_CODES: u64 = 0x0a;
/// ContractCodes
pub const CONTRACT_CODES: u64 = 0x0b;
/// GetProofsV2
pub const GET_PROOFS_V2: u64 = 0x0f;
/// ProofsV2
pub const PROOFS_V2: u64 = 0x10;
/// GetHelperTrieProofs
pub const GET_HELPER_TRIE_PROOFS: u64 = 0x11;
/// HelperTrieProofs
pub const HELPER_TRIE_PROOFS: u64 = 0x12;
/// SendTxV2
pub const SEND_TX_V2: u64 = 0x13;
/// GetTxStatus
pub const GET_TX_STATUS: u64 = 0x14;
/// TxStatus
pub const TX_STATUS: u64 = 0x15;
/// Stop, from les/3
pub const STOP: u64 = 0x16;
/// Resume, from les/3
pub const RESUME: u64 = 0x17;
