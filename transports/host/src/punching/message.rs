//! The message of `/libp2p/dcutr` and its protobuf.
//!
//! ```text
//! HolePunch { type = 1 (CONNECT = 100, SYNC = 300), ObsAddrs = 2, repeated }
//! ```
//!
//! libp2p's specification, `relay/DCUtR.md`.

use libp2p::Multiaddr;

use crate::{
    Malformed,
    protobuf::{Fields, Writer},
};

/// Longest message of the specification.
pub(super) const MAX_MESSAGE: usize = 4096;

const CONNECT: u64 = 100;
const SYNC: u64 = 300;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Where who sends it may be met.
    Connect(Vec<Multiaddr>),
    /// Now.
    Sync,
}

impl Message {
    /// Addresses that do not fit any more are left out.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Connect(addresses) => {
                out.number(1, CONNECT);
                for address in addresses.iter().map(Multiaddr::to_vec) {
                    if out.0.len() + address.len() + 4 <= MAX_MESSAGE {
                        out.bytes(2, &address);
                    }
                }
            }
            Self::Sync => out.number(1, SYNC),
        }
        out.0
    }

    /// Addresses that cannot be read are left out: they may be of transports that we do not know.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (mut kind, mut addresses) = (None, Vec::new());
        let mut fields = Fields(bytes);
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => kind = Some(value.number(1)?),
                2 => addresses.extend(Multiaddr::try_from(value.bytes(2)?.to_vec()).ok()),
                _ => {}
            }
        }
        match kind {
            Some(CONNECT) => Ok(Self::Connect(addresses)),
            Some(SYNC) => Ok(Self::Sync),
            Some(other) => Err(Malformed::Type(other)),
            None => Err(Malformed::Missing(0)),
        }
    }
}

/// What is read of `bytes`, written again; for fuzzing.
pub(crate) fn read_again(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(Message::decode(bytes).ok()?.encode())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_those_of_the_specification() {
        let address: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().expect("address");
        let connect = Message::Connect(vec![address]);

        assert_eq!(connect.encode(), [8, 100, 18, 8, 4, 192, 0, 2, 1, 6, 0, 1]);
        assert_eq!(Message::decode(&connect.encode()), Ok(connect));
        assert_eq!(Message::Sync.encode(), [8, 172, 2]);
        assert_eq!(Message::decode(&[8, 172, 2]), Ok(Message::Sync));
    }

    #[test]
    fn what_is_no_message_has_a_name() {
        assert_eq!(Message::decode(&[]), Err(Malformed::Missing(0)));
        assert_eq!(Message::decode(&[8, 1]), Err(Malformed::Type(1)));
        assert_eq!(Message::decode(&[18, 9]), Err(Malformed::Truncated));
        assert_eq!(Message::decode(&[8, 100, 18, 1, 0xff]), Ok(Message::Connect(Vec::new())));
    }

    #[test]
    fn addresses_without_end_are_cut_off_at_the_limit() {
        let address: Multiaddr = "/ip4/192.0.2.1/udp/1/quic-v1".parse().expect("address");

        let bytes = Message::Connect(vec![address; 1000]).encode();

        assert!(bytes.len() <= MAX_MESSAGE);
        let Ok(Message::Connect(kept)) = Message::decode(&bytes) else { panic!("readable") };
        assert!(kept.len() > 200);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(&bytes);
        }
    }
}
