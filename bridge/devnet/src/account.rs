//! The accounts that the development chain is born with, and their keys.
//!
//! The keys are public on purpose: each is `keccak256("causeway devnet " || name)`. Nothing of value
//! may ever be held under them on another chain.

use alloy_consensus::{SignableTransaction, Signed};
use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use secp256k1::{Message, PublicKey, SecretKey, ecdsa};

/// An account whose key everybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevAccount {
    /// What its key is derived from, and what it is for.
    pub name: &'static str,
    /// The secret key: `keccak256("causeway devnet " || name)`.
    pub key: B256,
    /// Its address.
    pub address: Address,
}

/// Accounts with 1,000 ether each for whoever tries things out; nobody else sends from them.
pub const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

impl DevAccount {
    /// Who seals the blocks.
    pub fn signer() -> Self {
        Self::named("signer")
    }

    /// Who sends the transactions that every block holds.
    pub fn traffic() -> Self {
        Self::named("traffic")
    }

    /// The accounts of [`NAMES`].
    pub fn funded() -> [Self; NAMES.len()] {
        NAMES.map(Self::named)
    }

    fn named(name: &'static str) -> Self {
        let key = keccak256(format!("causeway devnet {name}"));
        let address = address(&secret(key).public_key());
        Self { name, key, address }
    }

    /// Signs a transaction with this account's key.
    pub fn sign<T: SignableTransaction<Signature>>(&self, transaction: T) -> Signed<T> {
        let signature = self.sign_hash(transaction.signature_hash());
        transaction.into_signed(signature)
    }

    pub(crate) fn sign_hash(&self, hash: B256) -> Signature {
        let message = Message::from_digest(hash.0);
        let signature = ecdsa::RecoverableSignature::sign_ecdsa_recoverable(message, &secret(self.key));
        let (parity, bytes) = signature.serialize_compact();
        Signature::from_bytes_and_parity(&bytes, u8::from(parity) & 1 == 1)
    }
}

fn secret(key: B256) -> SecretKey {
    SecretKey::from_secret_bytes(key.0).expect("the keys of the fixed names are valid, which a test shows")
}

fn address(key: &PublicKey) -> Address {
    Address::from_raw_public_key(&key.serialize_uncompressed()[1..])
}

/// The signer of a hash; `None` for a signature that Ethereum does not accept (EIP-2: low `s` only).
pub(crate) fn recover(hash: B256, signature: &Signature) -> Option<Address> {
    if signature.s() > HALF_ORDER {
        return None;
    }
    let parity = ecdsa::RecoveryId::try_from(i32::from(signature.v())).ok()?;
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    bytes[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    let signature = ecdsa::RecoverableSignature::from_compact(&bytes, parity).ok()?;
    let key = signature.recover_ecdsa(Message::from_digest(hash.0)).ok()?;
    Some(address(&key))
}

/// Half of the order of secp256k1, rounded down.
const HALF_ORDER: U256 =
    U256::from_limbs([0xdfe9_2f46_681b_20a0, 0x5d57_6e73_57a4_501d, u64::MAX, 0x7fff_ffff_ffff_ffff]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_names_are_valid_and_sign_for_their_addresses() {
        let mut accounts = vec![DevAccount::signer(), DevAccount::traffic()];
        accounts.extend(DevAccount::funded());

        for account in accounts {
            let hash = keccak256(account.name);
            assert_eq!(recover(hash, &account.sign_hash(hash)), Some(account.address));
        }
    }

    #[test]
    fn high_s_and_broken_signatures_have_no_signer() {
        let hash = keccak256("a message");
        let good = DevAccount::signer().sign_hash(hash);
        let order = (HALF_ORDER << 1) + U256::from(1);

        assert_eq!(recover(hash, &Signature::new(good.r(), order - good.s(), !good.v())), None);
        assert_eq!(recover(hash, &Signature::new(U256::ZERO, U256::ZERO, false)), None);
        assert_eq!(recover(hash, &Signature::new(U256::MAX, U256::from(1), false)), None);
    }
}
