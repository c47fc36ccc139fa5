//! Rendezvous between hosts, and with libp2p's own rendezvous on either side.

mod pair;

use std::{net::SocketAddr, time::Duration};

use causeway_host::{
    Host, HostConfig, HostError, Listen, OpenError, RendezvousError, RendezvousLimits, RendezvousStatus,
    install_crypto_provider,
};
use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm, SwarmBuilder, noise, rendezvous,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::time::timeout;

use pair::{Transport, client};

const SPACE: &str = "les/0xd4e5";
const HOME: &str = "/ip4/192.0.2.7/tcp/30314";
const TWO_HOURS: Duration = Duration::from_secs(7200);
const SOON: Duration = Duration::from_secs(30);

/// A rendezvous point and where it is.
async fn point(transport: Transport) -> (Host, String) {
    point_with(transport, RendezvousLimits::default()).await
}

async fn point_with(transport: Transport, limits: RendezvousLimits) -> (Host, String) {
    install_crypto_provider();
    let mut config = HostConfig::new([1; 32], Vec::new());
    config.listen = vec![transport.listen()];
    config.rendezvous_server =
        Some(RendezvousLimits { namespaces: vec!["les/".to_owned(), "waku/".to_owned()], ..limits });
    let (host, _streams) = Host::start(config).await.expect("point");
    let at = host.addresses().first().expect("listening").clone();
    (host, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_find_each_other_at_a_third_one() {
    for transport in [Transport::Tcp, Transport::Quic, Transport::WebSocket] {
        let (point, at) = point(transport).await;
        let (relay, seeker) = (client(2).await, client(3).await);
        relay.set_external_addresses(vec![HOME.to_owned()]).await.expect("told");

        let granted = relay.register(&at, SPACE, TWO_HOURS).await.expect("registered");
        let found = seeker.discover(&at, SPACE, 10).await.expect("discovered");

        assert_eq!((granted, point.rendezvous_registrations()), (TWO_HOURS, Some(1)));
        let [peer] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(peer.peer, relay.peer_id());
        assert!(peer.node_key.is_some(), "one key on both stacks");
        assert_eq!(peer.addresses, [format!("{HOME}/p2p/{}", relay.peer_id_text())]);
        assert!(peer.ttl <= TWO_HOURS && peer.ttl > TWO_HOURS - SOON);
        assert_eq!(seeker.connections(), 1, "pages over the same connection");
        assert!(relay.discover(&at, SPACE, 10).await.expect("discovered").is_empty(), "not oneself");
        assert!(seeker.discover(&at, "waku/1", 10).await.expect("discovered").is_empty());

        relay.unregister(&at, SPACE).await.expect("sent");
        let gone = async {
            while point.rendezvous_registrations() != Some(0) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, gone).await.expect("unregistered");
        for host in [point, relay, seeker] {
            host.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_followed_up_to_the_limit() {
    let (point, at) =
        point_with(Transport::Tcp, RendezvousLimits { page: 2, ..RendezvousLimits::default() }).await;
    for key in 10..15 {
        let host = client(key).await;
        let addresses = [HOME.to_owned()];
        host.register_as(&at, SPACE, TWO_HOURS, &addresses).await.expect("registered");
        host.shutdown().await; // a registration outlives its connection
    }
    let seeker = client(3).await;

    assert_eq!(seeker.discover(&at, SPACE, 100).await.expect("discovered").len(), 5);
    assert_eq!(seeker.discover(&at, SPACE, 3).await.expect("discovered").len(), 3);
    seeker.shutdown().await;
    point.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_names() {
    let (point, at) = point(Transport::Tcp).await;
    let host = client(2).await;
    let refused = |result: Result<_, RendezvousError>| match result {
        Err(RendezvousError::Refused { status, text }) => {
            assert!(!text.is_empty());
            status
        }
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("taken"),
    };

    assert!(matches!(host.register(&at, SPACE, TWO_HOURS).await, Err(RendezvousError::NoAddresses)));
    host.set_external_addresses(vec![HOME.to_owned()]).await.expect("told");
    let million = host.register(&at, SPACE, Duration::from_secs(1_000_000)).await.map(drop);
    assert_eq!(refused(million), RendezvousStatus::InvalidTtl);
    let elsewhere = host.register(&at, "other/1", TWO_HOURS).await.map(drop);
    assert_eq!(refused(elsewhere), RendezvousStatus::InvalidNamespace);
    let many = vec![HOME.to_owned(); 17];
    assert!(matches!(
        host.set_external_addresses(many).await,
        Err(HostError::TooManyExternalAddresses { count: 17, limit: 16 })
    ));
    assert_eq!(host.external_addresses(), [HOME]);

    let nobody = host.discover("/ip4/127.0.0.1/tcp/1", SPACE, 1).await;
    assert!(matches!(nobody, Err(RendezvousError::NoPeer(_))));
    let closed = at.replacen("/tcp/", "/udp/", 1).replacen("/p2p/", "/quic-v1/p2p/", 1);
    let (server, _streams) = Host::start(HostConfig {
        listen: vec![Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))],
        ..HostConfig::new([5; 32], Vec::new())
    })
    .await
    .expect("server");
    let no_point = server.addresses().first().expect("listening").clone();
    let unsupported = host.discover(&no_point, SPACE, 1).await;
    assert!(matches!(unsupported, Err(RendezvousError::Unsupported)), "{unsupported:?}");
    server.shutdown().await;
    point.shutdown().await;
    let gone = host.discover(&closed, SPACE, 1).await;
    assert!(matches!(gone, Err(RendezvousError::Open(OpenError::Unreachable { .. }))), "{gone:?}");
    host.shutdown().await;
}

fn stock<B: NetworkBehaviour>(behaviour: impl FnOnce(&libp2p::identity::Keypair) -> B) -> Swarm<B> {
    install_crypto_provider();
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("tcp")
        .with_behaviour(|key| behaviour(key))
        .expect("behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(SOON))
        .build()
}

#[tokio::test(flavor = "multi_thread")]
async fn libp2ps_own_client_registers_and_discovers_here() {
    let (point, at) = point(Transport::Tcp).await;
    let at: Multiaddr = at.parse().expect("multiaddr");
    let relay = client(2).await;
    relay.set_external_addresses(vec![HOME.to_owned()]).await.expect("told");
    relay.register(&at.to_string(), SPACE, TWO_HOURS).await.expect("registered");
    let mut swarm = stock(|key| rendezvous::client::Behaviour::new(key.clone()));
    swarm.add_external_address("/ip4/192.0.2.9/tcp/9".parse().expect("multiaddr"));
    swarm.dial(at).expect("dialed");
    let space = rendezvous::Namespace::from_static(SPACE);

    let both = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    swarm.behaviour_mut().register(space.clone(), peer_id, None).expect("asked");
                }
                SwarmEvent::Behaviour(rendezvous::client::Event::Registered {
                    rendezvous_node, ttl, ..
                }) => {
                    assert_eq!(ttl, 7200);
                    swarm.behaviour_mut().discover(Some(space.clone()), None, None, rendezvous_node);
                }
                // It reads records signed in its own old way only, so ours comes as an error from it.
                SwarmEvent::Behaviour(rendezvous::client::Event::DiscoverFailed { .. }) => return None,
                SwarmEvent::Behaviour(rendezvous::client::Event::Discovered { registrations, .. }) => {
                    return Some(registrations.len());
                }
                SwarmEvent::Behaviour(event) => panic!("{event:?}"),
                _ => {}
            }
        }
    };
    let discovered = timeout(SOON, both).await.expect("in time");

    assert_eq!(discovered, None);
    assert_eq!(point.rendezvous_registrations(), Some(2));
    let found = relay.discover(&point.addresses()[0], SPACE, 10).await.expect("discovered");
    assert_eq!(found.len(), 1, "its old signature is believed");
    point.shutdown().await;
    relay.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn libp2ps_own_server_is_a_rendezvous_point_for_us() {
    let mut swarm = stock(|_| rendezvous::server::Behaviour::new(rendezvous::server::Config::default()));
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("multiaddr")).expect("listens");
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let at = format!("{address}/p2p/{}", swarm.local_peer_id());
    let served = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let (relay, seeker) = (client(2).await, client(3).await);
    relay.set_external_addresses(vec![HOME.to_owned()]).await.expect("told");

    let registered = relay.register(&at, SPACE, TWO_HOURS).await;
    let found = seeker.discover(&at, SPACE, 10).await.expect("discovered");

    assert_eq!(registered, Ok(TWO_HOURS));
    let [peer] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(peer.peer, relay.peer_id());
    assert_eq!(peer.addresses, [format!("{HOME}/p2p/{}", relay.peer_id_text())]);
    let short = relay.register(&at, SPACE, Duration::from_secs(60)).await;
    let status = RendezvousStatus::InvalidTtl;
    assert_eq!(short, Err(RendezvousError::Refused { status, text: String::new() }));
    relay.unregister(&at, SPACE).await.expect("sent");
    served.abort();
    relay.shutdown().await;
    seeker.shutdown().await;
}
