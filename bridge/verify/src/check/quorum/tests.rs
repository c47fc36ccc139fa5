//! Signed announcements and the quorum.

use alloy_primitives::{B256, U256, hex, keccak256};
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SecretKey};

use super::*;

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_secret_bytes(keccak256([seed]).0).expect("a key")
}

fn node(seed: u8) -> NodeKey {
    let [_, point @ ..] = PublicKey::from_secret_key(&secret(seed)).serialize_uncompressed();
    NodeKey(point.into())
}

fn head(byte: u8) -> Head {
    Head { hash: B256::repeat_byte(byte), number: u64::from(byte), td: U256::from(byte) }
}

fn sign(seed: u8, head: &Head) -> [u8; 65] {
    let message = Message::from_digest(Announce::digest(head).0);
    let (id, compact) =
        RecoverableSignature::sign_ecdsa_recoverable(message, &secret(seed)).serialize_compact();
    let mut signature = [0; 65];
    signature[..64].copy_from_slice(&compact);
    signature[64] = u8::from(id);
    signature
}

fn signed(seed: u8, head: Head) -> Origin {
    Origin { node: node(seed), head, signature: sign(seed, &head) }
}

// les.md 9.3.
#[test]
fn published_announcement_names_its_signer() {
    let head = Head { hash: B256::repeat_byte(0x11), number: 1000, td: U256::from(0x40_0000) };
    let signature = hex!(
        "f7affbeee3a8a6397c4105df02e9206b54c823c7b3e3ed97d90d16c23ac4705f"
        "2fa7ed76ab1a516f4da6c203794efae36730539b4fd5dbfdaf89cf05e41ea651"
        "01"
    );

    let signer = announcement_signer(&head, &signature).expect("a key");

    let id = hex::encode(signer.node_id());
    assert!(id.starts_with("a448f24c") && id.ends_with("17f7"), "{id}");
}

#[test]
fn altered_announcements_have_another_signer_or_none() {
    let good = signed(1, head(5));
    assert_eq!(origin(&good), Ok(()));
    for at in 0..65 {
        let mut altered = good.clone();
        altered.signature[at] ^= 1;
        assert_eq!(origin(&altered), Err(Lie::Signature), "{at}");
    }
    assert_eq!(
        origin(&Origin { head: Head { td: U256::from(6), ..good.head }, ..good.clone() }),
        Err(Lie::Signature)
    );
    assert_eq!(origin(&Origin { node: node(2), ..good }), Err(Lie::Signature));
}

#[test]
fn enough_trusted_nodes_make_a_head_trusted() {
    let mut quorum = Quorum::new([1, 2, 3, 4].map(node), Quorum::DEFAULT_PERCENT);

    assert_eq!(quorum.announce_all(&[signed(1, head(5)), signed(2, head(5)), signed(9, head(5))]), Ok(2));
    assert_eq!((quorum.agreeing(&head(5)), quorum.trusted_head()), (2, None));
    // The same node twice is one node.
    assert_eq!(quorum.announce_all(&[signed(1, head(5))]), Ok(1));
    assert_eq!(quorum.trusted_head(), None);
    assert_eq!(quorum.announce(node(3), head(5), &sign(3, &head(5))), Ok(true));
    assert_eq!(quorum.trusted_head(), Some(head(5)));
    // One goes on, two stay behind: no head has three.
    assert_eq!(quorum.announce(node(1), head(6), &sign(1, &head(6))), Ok(true));
    assert_eq!(quorum.trusted_head(), None);
    quorum.forget(&node(1));
    assert_eq!(quorum.agreeing(&head(6)), 0);
}

#[test]
fn another_nodes_signature_does_not_count() {
    let mut quorum = Quorum::new([node(1)], 100);
    assert_eq!(quorum.announce(node(1), head(5), &sign(2, &head(5))), Err(Lie::Signature));
    assert_eq!(quorum.trusted_head(), None);
}

#[test]
fn nobody_makes_nothing_trusted() {
    let quorum = Quorum::new([], 0);
    assert!(!quorum.is_trusted(&head(1)));
    assert_eq!(quorum.trusted_head(), None);
}

#[test]
fn the_heaviest_of_several_trusted_heads_wins() {
    let mut quorum = Quorum::new([1, 2].map(node), 50);
    quorum.announce_all(&[signed(1, head(5)), signed(2, head(6))]).expect("signed");
    assert_eq!(quorum.trusted_head(), Some(head(6)));
}
