//! A node behind a home router: the port that the router opened is tested, told, and closed at the end.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use causeway_mapping::{
    Mapper, MappingConfig, MappingStatus, Methods, Network, Path, PortState, PortWish, Protocol, Routes,
};
use causeway_reachability::{
    Carrier, Evidence, Family, Judge, MappedPort, Outcome, Own, Place, State, Transport, Verdict, candidates,
    tell,
};
use causeway_records::{Contents, Multiaddr, Reach, Record};
use secp256k1::SecretKey;
use tokio::{net::UdpSocket, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const PATIENCE: Duration = Duration::from_secs(20);

/// Where QUIC listens at home.
const PORT: u16 = 30314;

/// What the router adds to a port.
const SHIFT: u16 = 10_000;

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(8, 8, 4, 4);

const QUIC: &str =
    "/ip4/192.168.1.10/udp/30314/quic-v1/p2p/16Uiu2HAmT14ttcUrwsTn5fwCUc4qY4twN2HqyZgSgZKUMtVei6SC";

/// Ports that are open, by the one inside.
type Open = Arc<Mutex<BTreeMap<u16, u16>>>;

/// A router that speaks NAT-PMP (RFC 6886).
async fn router(open: Open) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let mut answer = match buffer[..length] {
                [0, 0] => vec![0, 128, 0, 0, 0, 0, 0, 1],
                [0, operation @ (1 | 2), ..] if length == 12 => vec![0, 128 + operation, 0, 0, 0, 0, 0, 1],
                _ => continue,
            };
            if length == 2 {
                answer.extend(OUTSIDE.octets());
            } else {
                let internal = u16::from_be_bytes([buffer[4], buffer[5]]);
                let lifetime = [buffer[8], buffer[9], buffer[10], buffer[11]];
                let mut open = open.lock().expect("unpoisoned");
                let external = if lifetime == [0; 4] {
                    open.remove(&internal);
                    0
                } else {
                    *open.entry(internal).or_insert(internal + SHIFT)
                };
                answer.extend([internal.to_be_bytes(), external.to_be_bytes()].concat());
                answer.extend(lifetime);
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}

/// What the node at home knows, with what the router did.
fn evidence(status: &MappingStatus) -> Evidence {
    let mut evidence = Evidence::none(Reach::Public);
    evidence.listeners = Place::read(QUIC).into_iter().collect();
    evidence.outgoing = vec![IpAddr::from([192, 168, 1, 10])];
    evidence.mappings = status
        .mappings()
        .map(|(wish, mapping)| MappedPort {
            carrier: Carrier::Udp,
            internal: wish.internal,
            family: Family::Ipv4,
            outcome: Outcome::Open { external: mapping.external, method: mapping.method.to_string() },
        })
        .collect();
    evidence
}

fn record(before: Option<&Record>, endpoints: &Contents) -> Record {
    let key = SecretKey::from_secret_bytes([7; 32]).expect("valid");
    Record::renew(before, 1, &key, endpoints).expect("it fits").record
}

#[tokio::test]
async fn a_port_that_the_router_opened_is_tested_told_and_closed_at_the_end() {
    let open = Open::default();
    let control = router(open.clone()).await;
    let path = Path { control, search: Vec::new(), address: Ipv4Addr::LOCALHOST.into(), prefix: 8 };
    let (_network, routes) = watch::channel(Network { ipv4: Some(path), ipv6: None });
    let wish = PortWish { protocol: Protocol::Udp, internal: PORT, name: "quic" };
    let methods: Methods = "pmp".parse().expect("a word of --nat");
    let config = MappingConfig { routes: Routes::Given(routes), ..MappingConfig::new(methods, vec![wish]) };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut status = Mapper::start(config, &tasks, stop.clone()).expect("it can be meant").status();
    let own = Own { listening: vec![QUIC.parse::<Multiaddr>().expect("multiaddr")], ..Own::default() };
    let mut judge = Judge::default();
    let now = SystemTime::now();

    // Before the router answered.
    let nothing = evidence(&status.borrow());
    let found = judge.weigh(&nothing, now);
    assert_eq!(found.state, State::Unknown);
    let first = record(None, &tell(&own, &found, &nothing).endpoints);
    assert_eq!(first.quic_addrs(), Ok(Vec::new()));

    // It opened the port: others are asked to test it.
    let is_open = |status: &MappingStatus| status.mappings().next().is_some();
    timeout(PATIENCE, status.wait_for(is_open)).await.expect("in time").expect("it runs");
    let mut mapped = evidence(&status.borrow());
    let outside = SocketAddr::from((OUTSIDE, PORT + SHIFT));
    let id = QUIC.split_once("/p2p/").expect("an id").1;
    assert_eq!(candidates(&own, &mapped), [format!("/ip4/8.8.4.4/udp/40314/quic-v1/p2p/{id}")]);

    // They came through: the record says it, with the port outside.
    let place = Place { transport: Transport::Quic, addr: outside };
    mapped.verdicts = vec![Verdict { place, reachable: true, confirmations: 2, at: now }];
    let found = judge.weigh(&mapped, now);
    assert_eq!(found.state, State::Mapped);
    let words = "Others reach you directly. Nothing to do. Your router opened port 40314 automatically.";
    assert_eq!(found.advice, words);
    let told = record(Some(&first), &tell(&own, &found, &mapped).endpoints);
    assert_eq!((told.quic_addrs(), told.seq()), (Ok(vec![outside]), first.seq() + 1));

    // The end: the router has nothing open for us any more, and what was told is told no longer.
    stop.cancel();
    tasks.close();
    timeout(PATIENCE, tasks.wait()).await.expect("the mapper ends");
    assert!(open.lock().expect("unpoisoned").is_empty());
    assert!(status.borrow().ports.iter().all(|port| port.ipv4 == PortState::Off));
    let after = evidence(&status.borrow());
    let found = judge.weigh(&after, now);
    let last = record(Some(&told), &tell(&own, &found, &after).endpoints);
    assert_eq!((last.quic_addrs(), last.ip4()), (Ok(Vec::new()), None));
}
