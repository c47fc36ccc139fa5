//! Every vector of `tests/vectors/les.json`, both ways.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, U256, address, b256, hex, keccak256};
use causeway_wire::{
    AccountKey, Answer, ForkId, HashOrNumber, Head, HelperTrie, HelperTrieRequest, Inclusion, NetworkId,
    ProofRequest, Query, RequestId, TransactionStatus,
    les::{
        Announce, AnnounceKind, FlowControl, Message, RequestCost, Serving, Status, Version, request_code,
    },
};

use crate::unhex;

const GENESIS: B256 = b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");
const ZERO_SLOT: B256 = b256!("290decd9548b62a8d60345a988386fc84ba6bc95484008f6362f93160ef3e563");
const CONTRACT: B256 = b256!("ab14d68802a763f7db875346d03fbf86f137de55814b191c069e721f47474733");
const BUFFER: u64 = 95_000_000;
const SIGNATURE: [u8; 65] = hex!(
    "f7affbeee3a8a6397c4105df02e9206b54c823c7b3e3ed97d90d16c23ac4705f2fa7ed76ab1a516f4da6c203794efae36730539b4fd5dbfdaf89cf05e41ea65101"
);

struct Vector {
    code: u64,
    payload: Bytes,
}

fn vectors() -> BTreeMap<String, Vector> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/les.json")).expect("JSON");
    let vector = |value: &serde_json::Value| {
        let name = value["name"].as_str().expect("a name").to_owned();
        let payload = unhex(value["payload"].as_str().expect("a payload"));
        (name, Vector { code: value["code"].as_u64().expect("a code"), payload })
    };
    file["vectors"].as_array().expect("a list").iter().map(vector).collect()
}

fn mainnet(head: Head) -> Status {
    Status {
        version: 4,
        network: NetworkId(1),
        head,
        genesis: GENESIS,
        fork_id: Some(ForkId { hash: hex!("f0afd0e3"), next: 1_681_338_455 }),
        announce: None,
        serving: Serving::default(),
        recent_tx_lookup: None,
        flow_control: None,
        checkpoint: None,
        checkpoint_height: None,
        origins: false,
        heartbeat: None,
    }
}

fn client_status() -> Status {
    let none = Head { hash: B256::ZERO, number: 0, td: U256::ZERO };
    Status { announce: Some(AnnounceKind::Simple), ..mainnet(none) }
}

fn server_status() -> Status {
    let td = U256::from(58_750_003_716_598_352_816_469_u128);
    let cost = |code, base, item| RequestCost { code, base, item };
    Status {
        serving: Serving {
            headers: true,
            chain_since: Some(0),
            recent_chain: None,
            state_since: Some(0),
            recent_state: Some(124),
            tx_relay: true,
        },
        recent_tx_lookup: Some(2_349_997),
        flow_control: Some(FlowControl {
            buffer_limit: 96_000_000,
            recharge: 16_000,
            costs: vec![
                cost(0x02, 300_000, 60_000),
                cost(0x04, 0, 1_400_000),
                cost(0x06, 0, 2_000_000),
                cost(0x0a, 0, 900_000),
                cost(0x0f, 0, 1_200_000),
                cost(0x11, 0, 2_000_000),
                cost(0x13, 0, 900_000),
                cost(0x14, 0, 500_000),
            ],
        }),
        ..mainnet(Head { hash: B256::repeat_byte(0x11), number: 15_537_394, td })
    }
}

fn announced_head() -> Head {
    Head { hash: B256::repeat_byte(0x11), number: 1000, td: U256::from(0x0040_0000) }
}

fn announce() -> Announce {
    Announce {
        head: Some(announced_head()),
        reorg_depth: 0,
        signature: None,
        buffer: None,
        costs: Vec::new(),
        origins: Vec::new(),
        update_bytes: 0,
    }
}

fn request(id: u64, query: Query) -> Message {
    Message::Request { id: RequestId(id), query }
}

fn proof(id: u64, account: Option<AccountKey>, key: B256) -> Message {
    request(
        id,
        Query::Proofs(vec![ProofRequest { block: B256::repeat_byte(0x11), account, key, from_level: 0 }]),
    )
}

fn helper(id: u64, trie: HelperTrie, section: u64, key: &[u8], auxiliary: u64) -> Message {
    let key = Bytes::copy_from_slice(key);
    request(id, Query::HelperTries(vec![HelperTrieRequest { trie, section, key, from_level: 0, auxiliary }]))
}

fn transaction(status: u64, inclusion: Option<Inclusion>, error: &str) -> Message {
    let status = TransactionStatus { status, inclusion, error: error.to_owned() };
    Message::Response { id: RequestId(12), buffer: BUFFER, answer: Answer::TransactionStatus(vec![status]) }
}

/// What the vectors of these names mean. The canonical hash proof has its own test.
fn meanings() -> Vec<(&'static str, Message)> {
    let by_number =
        Query::Headers { start: HashOrNumber::Number(1000), amount: 192, skip: 0, reverse: false };
    let twos = HashOrNumber::Hash(B256::repeat_byte(0x22));
    let by_hash = Query::Headers { start: twos, amount: 1, skip: 0, reverse: true };
    let address = address!("dAC17F958D2ee523a2206206994597C13D831ec7");
    let included = Inclusion { block: B256::repeat_byte(0x33), number: 15_000_000, index: 5 };
    let account_hash = b256!("1468288056310c82aa4c01a7e12a10f8111a0560e72b700555479031b86c357d");
    vec![
        ("status of a client", Message::Status(client_status())),
        ("status of a server", Message::Status(server_status())),
        (
            "announce signed",
            Message::Announce(Announce { signature: Some(SIGNATURE), update_bytes: 79, ..announce() }),
        ),
        ("announce simple", Message::Announce(Announce { reorg_depth: 1, ..announce() })),
        (
            "announce of capacity",
            Message::Announce(Announce {
                head: None,
                buffer: Some((120_000_000, 20_000)),
                update_bytes: 53,
                ..announce()
            }),
        ),
        ("headers by number", request(7, by_number)),
        ("headers by hash", request(7, by_hash)),
        (
            "no headers",
            Message::Response { id: RequestId(7), buffer: BUFFER, answer: Answer::Headers(vec![]) },
        ),
        ("account proof", proof(8, None, account_hash)),
        ("storage proof by hash", proof(9, Some(AccountKey::Hash(CONTRACT)), ZERO_SLOT)),
        ("storage proof by address", proof(9, Some(AccountKey::Address(address)), ZERO_SLOT)),
        (
            "canonical hash proof request",
            helper(10, HelperTrie::CanonicalHash, 451, &14_000_000_u64.to_be_bytes(), 2),
        ),
        (
            "bloom bits proof request",
            helper(11, HelperTrie::BloomBits, 451, &hex!("05390000000000000064"), 0),
        ),
        ("canonical hash proof request for genesis", helper(10, HelperTrie::CanonicalHash, 0, &[0; 8], 2)),
        ("status of an unknown transaction", transaction(0, None, "")),
        ("status of an included transaction", transaction(3, Some(included), "")),
        ("status of a refused transaction", transaction(0, None, "nonce too low")),
        ("stop", Message::Stop),
        ("resume", Message::Resume { buffer: 12_000_001 }),
    ]
}

#[test]
fn vectors_mean_what_they_say_and_are_written_alike() {
    let mut vectors = vectors();

    for (name, message) in meanings() {
        let Vector { code, payload } = vectors.remove(name).unwrap_or_else(|| panic!("no vector {name}"));
        assert_eq!(Message::decode(Version::Les4, code, &payload), Ok(message.clone()), "{name}");
        assert_eq!(message.code(), code, "{name}");
        assert_eq!(message.encode(Version::Les4), payload, "{name}");
    }

    let others: Vec<_> = vectors.into_keys().collect();
    assert_eq!(others, ["canonical hash proof of genesis"]);
}

#[test]
fn canonical_hash_proof_has_inline_nodes_and_a_wrapped_header() {
    let Vector { code, payload } =
        vectors().remove("canonical hash proof of genesis").expect("the vector is there");

    let message = Message::decode(Version::Les4, code, &payload).expect("it decodes");
    let Message::Response {
        id: RequestId(10),
        buffer: BUFFER,
        answer: Answer::HelperTries { nodes, auxiliary },
    } = &message
    else {
        panic!("not the answer: {message:?}");
    };
    let [root, branch, leaf] = nodes.as_slice() else { panic!("{} nodes", nodes.len()) };
    let [header] = auxiliary.as_slice() else { panic!("{} headers", auxiliary.len()) };

    assert_eq!(keccak256(root), b256!("4d282b074c070096be261bea3d220ce718fa82e300e1568912c749e16e19ec09"));
    assert!(root.ends_with(keccak256(branch).as_slice()));
    assert_eq!(leaf[..4], hex!("ea20a8e7"));
    assert_eq!(keccak256(header), GENESIS);
    assert_eq!(message.encode(Version::Les4), payload);
}

#[test]
fn items_of_answers_are_slices_of_the_payload() {
    let Vector { code, payload } =
        vectors().remove("canonical hash proof of genesis").expect("the vector is there");

    let Ok(Message::Response { answer: Answer::HelperTries { nodes, auxiliary }, .. }) =
        Message::decode(Version::Les4, code, &payload)
    else {
        panic!("not the answer");
    };

    let within = payload.as_ptr_range();
    for item in nodes.iter().chain(&auxiliary) {
        assert!(within.contains(&item.as_ptr()));
    }
}

#[test]
fn announced_head_is_signed_over_hash_number_and_difficulty() {
    assert_eq!(
        Announce::digest(&announced_head()),
        b256!("d7f10288bf0e26537a69253848be8887c872076dc430ffcc57b5b678b0547df2")
    );
}

#[test]
fn older_versions_are_not_sent_the_keys_of_les_4() {
    let status = server_status();

    for version in [Version::Les2, Version::Les3] {
        let payload = Message::Status(Status { version: version.number(), ..status.clone() }).encode(version);
        let Ok(Message::Status(read)) = Message::decode(version, 0, &payload) else { panic!("no Status") };
        assert_eq!(
            read,
            Status { fork_id: None, recent_tx_lookup: None, version: version.number(), ..status.clone() }
        );
    }
}

#[test]
fn rows_of_costs_are_written_by_code() {
    let mut status = server_status();
    let sorted = Message::Status(status.clone()).encode(Version::Les4);

    if let Some(flow_control) = &mut status.flow_control {
        flow_control.costs.reverse();
    }

    assert_eq!(Message::Status(status).encode(Version::Les4), sorted);
}

#[test]
fn requests_have_the_code_of_their_query() {
    for (name, message) in meanings() {
        if let Message::Request { query, .. } = &message {
            assert_eq!(request_code(query), message.code(), "{name}");
        }
    }
}
