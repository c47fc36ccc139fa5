//! A rust-libp2p listener with identify and ping and nothing else, to compare the product's memory with.
//!
//! Limits of streams and windows are those of the product: by its own QUIC would hold more for each connection.

use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Transport as _,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    identify,
    identity::Keypair,
    noise, ping, quic,
    swarm::{NetworkBehaviour, Swarm, SwarmEvent},
    tcp, websocket, yamux,
};

use super::{Way, left_alone, say_ready};

const STREAMS: u32 = 64;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
const IDLE: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Connections stay without streams.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// Listens until it is left alone.
pub(super) async fn listen(transport: Way) -> anyhow::Result<()> {
    let key = Keypair::generate_secp256k1();
    let peer = key.public().to_peer_id();
    let behaviour = Behaviour {
        identify: identify::Behaviour::new(identify::Config::new("/bare/1".to_owned(), key.public())),
        ping: ping::Behaviour::default(),
    };
    let config = libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(FOR_EVER);
    let mut swarm = Swarm::new(build(transport, &key)?, behaviour, peer, config);
    swarm.listen_on(transport.multiaddr().parse()?)?;
    let serving = async {
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                say_ready(&[with_peer(address, peer)]);
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = left_alone() => {}
    }
    Ok(())
}

fn with_peer(address: Multiaddr, peer: PeerId) -> String {
    let text = address.to_string();
    if text.contains("/p2p/") { text } else { format!("{text}/p2p/{peer}") }
}

fn build(transport: Way, key: &Keypair) -> anyhow::Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default());
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(STREAMS as usize);
    Ok(match transport {
        Way::Tcp => {
            tcp.upgrade(Version::V1Lazy).authenticate(noise::Config::new(key)?).multiplex(muxer).boxed()
        }
        Way::WebSocket => websocket::Config::new(tcp)
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(key)?)
            .multiplex(muxer)
            .boxed(),
        Way::Quic => {
            let mut config = quic::Config::new(key);
            config.max_concurrent_stream_limit = STREAMS;
            config.max_stream_data = STREAM_WINDOW;
            config.max_connection_data = CONNECTION_WINDOW;
            config.max_idle_timeout = u32::try_from(IDLE.as_millis())?;
            config.keep_alive_interval = KEEP_ALIVE;
            let quic = quic::tokio::Transport::new(config);
            quic.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection))).boxed()
        }
        Way::WebTransport => {
            let mut config = webtransport::Config::new(key)?;
            config.limits.connections = usize::MAX;
            config.limits.connections_of_one = usize::MAX;
            config.limits.handshakes_of_one = usize::MAX;
            config.limits.streams = STREAMS;
            config.limits.stream_window = STREAM_WINDOW;
            config.limits.connection_window = CONNECTION_WINDOW;
            config.limits.idle = IDLE;
            config.limits.keep_alive = Some(KEEP_ALIVE);
            let transport = webtransport::Transport::new(config).context("webtransport")?;
            transport.map(|(peer, session), _| (peer, StreamMuxerBox::new(session))).boxed()
        }
    })
}
