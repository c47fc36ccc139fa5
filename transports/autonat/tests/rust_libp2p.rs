//! The library's own AutoNAT v2 (`libp2p-autonat` 0.16) against ours, in both roles.

mod kit;

use std::time::Duration;

use autonat::server;
use futures::StreamExt as _;
use kit::{Node, drive_until, verdict};
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, identify, noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use libp2p_autonat::v2 as library;
use tokio::time::timeout;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    client: library::client::Behaviour,
    server: library::server::Behaviour,
}

fn swarm() -> Swarm<Behaviour> {
    let probes = library::client::Config::default().with_probe_interval(Duration::from_millis(100));
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("TCP")
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(
                identify::Config::new("/test/1".to_owned(), key.public()).with_hide_listen_addrs(true),
            ),
            client: library::client::Behaviour::new(rand::make_rng(), probes),
            server: library::server::Behaviour::default(),
        })
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

async fn listen(swarm: &mut Swarm<Behaviour>, address: &str) -> Multiaddr {
    swarm.listen_on(address.parse().expect("a multiaddr")).expect("it listens");
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

/// What the library's client finds out about its address with our server's help.
async fn library_asks(address: &str, dialed: &str) -> (Result<(), String>, usize, server::Event) {
    let mut server = Node::server().await;
    let mut asker = swarm();
    let address = listen(&mut asker, address).await;
    let address = if dialed.is_empty() { address } else { dialed.parse().expect("a multiaddr") };
    asker.dial(server.listening[0].clone()).expect("dialed");
    asker.add_external_address_candidate(address.clone());
    let (tested, result, sent) = timeout(kit::PATIENCE, async {
        loop {
            tokio::select! {
                event = asker.select_next_some() => {
                    let SwarmEvent::Behaviour(BehaviourEvent::Client(event)) = event else { continue };
                    if event.tested_addr != address {
                        continue; // identify names further candidates
                    }
                    break (event.tested_addr, event.result.map_err(|error| error.to_string()), event.bytes_sent)
                }
                () = server.step() => {}
            }
        }
    })
    .await
    .expect("in time");
    (result, sent, drive_until(&mut server, &mut [], |server| server.served(&tested)).await)
}

trait Candidates {
    fn add_external_address_candidate(&mut self, address: Multiaddr);
}

impl Candidates for Swarm<Behaviour> {
    fn add_external_address_candidate(&mut self, address: Multiaddr) {
        use libp2p::swarm::{FromSwarm, NewExternalAddrCandidate};
        let candidate = NewExternalAddrCandidate { addr: &address };
        self.behaviour_mut().client.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
    }
}

#[tokio::test]
async fn our_server_serves_the_librarys_client() {
    let (result, sent, served) = library_asks("/ip4/127.0.0.1/tcp/0", "").await;

    assert_eq!((result, sent), (Ok(()), 0));
    assert_eq!(served.outcome, server::Outcome::Reachable);
}

#[tokio::test]
async fn the_librarys_client_pays_us() {
    let (result, sent, served) = library_asks("/ip6/::1/tcp/0", "").await;

    assert_eq!(result, Ok(()));
    assert_eq!(sent as u64, served.paid);
    assert!(served.paid >= 30_000);
}

/// A server of the library, which runs by itself.
async fn library_server() -> (Multiaddr, PeerId) {
    let mut server = swarm();
    let address = listen(&mut server, "/ip4/127.0.0.1/tcp/0").await;
    let id = *server.local_peer_id();
    tokio::spawn(async move {
        loop {
            server.select_next_some().await;
        }
    });
    (address, id)
}

#[tokio::test]
async fn the_librarys_server_serves_our_client() {
    for (listen, paid) in [("/ip4/127.0.0.1/tcp/0", false), ("/ip6/::1/tcp/0", true)] {
        let (server, id) = library_server().await;
        let mut asker = Node::client();
        let address = asker.listen(listen).await;
        asker.swarm.dial(server).expect("dialed");
        asker.set_candidate(&address);

        let event = verdict(&mut asker, &mut [], &address).await;

        let expected =
            autonat::client::Event::Verdict { address, reachable: true, confirmations: 1, server: id };
        assert_eq!(event, expected);
        assert_eq!(asker.swarm.behaviour().client.counters().paid_bytes > 0, paid);
    }
}

#[tokio::test]
async fn the_librarys_server_tells_us_what_is_not_reachable() {
    let (server, _) = library_server().await;
    let mut asker = Node::client();
    asker.swarm.dial(server).expect("dialed");
    let address = "/ip4/127.0.0.1/tcp/1".parse().expect("a multiaddr");
    asker.set_candidate(&address);

    let event = verdict(&mut asker, &mut [], &address).await;

    assert!(matches!(event, autonat::client::Event::Verdict { reachable: false, .. }), "{event:?}");
}
