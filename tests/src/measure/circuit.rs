//! Bytes through a circuit: our relay beside go-libp2p's relay service, the same go-libp2p at both ends, in turn.

use std::{num::NonZeroU64, time::Duration};

use ::circuit::{Behaviour, CircuitLimit, Config};
use anyhow::Context;
use futures::StreamExt;
use libp2p::{
    SwarmBuilder, identify, noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, tls, yamux,
};

use super::{Arguments, Place, Way, left_alone, median, say_ready};
use crate::{load::cpu_seconds, program::Program};

/// How long one transfer may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What goes through a circuit in one round.
const BYTES: u64 = 256 << 20;

#[derive(NetworkBehaviour)]
struct Node {
    circuit: Behaviour,
    identify: identify::Behaviour,
}

/// The relay on the transports of a plain rust-libp2p, until it is left alone.
pub(super) async fn listen(transport: Way) -> anyhow::Result<()> {
    let mut config = Config::default();
    config.limits.circuit = CircuitLimit::NONE;
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), (tls::Config::new, noise::Config::new), yamux::Config::default)?
        .with_quic()
        .with_behaviour(|key| Node {
            circuit: Behaviour::new(key, config),
            identify: identify::Behaviour::new(identify::Config::new("/relay/1".to_owned(), key.public())),
        })?
        .build();
    swarm.listen_on(transport.multiaddr().parse()?)?;
    swarm.behaviour_mut().circuit.set_enabled(true);
    let peer = *swarm.local_peer_id();
    let serving = async {
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                swarm.behaviour_mut().circuit.set_addresses([address.clone()]);
                say_ready(&[format!("{address}/p2p/{peer}")]);
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = left_alone() => {}
    }
    Ok(())
}

/// A relay, who is reached through it, who reaches, and what was measured.
#[derive(Debug)]
struct Side {
    name: &'static str,
    relay: Program,
    _destination: Program,
    source: Program,
    /// Bytes a second, a round each.
    speed: Vec<f64>,
    /// Bytes for a second of the relay's CPU.
    per_cpu: Vec<f64>,
}

/// Measures TCP and QUIC, or what is named of them, and prints the table.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let place = Place::find()?;
    println!("| transport | relay | MiB/s | MiB for a second of its CPU | to go's |");
    println!("| --- | --- | --- | --- | --- |");
    let wanted = |way: &&Way| matches!(way, Way::Tcp | Way::Quic);
    for transport in arguments.transports.iter().filter(wanted) {
        for line in one(&place, *transport, arguments).await.context(transport.name())? {
            println!("| {} {line}", transport.name());
        }
    }
    Ok(())
}

async fn one(place: &Place, transport: Way, arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    let theirs = ["relay", "-unlimited", transport.multiaddr()].map(str::to_owned);
    let theirs = Program::start(&go_circuit(place), place.logs(), "go-relay", &theirs).await?;
    let ours = ["listen-circuit", transport.name()].map(str::to_owned);
    let ours = Program::start(&place.own, place.logs(), "circuit-relay", &ours).await?;
    let mut sides =
        [side(place, transport, "go-libp2p", theirs).await?, side(place, transport, "ours", ours).await?];
    for side in &mut sides {
        side.round().await?;
        side.speed.clear(); // what has to warm up is warm now
        side.per_cpu.clear();
    }
    for _ in 0..arguments.rounds {
        for side in &mut sides {
            side.round().await?;
        }
    }
    let mib = f64::from(1 << 20);
    let per_cpu = |side: &Side| median(side.per_cpu.clone()) / mib;
    let [go, _] = &sides;
    let row = |side: &Side| {
        let speed = median(side.speed.clone()) / mib;
        let ratio = per_cpu(side) / per_cpu(go);
        format!("| {} | {speed:.0} | {:.0} | {ratio:.2} |", side.name, per_cpu(side))
    };
    Ok(sides.iter().map(row).collect())
}

fn go_circuit(place: &Place) -> std::path::PathBuf {
    place.peers.join("go-circuit")
}

async fn side(place: &Place, transport: Way, name: &'static str, relay: Program) -> anyhow::Result<Side> {
    let address = relay.multiaddr(|multiaddr| transport.is(multiaddr))?;
    let listen = ["listen", &address].map(str::to_owned);
    let destination =
        Program::start(&go_circuit(place), place.logs(), &format!("{name}-destination"), &listen).await?;
    let peer = destination.says("peer")?;
    let bytes = BYTES.to_string();
    let dial = ["dial", "-to", &peer, "-bytes", &bytes, "-protocol", "/sink/1", &address].map(str::to_owned);
    let source = Program::start(&go_circuit(place), place.logs(), &format!("{name}-source"), &dial).await?;
    Ok(Side { name, relay, _destination: destination, source, speed: Vec::new(), per_cpu: Vec::new() })
}

impl Side {
    async fn round(&mut self) -> anyhow::Result<()> {
        let before = cpu_seconds(&[self.relay.pid])?;
        self.source.tell("go").await?;
        let line = self.source.wait("all bytes", PATIENCE, |line| line["event"] == "moved").await?;
        let micros = line["micros"].as_u64().and_then(NonZeroU64::new).context("how long it took")?;
        let cpu = cpu_seconds(&[self.relay.pid])? - before;
        self.speed.push(BYTES as f64 / (micros.get() as f64 / 1e6));
        self.per_cpu.push(BYTES as f64 / cpu.max(0.01));
        Ok(())
    }
}
