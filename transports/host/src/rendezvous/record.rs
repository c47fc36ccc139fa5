//! Signed peer records: who is where, said by the peer itself.

use libp2p::{
    Multiaddr, PeerId,
    core::{PeerRecord, SignedEnvelope},
    identity::Keypair,
};

/// Why a record is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("record of {size} bytes, {limit} are taken")]
    TooLarge { size: usize, limit: usize },
    #[error("no signed peer record: {0}")]
    Unreadable(String),
    #[error("record with {count} addresses, 1 to {limit} are taken")]
    Addresses { count: usize, limit: usize },
}

/// A record whose signature is that of the peer it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedRecord {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
}

impl SignedRecord {
    pub(crate) fn verify(bytes: &[u8], size: usize, addresses: usize) -> Result<Self, RecordError> {
        if bytes.len() > size {
            return Err(RecordError::TooLarge { size: bytes.len(), limit: size });
        }
        let unreadable = |error: &dyn std::error::Error| {
            RecordError::Unreadable(crate::convert::in_full(error).chars().take(MAX_REASON).collect())
        };
        let envelope = SignedEnvelope::from_protobuf_encoding(bytes).map_err(|error| unreadable(&error))?;
        // rust-libp2p 0.57 still registers records that are signed under names of its own.
        let record = PeerRecord::from_signed_envelope_interop(envelope.clone())
            .or_else(|_| PeerRecord::from_signed_envelope(envelope))
            .map_err(|error| unreadable(&error))?;
        let count = record.addresses().len();
        if count == 0 || count > addresses {
            return Err(RecordError::Addresses { count, limit: addresses });
        }
        Ok(Self { peer: record.peer_id(), addresses: record.addresses().to_vec() })
    }
}

/// Longest reason kept of a library's words, which may quote the bytes.
const MAX_REASON: usize = 200;

/// Under which names a record is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Those of the specification.
    Standard,
    /// Those of rust-libp2p, whose rendezvous reads no others.
    RustLibp2p,
}

/// Our own record with these addresses.
pub(crate) fn sign(keypair: &Keypair, addresses: Vec<Multiaddr>, form: Form) -> Result<Vec<u8>, String> {
    let record = match form {
        Form::Standard => PeerRecord::new_interop(keypair, addresses),
        Form::RustLibp2p => PeerRecord::new(keypair, addresses),
    };
    match record {
        Ok(record) => Ok(record.into_signed_envelope().into_protobuf_encoding()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Multiaddr {
        "/ip4/192.0.2.1/tcp/30314".parse().expect("multiaddr")
    }

    #[test]
    fn both_ways_to_sign_are_believed() {
        let keypair = Keypair::generate_ed25519();
        for form in [Form::Standard, Form::RustLibp2p] {
            let bytes = sign(&keypair, vec![home()], form).expect("signed");
            let record = SignedRecord::verify(&bytes, 4096, 1).expect("believed");
            assert_eq!(record, SignedRecord { peer: keypair.public().to_peer_id(), addresses: vec![home()] });
        }
    }

    #[test]
    fn forged_and_oversized_records_are_not() {
        let keypair = Keypair::generate_ed25519();
        let record = sign(&keypair, vec![home()], Form::Standard).expect("signed");

        let mut forged = record.clone();
        *forged.last_mut().expect("not empty") ^= 1;
        assert!(matches!(SignedRecord::verify(&forged, 4096, 8), Err(RecordError::Unreadable(_))));
        assert!(matches!(SignedRecord::verify(&[0xff; 40], 4096, 8), Err(RecordError::Unreadable(_))));
        assert!(matches!(SignedRecord::verify(&record, 40, 8), Err(RecordError::TooLarge { .. })));

        for (count, taken) in [(0, false), (8, true), (9, false)] {
            let record = sign(&keypair, vec![home(); count], Form::Standard).expect("signed");
            assert_eq!(SignedRecord::verify(&record, 4096, 8).is_ok(), taken, "{count}");
        }
    }
}
