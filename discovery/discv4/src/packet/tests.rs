//! Published packets, and what must hold of those we make.

use alloy_primitives::hex;
use causeway_records::node_key;
use proptest::prelude::*;

use super::*;

/// The key of EIP-8's discv4 packets.
const KEY: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";
/// When they expire.
const EXPIRATION: u64 = 1_136_239_445;

/// EIP-8, "discv4": a ping of version 4 with an enr-seq that may be one, and trailing data.
const PING: &str = "e9614ccfd9fc3e74360018522d30e1419a143407ffcce748de3e22116b7e8dc92ff74788c0b6663aaa3d67d641936511c8f8d6ad8698b820a7cf9e1be7155e9a241f556658c55428ec0563514365799a4be2be5a685a80971ddcfa80cb422cdd0101ec04cb847f000001820cfa8215a8d790000000000000000000000000000000018208ae820d058443b9a3550102";
/// EIP-8: a ping of version 555 with further items and random data behind the list.
const PING_555: &str = "577be4349c4dd26768081f58de4c6f375a7a22f3f7adda654d1428637412c3d7fe917cadc56d4e5e7ffae1dbe3efffb9849feb71b262de37977e7c7a44e677295680e9e38ab26bee2fcbae207fba3ff3d74069a50b902a82c9903ed37cc993c50001f83e82022bd79020010db83c4d001500000000abcdef12820cfa8215a8d79020010db885a308d313198a2e037073488208ae82823a8443b9a355c5010203040531b9019afde696e582a78fa8d95ea13ce3297d4afb8ba6433e4154caa5ac6431af1b80ba76023fa4090c408f6b4bc3701562c031041d4702971d102c9ab7fa5eed4cd6bab8f7af956f7d565ee1917084a95398b6a21eac920fe3dd1345ec0a7ef39367ee69ddf092cbfe5b93e5e568ebc491983c09c76d922dc3";
/// EIP-8: a pong with further items and random data behind the list.
const PONG: &str = "09b2428d83348d27cdf7064ad9024f526cebc19e4958f0fdad87c15eb598dd61d08423e0bf66b2069869e1724125f820d851c136684082774f870e614d95a2855d000f05d1648b2d5945470bc187c2d2216fbe870f43ed0909009882e176a46b0102f846d79020010db885a308d313198a2e037073488208ae82823aa0fbc914b16819237dcd8801d7e53f69e9719adecb3cc0e790c57e91ca4461c9548443b9a355c6010203c2040506a0c969a58f6f9095004c0177a6b47f451530cab38966a25cca5cb58f055542124e";
/// EIP-8: a find-node with further items and random data behind the list.
const FIND_NODE: &str = "c7c44041b9f7c7e41934417ebac9a8e1a4c6298f74553f2fcfdcae6ed6fe53163eb3d2b52e39fe91831b8a927bf4fc222c3902202027e5e9eb812195f95d20061ef5cd31d502e47ecb61183f74a504fe04c51e73df81f25c4d506b26db4517490103f84eb840ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f8443b9a35582999983999999280dc62cc8255c73471e0a61da0c89acdc0e035e260add7fc0c04ad9ebf3919644c91cb247affc82b69bd2ca235c71eab8e49737c937a2c396";
/// EIP-8: neighbors with further items and random data behind the list.
const NEIGHBORS: &str = "c679fc8fe0b8b12f06577f2e802d34f6fa257e6137a995f6f4cbfc9ee50ed3710faf6e66f932c4c8d81d64343f429651328758b47d3dbc02c4042f0fff6946a50f4a49037a72bb550f3a7872363a83e1b9ee6469856c24eb4ef80b7535bcf99c0004f9015bf90150f84d846321163782115c82115db8403155e1427f85f10a5c9a7755877748041af1bcd8d474ec065eb33df57a97babf54bfd2103575fa829115d224c523596b401065a97f74010610fce76382c0bf32f84984010203040101b840312c55512422cf9b8a4097e9a6ad79402e87a15ae909a4bfefa22398f03d20951933beea1e4dfa6f968212385e829f04c2d314fc2d4e255e0d3bc08792b069dbf8599020010db83c4d001500000000abcdef12820d05820d05b84038643200b172dcfef857492156971f0e6aa2c538d8b74010f8e140811d53b98c765dd2d96126051913f44582e8c199ad7c6d6819e9a56483f637feaac9448aacf8599020010db885a308d313198a2e037073488203e78203e8b8408dcab8618c3253b558d459da53bd8fa68935a719aff8b811197101a4b2b47dd2d47295286fc00cc081bb542d760717d1bdd6bec2c37cd72eca367d6dd3b9df738443b9a355010203b525a138aa34383fec3d2719a0";

fn secret() -> SecretKey {
    KEY.parse().expect("a key")
}

fn open(text: &str) -> Packet {
    let opened = Packet::decode(&hex::decode(text).expect("hex")).expect("a packet");
    assert_eq!(opened.from, node_key(&secret()));
    opened.packet
}

fn endpoint(ip: &str, udp: u16, tcp: u16) -> Endpoint {
    Endpoint { ip: Some(ip.parse().expect("an address")), udp, tcp }
}

#[test]
fn pings_of_eip8() {
    let ping = Ping {
        from: endpoint("127.0.0.1", 3322, 5544),
        to: endpoint("::1", 2222, 3333),
        expiration: EXPIRATION,
        enr_seq: Some(1),
    };
    let future = Ping {
        from: endpoint("2001:db8:3c4d:15::abcd:ef12", 3322, 5544),
        to: endpoint("2001:db8:85a3:8d3:1319:8a2e:370:7348", 2222, 33338),
        expiration: EXPIRATION,
        enr_seq: None, // a list stands there
    };

    assert_eq!(open(PING), Packet::Ping(ping));
    assert_eq!(open(PING_555), Packet::Ping(future));
}

#[test]
fn pong_of_eip8() {
    let pong = Pong {
        to: endpoint("2001:db8:85a3:8d3:1319:8a2e:370:7348", 2222, 33338),
        ping_hash: "0xfbc914b16819237dcd8801d7e53f69e9719adecb3cc0e790c57e91ca4461c954"
            .parse()
            .expect("a hash"),
        expiration: EXPIRATION,
        enr_seq: None,
    };

    assert_eq!(open(PONG), Packet::Pong(pong));
}

#[test]
fn find_node_of_eip8() {
    let find = FindNode { target: node_key(&secret()), expiration: EXPIRATION };

    assert_eq!(open(FIND_NODE), Packet::FindNode(find));
}

#[test]
fn neighbors_of_eip8() {
    let Packet::Neighbors(neighbors) = open(NEIGHBORS) else { panic!("other packet") };

    let endpoints: Vec<Endpoint> = neighbors.nodes.iter().map(|node| node.endpoint).collect();
    assert_eq!(
        endpoints,
        [
            endpoint("99.33.22.55", 4444, 4445),
            endpoint("1.2.3.4", 1, 1),
            endpoint("2001:db8:3c4d:15::abcd:ef12", 3333, 3333),
            endpoint("2001:db8:85a3:8d3:1319:8a2e:370:7348", 999, 1000),
        ]
    );
    assert!(neighbors.nodes[0].key.to_string().starts_with("3155e1427f85f10a5c9a7755877748041af1bcd8d474ec"));
    assert_eq!(neighbors.expiration, EXPIRATION);
}

/// geth, `p2p/discover/v4wire/v4wire_test.go`, the first packet: neither enr-seq nor anything further.
#[test]
fn ping_without_a_sequence_number_is_written_as_geth_does() {
    let geth = hex::decode("71dbda3a79554728d4f94411e42ee1f8b0d561c10e1e5f5893367948c6a7d70bb87b235fa28a77070271b6c164a2dce8c7e13a5739b53b5e96f2e5acb0e458a02902f5965d55ecbeb2ebb6cabb8b2b232896a36b737666c55265ad0a68412f250001ea04cb847f000001820cfa8215a8d790000000000000000000000000000000018208ae820d058443b9a355").expect("hex");

    let opened = Packet::decode(&geth).expect("a packet");
    let (ours, hash) = opened.packet.encode(&secret());

    assert_eq!(ours[HEAD..], geth[HEAD..]); // the nonce of geth's signature is another
    assert_eq!(Packet::decode(&ours), Ok(Opened { hash, ..opened }));
}

#[test]
fn each_fault_has_its_name() {
    let good = hex::decode(PING).expect("hex");
    let altered = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        Packet::decode(&bytes)
    };
    let sealed = |signed: &[u8]| Packet::decode(&seal(signed, &secret()).0).map(|opened| opened.packet);
    let mut bad_signature = good.clone();
    bad_signature[HEAD - 1] = 9;
    let hash = keccak256(&bad_signature[HASH..]);
    bad_signature.splice(..HASH, hash.0);

    assert_eq!(Packet::decode(&good[..HEAD]), Err(DecodeError::TooShort { length: HEAD }));
    assert_eq!(Packet::decode(&[0; MAX_PACKET + 1]), Err(DecodeError::TooLong { length: MAX_PACKET + 1 }));
    assert_eq!(altered(0), Err(DecodeError::Hash));
    assert_eq!(altered(40), Err(DecodeError::Hash));
    assert_eq!(Packet::decode(&bad_signature), Err(DecodeError::Signature));
    assert_eq!(sealed(&[0, 0xc0]), Err(DecodeError::Type(0)));
    assert_eq!(sealed(&[66, 0xc0]), Err(DecodeError::Type(66)));
    for kind in 1..=6 {
        assert!(matches!(sealed(&[kind, 0xc0]), Err(DecodeError::Malformed { .. })), "type {kind}");
        assert!(matches!(sealed(&[kind]), Err(DecodeError::Malformed { .. })), "type {kind}");
        assert!(matches!(sealed(&[kind, 0x80]), Err(DecodeError::Malformed { .. })), "type {kind}");
    }
}

#[test]
fn a_v4_address_in_sixteen_bytes_is_one() {
    let ping = Ping {
        from: Endpoint { ip: None, udp: 0, tcp: 1 },
        to: endpoint("192.0.2.1", 1, 0),
        expiration: 1,
        enr_seq: None,
    };
    let mapped = "::ffff:192.0.2.1".parse().expect("an address");
    let written = Ping { to: Endpoint { ip: Some(mapped), ..ping.to }, ..ping };

    let opened = Packet::decode(&Packet::Ping(written).encode(&secret()).0).expect("a packet");

    assert_eq!(opened.packet, Packet::Ping(ping));
    assert_eq!(Endpoint::new("[::ffff:192.0.2.1]:1".parse().expect("an address"), 0), ping.to);
}

#[test]
fn a_full_answer_of_the_largest_nodes_fits_two_packets() {
    let largest =
        Neighbor { endpoint: endpoint("2001:db8::ffff", u16::MAX, u16::MAX), key: node_key(&secret()) };

    let packets = Neighbors::split(&[largest; 16], u64::MAX);

    let counts: Vec<usize> = packets.iter().map(|packet| packet.nodes.len()).collect();
    assert_eq!(counts, [12, 4]); // geth's MaxNeighbors is 12, too
    for packet in packets {
        assert!(Packet::Neighbors(packet).encode(&secret()).0.len() <= MAX_PACKET);
    }
    assert_eq!(Neighbors::split(&[], 7), [Neighbors { nodes: Vec::new(), expiration: 7 }]);
}

prop_compose! {
    fn any_endpoint()(bytes: [u8; 16], v4: bool, none: bool, udp: u16, tcp: u16) -> Endpoint {
        let [a, b, c, d, ..] = bytes;
        let ip = if v4 { [a, b, c, d].into() } else { std::net::IpAddr::from(bytes) };
        Endpoint { ip: (!none).then(|| ip.to_canonical()), udp, tcp }
    }
}

fn any_key() -> impl Strategy<Value = NodeKey> {
    any::<[u8; 32]>().prop_map(|half| NodeKey(B512::from_slice(&[half, half].concat())))
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let hash = || any::<[u8; 32]>().prop_map(B256::from);
    let neighbor = (any_endpoint(), any_key()).prop_map(|(endpoint, key)| Neighbor { endpoint, key });
    prop_oneof![
        (any_endpoint(), any_endpoint(), any::<u64>(), any::<Option<u64>>())
            .prop_map(|(from, to, expiration, enr_seq)| Packet::Ping(Ping { from, to, expiration, enr_seq })),
        (any_endpoint(), hash(), any::<u64>(), any::<Option<u64>>()).prop_map(
            |(to, ping_hash, expiration, enr_seq)| {
                Packet::Pong(Pong { to, ping_hash, expiration, enr_seq })
            }
        ),
        (any_key(), any::<u64>())
            .prop_map(|(target, expiration)| Packet::FindNode(FindNode { target, expiration })),
        (prop::collection::vec(neighbor, 0..12), any::<u64>())
            .prop_map(|(nodes, expiration)| Packet::Neighbors(Neighbors { nodes, expiration })),
        any::<u64>().prop_map(|expiration| Packet::EnrRequest(EnrRequest { expiration })),
        (hash(), prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(request_hash, content)| {
            let mut record = Vec::new();
            rlp::put_list(&mut record, |out| rlp::put_string(out, &content));
            Packet::EnrResponse(EnrResponse { request_hash, record: record.into() })
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(packet in any_packet()) {
        let (bytes, hash) = packet.encode(&secret());

        prop_assert!(bytes.len() <= MAX_PACKET);
        let expected = Opened { packet, from: node_key(&secret()), hash };
        prop_assert_eq!(Packet::decode(&bytes), Ok(expected));
    }

    #[test]
    fn any_signed_data_is_read_or_refused(kind in 0..8_u8, data: Vec<u8>) {
        let signed = [&[kind][..], &data].concat();

        let _ = Packet::decode(&seal(&signed, &secret()).0);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        prop_assert!(Packet::decode(&bytes).is_err());
    }

    #[test]
    fn what_follows_is_ignored(packet in any_packet(), behind in prop::collection::vec(any::<u8>(), 0..40)) {
        let (bytes, _) = packet.encode(&secret());
        let signed = [&bytes[HEAD..], &behind].concat();

        let opened = Packet::decode(&seal(&signed, &secret()).0);

        prop_assert_eq!(opened.map(|opened| opened.packet), Ok(packet));
    }
}
