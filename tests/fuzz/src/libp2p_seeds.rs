//! The inputs that the corpus of `libp2p_message` begins with.

use crate::seeds::{Seeds, seed};

/// A peer's id: the identity hash of a secp256k1 key would be longer, no message cares.
const PEER: [u8; 6] = [0, 4, 8, 2, 18, 0];
/// `/ip4/192.0.2.1/udp/4001/quic-v1`
const ADDRESS: [u8; 11] = [4, 192, 0, 2, 1, 0x91, 0x02, 0x0f, 0xa1, 0xcd, 0x03];

/// A field of protobuf that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("a short field");
    [&[number << 3 | 2, length], bytes].concat()
}

pub(crate) fn libp2p_message() -> Seeds {
    let peer = field(1, &PEER);
    let reserve = [8, 0];
    let connect = [&[8, 1][..], &field(2, &peer)].concat();
    let status = [&[8, 2][..], &[40, 100]].concat();
    let dial = field(1, &[&field(1, &ADDRESS)[..], &[17, 1, 2, 3, 4, 5, 6, 7, 8]].concat());
    let meet = [&[8, 100][..], &field(2, &ADDRESS), &field(2, &ADDRESS)].concat();
    let discover = [&[8, 3][..], &field(5, &[&field(1, b"les/")[..], &[16, 10]].concat())].concat();
    let registrations = field(1, &[&field(1, b"les/")[..], &field(2, &PEER), &[24, 100]].concat());
    let discovered = [&[8, 4][..], &field(6, &[&registrations[..], &field(2, b"cookie")].concat())].concat();
    vec![
        seed("reserve", &[&[0], &reserve]),
        seed("connect", &[&[0], &connect]),
        seed("stop status", &[&[1], &status]),
        seed("dial request", &[&[2], &dial]),
        seed("dial back", &[&[2, 9, 1, 2, 3, 4, 5, 6, 7, 8]]),
        seed("address", &[&[3], &ADDRESS]),
        seed("meet", &[&[4], &meet]),
        seed("now", &[&[4, 8, 172, 2]]),
        seed("discover", &[&[5], &discover]),
        seed("discovered", &[&[5], &discovered]),
    ]
}
