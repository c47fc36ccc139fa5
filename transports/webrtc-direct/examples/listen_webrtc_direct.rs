//! A node that listens on WebRTC-direct and speaks identify, ping and `/echo/1.0.0`.
//!
//! ```text
//! listen_webrtc_direct [ADDRESS] [--seed N]
//! ```
//! Prints a line of JSON for each address that begins or ends, and for each connection. With `--seed` the
//! identity, and with it the certificate, is the same each time.

use std::{error::Error, time::Duration};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, Stream, StreamProtocol, SwarmBuilder, identify,
    identity::Keypair,
    ping,
    swarm::{NetworkBehaviour, SwarmEvent},
};
use serde_json::json;
use webrtc_direct::{Config, Transport};

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    streams: libp2p_stream::Behaviour,
}

struct Arguments {
    address: Multiaddr,
    identity: Keypair,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut arguments = Arguments {
        address: "/ip4/127.0.0.1/udp/0/webrtc-direct".parse()?,
        identity: Keypair::generate_ed25519(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number =
            || words.next().ok_or("a number is missing")?.parse().map_err(Box::<dyn Error>::from);
        match word.as_str() {
            "--seed" => arguments.identity = identity(number()?)?,
            address => arguments.address = address.parse()?,
        }
    }
    Ok(arguments)
}

/// For tests only: whoever knows the number has the identity.
fn identity(seed: u64) -> Result<Keypair, Box<dyn Error>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Ok(Keypair::ed25519_from_bytes(bytes)?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let Arguments { address, identity } = arguments()?;

    let transport = Transport::new(Config::new(&identity)?)?;
    let mut swarm = SwarmBuilder::with_existing_identity(identity)
        .with_tokio()
        .with_other_transport(|_| transport)?
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new("/example/1".into(), key.public())),
            ping: ping::Behaviour::default(),
            streams: libp2p_stream::Behaviour::new(),
        })?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    let mut echoes = swarm.behaviour().streams.new_control().accept(StreamProtocol::new("/echo/1.0.0"))?;
    tokio::spawn(async move {
        while let Some((_, stream)) = echoes.next().await {
            tokio::spawn(echo(stream));
        }
    });

    swarm.listen_on(address)?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                say(&json!({ "address": address.with_p2p(*swarm.local_peer_id()).map_err(|_| "peer id")? }));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                say(&json!({ "expired": address.with_p2p(*swarm.local_peer_id()).map_err(|_| "peer id")? }));
            }
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                say(&json!({ "connected": peer_id.to_string() }))
            }
            SwarmEvent::ConnectionClosed { peer_id, cause, .. } => {
                say(&json!({ "closed": peer_id.to_string(), "cause": cause.map(|cause| describe(&cause)) }));
            }
            SwarmEvent::IncomingConnectionError { error, .. } => say(&json!({ "failed": describe(&error) })),
            event => tracing::debug!(?event),
        }
    }
}

/// An error with all that caused it.
fn describe(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[expect(clippy::print_stdout, reason = "what this program is for")]
fn say(line: &serde_json::Value) {
    println!("{line}");
}

/// Sends back what comes, to the end.
async fn echo(mut stream: Stream) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        match stream.read(&mut bytes).await {
            Ok(0) => {
                let _ = stream.close().await;
                return;
            }
            Ok(length) if stream.write_all(&bytes[..length]).await.is_ok() => {}
            Ok(_) | Err(_) => return,
        }
    }
}
