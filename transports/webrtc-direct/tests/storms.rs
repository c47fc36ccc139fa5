//! Many strangers at once, who promise a connection and never keep it: what they take is bounded, and gone again.

use std::{
    future::poll_fn,
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    time::{Duration, Instant},
};

use libp2p_core::{
    Transport as _,
    multiaddr::{Multiaddr, Protocol},
    transport::{ListenerId, TransportEvent},
};
use libp2p_identity::Keypair;
use tokio::sync::mpsc;
use webrtc_direct::{Config, Error, GateReport, Handle, HandshakeError, Transport, fuzzing};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

const STRANGERS: usize = 1_000;

struct Node {
    handle: Handle,
    address: SocketAddr,
    failed: mpsc::Receiver<Error>,
}

impl Node {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config =
            Config::new(&Keypair::ed25519_from_bytes([9; 32]).expect("a key")).expect("a certificate");
        change(&mut config);
        let mut transport = Transport::new(config).expect("a transport");
        let listen = "/ip4/127.0.0.1/udp/0/webrtc-direct".parse().expect("an address");
        transport.listen_on(ListenerId::next(), listen).expect("listening");
        let handle = transport.handle();
        let event = poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await;
        let TransportEvent::NewAddress { listen_addr, .. } = event else { panic!("{event:?}") };
        let (say, failed) = mpsc::channel(4_096);
        tokio::spawn(async move {
            loop {
                let event = poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await;
                if let TransportEvent::Incoming { upgrade, .. } = event {
                    let say = say.clone();
                    tokio::spawn(async move {
                        if let Err(error) = upgrade.await {
                            let _ = say.send(error).await;
                        }
                    });
                }
            }
        });
        Self { handle, address: socket_address(&listen_addr), failed }
    }

    async fn wait(&self, what: impl Fn(GateReport) -> bool) -> GateReport {
        let until = Instant::now() + PATIENCE;
        while !what(self.handle.report()) {
            assert!(Instant::now() < until, "{:?}", self.handle.report());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.handle.report()
    }
}

fn socket_address(address: &Multiaddr) -> SocketAddr {
    let (mut ip, mut port) = (None, None);
    for part in address {
        match part {
            Protocol::Ip4(v4) => ip = Some(v4.into()),
            Protocol::Udp(number) => port = Some(number),
            _ => {}
        }
    }
    SocketAddr::new(ip.expect("an IP"), port.expect("a port"))
}

fn fragment(number: usize) -> String {
    format!("libp2p+webrtc+v1/{number:032}")
}

/// A stranger who sends STUN, and maybe the first record of DTLS. Whether STUN was answered.
fn stranger(to: SocketAddr, number: usize, hello: Option<&[u8]>) -> (UdpSocket, bool) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
    socket.send_to(&fuzzing::stun_request(&fragment(number)), to).expect("sent");
    let answered = socket.recv_from(&mut [0; 600]).is_ok();
    if let Some(hello) = hello {
        socket.send_to(hello, to).expect("sent");
    }
    (socket, answered)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_who_send_stun_only_begin_nothing() {
    let node = Node::start(|config| config.limits.handshake_burst = 2_000).await;
    let to = node.address;
    let answered = tokio::task::spawn_blocking(move || {
        (0..STRANGERS).filter(|number| stranger(to, *number, None).1).count()
    });
    let answered = answered.await.expect("it ran");
    assert!(answered > STRANGERS * 9 / 10, "{answered} answered");
    assert_eq!((node.handle.report().connections, node.handle.report().handshakes), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_that_asks_too_often_is_not_answered() {
    let node = Node::start(|_| ()).await;
    let to = node.address;
    let answered = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let answered = (0..100).filter(|number| stranger(to, *number, None).1).count();
        (answered, began.elapsed().as_secs() as usize + 1)
    });
    let (answered, seconds) = answered.await.expect("it ran");
    assert!((1..=32 + 8 * seconds).contains(&answered), "{answered} answered in {seconds} s");
    assert!(node.handle.report().throttled > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_handshakes_that_stop_half_way_are_bounded_and_leave_nothing_behind() {
    let mut node = Node::start(|config| {
        config.limits.handshake_burst = 2_000;
        config.limits.handshakes = 64;
        config.limits.handshakes_of_one = 32;
        config.limits.handshake_time = Duration::from_secs(2);
    })
    .await;
    let (to, hello) = (node.address, fuzzing::client_hello());
    let strangers = tokio::task::spawn_blocking(move || {
        (0..STRANGERS).map(|number| stranger(to, number, Some(&hello)).0).collect::<Vec<_>>()
    });
    let mut most = 0;
    while !strangers.is_finished() {
        let report = node.handle.report();
        most = most.max(report.handshakes);
        assert!(report.connections == report.handshakes && report.handshakes <= 32, "{report:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(most > 16, "they came: {most}");
    let report = node.wait(|report| report.connections == 0).await;
    assert!(report.refused > 0, "{report:?}");
    let error = node.failed.recv().await.expect("an error");
    assert!(
        matches!(error, Error::Handshake(HandshakeError::Timeout(_) | HandshakeError::Session(_))),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_stun_and_datagrams_of_nothing_begin_nothing() {
    let node = Node::start(|_| ()).await;
    let (to, hello) = (node.address, fuzzing::client_hello());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for length in 0..STRANGERS {
        socket.send_to(&hello, to).expect("sent");
        socket.send_to(&vec![(length % 256) as u8; length], to).expect("sent");
    }
    // Answered behind them: they were all looked at.
    let answered = tokio::task::spawn_blocking(move || (0..50).any(|number| stranger(to, number, None).1));
    assert!(answered.await.expect("it ran"));
    assert_eq!(node.handle.report().connections, 0);
}
