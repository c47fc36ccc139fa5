//! Any bytes: what strangers send gives a message, an address, or an error.

use proptest::prelude::*;

/// Bytes that look like protobuf more often than chance would have it.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let key = (0_u8..6, 0_u8..6).prop_map(|(field, kind)| vec![field << 3 | kind]);
    let number = prop_oneof![
        (0_u8..128).prop_map(|byte| vec![byte]),
        any::<u64>().prop_map(|number| {
            let (mut out, mut number) = (Vec::new(), number);
            while number >= 0x80 {
                out.push(number as u8 | 0x80);
                number >>= 7;
            }
            out.push(number as u8);
            out
        }),
        any::<[u8; 8]>().prop_map(Vec::from),
    ];
    let nested = proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| {
        let mut out = vec![bytes.len() as u8];
        out.extend(bytes);
        out
    });
    let piece = (key, prop_oneof![number, nested]).prop_map(|(key, value)| [key, value].concat());
    let pieces = proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    (0_u8..5, pieces).prop_map(|(field, inner)| {
        if field == 0 {
            return inner;
        }
        let mut out = vec![field << 3 | 2];
        let length = inner.len();
        out.extend([(length & 0x7f) as u8 | 0x80, (length >> 7) as u8]);
        out.extend(inner);
        out
    })
}

/// Bytes of parts of multiaddrs, in any order.
fn parts() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| [&[4][..], &ip].concat()),
        Just(vec![4, 127, 0, 0, 1]),
        any::<[u8; 16]>().prop_map(|ip| [&[41][..], &ip].concat()),
        any::<[u8; 2]>().prop_map(|port| [&[6][..], &port].concat()),
        any::<[u8; 2]>().prop_map(|port| [&[0x91, 0x02][..], &port].concat()),
        Just(vec![0xcd, 0x03]), // quic-v1
        Just(vec![0xd1, 0x03]), // webtransport
        Just(vec![0x98, 0x02]), // webrtc-direct
        Just(vec![0xdd, 0x03]), // ws
        Just(vec![0xc0, 0x03]), // tls
        Just(vec![0xa2, 0x02]), // p2p-circuit
        Just(vec![0x36, 9, b'l', b'o', b'c', b'a', b'l', b'h', b'o', b's', b't']), // dns4
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        autonat::fuzzing::message(&bytes);
        autonat::fuzzing::address(&bytes);
    }

    #[test]
    fn likely_bytes_are_read(bytes in likely()) {
        autonat::fuzzing::message(&bytes);
    }

    #[test]
    fn any_parts_of_addresses_are_read(bytes in parts()) {
        autonat::fuzzing::address(&bytes);
    }
}
