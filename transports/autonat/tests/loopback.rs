//! The client and the server with each other, over the loopback.

mod kit;

use autonat::{client, server};
use kit::{Node, client_config, drive_until, server_config, verdict};
use libp2p::{Multiaddr, core::transport::PortUse};

const DIAL_REQUEST: &str = "/libp2p/autonat/2/dial-request";

async fn asked(listen: &str, server_listens: &str) -> (client::Event, server::Event, Node, Node) {
    let mut server = Node::new(client_config(), server_config());
    server.listen(server_listens).await;
    let mut asker = Node::client();
    let address = asker.listen(listen).await;
    asker.connect(&mut server).await;
    asker.set_candidate(&address);
    let verdict = verdict(&mut asker, &mut [&mut server], &address).await;
    let served = drive_until(&mut server, &mut [&mut asker], |server| server.served(&address)).await;
    (verdict, served, asker, server)
}

#[tokio::test]
async fn an_address_that_can_be_dialed_is_found_reachable() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1", "/ip6/::1/tcp/0"] {
        let (verdict, served, asker, server) = asked(listen, "/ip4/127.0.0.1/tcp/0").await;

        let address = asker.listening[0].clone();
        let expected =
            client::Event::Verdict { address, reachable: true, confirmations: 1, server: server.id() };
        assert_eq!(verdict, expected);
        assert_eq!(served.outcome, server::Outcome::Reachable);
        assert_eq!(served.paid > 0, listen.contains("ip6"), "the asker came over IPv4");
    }
}

#[tokio::test]
async fn the_nonce_comes_over_a_new_connection_from_a_new_port_which_is_closed_then() {
    let (_, _, mut asker, mut server) = asked("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0").await;

    let dials = server.dials();
    let asked = asker.listening[0].clone().with_p2p(asker.id()).expect("no id yet");
    assert!(dials.iter().all(|(_, port)| matches!(port, PortUse::New)), "{dials:?}");
    assert!(dials.iter().any(|(address, _)| *address == asked), "{dials:?}");
    let dialed = server.made.iter().find(|(_, _, dialed)| *dialed).expect("one was dialed").0;
    drive_until(&mut server, &mut [&mut asker], |server| server.closed.contains(&dialed).then_some(())).await;
    assert!(!server.swarm.behaviour().server.is_dial_back(dialed));
    assert!(server.swarm.is_connected(&asker.id()), "the asker's own connection stays");
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_found_unreachable() {
    let mut server = Node::server().await;
    let mut asker = Node::client();
    asker.connect(&mut server).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", nobody.port()).parse().expect("a multiaddr");

    asker.set_candidate(&address);
    let verdict = verdict(&mut asker, &mut [&mut server], &address).await;

    let expected = client::Event::Verdict {
        address: address.clone(),
        reachable: false,
        confirmations: 1,
        server: server.id(),
    };
    assert_eq!(verdict, expected);
    assert_eq!(server.served(&address).expect("told").outcome, server::Outcome::Unreachable);
}

#[tokio::test]
async fn an_address_of_another_peer_is_not_reachable() {
    let mut server = Node::server().await;
    let mut other = Node::client();
    let address = other.listen("/ip4/127.0.0.1/tcp/0").await;
    let mut asker = Node::client();
    asker.connect(&mut server).await;

    asker.set_candidate(&address);
    let verdict = verdict(&mut asker, &mut [&mut server, &mut other], &address).await;

    assert!(matches!(verdict, client::Event::Verdict { reachable: false, .. }), "{verdict:?}");
    assert_eq!(other.swarm.behaviour().client.counters().dial_backs, 0);
}

#[tokio::test]
async fn two_servers_confirm_and_either_side_may_have_dialed() {
    let (mut one, mut two) = (Node::server().await, Node::server().await);
    let mut asker = Node::client();
    let address = asker.listen("/ip4/127.0.0.1/tcp/0").await;
    asker.connect(&mut one).await;
    two.swarm.dial(address.clone()).expect("dialed");
    let id = two.id();
    drive_until(&mut asker, &mut [&mut one, &mut two], |node| node.knows(id).then_some(())).await;

    asker.set_candidate(&address);
    let mut others = [&mut one, &mut two];
    let verdict = verdict(&mut asker, &mut others, &address).await;

    let client::Event::Verdict { reachable: true, confirmations: 2, .. } = verdict else {
        panic!("{verdict:?}")
    };
}

#[tokio::test]
async fn another_ip_address_is_paid_for() {
    let (verdict, served, asker, _) = asked("/ip4/127.0.0.2/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0").await;

    assert!((30_000..=100_000).contains(&served.paid), "{served:?}");
    assert_eq!(asker.swarm.behaviour().client.counters().paid_bytes, served.paid);
    assert!(matches!(verdict, client::Event::Verdict { reachable: true, .. }), "{verdict:?}");
}

#[tokio::test]
async fn a_server_that_is_switched_off_does_not_advertise() {
    let mut server = Node::new(client_config(), server::Config { enabled: false, ..server_config() });
    server.listen("/ip4/127.0.0.1/tcp/0").await;
    let mut asker = Node::client();
    let address = asker.listen("/ip4/127.0.0.1/tcp/0").await;
    asker.connect(&mut server).await;
    let offers = |node: &Node| {
        let (_, info) = node.identified.last().expect("identified");
        info.protocols.iter().any(|protocol| protocol.as_ref() == DIAL_REQUEST)
    };
    assert!(!offers(&asker));
    asker.set_candidate(&address);

    server.swarm.behaviour_mut().server.set_enabled(true);
    let peers = [asker.id()];
    server.swarm.behaviour_mut().identify.push(peers);
    let verdict = verdict(&mut asker, &mut [&mut server], &address).await;

    drive_until(&mut asker, &mut [&mut server], |node| offers(node).then_some(())).await;
    assert!(matches!(verdict, client::Event::Verdict { reachable: true, .. }));
    server.swarm.behaviour_mut().server.set_enabled(false);
    server.swarm.behaviour_mut().identify.push(peers);
    drive_until(&mut asker, &mut [&mut server], |node| (!offers(node)).then_some(())).await;
}

#[tokio::test]
async fn verdicts_are_told_to_the_swarm_only_if_so_configured() {
    let mut server = Node::server().await;
    for confirm_external in [false, true] {
        let config = client::Config { confirm_external, ..client_config() };
        let mut asker = Node::new(config, server::Config::default());
        let address = asker.listen("/ip4/127.0.0.1/tcp/0").await;
        asker.connect(&mut server).await;
        asker.set_candidate(&address);

        verdict(&mut asker, &mut [&mut server], &address).await;

        assert_eq!(asker.swarm.external_addresses().any(|known| *known == address), confirm_external);
    }
}
