//! The inputs that every corpus begins with: published vectors, and what geth and our own nodes say.

use std::{fs, io, path::Path};

use serde_json::Value;

use crate::{
    discv4_seeds::discv4_packet,
    libp2p_seeds::libp2p_message,
    rlpx_frame::hello,
    rlpx_nodes::script,
    signed::list,
    topic_seeds::topic_message,
    verify_answer::chain,
    websocket_seeds::websocket_frames,
    webtransport_seeds::{quic_packet, webtransport_capsules, webtransport_headers},
};

macro_rules! packet {
    ($name:literal) => {
        unhex(include_str!(concat!("../../../transports/rlpx/tests/vectors/", $name, ".hex")))
    };
}

/// Writes `corpus/<target>/seed-<name>` below `corpus`.
///
/// # Errors
/// If a file cannot be written.
pub fn write(corpus: &Path) -> io::Result<()> {
    for (target, seeds) in all() {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds {
            fs::write(folder.join(format!("seed-{}", name.replace(' ', "-"))), bytes)?;
        }
    }
    Ok(())
}

pub(crate) type Seeds = Vec<(String, Vec<u8>)>;

fn all() -> Vec<(&'static str, Seeds)> {
    vec![
        ("rlpx_auth", rlpx_auth()),
        ("rlpx_frame", rlpx_frame()),
        ("les_message", les_message()),
        ("framing", framing()),
        ("verify_answer", verify_answer()),
        ("enr", enr()),
        ("dns_entry", dns_entry()),
        ("discv4_packet", discv4_packet()),
        ("topic_message", topic_message()),
        ("webtransport_headers", webtransport_headers()),
        ("webtransport_capsules", webtransport_capsules()),
        ("quic_packet", quic_packet()),
        ("websocket_frames", websocket_frames()),
        ("libp2p_message", libp2p_message()),
        ("circuit_messages", crate::circuit_messages::seeds()),
    ]
}

pub(crate) fn seed(name: impl Into<String>, parts: &[&[u8]]) -> (String, Vec<u8>) {
    (name.into(), parts.concat())
}

/// `bytes` behind their length.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short part");
    [&length.to_be_bytes()[..], bytes].concat()
}

fn rlpx_auth() -> Seeds {
    let packets = [
        ("auth-1", packet!("auth-1")),
        ("auth-2", packet!("auth-2")),
        ("auth-3", packet!("auth-3")),
        ("ack-1", packet!("ack-1")),
        ("ack-2", packet!("ack-2")),
        ("ack-3", packet!("ack-3")),
    ];
    let form = |name: &str| u8::from(name.starts_with("ack"));
    let mut seeds: Seeds =
        packets.iter().map(|(name, packet)| seed(*name, &[&[form(name), 30, 7], packet])).collect();
    seeds.push(seed("ack-for-us", &[&[1, 100, 3], &script().ack]));
    seeds.push(seed("ack-and-hello", &[&[1, 255, 31], &script().ack, &script().hello]));
    seeds.push(seed("auth-empty", &[&[2, 0, 0]]));
    let key = causeway_key();
    let signature = [&[0x11; 64][..], &[1]].concat();
    let nonce = [0x33; 32];
    let auth = [&[0xb8, 65][..], &signature, &[0xb8, 64], &key, &[0xa0], &nonce, &[4]].concat();
    let auth_list = [&[0xf8, u8::try_from(auth.len()).expect("short")][..], &auth, &[0; 100]].concat();
    seeds.push(seed("auth-body", &[&[2, 200, 50], &auth_list]));
    seeds.push(seed("auth-plain-body", &[&[3, 200, 50], &signature, &[0x44; 32], &key, &nonce, &[0]]));
    let ack = [&[0xb8, 64][..], &key, &[0xa0], &nonce, &[4]].concat();
    let ack_list = [&[0xf8, u8::try_from(ack.len()).expect("short")][..], &ack, &[0; 100]].concat();
    seeds.push(seed("ack-body", &[&[4, 200, 50], &ack_list]));
    seeds
}

/// A point of the curve: the partner's key.
fn causeway_key() -> Vec<u8> {
    use crate::rlpx_nodes::{PARTNER, config};
    config(PARTNER).node_key().0.to_vec()
}

fn rlpx_frame() -> Seeds {
    let cuts = [15, 40];
    let message = |code: u8, packed: &[u8]| sized(&[&[code], packed].concat());
    let empty_list = [1, 0, 0xc0];
    let ping = message(2, &empty_list);
    let pong = message(3, &empty_list);
    let goodbye = [message(1, &[2, 4, 0xc1, 0x08]), message(1, &[1, 0, 8])].concat();
    // 100 zeroes in snappy's format: a literal of one, then a copy of 64 and one of 35 from one byte back.
    let zeroes = [100, 0, 0, 0xfe, 1, 0, 0x8a, 1, 0];
    vec![
        seed("hello-v5", &[&[0], &cuts, &sized(&hello(5)), &ping, &message(0x30, &zeroes)]),
        seed("hello-v4", &[&[0], &cuts, &sized(&hello(4)), &message(2, &[0xc0]), &message(0x30, b"data")]),
        seed("hello-future", &[&[0], &cuts, &sized(&packet!("hello-55"))]),
        seed("before-hello", &[&[0], &cuts, &message(1, &[0xc1, 4])]),
        seed("base-protocol", &[&[1], &cuts, &ping, &pong, &message(5, &empty_list), &goodbye]),
        seed(
            "messages",
            &[&[1], &cuts, &message(0x12, &zeroes), &message(0x23, &zeroes), &message(0x7f, &zeroes)],
        ),
        seed("too-large", &[&[1], &cuts, &message(0x23, &[0xff, 0xff, 0xff, 0x07, 0])]),
        seed(
            "plain-messages",
            &[&[2], &cuts, &message(2, &[0xc0]), &message(0x12, b"as it is"), &message(1, &[8])],
        ),
        seed("raw-hello", &[&[3], &cuts, &script().hello[..60]]),
        seed("raw-header", &[&[4], &cuts, &[0x55; 64]]),
        seed(
            "altered",
            &[&[5], &cuts, &[2, 1], &sized(b"one message"), &[9], &sized(&[7; 300]), &[0, 90, 1]],
        ),
        seed(
            "unaltered",
            &[&[5], &cuts, &[3, 0], &sized(b""), &[1], &sized(&[0; 1000]), &[10], &sized(b"end")],
        ),
    ]
}

fn les_message() -> Seeds {
    let json: Value =
        serde_json::from_str(include_str!("../../vectors/les.json")).expect("the vectors are JSON");
    let vectors = json["vectors"].as_array().expect("a list of vectors");
    vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let code = u8::try_from(vector["code"].as_u64().expect("a code")).expect("a small code");
            let name = format!("{index:02}-{}", vector["name"].as_str().expect("a name"));
            // Version::ALL begins with les/4.
            seed(name, &[&[0, code], &unhex(vector["payload"].as_str().expect("hex"))])
        })
        .chain(answers())
        .collect()
}

fn framing() -> Seeds {
    let item = causeway_host::encode_item;
    let status = unhex("c7c6c0c0c0c0c0c0");
    let long = list(&[&[0xb9, 0x13, 0x88][..], &[7; 5000]].concat());
    let limits = [0x20, 0, 19, 0x40, 0];
    let stream = [&item(0, &status)[..], &item(2, &[0xc0]), &item(0x80, &[5]), &item(19, &long)].concat();
    vec![
        seed("items", &[&limits, &[0, 16, 255], &stream]),
        seed("code-as-zero-byte", &[&limits, &[1, 2, 0], &[0xc2, 0x00, 0xc0, 0xc2, 0x80, 0xc0]]),
        seed("too-large", &[&[0, 100], &limits[2..], &[9, 9, 9], &item(3, &long)]),
        seed("too-large-for-its-code", &[&[0x20, 0, 19, 0, 9], &[9, 9, 9], &item(19, &long)]),
        seed("leftover", &[&limits, &[0, 0, 0], &[0xc4, 2, 0xc0, 1, 1]]),
        seed("no-payload", &[&limits, &[0, 0, 0], &[0xc1, 2]]),
        seed("huge", &[&limits, &[0, 0, 0], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]),
    ]
}

/// Answers of geth's chain, as les/3 carries them.
fn answers() -> Seeds {
    let block = &chain().blocks[1];
    let answer = |items: &[u8]| {
        let fields = [&[7, 0x82, 0x40, 0x00][..], &list(items)].concat();
        list(&fields)
    };
    let nodes = chain().proofs[0].nodes.iter().map(|node| node.to_vec()).collect::<Vec<_>>().concat();
    vec![
        seed("answer-header", &[&[1, 3], &answer(&block.header)]),
        seed("answer-body", &[&[1, 5], &answer(&block.body)]),
        seed("answer-receipts", &[&[1, 7], &answer(&block.receipts)]),
        seed("answer-code", &[&[1, 11], &answer(&[0x83, 0x60, 0x01, 0x00])]),
        seed("answer-proof", &[&[1, 16], &answer(&nodes)]),
        seed("request-transactions", &[&[1, 19], &list(&[&[5][..], &list(&first_transaction())].concat())]),
        seed(
            "request-hashes",
            &[&[2, 4], &list(&[&[5][..], &list(&[&[0xa0][..], &[6; 32]].concat())].concat())],
        ),
    ]
}

/// The first transaction of a block that has some, as a list of transactions holds it.
fn first_transaction() -> Vec<u8> {
    let transactions = causeway_verify::check::transactions(&chain().blocks[1].body).expect("geth's body");
    let first = transactions.first().expect("a block with transactions");
    alloy_rlp::encode(first)
}

fn verify_answer() -> Seeds {
    let blocks = &chain().blocks;
    let proof = &chain().proofs[0];
    let mut seeds = vec![
        seed("body", &[&[0, 1], &blocks[1].body]),
        seed("receipts", &[&[1, 1], &blocks[1].receipts]),
        seed("code", &[&[4, 1], &sized(b"code"), &sized(b"code")]),
        seed("clique-1", &[&[6, 0], &sized(&blocks[0].header), &sized(&blocks[1].header)]),
        seed("clique-9", &[&[6, 3], &sized(&blocks[3].header)]),
        seed("checkpoint", &[&[7], &sized(&blocks[4].header), &blocks[5].header]),
        seed("real-proof", &[&[3, 0, 1, 0, 3, 1]]),
        seed("cht", &[&[5, 17, 0], &sized(&blocks[16].header), &[0], &sized(b"")]),
    ];
    // A trie of one leaf, and one of a branch with a leaf at 0 and an extension with a leaf below at 1.
    let key = |first: u8| [&[first][..], &[0; 31]].concat();
    let leaf = |path: &[u8]| list(&[alloy_rlp::encode(path), alloy_rlp::encode(&[5_u8][..])].concat());
    let whole = leaf(&[&[0x20][..], &key(0x10)].concat());
    seeds.push(seed("leaf", &[&[2], &key(0x10), &key(0x20), &[0], &sized(&whole)]));
    let empty = [0x80; 14];
    let branch = |first: &[u8], second: &[u8]| list(&[first, second, &empty, &[0x80]].concat());
    let root = branch(&[0xa0, b'h', b'a', 1], &[0xa0, b'h', b'a', 2]);
    let mut root = root;
    // The list's header counts each mark as the hash that replaces it.
    let content = root.len() - 1 + 2 * 29;
    root.splice(0..1, [0xf8, u8::try_from(content).expect("a short branch")]);
    let odd = leaf(&[&[0x30][..], &[0; 31]].concat());
    let nodes = [sized(&root), sized(&odd), sized(&odd[..20])].concat();
    seeds.push(seed("branch", &[&[2], &key(0x00), &key(0x10), &[1], &nodes]));
    let real: Vec<u8> = proof.nodes.iter().flat_map(|node| sized(node)).collect();
    seeds.push(seed("account", &[&[2], proof.key.as_slice(), &key(0), &[0], &real]));
    seeds
}

/// discovery.md 1.1 and 4: records of EIP-778, of geth as a LES server, of a Waku node.
const RECORDS: [(&str, &str); 3] = [
    (
        "eip-778",
        "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R33Ls8RRcy5wBgmlkgnY0\
         gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8yWM0xOIN1ZHCCdl8",
    ),
    (
        "les",
        "enr:-KO4QHQD4TMCuson0tvgBaIbWLORzeS58c5BUM2Ld3buB01NLKbE6eKF6R19JtmUDD8EyMmIzjQoARjnQdrCpnqff1ABg2V0aMfG\
         hAfJRi6AgmlkgnY0gmlwhH8AAAGDbGVzwQGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8yWM0xOIRzbmFwwIN0\
         Y3CCdl-DdWRwgnZf",
    ),
    (
        "waku",
        "enr:-Me4QE-LJkZ1FIlC1ag9htp-T-XU0BRHLW99Mgk7dW5z4xUxZ31zONDLfmRJBRlms7gDex9EWd03aZiFdqyg9-ngXq8BgmlkgnY0\
         gmlwhH8AAAGKbXVsdGlhZGRyc54AEjYLZXhhbXBsZS5jb20GAbveAwAIBH8AAAEGIyiCcnOHAAECAAAABYlzZWNwMjU2azGhA8pjTK4N\
         Say0Adikxrb-jFW3DRFb9AB2nMFADzJYzTE4g3RjcIIjKIN1ZHCCIyiFd2FrdTIN",
    ),
];

fn enr() -> Seeds {
    let mut seeds = Seeds::new();
    for (name, text) in RECORDS {
        let record: causeway_records::Record = text.parse().expect("a record");
        seeds.push(seed(name, &[&[0], &record.encode()]));
        seeds.push(seed(format!("{name}-text"), &[&[1], text.as_bytes()]));
    }
    // Keys by their number in the table of the target: ip, tcp, udp, eth, quic, les.
    let pair = |key: u8, list: u8, value: &[u8]| [&[key, list][..], &sized(value)].concat();
    let pairs = [
        pair(3, 0, &[8, 8, 4, 4]),
        pair(11, 0, &[0x76, 0x5f]),
        pair(13, 0, &[0x76, 0x5f]),
        pair(0, 1, &[0xc6, 0x84, 1, 2, 3, 4, 0x80]),
        pair(7, 0, &[0x23, 0x28]),
        pair(5, 1, &[1]),
    ]
    .concat();
    seeds.push(seed("pairs", &[&[2, 0, 2], &pairs]));
    let v6 = [&pair(4, 0, &[0xff; 16])[..], &pair(8, 0, &[1]), &pair(12, 0, &[1])].concat();
    seeds.push(seed("pairs-of-v6", &[&[2, 0, 4], &v6]));
    let ours = [pair(3, 0, &[8, 8, 4, 4]), pair(11, 0, &[0x76, 0x5f]), pair(0, 1, &[])].concat();
    seeds.push(seed("on-our-chain", &[&[2, 0, 2], &ours]));
    seeds.push(seed("pairs-out-of-order", &[&[2, 0, 1], &pairs]));
    seeds.push(seed("key-of-its-own", &[&[2, 0, 2, 200], &sized(b"x"), &[0], &sized(b"y")]));
    for (name, text) in [
        ("wss", "/dns4/example.com/tcp/443/wss"),
        ("quic", "/ip4/8.8.4.4/udp/4001/quic-v1"),
        ("loopback", "/ip6/::1/tcp/9000/ws"),
        ("port-zero", "/ip4/8.8.4.4/tcp/0"),
        (
            "relayed",
            "/ip4/8.8.4.4/tcp/5/p2p/16Uiu2HAm3HsU9cVWPGgRf4zt39aKX7VQGPAKDqwwCxDTTG8jk2SC/p2p-circuit",
        ),
        ("webrtc", "/ip4/8.8.4.4/udp/5/webrtc-direct"),
        ("sni", "/dns/a.example/tcp/443/tls/sni/b.example/ws"),
    ] {
        let addr: causeway_records::Multiaddr = text.parse().expect("a multiaddr");
        seeds.push(seed(format!("multiaddr-{name}"), &[&[3], &sized(&addr.encode())]));
    }
    seeds
}

/// EIP-1459's example.
const ENTRIES: [(&str, &str); 4] = [
    (
        "root",
        "enrtree-root:v1 e=JWXYDBPXYWG6FX3GMDIBFA6CJ4 l=C7HRFPF3BLGF3YR4DY5KX3SMBE seq=1 \
         sig=o908WmNp7LibOfPsr4btQwatZJ5URBr2ZAuxvK4UWHlsB9sUOTJQaGAlLPVAhM__XJesCHxLISo94z5Z2a463gA",
    ),
    (
        "branch",
        "enrtree-branch:2XS2367YHAXJFGLZHVAWLQD4ZY,H4FHT4B454P6UXFD7JCYQ5PWDY,MHTDO6TMUBRIA2XWG5LUDACK24",
    ),
    ("link", "enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@morenodes.example.org"),
    (
        "record",
        "enr:-HW4QOFzoVLaFJnNhbgMoDXPnOvcdVuj7pDpqRvh6BRDO68aVi5ZcjB3vzQRZH2IcLBGHzo8uUN3snqmgTiE56CH3AMBgmlkgnY0\
         iXNlY3AyNTZrMaECC2_24YYkYHEgdzxlSNKQEnHhuNAbNlMlWJxrJxbAFvA",
    ),
];

fn dns_entry() -> Seeds {
    let mut seeds: Seeds = ENTRIES.iter().map(|(name, text)| seed(*name, &[&[0], text.as_bytes()])).collect();
    let limits = [4 + 3, 200, 18, 255];
    // Texts 1 to 3: records; 4: their branch; 5: a link; 6: an entry of the future.
    let texts = [&[6, 2, 1, 2, 2, 2, 3, 1, 3, 1, 2, 3, 3, 1, 0][..], &sized(b"enrtree-shiny:1")].concat();
    let root = |records: u8, links: u8| [0, records, links, 5];
    let good = [root(4, 5), root(1, 0), root(6, 0)].concat();
    seeds.push(seed("lists", &[&[1], &limits, &texts, &good]));
    seeds.push(seed("wrong-halves", &[&[1], &limits, &texts, &root(5, 0), &root(0, 1)]));
    seeds.push(seed("another-ones-root", &[&[1], &limits, &texts, &[255, 4, 0, 1]]));
    seeds.push(seed("promises", &[&[1], &limits, &[2, 39, 1, 2, 1, 1], &root(2, 0)]));
    let answers = [0, 205, 0, 215, 225, 235, 0, 250, 1];
    seeds.push(seed("a-server-that-fails", &[&[1], &limits, &texts, &good, &answers]));
    seeds
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text.split_whitespace().collect::<String>()).expect("hex")
}
