//! Sealing and opening RLPx frames, beside the ciphers alone.
//!
//! Serves the decision to seal in place with RustCrypto's AES and Keccak: what a connection can carry is bound by
//! the Keccak of its MAC, so anything that copies less gains little. The payload does not compress, which is the
//! worst case for snappy and the usual one for proofs and headers.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use aes::cipher::{KeyIvInit, StreamCipher};
use bytes::Bytes;
use causeway_rlpx::{Config, Connection, Event, Randomness, SeenAuths};
use causeway_wire::{Capability, SharedCapability};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use secp256k1::SecretKey;
use sha3::{Digest, Keccak256};

const SIZES: [(&str, usize); 3] = [("1 KiB", 1 << 10), ("64 KiB", 1 << 16), ("1 MiB", 1 << 20)];

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("rlpx_throughput");
    for (name, size) in SIZES {
        let payload = noise(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("AES-256-CTR alone/{name}"), |b| {
            let mut cipher = ctr::Ctr128BE::<aes::Aes256Enc>::new(&[7; 32].into(), &[0; 16].into());
            let mut buffer = payload.clone();
            b.iter(|| cipher.apply_keystream(black_box(&mut buffer)));
        });
        group.bench_function(format!("AES-256-CTR and Keccak-256/{name}"), |b| {
            let mut cipher = ctr::Ctr128BE::<aes::Aes256Enc>::new(&[7; 32].into(), &[0; 16].into());
            let mut mac = Keccak256::new();
            let mut buffer = payload.clone();
            b.iter(|| {
                cipher.apply_keystream(black_box(&mut buffer));
                mac.update(&buffer);
            });
        });
        group.bench_function(format!("seal/{name}"), |b| {
            let mut pair = Pair::connected();
            b.iter(|| pair.seal(&payload));
        });
        group.bench_function(format!("open/{name}"), |b| {
            // Each frame can be opened once, in order: sealing it is not timed.
            let mut pair = Pair::connected();
            b.iter_custom(|frames| {
                let mut spent = Duration::ZERO;
                for _ in 0..frames {
                    let sealed = pair.seal(&payload);
                    let begun = Instant::now();
                    let opened = pair.open(&sealed);
                    spent += begun.elapsed();
                    assert_eq!(opened, size);
                }
                spent
            });
        });
    }
    group.finish();
}

/// Two connected nodes.
struct Pair {
    sender: Connection,
    receiver: Connection,
    les: SharedCapability,
    now: Instant,
}

impl Pair {
    fn connected() -> Self {
        let now = Instant::now();
        let (ours, theirs) = (config(1), config(2));
        let key = theirs.node_key();
        let mut sender = Connection::dial(ours, key, Randomness::from_seed([1; 32]), now);
        let seen = Arc::new(SeenAuths::default());
        let mut receiver = Connection::accept(theirs, Randomness::from_seed([2; 32]), seen, now);
        for _ in 0..2 {
            while let Some(bytes) = sender.poll_transmit() {
                receiver.handle_input(&bytes, now);
            }
            while let Some(bytes) = receiver.poll_transmit() {
                sender.handle_input(&bytes, now);
            }
        }
        let Some(Event::Connected { mut capabilities, .. }) = sender.poll_event() else {
            panic!("two well-behaved nodes connect");
        };
        assert!(matches!(receiver.poll_event(), Some(Event::Connected { .. })));
        let les = capabilities.pop().expect("a shared capability");
        Self { sender, receiver, les, now }
    }

    fn seal(&mut self, payload: &[u8]) -> Bytes {
        self.sender.send(&self.les, 3, payload).expect("connected");
        let sealed = self.sender.poll_transmit().expect("a frame");
        assert!(self.sender.poll_transmit().is_none(), "a frame in one piece");
        sealed
    }

    fn open(&mut self, sealed: &[u8]) -> usize {
        self.receiver.handle_input(sealed, self.now);
        match self.receiver.poll_event() {
            Some(Event::Message { payload, .. }) => payload.len(),
            other => panic!("a message was due, not {other:?}"),
        }
    }
}

fn config(seed: u8) -> Arc<Config> {
    let secret = SecretKey::from_secret_bytes([seed; 32]).expect("a key");
    Arc::new(Config::new(secret, format!("Bench{seed}/v1"), vec![Capability::new("les", 4)]))
}

/// Bytes that do not compress: a keystream.
fn noise(size: usize) -> Vec<u8> {
    let mut noise = vec![0; size];
    ctr::Ctr128BE::<aes::Aes256Enc>::new(&[9; 32].into(), &[0; 16].into()).apply_keystream(&mut noise);
    noise
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = frames
}
criterion_main!(benches);
