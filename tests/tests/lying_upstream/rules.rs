//! Rules of the protocol that a full node breaks. Oversized frames and codes beyond the capability cannot be sent
//! by our own RLPx; `causeway-rlpx` tells of those.

use std::time::Duration;

use bytes::Bytes;
use causeway_tests::{
    full_node::{Act, Lie, Reply, made_up_head, server_status},
    probe::Probe,
};
use causeway_wire::{
    Answer, Query, RequestId,
    les::{Message, Version, code},
};

use crate::{
    Case, UPSTREAM_PATIENCE,
    Verdict::{Banished, Stays},
    alter,
};

pub(crate) fn cases() -> Vec<Case> {
    let banished = |name, probe, lie| Case::new(name, probe, Banished, Lie::reply(lie));
    let stays = |name, probe, lie| Case::new(name, probe, Stays, Lie::reply(lie));
    vec![
        stays("wrong request id", Probe::Body, |mut reply, _| {
            of(&mut reply, code::GET_BLOCK_BODIES)?;
            reply.id = RequestId(reply.id.0 ^ 1);
            Some(vec![Act::Send(reply.message())])
        }),
        stays("answers twice", Probe::Receipts, |mut reply, _| {
            of(&mut reply, code::GET_RECEIPTS)?;
            Some(vec![Act::Send(reply.message()), Act::Send(reply.message())])
        }),
        stays("answers twice, another answer second", Probe::Body, |mut reply, _| {
            of(&mut reply, code::GET_BLOCK_BODIES)?;
            let honest = reply.message();
            if let Answer::Bodies(bodies) = &mut reply.answer {
                bodies[0] = alter::flip(&bodies[0], 10);
            }
            Some(vec![Act::Send(honest), Act::Send(reply.message())])
        }),
        banished("answer of another kind", Probe::Body, |mut reply, _| {
            of(&mut reply, code::GET_BLOCK_BODIES)?;
            reply.answer = Answer::Receipts(Vec::new());
            Some(vec![Act::Send(reply.message())])
        }),
        stays("buffer of u64::MAX", Probe::Account, |mut reply, _| {
            reply.buffer = u64::MAX;
            Some(vec![Act::Send(reply.message())])
        }),
        stays("buffer of 0", Probe::Account, |mut reply, _| {
            reply.buffer = 0;
            Some(vec![Act::Send(reply.message())])
        }),
        banished("answer of 9 MiB", Probe::Code, |mut reply, _| {
            of(&mut reply, code::GET_CONTRACT_CODES)?;
            reply.answer = Answer::Codes(vec![vec![0; 9 << 20].into()]);
            Some(vec![Act::Send(reply.message())])
        }),
        banished("answer that is no RLP", Probe::Receipts, |mut reply, _| {
            of(&mut reply, code::GET_RECEIPTS)?;
            Some(vec![Act::SendRaw(code::RECEIPTS, Bytes::from_static(&[0xf9, 0xff, 0xff, 0x01]))])
        }),
        banished("answer with bytes left over", Probe::Receipts, |mut reply, _| {
            of(&mut reply, code::GET_RECEIPTS)?;
            let mut payload = reply.message().encode(Version::Les4).to_vec();
            payload.push(0x80);
            Some(vec![Act::SendRaw(code::RECEIPTS, payload.into())])
        }),
        banished("answer with a field too many", Probe::Receipts, |mut reply, _| {
            of(&mut reply, code::GET_RECEIPTS)?;
            let mut fields = alter::items(&reply.message().encode(Version::Les4));
            fields.push(alter::as_string(&[]));
            Some(vec![Act::SendRaw(code::RECEIPTS, alter::list(&fields).into())])
        }),
        banished("unknown code", Probe::Code, |mut reply, _| {
            of(&mut reply, code::GET_CONTRACT_CODES)?;
            Some(vec![Act::SendRaw(0x08, Bytes::from_static(&[0xc0]))])
        }),
        banished("second status", Probe::Code, |mut reply, teller| {
            of(&mut reply, code::GET_CONTRACT_CODES)?;
            Some(vec![Act::Send(Message::Status(server_status(&teller.backend, teller.version)))])
        }),
        banished("asks us", Probe::Body, |mut reply, _| {
            of(&mut reply, code::GET_BLOCK_BODIES)?;
            Some(vec![Act::Send(Message::Request { id: reply.id, query: reply.query })])
        }),
        stays("stop without resume", Probe::Body, |mut reply, _| {
            of(&mut reply, code::GET_BLOCK_BODIES)?;
            Some(vec![Act::Send(Message::Stop)])
        }),
        stays("resume without stop", Probe::Body, |mut reply, _| {
            of(&mut reply, code::GET_BLOCK_BODIES)?;
            Some(vec![Act::Send(Message::Resume { buffer: u64::MAX }), Act::Send(reply.message())])
        }),
        stays("silence", Probe::Account, |mut reply, _| {
            of(&mut reply, code::GET_PROOFS_V2)?;
            Some(Vec::new())
        }),
        stays("silence about headers", Probe::Account, |mut reply, _| {
            of(&mut reply, code::GET_BLOCK_HEADERS)?;
            Some(Vec::new())
        }),
        stays("answer after the time", Probe::Account, |mut reply, _| {
            of(&mut reply, code::GET_PROOFS_V2)?;
            Some(vec![Act::Wait(UPSTREAM_PATIENCE + Duration::from_millis(500)), Act::Send(reply.message())])
        }),
        stays("leaves in the middle", Probe::Storage, |mut reply, _| {
            of(&mut reply, code::GET_PROOFS_V2)?;
            Some(vec![Act::HangUp])
        }),
        Case::new(
            "answers before it is asked",
            Probe::Body,
            Stays,
            Lie::unasked(|teller| {
                let answer = Probe::Body.answer(&teller.backend);
                let answers = (0..50).map(|id| Message::Response {
                    id: RequestId(id),
                    buffer: 1,
                    answer: answer.clone(),
                });
                answers.map(Act::Send).collect()
            }),
        ),
        Case::new(
            "helper tries that nobody asked for",
            Probe::Body,
            Stays,
            Lie::unasked(|_| {
                let answer = Answer::HelperTries { nodes: vec![alter::list(&[])], auxiliary: Vec::new() };
                vec![Act::Send(Message::Response { id: RequestId(1), buffer: 1, answer })]
            }),
        ),
        Case::new(
            "announces before its time",
            Probe::Body,
            Banished,
            Lie::unasked(|teller| {
                vec![Act::Send(Message::Announce(teller.announce(made_up_head(1 << 40, 1 << 40))))]
            }),
        ),
    ]
}

/// `Some` if it was a request of this code.
fn of(reply: &mut Reply, code: u64) -> Option<()> {
    let query: &Query = &reply.query;
    (causeway_wire::les::request_code(query) == code).then_some(())
}
