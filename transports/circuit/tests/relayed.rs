//! A relay that is itself reached through another one: relayed connections do not nest.

mod kit;

use std::time::Duration;

use circuit::{Behaviour, Config, Event, HOP, Refusal};
use futures::StreamExt;
use kit::{PATIENCE, RESERVE, Relay, code, connect, receive, send};
use libp2p::{
    PeerId, SwarmBuilder, noise, relay,
    swarm::{NetworkBehaviour, Swarm, SwarmEvent},
    tcp, yamux,
};

#[derive(NetworkBehaviour)]
struct Node {
    client: relay::client::Behaviour,
    circuit: Behaviour,
    streams: libp2p_stream::Behaviour,
}

fn node() -> Swarm<Node> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("TCP")
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .expect("a relay client")
        .with_behaviour(|key, client| Node {
            client,
            circuit: Behaviour::new(key, Config::default()),
            streams: libp2p_stream::Behaviour::new(),
        })
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

#[tokio::test]
async fn over_a_relayed_connection_nobody_reserves_and_nobody_connects() {
    let outer = Relay::start(|_| {}).await;
    let (mut inner, mut source) = (node(), node());
    inner.behaviour_mut().circuit.set_enabled(true);
    let id = *inner.local_peer_id();
    inner.listen_on(outer.circuit()).expect("a relayed address");
    let reserved =
        async { while !matches!(inner.select_next_some().await, SwarmEvent::NewListenAddr { .. }) {} };
    tokio::time::timeout(PATIENCE, reserved).await.expect("a reservation");
    let mut control = source.behaviour().streams.new_control();
    source.dial(outer.circuit_to(id)).expect("an address");
    tokio::spawn(async move {
        loop {
            source.select_next_some().await;
        }
    });
    let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(NodeEvent::Circuit(event)) = inner.select_next_some().await {
                let _ = say.send(event);
            }
        }
    });

    for message in [RESERVE.to_vec(), connect(PeerId::random())] {
        let open = control.open_stream(id, HOP);
        let mut stream = tokio::time::timeout(PATIENCE, open).await.expect("in time").expect("offered");
        send(&mut stream, &message).await;
        assert_eq!(code(&receive(&mut stream).await.expect("a reply")), 202);
        let event = said.recv().await.expect("the relay runs");
        assert!(matches!(event, Event::Refused { why: Refusal::Relayed, .. }), "{event:?}");
    }
}
