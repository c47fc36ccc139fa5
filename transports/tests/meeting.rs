//! How nodes come together: what strangers' words may not do, who is listed, and meeting at a rendezvous point.

mod kit;

use std::{net::IpAddr, sync::Arc, time::Duration};

use causeway_transports::{
    Address, DialError, DialGuard, OpenError, RendezvousError, RendezvousLimits, TransportsConfig,
};
use causeway_wire::Stack;
use tokio::time::timeout;

use kit::{Node, any, config, connect_devp2p, dialer, start};

const SPACE: &str = "les/1";
const TWO_HOURS: Duration = Duration::from_secs(7200);
const SOON: Duration = Duration::from_secs(20);

async fn full_node(seed: u8) -> Node {
    start(TransportsConfig { devp2p: any(), libp2p_tcp: any(), ..config(seed) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_word_leads_nowhere_private_on_either_stack() {
    let mut server = full_node(1).await;
    let dial_guard = DialGuard::Only(Arc::new(|ip: IpAddr| !ip.is_loopback()));
    let client = start(TransportsConfig { dial_guard, ..config(2) }).await;
    let (devp2p, libp2p) = (server.devp2p_address(), server.multiaddr("/tcp/"));

    let refused = client.dial(&devp2p).await.expect_err("refused");
    assert!(matches!(refused, DialError::NotAllowed { .. }), "{refused}");
    let Address::Multiaddr(text) = &libp2p else { panic!("{libp2p:?}") };
    let name = Address::Multiaddr(text.replacen("/ip4/127.0.0.1", "/dns4/localhost", 1));
    for address in [&libp2p, &name] {
        let refused = client.dial(address).await.expect_err("refused");
        assert!(matches!(refused, DialError::Libp2p(OpenError::NotAllowed { .. })), "{refused}");
    }

    for address in [devp2p, name] {
        let _session = client.transports.dial_named(&address).await.expect("the user's word");
        server.accept().await;
    }
    client.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_is_listed_and_changes_are_told() {
    let mut server = full_node(1).await;
    let client = dialer(2).await;
    let mut changes = server.transports.changes();

    let (_dialed, _taken) = connect_devp2p(&client, &mut server).await;
    let libp2p = server.multiaddr("/tcp/");
    let (other, _other) = kit::connect(&client, &mut server, &libp2p).await;

    timeout(SOON, changes.changed()).await.expect("in time").expect("lives");
    let listed = server.transports.connected();
    assert_eq!(listed.len(), 2);
    for one in &listed {
        assert!(one.inbound);
        assert_eq!(one.node_key, Some(client.transports.node_key()), "one key on both stacks");
        assert!(one.since.elapsed().is_ok_and(|age| age < 2 * SOON));
    }
    let (rlpx, tcp) = (&listed[0], &listed[1]);
    assert_eq!((rlpx.stack, rlpx.transport, rlpx.client.as_str()), (Stack::Devp2p, "rlpx", "Test/v2"));
    assert_eq!((tcp.stack, tcp.transport), (Stack::Libp2p, "tcp"));
    assert!(client.transports.connected().iter().all(|one| !one.inbound));

    other.session.close(0);
    let left = async {
        while server.transports.connected().len() > 1 {
            changes.changed().await.expect("lives");
        }
    };
    timeout(SOON, left).await.expect("its end is told");
    client.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_meet_at_a_rendezvous_point() {
    let limits = RendezvousLimits { namespaces: vec!["les/".to_owned()], ..RendezvousLimits::default() };
    let point =
        start(TransportsConfig { libp2p_tcp: any(), rendezvous_server: Some(limits), ..config(1) }).await;
    let Address::Multiaddr(at) = point.multiaddr("/tcp/") else { panic!("libp2p") };
    let mut relay = full_node(2).await;
    let seeker = dialer(3).await;

    let none = relay.transports.register_as(&at, SPACE, TWO_HOURS, &[]).await;
    assert_eq!(none, Err(RendezvousError::NoAddresses));
    let addresses = relay.transports.multiaddrs();
    relay.transports.set_external_addresses(addresses.clone()).await.expect("told");
    assert_eq!(relay.transports.external_addresses(), addresses);
    assert_eq!(relay.transports.register_as(&at, SPACE, TWO_HOURS, &addresses).await, Ok(TWO_HOURS));

    let found = seeker.transports.discover(&at, SPACE, 5).await.expect("discovered");
    let [peer] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((peer.node_key, &peer.addresses), (Some(relay.transports.node_key()), &addresses));
    let address = Address::Multiaddr(peer.addresses[0].clone());
    let (_dialed, taken) = kit::connect(&seeker, &mut relay, &address).await;
    assert!(taken.session.peer() != peer.peer);

    for node in [point, seeker, relay] {
        node.stop().await;
    }
}
