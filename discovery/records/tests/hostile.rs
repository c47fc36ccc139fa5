//! Records and node lists that were made to do harm: each costs bounded work and is refused for a reason with a
//! name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use alloy_eip2124::{ForkFilter, ForkFilterKey, Head};
use alloy_primitives::{B256, keccak256};
use alloy_rlp::{Encodable, Header};
use causeway_records::{
    AddressFault, Contents, Dropped, EntryError, MAX_MULTIADDRS, MAX_RECORD, Multiaddr, MultiaddrError,
    MultiaddrsError, Reach, Record, RecordError, Refusal, Rules, Way, choose, libp2p_peer_id, node_key,
};
use causeway_wire::{ForkId, Stack};
use data_encoding::BASE64URL_NOPAD;
use secp256k1::{Message, PublicKey, SecretKey, ecdsa};

fn secret() -> SecretKey {
    SecretKey::from_secret_bytes([7; 32]).expect("valid secret")
}

fn forks() -> ForkFilter {
    ForkFilter::new(
        Head { number: 100, ..Head::default() },
        B256::repeat_byte(1),
        0,
        [ForkFilterKey::Block(10)],
    )
}

fn eth() -> ForkId {
    let current = forks().current();
    ForkId { hash: current.hash.0, next: current.next }
}

fn ways(record: &Record, reach: Reach) -> Result<Vec<Way>, Refusal> {
    choose(record, Rules { reach, forks: &forks(), first: Stack::Libp2p })
}

fn addr(text: &str) -> Multiaddr {
    text.parse().expect("valid multiaddr")
}

fn string(bytes: &[u8]) -> Vec<u8> {
    alloy_rlp::encode(bytes)
}

fn list(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Header { list: true, payload_length: payload.len() }.encode(&mut out);
    out.extend_from_slice(payload);
    out
}

/// The record with just these pairs (values in RLP), properly signed, whatever they say: our own maker would not
/// write most of them.
fn forge(seq: u64, pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut content = Vec::new();
    seq.encode(&mut content);
    for (key, value) in pairs {
        content.extend(string(key.as_bytes()));
        content.extend(value);
    }
    let digest = Message::from_digest(keccak256(list(&content)).0);
    let signature = ecdsa::sign(digest, &secret()).serialize_compact();
    list(&[string(&signature), content].concat())
}

fn id() -> (&'static str, Vec<u8>) {
    ("id", string(b"v4"))
}

fn public_key() -> (&'static str, Vec<u8>) {
    ("secp256k1", string(&PublicKey::from_secret_key(&secret()).serialize()))
}

fn key(name: &'static str, value: &[u8]) -> (&'static str, Vec<u8>) {
    (name, string(value))
}

fn multiaddrs(items: &[&[u8]]) -> Vec<u8> {
    let mut value = Vec::new();
    for item in items {
        value.extend(u16::try_from(item.len()).expect("short").to_be_bytes());
        value.extend_from_slice(item);
    }
    value
}

/// A libp2p node's record with these multiaddrs, as it would carry them.
fn carrying(items: &[&[u8]]) -> Record {
    let bytes = forge(1, &[id(), key("multiaddrs", &multiaddrs(items)), public_key()]);
    Record::decode(&bytes).expect("a valid record")
}

#[test]
fn the_forger_makes_valid_records() {
    let record = Record::decode(&forge(9, &[id(), public_key()])).expect("valid");

    assert_eq!((record.seq(), record.key()), (9, node_key(&secret())));
}

#[test]
fn an_oversized_record_is_refused_before_it_is_read() {
    let filler = |length: usize| forge(1, &[id(), public_key(), key("x", &vec![1; length])]);
    let fits = (0..300).rev().map(filler).find(|bytes| bytes.len() == MAX_RECORD).expect("one of 300 bytes");
    let over = (0..300).map(filler).find(|bytes| bytes.len() == MAX_RECORD + 1).expect("one of 301 bytes");

    assert!(Record::decode(&fits).is_ok());
    assert_eq!(Record::decode(&over), Err(RecordError::TooLarge { length: 301 }));
    let text = format!("enr:{}", BASE64URL_NOPAD.encode(&over));
    assert_eq!(text.parse::<Record>(), Err(RecordError::TooLong { length: text.len() }));
    let huge = "enr:".to_owned() + &"A".repeat(1 << 20);
    assert_eq!(huge.parse::<Record>(), Err(RecordError::TooLong { length: huge.len() }));
    assert_eq!(Record::decode(&vec![0xf9; 1 << 20]), Err(RecordError::TooLarge { length: 1 << 20 }));
}

#[test]
fn keys_in_the_wrong_order_or_twice_are_refused_though_they_are_signed() {
    let swapped = forge(1, &[public_key(), id()]);
    let twice = forge(1, &[id(), public_key(), key("udp", &[1]), key("udp", &[2])]);
    let twice_the_same = forge(1, &[id(), id(), public_key()]);

    for bytes in [swapped, twice, twice_the_same] {
        assert_eq!(Record::decode(&bytes), Err(RecordError::KeyOrder), "{}", hex::encode(bytes));
    }
}

#[test]
fn a_record_that_somebody_else_signed_or_altered_is_refused() {
    let other = PublicKey::from_secret_key(&SecretKey::from_secret_bytes([8; 32]).expect("valid"));
    let stolen = forge(1, &[id(), key("secp256k1", &other.serialize())]);
    let good = forge(1, &[id(), key("ip", &[8, 8, 4, 4]), public_key()]);

    assert_eq!(Record::decode(&stolen), Err(RecordError::Signature));
    // Any byte of a good record altered: never the same node under other terms.
    for at in 0..good.len() {
        let mut altered = good.clone();
        altered[at] ^= 1;
        assert!(Record::decode(&altered).is_err(), "byte {at}");
    }
}

#[test]
fn records_without_a_key_a_scheme_or_an_end_are_refused() {
    let cases = [
        forge(1, &[public_key()]), // of no scheme, so that no signature is one
        forge(1, &[id()]),
        forge(1, &[id(), key("secp256k1", &[2; 33])]), // no point of the curve has this x
        forge(1, &[id(), ("secp256k1", Vec::new())]),  // a key without a value
        list(&string(&[1; 64])),
        list(&[]),
        vec![0xf8],
        Vec::new(),
    ];
    for bytes in cases {
        let error = Record::decode(&bytes).expect_err("refused");
        assert!(
            matches!(error, RecordError::Malformed(_) | RecordError::Signature | RecordError::Scheme),
            "{error:?}"
        );
    }
    let good = forge(1, &[id(), public_key()]);
    assert_eq!(Record::decode(&[&good[..], &[0x80]].concat()), Err(RecordError::Leftover));
}

#[test]
fn ten_thousand_multiaddrs_cost_what_a_few_do() {
    // In a text of any length: nothing of it is looked at.
    let item = multiaddrs(&[&addr("/ip4/8.8.4.4/tcp/5").encode()]);
    let long = forge(1, &[id(), key("multiaddrs", &item.repeat(10_000)), public_key()]);
    let text = format!("enr:{}", BASE64URL_NOPAD.encode(&long));
    assert_eq!(text.parse::<Record>(), Err(RecordError::TooLong { length: text.len() }));

    // As many as a record can hold, empty ones: the reading stops at the limit.
    let record = carrying(&vec![&b""[..]; 80]);
    assert_eq!(record.multiaddrs(), Err(EntryError::Multiaddrs(MultiaddrsError::TooMany)));
    let fault = AddressFault::Entry(EntryError::Multiaddrs(MultiaddrsError::TooMany));
    assert_eq!(record.libp2p().faults, std::slice::from_ref(&fault));
    assert_eq!(ways(&record, Reach::Local), Err(Refusal::Address(fault)));
}

#[test]
fn ten_thousand_addresses_of_our_own_do_not_cost_as_many_signatures() {
    let contents = Contents { multiaddrs: vec![addr("/ip4/8.8.4.4/tcp/5"); 10_000], ..Contents::default() };

    let signed = Record::sign(&secret(), 1, &contents).expect("fits");

    let kept = signed.record.multiaddrs().expect("well formed").addresses.len();
    assert!((1..=MAX_MULTIADDRS).contains(&kept) && signed.record.size() <= MAX_RECORD, "{kept}");
    assert_eq!(kept + signed.dropped.len(), 10_000);
    assert!(signed.dropped.iter().all(|dropped| matches!(dropped, Dropped::Multiaddr(_))));
}

#[test]
fn a_node_that_names_itself_as_its_relay_is_not_dialed_through_itself() {
    let own = bs58(&libp2p_peer_id(node_key(&secret())));
    let through_itself = addr(&format!("/ip4/8.8.4.4/tcp/5/p2p/{own}")); // as RFC 31 carries a relayed address
    let with_circuit = addr(&format!("/ip4/8.8.4.4/tcp/5/p2p/{own}/p2p-circuit/p2p/{own}"));
    let another = addr("/ip4/8.8.4.4/udp/6/quic-v1");

    for bytes in [through_itself.encode(), with_circuit.encode()] {
        let alone = carrying(&[&bytes]);
        let beside = carrying(&[&bytes, &another.encode()]);

        let fault = AddressFault::Multiaddr(MultiaddrError::RelaysItself);
        assert_eq!(alone.libp2p().faults, std::slice::from_ref(&fault));
        assert_eq!(ways(&alone, Reach::Local), Err(Refusal::Address(fault)));
        let dialed = ways(&beside, Reach::Local).expect("one is good");
        assert_eq!(dialed, [Way::Libp2p(vec![another.to_dial(node_key(&secret())).expect("not relayed")])]);
    }
}

#[test]
fn relays_behind_relays_and_unknown_transports_are_not_dialed() {
    let relay = bs58(&libp2p_peer_id(node_key(&SecretKey::from_secret_bytes([9; 32]).expect("valid"))));
    for text in [
        format!("/ip4/8.8.4.4/tcp/5/p2p/{relay}/tcp/6/p2p/{relay}"),
        "/ip4/8.8.4.4/udp/5/webrtc-direct".to_owned(),
        "/ip4/8.8.4.4/tcp/5/ip4/127.0.0.1/tcp/6".to_owned(),
        "/tcp/5".to_owned(),
        "/p2p-circuit".to_owned(),
    ] {
        let record = carrying(&[&addr(&text).encode()]);

        let refused = ways(&record, Reach::Local);

        assert!(
            matches!(refused, Err(Refusal::Address(AddressFault::Transport { .. }))),
            "{text}: {refused:?}"
        );
    }
}

/// Of nobody or of ourselves, v4 and v6, plain and in disguise.
const NOT_PUBLIC: [&str; 19] = [
    "0.0.0.0",
    "10.0.0.1",
    "127.0.0.1",
    "169.254.1.1",
    "172.16.0.1",
    "192.168.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:224.0.0.1",
    "fc00::1",
    "fe80::1",
    "ff02::1",
    "ff05::2",
    "2002:7f00:1::1",
    "64:ff9b::7f00:1",
];

/// Among those: addresses that no one node has, whatever network we are on.
fn is_nobodys(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    }
}

#[test]
fn records_that_point_into_our_own_network_are_not_dialed_on_either_stack() {
    for text in NOT_PUBLIC {
        let ip: IpAddr = text.parse().expect("an address");
        let (v4, v6): (Option<Ipv4Addr>, Option<Ipv6Addr>) = match ip {
            IpAddr::V4(ip) => (Some(ip), None),
            IpAddr::V6(ip) => (None, Some(ip)),
        };
        let (tcp, udp, quic) = (Some(30303), Some(30303), Some(30304));
        let plain = Contents { ip: v4, ip6: v6, tcp, udp, eth: Some(eth()), ..Contents::default() };
        let quic = Contents { quic, quic6: quic, tcp: None, eth: None, ..plain.clone() };
        let family = if v4.is_some() { "ip4" } else { "ip6" };
        let inside = |transport: &str| Contents {
            multiaddrs: vec![addr(&format!("/{family}/{ip}/{transport}"))],
            ..Contents::default()
        };
        for contents in [plain, quic, inside("tcp/5"), inside("tcp/5/ws"), inside("udp/5/quic-v1")] {
            let record = Record::sign(&secret(), 1, &contents).expect("fits").record;

            assert_eq!(ways(&record, Reach::Public), Err(Refusal::NotPublic { first: ip }), "{text}");
            assert_eq!(ways(&record, Reach::Local).is_err(), is_nobodys(ip), "{text}");
        }
    }
}

#[test]
fn a_public_address_beside_private_ones_is_the_only_one_dialed() {
    let contents = Contents {
        ip: Some(Ipv4Addr::LOCALHOST),
        quic: Some(1),
        multiaddrs: ["/ip4/10.0.0.1/tcp/5", "/ip4/8.8.4.4/tcp/5", "/ip6/::1/tcp/5"].map(addr).to_vec(),
        ..Contents::default()
    };
    let record = Record::sign(&secret(), 1, &contents).expect("fits").record;

    let dialed = ways(&record, Reach::Public).expect("one is good");

    let expected = addr("/ip4/8.8.4.4/tcp/5").to_dial(node_key(&secret())).expect("not relayed");
    assert_eq!(dialed, [Way::Libp2p(vec![expected])]);
}

#[test]
fn addresses_in_disguise_are_no_names() {
    // C libraries resolve these to 127.0.0.1 without asking anyone.
    for name in ["0x7f000001", "0x7f.0.0.0x1", "127.1", "2130706433", "0X7F.1"] {
        let text = format!("/dns4/{name}/tcp/5");
        assert!(matches!(text.parse::<Multiaddr>(), Err(MultiaddrError::Value { .. })), "{name}");
        let mut bytes = vec![0x36, u8::try_from(name.len()).expect("short")];
        bytes.extend(name.bytes());
        bytes.extend([6, 0, 5]);
        assert_eq!(carrying(&[&bytes]).libp2p().addresses, []);
    }
    assert!("/dns4/0xcafe.example/tcp/5".parse::<Multiaddr>().is_ok());
}

#[test]
fn ports_of_zero_are_not_dialed() {
    let ip = Some(Ipv4Addr::new(8, 8, 4, 4));
    let zero = Some(0);
    let keys = Contents { ip, tcp: zero, udp: zero, quic: zero, eth: Some(eth()), ..Contents::default() };
    let keys = Record::sign(&secret(), 1, &keys).expect("fits").record;
    assert_eq!(ways(&keys, Reach::Local), Err(Refusal::NoAddress));

    for text in
        ["/ip4/8.8.4.4/tcp/0", "/ip4/8.8.4.4/tcp/0/ws", "/ip4/8.8.4.4/udp/0/quic-v1", "/dns4/a.example/tcp/0"]
    {
        let record = carrying(&[&addr(text).encode()]);
        let refused = ways(&record, Reach::Local);
        assert!(
            matches!(refused, Err(Refusal::Address(AddressFault::PortZero { .. }))),
            "{text}: {refused:?}"
        );
    }

    // A port of discovery that is none does not keep from dialing.
    let no_udp = Contents { ip, tcp: Some(30303), udp: zero, eth: Some(eth()), ..Contents::default() };
    let no_udp = Record::sign(&secret(), 1, &no_udp).expect("fits").record;
    let dialed = ways(&no_udp, Reach::Public).expect("it listens");
    assert!(matches!(dialed.as_slice(), [Way::Devp2p(enodes)] if enodes[0].udp == 30303), "{dialed:?}");
}

#[test]
fn ports_over_16_bits_and_addresses_of_other_lengths_give_no_endpoint() {
    let ip = key("ip", &[8, 8, 4, 4]);
    let wide_port =
        forge(1, &[id(), ip.clone(), key("quic", &[1, 2, 3]), public_key(), key("tcp", &[1, 2, 3])]);
    let wide_ip = forge(1, &[id(), key("ip", &[8, 8, 4, 4, 4]), public_key(), key("tcp", &[1])]);
    let list_as_ip = forge(1, &[id(), ("ip", vec![0xc1, 8]), public_key(), key("tcp", &[1])]);

    for bytes in [wide_port, wide_ip, list_as_ip] {
        // Whether such a record is refused or read, nothing comes out of it that could be dialed.
        if let Ok(record) = Record::decode(&bytes) {
            assert_eq!((record.tcp_addrs(), record.libp2p_addrs()), (Vec::new(), Vec::new()));
            assert!(ways(&record, Reach::Local).is_err());
        }
    }
}

fn bs58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}
