//! Lies in announcements.

use alloy_primitives::{B256, B512, U256};
use causeway_tests::{
    full_node::{Lie, Teller, made_up_head},
    probe::Probe,
};
use causeway_translate::sign_head;
use causeway_wire::{
    Head, NodeKey,
    les::{Announce, Message, Origin, RequestCost},
};

use crate::{
    Case,
    Verdict::{Banished, Stays},
};

pub(crate) fn cases() -> Vec<Case> {
    let banished = |name, lie| Case::new(name, Probe::Body, Banished, lie).growing();
    let stays = |name, lie| Case::new(name, Probe::Account, Stays, lie).growing();
    vec![
        banished(
            "total difficulty that does not grow",
            Lie::announce(|mut announce, teller| {
                change(&mut announce, teller, |head| head.td -= U256::from(2));
                one(announce)
            }),
        ),
        banished(
            "announced total difficulty too high",
            Lie::announce(|mut announce, teller| {
                change(&mut announce, teller, |head| head.td += U256::from(1));
                one(announce)
            }),
        ),
        banished(
            "announced total difficulty too low",
            Lie::announce(|mut announce, teller| {
                change(&mut announce, teller, |head| head.td -= U256::from(1));
                one(announce)
            }),
        ),
        banished(
            "announced wrong number",
            Lie::announce(|mut announce, teller| {
                change(&mut announce, teller, |head| head.number += 5);
                one(announce)
            }),
        ),
        banished(
            "announced head never shown",
            Lie::announce(|announce, teller| {
                let td = announce.head.map_or(0, |head| head.td.to());
                one(teller.announce(made_up_head(1_000, td + 50)))
            }),
        ),
        banished(
            "announced head never shown, far away",
            Lie::announce(|_, teller| one(teller.announce(made_up_head(u64::MAX, u64::MAX)))),
        ),
        banished(
            "unsigned announcement",
            Lie::announce(|mut announce, _| {
                announce.signature = None;
                one(announce)
            }),
        ),
        banished(
            "signed by somebody else",
            Lie::announce(|mut announce, _| {
                let other = causeway_tests::house::fresh_key();
                announce.signature = announce.head.map(|head| sign_head(&head, &other));
                one(announce)
            }),
        ),
        banished(
            "signature of another head",
            Lie::announce(|mut announce, teller| {
                announce.signature = Some(sign_head(&made_up_head(1, 1), &teller.key));
                one(announce)
            }),
        ),
        banished(
            "flood of made-up heads",
            Lie::announce(|announce, teller| {
                let td: u64 = announce.head.map_or(0, |head| head.td.to());
                (1..=200)
                    .map(|step| Message::Announce(teller.announce(made_up_head(step, td + step))))
                    .collect()
            }),
        ),
        banished(
            "flood of updates",
            Lie::announce(|announce, _| {
                let update = Announce {
                    head: None,
                    signature: None,
                    costs: vec![RequestCost { code: 2, base: 1, item: 1 }; 500],
                    ..announce
                };
                vec![Message::Announce(update); 120]
            }),
        ),
        banished(
            "update to an empty buffer",
            Lie::announce(|announce, _| {
                vec![Message::Announce(Announce {
                    head: None,
                    signature: None,
                    buffer: Some((0, 0)),
                    ..announce
                })]
            }),
        ),
        stays(
            "absurd reorg depth",
            Lie::announce(|mut announce, _| {
                announce.reorg_depth = u64::MAX;
                one(announce)
            }),
        ),
        stays("no announcement at all", Lie::announce(|_, _| Vec::new())),
        stays(
            "update to absurd costs",
            Lie::announce(|announce, _| {
                let costs =
                    (0..24).map(|code| RequestCost { code, base: u64::MAX, item: u64::MAX }).collect();
                vec![
                    Message::Announce(announce.clone()),
                    Message::Announce(Announce { head: None, signature: None, costs, ..announce }),
                ]
            }),
        ),
        stays(
            "update to an absurd buffer",
            Lie::announce(|announce, _| {
                let buffer = Some((u64::MAX, u64::MAX));
                let update = Announce { head: None, signature: None, buffer, ..announce.clone() };
                vec![Message::Announce(announce), Message::Announce(update)]
            }),
        ),
        stays(
            "false origins of others",
            Lie::announce(|mut announce, teller| {
                let head = announce.head.unwrap_or_else(|| made_up_head(1, 1));
                let public = causeway_tests::house::fresh_key().public_key().serialize_uncompressed();
                let node = NodeKey(B512::from_slice(&public[1..]));
                announce.origins = vec![Origin { node, head, signature: sign_head(&head, &teller.key) }; 8];
                one(announce)
            }),
        ),
        banished(
            "other head under the same number",
            Lie {
                answer: Some(|answer, query, _| {
                    // Whatever is asked about the made-up head is answered with the true one.
                    let causeway_wire::Query::Headers { start, .. } = query else { return false };
                    let causeway_wire::Answer::Headers(headers) = answer else { return false };
                    if *start == causeway_wire::HashOrNumber::Hash(B256::repeat_byte(0xee)) {
                        headers.clear();
                        return true;
                    }
                    false
                }),
                ..Lie::announce(|mut announce, teller| {
                    change(&mut announce, teller, |head| head.hash = B256::repeat_byte(0xee));
                    one(announce)
                })
            },
        ),
    ]
}

fn one(announce: Announce) -> Vec<Message> {
    vec![Message::Announce(announce)]
}

/// Changes the head, and signs it.
fn change(announce: &mut Announce, teller: &Teller, alter: impl FnOnce(&mut Head)) {
    let mut head = announce.head.expect("there is a head");
    alter(&mut head);
    *announce = teller.announce(head);
}
