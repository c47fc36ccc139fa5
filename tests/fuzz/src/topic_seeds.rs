//! The inputs that the corpus of `topic_message` begins with.

use alloy_primitives::B256;
use causeway_topics::{
    Message, Topic, encode_all,
    message::{Nodes, RegConfirmation, RegTopic, RequestId, TopicQuery},
};

use crate::topic_message::stranger;

pub(crate) fn topic_message() -> Vec<(String, Vec<u8>)> {
    let single = messages().into_iter();
    let single = single.map(|(name, message)| (name.to_owned(), [&[0], &message.encode()[..]].concat()));
    let answers = [("registered", [1, 2]), ("found", [4, 3])].map(|(name, parts)| {
        let parts = parts.map(|at: usize| messages().swap_remove(at).1);
        (format!("answer-{name}"), [&[1], &encode_all(&parts)[..]].concat())
    });
    let stories = [("turns", turns()), ("crowd", crowd()), ("tickets", tickets())];
    let stories = stories.map(|(name, steps)| (name.to_owned(), [&[2], &steps[..]].concat()));
    single.chain(answers).chain(stories).collect()
}

fn messages() -> Vec<(&'static str, Message)> {
    let (id, topic) = (RequestId::from([1, 2, 3, 4, 5, 6, 7, 8]), Topic(B256::repeat_byte(1)));
    let nodes = |numbers: &[u8]| Nodes {
        id,
        total: 2,
        records: numbers.iter().map(|n| stranger(*n)).collect(),
        refused: 0,
    };
    let ticket = vec![9; 40];
    vec![
        (
            "register",
            Message::RegTopic(RegTopic {
                id,
                topic,
                record: stranger(1),
                ticket: ticket.clone(),
                distances: (241..=256).rev().collect(),
            }),
        ),
        ("confirmation", Message::RegConfirmation(RegConfirmation { id, total: 2, ticket, wait: 900_000 })),
        ("nodes", Message::Nodes(nodes(&[2, 3]))),
        ("query", Message::TopicQuery(TopicQuery { id, topic, distances: vec![256, 255] })),
        ("advertisers", Message::TopicNodes(nodes(&[4, 5, 6]))),
    ]
}

/// Each registers, comes back a moment later, and asks for the others.
fn turns() -> Vec<u8> {
    let mut steps = Vec::new();
    for who in 0..8 {
        steps.extend([6, who | 8, 0, 0]);
        steps.extend([[1, who, 0, who], [1, who, 2, who], [1, who, 1, who], [4, who, 1, who]].concat());
    }
    steps
}

/// All want the same, wait their time and come back, until some have expired.
fn crowd() -> Vec<u8> {
    let mut steps = Vec::new();
    for wait in [1, 80, 120, 160, 200, 250, 250, 3] {
        for who in 0..8 {
            steps.extend([1, who, if who == 0 { wait } else { 0 }, 1]);
        }
        steps.extend([4, 3, 0, 1]);
    }
    steps
}

/// Tickets that are another's or nobody's, records that are another's, and requests as they come.
fn tickets() -> Vec<u8> {
    let mut steps = vec![1, 1, 0, 1, 1, 2, 0, 1];
    steps.extend([[2, 1 | 2 << 3, 2, 1], [5, 1 | 2 << 3, 2, 1]].concat());
    steps.extend([&[3, 1, 2, 1, 0, 40][..], &[9; 40]].concat());
    for (_, message) in messages() {
        let bytes = message.encode();
        let length = u16::try_from(bytes.len()).expect("a short part").to_be_bytes();
        for from in [1 | 1 << 3, 1 | 2 << 3] {
            steps.extend([&[0, from, 2, 0][..], &length, &bytes].concat());
        }
    }
    steps
}
