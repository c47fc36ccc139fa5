//! A node that finds out whether it can be dialed, and serves others who want to know.
//!
//! ```text
//! reachable [--listen ADDRESS] [--candidate ADDRESS]... [--scope global|private|loopback] [SERVER]...
//! ```
//! Listens, dials the servers, and prints a line of JSON for each of its addresses, each verdict and each request that
//! it served. A second one can ask the first, both with `--scope loopback`.

use std::error::Error;

use autonat::{Scope, client, server};
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, SwarmBuilder, identify, noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use serde_json::json;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    client: client::Behaviour,
    server: server::Behaviour,
}

struct Arguments {
    listen: Multiaddr,
    candidates: Vec<Multiaddr>,
    scope: Scope,
    servers: Vec<Multiaddr>,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut arguments = Arguments {
        listen: "/ip4/0.0.0.0/tcp/0".parse()?,
        candidates: Vec::new(),
        scope: Scope::Global,
        servers: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--listen" => arguments.listen = value()?.parse()?,
            "--candidate" => arguments.candidates.push(value()?.parse()?),
            "--scope" => {
                arguments.scope = match value()?.as_str() {
                    "global" => Scope::Global,
                    "private" => Scope::Private,
                    "loopback" => Scope::Loopback,
                    other => return Err(format!("{other} is no scope").into()),
                }
            }
            server => arguments.servers.push(server.parse()?),
        }
    }
    Ok(arguments)
}

#[allow(clippy::print_stdout)]
fn say(line: &serde_json::Value) {
    println!("{line}");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { listen, mut candidates, scope, servers } = arguments()?;
    let client = client::Config { scope, ..client::Config::default() };
    let server = server::Config { enabled: true, scope, ..server::Config::default() };
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_quic()
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new("/example/1".to_owned(), key.public())),
            client: client::Behaviour::new(client, key.public().to_peer_id()),
            server: server::Behaviour::new(server),
        })?
        .build();
    swarm.listen_on(listen)?;
    for server in servers {
        swarm.dial(server)?;
    }
    let local = *swarm.local_peer_id();
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => {
                say(&json!({ "address": format!("{address}/p2p/{local}") }));
                candidates.push(address);
                swarm.behaviour_mut().client.set_candidates(candidates.clone());
            }
            SwarmEvent::Behaviour(BehaviourEvent::Client(event)) => match event {
                client::Event::Verdict { address, reachable, confirmations, .. } => say(&json!({
                    "verdict": address.to_string(), "reachable": reachable, "confirmations": confirmations,
                })),
                client::Event::Expired { address } => say(&json!({ "expired": address.to_string() })),
            },
            SwarmEvent::Behaviour(BehaviourEvent::Server(event)) => say(&json!({
                "served": event.address.map(|address| address.to_string()),
                "outcome": format!("{:?}", event.outcome),
                "paid": event.paid,
            })),
            _ => {}
        }
    }
}
