//! A light peer whose network is gone for a while: it comes back soon after the network does, and no reader notices
//! more than a delay.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_primitives::keccak256;
use causeway_bridge::Backend as _;
use causeway_tests::{
    cable::{Cable, UdpCable},
    full_node,
    house::{Chain, FullNode, Relay, RelayOptions, Way, eventually},
    kept_peer::KeptPeer,
    probe,
};
use causeway_transports::Address;
use causeway_wire::{ProofRequest, Query};
use tokio::time::timeout;

/// Time from the network's return to a verified head.
const BACK: Duration = Duration::from_secs(5);

/// How long the network is gone.
const GONE: Duration = Duration::from_secs(9);

/// How long a question may take in all.
const PATIENCE: Duration = Duration::from_secs(40);

/// Questions that are under way while the network is gone.
const QUESTIONS: u64 = 20;

/// The relay's address by a cable's near end.
fn through(address: &Address, cable: SocketAddr) -> Address {
    let Address::Multiaddr(text) = address else { panic!("no multiaddr") };
    let mut parts: Vec<String> = text.split('/').map(str::to_owned).collect();
    let port = parts.iter().position(|part| part == "tcp" || part == "udp").expect("a port") + 1;
    parts[port] = cable.port().to_string();
    Address::Multiaddr(parts.join("/"))
}

fn socket(address: &Address) -> SocketAddr {
    let Address::Multiaddr(text) = address else { panic!("no multiaddr") };
    let parts: Vec<&str> = text.split('/').collect();
    let ip = parts[2].parse().expect("an address");
    SocketAddr::new(ip, parts[4].parse().expect("a port"))
}

struct House {
    chain: Chain,
    full_node: FullNode,
    relay: Relay,
    quic: UdpCable,
    tcp: Cable,
}

impl House {
    async fn new() -> Self {
        let chain = Chain::new(8);
        let full_node = FullNode::start(&chain).await;
        let relay = Relay::start(RelayOptions::default()).await;
        relay.admit(&full_node.address()).await.expect("it is honest");
        relay.reaches(chain.head().head.hash).await;
        let quic = UdpCable::to(socket(&relay.address(Way::Quic))).await;
        let tcp = Cable::to(socket(&relay.address(Way::Tcp))).await;
        Self { chain, full_node, relay, quic, tcp }
    }

    fn address(&self, way: Way) -> Address {
        let cable = if way == Way::Quic { self.quic.addr() } else { self.tcp.addr() };
        through(&self.relay.address(way), cable)
    }

    fn pull(&self) {
        self.quic.pull();
        self.tcp.pull();
    }

    fn plug(&self) {
        self.quic.plug();
        self.tcp.plug();
    }

    fn question(&self, number: u64) -> Query {
        let block = self.chain.head().head.hash;
        let key = keccak256(number.to_be_bytes());
        Query::Proofs(vec![ProofRequest { block, account: None, key, from_level: 0 }])
    }

    async fn stop(self) {
        self.relay.stop().await;
        self.full_node.stop().await;
    }
}

#[expect(clippy::print_stdout, reason = "how long it took is what the story is about")]
fn say(line: &str) {
    println!("{line}");
}

/// With QUIC and TCP both black-holed, and dead afterwards for connections of before.
async fn the_network_goes_and_comes(ways: &[Way]) {
    let house = House::new().await;
    let addresses: Vec<Address> = ways.iter().map(|way| house.address(*way)).collect();
    let peer = KeptPeer::connect(&addresses, PATIENCE).await;
    let before = house.relay.counts().served();

    house.pull();
    let asked = Instant::now();
    let mut readers = Vec::new();
    for number in 0..QUESTIONS {
        let (verified, query) = (Arc::clone(&peer.verified), house.question(number));
        let right = full_node::answer(&house.chain.backend, query.clone()).expect("the chain has it");
        readers.push(tokio::spawn(async move { (verified.answer(query).await, right) }));
    }
    tokio::time::sleep(GONE).await;
    let head = house.chain.grow();
    house.relay.reaches(head.head.hash).await;
    assert_ne!(peer.follower.heads().borrow().as_ref().expect("a head").head, head.head);
    house.plug();
    let back = Instant::now();

    let mut heads = peer.follower.heads();
    let reached = heads.wait_for(|update| update.as_ref().is_some_and(|update| update.head == head.head));
    assert!(timeout(BACK, reached).await.is_ok(), "no verified head {BACK:?} after the network came back");
    say(&format!("{ways:?}: a verified head {:?} after the network came back", back.elapsed()));
    for reader in readers {
        let (answer, right) = reader.await.expect("no panic");
        assert!(probe::same(&answer.expect("a delay, and no error"), &right));
    }
    say(&format!("{ways:?}: the slowest reader waited for {:?}", asked.elapsed()));
    // Statuses and announcements of the sessions, the answers, a header for each head: no second sync.
    let served = house.relay.counts().served() - before;
    assert!(served <= 2 * QUESTIONS + 16, "{served} messages: the chain was fetched again");
    eventually("the dead session is gone at the relay", || house.relay.counts().sessions() == 1).await;
    peer.leave().await;
    house.relay.is_idle().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic() {
    the_network_goes_and_comes(&[Way::Quic]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_where_quic_is_not() {
    the_network_goes_and_comes(&[Way::Tcp]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_either() {
    the_network_goes_and_comes(&[Way::Quic, Way::Tcp]).await;
}

/// The server is started anew: its connections end, and it is reached again where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_ends_comes_back() {
    let house = House::new().await;
    let peer = KeptPeer::connect(&[house.address(Way::Tcp)], PATIENCE).await;
    let mut link = peer.keeper.link();
    link.mark_unchanged();

    house.relay.transports.panic_host_for_test().await;

    let mut lost = false;
    timeout(BACK, async {
        loop {
            link.changed().await.expect("it is kept");
            let up = peer.path().is_some();
            lost |= !up;
            if up {
                break;
            }
        }
    })
    .await
    .expect("it comes back");
    assert!(lost, "the loss was told");
    let answer = peer.verified.answer(house.question(1)).await.expect("served again");
    let right = full_node::answer(&house.chain.backend, house.question(1)).expect("the chain has it");
    assert!(probe::same(&answer, &right));
    peer.leave().await;
    house.stop().await;
}
