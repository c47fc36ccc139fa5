//! What a listener announces, what it serves, and what becomes of its sessions.

mod kit;

use std::time::Duration;

use kit::{Client, Node, Said, identity, listen_address, target};
use libp2p_core::{
    Multiaddr, Transport as _,
    multiaddr::Protocol,
    transport::{DialOpts, ListenerId, PortUse, TransportError},
};
use libp2p_identity::Keypair;
use webtransport::{Config, Error, SKEW, Transport, WINDOW};

#[tokio::test]
async fn an_address_leads_to_a_session_with_its_identity() {
    let (mut node, address) = Node::start(|_| ()).await;
    let ours = Keypair::generate_ed25519();

    let (client, peer) = Client::session(&address, &ours).await.expect("a session");

    assert_eq!(peer, identity().public().to_peer_id());
    assert_eq!(node.session().await, ours.public().to_peer_id());
    assert!(client.echoes(&vec![7; 1 << 20]).await);
}

#[tokio::test]
async fn the_same_identity_and_date_give_the_same_hashes_after_a_restart() {
    let (node, before) = Node::start(|_| ()).await;
    drop(node);

    let (_node, after) = Node::start(|_| ()).await;

    assert_eq!(target(&before).1.len(), 2);
    assert_eq!(target(&before).1, target(&after).1);
}

#[tokio::test]
async fn a_certificate_is_rolled_under_living_sessions_and_old_addresses() {
    let (mut node, first) = Node::start(|_| ()).await;
    let (client, _) = Client::session(&first, &Keypair::generate_ed25519()).await.expect("a session");
    node.session().await;

    node.clock.advance(WINDOW);
    let second = node.address().await;
    assert_eq!(node.expired().await, first);
    assert_eq!(target(&second).1[0], target(&first).1[1], "the next one's hash was already there");
    assert_eq!(node.handle.certhashes().to_vec(), target(&second).1);

    assert!(client.echoes(b"on the old session").await);
    let ours = Keypair::generate_ed25519();
    let (by_the_old, _) = Client::session(&first, &ours).await.expect("a session");
    node.session().await;
    assert!(by_the_old.echoes(b"by the old address").await);
    let (by_the_new, _) = Client::session(&second, &ours).await.expect("a session");
    node.session().await;
    assert!(by_the_new.echoes(b"by the new address").await);

    node.clock.advance(WINDOW);
    node.address().await;
    node.expired().await;
    assert!(Client::dial(&first).await.is_err(), "two rolls later the address is stale");
    assert!(Client::dial(&second).await.is_ok());
}

#[tokio::test]
async fn a_clock_that_is_set_back_gets_the_earlier_certificate_again() {
    let (mut node, first) = Node::start(|_| ()).await;
    let start = webtransport::Clock::now(&node.clock);
    node.clock.advance(WINDOW);
    let second = node.address().await;
    assert_eq!(node.expired().await, first);

    node.clock.set(start);

    assert_eq!(node.address().await, first);
    assert_eq!(node.expired().await, second);
}

#[tokio::test]
async fn all_interfaces_are_announced_each_by_itself() {
    let any: Multiaddr = "/ip4/0.0.0.0/udp/0/quic-v1/webtransport".parse().expect("an address");
    let mut node = Node::listen(any, |_| ());

    let loopback = loop {
        let address = node.address().await;
        let Some(Protocol::Ip4(ip)) = address.iter().next() else { panic!("{address}") };
        assert!(!ip.is_unspecified());
        assert_eq!(target(&address).1.len(), 2);
        if ip.is_loopback() {
            break address;
        }
    };

    let session = Client::session(&loopback, &Keypair::generate_ed25519()).await;
    assert!(session.is_ok());
}

#[tokio::test]
async fn a_removed_listener_drains_its_sessions_and_lets_nobody_in() {
    let (mut node, address) = Node::start(|_| ()).await;
    let (mut client, _) = Client::session(&address, &Keypair::generate_ed25519()).await.expect("a session");
    node.session().await;

    node.remove_listener().await;

    assert_eq!(node.expired().await, address);
    assert!(matches!(node.said().await, Said::Closed));
    assert_eq!(client.data().await, Some(vec![0x80, 0, 0x78, 0xae, 0]), "DRAIN_WEBTRANSPORT_SESSION");
    assert!(client.echoes(b"still there").await);
    // QUIC has no word for it: the first packet is not answered.
    let dialled = tokio::time::timeout(Duration::from_millis(500), Client::dial(&address)).await;
    assert!(dialled.is_err());
    assert_eq!(node.handle.report().connections, 1);
}

#[tokio::test]
async fn the_port_of_a_removed_listener_is_free_once_its_last_session_is_gone() {
    let (mut node, address) = Node::start(|_| ()).await;
    let (client, _) = Client::session(&address, &Keypair::generate_ed25519()).await.expect("a session");
    node.session().await;
    let (socket, _) = target(&address);

    node.remove_listener().await;
    node.expired().await;
    assert!(std::net::UdpSocket::bind(socket).is_err(), "the session still needs it");
    client.connection.close(0_u32.into(), b"");

    // QUIC lets a connection drain for some round trips; nothing says when that is over.
    let free = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while std::net::UdpSocket::bind(socket).is_err() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(kit::PATIENCE, free).await.expect("the port is free");
}

#[tokio::test]
async fn ipv6_leads_to_a_session_too() {
    let loopback: Multiaddr = "/ip6/::1/udp/0/quic-v1/webtransport".parse().expect("an address");
    let mut node = Node::listen(loopback, |_| ());
    let address = node.address().await;

    let (client, _) = Client::session(&address, &Keypair::generate_ed25519()).await.expect("a session");

    assert!(client.echoes(b"over IPv6").await);
}

#[tokio::test]
async fn a_session_that_we_close_is_closed_with_a_capsule() {
    let (mut node, address) = Node::start(|_| ()).await;
    let (mut client, _) = Client::session(&address, &Keypair::generate_ed25519()).await.expect("a session");
    node.session().await;

    node.close_sessions().await;

    assert_eq!(client.data().await, Some(vec![0x68, 0x43, 4, 0, 0, 0, 0]), "CLOSE_WEBTRANSPORT_SESSION");
    assert_eq!(client.data().await, None);
    assert_eq!(client.closed().await, 0x100, "H3_NO_ERROR");
}

#[tokio::test]
async fn what_it_cannot_do_it_says_with_a_type() {
    let mut transport = Transport::new(Config::new(&identity()).expect("ed25519")).expect("a transport");
    let dial = DialOpts { role: libp2p_core::Endpoint::Dialer, port_use: PortUse::Reuse };
    let quic: Multiaddr = "/ip4/127.0.0.1/udp/1/quic-v1".parse().expect("an address");

    let dialled = transport.dial(listen_address(), dial);
    assert!(matches!(dialled, Err(TransportError::Other(Error::DialingUnsupported))));
    let dialled = transport.dial(quic.clone(), dial);
    assert!(matches!(dialled, Err(TransportError::MultiaddrNotSupported(_))));
    let listening = transport.listen_on(ListenerId::next(), quic);
    assert!(matches!(listening, Err(TransportError::MultiaddrNotSupported(_))));
    let hash = transport.handle().complete(&listen_address()).expect("an address of ours");
    let listening = transport.listen_on(ListenerId::next(), hash);
    assert!(matches!(listening, Err(TransportError::Other(Error::CerthashInListenAddress))));
}

/// The longest a certificate may be valid is 14 days.
#[test]
fn a_window_and_the_skew_are_under_fourteen_days() {
    assert!((WINDOW + SKEW * 2).as_secs() < 14 * 24 * 60 * 60);
}
