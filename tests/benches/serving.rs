//! The whole path in one process: a light peer's question over a loopback connection, through the service, to a
//! chain in memory, and back.
//!
//! Serves the decision which transport a device should prefer where it has the choice, and shows what a change to
//! the path costs. Light peer and server share the machine; credit is set so high that it never waits.
//! `load against-geth` measures the same with a real full node behind.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_primitives::keccak256;
use causeway_bridge::Service;
use causeway_devnet::{Config, DevBackend, genesis, genesis_json};
use causeway_records::Enode;
use causeway_tests::load::LightPeer;
use causeway_translate::{ChainIdentity, ServerConfig};
use causeway_transports::{Limits, Transports, TransportsConfig};
use causeway_verify::ChainSpec;
use causeway_wire::{
    HashOrNumber, ProofRequest, Query,
    les::{FlowControl, Version},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use secp256k1::SecretKey;
use tokio::runtime::Runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Blocks of the development chain; enough for a full run of headers.
const BLOCKS: u64 = 256;
/// Questions under way at once.
const INFLIGHT: u64 = 16;

fn serving(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let spec = ChainSpec::from_genesis_json("dev", &genesis_json()).expect("a genesis.json");
    let relay = runtime.block_on(Relay::start(&spec));
    let mut group = c.benchmark_group("serving");
    group.throughput(Throughput::Elements(1));
    for (transport, address) in &relay.addresses {
        let peer = runtime.block_on(LightPeer::connect(address, &spec)).expect("a session");
        for (name, query) in &relay.questions {
            group.bench_function(format!("{name}/{transport}"), |b| {
                b.iter_custom(|count| runtime.block_on(ask(&peer, query, count)));
            });
        }
        runtime.block_on(peer.leave());
    }
    group.finish();
    runtime.block_on(relay.stop());
}

/// Asks so many times, [`INFLIGHT`] at once.
async fn ask(peer: &LightPeer, query: &Query, count: u64) -> Duration {
    let begun = Instant::now();
    let left = Arc::new(AtomicU64::new(count));
    let askers: Vec<_> = (0..INFLIGHT.min(count))
        .map(|_| {
            let (peer, query, left) = (peer.clone(), query.clone(), Arc::clone(&left));
            tokio::spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    peer.ask(query.clone()).await.expect("an answer");
                }
            })
        })
        .collect();
    for asker in askers {
        asker.await.expect("every question was answered");
    }
    begun.elapsed()
}

/// A relay before a chain in memory.
struct Relay {
    transports: Transports,
    tasks: TaskTracker,
    stop: CancellationToken,
    addresses: Vec<(&'static str, String)>,
    questions: Vec<(&'static str, Query)>,
}

impl Relay {
    async fn start(spec: &ChainSpec) -> Self {
        let now = genesis::TIMESTAMP + 2 * BLOCKS * genesis::PERIOD;
        let backend = DevBackend::new(Config { history: BLOCKS, ..Config::at(now) }).expect("a chain");
        let key = SecretKey::from_secret_bytes([7; 32]).expect("a key");
        let here = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let config = TransportsConfig {
            secret_key: key,
            client_id: "CausewayBench/v1/rust".to_owned(),
            capabilities: Version::ALL.into_iter().map(Version::capability).collect(),
            devp2p: here,
            libp2p_tcp: here,
            libp2p_quic: here,
            websocket: here,
            secure_websocket: None,
            webtransport: None,
            webrtc_direct: None,
            trusted_roots: Vec::new(),
            external_addresses: Vec::new(),
            dial_guard: causeway_transports::DialGuard::Any,
            rendezvous_server: None,
            reach: causeway_transports::ReachConfig::default(),
            limits: Limits::default(),
            lists: causeway_transports::Lists::default(),
        };
        let (transports, incoming) = Transports::start(config).await.expect("free ports");
        let addr = transports.devp2p_addr().expect("it listens");
        let enode = Enode::new(transports.node_key(), addr).to_string();
        let multiaddrs = transports.multiaddrs();
        let find = |has: &str, lacks: &str| {
            let found = multiaddrs.iter().find(|addr| addr.contains(has) && !addr.contains(lacks));
            found.expect("it listens").clone()
        };
        let addresses = vec![
            ("rlpx", enode),
            ("tcp", find("/tcp/", "/ws")),
            ("quic", find("/quic-v1", "webtransport")),
            ("ws", find("/ws", "/wss")),
        ];
        let questions = questions(&backend);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let service = Service::new(Arc::new(backend), server_config(spec, key), tasks.clone());
        tasks.spawn(service.run(incoming, stop.clone()));
        Self { transports, tasks, stop, addresses, questions }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.transports.shutdown(Duration::from_secs(1)).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn questions(backend: &DevBackend) -> Vec<(&'static str, Query)> {
    let headers = |amount| Query::Headers { start: HashOrNumber::Number(1), amount, skip: 0, reverse: false };
    let block = backend.head().head.hash;
    let account = ProofRequest { block, account: None, key: keccak256(genesis::CONTRACT), from_level: 0 };
    vec![
        ("1 header", headers(1)),
        ("192 headers", headers(192)),
        ("account proof", Query::Proofs(vec![account])),
    ]
}

fn server_config(spec: &ChainSpec, signing_key: SecretKey) -> ServerConfig {
    let flow = ServerConfig::default_flow();
    ServerConfig {
        chain: ChainIdentity {
            network: spec.network,
            genesis: spec.genesis_hash,
            genesis_td: spec.genesis.difficulty,
            forks: spec.fork_filter(0, spec.genesis.timestamp),
        },
        flow: FlowControl { buffer_limit: 1_000_000_000_000, recharge: 1_000_000_000, ..flow },
        max_sessions: 16,
        signing_key,
        patience: Duration::from_secs(10),
        recent_state: 124,
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    targets = serving
}
criterion_main!(benches);
