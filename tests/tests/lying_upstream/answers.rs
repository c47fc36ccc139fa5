//! Lies in answers.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use causeway_devnet::{DevAccount, DevBackend};
use causeway_tests::{
    full_node::{self, Act, Lie, Reply, Teller},
    probe::Probe,
};
use causeway_verify::clique_seal_hash;
use causeway_wire::{Answer, HashOrNumber, Inclusion, Query, TransactionStatus, les::Message};
use secp256k1::SecretKey;

use crate::{
    Case,
    Verdict::{Banished, Stays},
    alter,
};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = headers();
    cases.extend(bodies());
    cases.extend(receipts());
    cases.extend(proofs());
    cases.extend(codes());
    cases.extend(transactions());
    cases
}

fn headers() -> Vec<Case> {
    let banished = |name, lie| Case::new(name, Probe::Headers, Banished, Lie::answer(lie));
    let stays = |name, lie| Case::new(name, Probe::Headers, Stays, Lie::answer(lie));
    vec![
        banished("header: state root", |answer, _, _| {
            first_header(answer, |header| header.state_root.0[0] ^= 1)
        }),
        banished("header: transactions root", |answer, _, _| {
            last_header(answer, |header| header.transactions_root.0[31] ^= 1)
        }),
        banished("header: receipts root", |answer, _, _| {
            first_header(answer, |header| header.receipts_root.0[3] ^= 1)
        }),
        banished("header: parent", |answer, _, _| last_header(answer, |header| header.parent_hash.0[0] ^= 1)),
        banished("header: number", |answer, _, _| last_header(answer, |header| header.number += 1)),
        banished("header: number jumps", |answer, _, _| {
            first_header(answer, |header| header.number = u64::MAX)
        }),
        banished("header: time", |answer, _, _| last_header(answer, |header| header.timestamp += 1)),
        banished("header: difficulty", |answer, _, _| {
            last_header(answer, |header| header.difficulty = U256::from(1))
        }),
        banished("header: bloom", |answer, _, _| last_header(answer, |header| header.logs_bloom.0[0] ^= 1)),
        banished("header: forged seal", |answer, _, _| {
            first_header(answer, |header| {
                let mut extra = header.extra_data.to_vec();
                let last = extra.len() - 2;
                extra[last] ^= 1;
                header.extra_data = extra.into();
            })
        }),
        banished("header: another block's", |answer, _, backend| {
            let Answer::Headers(headers) = answer else { return false };
            let Some(first) = headers.first_mut() else { return false };
            *first = header_of(backend, 3);
            true
        }),
        banished("header: one too many", |answer, _, backend| {
            let Answer::Headers(headers) = answer else { return false };
            headers.push(header_of(backend, 0));
            true
        }),
        banished("header: twice the same", |answer, _, _| {
            let Answer::Headers(headers) = answer else { return false };
            let twice = headers.get(1).cloned().map(|second| headers[0] = second);
            twice.is_some()
        }),
        banished("headers: wrong order", |answer, _, _| {
            let Answer::Headers(headers) = answer else { return false };
            headers.reverse();
            headers.len() > 1
        }),
        banished("headers: gap", |answer, _, _| {
            let Answer::Headers(headers) = answer else { return false };
            headers.len() > 2 && {
                headers.remove(1);
                true
            }
        }),
        banished("headers: a list within", |answer, _, _| {
            let Answer::Headers(headers) = answer else { return false };
            headers.iter_mut().for_each(|header| *header = alter::list(std::slice::from_ref(header)));
            !headers.is_empty()
        }),
        banished("headers: none", |answer, _, _| {
            let Answer::Headers(headers) = answer else { return false };
            headers.clear();
            true
        }),
        stays("headers: fewer", |answer, _, _| {
            let Answer::Headers(headers) = answer else { return false };
            headers.len() > 1 && headers.pop().is_some()
        }),
        Case::new(
            "a branch with a false signer",
            Probe::Headers,
            Banished,
            Lie {
                status: Some(|status, teller| {
                    let (rlp, number) = forged(&teller.backend);
                    status.head.hash = keccak256(rlp);
                    status.head.number = number;
                    status.head.td += U256::from(2);
                }),
                reply: Some(forged_headers),
                ..Lie::default()
            },
        ),
    ]
}

/// A child of the head that somebody sealed who is no signer.
fn forged(backend: &DevBackend) -> (Bytes, u64) {
    let number = backend.head().head.number + 1;
    let rlp = alter::header(&header_of(backend, number - 1), |header| {
        header.parent_hash = backend.head().head.hash;
        header.number = number;
        header.timestamp += 2;
        let unsealed = header.extra_data.len() - 65;
        let key = SecretKey::from_secret_bytes(DevAccount::funded()[0].key.0).expect("a key");
        let message = secp256k1::Message::from_digest(clique_seal_hash(header).0);
        let signature = secp256k1::ecdsa::RecoverableSignature::sign_ecdsa_recoverable(message, &key);
        let (recovery, bytes) = signature.serialize_compact();
        let mut extra = header.extra_data[..unsealed].to_vec();
        extra.extend_from_slice(&bytes);
        extra.push(recovery.to_u8());
        header.extra_data = extra.into();
    });
    (rlp, number)
}

fn forged_headers(reply: Reply, teller: &Teller) -> Option<Vec<Act>> {
    let Query::Headers { start: HashOrNumber::Hash(hash), amount, .. } = reply.query else { return None };
    let (rlp, _) = forged(&teller.backend);
    if keccak256(&rlp) != hash {
        return None;
    }
    let start = HashOrNumber::Hash(teller.backend.head().head.hash);
    let query = Query::Headers { start, amount: amount - 1, skip: 0, reverse: true };
    let Answer::Headers(mut headers) = teller.answer(query) else { return None };
    headers.insert(0, rlp);
    let Reply { id, buffer, .. } = reply;
    Some(vec![Act::Send(Message::Response { id, buffer, answer: Answer::Headers(headers) })])
}

fn bodies() -> Vec<Case> {
    let banished = |name, lie| Case::new(name, Probe::Body, Banished, Lie::answer(lie));
    let stays = |name, lie| Case::new(name, Probe::Body, Stays, Lie::answer(lie));
    vec![
        banished("body: byte of a transaction", |answer, _, _| {
            body(answer, |parts| parts[0] = alter::flip(&parts[0], 3))
        }),
        banished("body: transaction dropped", |answer, _, _| {
            body(answer, |parts| {
                let mut transactions = alter::items(&parts[0]);
                transactions.pop();
                parts[0] = alter::list(&transactions);
            })
        }),
        banished("body: transaction twice", |answer, _, _| {
            body(answer, |parts| {
                let mut transactions = alter::items(&parts[0]);
                transactions.push(transactions[0].clone());
                parts[0] = alter::list(&transactions);
            })
        }),
        banished("body: transactions in another order", |answer, _, _| {
            body(answer, |parts| {
                let mut transactions = alter::items(&parts[0]);
                transactions.reverse();
                parts[0] = alter::list(&transactions);
            })
        }),
        banished("body: no transactions", |answer, _, _| body(answer, |parts| parts[0] = alter::list(&[]))),
        banished("body: an uncle", |answer, _, backend| {
            let uncle = header_of(backend, 2);
            body(answer, |parts| parts[1] = alter::list(&[uncle]))
        }),
        banished("body: withdrawals", |answer, _, _| body(answer, |parts| parts.push(alter::list(&[])))),
        banished("body: a fourth part", |answer, _, _| {
            body(answer, |parts| parts.extend([alter::list(&[]), alter::list(&[])]))
        }),
        banished("body: uncles missing", |answer, _, _| {
            body(answer, |parts| {
                parts.pop();
            })
        }),
        banished("body: length in a longer form", |answer, _, _| {
            let Answer::Bodies(bodies) = answer else { return false };
            bodies.iter_mut().for_each(|body| *body = long_form(body));
            true
        }),
        banished("body: another block's", |answer, _, backend| {
            let Answer::Bodies(bodies) = answer else { return false };
            let Some(Answer::Bodies(others)) =
                full_node::answer(backend, Query::Bodies(vec![hash_of(backend, 3)]))
            else {
                return false;
            };
            *bodies = others;
            true
        }),
        banished("bodies: one too many", |answer, _, _| {
            let Answer::Bodies(bodies) = answer else { return false };
            bodies.push(bodies[0].clone());
            true
        }),
        stays("bodies: none", |answer, _, _| {
            let Answer::Bodies(bodies) = answer else { return false };
            bodies.clear();
            true
        }),
    ]
}

fn receipts() -> Vec<Case> {
    let banished = |name, lie| Case::new(name, Probe::Receipts, Banished, Lie::answer(lie));
    vec![
        banished("receipts: log", |answer, _, _| {
            receipt(answer, |receipts| {
                let logged =
                    receipts.iter_mut().max_by_key(|receipt| receipt.len()).expect("there are receipts");
                *logged = alter::flip(logged, 5);
            })
        }),
        banished("receipts: status", |answer, _, _| {
            receipt(answer, |receipts| {
                let typed = alter::string(&receipts[0]);
                let mut fields = alter::items(&typed[1..]);
                fields[0] = alter::as_string(&[]);
                receipts[0] = alter::as_string(&[&typed[..1], &alter::list(&fields)[..]].concat());
            })
        }),
        banished("receipts: bloom", |answer, _, _| {
            receipt(answer, |receipts| {
                let typed = alter::string(&receipts[0]);
                let mut fields = alter::items(&typed[1..]);
                fields[2] = alter::flip(&fields[2], 100);
                receipts[0] = alter::as_string(&[&typed[..1], &alter::list(&fields)[..]].concat());
            })
        }),
        banished("receipts: type", |answer, _, _| {
            receipt(answer, |receipts| {
                let mut typed = alter::string(&receipts[0]).to_vec();
                typed[0] ^= 3;
                receipts[0] = alter::as_string(&typed);
            })
        }),
        banished("receipts: one dropped", |answer, _, _| {
            receipt(answer, |receipts| {
                receipts.pop();
            })
        }),
        banished("receipts: all dropped", |answer, _, _| receipt(answer, |receipts| receipts.clear())),
        banished("receipts: another block's", |answer, _, backend| {
            let Answer::Receipts(lists) = answer else { return false };
            let query = Query::Receipts(vec![hash_of(backend, 3)]);
            let Some(Answer::Receipts(others)) = full_node::answer(backend, query) else { return false };
            *lists = others;
            true
        }),
        Case::new(
            "receipts: none",
            Probe::Receipts,
            Stays,
            Lie::answer(|answer, _, _| {
                let Answer::Receipts(lists) = answer else { return false };
                lists.clear();
                true
            }),
        ),
    ]
}

fn proofs() -> Vec<Case> {
    let case = |name, probe, lie| Case::new(name, probe, Banished, Lie::answer(lie));
    vec![
        case("proof: byte of the root node", Probe::Account, |answer, _, _| {
            nodes(answer, |nodes| nodes[0] = alter::flip(&nodes[0], 20))
        }),
        case("proof: byte of the last node", Probe::Account, |answer, _, _| {
            nodes(answer, |nodes| {
                let last = nodes.len() - 1;
                nodes[last] = alter::flip(&nodes[last], 0);
            })
        }),
        case("proof: account altered and hashed anew", Probe::Account, |answer, _, _| {
            nodes(answer, |nodes| {
                let last = nodes.len() - 1;
                let mut altered = alter::flip(&nodes[last], 70);
                for place in (0..=last).rev() {
                    let old = keccak256(&nodes[place]);
                    nodes[place] = altered;
                    let new = keccak256(&nodes[place]);
                    let Some(above) = place.checked_sub(1) else { return };
                    altered = replaced(&nodes[above], old, new);
                }
            })
        }),
        case("proof: node useless", Probe::Account, |answer, _, backend| {
            let useless = useless_node(backend);
            nodes(answer, |nodes| nodes.push(useless))
        }),
        case("proof: made-up node", Probe::Storage, |answer, _, _| {
            nodes(answer, |nodes| {
                nodes.insert(0, alter::list(&[alter::as_string(&[0x20, 7]), alter::as_string(&[9; 40])]))
            })
        }),
        case("proof: node twice", Probe::Account, |answer, _, _| {
            nodes(answer, |nodes| nodes.push(nodes[0].clone()))
        }),
        case("proof: root node dropped", Probe::Account, |answer, _, _| {
            nodes(answer, |nodes| {
                nodes.remove(0);
            })
        }),
        case("proof: absence by truncation", Probe::Account, |answer, _, _| {
            nodes(answer, |nodes| {
                nodes.pop();
            })
        }),
        case("proof: absence truncated", Probe::NoAccount, |answer, _, _| {
            nodes(answer, |nodes| {
                nodes.truncate(1);
                nodes[0] = alter::flip(&nodes[0], 40);
            })
        }),
        case("proof: another block's state", Probe::Account, |answer, query, backend| {
            let (Answer::Proofs(nodes), Query::Proofs(requests)) = (answer, query) else { return false };
            let mut requests = requests.clone();
            requests.iter_mut().for_each(|request| request.block = hash_of(backend, 5));
            let Some(Answer::Proofs(others)) = full_node::answer(backend, Query::Proofs(requests)) else {
                return false;
            };
            *nodes = others;
            true
        }),
        case("proof: another account's", Probe::Account, |answer, query, backend| {
            let (Answer::Proofs(nodes), Query::Proofs(requests)) = (answer, query) else { return false };
            let mut requests = requests.clone();
            requests.iter_mut().for_each(|request| request.key = keccak256("nobody else at all"));
            let Some(Answer::Proofs(others)) = full_node::answer(backend, Query::Proofs(requests)) else {
                return false;
            };
            *nodes = others;
            true
        }),
        case("proof: storage value", Probe::Storage, |answer, _, _| {
            nodes(answer, |nodes| {
                let last = nodes.len() - 1;
                nodes[last] = alter::flip(&nodes[last], 0);
            })
        }),
        case("proof: storage node dropped", Probe::Storage, |answer, _, _| {
            nodes(answer, |nodes| {
                nodes.pop();
            })
        }),
        case("proof: length in a longer form", Probe::Account, |answer, _, _| {
            nodes(answer, |nodes| nodes.iter_mut().for_each(|node| *node = long_form(node)))
        }),
        Case::new(
            "proof: none",
            Probe::Account,
            Stays,
            Lie::answer(|answer, _, _| nodes(answer, Vec::clear)),
        ),
        Case::new(
            "proof: of the account only",
            Probe::Storage,
            Stays,
            Lie::answer(|answer, query, backend| {
                let (Answer::Proofs(nodes), Query::Proofs(requests)) = (answer, query) else { return false };
                let accounts: Vec<_> =
                    requests.iter().filter(|request| request.account.is_none()).cloned().collect();
                let Some(Answer::Proofs(others)) = full_node::answer(backend, Query::Proofs(accounts)) else {
                    return false;
                };
                *nodes = others;
                true
            }),
        ),
    ]
}

fn codes() -> Vec<Case> {
    let banished = |name, lie| Case::new(name, Probe::Code, Banished, Lie::answer(lie));
    vec![
        banished("code: byte", |answer, _, _| code(answer, |codes| codes[0] = alter::flip(&codes[0], 7))),
        banished("code: empty", |answer, _, _| code(answer, |codes| codes[0] = Bytes::new())),
        banished("code: another contract's", |answer, _, _| {
            code(answer, |codes| codes[0] = Bytes::from_static(&[0x60, 0x00, 0xf3]))
        }),
        banished("code: longer", |answer, _, _| {
            code(answer, |codes| codes[0] = [&codes[0][..], &[0]].concat().into())
        }),
        banished("code: one too many", |answer, _, _| code(answer, |codes| codes.push(codes[0].clone()))),
        Case::new("code: none", Probe::Code, Stays, Lie::answer(|answer, _, _| code(answer, Vec::clear))),
    ]
}

fn transactions() -> Vec<Case> {
    let banished = |name, lie| Case::new(name, Probe::Transaction, Banished, Lie::answer(lie));
    let stays = |name, lie| Case::new(name, Probe::Transaction, Stays, Lie::answer(lie));
    vec![
        banished("status: wrong index", |answer, _, _| inclusion(answer, |inclusion| inclusion.index = 0)),
        banished("status: index beyond the block", |answer, _, _| {
            inclusion(answer, |inclusion| inclusion.index = u64::MAX)
        }),
        banished("status: wrong number", |answer, _, _| inclusion(answer, |inclusion| inclusion.number -= 1)),
        banished("status: another block", |answer, _, backend| {
            let (block, number) = (hash_of(backend, 4), 4);
            inclusion(answer, |inclusion| (inclusion.block, inclusion.number) = (block, number))
        }),
        banished("status: unknown block", |answer, _, _| {
            inclusion(answer, |inclusion| inclusion.block = B256::repeat_byte(0xee))
        }),
        banished("status: included nowhere", |answer, _, _| {
            statuses(answer, |statuses| statuses.iter_mut().for_each(|status| status.inclusion = None))
        }),
        banished("status: pending, and included", |answer, _, _| {
            statuses(answer, |statuses| statuses.iter_mut().for_each(|status| status.status = 2))
        }),
        banished("status: a number that is none", |answer, _, _| {
            statuses(answer, |statuses| {
                for status in statuses {
                    *status = TransactionStatus { status: 77, inclusion: None, error: String::new() };
                }
            })
        }),
        banished("status: an endless error", |answer, _, _| {
            statuses(answer, |statuses| {
                for status in statuses {
                    *status = TransactionStatus { status: 0, inclusion: None, error: "x".repeat(1 << 20) };
                }
            })
        }),
        banished("statuses: one too many", |answer, _, _| {
            statuses(answer, |statuses| statuses.push(statuses[0].clone()))
        }),
        banished("statuses: none", |answer, _, _| statuses(answer, Vec::clear)),
        stays("status: pending though included", |answer, _, _| {
            statuses(answer, |statuses| {
                for status in statuses {
                    *status = TransactionStatus { status: 2, inclusion: None, error: String::new() };
                }
            })
        }),
        stays("status: unknown though included", |answer, _, _| {
            statuses(answer, |statuses| {
                for status in statuses {
                    *status = TransactionStatus { status: 0, inclusion: None, error: String::new() };
                }
            })
        }),
    ]
}

fn first_header(answer: &mut Answer, alter: impl FnOnce(&mut alloy_consensus::Header)) -> bool {
    let Answer::Headers(headers) = answer else { return false };
    let Some(header) = headers.first_mut() else { return false };
    *header = alter::header(header, alter);
    true
}

fn last_header(answer: &mut Answer, alter: impl FnOnce(&mut alloy_consensus::Header)) -> bool {
    let Answer::Headers(headers) = answer else { return false };
    let Some(header) = headers.last_mut() else { return false };
    *header = alter::header(header, alter);
    true
}

fn body(answer: &mut Answer, alter: impl FnOnce(&mut Vec<Bytes>)) -> bool {
    let Answer::Bodies(bodies) = answer else { return false };
    let Some(body) = bodies.first_mut() else { return false };
    let mut parts = alter::items(body);
    alter(&mut parts);
    *body = alter::list(&parts);
    true
}

fn receipt(answer: &mut Answer, alter: impl FnOnce(&mut Vec<Bytes>)) -> bool {
    let Answer::Receipts(lists) = answer else { return false };
    let Some(list) = lists.first_mut() else { return false };
    let mut receipts = alter::items(list);
    alter(&mut receipts);
    *list = alter::list(&receipts);
    true
}

fn nodes(answer: &mut Answer, alter: impl FnOnce(&mut Vec<Bytes>)) -> bool {
    let Answer::Proofs(nodes) = answer else { return false };
    if nodes.is_empty() {
        return false;
    }
    alter(nodes);
    true
}

fn code(answer: &mut Answer, alter: impl FnOnce(&mut Vec<Bytes>)) -> bool {
    let Answer::Codes(codes) = answer else { return false };
    if codes.is_empty() {
        return false;
    }
    alter(codes);
    true
}

fn statuses(answer: &mut Answer, alter: impl FnOnce(&mut Vec<TransactionStatus>)) -> bool {
    let Answer::TransactionStatus(statuses) = answer else { return false };
    alter(statuses);
    true
}

fn inclusion(answer: &mut Answer, alter: impl Fn(&mut Inclusion)) -> bool {
    statuses(answer, |statuses| {
        statuses.iter_mut().filter_map(|status| status.inclusion.as_mut()).for_each(alter)
    })
}

/// The header of a block of the canonical chain.
fn header_of(backend: &DevBackend, number: u64) -> Bytes {
    let query = Query::Headers { start: HashOrNumber::Number(number), amount: 1, skip: 0, reverse: false };
    let Some(Answer::Headers(headers)) = full_node::answer(backend, query) else {
        panic!("no header {number}")
    };
    headers[0].clone()
}

fn hash_of(backend: &DevBackend, number: u64) -> B256 {
    keccak256(header_of(backend, number))
}

/// A node that is on another path of the same state.
fn useless_node(backend: &DevBackend) -> Bytes {
    let Answer::Proofs(nodes) = Probe::Storage.answer(backend) else { panic!("no proof") };
    nodes.last().expect("a storage path has nodes").clone()
}

fn replaced(node: &Bytes, old: B256, new: B256) -> Bytes {
    let mut altered = node.to_vec();
    let place = altered.windows(32).position(|window| window == old.as_slice()).expect("a parent of it");
    altered[place..place + 32].copy_from_slice(new.as_slice());
    altered.into()
}

/// A list whose length is written with a byte more than it needs.
fn long_form(list: &Bytes) -> Bytes {
    let mut rest = &list[..];
    let header = alloy_rlp::Header::decode(&mut rest).expect("it is RLP");
    let length = u32::try_from(header.payload_length).expect("it is short");
    [&[0xfb][..], &length.to_be_bytes(), rest].concat().into()
}
