//! Signed proof of a reservation, for whoever wants to see one.

use libp2p_core::SignedEnvelope;
use libp2p_identity::{Keypair, PeerId};

use crate::message;

const DOMAIN: &str = "libp2p-relay-rsvp";
const CODEC: [u8; 2] = [0x03, 0x02];

/// `None` if the key cannot sign: reservations are good without it.
pub(crate) fn sign(key: &Keypair, relay: &PeerId, peer: &PeerId, expiration: u64) -> Option<Vec<u8>> {
    let voucher = message::voucher(relay, peer, expiration);
    let envelope = SignedEnvelope::new(key, DOMAIN.to_owned(), CODEC.to_vec(), voucher);
    Some(envelope.ok()?.into_protobuf_encoding())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_names_relay_peer_and_time_and_is_ours() {
        let key = Keypair::generate_ed25519();
        let (relay, peer) = (key.public().to_peer_id(), PeerId::random());

        let voucher = sign(&key, &relay, &peer, 1_700_000_000).expect("signed");

        let envelope = SignedEnvelope::from_protobuf_encoding(&voucher).expect("an envelope");
        let (payload, signer) =
            envelope.payload_and_signing_key(DOMAIN.to_owned(), &CODEC).expect("of this kind");
        assert_eq!(payload, message::voucher(&relay, &peer, 1_700_000_000));
        assert_eq!(*signer, key.public());
    }
}
