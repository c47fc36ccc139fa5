//! Messages as bytes, and bytes that are none.

use proptest::prelude::*;

use super::*;
use crate::tests::{large_record, record};

/// discovery.md 1.1, 134 bytes.
const RECORD: &str = "f884b8407098ad865b00a582051940cb9cf36836572411a47278783077011599ed5cd16b76f2635f4e234738f3\
                      0813a89eb9137e3e3df5266e3a1f11df72ecf1145ccb9c01826964827634826970847f00000189736563703235\
                      366b31a103ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31388375647082765f";

fn published() -> Record {
    Record::decode(&hex::decode(RECORD).expect("hex")).expect("a record")
}

fn id(bytes: &[u8]) -> RequestId {
    RequestId::new(bytes).expect("short enough")
}

fn topic() -> Topic {
    Topic(alloy_primitives::B256::repeat_byte(0x22))
}

fn assert_bytes(message: &Message, expected: &str) {
    assert_eq!(hex::encode(message.encode()), expected.replace(' ', ""));
    assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(message));
}

#[test]
fn a_registration_has_the_bytes_reckoned_by_hand() {
    let first = Message::RegTopic(RegTopic {
        id: id(&[1]),
        topic: topic(),
        record: published(),
        ticket: Vec::new(),
        distances: vec![256, 255, 1],
    });
    let again = Message::RegTopic(RegTopic {
        id: id(&[0, 0, 0, 9]),
        topic: topic(),
        record: published(),
        ticket: vec![0xaa, 0xbb],
        distances: Vec::new(),
    });

    // 1 + 33 + 134 + 1 + (1 + 3 + 2 + 1) = 176 = 0xb0
    let topic = "22".repeat(32);
    assert_bytes(&first, &format!("07 f8b0 01 a0{topic} {RECORD} 80 c6 820100 81ff 01"));
    // 5 + 33 + 134 + 3 + 1 = 176
    assert_bytes(&again, &format!("07 f8b0 8400000009 a0{topic} {RECORD} 82aabb c0"));
}

#[test]
fn a_confirmation_has_the_bytes_reckoned_by_hand() {
    let admitted = RegConfirmation { id: id(&[0x80]), total: 1, ticket: Vec::new(), wait: 900_000 };
    let waits = RegConfirmation { id: id(&[]), total: 3, ticket: vec![0xde, 0xad], wait: 0 };

    // 900,000 = 0x0dbba0
    assert_bytes(&Message::RegConfirmation(admitted), "08 c8 8180 01 80 830dbba0");
    assert_bytes(&Message::RegConfirmation(waits), "08 c6 80 03 82dead 80");
}

#[test]
fn a_query_has_the_bytes_reckoned_by_hand() {
    let query =
        TopicQuery { id: id(&[1, 2, 3, 4, 5, 6, 7, 8]), topic: topic(), distances: vec![0, 127, 128] };

    // 9 + 33 + 5 = 47 = 0x2f
    let topic = "22".repeat(32);
    let expected = format!("09 ef 880102030405060708 a0{topic} c4 80 7f 8180");
    assert_bytes(&Message::TopicQuery(query), &expected);
}

#[test]
fn nodes_have_the_bytes_reckoned_by_hand() {
    let nodes = Nodes { id: id(&[1]), total: 2, records: vec![published()], refused: 0 };
    let none = Nodes { records: Vec::new(), ..nodes.clone() };

    // 1 + 1 + (2 + 134) = 138 = 0x8a
    assert_bytes(&Message::TopicNodes(nodes.clone()), &format!("0a f88a 01 02 f886 {RECORD}"));
    assert_bytes(&Message::Nodes(nodes), &format!("04 f88a 01 02 f886 {RECORD}"));
    assert_bytes(&Message::TopicNodes(none), "0a c3 01 02 c0");
}

#[test]
fn what_is_none_is_named() {
    let decode = |text: &str| Message::decode(&hex::decode(text.replace(' ', "")).expect("hex"));
    let topic = "22".repeat(32);

    assert_eq!(decode(""), Err(MessageError::Empty));
    assert_eq!(decode("05 c0"), Err(MessageError::UnknownType { code: 5 }));
    assert_eq!(decode("0b c0"), Err(MessageError::UnknownType { code: 11 }));
    assert_eq!(decode("08"), Err(MessageError::Rlp(rlp::Error::Truncated)));
    assert_eq!(decode("08 80"), Err(MessageError::Rlp(rlp::Error::Kind)));
    assert_eq!(decode("08 c4 01 01 80 05 00"), Err(MessageError::Rlp(rlp::Error::Leftover)));
    assert_eq!(decode("08 c5 01 01 80 05 80"), Err(MessageError::Rlp(rlp::Error::Leftover)));
    assert_eq!(decode("08 c3 01 01 80"), Err(MessageError::Rlp(rlp::Error::Truncated)));
    assert_eq!(decode("08 c4 01 80 80 05"), Err(MessageError::Total { total: 0 }));
    assert_eq!(decode("08 c4 01 11 80 05"), Err(MessageError::Total { total: 17 }));
    assert_eq!(decode("08 cd 89010203040506070809 01 80 05"), Err(MessageError::RequestId { length: 9 }));
    assert_eq!(
        decode(&format!("09 e6 01 a0{topic} c3 820101")),
        Err(MessageError::Distance { distance: 257 })
    );
    assert_eq!(decode("09 c5 01 8122 c0 c0"), Err(MessageError::Rlp(rlp::Error::NonCanonical)));
    assert_eq!(decode("09 c5 01 82aaaa c0"), Err(MessageError::Rlp(rlp::Error::Length)));
    assert!(matches!(
        decode(&format!("07 e5 01 a0{topic} c0 80 c0")),
        Err(MessageError::Record(RecordError::Malformed(_)))
    ));
}

#[test]
fn what_a_peer_chooses_has_limits() {
    let size = |message: Message| message.encode();
    let confirmation = |length| RegConfirmation { id: id(&[1]), total: 1, ticket: vec![7; length], wait: 1 };
    let query = |count| TopicQuery { id: id(&[1]), topic: topic(), distances: vec![1; count] };
    let nodes = |count| Nodes { id: id(&[1]), total: 1, records: vec![record(1); count], refused: 0 };

    assert!(Message::decode(&size(Message::RegConfirmation(confirmation(MAX_TICKET)))).is_ok());
    assert_eq!(
        Message::decode(&size(Message::RegConfirmation(confirmation(MAX_TICKET + 1)))),
        Err(MessageError::Ticket { length: MAX_TICKET + 1 })
    );
    assert!(Message::decode(&size(Message::TopicQuery(query(MAX_DISTANCES)))).is_ok());
    assert_eq!(
        Message::decode(&size(Message::TopicQuery(query(MAX_DISTANCES + 1)))),
        Err(MessageError::TooManyDistances)
    );
    let bytes = size(Message::Nodes(nodes(10)));
    assert_eq!(Message::decode(&bytes), Err(MessageError::TooLarge { length: bytes.len() }));
    // As many empty items as fit.
    let mut many = vec![0xf8, 0x43 + 3, 0x01, 0x01, 0xf8, 0x43 - 1];
    many.splice(0..0, [NODES]);
    many.resize(many.len() + 0x43 - 1, 0xc0);
    assert_eq!(Message::decode(&many), Err(MessageError::TooManyRecords));
}

#[test]
fn the_largest_registration_fits_a_packet() {
    let largest = RegTopic {
        id: RequestId::from([0xff; 8]),
        topic: topic(),
        record: large_record(1),
        ticket: vec![0xff; MAX_TICKET],
        distances: (0..crate::MAX_HINTS as u16).map(|n| MAX_DISTANCE - n).collect(),
    };

    assert!(Message::RegTopic(largest).encode().len() <= Budget::TALK.message);
}

#[test]
fn one_bad_record_does_not_spoil_the_others() {
    let good = Nodes { id: id(&[1]), total: 1, records: vec![record(1), record(2)], refused: 0 };
    let mut bytes = Message::TopicNodes(good).encode();
    let last = bytes.len() - 1;
    bytes[last] ^= 1; // the second one's port: its signature does not hold

    let Ok(Message::TopicNodes(read)) = Message::decode(&bytes) else { panic!("it is a message") };

    assert_eq!((read.records, read.refused), (vec![record(1)], 1));
}

fn any_message() -> impl Strategy<Value = Message> {
    let ids = || prop::collection::vec(any::<u8>(), 0..=MAX_REQUEST_ID).prop_map(|bytes| id(&bytes));
    let topics = || any::<[u8; 32]>().prop_map(|bytes| Topic(bytes.into()));
    let tickets = || prop::collection::vec(any::<u8>(), 0..=MAX_TICKET);
    let distances = || prop::collection::vec(0..=MAX_DISTANCE, 0..40);
    let records = || prop::collection::vec((0u8..4).prop_map(record), 0..4);
    let nodes = || {
        (ids(), 1..=MAX_TOTAL, records()).prop_map(|(id, total, records)| Nodes {
            id,
            total,
            records,
            refused: 0,
        })
    };
    prop_oneof![
        (ids(), topics(), (0u8..4).prop_map(record), tickets(), distances()).prop_map(
            |(id, topic, record, ticket, distances)| {
                Message::RegTopic(RegTopic { id, topic, record, ticket, distances })
            }
        ),
        (ids(), 1..=MAX_TOTAL, tickets(), any::<u64>()).prop_map(|(id, total, ticket, wait)| {
            Message::RegConfirmation(RegConfirmation { id, total, ticket, wait })
        }),
        (ids(), topics(), distances())
            .prop_map(|(id, topic, distances)| { Message::TopicQuery(TopicQuery { id, topic, distances }) }),
        nodes().prop_map(Message::Nodes),
        nodes().prop_map(Message::TopicNodes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_again(message in any_message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn altered_messages_are_survived(message in any_message(), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = message.encode();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = Message::decode(&bytes);
        bytes.truncate(at);
        prop_assert!(Message::decode(&bytes).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(code in 0u8..12, mut bytes in prop::collection::vec(any::<u8>(), 0..MAX_MESSAGE + 10)) {
        let _ = Message::decode(&bytes);
        bytes.insert(0, code);
        let _ = Message::decode(&bytes);
    }
}
