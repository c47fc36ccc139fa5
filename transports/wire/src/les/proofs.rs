//! State: account and storage proofs (codes 0f and 10), and contract codes (0a and 0b).
//!
//! ```text
//! GetProofsV2       [reqID, [[blockHash, accKey, key, fromLevel], ...]]
//! ProofsV2          [reqID, BV, [node, ...]]             nodes are lists, not strings that hold lists
//! GetContractCodes  [reqID, [[blockHash, accKey], ...]]
//! ContractCodes     [reqID, BV, [code, ...]]
//! ```
//!
//! `accKey` is empty for an account proof (go-ethereum; devp2p `caps/les.md` has the account's hash
//! there), else `keccak256(address)` before go-ethereum v1.12.1 and the address from then on.

use alloy_primitives::B256;
use alloy_rlp::Encodable;

use super::DecodeFlaw;
use crate::{
    AccountKey, CodeRequest, ProofRequest,
    rlp::{Error, Reader, put_list, put_string, put_uint},
};

pub(super) fn decode_queries(mut items: Reader<'_>) -> Result<Vec<ProofRequest>, DecodeFlaw> {
    let mut requests = Vec::new();
    while !items.is_empty() {
        let mut fields = items.list()?;
        requests.push(ProofRequest {
            block: fields.hash()?,
            account: account(fields.string()?)?,
            key: fields.hash()?,
            from_level: fields.uint()?,
        });
        fields.finish()?;
    }
    Ok(requests)
}

pub(super) fn put_queries(out: &mut Vec<u8>, requests: &[ProofRequest]) {
    put_list(out, |out| {
        for request in requests {
            put_list(out, |out| {
                request.block.encode(out);
                put_account(out, request.account.as_ref());
                request.key.encode(out);
                put_uint(out, request.from_level);
            });
        }
    });
}

pub(super) fn decode_code_queries(mut items: Reader<'_>) -> Result<Vec<CodeRequest>, DecodeFlaw> {
    let mut requests = Vec::new();
    while !items.is_empty() {
        let mut fields = items.list()?;
        let block = fields.hash()?;
        // An empty key names no account: the answer leaves it out, as it does an account that is not there.
        let account = account(fields.string()?)?.unwrap_or(AccountKey::Hash(B256::ZERO));
        fields.finish()?;
        requests.push(CodeRequest { block, account });
    }
    Ok(requests)
}

pub(super) fn put_code_queries(out: &mut Vec<u8>, requests: &[CodeRequest]) {
    put_list(out, |out| {
        for request in requests {
            put_list(out, |out| {
                request.block.encode(out);
                put_account(out, Some(&request.account));
            });
        }
    });
}

fn account(key: &[u8]) -> Result<Option<AccountKey>, Error> {
    if key.is_empty() {
        return Ok(None);
    }
    let hash = B256::try_from(key).map(AccountKey::Hash);
    hash.or_else(|_| key.try_into().map(AccountKey::Address)).map(Some).map_err(|_| Error::Length)
}

fn put_account(out: &mut Vec<u8>, account: Option<&AccountKey>) {
    match account {
        None => put_string(out, &[]),
        Some(AccountKey::Hash(hash)) => hash.encode(out),
        Some(AccountKey::Address(address)) => address.encode(out),
    }
}
