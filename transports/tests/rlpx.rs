//! Sessions over RLPx between two nodes on the loopback.

mod kit;

use std::time::Duration;

use bytes::Bytes;
use causeway_transports::{Address, CloseReason, Counts, DialError, Limits, SendError, TransportsConfig};
use causeway_wire::{PeerId, Stack, les::Version};
use kit::{any, base_limits, config, connect_devp2p, devp2p_node, dialer, end, message, noise, start};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const LIST: Bytes = Bytes::from_static(&[0xc2, 0x01, 0x02]);

#[tokio::test]
async fn messages_go_both_ways() {
    let mut server = devp2p_node(1).await;
    let client = devp2p_node(2).await;

    let (mut dialed, mut accepted) = connect_devp2p(&client, &mut server).await;
    dialed.session.try_send(2, LIST).expect("room");
    let (code, payload, slot) = message(&mut accepted).await;
    assert_eq!((code, payload), (2, LIST));
    accepted.session.try_reply(3, noise(300_000), slot).expect("room");
    let (code, payload, _) = message(&mut dialed).await;

    assert_eq!((code, payload), (3, noise(300_000)));
    assert_eq!(dialed.session.peer(), PeerId::devp2p(server.transports.node_key()));
    assert_eq!(accepted.session.peer(), PeerId::devp2p(client.transports.node_key()));
    assert_eq!(accepted.session.stack(), Stack::Devp2p);
    assert_eq!(accepted.session.transport(), "rlpx");
    assert_eq!(accepted.session.client(), "Test/v2");
    assert_eq!(accepted.session.capability(), &Version::Les4.capability());
    assert_eq!(server.transports.counts().devp2p_inbound, 1);
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn what_was_sent_before_the_close_arrives_and_then_the_reason() {
    let mut server = devp2p_node(1).await;
    let client = dialer(2).await;
    let (mut dialed, accepted) = connect_devp2p(&client, &mut server).await;

    for code in 2..12 {
        accepted.session.try_send(code, noise(100_000)).expect("room");
    }
    accepted.session.close(0x10);
    assert_eq!(accepted.session.try_send(2, LIST), Err(SendError::Closed));

    for expected in 2..12 {
        assert_eq!(message(&mut dialed).await.0, expected);
    }
    assert_eq!(end(&mut dialed).await, CloseReason::Remote(Some(0x10)));
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn shutdown_says_goodbye_and_leaves_nothing() {
    let mut server = devp2p_node(1).await;
    let client = dialer(2).await;
    let (mut dialed, mut accepted) = connect_devp2p(&client, &mut server).await;

    server.stop().await;

    assert_eq!(end(&mut accepted).await, CloseReason::Local);
    assert_eq!(end(&mut dialed).await, CloseReason::Remote(Some(0x08)));
    client.stop().await;
}

#[tokio::test]
async fn a_dropped_receiver_of_events_ends_the_session() {
    let mut server = devp2p_node(1).await;
    let client = dialer(2).await;
    let (dialed, mut accepted) = connect_devp2p(&client, &mut server).await;

    drop(dialed.events);

    assert_eq!(end(&mut accepted).await, CloseReason::Remote(Some(0x08)));
    dialed.session.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn a_peer_can_come_again_as_soon_as_its_session_is_over() {
    let mut server = devp2p_node(1).await;
    let client = dialer(2).await;

    for _ in 0..5 {
        let (dialed, mut accepted) = connect_devp2p(&client, &mut server).await;
        dialed.session.close(0x08);
        assert_eq!(end(&mut accepted).await, CloseReason::Remote(Some(0x08)));
        dialed.session.closed().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn the_same_key_connects_once() {
    let mut server = devp2p_node(1).await;
    let (first, second) = (dialer(2).await, dialer(2).await);
    let address = server.devp2p_address();
    let _session = connect_devp2p(&first, &mut server).await;

    let again = first.dial(&address).await.expect_err("connected already");
    // Its Hello is through before the other end knows who it is: the session ends at once.
    let mut twin = second.dial(&address).await.expect("connects");

    assert!(matches!(again, DialError::AlreadyConnected), "{again}");
    assert_eq!(end(&mut twin).await, CloseReason::Remote(Some(0x05)));
    server.stop().await;
}

#[tokio::test]
async fn a_full_node_says_so() {
    let limits = Limits { devp2p_inbound: 1, ..base_limits() };
    let mut server = start(TransportsConfig { devp2p: any(), limits, ..config(1) }).await;
    let (first, second) = (dialer(2).await, dialer(3).await);
    let _session = connect_devp2p(&first, &mut server).await;

    let mut refused = second.dial(&server.devp2p_address()).await.expect("connects");

    assert_eq!(end(&mut refused).await, CloseReason::Remote(Some(0x04)));
    server.stop().await;
}

#[tokio::test]
async fn an_owner_that_takes_no_sessions_turns_peers_away() {
    let limits = Limits { incoming: 1, intake: Duration::from_millis(50), ..base_limits() };
    let server = start(TransportsConfig { devp2p: any(), limits, ..config(1) }).await;
    let (first, second) = (dialer(2).await, dialer(3).await);
    let _waits = first.dial(&server.devp2p_address()).await.expect("connects");

    let mut refused = second.dial(&server.devp2p_address()).await.expect("connects");

    assert_eq!(end(&mut refused).await, CloseReason::Remote(Some(0x04)));
    server.stop().await;
}

#[tokio::test]
async fn nothing_in_common_is_useless() {
    let server = devp2p_node(1).await;
    let client = start(TransportsConfig {
        capabilities: vec![causeway_wire::Capability::new("eth", 68)],
        ..config(2)
    })
    .await;

    let error = client.dial(&server.devp2p_address()).await.expect_err("nothing in common");

    assert!(matches!(error, DialError::Useless { .. }), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn wrong_addresses_are_told_apart() {
    let server = devp2p_node(1).await;
    let client = devp2p_node(2).await;
    let addr = server.transports.devp2p_addr().expect("listens");
    let stranger = dialer(3).await.transports.node_key();
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("port");

    let wrong_key = client.dial(&Address::Devp2p { key: stranger, addr }).await;
    let unreachable = client.dial(&Address::Devp2p { key: stranger, addr: nobody }).await;
    let myself = client.dial(&client.devp2p_address()).await;

    assert!(matches!(wrong_key, Err(DialError::WrongKey { .. })), "{wrong_key:?}");
    assert!(matches!(unreachable, Err(DialError::Unreachable { .. })), "{unreachable:?}");
    assert!(matches!(myself, Err(DialError::Myself)), "{myself:?}");
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_light_peer_may_not_send_what_a_server_may() {
    let mut server = devp2p_node(1).await;
    let client = dialer(2).await;
    let (mut dialed, mut accepted) = connect_devp2p(&client, &mut server).await;

    dialed.session.try_send(2, noise(128 * 1024)).expect("room");
    assert_eq!(message(&mut accepted).await.1.len(), 128 * 1024);
    dialed.session.try_send(0x13, noise(1024 * 1024)).expect("room");
    assert_eq!(message(&mut accepted).await.1.len(), 1024 * 1024);
    dialed.session.try_send(2, noise(128 * 1024 + 1)).expect("room");

    let reason = end(&mut accepted).await;
    assert!(matches!(reason, CloseReason::Fault(_)), "{reason}");
    assert_eq!(end(&mut dialed).await, CloseReason::Remote(Some(0x10)));
    server.stop().await;
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    let mut server = devp2p_node(1).await;
    let addr = server.transports.devp2p_addr().expect("listens");
    for garbage in
        [vec![0; 3000], vec![0xff; 3000], noise(3000).to_vec(), b"GET / HTTP/1.1\r\n\r\n".repeat(60)]
    {
        let mut stream = TcpStream::connect(addr).await.expect("connects");
        let _ = stream.write_all(&garbage).await; // it may hang up before all of it is out
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }

    let client = dialer(2).await;
    let _session = connect_devp2p(&client, &mut server).await;

    assert_eq!(server.transports.counts(), Counts { devp2p_inbound: 1, tasks: 3, ..Counts::default() });
    server.stop().await;
}
