//! Nodes of ours on loopback addresses find and ask each other by discv5 and discv4 on one port.

mod finding;
mod hostile;
mod talking;

use std::{
    collections::BTreeSet,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::B256;
use causeway_discovery::{
    Bootnode, Found, Sockets, TalkRegistry, Udp, UdpConfig, UdpLimits,
    udp::{PROTOCOL_ID, TalkHandler, TalkPeer},
};
use causeway_records::{Contents, Reach, Record};
use futures::{FutureExt as _, future::BoxFuture};
use secp256k1::SecretKey;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
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
