//! Relays on loopback addresses advertise themselves by topic and are found by it, over discv5's TALKREQ.

use std::{
    collections::BTreeSet,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use alloy_eip2124::{ForkFilter, ForkFilterKey, Head};
use alloy_primitives::B256;
use causeway_discovery::{
    Bootnode, Discovery, DiscoveryConfig, Looking, Order, OwnRecord, Sockets, TOPICS_PROTOCOL, TalkRegistry,
    TopicStats, Topics, TopicsConfig, Udp, UdpConfig, UdpLimits,
    udp::{PROTOCOL_ID, Rate, TalkLimits},
};
use causeway_pool::PoolConfig;
use causeway_records::{Contents, Reach, Record, node_key};
use causeway_topics::{
    Message, Topic, decode_all,
    message::{Nodes, RegTopic, RequestId, TopicQuery},
};
use causeway_wire::ForkId;
use secp256k1::SecretKey;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const NAMESPACE: &str = "les/1337/01020304";

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

fn secret(number: u8) -> SecretKey {
    SecretKey::from_secret_bytes([number; 32]).expect("valid secret")
}

/// What a relay's record says.
fn contents(port: u16) -> Contents {
    let ours = forks().current();
    Contents {
        ip: Some(Ipv4Addr::LOCALHOST),
        tcp: Some(port),
        udp: Some(port),
        quic: Some(port),
        eth: Some(ForkId { hash: ours.hash.0, next: ours.next }),
        les: true,
        ..Contents::default()
    }
}

fn forks() -> ForkFilter {
    let head = Head { number: 5, ..Head::default() };
    ForkFilter::new(head, B256::repeat_byte(1), 0, [ForkFilterKey::Block(10)])
}

fn sockets() -> Sockets {
    Sockets::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port")
}

/// Waits until the numbers are as they should be.
async fn until(topics: &Topics, what: impl Fn(&TopicStats) -> bool) -> TopicStats {
    let mut stats = topics.stats();
    let waited = timeout(PATIENCE, stats.wait_for(|stats| what(stats))).await;
    let found = waited.map(|stats| stats.expect("topics run").clone());
    found.unwrap_or_else(|_| panic!("it does not come to it: {:?}", topics.stats().borrow()))
}

/// discv5, and perhaps topics, without anything that looks for nodes: who knows whom is up to the test.
struct Node {
    number: u8,
    port: u16,
    udp: Udp,
    record: watch::Sender<Record>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The same with topics.
struct Speaker {
    node: Node,
    topics: Topics,
    advertised: mpsc::Receiver<Record>,
}

impl Node {
    async fn start(number: u8, change: impl FnOnce(&mut Contents)) -> (Self, TalkRegistry) {
        let talk = TalkRegistry::new();
        (Self::start_answering(number, talk.clone(), change).await, talk)
    }

    async fn start_answering(number: u8, talk: TalkRegistry, change: impl FnOnce(&mut Contents)) -> Self {
        let (secret_key, sockets) = (secret(number), sockets());
        let port = sockets.port();
        let mut said = contents(port);
        change(&mut said);
        let record = Record::sign(&secret_key, 1, &said).expect("fits").record;
        let (record, receiver) = watch::channel(record);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let config = UdpConfig {
            secret_key,
            sockets,
            tcp: port,
            record: receiver,
            bootnodes: Vec::new(),
            reach: Reach::Local,
            discv4: false,
            discv5: true,
            votes: 2,
            protocol_id: PROTOCOL_ID,
            limits: UdpLimits::default(),
        };
        let (udp, found) = Udp::start(config, talk, &tasks, stop.clone()).await.expect("it starts");
        drop(found); // nobody is told of whom discv5 finds
        Self { number, port, udp, record, tasks, stop }
    }

    fn record(&self) -> Record {
        self.record.borrow().clone()
    }

    /// Asks as any node may.
    async fn talk(&self, to: &Speaker, request: Vec<u8>) -> Vec<u8> {
        soon(self.udp.talk(&to.node.record(), TOPICS_PROTOCOL, request)).await.expect("an answer")
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
    }
}

impl Speaker {
    async fn start(number: u8) -> Self {
        Self::start_saying(number, |_| {}).await
    }

    async fn start_saying(number: u8, change: impl FnOnce(&mut Contents)) -> Self {
        let (node, talk) = Node::start(number, change).await;
        Self::over(node, &talk)
    }

    fn over(node: Node, talk: &TalkRegistry) -> Self {
        let record = node.record.subscribe();
        let config = TopicsConfig { namespace: NAMESPACE.to_owned(), record, reach: Reach::Local };
        let (topics, advertised) =
            Topics::start(config, node.udp.clone(), talk, &node.tasks, node.stop.clone());
        Self { node, topics, advertised }
    }

    /// Looks for advertisers until so many were found.
    async fn find(&mut self, count: usize) -> BTreeSet<B256> {
        self.topics.search();
        let mut found = BTreeSet::new();
        while found.len() < count {
            let record = soon(self.advertised.recv()).await.expect("topics run");
            found.insert(record.node_id());
        }
        found
    }
}

/// Two relays that know each other, and advertise with each other.
async fn two(numbers: [u8; 2]) -> [Speaker; 2] {
    let [first, second] = [Speaker::start(numbers[0]).await, Speaker::start(numbers[1]).await];
    first.topics.offer(&second.node.record());
    second.topics.offer(&first.node.record());
    for relay in [&first, &second] {
        let stats = until(&relay.topics, |stats| stats.active == 1 && stats.registrations == 1).await;
        assert_eq!((stats.namespace.as_str(), stats.refused), (NAMESPACE, 0));
    }
    [first, second]
}

#[tokio::test]
async fn a_third_relay_finds_by_topic_who_advertises() {
    let [first, second] = two([1, 2]).await;
    let mut third = Speaker::start(3).await;

    third.topics.offer(&first.node.record());
    let found = third.find(2).await;

    // It was told of the first only: the first holds the second's advertisement and names it as a registrar,
    // which holds the first's.
    assert_eq!(found, [first.node.record().node_id(), second.node.record().node_id()].into());
    let stats = third.topics.stats().borrow().clone();
    assert_eq!((stats.lookups, stats.found), (1, 2));
    for relay in [first, second, third] {
        relay.node.end().await;
    }
}

#[tokio::test]
async fn a_registrar_takes_in_who_comes_to_it() {
    let registrar = Speaker::start(4).await;
    let relay = Speaker::start(5).await;

    relay.topics.offer(&registrar.node.record());

    until(&registrar.topics, |stats| stats.registrations == 1 && stats.active == 1).await;
    until(&relay.topics, |stats| stats.registrations == 1 && stats.active == 1).await;
    for relay in [registrar, relay] {
        relay.node.end().await;
    }
}

#[tokio::test]
async fn what_strangers_send_gets_the_empty_answer() {
    let relay = Speaker::start(6).await;
    let (stranger, _) = Node::start(7, |_| {}).await;
    let (id, topic, distances) = (RequestId::from([1; 8]), Topic::of(NAMESPACE), vec![256]);
    let register = |record| RegTopic { id, topic, record, ticket: Vec::new(), distances: vec![256] };
    let elsewhere = Contents { ip: Some(Ipv4Addr::new(192, 0, 2, 1)), ..contents(stranger.port) };
    let elsewhere = Record::sign(&secret(stranger.number), 2, &elsewhere).expect("fits").record;
    let query = Message::TopicQuery(TopicQuery { id, topic, distances }).encode();
    let nodes = Nodes { id, total: 1, records: vec![stranger.record()], refused: 0 };
    let garbage = [
        Vec::new(),
        vec![0x09],
        vec![0xff; 1100],
        query[..query.len() - 1].to_vec(),
        [&query[..], &[0]].concat(),
        [&query[..], &query[..]].concat(),
        Message::TopicNodes(nodes.clone()).encode(),
        Message::Nodes(nodes).encode(),
        Message::RegTopic(register(relay.node.record())).encode(),
        Message::RegTopic(register(elsewhere)).encode(),
    ];

    for request in &garbage {
        assert!(stranger.talk(&relay, request.clone()).await.is_empty(), "{request:02x?}");
    }
    let stats = relay.topics.stats().borrow().clone();
    assert_eq!((stats.answered, stats.refused), (0, garbage.len() as u64));
    assert_eq!((stats.registrations, stats.nodes), (0, 0));

    // It is no grudge: what can be answered is.
    let answer = decode_all(&stranger.talk(&relay, query).await).expect("messages");
    assert!(
        matches!(&answer[..], [Message::TopicNodes(nodes)] if nodes.id == id && nodes.records.is_empty())
    );
    let wait =
        decode_all(&stranger.talk(&relay, Message::RegTopic(register(stranger.record())).encode()).await);
    assert!(matches!(wait.as_deref(), Ok([Message::RegConfirmation(said)]) if !said.ticket.is_empty()));
    relay.node.end().await;
    stranger.end().await;
}

#[tokio::test]
async fn a_flood_of_requests_is_held_to_its_rate() {
    let node = Rate { burst: 3, every: Duration::from_secs(3600) };
    let talk = TalkRegistry::within(TalkLimits { node, ..TalkLimits::default() });
    let node = Node::start_answering(8, talk.clone(), |_| {}).await;
    let relay = Speaker::over(node, &talk);
    let (stranger, _) = Node::start(9, |_| {}).await;
    let query =
        TopicQuery { id: RequestId::from([1; 8]), topic: Topic::of(NAMESPACE), distances: Vec::new() };
    let query = Message::TopicQuery(query).encode();

    let mut empty = Vec::new();
    for _ in 0..5 {
        empty.push(stranger.talk(&relay, query.clone()).await.is_empty());
    }

    assert_eq!(empty, [false, false, false, true, true]);
    assert_eq!(relay.node.udp.stats().talk_refused, 2);
    // What was refused did not get as far as the registrar.
    let stats = relay.topics.stats().borrow().clone();
    assert_eq!((stats.answered, stats.refused), (3, 0));
    relay.node.end().await;
    stranger.end().await;
}

#[tokio::test]
async fn who_does_not_speak_it_is_left_alone() {
    let relay = Speaker::start(10).await;
    let (silent, _) = Node::start(11, |_| {}).await;

    relay.topics.offer(&silent.record());
    relay.topics.search();
    until(&relay.topics, |stats| stats.lookups == 1 && stats.nodes == 0 && stats.waiting == 0).await;
    let refused = silent.udp.stats().talk_refused;
    assert!(refused > 0);

    // Told of again it is not asked again, while the next one is.
    let other = Speaker::start(12).await;
    relay.topics.offer(&silent.record());
    relay.topics.offer(&other.node.record());
    until(&relay.topics, |stats| stats.nodes == 1 && stats.active == 1).await;
    for node in [relay.node, other.node, silent] {
        node.end().await;
    }
}

#[tokio::test]
async fn advertising_begins_once_our_record_has_an_address() {
    let registrar = Speaker::start(13).await;
    let mut late = Speaker::start_saying(14, |contents| contents.ip = None).await;

    late.topics.offer(&registrar.node.record());
    late.topics.search();
    until(&registrar.topics, |stats| stats.answered == 1).await;
    assert_eq!(registrar.topics.stats().borrow().registrations, 0);

    let record = Record::sign(&secret(14), 2, &contents(late.node.port)).expect("fits").record;
    late.node.record.send_replace(record);

    until(&registrar.topics, |stats| stats.registrations == 1).await;
    until(&late.topics, |stats| stats.active == 1).await;
    assert!(late.advertised.try_recv().is_err(), "nobody advertised when it looked");
    for relay in [registrar, late] {
        relay.node.end().await;
    }
}

/// Discovery as a relay runs it.
struct Relay {
    discovery: Discovery,
    orders: mpsc::Receiver<Order>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Relay {
    async fn start(number: u8, bootnodes: Vec<Bootnode>) -> Self {
        let (secret_key, sockets) = (secret(number), sockets());
        let port = sockets.port();
        let looking = Looking {
            secret_key,
            sockets,
            tcp: port,
            bootnodes,
            lists: Vec::new(),
            name_server: None,
            reach: Reach::Local,
            votes: 10,
            talk: TalkRegistry::new(),
            topics: Some(NAMESPACE.to_owned()),
        };
        let config = DiscoveryConfig {
            pool: PoolConfig { reach: Reach::Local, ..PoolConfig::relay(node_key(&secret_key)) },
            forks: forks(),
            named: Vec::new(),
            own: OwnRecord::new(secret_key, contents(port), None).expect("signed"),
            peers_file: None,
            looking: Some(looking),
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (discovery, orders) = Discovery::start(config, &tasks, stop.clone()).await.expect("it starts");
        Self { discovery, orders, tasks, stop }
    }

    fn record(&self) -> Record {
        self.discovery.record().borrow().clone()
    }

    async fn until(&self, what: impl Fn(&TopicStats) -> bool) -> TopicStats {
        until(self.discovery.topics().expect("topics are on"), what).await
    }
}

#[tokio::test]
async fn discovery_finds_relays_by_topic_when_peers_are_missing() {
    let first = Relay::start(21, Vec::new()).await;
    let bootnodes = || vec![Bootnode::Record(first.record())];
    let second = Relay::start(22, bootnodes()).await;
    first.until(|stats| stats.registrations == 1 && stats.active == 1).await;
    second.until(|stats| stats.registrations == 1 && stats.active == 1).await;

    let mut third = Relay::start(23, bootnodes()).await;
    third.until(|stats| stats.lookups > 0 && stats.found > 0).await;

    let mut missing: BTreeSet<_> = [&first, &second].iter().map(|relay| relay.record().key()).collect();
    let dialing = async {
        while !missing.is_empty() {
            if let Some(Order::Dial(dial)) = third.orders.recv().await {
                missing.remove(&dial.key);
            }
        }
    };
    let in_time = timeout(PATIENCE, dialing).await;
    let view = third.discovery.view().await.expect("discovery runs");
    assert!(in_time.is_ok(), "{missing:?} not dialed: {view:?}");
    let shown = serde_json::to_value(view.topics).expect("JSON");
    assert_eq!(shown["namespace"], NAMESPACE);
    assert!(shown["found"].as_u64() > Some(0), "{shown}");
    for relay in [first, second, third] {
        relay.stop.cancel();
        relay.tasks.close();
        soon(relay.tasks.wait()).await;
    }
}
