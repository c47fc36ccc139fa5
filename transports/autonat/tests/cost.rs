//! What a dial back costs its target, beside what the asker paid for it.
//!
//! `cargo test -p PACKAGE --test cost -- --nocapture` prints it. Kernel packets (SYN, ACK) are not counted; UDP's are,
//! with 28 bytes of headers each.

mod kit;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use autonat::server::{self, Outcome};
use kit::{Node, client_config, drive_until, server_config};
use libp2p::Multiaddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::oneshot,
};

/// IP and UDP headers of a packet.
const HEADERS: u64 = 28;

/// The least that is paid.
const MIN_PAYMENT: u64 = 30_000;

/// Has the server dial this address, which is not the asker's.
async fn dialed(address: &str, asker: &mut Node) -> server::Event {
    let mut server = Node::new(client_config(), server_config());
    server.listen("/ip4/127.0.0.1/tcp/0").await;
    asker.connect(&mut server).await;
    let address: Multiaddr = address.parse().expect("a multiaddr");
    asker.set_candidate(&address);
    drive_until(&mut server, &mut [asker], |server| server.served(&address)).await
}

fn report(what: &str, event: &server::Event, cost: &AtomicU64) {
    let cost = cost.load(Ordering::Relaxed);
    eprintln!("{what}: target got {cost} bytes, asker paid {}", event.paid);
    assert!(event.paid >= MIN_PAYMENT, "{event:?}");
    assert!(cost > 0 && cost <= MIN_PAYMENT, "{cost}");
}

/// Counts what comes, and answers with `answer`.
async fn tcp_victim(answer: &'static [u8]) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.9:0").await.expect("a port");
    let address = format!("/ip4/127.0.0.9/tcp/{}", listener.local_addr().expect("bound").port());
    let (cost, count) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let counted = cost.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let mut buffer = [0; 4096];
            let _ = stream.write_all(answer).await;
            while let Ok(got @ 1..) = stream.read(&mut buffer).await {
                counted.fetch_add(got as u64, Ordering::Relaxed);
            }
        }
    });
    (address, cost)
}

#[tokio::test]
async fn a_tcp_target_that_says_nothing_gets_less_than_was_paid() {
    let (address, cost) = tcp_victim(b"").await;
    let event = dialed(&address, &mut Node::client()).await;

    assert_eq!(event.outcome, Outcome::Unreachable);
    report("TCP, silent", &event, &cost);
}

#[tokio::test]
async fn a_tcp_target_that_speaks_something_else_gets_less_than_was_paid() {
    let (address, cost) = tcp_victim(b"SSH-2.0-server\r\n").await;
    let event = dialed(&address, &mut Node::client()).await;

    assert_eq!(event.outcome, Outcome::Unreachable);
    report("TCP, SSH", &event, &cost);
}

#[tokio::test]
async fn a_udp_target_gets_less_than_was_paid() {
    for answer in [&[][..], &[0x80, 0, 0, 0, 0], &[7; 1200]] {
        let socket = UdpSocket::bind("127.0.0.9:0").await.expect("a port");
        let port = socket.local_addr().expect("bound").port();
        let cost = Arc::<AtomicU64>::default();
        let counted = cost.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((got, from)) = socket.recv_from(&mut buffer).await {
                counted.fetch_add(got as u64 + HEADERS, Ordering::Relaxed);
                if !answer.is_empty() {
                    let _ = socket.send_to(answer, from).await;
                }
            }
        });

        let event = dialed(&format!("/ip4/127.0.0.9/udp/{port}/quic-v1"), &mut Node::client()).await;
        tokio::time::sleep(Duration::from_secs(1)).await; // what is sent after the end counts too

        assert_eq!(event.outcome, Outcome::Unreachable);
        report(&format!("QUIC, {} bytes in answer", answer.len()), &event, &cost);
    }
}

#[tokio::test]
async fn a_whole_dial_back_costs_less_than_was_paid() {
    let mut asker = Node::client();
    asker.listen("/ip4/127.0.0.1/tcp/0").await;
    let port = asker.listening[0].iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    let port = port.expect("a port");
    let listener = TcpListener::bind("127.0.0.9:0").await.expect("a port");
    let address = format!("/ip4/127.0.0.9/tcp/{}", listener.local_addr().expect("bound").port());
    let (ended, end) = oneshot::channel();
    tokio::spawn(async move {
        let (mut from, _) = listener.accept().await.expect("the server comes");
        let mut to = TcpStream::connect(("127.0.0.1", port)).await.expect("the asker listens");
        let mut cost = 0;
        let (mut from_server, mut to_server) = from.split();
        let (mut from_asker, mut to_asker) = to.split();
        let there = async {
            let mut buffer = [0; 4096];
            while let Ok(got @ 1..) = from_server.read(&mut buffer).await {
                cost += got as u64;
                let _ = to_asker.write_all(&buffer[..got]).await;
            }
        };
        tokio::select! {
            () = there => {}
            _ = tokio::io::copy(&mut from_asker, &mut to_server) => {}
        }
        let _ = ended.send(cost);
    });

    let event = dialed(&address, &mut asker).await;
    let cost = tokio::time::timeout(kit::PATIENCE, async {
        tokio::select! {
            cost = end => cost.expect("counted"),
            never = async { loop { asker.step().await } } => never,
        }
    });
    let cost = AtomicU64::new(cost.await.expect("the connection is closed"));

    assert_eq!(event.outcome, Outcome::Reachable);
    report("TCP, a whole dial back with Noise, Yamux and identify", &event, &cost);
}
