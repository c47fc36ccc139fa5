//! The inputs that the corpus of `discv4_packet` begins with.

use causeway_discv4::packet::{
    Endpoint, EnrRequest, EnrResponse, FindNode, Neighbor, Neighbors, Packet, Ping, Pong,
};
use causeway_records::node_key;

use crate::discv4_packet::{stranger, unsigned};

const EXPIRATION: u64 = 1_700_000_060;

/// A ping of EIP-8, and one that geth's tests have (`v4wire_test.go`).
const PUBLISHED: [(&str, &str); 2] = [
    (
        "eip8-ping",
        "e9614ccfd9fc3e74360018522d30e1419a143407ffcce748de3e22116b7e8dc92ff74788c0b6663aaa3d67d641936511c8f8d6ad8698b820a7cf9e1be7155e9a241f556658c55428ec0563514365799a4be2be5a685a80971ddcfa80cb422cdd0101ec04cb847f000001820cfa8215a8d790000000000000000000000000000000018208ae820d058443b9a3550102",
    ),
    (
        "geth-ping",
        "71dbda3a79554728d4f94411e42ee1f8b0d561c10e1e5f5893367948c6a7d70bb87b235fa28a77070271b6c164a2dce8c7e13a5739b53b5e96f2e5acb0e458a02902f5965d55ecbeb2ebb6cabb8b2b232896a36b737666c55265ad0a68412f250001ea04cb847f000001820cfa8215a8d790000000000000000000000000000000018208ae820d058443b9a355",
    ),
];

pub(crate) fn discv4_packet() -> Vec<(String, Vec<u8>)> {
    let published = PUBLISHED.iter().map(|(name, text)| {
        let packet = hex::decode(text).expect("hex");
        ((*name).to_owned(), [&[0], &packet[..]].concat())
    });
    let single = packets()
        .into_iter()
        .map(|(name, packet)| (format!("signed-{name}"), [&[1], &unsigned(&packet)[..]].concat()));
    published
        .chain(single)
        .chain([("bond".to_owned(), bond()), ("strangers".to_owned(), strangers())])
        .collect()
}

fn packets() -> Vec<(&'static str, Packet)> {
    let (addr, _) = stranger(1);
    let here = Endpoint::new(addr, 30303);
    vec![
        ("ping", Packet::Ping(Ping { from: here, to: here, expiration: EXPIRATION, enr_seq: Some(1) })),
        (
            "pong",
            Packet::Pong(Pong {
                to: here,
                ping_hash: [9; 32].into(),
                expiration: EXPIRATION,
                enr_seq: Some(1),
            }),
        ),
        (
            "find-node",
            Packet::FindNode(FindNode { target: node_key(&stranger(3).1), expiration: EXPIRATION }),
        ),
        ("neighbors", Packet::Neighbors(Neighbors { nodes: named(), expiration: EXPIRATION })),
        ("record-request", Packet::EnrRequest(EnrRequest { expiration: EXPIRATION })),
        (
            "record-response",
            Packet::EnrResponse(EnrResponse { request_hash: [9; 32].into(), record: vec![0xc0].into() }),
        ),
    ]
}

fn named() -> Vec<Neighbor> {
    let node = |n| {
        let (addr, secret) = stranger(n);
        Neighbor { endpoint: Endpoint::new(addr, 30303), key: node_key(&secret) }
    };
    vec![node(2), node(3), node(4)]
}

/// What the record of stranger 1 signs: its number, keys and values.
fn record() -> Vec<u8> {
    let key = stranger(1).1.public_key().serialize();
    let ports = b"\x83tcp\x82\x76\x5f\x83udp\x82\x76\x5f";
    [&b"\x01\x82id\x82v4\x82ip\x84\x0c\x00\x07\x07\x89secp256k1\xa1"[..], &key, ports].concat()
}

/// Stranger 1 proves its endpoint, gives its record, is asked for others, names some, and asks itself.
fn bond() -> Vec<u8> {
    let packets = packets();
    let said = |name: &str| {
        let (_, packet) = packets.iter().find(|(of, _)| *of == name).expect("a packet of that name");
        step(1, 0, &unsigned(packet))
    };
    [
        &[2][..],
        &said("ping"),
        &[2, 0, 1],
        &step(3, 0, &record()),
        &[4, 3, 1],
        &said("neighbors"),
        &said("find-node"),
        &said("record-request"),
        &[5, 0, 80],
        &[5, 0, 255],
        &[5, 0, 255],
    ]
    .concat()
}

/// All strangers ping, and answer each other's pings.
fn strangers() -> Vec<u8> {
    let ping = unsigned(&packets()[0].1);
    let mut steps = vec![2];
    for who in [0x00, 0x11, 0x22, 0x33, 0x10, 0x01] {
        steps.extend(step(1, who, &ping));
        steps.extend([2, who, 3]);
        steps.extend([2, who ^ 0x01, 3]);
        steps.extend(step(0, who, b"no packet at all"));
    }
    steps.extend([4, 0, 1, 5, 0, 90, 4, 1, 1, 5, 0, 200]);
    steps
}

fn step(kind: u8, who: u8, part: &[u8]) -> Vec<u8> {
    let length = u16::try_from(part.len()).expect("a short part");
    [&[kind, who, 2][..], &length.to_be_bytes(), part].concat()
}
