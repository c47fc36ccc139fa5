//! A peer built from libp2p's stock parts, as other implementations look: noise only, identify, ping.

use std::time::Duration;

use causeway_host::{Host, HostConfig, Listen, install_crypto_provider};
use causeway_wire::Capability;
use futures::StreamExt;
use libp2p::{
    Multiaddr, SwarmBuilder, identify, noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::time::timeout;

#[derive(NetworkBehaviour)]
struct Stock {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_peer_with_noise_is_identified_and_answered() {
    install_crypto_provider();
    let any_port = ([127, 0, 0, 1], 0).into();
    let mut config = HostConfig::new([1; 32], vec![Capability::new("les", 4)]);
    config.listen = vec![Listen::Tcp(any_port), Listen::WebSocket(any_port)];
    config.external_addresses = vec!["/dns4/relay.example.org/tcp/443/tls/ws".to_owned()];
    config.agent = "causeway/test".to_owned();
    let (host, _streams) = Host::start(config).await.expect("host");
    for address in host.addresses() {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .expect("tcp")
            .with_websocket(noise::Config::new, yamux::Config::default)
            .await
            .expect("websocket")
            .with_behaviour(|key| Stock {
                identify: identify::Behaviour::new(identify::Config::new("stock/1".to_owned(), key.public())),
                ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(50))),
            })
            .expect("behaviour")
            .build();
        swarm.dial(address.parse::<Multiaddr>().expect("multiaddr")).expect("dialed");

        let (mut told, mut answered) = (None, false);
        let both = async {
            while told.is_none() || !answered {
                match swarm.select_next_some().await {
                    SwarmEvent::Behaviour(StockEvent::Identify(identify::Event::Received {
                        info, ..
                    })) => {
                        told = Some(info);
                    }
                    SwarmEvent::Behaviour(StockEvent::Ping(event)) => answered |= event.result.is_ok(),
                    SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                    _ => {}
                }
            }
        };
        timeout(Duration::from_secs(30), both).await.expect("in time");

        let told = told.expect("identified");
        assert_eq!(told.agent_version, "causeway/test");
        assert_eq!(told.public_key.to_peer_id().to_base58(), host.peer_id_text());
        assert!(told.protocols.iter().any(|protocol| protocol.as_ref() == "/les/4"));
        // Only what was configured: no listen address, which may be private.
        assert_eq!(told.listen_addrs.len(), 1, "{:?}", told.listen_addrs);
        assert!(told.listen_addrs[0].to_string().starts_with("/dns4/relay.example.org/tcp/443/tls/ws"));
    }
    host.shutdown().await;
}
