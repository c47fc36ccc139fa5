//! Every count and length that a peer chooses has an end.

use alloy_primitives::{B256, Bytes};
use causeway_wire::{
    HashOrNumber, Query, RequestId,
    les::{Announce, DecodeError, Message, Version, code, item_limit, limit},
};

use crate::{entry, list, string, uint};

fn decode(code: u64, payload: Vec<u8>) -> Result<Message, DecodeError> {
    Message::decode(Version::Les4, code, &payload.into())
}

/// An answer of `count` equal items.
fn answer(code: u64, item: &[u8], count: u64) -> Result<Message, DecodeError> {
    let items: Vec<_> = (0..count).map(|_| item).collect();
    let content = if code == code::HELPER_TRIE_PROOFS {
        list(&[list(&items), list::<Vec<u8>>(&[])])
    } else {
        list(&items)
    };
    decode(code, list(&[uint(1), uint(2), content]))
}

#[test]
fn answers_have_at_most_what_one_request_can_ask_for() {
    let status = list(&[uint(0), list::<Vec<u8>>(&[]), string(&[])]);
    let kinds: [(u64, &str, u64, &[u8]); 7] = [
        (code::BLOCK_HEADERS, "headers", limit::HEADERS, &[0xc0]),
        (code::BLOCK_BODIES, "bodies", limit::BODIES, &[0xc0]),
        (code::RECEIPTS, "lists of receipts", limit::RECEIPTS, &[0xc0]),
        (code::CONTRACT_CODES, "codes", limit::CODES, &[0x80]),
        (code::PROOFS_V2, "proof nodes", limit::NODES, &[0xc0]),
        (code::HELPER_TRIE_PROOFS, "helper trie nodes", limit::NODES, &[0xc0]),
        (code::TX_STATUS, "transaction statuses", limit::TRANSACTION_STATUS, &status),
    ];

    for (code, what, limit, item) in kinds {
        assert!(answer(code, item, limit).is_ok(), "{what}");
        let refused = Err(DecodeError::OverLimit { what, value: limit + 1, limit });
        assert_eq!(answer(code, item, limit + 1), refused, "{what}");
    }
}

#[test]
fn auxiliary_items_are_limited_apart_from_nodes() {
    let auxiliary = list(&vec![[0x80]; limit::HELPER_TRIES as usize + 1]);

    let decoded =
        decode(code::HELPER_TRIE_PROOFS, list(&[uint(1), uint(2), list(&[list::<Vec<u8>>(&[]), auxiliary])]));

    let (value, limit) = (limit::HELPER_TRIES + 1, limit::HELPER_TRIES);
    assert_eq!(decoded, Err(DecodeError::OverLimit { what: "auxiliary items", value, limit }));
}

#[test]
fn requests_over_the_limit_decode_and_are_cut_to_it() {
    let hashes: Vec<_> =
        (0..limit::BODIES + 8).map(|n| string(B256::with_last_byte(n as u8).as_slice())).collect();

    let Ok(Message::Request { id: RequestId(1), query }) =
        decode(code::GET_BLOCK_BODIES, list(&[uint(1), list(&hashes)]))
    else {
        panic!("no request");
    };

    assert_eq!(query.amount(), limit::BODIES + 8);
    assert_eq!(query.truncated().amount(), item_limit(&query));
    let Query::Bodies(first) = query.truncated() else { panic!("another query") };
    assert_eq!(first.last(), Some(&B256::with_last_byte(31)));
}

#[test]
fn run_of_headers_is_cut_and_keeps_its_course() {
    let start = HashOrNumber::Number(7);
    let query = Query::Headers { start, amount: u64::MAX, skip: 3, reverse: true };

    let cut = Query::Headers { start, amount: limit::HEADERS, skip: 3, reverse: true };

    assert_eq!(query.truncated(), cut);
    assert_eq!(cut.truncated(), cut);
}

#[test]
fn bytes_of_status_and_announce_are_limited() {
    let filler = |length| entry("filler", string(&vec![1; length]));
    // What geth counts for the entry: the key, the value with its 4 bytes of header, and 8.
    let fitting = limit::STATUS_BYTES - "filler".len() - 4 - 8;
    let announce =
        |entry| decode(code::ANNOUNCE, list(&[string(&[1; 32]), uint(1), uint(1), uint(0), list(&[entry])]));
    let value = limit::STATUS_BYTES as u64 + 1;
    let limit = limit::STATUS_BYTES as u64;
    let refused = DecodeError::OverLimit { what: "bytes of keys and values", value, limit };

    let Ok(Message::Announce(Announce { update_bytes, .. })) = announce(filler(fitting)) else {
        panic!("not an Announce");
    };
    assert_eq!(update_bytes, 100_000);
    assert_eq!(announce(filler(fitting + 1)), Err(refused));
    assert_eq!(decode(code::STATUS, list(&[filler(fitting + 1)])), Err(refused));
    assert_eq!(
        decode(code::STATUS, list(&[filler(fitting)])),
        Err(DecodeError::MissingKey { key: "protocolVersion" })
    );
}

#[test]
fn announced_difficulty_has_at_most_a_hundred_bits() {
    let announce = |td: &[u8]| {
        let fields = [string(&[1; 32]), uint(1), string(td), uint(0), list::<Vec<u8>>(&[])];
        decode(code::ANNOUNCE, list(&fields))
    };
    let mut td = [0; 13];

    td[0] = 0x0f;
    assert!(announce(&td).is_ok());
    td[0] = 0x10;
    let refused = DecodeError::OverLimit { what: "bits of total difficulty", value: 101, limit: 100 };
    assert_eq!(announce(&td), Err(refused));
}

#[test]
fn a_head_has_at_most_eight_origins() {
    let origin = list(&[string(&[1; 64]), string(&[2; 32]), uint(3), uint(4), string(&[5; 65])]);
    let announce = |count| {
        let origins = entry("causeway/origins", list(&vec![origin.clone(); count]));
        let fields = [string(&[1; 32]), uint(1), uint(1), uint(0), list(&[origins])];
        decode(code::ANNOUNCE, list(&fields))
    };

    assert!(announce(8).is_ok());
    let refused = DecodeError::OverLimit { what: "origins of a head", value: 9, limit: 8 };
    assert_eq!(announce(9), Err(refused));
}

#[test]
fn kind_of_announcements_is_one_of_three() {
    let status = |kind| {
        let entries = [
            entry("protocolVersion", uint(2)),
            entry("networkId", uint(1)),
            entry("genesisHash", string(&[1; 32])),
            entry("announceType", uint(kind)),
        ];
        Message::decode(Version::Les2, code::STATUS, &list(&entries).into())
    };

    assert!((0..3).all(|kind| status(kind).is_ok()));
    assert_eq!(status(3), Err(DecodeError::OverLimit { what: "announceType", value: 3, limit: 2 }));
}

#[test]
fn announced_lengths_beyond_the_payload_cost_nothing() {
    for code in 0..0x18 {
        let payload = Bytes::from_static(&[0xfb, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert!(Message::decode(Version::Les4, code, &payload).is_err());
    }
}
