//! Decoding and encoding the largest ordinary answers.
//!
//! Serves the decision that answers are decoded and written anew on their way through (which gives each light
//! peer its own request id and credit) instead of being patched as bytes, and that items are slices of the
//! message they came in.

use std::{hint::black_box, time::Duration};

use alloy_primitives::{Bytes, keccak256};
use causeway_bridge::Backend;
use causeway_devnet::{Config, DevBackend, genesis};
use causeway_wire::{
    Answer, HashOrNumber, ProofRequest, Query, RequestId,
    les::{Message, Version},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Blocks of the development chain; enough for a full run of headers.
const BLOCKS: u64 = 256;

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("les_codec");
    for (name, answer) in answers() {
        let message = Message::Response { id: RequestId(7), buffer: 300_000_000, answer };
        let payload: Bytes = message.encode(Version::Les4);
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter(|| Message::decode(Version::Les4, message.code(), black_box(&payload)));
        });
        group.bench_function(format!("encode/{name}"), |b| {
            b.iter(|| black_box(&message).encode(Version::Les4));
        });
    }
    group.finish();
}

/// What a chain with transactions in every block answers.
fn answers() -> [(&'static str, Answer); 3] {
    let now = genesis::TIMESTAMP + 2 * BLOCKS * genesis::PERIOD;
    let backend = DevBackend::new(Config { history: BLOCKS, ..Config::at(now) }).expect("a chain");
    let block = backend.head().head.hash;
    let ask = |query| futures::executor::block_on(backend.answer(query)).expect("the chain is all there");
    let account = ProofRequest { block, account: None, key: keccak256(genesis::CONTRACT), from_level: 0 };
    let start = HashOrNumber::Number(1);
    let lineage: Vec<_> = backend.head().lineage.iter().take(128).copied().collect();
    [
        ("192 headers", ask(Query::Headers { start, amount: 192, skip: 0, reverse: false })),
        ("account proof", ask(Query::Proofs(vec![account]))),
        ("receipts of 128 blocks", ask(Query::Receipts(lineage))),
    ]
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = codec
}
criterion_main!(benches);
