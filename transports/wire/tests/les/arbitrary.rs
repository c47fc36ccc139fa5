//! Any message survives the wire, and no bytes bring the decoder down.

use alloy_primitives::{B256, Bytes, U256};
use causeway_wire::{
    AccountKey, Answer, CodeRequest, ForkId, HashOrNumber, Head, HelperTrie, HelperTrieRequest, Inclusion,
    NetworkId, NodeKey, ProofRequest, Query, RequestId, TransactionStatus,
    les::{
        Announce, AnnounceKind, Checkpoint, FlowControl, Message, Origin, RequestCost, Serving, Status,
        Version,
    },
    rlp,
};
use proptest::{
    array::{uniform4, uniform20, uniform32},
    collection::vec,
    option,
    prelude::*,
};

use crate::{list, string};

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

fn hash() -> impl Strategy<Value = B256> {
    uniform32(any::<u8>()).prop_map(B256::from)
}

fn signature() -> impl Strategy<Value = [u8; 65]> {
    vec(any::<u8>(), 65).prop_map(|bytes| bytes.try_into().expect("65 bytes"))
}

/// A head that may be announced: not the zero hash, at most 100 bits of difficulty.
fn head() -> impl Strategy<Value = Head> {
    let hash = hash().prop_filter("a head", |hash| !hash.is_zero());
    (hash, any::<u64>(), 0..1_u128 << 100).prop_map(|(hash, number, td)| Head {
        hash,
        number,
        td: U256::from(td),
    })
}

fn costs() -> impl Strategy<Value = Vec<RequestCost>> {
    let cost = any::<(u8, u64, u64)>();
    vec(cost.prop_map(|(code, base, item)| RequestCost { code: code.into(), base, item }), 0..12).prop_map(
        |mut costs| {
            costs.sort_by_key(|cost| cost.code);
            costs
        },
    )
}

fn serving() -> impl Strategy<Value = Serving> {
    any::<(bool, Option<u64>, Option<u64>, Option<u64>, Option<u64>, bool)>().prop_map(
        |(headers, chain_since, recent_chain, state_since, recent_state, tx_relay)| Serving {
            headers,
            chain_since,
            recent_chain,
            state_since,
            recent_state,
            tx_relay,
        },
    )
}

fn status(version: Version) -> impl Strategy<Value = Status> {
    let announce = prop::sample::select(vec![
        None,
        Some(AnnounceKind::None),
        Some(AnnounceKind::Simple),
        Some(AnnounceKind::Signed),
    ]);
    let fork_id = (uniform4(any::<u8>()), any::<u64>()).prop_map(|(hash, next)| ForkId { hash, next });
    let flow_control = (any::<u64>(), any::<u64>(), costs())
        .prop_map(|(buffer_limit, recharge, costs)| FlowControl { buffer_limit, recharge, costs });
    let checkpoint = (any::<u64>(), hash(), hash(), hash())
        .prop_map(|(section, head, cht_root, bloom_root)| Checkpoint { section, head, cht_root, bloom_root });
    let wishes = (any::<bool>(), any::<Option<u64>>());
    let terms = (option::of(flow_control), option::of(checkpoint), any::<Option<u64>>(), wishes);
    (any::<u64>(), head(), hash(), fork_id, announce, serving(), any::<Option<u64>>(), terms).prop_map(
        move |(network, head, genesis, fork_id, announce, serving, recent_tx_lookup, terms)| {
            let (flow_control, checkpoint, checkpoint_height, (origins, heartbeat)) = terms;
            let is_latest = version == Version::Les4;
            Status {
                version: version.number(),
                network: NetworkId(network),
                head,
                genesis,
                fork_id: is_latest.then_some(fork_id),
                announce,
                serving,
                recent_tx_lookup: recent_tx_lookup.filter(|_| is_latest),
                flow_control,
                checkpoint,
                checkpoint_height,
                origins,
                heartbeat,
            }
        },
    )
}

fn announce() -> impl Strategy<Value = Announce> {
    let origin = (vec(any::<u8>(), 64), head(), signature()).prop_map(|(node, head, signature)| Origin {
        node: NodeKey(alloy_primitives::B512::from_slice(&node)),
        head,
        signature,
    });
    let extras = (option::of(signature()), any::<Option<(u64, u64)>>(), costs(), vec(origin, 0..=8));
    (option::of(head()), any::<u64>(), extras).prop_map(|(head, reorg_depth, extras)| {
        let (signature, buffer, costs, origins) = extras;
        Announce { head, reorg_depth, signature, buffer, costs, origins, update_bytes: 0 }
    })
}

fn account() -> impl Strategy<Value = AccountKey> {
    prop_oneof![
        hash().prop_map(AccountKey::Hash),
        uniform20(any::<u8>()).prop_map(|address| AccountKey::Address(address.into())),
    ]
}

fn proofs() -> impl Strategy<Value = Vec<ProofRequest>> {
    let request = (hash(), option::of(account()), hash(), any::<u64>());
    vec(
        request.prop_map(|(block, account, key, from_level)| ProofRequest {
            block,
            account,
            key,
            from_level,
        }),
        0..70,
    )
}

fn helper_tries() -> impl Strategy<Value = Vec<HelperTrieRequest>> {
    let trie = prop::sample::select(vec![HelperTrie::CanonicalHash, HelperTrie::BloomBits]);
    let request = (trie, any::<u64>(), vec(any::<u8>(), 0..=32), any::<u64>(), any::<u64>());
    vec(
        request.prop_map(|(trie, section, key, from_level, auxiliary)| HelperTrieRequest {
            trie,
            section,
            key: key.into(),
            from_level,
            auxiliary,
        }),
        0..70,
    )
}

/// A list of one byte string: what trie nodes, headers, bodies, and so on are to this crate.
fn raw_list() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..80).prop_map(|bytes| {
        let mut out = Vec::new();
        rlp::put_string_list(&mut out, &[bytes]);
        out.into()
    })
}

fn raw_lists() -> impl Strategy<Value = Vec<Bytes>> {
    vec(raw_list(), 0..=32)
}

fn transaction() -> impl Strategy<Value = Bytes> {
    let typed = (0..0x80_u8, vec(any::<u8>(), 9..80)).prop_map(|(kind, rest)| [&[kind][..], &rest].concat());
    let legacy = vec(1..0x80_u8, 9..80).prop_map(|bytes| list(&bytes.chunks(1).collect::<Vec<_>>()));
    prop_oneof![typed, legacy].prop_map(Bytes::from)
}

fn query() -> impl Strategy<Value = Query> {
    let start = prop_oneof![hash().prop_map(HashOrNumber::Hash), any::<u64>().prop_map(HashOrNumber::Number)];
    let hashes = || vec(hash(), 0..300);
    let code = (hash(), account()).prop_map(|(block, account)| CodeRequest { block, account });
    prop_oneof![
        (start, any::<u64>(), any::<u64>(), any::<bool>())
            .prop_map(|(start, amount, skip, reverse)| { Query::Headers { start, amount, skip, reverse } }),
        hashes().prop_map(Query::Bodies),
        hashes().prop_map(Query::Receipts),
        hashes().prop_map(Query::TransactionStatus),
        vec(code, 0..70).prop_map(Query::Codes),
        proofs().prop_map(Query::Proofs),
        helper_tries().prop_map(Query::HelperTries),
        vec(transaction(), 0..70).prop_map(Query::SendTransactions),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let strings = || vec(vec(any::<u8>(), 0..80).prop_map(Bytes::from), 0..=32);
    let inclusion = (hash(), any::<u64>(), any::<u64>()).prop_map(|(block, number, index)| Inclusion {
        block,
        number,
        index,
    });
    let status = (any::<u64>(), option::of(inclusion), any::<String>())
        .prop_map(|(status, inclusion, error)| TransactionStatus { status, inclusion, error });
    prop_oneof![
        raw_lists().prop_map(Answer::Headers),
        raw_lists().prop_map(Answer::Bodies),
        raw_lists().prop_map(Answer::Receipts),
        raw_lists().prop_map(Answer::Proofs),
        strings().prop_map(Answer::Codes),
        (raw_lists(), strings()).prop_map(|(nodes, auxiliary)| Answer::HelperTries { nodes, auxiliary }),
        vec(status, 0..20).prop_map(Answer::TransactionStatus),
    ]
}

fn message(version: Version) -> BoxedStrategy<Message> {
    let request =
        (any::<u64>(), query()).prop_map(|(id, query)| Message::Request { id: RequestId(id), query });
    let response = (any::<u64>(), any::<u64>(), answer())
        .prop_map(|(id, buffer, answer)| Message::Response { id: RequestId(id), buffer, answer });
    let common = prop_oneof![
        2 => status(version).prop_map(Message::Status),
        2 => announce().prop_map(Message::Announce),
        8 => request,
        8 => response,
    ];
    if version == Version::Les2 {
        return common.boxed();
    }
    let resume = any::<u64>().prop_map(|buffer| Message::Resume { buffer });
    prop_oneof![10 => common, 1 => Just(Message::Stop), 1 => resume].boxed()
}

/// What decoding adds to a message: the size of an Announce's list.
fn without_size(message: Message) -> Message {
    match message {
        Message::Announce(announce) => Message::Announce(Announce { update_bytes: 0, ..announce }),
        other => other,
    }
}

proptest! {
    #[test]
    fn messages_survive_the_wire(
        (version, message) in version().prop_flat_map(|version| (Just(version), message(version)))
    ) {
        let payload = message.encode(version);
        let read = Message::decode(version, message.code(), &payload);
        prop_assert_eq!(read.map(without_size), Ok(message));
    }

    #[test]
    fn altered_messages_never_panic(
        (version, message) in version().prop_flat_map(|version| (Just(version), message(version))),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut payload = message.encode(version).to_vec();
        let at = at.index(payload.len());
        payload[at] = byte;
        let _ = Message::decode(version, message.code(), &payload.clone().into());
        payload.truncate(cut.index(payload.len()));
        let _ = Message::decode(version, message.code(), &payload.into());
    }

    #[test]
    fn any_bytes_never_panic(version in version(), bytes in vec(any::<u8>(), 0..300)) {
        let payload = Bytes::from(bytes);
        for code in 0..0x20 {
            let _ = Message::decode(version, code, &payload);
        }
    }

    #[test]
    fn any_items_never_panic(version in version(), items in vec(vec(any::<u8>(), 0..40), 0..8)) {
        let strings = { let mut out = Vec::new(); rlp::put_string_list(&mut out, &items); out };
        let wrapped = [list(&[&[1][..], &strings]), list(&[&[1][..], &[2], &strings]), strings];
        for payload in wrapped.map(Bytes::from) {
            for code in 0..0x20 {
                let _ = Message::decode(version, code, &payload);
            }
        }
    }

    #[test]
    fn what_decodes_is_written_and_read_alike(version in version(), code in 0_u64..0x18, bytes in vec(any::<u8>(), 0..60)) {
        let payload = Bytes::from(list(&bytes.chunks(1).map(string).collect::<Vec<_>>()));
        if let Ok(message) = Message::decode(version, code, &payload) {
            let again = Message::decode(version, message.code(), &message.encode(version));
            prop_assert_eq!(again.map(without_size), Ok(without_size(message)));
        }
    }

    #[test]
    fn stream_header_agrees_with_whole_items(bytes in vec(any::<u8>(), 0..80)) {
        match (rlp::item_header(&bytes), rlp::Reader::new(&bytes).item()) {
            (Ok(Some(header)), Ok(item)) => {
                prop_assert_eq!(header.total_len(), item.raw.len());
                prop_assert_eq!(header.is_list, item.is_list);
            }
            (Ok(Some(header)), Err(rlp::Error::Truncated)) => prop_assert!(header.total_len() > bytes.len()),
            (Ok(Some(header)), Err(error)) => {
                prop_assert_eq!((header.total_len(), error), (2, rlp::Error::NonCanonical));
            }
            (Ok(None), read) => prop_assert_eq!(read, Err(rlp::Error::Truncated)),
            (Err(error), read) => prop_assert_eq!(read, Err(error)),
        }
    }
}
