//! Any sequence of calls keeps what the pool promises, checked against a model of who is dialed and connected.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::LazyLock,
    time::{Duration, Instant},
};

use alloy_eip2124::{ForkFilter, ForkFilterKey, Head};
use alloy_primitives::B256;
use causeway_pool::{
    BANISHED, Connected, Dial, Failure, MAX_EVENTS, MAX_REMEMBERED, Memory, Named, Pool, PoolConfig, Role,
    Source, Targets, Value,
};
use causeway_records::{Contents, Enode, Host, Multiaddr, Reach, Record, Way, is_allowed};
use causeway_wire::{ForkId, NodeKey, Stack};
use proptest::prelude::*;
use secp256k1::SecretKey;

const UNIX: u64 = 1_800_000_000;
const NODES: usize = 24;
const CANDIDATES: usize = 12;

/// Our chain as of block `number`: the forks are at 10 and 1,000.
fn forks(number: u64) -> ForkFilter {
    let head = Head { number, ..Head::default() };
    ForkFilter::new(head, B256::repeat_byte(1), 0, [ForkFilterKey::Block(10), ForkFilterKey::Block(1_000)])
}

/// Two records of each node. Node 0 is ourselves; some share a subnet, some name private addresses or another
/// chain.
static RECORDS: LazyLock<Vec<[Record; 2]>> = LazyLock::new(|| {
    let of_node = |number: usize| {
        let byte = number as u8 + 1;
        let secret = SecretKey::from_secret_bytes([byte; 32]).expect("valid secret");
        let ours = forks(100).current();
        let eth = if number % 7 == 6 {
            ForkId { hash: [9; 4], next: 0 }
        } else {
            ForkId { hash: ours.hash.0, next: ours.next }
        };
        let ip = match number % 5 {
            0 => Ipv4Addr::new(8, 8, 8, byte),
            1 if number < 12 => Ipv4Addr::new(192, 168, 1, byte),
            _ => Ipv4Addr::new(8, byte, 4, 4),
        };
        let contents = |tcp| Contents {
            ip: Some(ip),
            tcp: Some(tcp),
            quic: number.is_multiple_of(3).then_some(9_000),
            eth: Some(eth),
            les: number % 8 != 7,
            ..Contents::default()
        };
        [1, 2].map(|seq| Record::sign(&secret, seq, &contents(30_000 + seq as u16)).expect("fits").record)
    };
    (0..NODES).map(of_node).collect()
});

fn key(node: usize) -> NodeKey {
    RECORDS[node][0].key()
}

#[derive(Clone, Debug)]
enum Call {
    Record(usize, usize, Source),
    Enode(usize),
    Addresses(usize),
    Name(usize, Source),
    /// The dial at this place of those under way succeeds on a stack, as a role.
    Succeed(usize, Stack, Role),
    Fail(usize, Failure),
    Come(usize, Stack, Role),
    /// A session at this place of those that stand ends.
    End(usize, Failure),
    Value(usize, u64, u64),
    Role(usize, Role),
    Lie(usize),
    Forks(u64),
    Restart,
    Wait(u64),
}

fn call() -> impl Strategy<Value = Call> {
    let node = 0..NODES;
    let stack = prop::sample::select(vec![Stack::Devp2p, Stack::Libp2p]);
    let role = prop::sample::select(vec![Role::LesFullNode, Role::EthFullNode, Role::Relay, Role::LightPeer]);
    let why = prop::sample::select(vec![
        Failure::Unreachable,
        Failure::Refused,
        Failure::TooManyPeers,
        Failure::AlreadyConnected,
        Failure::Myself,
        Failure::Left,
        Failure::Lied,
        Failure::Stopped,
    ]);
    let source = prop::sample::select(vec![Source::Dns, Source::Rendezvous, Source::Discv5, Source::Discv4]);
    let named = prop::sample::select(vec![Source::Static, Source::Trusted]);
    prop_oneof![
        8 => (node.clone(), 0..2_usize, source).prop_map(|(node, seq, source)| Call::Record(node, seq, source)),
        2 => node.clone().prop_map(Call::Enode),
        2 => node.clone().prop_map(Call::Addresses),
        1 => (node.clone(), named).prop_map(|(node, source)| Call::Name(node, source)),
        8 => (any::<usize>(), stack.clone(), role.clone()).prop_map(|(n, stack, role)| Call::Succeed(n, stack, role)),
        4 => (any::<usize>(), why.clone()).prop_map(|(n, why)| Call::Fail(n, why)),
        3 => (node.clone(), stack, role.clone()).prop_map(|(n, stack, role)| Call::Come(n, stack, role)),
        3 => (any::<usize>(), why).prop_map(|(n, why)| Call::End(n, why)),
        2 => (node.clone(), any::<u64>(), any::<u64>()).prop_map(|(n, good, bad)| Call::Value(n, good, bad)),
        1 => (node.clone(), role).prop_map(|(n, role)| Call::Role(n, role)),
        1 => node.prop_map(Call::Lie),
        1 => prop::sample::select(vec![100, 2_000]).prop_map(Call::Forks),
        1 => Just(Call::Restart),
        4 => prop::sample::select(vec![1, 30, 60, 1_000, 4_000]).prop_map(Call::Wait),
    ]
}

struct Model {
    pool: Pool,
    config: PoolConfig,
    now: Instant,
    dialing: BTreeSet<NodeKey>,
    /// With whether they are inbound.
    sessions: BTreeSet<(NodeKey, Stack, bool)>,
    named: BTreeSet<NodeKey>,
    myself: BTreeSet<NodeKey>,
    banished: BTreeMap<NodeKey, Instant>,
}

impl Model {
    fn new() -> Self {
        let config = PoolConfig {
            targets: Targets { les_full_nodes: 4, eth_full_nodes: 1, relays: 2 },
            most: 5,
            dials_at_once: 3,
            candidates: CANDIDATES,
            ..PoolConfig::relay(key(0))
        };
        let now = Instant::now();
        Self {
            pool: Pool::new(config.clone(), forks(100), [1; 32], now),
            config,
            now,
            dialing: BTreeSet::new(),
            sessions: BTreeSet::new(),
            named: BTreeSet::new(),
            myself: BTreeSet::new(),
            banished: BTreeMap::new(),
        }
    }

    fn is_dialed(&self, key: &NodeKey) -> bool {
        self.sessions.iter().any(|(peer, _, inbound)| peer == key && !inbound)
    }

    fn dialed(&self) -> BTreeSet<NodeKey> {
        self.sessions.iter().filter(|(_, _, inbound)| !inbound).map(|(key, ..)| *key).collect()
    }

    fn take(&mut self, call: Call) {
        let now = self.now;
        let (dialing, sessions) = (self.dialing.iter().copied().collect::<Vec<_>>(), self.sessions.clone());
        match call {
            Call::Record(node, seq, source) => {
                let _ = self.pool.handle_record(RECORDS[node][seq].clone(), source, now);
            }
            Call::Enode(node) => {
                let Some(enode) = RECORDS[node][0].enode() else { return };
                let _ = self.pool.handle_enode(enode, Source::Discv4, now);
            }
            Call::Addresses(node) => {
                let local: Multiaddr = "/ip4/127.0.0.1/tcp/9/ws".parse().expect("valid");
                let addrs = [local].into_iter().chain(RECORDS[node][0].libp2p_addrs()).collect();
                let _ = self.pool.handle_addresses(key(node), Role::Relay, addrs, Source::Rendezvous, now);
            }
            Call::Name(node, source) => {
                let named = Named::Record(RECORDS[node][0].clone());
                if self.pool.add_named(named, source, now).is_ok() {
                    self.named.insert(key(node));
                }
            }
            Call::Succeed(place, stack, role) if !dialing.is_empty() => {
                let key = dialing[place % dialing.len()];
                self.dialing.remove(&key);
                self.connect(key, stack, false, role);
            }
            Call::Fail(place, why) if !dialing.is_empty() => {
                let key = dialing[place % dialing.len()];
                self.dialing.remove(&key);
                let connected = self.sessions.iter().any(|(peer, ..)| *peer == key);
                self.pool.handle_failure(key, why, now);
                if !connected {
                    self.note(key, why);
                }
            }
            Call::Come(node, stack, role) if node != 0 => self.connect(key(node), stack, true, role),
            Call::End(place, why) if !sessions.is_empty() => {
                let (key, stack, inbound) = *sessions.iter().nth(place % sessions.len()).expect("in range");
                self.end(key, stack, inbound, why);
            }
            Call::Value(node, answers, failures) => {
                let latency = Duration::from_millis(failures);
                self.pool.handle_value(key(node), Value { answers, failures, latency }, now);
            }
            Call::Role(node, role) => self.pool.handle_role(key(node), role),
            Call::Lie(node) => {
                self.pool.handle_lie(key(node), now);
                self.note(key(node), Failure::Lied);
            }
            Call::Forks(number) => self.pool.set_forks(forks(number)),
            Call::Restart => {
                let memory = self.pool.memory(now, UNIX);
                for (key, until) in &self.banished {
                    let json = memory.to_json().expect("written");
                    assert!(*until <= now || !json.contains(&key.to_string()), "a liar is remembered");
                }
                let text = memory.to_json().expect("written");
                assert!(memory.len() <= MAX_REMEMBERED);
                self.pool.remember(Memory::from_json(&text).expect("what we wrote"), now, UNIX);
            }
            Call::Wait(seconds) => self.now += Duration::from_secs(seconds),
            Call::Succeed(..) | Call::Fail(..) | Call::Come(..) | Call::End(..) => {}
        }
    }

    fn connect(&mut self, key: NodeKey, stack: Stack, inbound: bool, role: Role) {
        self.sessions.insert((key, stack, inbound));
        let connected = Connected { stack, inbound, role, client: "é".repeat(100) };
        self.pool.handle_connected(key, connected, self.now);
    }

    fn end(&mut self, key: NodeKey, stack: Stack, inbound: bool, why: Failure) {
        self.sessions.remove(&(key, stack, inbound));
        self.pool.handle_disconnected(key, stack, inbound, why, self.now);
        if !self.dialing.contains(&key) && self.sessions.iter().all(|(peer, ..)| *peer != key) {
            self.note(key, why);
        }
    }

    fn note(&mut self, key: NodeKey, why: Failure) {
        match why {
            Failure::Myself => drop(self.myself.insert(key)),
            Failure::Lied if !self.named.contains(&key) => {
                self.banished.insert(key, self.now + BANISHED);
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        while let Some(key) = self.pool.poll_evict(self.now) {
            assert!(!self.named.contains(&key), "a named peer is evicted");
            let liar = self.banished.contains_key(&key) || self.myself.contains(&key);
            assert!(self.is_dialed(&key) || liar, "one who came is evicted");
            let sessions = self.sessions.clone();
            for (key, stack, inbound) in sessions.into_iter().filter(|(peer, ..)| *peer == key) {
                self.end(key, stack, inbound, Failure::Stopped);
            }
        }
        while let Some(dial) = self.pool.poll_dial(self.now) {
            self.check(&dial);
            self.dialing.insert(dial.key);
        }
        let _ = self.pool.poll_search(self.now);
        let events = std::iter::from_fn(|| self.pool.poll_event()).count();
        assert!(events <= MAX_EVENTS + 1);
        assert!(self.pool.poll_timeout().is_none_or(|due| due > self.now), "due although drained");

        let dialed = self.dialed();
        let strangers = dialed.difference(&self.named).count();
        assert!(dialed.len() <= self.config.most || strangers == 0, "too many are connected");
        let dialing = self.dialing.difference(&self.named).count();
        assert!(dialing <= self.config.dials_at_once);
        let summary = self.pool.summary();
        assert!(summary.candidates <= CANDIDATES + self.named.len());
        assert_eq!((summary.dialing, summary.dialed), (self.dialing.len(), dialed.len()));
    }

    fn check(&self, dial: &Dial) {
        let key = dial.key;
        assert_ne!(key, self.config.me, "ourselves");
        assert!(!self.myself.contains(&key), "ourselves by another key");
        assert!(!self.dialing.contains(&key), "dialed twice at once");
        assert!(self.sessions.iter().all(|(peer, ..)| *peer != key), "connected already");
        assert!(!dial.ways.is_empty(), "no way");
        if self.named.contains(&key) {
            return;
        }
        assert!(self.banished.get(&key).is_none_or(|until| *until <= self.now), "a liar");
        let under_way: BTreeSet<NodeKey> = self.dialing.union(&self.dialed()).copied().collect();
        assert!(under_way.len() < self.config.most, "too many");
        for way in &dial.ways {
            let ips: Vec<_> = match way {
                Way::Devp2p(enodes) => enodes
                    .iter()
                    .filter_map(|Enode { host, .. }| match host {
                        Host::Ip(ip) => Some(*ip),
                        Host::Name(_) => None,
                    })
                    .collect(),
                Way::Libp2p(addrs) => addrs.iter().filter_map(Multiaddr::ip).collect(),
            };
            assert!(ips.iter().all(|ip| is_allowed(*ip, Reach::Public)), "{ips:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_keeps_what_is_promised(calls in prop::collection::vec(call(), 0..200)) {
        let mut model = Model::new();
        model.drain();
        for call in calls {
            model.take(call);
            model.drain();
        }
    }
}
