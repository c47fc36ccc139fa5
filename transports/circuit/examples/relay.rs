//! A relay that anybody may use: `cargo run --example relay`. It prints its addresses as lines of JSON.
//!
//! ```text
//! relay [--unlimited] [--vouchers] [--reservation SECONDS] [MULTIADDR...]
//! ```

use std::{error::Error, time::Duration};

use circuit::{Behaviour, CircuitLimit, Config, Event};
use futures::StreamExt;
use libp2p::{
    Multiaddr, SwarmBuilder, identify, noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, tls, yamux,
};
use serde_json::json;

#[derive(NetworkBehaviour)]
struct Node {
    circuit: Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

fn arguments() -> Result<(Config, Vec<Multiaddr>), Box<dyn Error>> {
    let (mut config, mut addresses) = (Config::default(), Vec::new());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--unlimited" => config.limits.circuit = CircuitLimit::NONE,
            "--vouchers" => config.vouchers = true,
            "--reservation" => {
                let seconds = words.next().ok_or("how many seconds?")?.parse()?;
                config.limits.reservation_time = Duration::from_secs(seconds);
            }
            address => addresses.push(address.parse()?),
        }
    }
    if addresses.is_empty() {
        addresses = vec!["/ip4/127.0.0.1/tcp/0".parse()?, "/ip4/127.0.0.1/udp/0/quic-v1".parse()?];
    }
    Ok((config, addresses))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let (config, addresses) = arguments()?;
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            (tls::Config::new, noise::Config::new),
            yamux::Config::default,
        )?
        .with_quic()
        .with_behaviour(|key| Node {
            circuit: Behaviour::new(key, config),
            identify: identify::Behaviour::new(identify::Config::new("/example/1".into(), key.public())),
            ping: ping::Behaviour::default(),
        })?
        .build();
    for address in addresses {
        swarm.listen_on(address)?;
    }
    // A relay in the open would ask others whether it can be reached, before it offers itself.
    swarm.behaviour_mut().circuit.set_enabled(true);
    let mut listening = Vec::new();
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                listening.push(address.clone());
                swarm.behaviour_mut().circuit.set_addresses(listening.clone());
                let address = address.with_p2p(*swarm.local_peer_id()).map_err(|_| "peer id")?;
                say(&json!({ "address": address }));
            }
            SwarmEvent::Behaviour(NodeEvent::Circuit(event)) => tell(event),
            event => tracing::debug!(?event),
        }
    }
}

fn tell(event: Event) {
    match event {
        Event::Reserved { peer, renewed } => {
            say(&json!({ "reserved": peer.to_string(), "renewed": renewed }));
        }
        Event::CircuitClosed { bytes, time, why, .. } => say(&json!({
            "closed": why.to_string(), "forth": bytes.forth, "back": bytes.back, "millis": time.as_millis() as u64,
        })),
        event => tracing::info!(?event),
    }
}

#[expect(clippy::print_stdout, reason = "what this program is for")]
fn say(line: &serde_json::Value) {
    println!("{line}");
}
