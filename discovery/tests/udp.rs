//! Nodes of ours on loopback addresses find and ask each other by discv5 and discv4 on one port.

use std::{
    collections::BTreeSet,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::B256;
use causeway_discovery::{
    Bootnode, Found, Sockets, TalkRegistry, Udp, UdpConfig, UdpError, UdpLimits,
    udp::{MAX_TALK, PROTOCOL_ID, RequestError, TalkError, TalkHandler, TalkPeer},
};
use causeway_pool::Source;
use causeway_records::{Contents, Enode, Host, Reach, Record};
use futures::{FutureExt as _, future::BoxFuture};
use secp256k1::SecretKey;
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a node that misses others searches.
const SEARCH: Duration = Duration::from_millis(500);

const LOCAL4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCAL6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// What a node speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Discv4,
    Discv5,
    Both,
}

fn config(secret: SecretKey, sockets: Sockets, record: watch::Receiver<Record>, speaks: Speaks) -> UdpConfig {
    UdpConfig {
        secret_key: secret,
        tcp: sockets.port(),
        sockets,
        record,
        bootnodes: Vec::new(),
        reach: Reach::Local,
        discv4: speaks != Speaks::Discv5,
        discv5: speaks != Speaks::Discv4,
        votes: 2,
        protocol_id: PROTOCOL_ID,
        limits: UdpLimits::default(),
    }
}

struct Echo;

impl TalkHandler for Echo {
    fn answer(&self, _: TalkPeer, request: &[u8]) -> BoxFuture<'static, Vec<u8>> {
        std::future::ready(request.to_vec()).boxed()
    }
}

struct Node {
    secret: SecretKey,
    contents: Contents,
    udp: Udp,
    found: mpsc::Receiver<Found>,
    record: watch::Sender<Record>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Node {
    async fn start(number: u8, speaks: Speaks, bootnodes: Vec<Bootnode>) -> Self {
        Self::start_at(LOCAL4, number, speaks, bootnodes).await
    }

    async fn start_at(ip: IpAddr, number: u8, speaks: Speaks, bootnodes: Vec<Bootnode>) -> Self {
        Self::start_within(Reach::Local, ip, number, speaks, bootnodes).await
    }

    async fn start_within(
        reach: Reach,
        ip: IpAddr,
        number: u8,
        speaks: Speaks,
        bootnodes: Vec<Bootnode>,
    ) -> Self {
        Self::start_on(SocketAddr::new(ip, 0), reach, number, speaks, bootnodes).await
    }

    async fn start_on(
        addr: SocketAddr,
        reach: Reach,
        number: u8,
        speaks: Speaks,
        bootnodes: Vec<Bootnode>,
    ) -> Self {
        let secret = SecretKey::from_secret_bytes([number; 32]).expect("valid secret");
        let sockets = Sockets::bind(addr).expect("a port");
        let ip = addr.ip();
        let port = Some(sockets.port());
        // The crate `discv5` does not fall back to the v4 port.
        let contents = match ip {
            IpAddr::V4(ip) => Contents { ip: Some(ip), tcp: port, udp: port, ..Contents::default() },
            IpAddr::V6(ip) => Contents { ip6: Some(ip), tcp6: port, udp6: port, ..Contents::default() },
        };
        let (record, receiver) = watch::channel(Record::sign(&secret, 1, &contents).expect("fits").record);
        let talk = TalkRegistry::new();
        talk.register(b"echo", Arc::new(Echo));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let config = UdpConfig { bootnodes, reach, ..config(secret, sockets, receiver, speaks) };
        let (udp, found) = Udp::start(config, talk, &tasks, stop.clone()).await.expect("it starts");
        Self { secret, contents, udp, found, record, tasks, stop }
    }

    fn record(&self) -> Record {
        self.record.borrow().clone()
    }

    fn id(&self) -> B256 {
        self.record().node_id()
    }

    fn addr(&self) -> SocketAddr {
        let record = self.record();
        SocketAddr::new(record.ip().expect("it has one"), record.udp().expect("it has one"))
    }

    fn as_record(&self) -> Vec<Bootnode> {
        vec![Bootnode::Record(self.record())]
    }

    fn as_enode(&self) -> Vec<Bootnode> {
        vec![Bootnode::Enode(self.record().enode().expect("it has an address"))]
    }

    /// Searches until all of `wanted` were found.
    async fn find(&mut self, wanted: BTreeSet<B256>) -> Vec<Found> {
        let mut missing = wanted;
        let mut all = Vec::new();
        let mut again = interval(SEARCH);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (found, udp) = (&mut self.found, &self.udp);
        let finding = async {
            while !missing.is_empty() {
                tokio::select! {
                    Some(node) = found.recv() => {
                        missing.remove(&id(&node));
                        all.push(node);
                    }
                    _ = again.tick() => udp.search(),
                }
            }
        };
        let in_time = timeout(PATIENCE, finding).await;
        assert!(in_time.is_ok(), "{missing:?} not found, but {all:?}");
        all
    }

    /// Publishes its record with the next number.
    fn renew(&mut self) -> Record {
        let seq = self.record().seq() + 1;
        self.contents.les = true;
        let record = Record::sign(&self.secret, seq, &self.contents).expect("fits").record;
        self.record.send_replace(record.clone());
        record
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
    }
}

fn id(found: &Found) -> B256 {
    match (&found.record, &found.enode) {
        (Some(record), _) => record.node_id(),
        (None, Some(enode)) => enode.key.node_id(),
        (None, None) => panic!("a node without record and address"),
    }
}

fn ids<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> BTreeSet<B256> {
    nodes.into_iter().map(Node::id).collect()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

async fn end_all(nodes: impl IntoIterator<Item = Node>) {
    for node in nodes {
        node.end().await;
    }
}

/// Two nodes, one of which knows the other, find each other.
async fn two_meet(ip: IpAddr, numbers: [u8; 2], speaks: Speaks, source: Source) {
    let mut first = Node::start_at(ip, numbers[0], speaks, Vec::new()).await;
    let mut second = Node::start_at(ip, numbers[1], speaks, first.as_record()).await;

    let by_second = second.find(ids([&first])).await;
    let by_first = first.find(ids([&second])).await;

    for found in by_first.iter().chain(&by_second) {
        assert_eq!(found.source, source);
    }
    end_all([first, second]).await;
}

/// Five nodes that know one bootnode all find each other.
async fn five_meet(numbers: [u8; 5], speaks: Speaks) -> BTreeSet<Source> {
    let mut nodes = vec![Node::start(numbers[0], speaks, Vec::new()).await];
    for number in &numbers[1..] {
        let bootnodes = nodes[0].as_record();
        nodes.push(Node::start(*number, speaks, bootnodes).await);
    }
    let all = ids(&nodes);

    let searches = nodes.iter_mut().map(|node| {
        let others = all.iter().copied().filter(|other| *other != node.id()).collect();
        node.find(others)
    });
    let found = futures::future::join_all(searches).await;

    end_all(nodes).await;
    found.into_iter().flatten().map(|found| found.source).collect()
}

#[tokio::test]
async fn a_bootnode_that_comes_late_is_asked_though_another_node_is_known() {
    let dead = Node::start(1, Speaks::Discv5, Vec::new()).await;
    let (bootnode, addr) = (dead.as_record(), dead.addr());
    dead.end().await;
    let mut node = Node::start(2, Speaks::Discv5, bootnode).await;
    let first = Node::start(3, Speaks::Discv5, node.as_record()).await;
    node.find(BTreeSet::from([first.id()])).await;

    let late = Node::start_on(addr, Reach::Local, 1, Speaks::Discv5, Vec::new()).await;

    node.find(BTreeSet::from([late.id()])).await;
    for node in [node, first, late] {
        node.end().await;
    }
}

#[tokio::test]
async fn two_nodes_find_each_other_by_discv5() {
    two_meet(LOCAL4, [1, 2], Speaks::Discv5, Source::Discv5).await;
}

#[tokio::test]
async fn two_nodes_find_each_other_by_discv4() {
    two_meet(LOCAL4, [3, 4], Speaks::Discv4, Source::Discv4).await;
}

/// On a host without IPv6 the socket cannot be had, and that is what is said.
#[tokio::test]
async fn two_nodes_find_each_other_over_ipv6() {
    if std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        let refused = Sockets::bind(SocketAddr::new(LOCAL6, 0));
        assert!(matches!(refused, Err(UdpError::Bind { .. })));
        return;
    }
    two_meet(LOCAL6, [5, 6], Speaks::Discv5, Source::Discv5).await;
    two_meet(LOCAL6, [7, 8], Speaks::Discv4, Source::Discv4).await;
}

#[tokio::test]
async fn a_node_on_both_families_meets_nodes_of_each() {
    let secret = SecretKey::from_secret_bytes([70; 32]).expect("valid secret");
    let sockets = Sockets::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)).expect("a port");
    let port = sockets.port();
    let has_v6 = sockets.v6().is_some();
    let contents = Contents {
        ip: Some(Ipv4Addr::LOCALHOST),
        ip6: has_v6.then_some(Ipv6Addr::LOCALHOST),
        udp: Some(port),
        tcp: Some(port),
        ..Contents::default()
    };
    let record = Record::sign(&secret, 1, &contents).expect("fits").record;
    let (_sender, receiver) = watch::channel(record.clone());
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let config = config(secret, sockets, receiver, Speaks::Both);
    let (_udp, _found) =
        Udp::start(config, TalkRegistry::new(), &tasks, stop.clone()).await.expect("it starts");
    let families = if has_v6 { vec![LOCAL4, LOCAL6] } else { vec![LOCAL4] };

    for (number, ip) in (71..).zip(families) {
        let there = Enode::new(record.key(), SocketAddr::new(ip, port));
        for (number, speaks) in [(number, Speaks::Discv5), (number + 10, Speaks::Discv4)] {
            let mut node = Node::start_at(ip, number, speaks, vec![Bootnode::Enode(there.clone())]).await;
            let found = node.find([record.node_id()].into()).await;
            let records: Vec<_> = found.iter().filter_map(|found| found.record.as_ref()).collect();
            assert!(records.iter().all(|theirs| **theirs == record), "{records:?}");
            assert!(speaks == Speaks::Discv4 || !records.is_empty(), "discv5 always has the record");
            node.end().await;
        }
    }

    stop.cancel();
    tasks.close();
    soon(tasks.wait()).await;
}

#[tokio::test]
async fn five_nodes_that_know_one_find_each_other_by_discv5() {
    assert_eq!(five_meet([11, 12, 13, 14, 15], Speaks::Discv5).await, [Source::Discv5].into());
}

#[tokio::test]
async fn five_nodes_that_know_one_find_each_other_by_discv4() {
    assert_eq!(five_meet([21, 22, 23, 24, 25], Speaks::Discv4).await, [Source::Discv4].into());
}

#[tokio::test]
async fn a_port_serves_both_protocols() {
    let mut both = Node::start(31, Speaks::Both, Vec::new()).await;
    let mut old = Node::start(32, Speaks::Discv4, both.as_enode()).await;
    let mut new = Node::start(33, Speaks::Discv5, both.as_record()).await;

    old.find(ids([&both])).await;
    new.find(ids([&both])).await;
    let found = both.find(ids([&old, &new])).await;

    let source_of = |node: &Node| found.iter().find(|found| id(found) == node.id()).map(|found| found.source);
    assert_eq!(source_of(&old), Some(Source::Discv4));
    assert_eq!(source_of(&new), Some(Source::Discv5));
    assert!(both.udp.stats().foreign > 0);
    end_all([both, old, new]).await;
}

#[tokio::test]
async fn an_enode_is_enough_to_begin_discv5() {
    let first = Node::start(34, Speaks::Discv5, Vec::new()).await;
    let mut second = Node::start(35, Speaks::Discv5, first.as_enode()).await;

    let found = second.find(ids([&first])).await;

    assert_eq!(found[0].record, Some(first.record()));
    end_all([first, second]).await;
}

/// Containers know each other by name.
#[tokio::test]
async fn a_bootnode_may_be_named() {
    for (numbers, speaks) in [([91, 92], Speaks::Discv5), ([93, 94], Speaks::Discv4)] {
        let first = Node::start(numbers[0], speaks, Vec::new()).await;
        let enode = first.record().enode().expect("it has an address");
        let named = Enode { host: Host::Name("localhost".to_owned()), ..enode };
        let mut second = Node::start(numbers[1], speaks, vec![Bootnode::Enode(named)]).await;

        let found = second.find(ids([&first])).await;

        assert_eq!(id(&found[0]), first.id());
        end_all([first, second]).await;
    }
}

#[tokio::test]
async fn a_node_told_of_is_met_without_a_search() {
    let mut first = Node::start(36, Speaks::Both, Vec::new()).await;
    let second = Node::start(37, Speaks::Both, Vec::new()).await;

    first.udp.add(&second.record());
    let found = soon(first.found.recv()).await.expect("it runs");

    assert_eq!(id(&found), second.id());
    end_all([first, second]).await;
}

#[tokio::test]
async fn each_asks_the_other() {
    let first = Node::start(41, Speaks::Discv5, Vec::new()).await;
    let second = Node::start(42, Speaks::Discv5, Vec::new()).await;

    for (asking, asked) in [(&first, &second), (&second, &first)] {
        let to = asked.record();
        let pong = soon(asking.udp.ping(&to)).await.expect("it answers");
        assert_eq!((pong.seq, pong.addr), (1, asking.addr()));
        assert_eq!(soon(asking.udp.talk(&to, b"echo", b"hello".to_vec())).await, Ok(b"hello".to_vec()));
        assert_eq!(soon(asking.udp.talk(&to, b"unknown", b"hello".to_vec())).await, Ok(Vec::new()));
        assert_eq!(soon(asking.udp.find_node(&to, vec![0])).await, Ok(vec![to]));
    }
    end_all([first, second]).await;
}

/// The packet that opens a session has less room.
#[tokio::test]
async fn the_largest_talk_request_may_be_the_first() {
    for (numbers, length) in [([47, 48], 700), ([49, 50], MAX_TALK)] {
        let first = Node::start(numbers[0], Speaks::Discv5, Vec::new()).await;
        let second = Node::start(numbers[1], Speaks::Discv5, Vec::new()).await;

        let answer = soon(first.udp.talk(&second.record(), b"echo", vec![7; length])).await;

        assert_eq!(answer, Ok(vec![7; length]));
        end_all([first, second]).await;
    }
}

#[tokio::test]
async fn questions_that_cannot_be_asked_are_named() {
    let first = Node::start(43, Speaks::Discv5, Vec::new()).await;
    let second = Node::start(44, Speaks::Discv4, Vec::new()).await;
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let nobody = Contents { ip: Some(Ipv4Addr::LOCALHOST), udp: Some(port), ..Contents::default() };
    let sign = |contents: &Contents| Record::sign(&second.secret, 1, contents).expect("fits").record;

    assert_eq!(first.udp.ping(&first.record()).await, Err(RequestError::Ourselves));
    assert_eq!(first.udp.ping(&sign(&Contents::default())).await, Err(RequestError::NoAddress));
    assert_eq!(second.udp.ping(&first.record()).await, Err(RequestError::Stopped));
    let large = first.udp.talk(&second.record(), b"echo", vec![0; MAX_TALK + 1]).await;
    assert_eq!(large, Err(TalkError::TooLarge { length: MAX_TALK + 1 }));
    assert_eq!(soon(first.udp.ping(&sign(&nobody))).await, Err(RequestError::Timeout));
    end_all([first, second]).await;
}

#[tokio::test]
async fn a_flood_of_talk_requests_is_refused() {
    let first = Node::start(45, Speaks::Discv5, Vec::new()).await;
    let second = Node::start(46, Speaks::Discv5, Vec::new()).await;
    let to = second.record();
    soon(first.udp.ping(&to)).await.expect("it answers"); // a session stands

    let began = Instant::now();
    let flood = (0..90).map(|_| first.udp.talk(&to, b"echo", b"x".to_vec()));
    let answers = soon(futures::future::join_all(flood)).await;
    let served = answers.iter().filter(|answer| answer.as_deref() == Ok(b"x")).count();

    let allowed = 20 + 1 + began.elapsed().as_millis() as usize / 100; // one node's burst and rate
    assert!((1..=allowed).contains(&served), "{served} of {allowed}");
    assert!(second.udp.stats().talk_refused > 0);
    end_all([first, second]).await;
}

#[tokio::test]
async fn a_newer_record_reaches_those_who_know_us() {
    let mut first = Node::start(51, Speaks::Discv5, Vec::new()).await;
    let mut second = Node::start(52, Speaks::Discv5, first.as_record()).await;
    second.find(ids([&first])).await;
    first.find(ids([&second])).await;

    let renewed = first.renew();

    assert_eq!(renewed.seq(), 2);
    let newer = async {
        while let Some(found) = second.found.recv().await {
            if found.record.as_ref() == Some(&renewed) {
                return;
            }
        }
    };
    soon(newer).await;
    assert_eq!(soon(second.udp.find_node(&renewed, vec![0])).await, Ok(vec![renewed]));
    end_all([first, second]).await;
}

#[tokio::test]
async fn a_node_that_drops_its_address_does_no_harm() {
    let mut first = Node::start(61, Speaks::Discv5, Vec::new()).await;
    let mut second = Node::start(62, Speaks::Discv5, first.as_record()).await;
    second.find(ids([&first])).await;
    first.find(ids([&second])).await;
    let before = first.record();

    let nowhere = Record::sign(&first.secret, 2, &Contents::default()).expect("fits").record;
    first.record.send_replace(nowhere);

    let mut look = interval(SEARCH);
    let forgotten = async {
        while second.udp.stats().discv5_nodes > 0 {
            look.tick().await;
        }
    };
    soon(forgotten).await;
    assert_eq!(second.udp.ping(&before).await.map(|pong| pong.seq), Ok(2), "discv5 goes on");
    end_all([first, second]).await;
}

#[tokio::test]
async fn consensus_nodes_are_not_told_of() {
    let mut first = Node::start(53, Speaks::Discv5, Vec::new()).await;
    let consensus = Node::start(54, Speaks::Discv5, Vec::new()).await;
    let execution = Node::start(55, Speaks::Discv5, Vec::new()).await;
    let mut builder = enr::Enr::builder();
    builder.ip4(Ipv4Addr::LOCALHOST).udp4(consensus.addr().port()).seq(2);
    builder.add_value_rlp("eth2", vec![0x80].into());
    let with_eth2 = builder.build(&consensus.secret).expect("fits");
    let with_eth2 = Record::decode(&alloy_rlp::encode(with_eth2)).expect("a record");
    consensus.record.send_replace(with_eth2.clone());
    let published = async {
        while soon(execution.udp.find_node(&with_eth2, vec![0])).await != Ok(vec![with_eth2.clone()]) {}
    };
    soon(published).await;

    soon(consensus.udp.ping(&first.record())).await.expect("it answers");
    soon(execution.udp.ping(&first.record())).await.expect("it answers");

    assert_eq!(soon(first.found.recv()).await.map(|found| id(&found)), Some(execution.id()));
    end_all([first, consensus, execution]).await;
}

#[tokio::test]
async fn others_tell_our_address() {
    let first = Node::start(61, Speaks::Both, Vec::new()).await;
    let second = Node::start(62, Speaks::Discv5, first.as_record()).await;
    let third = Node::start(63, Speaks::Discv4, first.as_enode()).await;

    let mut external = first.udp.external();
    let confirmed = *soon(external.wait_for(|external| external.v4.is_some())).await.expect("it runs");

    assert_eq!(confirmed.v4.map(SocketAddr::V4), Some(first.addr()));
    assert_eq!(confirmed.v6, None);
    assert_eq!([&first, &third].map(|node| node.udp.stats().unsent), [0, 0]);
    end_all([first, second, third]).await;
}

#[tokio::test]
async fn hostile_packets_do_nothing() {
    let node = Node::start(81, Speaks::Both, Vec::new()).await;
    let honest = Node::start(82, Speaks::Discv5, Vec::new()).await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let mut chance = 1_u64;
    let mut random = |length: usize| -> Vec<u8> {
        let next = |_| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 33) as u8
        };
        (0..length).map(next).collect()
    };

    for length in [0, 1, 62, 63, 64, 97, 98, 99, 500, 1280, 1281, 9000] {
        socket.send_to(&random(length), node.addr()).await.expect("it is sent");
    }
    let packets_of_ours = async {
        loop {
            soon(honest.udp.ping(&node.record())).await.expect("it answers");
            if node.udp.stats().foreign > 0 {
                return;
            }
        }
    };
    soon(packets_of_ours).await;

    let stats = node.udp.stats();
    assert_eq!(stats.dropped.keys().copied().collect::<Vec<_>>(), ["malformed"]);
    assert_eq!((stats.discv4_nodes, stats.unsent), (0, 0));
    let mut answer = [0; 1280];
    assert!(socket.try_recv(&mut answer).is_err(), "nothing comes back");
    end_all([node, honest]).await;
}

/// Who comes from where no stranger may send us is answered and told of, but not told to others.
#[tokio::test]
async fn a_public_table_takes_no_private_address() {
    let mut public = Node::start_within(Reach::Public, LOCAL4, 83, Speaks::Discv5, Vec::new()).await;
    let private = Node::start(84, Speaks::Discv5, Vec::new()).await;

    soon(private.udp.ping(&public.record())).await.expect("it answers");
    let found = soon(public.found.recv()).await.expect("it runs");

    assert_eq!(id(&found), private.id());
    assert_eq!(public.udp.stats().discv5_nodes, 0);
    end_all([public, private]).await;
}

/// The user's own word goes over the rules for strangers.
#[tokio::test]
async fn a_public_table_takes_a_private_bootnode() {
    let private = Node::start(85, Speaks::Discv5, Vec::new()).await;
    let bootnodes = private.as_record();
    let mut public = Node::start_within(Reach::Public, LOCAL4, 86, Speaks::Discv5, bootnodes).await;

    let found = soon(public.found.recv()).await.expect("it runs");

    assert_eq!(id(&found), private.id());
    assert_eq!(public.udp.stats().discv5_nodes, 1);
    end_all([public, private]).await;
}

#[tokio::test]
async fn a_record_of_another_key_is_not_started_with() {
    let secret = |number| SecretKey::from_secret_bytes([number; 32]).expect("valid secret");
    let record = Record::sign(&secret(1), 1, &Contents::default()).expect("fits").record;
    let (_sender, receiver) = watch::channel(record);
    let sockets = Sockets::bind(SocketAddr::new(LOCAL4, 0)).expect("a port");
    let config = config(secret(2), sockets, receiver, Speaks::Both);

    let started =
        Udp::start(config, TalkRegistry::new(), &TaskTracker::new(), CancellationToken::new()).await;

    assert!(matches!(started, Err(UdpError::Key)));
}
