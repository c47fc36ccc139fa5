//! Which announcement a light peer gets: never backwards, signed if it asked so, with origins if it asked so.

use alloy_primitives::B512;
use causeway_wire::{
    Head, HeadUpdate, NodeKey,
    les::{Announce, AnnounceKind, Origin},
};
use secp256k1::{
    Message, SecretKey,
    ecdsa::{RecoverableSignature, RecoveryId},
};

/// Signs a head as `announceType` 2 wants it: `r || s || v`, v 0 or 1, low s, always the same bytes.
pub fn sign_head(head: &Head, key: &SecretKey) -> [u8; 65] {
    let message = Message::from_digest(Announce::digest(head).0);
    let (recovery, compact) = RecoverableSignature::sign_ecdsa_recoverable(message, key).serialize_compact();
    let mut signature = [0; 65];
    signature[..64].copy_from_slice(&compact);
    signature[64] = recovery.to_u8();
    signature
}

/// Who signed a head; `None` if the signature is none at all.
pub fn signer_of_head(head: &Head, signature: &[u8; 65]) -> Option<NodeKey> {
    let recovery = match signature[64] {
        0 => RecoveryId::Zero,
        1 => RecoveryId::One,
        _ => return None,
    };
    let signature = RecoverableSignature::from_compact(&signature[..64], recovery).ok()?;
    let key = signature.recover(Message::from_digest(Announce::digest(head).0)).ok()?;
    Some(NodeKey(B512::from_slice(&key.serialize_uncompressed()[1..])))
}

/// What a light peer wants to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// `announceType`
    pub(crate) kind: AnnounceKind,
    /// `causeway/origins`
    pub(crate) origins: bool,
}

/// Makes announcements; signs each head once.
#[derive(Debug)]
pub(crate) struct Announcer {
    key: SecretKey,
    signed: Option<(Head, [u8; 65])>,
}

impl Announcer {
    /// Signs with this key.
    pub(crate) fn new(key: SecretKey) -> Self {
        Self { key, signed: None }
    }

    /// The announcement of `latest` to a peer that was last told of `told`; `None` if it has nothing to be told.
    /// Old clients drop whoever announces a total difficulty that did not grow, so further origins of the same
    /// head go out without a head, and only to who asked for them.
    pub(crate) fn announce(
        &mut self,
        told: &HeadUpdate,
        latest: &HeadUpdate,
        wish: Wish,
    ) -> Option<Announce> {
        let signature = match wish.kind {
            AnnounceKind::None => return None,
            _ if latest.head.hash == told.head.hash => return further_origins(told, latest, wish),
            _ if latest.head.td <= told.head.td => return None,
            AnnounceKind::Simple => None,
            AnnounceKind::Signed => Some(self.signature(&latest.head)),
        };
        let origins = if wish.origins { &latest.origins[..] } else { &[] };
        let reorg_depth = latest.reorg_depth(told);
        Some(Announce { signature, ..announcement(Some(latest.head), reorg_depth, origins) })
    }

    fn signature(&mut self, head: &Head) -> [u8; 65] {
        match self.signed {
            Some((signed, signature)) if signed == *head => signature,
            _ => {
                let signature = sign_head(head, &self.key);
                self.signed = Some((*head, signature));
                signature
            }
        }
    }
}

/// The origins that came since a head was told, with those told before.
fn further_origins(told: &HeadUpdate, latest: &HeadUpdate, wish: Wish) -> Option<Announce> {
    let further = wish.origins && latest.origins.len() > told.origins.len();
    further.then(|| announcement(None, 0, &latest.origins))
}

fn announcement(head: Option<Head>, reorg_depth: u64, origins: &[Origin]) -> Announce {
    Announce {
        head,
        reorg_depth,
        signature: None,
        buffer: None,
        costs: Vec::new(),
        origins: origins.iter().take(Announce::MAX_ORIGINS).cloned().collect(),
        update_bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, U256, hex};

    use super::*;

    fn head() -> Head {
        Head { hash: B256::repeat_byte(0x11), number: 1000, td: U256::from(0x40_0000) }
    }

    fn key() -> SecretKey {
        SecretKey::from_secret_bytes(hex!("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291"))
            .unwrap()
    }

    /// les.md 9.3.
    #[test]
    fn signature_is_the_published_one() {
        let signature = sign_head(&head(), &key());

        assert_eq!(
            hex::encode(signature),
            "f7affbeee3a8a6397c4105df02e9206b54c823c7b3e3ed97d90d16c23ac4705f\
             2fa7ed76ab1a516f4da6c203794efae36730539b4fd5dbfdaf89cf05e41ea65101"
        );
        let signer = signer_of_head(&head(), &signature).unwrap();
        assert!(hex::encode(signer.node_id()).starts_with("a448f24c"));
    }

    #[test]
    fn further_origins_of_a_head_go_to_who_asked_for_them_only() {
        let origin =
            |byte| Origin { node: NodeKey(B512::repeat_byte(byte)), head: head(), signature: [byte; 65] };
        let update = |origins: &[Origin]| HeadUpdate {
            head: head(),
            timestamp: 0,
            lineage: [head().hash].into(),
            origins: origins.into(),
        };
        let (told, latest) = (update(&[origin(1)]), update(&[origin(1), origin(2)]));
        let mut announcer = Announcer::new(key());
        let wish = |origins| Wish { kind: AnnounceKind::Signed, origins };

        let announce = announcer.announce(&told, &latest, wish(true)).unwrap();

        assert_eq!((announce.head, announce.signature), (None, None));
        assert_eq!(announce.origins, [origin(1), origin(2)]);
        assert_eq!(announcer.announce(&told, &latest, wish(false)), None);
        assert_eq!(announcer.announce(&latest, &latest, wish(true)), None);
        let nothing = Wish { kind: AnnounceKind::None, origins: true };
        assert_eq!(announcer.announce(&told, &latest, nothing), None);
    }

    #[test]
    fn other_heads_and_broken_signatures_have_other_signers() {
        let mut signature = sign_head(&head(), &key());
        let other = Head { number: 1001, ..head() };
        assert_ne!(signer_of_head(&other, &signature), signer_of_head(&head(), &signature));

        signature[64] = 27;
        assert_eq!(signer_of_head(&head(), &signature), None);
        assert_eq!(signer_of_head(&head(), &[0; 65]), None);
        assert_eq!(signer_of_head(&head(), &[0xff; 65]), None);
    }
}
