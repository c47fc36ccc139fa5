//! Very many strangers at once, and one honest client in the middle of them.

mod kit;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

use futures::future::join_all;
use kit::{Client, Node, PATIENCE, client_config, target};
use libp2p_identity::Keypair;
use quinn::Endpoint;
use tokio::net::UdpSocket;

/// Connections that are begun and never become sessions.
const HALF_OPEN: usize = 1_000;

/// How many of them at once: more would overrun the socket's buffer and wait for QUIC to send again.
const AT_ONCE: usize = 50;

#[tokio::test]
async fn a_thousand_half_open_handshakes_of_one_address_keep_nobody_else_out() {
    let (node, address) = Node::start(|config| config.limits.handshake_time = PATIENCE * 6).await;
    let (listener, hashes) = target(&address);
    let other = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    let endpoint = Endpoint::client(other).expect("a socket");
    let config = client_config(hashes);

    let mut half_open = Vec::new();
    for _ in 0..HALF_OPEN / AT_ONCE {
        let dial = || endpoint.connect_with(config.clone(), listener, "localhost").expect("valid");
        half_open.extend(join_all((0..AT_ONCE).map(|_| dial())).await.into_iter().flatten());
    }

    let (client, _) = Client::session(&address, &Keypair::generate_ed25519()).await.expect("a session");
    assert!(client.echoes(b"unharmed").await);
    let report = node.handle.report();
    assert_eq!(half_open.len(), 32, "as many as one address may have");
    assert_eq!(report.handshakes, 32);
    assert_eq!(report.refused as usize, HALF_OPEN - 32);
}

#[tokio::test]
async fn first_packets_from_false_addresses_take_no_place_from_true_ones() {
    let (node, address) = Node::start(|config| {
        config.limits.handshakes = 64;
        config.limits.retry_from = 16;
    })
    .await;
    let (listener, _) = target(&address);
    let trap = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let endpoint = Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");

    // Real first packets, caught and sent on from addresses that never answer.
    let (config, caught_at) = (client_config(Vec::new()), trap.local_addr().expect("bound"));
    let (mut packet, mut seen) = (vec![0; 2048], BTreeSet::new());
    let (mut dials, mut senders) = (Vec::new(), Vec::new());
    while let Ok(host @ 0..200) = u8::try_from(seen.len()) {
        dials.push(endpoint.connect_with(config.clone(), caught_at, "localhost").expect("valid"));
        let (length, _) = trap.recv_from(&mut packet).await.expect("a first packet");
        let id_length = usize::from(packet[5]); // behind flags and version; RFC 9000, section 17.2
        if !seen.insert(packet[6..6 + id_length].to_vec()) {
            continue; // of a connection that was seen before
        }
        let sender = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, host), 0)).await.expect("a socket");
        sender.send_to(&packet[..length], listener).await.expect("sent");
        senders.push(sender);
    }

    let ours = Keypair::generate_ed25519();
    let honest = Client::session(&address, &ours);
    let (client, _) = tokio::time::timeout(PATIENCE, honest).await.expect("in time").expect("a session");
    assert!(client.echoes(b"unharmed").await);
    let report = node.handle.report();
    assert_eq!(report.handshakes, 16, "{report:?}");
    assert!(report.retried > 100, "{report:?}");
    assert_eq!(report.refused, 0);
}
