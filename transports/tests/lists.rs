//! Allow and deny lists on both stacks at once, and both families of addresses.

mod kit;

use std::net::SocketAddr;

use causeway_transports::{
    Address, CloseReason, Denied, DialError, Listed, Lists, OpenError, TransportsConfig, peer_id_text,
};
use kit::{Node, any, config, connect, connect_devp2p, dialer, end, message, noise, start};

fn deny(listed: Listed) -> Lists {
    Lists { deny: vec![listed], ..Lists::default() }
}

async fn both_stacks(seed: u8) -> Node {
    start(TransportsConfig { devp2p: any(), libp2p_quic: any(), ..config(seed) }).await
}

#[tokio::test]
async fn a_denied_peer_loses_its_sessions_on_both_stacks_and_the_others_stay() {
    let mut server = both_stacks(1).await;
    let (denied, other) = (dialer(2).await, dialer(3).await);
    let quic = server.multiaddr("/quic-v1/");
    let (mut rlpx, _rlpx) = connect_devp2p(&denied, &mut server).await;
    let (mut light, _light) = connect(&denied, &mut server, &quic).await;
    let (mut bystander, accepted) = connect_devp2p(&other, &mut server).await;
    let (mut light_bystander, light_accepted) = connect(&other, &mut server, &quic).await;

    // By its node key: the libp2p id made from it is the same peer.
    let peer: Listed = peer_id_text(&rlpx_id(&denied)).parse().expect("an id");
    assert_eq!(server.transports.set_lists(&deny(peer)).await.expect("lives"), 2);

    assert!(matches!(end(&mut rlpx).await, CloseReason::Remote(Some(3))));
    assert!(matches!(end(&mut light).await, CloseReason::Remote(_) | CloseReason::Lost(_)));
    match denied.dial(&server.devp2p_address()).await {
        // A dialer may learn of the refusal only after its own side of the handshake.
        Ok(mut again) => assert_eq!(end(&mut again).await, CloseReason::Remote(Some(3))),
        Err(error) => assert!(matches!(error, DialError::Useless { .. }), "{error}"),
    }
    for (to, from) in [(&accepted, &mut bystander), (&light_accepted, &mut light_bystander)] {
        to.session.try_send(2, noise(1000)).expect("room");
        assert_eq!(message(from).await.0, 2);
    }

    server.transports.set_lists(&Lists::default()).await.expect("lives");
    connect_devp2p(&denied, &mut server).await;
    for node in [denied, other, server] {
        node.stop().await;
    }
}

fn rlpx_id(node: &Node) -> causeway_wire::PeerId {
    causeway_wire::PeerId::devp2p(node.transports.node_key())
}

#[tokio::test]
async fn a_denied_network_is_neither_taken_nor_dialed() {
    let mut server = both_stacks(1).await;
    let client = dialer(2).await;
    let (mut dialed, _accepted) = connect_devp2p(&client, &mut server).await;
    let loopback = "127.0.0.0/8".parse().expect("subnet");

    assert_eq!(client.transports.set_lists(&deny(Listed::Subnet(loopback))).await.expect("lives"), 1);
    assert!(matches!(end(&mut dialed).await, CloseReason::Local));
    let denied = Denied::Subnet(loopback);
    let refused = client.dial(&server.devp2p_address()).await;
    assert!(matches!(refused, Err(DialError::Denied(found)) if found == denied), "{refused:?}");
    let refused = client.dial(&server.multiaddr("/quic-v1/")).await;
    assert!(
        matches!(&refused, Err(DialError::Libp2p(OpenError::Denied(found))) if *found == denied),
        "{refused:?}"
    );

    client.transports.set_lists(&Lists::default()).await.expect("lives");
    server.transports.set_lists(&deny(Listed::Subnet(loopback))).await.expect("lives");
    assert!(client.dial(&server.devp2p_address()).await.is_err());
    client.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn rlpx_on_every_address_is_heard_on_both_families() {
    let every = Some(SocketAddr::from(([0_u16; 8], 0)));
    let mut server = start(TransportsConfig { devp2p: every, ..config(1) }).await;
    let port = server.transports.devp2p_addr().expect("listens").port();
    for ip in ["127.0.0.1", "::1"] {
        let client = dialer(2).await;
        let addr = SocketAddr::new(ip.parse().expect("ip"), port);
        let address = Address::Devp2p { key: server.transports.node_key(), addr };
        connect(&client, &mut server, &address).await;
        client.stop().await;
    }
    server.stop().await;
}
