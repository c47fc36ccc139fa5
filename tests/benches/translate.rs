//! One request through both roles of LES, without any IO: from a light peer's question to its answer.
//!
//! Serves the decision to run all light peers in one task: what one request takes here, times the requests a second
//! that one core is to serve, is what that task may spend on them.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::{B256, B512, Bytes, U256, keccak256};
use causeway_devnet::genesis_json;
use causeway_translate::{
    AccountKeyForm, ChainIdentity, Client, ClientCommand, ClientConfig, Command, MessageId, ServerConfig,
    Ticket, Translator,
};
use causeway_verify::ChainSpec;
use causeway_wire::{
    Answer, HashOrNumber, Head, HeadUpdate, NodeKey, PeerId, ProofRequest, Query, SessionId, les::Version,
    rlp::put_string_list,
};
use criterion::{Criterion, criterion_group, criterion_main};
use secp256k1::SecretKey;

const SESSION: SessionId = SessionId(1);

fn translate(c: &mut Criterion) {
    let mut group = c.benchmark_group("translate");
    let start = HashOrNumber::Number(1);
    let headers = |amount| Query::Headers { start, amount, skip: 0, reverse: false };
    let proof = ProofRequest { block: B256::ZERO, account: None, key: B256::ZERO, from_level: 0 };
    for (name, query, answer) in [
        ("1 header", headers(1), Answer::Headers(vec![item(540)])),
        ("192 headers", headers(192), Answer::Headers(vec![item(540); 192])),
        ("account proof", Query::Proofs(vec![proof]), Answer::Proofs(vec![item(532); 7])),
    ] {
        group.bench_function(name, |b| {
            let mut pair = Pair::greeted();
            b.iter(|| pair.ask(black_box(&query), black_box(&answer)));
        });
    }
    group.finish();
}

/// A light peer and a server, whose messages are handed over in person.
struct Pair {
    client: Client,
    server: Translator,
    now: Instant,
    next: u64,
}

impl Pair {
    fn greeted() -> Self {
        let now = Instant::now();
        let spec = ChainSpec::from_genesis_json("dev", &genesis_json()).expect("a genesis.json");
        let chain = ChainIdentity {
            network: spec.network,
            genesis: spec.genesis_hash,
            genesis_td: spec.genesis.difficulty,
            forks: spec.fork_filter(0, spec.genesis.timestamp),
        };
        let mut server = Translator::new(ServerConfig {
            chain: chain.clone(),
            flow: ServerConfig::default_flow(),
            max_sessions: 10,
            signing_key: SecretKey::from_secret_bytes([1; 32]).expect("a key"),
            patience: Duration::from_secs(10),
            recent_state: 124,
        });
        let head = Head { hash: keccak256(b"head"), number: 1000, td: U256::from(2000) };
        server.handle_head(
            Arc::new(HeadUpdate {
                head,
                timestamp: spec.genesis.timestamp + 2000,
                lineage: Arc::new([head.hash]),
                origins: Arc::new([]),
            }),
            now,
        );
        let config = ClientConfig {
            chain,
            signed: false,
            origins: false,
            heartbeat: None,
            patience: Duration::from_secs(10),
            max_queue: 16,
            account_key: AccountKeyForm::Hash,
        };
        let client = Client::new(config, Version::Les4, None, 7, now);
        server.handle_open(SESSION, PeerId::devp2p(NodeKey(B512::with_last_byte(1))), Version::Les4, now);
        let mut pair = Self { client, server, now, next: 0 };
        pair.carry(&Answer::Headers(Vec::new()));
        assert!(pair.client.status().is_some(), "the Statuses agree");
        pair
    }

    /// Puts a question and carries messages until its answer is there.
    fn ask(&mut self, query: &Query, answer: &Answer) {
        self.now += Duration::from_millis(10); // for the credit to come back
        self.next += 1;
        self.client.ask(Ticket(self.next), query.clone(), self.now);
        assert!(self.carry(answer), "an answer came");
    }

    /// Hands over until both are silent; true if the client got an answer.
    fn carry(&mut self, answer: &Answer) -> bool {
        let mut answered = false;
        loop {
            let mut silent = true;
            while let Some(command) = self.client.poll_command() {
                silent = false;
                match command {
                    ClientCommand::Send { code, payload } => {
                        self.next += 1;
                        let message = MessageId(self.next);
                        self.server.handle_message(SESSION, message, code, &payload, self.now);
                    }
                    ClientCommand::Answered { outcome, .. } => {
                        assert!(outcome.is_ok(), "{outcome:?}");
                        answered = true;
                    }
                    ClientCommand::Greeted { .. } | ClientCommand::Announced(_) => {}
                    ClientCommand::Close(fault) => panic!("{fault}"),
                }
            }
            while let Some(command) = self.server.poll_command() {
                silent = false;
                match command {
                    Command::Ask { ticket, .. } => {
                        self.server.handle_answer(ticket, Ok(answer.clone()), self.now);
                    }
                    Command::Send { code, payload, .. } => {
                        self.client.handle_message(code, &payload, self.now);
                    }
                    Command::Release { .. } | Command::Forget { .. } | Command::Heartbeat { .. } => {}
                    Command::Close { fault, .. } => panic!("{fault}"),
                }
            }
            if silent {
                return answered;
            }
        }
    }
}

/// A list of `size` bytes, as a header or a trie node is one.
fn item(size: usize) -> Bytes {
    let mut out = Vec::new();
    put_string_list(&mut out, &[vec![7; size - 6]]);
    out.into()
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = translate
}
criterion_main!(benches);
