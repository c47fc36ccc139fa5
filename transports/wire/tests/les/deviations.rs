//! What real nodes and the specification write differently, and we read all the same.

use alloy_primitives::{B256, Bytes, U256, b256, hex};
use causeway_wire::{
    AccountKey, Answer, ForkId, HashOrNumber, Head, Inclusion, NetworkId, NodeKey, Query, RequestId,
    TransactionStatus,
    les::{
        Announce, AnnounceKind, Checkpoint, DecodeError, Message, Origin, RequestCost, Status, Version, code,
    },
    rlp::{self, put_uint},
};

use crate::{entry, list, string, uint, unhex};

const GENESIS: B256 = b256!("08dcf61000000000000000000000000000000000000000000000000000000000");

fn required() -> Vec<Vec<u8>> {
    vec![
        entry("protocolVersion", uint(3)),
        entry("networkId", uint(19763)),
        entry("genesisHash", string(GENESIS.as_slice())),
        entry("headTd", uint(131_072_000)),
        entry("headHash", string(&[0x11; 32])),
        entry("headNum", uint(999)),
    ]
}

fn decode_status(version: Version, entries: &[Vec<u8>]) -> Result<Status, DecodeError> {
    match Message::decode(version, code::STATUS, &list(entries).into())? {
        Message::Status(status) => Ok(status),
        other => panic!("not a Status: {other:?}"),
    }
}

fn decode(code: u64, payload: Vec<u8>) -> Result<Message, DecodeError> {
    Message::decode(Version::Les4, code, &payload.into())
}

fn flawed(code: u64, reason: rlp::Error) -> Result<Message, DecodeError> {
    Err(DecodeError::Rlp { code, reason })
}

#[test]
fn status_of_ethereumjs_is_read_in_les_3() {
    let row = list(&[uint(2), uint(1000), uint(1000)]);
    let mut entries = required();
    entries.extend([
        entry("forkID", list(&[string(&hex!("01020304")), string(&[])])),
        entry("recentTxLookup", uint(1)),
        entry("announceType", uint(1)),
        entry("serveHeaders", uint(1)),
        entry("serveChainSince", uint(0)),
        entry("serveStateSince", string(&[])),
        entry("flowControl/BL", uint(300_000_000)),
        entry("flowControl/MRR", uint(10_000)),
        entry("flowControl/MRC", list(&[row])),
    ]);

    let status = decode_status(Version::Les3, &entries).expect("it decodes");

    assert_eq!(status.network, NetworkId(19763));
    assert_eq!(status.head.number, 999);
    assert_eq!(status.fork_id, Some(ForkId { hash: [1, 2, 3, 4], next: 0 }));
    assert_eq!(status.announce, Some(AnnounceKind::Simple));
    assert!(status.serving.headers && !status.serving.tx_relay);
    assert_eq!(status.serving.chain_since, Some(0));
    assert_eq!(
        status.flow_control.expect("a server").costs,
        [RequestCost { code: 2, base: 1000, item: 1000 }]
    );
}

#[test]
fn order_of_keys_does_not_matter() {
    let mut entries = required();
    let status = decode_status(Version::Les2, &entries);

    entries.reverse();

    assert!(status.is_ok());
    assert_eq!(decode_status(Version::Les2, &entries), status);
}

#[test]
fn last_of_equal_keys_counts_and_unknown_keys_do_not() {
    let mut entries = required();
    entries.insert(0, entry("networkId", list(&[uint(1)])));
    entries.push(entry("headNum", uint(1000)));
    entries.push(entry("somebody/else", list(&[list::<Vec<u8>>(&[])])));
    entries.push(list(&[string(&[0xff, 0xfe]), uint(1)]));

    let status = decode_status(Version::Les3, &entries).expect("it decodes");

    assert_eq!(status.network, NetworkId(19763));
    assert_eq!(status.head.number, 1000);
}

#[test]
fn keys_that_only_need_to_be_there_may_have_any_value() {
    for value in [string(&[]), vec![0x00], uint(1), list::<Vec<u8>>(&[]), string(b"yes")] {
        let mut entries = required();
        entries.push(entry("serveHeaders", value.clone()));
        entries.push(entry("txRelay", value));

        let status = decode_status(Version::Les3, &entries).expect("it decodes");

        assert!(status.serving.headers && status.serving.tx_relay);
    }
}

#[test]
fn status_names_the_key_that_is_missing() {
    for (index, key) in ["protocolVersion", "networkId", "genesisHash"].into_iter().enumerate() {
        let mut entries = required();
        entries.remove(index);
        assert_eq!(decode_status(Version::Les3, &entries), Err(DecodeError::MissingKey { key }));
    }
    assert_eq!(decode_status(Version::Les4, &required()), Err(DecodeError::MissingKey { key: "forkID" }));
}

#[test]
fn only_a_server_must_tell_its_head_and_terms() {
    let mut entries = required();
    entries.truncate(3);
    let client = decode_status(Version::Les3, &entries).expect("a client's");
    assert_eq!(client.head, Head { hash: B256::ZERO, number: 0, td: U256::ZERO });

    entries.push(entry("flowControl/MRR", uint(1)));
    assert_eq!(
        decode_status(Version::Les3, &entries),
        Err(DecodeError::MissingKey { key: "flowControl/BL" })
    );

    entries.push(entry("flowControl/BL", uint(1)));
    assert_eq!(
        decode_status(Version::Les3, &entries),
        Err(DecodeError::MissingKey { key: "flowControl/MRC" })
    );

    entries.push(entry("flowControl/MRC", list::<Vec<u8>>(&[])));
    assert_eq!(decode_status(Version::Les3, &entries), Err(DecodeError::MissingKey { key: "headTd" }));
}

#[test]
fn checkpoint_and_our_own_keys_survive_the_wire() {
    let mut status = decode_status(Version::Les3, &required()).expect("it decodes");
    let root = B256::repeat_byte;
    status.checkpoint =
        Some(Checkpoint { section: 451, head: root(1), cht_root: root(2), bloom_root: root(3) });
    status.checkpoint_height = Some(15_000_000);
    status.origins = true;
    status.heartbeat = Some(600);

    let message = Message::Status(status);

    assert_eq!(Message::decode(Version::Les3, 0, &message.encode(Version::Les3)), Ok(message));
}

#[test]
fn wish_for_a_heartbeat_that_is_no_number_is_none_and_costs_nobody_a_session() {
    let read = |value| {
        let mut entries = required();
        entries.push(entry("causeway/heartbeat", value));
        decode_status(Version::Les3, &entries).expect("it decodes").heartbeat
    };

    assert_eq!(read(uint(0)), Some(0));
    assert_eq!(read(uint(60)), Some(60));
    assert_eq!(read(uint(u64::MAX)), Some(u64::MAX));
    for value in [string(&[1; 9]), string(b"fifteen seconds"), list::<Vec<u8>>(&[]), list(&[uint(15)])] {
        assert_eq!(read(value), None);
    }
    assert_eq!(decode_status(Version::Les3, &required()).expect("it decodes").heartbeat, None);
}

// The bytes of this and the next test are what the encoders of @ethereumjs/client 0.10.2 gave.
#[test]
fn announce_of_ethereumjs_lacks_the_key_value_list() {
    let payload =
        unhex("e9a011111111111111111111111111111111111111111111111111111111111111118203e88340000000");

    let Ok(Message::Announce(announce)) = decode(code::ANNOUNCE, payload.to_vec()) else {
        panic!("no Announce");
    };

    let td = U256::from(0x0040_0000);
    assert_eq!(announce.head, Some(Head { hash: B256::repeat_byte(0x11), number: 1000, td }));
    assert_eq!((announce.reorg_depth, announce.update_bytes), (0, 0));
}

#[test]
fn request_of_ethereumjs_has_zeroes_as_bytes() {
    let headers = |number, amount, reverse| {
        let query = Query::Headers { start: HashOrNumber::Number(number), amount, skip: 0, reverse };
        Ok(Message::Request { id: RequestId(7), query })
    };
    let read = |payload| decode(code::GET_BLOCK_HEADERS, unhex(payload).to_vec());

    assert_eq!(read("c907c78203e881c00000"), headers(1000, 192, false));
    assert_eq!(read("c607c480010001"), headers(0, 1, true));
}

#[test]
fn zero_of_status_may_be_a_byte() {
    let mut entries = required();
    entries.push(entry("announceType", vec![0x00]));
    entries.push(entry("headTd", vec![0x00]));

    let status = decode_status(Version::Les3, &entries).expect("it decodes");

    assert_eq!((status.announce, status.head.td), (Some(AnnounceKind::None), U256::ZERO));
}

#[test]
fn buffer_is_taken_only_with_both_of_its_keys() {
    let announce = |entries: &[Vec<u8>]| {
        let head = [string(&[0; 32]), uint(0), uint(0), uint(0)];
        let payload = list(&[&head[..], &[list(entries)]].concat());
        match decode(code::ANNOUNCE, payload) {
            Ok(Message::Announce(announce)) => announce,
            other => panic!("not an Announce: {other:?}"),
        }
    };
    let limit = entry("flowControl/BL", uint(5));
    let recharge = entry("flowControl/MRR", uint(6));

    assert_eq!(announce(std::slice::from_ref(&limit)).buffer, None);
    assert_eq!(announce(std::slice::from_ref(&recharge)).buffer, None);
    assert_eq!(announce(&[recharge, limit]).buffer, Some((5, 6)));
}

#[test]
fn origins_of_a_head_are_passed_on() {
    let head = Head { hash: B256::repeat_byte(9), number: 12, td: U256::from(1) << 99 };
    let origin = Origin { node: NodeKey([5; 64].into()), head, signature: [6; 65] };
    let announce = Announce {
        head: Some(head),
        reorg_depth: 2,
        signature: Some([7; 65]),
        buffer: Some((1, 2)),
        costs: vec![RequestCost { code: 2, base: 3, item: 4 }],
        origins: vec![origin; Announce::MAX_ORIGINS],
        update_bytes: 0,
    };

    let Ok(Message::Announce(read)) =
        decode(code::ANNOUNCE, Message::Announce(announce.clone()).encode(Version::Les4).to_vec())
    else {
        panic!("no Announce");
    };

    assert!(read.update_bytes > Announce::MAX_ORIGINS * 130);
    assert_eq!(Announce { update_bytes: 0, ..read }, announce);
}

#[test]
fn resume_is_read_bare_and_in_a_list() {
    let resume = Ok(Message::Resume { buffer: 12_000_001 });

    assert_eq!(decode(code::RESUME, uint(12_000_001)), resume);
    assert_eq!(decode(code::RESUME, list(&[uint(12_000_001)])), resume);
    assert_eq!(decode(code::RESUME, vec![0x80]), Ok(Message::Resume { buffer: 0 }));
    assert_eq!(decode(code::RESUME, list(&[uint(1), uint(2)])), flawed(code::RESUME, rlp::Error::Leftover));
    assert_eq!(decode(code::RESUME, vec![0xc0]), flawed(code::RESUME, rlp::Error::Truncated));
}

#[test]
fn stop_is_empty() {
    assert_eq!(decode(code::STOP, vec![0xc0]), Ok(Message::Stop));
    assert_eq!(decode(code::STOP, vec![0x80]), Ok(Message::Stop));
    assert_eq!(decode(code::STOP, list(&[uint(1)])), flawed(code::STOP, rlp::Error::Leftover));
}

#[test]
fn stop_and_resume_are_not_in_les_2() {
    for code in [code::STOP, code::RESUME] {
        let unknown = Err(DecodeError::UnknownCode { code });
        assert_eq!(Message::decode(Version::Les2, code, &Bytes::from_static(&[0xc0])), unknown);
    }
}

#[test]
fn codes_of_les_1_and_beyond_the_last_are_unknown() {
    for version in Version::ALL {
        for code in [0x08, 0x09, 0x0c, 0x0d, 0x0e, 0x18, 0xff, u64::MAX] {
            let decoded = Message::decode(version, code, &Bytes::from_static(&[0xc0]));
            assert_eq!(decoded, Err(DecodeError::UnknownCode { code }));
        }
    }
}

fn statuses(entries: &[Vec<u8>]) -> Vec<TransactionStatus> {
    match decode(code::TX_STATUS, list(&[uint(1), uint(2), list(entries)])) {
        Ok(Message::Response { answer: Answer::TransactionStatus(statuses), .. }) => statuses,
        other => panic!("no statuses: {other:?}"),
    }
}

#[test]
fn transaction_status_is_read_in_geths_form_and_the_specifications() {
    let block = B256::repeat_byte(0x33);
    let lookup = list(&[string(block.as_slice()), uint(15), uint(5)]);
    let none = list::<Vec<u8>>(&[]);
    let inclusion = Some(Inclusion { block, number: 15, index: 5 });
    let status =
        |status, inclusion, error: &str| TransactionStatus { status, inclusion, error: error.into() };

    let read = statuses(&[
        list(&[uint(3), lookup.clone(), string(&[])]),
        list(&[uint(0), none.clone(), string(b"nonce too low")]),
        list(&[uint(3), lookup]),
        list(&[uint(4), string(b"underpriced")]),
        list(&[uint(2), none]),
        list(&[uint(1), string(&[])]),
    ]);

    assert_eq!(
        read,
        [
            status(3, inclusion, ""),
            status(0, None, "nonce too low"),
            status(3, inclusion, ""),
            status(4, None, "underpriced"),
            status(2, None, ""),
            status(1, None, ""),
        ]
    );
}

#[test]
fn error_text_that_is_not_utf_8_does_not_lose_the_answer() {
    let read = statuses(&[list(&[uint(0), list::<Vec<u8>>(&[]), string(&[b'a', 0xff])])]);

    assert_eq!(read[0].error, "a\u{fffd}");
}

#[test]
fn account_key_is_empty_an_address_or_a_hash() {
    let proof = |account: &[u8]| {
        let item = list(&[string(&[1; 32]), string(account), string(&[2; 32]), uint(3)]);
        match decode(code::GET_PROOFS_V2, list(&[uint(1), list(&[item])])) {
            Ok(Message::Request { query: Query::Proofs(proofs), .. }) => Ok(proofs[0].account),
            Ok(other) => panic!("no proofs: {other:?}"),
            Err(error) => Err(error),
        }
    };
    let wrong = Err(DecodeError::Rlp { code: code::GET_PROOFS_V2, reason: rlp::Error::Length });

    assert_eq!(proof(&[]), Ok(None));
    assert_eq!(proof(&[7; 20]), Ok(Some(AccountKey::Address([7; 20].into()))));
    assert_eq!(proof(&[7; 32]), Ok(Some(AccountKey::Hash([7; 32].into()))));
    for length in [1, 19, 21, 31, 33] {
        assert_eq!(proof(&vec![7; length]), wrong);
    }
}

#[test]
fn code_of_no_account_can_be_asked_for() {
    let ask = |account: &[u8]| {
        let item = list(&[string(&[1; 32]), string(account)]);
        decode(code::GET_CONTRACT_CODES, list(&[uint(1), list(&[item])]))
    };

    assert!(ask(&[7; 20]).is_ok());
    assert!(ask(&[7; 32]).is_ok());
    assert!(ask(&[]).is_ok(), "the answer leaves it out");
    assert_eq!(ask(&[7; 19]), flawed(code::GET_CONTRACT_CODES, rlp::Error::Length));
}

#[test]
fn proof_key_is_a_hash() {
    for key in [&[][..], &[2; 20], &[2; 31], &[2; 33]] {
        let item = list(&[string(&[1; 32]), string(&[]), string(key), uint(0)]);
        let decoded = decode(code::GET_PROOFS_V2, list(&[uint(1), list(&[item])]));
        assert_eq!(decoded, flawed(code::GET_PROOFS_V2, rlp::Error::Length));
    }
}

fn headers_from(start: Vec<u8>, reverse: u64) -> Result<Message, DecodeError> {
    let query = list(&[start, uint(u64::MAX), uint(u64::MAX), uint(reverse)]);
    decode(code::GET_BLOCK_HEADERS, list(&[uint(u64::MAX), query]))
}

#[test]
fn run_of_headers_starts_at_a_hash_or_a_number() {
    let headers = |start, reverse| {
        let query = Query::Headers { start, amount: u64::MAX, skip: u64::MAX, reverse };
        Ok(Message::Request { id: RequestId(u64::MAX), query })
    };
    let wrong = |reason| flawed(code::GET_BLOCK_HEADERS, reason);

    assert_eq!(headers_from(uint(0), 0), headers(HashOrNumber::Number(0), false));
    assert_eq!(headers_from(uint(u64::MAX), 1), headers(HashOrNumber::Number(u64::MAX), true));
    assert_eq!(headers_from(string(&[0; 32]), 1), headers(HashOrNumber::Hash(B256::ZERO), true));
    assert_eq!(headers_from(string(&[1; 9]), 0), wrong(rlp::Error::Overflow));
    assert_eq!(headers_from(string(&[0, 1]), 0), wrong(rlp::Error::NonCanonical));
    assert_eq!(headers_from(list(&[uint(1)]), 0), wrong(rlp::Error::Kind));
    assert_eq!(headers_from(uint(1), 2), wrong(rlp::Error::Overflow));
}

#[test]
fn sent_transactions_are_in_canonical_form() {
    let legacy = list(&[&[0x01; 9][..]; 1].concat().chunks(1).collect::<Vec<_>>());
    let typed = [&[0x02][..], &list(&[string(&[3; 60])])].concat();
    let payload = list(&[uint(1), list(&[legacy.clone(), string(&typed)])]);

    let message = decode(code::SEND_TX_V2, payload.clone()).expect("it decodes");

    let query = Query::SendTransactions(vec![legacy.into(), typed.into()]);
    assert_eq!(message, Message::Request { id: RequestId(1), query });
    assert_eq!(message.encode(Version::Les4), payload);
}

#[test]
fn what_cannot_be_a_transaction_is_refused() {
    let send = |item: Vec<u8>| decode(code::SEND_TX_V2, list(&[uint(1), list(&[item])]));
    let wrong = |reason| flawed(code::SEND_TX_V2, reason);

    assert_eq!(send(vec![0xc0]), wrong(rlp::Error::Length));
    assert_eq!(send(string(&[])), wrong(rlp::Error::Length));
    assert_eq!(send(string(&[2; 9])), wrong(rlp::Error::Length));
    assert_eq!(send(string(&[0xc0; 20])), wrong(rlp::Error::Kind));
}

#[test]
fn nodes_that_are_strings_are_refused() {
    let node = list(&[uint(1)]);
    let answer = |node: Vec<u8>| decode(code::PROOFS_V2, list(&[uint(1), uint(2), list(&[node])]));

    assert!(answer(node.clone()).is_ok());
    assert_eq!(answer(string(&node)), flawed(code::PROOFS_V2, rlp::Error::Kind));
}

#[test]
fn helper_trie_of_another_kind_is_refused() {
    let item = list(&[uint(2), uint(0), string(&[0; 8]), uint(0), uint(0)]);

    let decoded = decode(code::GET_HELPER_TRIE_PROOFS, list(&[uint(1), list(&[item])]));

    assert_eq!(decoded, Err(DecodeError::OverLimit { what: "helper trie type", value: 2, limit: 1 }));
}

#[test]
fn bytes_behind_a_message_are_an_error() {
    let mut payload = unhex("c907c78203e881c08080").to_vec();
    put_uint(&mut payload, 1);

    assert_eq!(
        decode(code::GET_BLOCK_HEADERS, payload),
        flawed(code::GET_BLOCK_HEADERS, rlp::Error::Leftover)
    );
}

#[test]
fn fields_behind_the_last_are_an_error() {
    let request = list(&[uint(1), list::<Vec<u8>>(&[]), uint(1)]);
    let response = list(&[uint(1), uint(1), list::<Vec<u8>>(&[]), uint(1)]);

    assert_eq!(decode(code::GET_RECEIPTS, request), flawed(code::GET_RECEIPTS, rlp::Error::Leftover));
    assert_eq!(decode(code::RECEIPTS, response), flawed(code::RECEIPTS, rlp::Error::Leftover));
}
