//! Sessions over libp2p between two nodes on the loopback: TCP, QUIC, WebSocket.

mod kit;

use bytes::Bytes;
use causeway_transports::{Address, CloseReason, DialError, Limits, TransportsConfig};
use causeway_wire::{Capability, Stack, les::Version};
use kit::{Node, any, base_limits, config, connect, dialer, end, message, noise, start};

const LIST: Bytes = Bytes::from_static(&[0xc2, 0x01, 0x02]);

/// Part of a multiaddr that tells the transport, and its name.
const TRANSPORTS: [(&str, &str); 3] = [("/quic-v1/", "quic"), ("/ws/", "ws"), ("/tcp/", "tcp")];

async fn libp2p_node(seed: u8) -> Node {
    start(TransportsConfig { libp2p_tcp: any(), libp2p_quic: any(), websocket: any(), ..config(seed) }).await
}

/// The plain TCP address shares its `/tcp/` with that of WebSocket.
fn address(node: &Node, part: &str, name: &str) -> Address {
    if name != "tcp" {
        return node.multiaddr(part);
    }
    let addrs = node.transports.multiaddrs();
    Address::Multiaddr(
        addrs.into_iter().find(|addr| addr.contains(part) && !addr.contains("/ws")).expect("tcp"),
    )
}

#[tokio::test]
async fn messages_go_both_ways_on_every_transport() {
    let mut server = libp2p_node(1).await;
    for (part, name) in TRANSPORTS {
        let client = dialer(2).await;

        let address = address(&server, part, name);
        let (mut dialed, mut accepted) = connect(&client, &mut server, &address).await;
        dialed.session.try_send(0, LIST).expect("room");
        let (code, payload, slot) = message(&mut accepted).await;
        assert_eq!((code, payload), (0, LIST));
        accepted.session.try_reply(3, noise(3_000_000), slot).expect("room");
        let (code, payload, _) = message(&mut dialed).await;

        assert_eq!((code, payload), (3, noise(3_000_000)));
        assert_eq!(accepted.session.transport(), name);
        assert_eq!(dialed.session.transport(), name);
        assert_eq!(accepted.session.stack(), Stack::Libp2p);
        assert_eq!(accepted.session.capability(), &Version::Les4.capability());
        assert_eq!(
            causeway_transports::node_key(&accepted.session.peer()),
            Some(client.transports.node_key()),
            "one key on both stacks"
        );
        dialed.session.close(0x08);
        assert_eq!(end(&mut accepted).await, CloseReason::Remote(None));
        client.stop().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn what_was_sent_before_the_close_arrives() {
    let mut server = libp2p_node(1).await;
    for (part, name) in TRANSPORTS {
        let client = dialer(2).await;
        let address = address(&server, part, name);
        let (mut dialed, accepted) = connect(&client, &mut server, &address).await;

        for code in 2..12 {
            accepted.session.try_send(code, noise(50_000)).expect("room");
        }
        accepted.session.close(0x10);

        for expected in 2..12 {
            assert_eq!(message(&mut dialed).await.0, expected, "{name}");
        }
        assert_eq!(end(&mut dialed).await, CloseReason::Remote(None), "{name}");
        client.stop().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_newer_connection_replaces_the_older_ones_session() {
    let mut server = libp2p_node(1).await;
    let (old, new) = (dialer(2).await, dialer(2).await);
    let address = address(&server, "/tcp/", "tcp");
    let (_old_dialed, mut old_accepted) = connect(&old, &mut server, &address).await;

    let (new_dialed, mut new_accepted) = connect(&new, &mut server, &address).await;

    assert_eq!(end(&mut old_accepted).await, CloseReason::Replaced);
    new_dialed.session.try_send(2, LIST).expect("room");
    assert_eq!(message(&mut new_accepted).await.0, 2);
    old.stop().await;
    new.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_stream_can_be_opened_again_as_soon_as_the_session_is_over() {
    let mut server = libp2p_node(1).await;
    let client = dialer(2).await;
    for (part, name) in TRANSPORTS {
        let address = address(&server, part, name);
        for _ in 0..5 {
            let (dialed, mut accepted) = connect(&client, &mut server, &address).await;
            dialed.session.try_send(2, LIST).expect("room");
            assert_eq!(message(&mut accepted).await.0, 2, "{name}");
            dialed.session.close(0x08);
            dialed.session.closed().await;
        }
    }
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_light_peer_may_not_send_what_a_server_may() {
    let mut server = libp2p_node(1).await;
    let client = dialer(2).await;
    let address = address(&server, "/quic-v1/", "quic");
    let (mut dialed, mut accepted) = connect(&client, &mut server, &address).await;

    dialed.session.try_send(2, noise(128 * 1024)).expect("room");
    assert_eq!(message(&mut accepted).await.1.len(), 128 * 1024);
    dialed.session.try_send(0x13, noise(1024 * 1024)).expect("room");
    assert_eq!(message(&mut accepted).await.1.len(), 1024 * 1024);
    dialed.session.try_send(2, noise(128 * 1024 + 1)).expect("room");

    let reason = end(&mut accepted).await;
    assert!(matches!(reason, CloseReason::Fault(_)), "{reason}");
    end(&mut dialed).await;
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn sessions_that_nobody_takes_wait_in_the_host() {
    let limits = Limits { incoming: 1, ..base_limits() };
    let mut server = start(TransportsConfig { libp2p_tcp: any(), limits, ..config(1) }).await;
    let clients = [dialer(2).await, dialer(3).await, dialer(4).await];
    let address = server.multiaddr("/tcp/");
    for client in &clients {
        client.dial(&address).await.expect("connects");
    }

    let mut seen = Vec::new();
    for _ in &clients {
        seen.push(server.accept().await.session.peer());
    }

    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn errors_of_dials_say_what_is_wrong() {
    let server = libp2p_node(1).await;
    let client = dialer(2).await;
    let other = start(TransportsConfig { capabilities: vec![Capability::new("snap", 1)], ..config(3) }).await;

    let no_address = client.dial(&Address::Multiaddr("relay.example.org".to_owned())).await;
    let no_protocol = other.dial(&server.multiaddr("/quic-v1/")).await;

    assert!(matches!(no_address, Err(DialError::Libp2p(_))), "{no_address:?}");
    assert!(matches!(no_protocol, Err(DialError::Libp2p(_))), "{no_protocol:?}");
    server.stop().await;
}

#[tokio::test]
async fn shutdown_ends_the_sessions() {
    let mut server = libp2p_node(1).await;
    let client = dialer(2).await;
    let address = address(&server, "/ws/", "ws");
    let (mut dialed, mut accepted) = connect(&client, &mut server, &address).await;

    server.stop().await;

    assert_eq!(end(&mut accepted).await, CloseReason::Local);
    end(&mut dialed).await;
    client.stop().await;
}
