//! Node keys from secrets and from the forms that records and URLs carry them in.

use alloy_primitives::B512;
use causeway_wire::NodeKey;
use secp256k1::{PublicKey, SecretKey};

/// Why bytes are not a node key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No point of secp256k1 has these coordinates.
    #[error("the public key is not a point on the curve")]
    NotOnCurve,
}

/// The node key that belongs to `secret`.
pub fn node_key(secret: &SecretKey) -> NodeKey {
    key_of(&PublicKey::from_secret_key(secret))
}

pub(crate) fn key_of(public: &PublicKey) -> NodeKey {
    let uncompressed = public.serialize_uncompressed();
    NodeKey(B512::from_slice(&uncompressed[1..])) // 65 bytes: 04 || X || Y
}

/// Takes 64 bytes `X || Y` as a node key if they are a point on the curve.
pub(crate) fn checked(bytes: B512) -> Result<NodeKey, KeyError> {
    let mut uncompressed = [4; 65];
    uncompressed[1..].copy_from_slice(bytes.as_slice());
    match PublicKey::from_slice(&uncompressed) {
        Ok(_) => Ok(NodeKey(bytes)),
        Err(_) => Err(KeyError::NotOnCurve),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EIP-8, static key B (rlpx.md 10.1).
    #[test]
    fn node_id_of_the_eip8_key_is_as_published() {
        let secret: SecretKey =
            "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291".parse().expect("valid secret");

        let key = node_key(&secret);

        assert!(key.to_string().starts_with("ca634cae0d49acb401d8a4c6b6fe8c55"));
        assert_eq!(
            hex::encode(key.node_id()),
            "a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7"
        );
    }

    #[test]
    fn a_point_beside_the_curve_is_no_key() {
        assert_eq!(checked(B512::repeat_byte(1)), Err(KeyError::NotOnCurve));
    }
}
