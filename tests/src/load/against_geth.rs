//! geth asked directly, and through Causeway over each transport: the same load, one after the other, in rounds.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, bail, ensure};
use causeway_verify::ChainSpec;

use super::{Kind, LightPeer, Load, Outcome, Questions};
use crate::program::Program;

/// Blocks of geth's chain.
const BLOCKS: u64 = 6000;
/// Blocks that are asked about.
const WINDOW: u64 = 1900;
/// Light peers at once: the credit of each stays out of the way.
const CONNECTIONS: usize = 4;
/// Questions under way over all of them.
const INFLIGHT: usize = 16;

/// Questions of a run: one to six CPU seconds of each server. Fewer than there are proofs, over all rounds and ways.
fn requests(kind: Kind) -> u64 {
    match kind {
        Kind::Headers1 => 80_000,
        Kind::Headers192 => 2_000,
        Kind::Proof => 10_000,
        Kind::ProofAgain => 24_000,
    }
}

/// A server that is asked: its name in the table, its address, the processes that work for it.
#[derive(Debug)]
struct Way {
    name: &'static str,
    address: String,
    pids: Vec<u32>,
}

/// Runs the comparison and prints its table.
///
/// Beside this program `causeway` is expected, and the peers that `cargo interop --build` makes.
pub(super) async fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let rounds: usize = match arguments {
        [] => 3,
        [flag, value] if flag == "--rounds" => value.parse().context("--rounds")?,
        _ => bail!("load against-geth [--rounds N]"),
    };
    let own = std::env::current_exe()?;
    let folder = own.parent().context("this program is in a folder")?;
    let target = folder.parent().context("the profile's folder is in the target directory")?;
    let dir = target.join("against-geth");
    std::fs::create_dir_all(&dir)?;

    let (blocks, out) = (format!("-blocks={BLOCKS}"), format!("-out={}", dir.display()));
    let arguments = ["-capacity=1000000", "-serv=400", "-verbosity=1", &blocks, &out].map(str::to_owned);
    let program = target.join("interop-peers/bin/geth-les-server");
    let geth = Program::start(&program, &dir, "geth", &arguments).await?;
    let genesis = dir.join("genesis.json");
    let enode = geth.says("enode")?;
    let network = genesis.display().to_string();
    let arguments = [
        &["run", "--addr", "127.0.0.1", "--ports", "0", "--no-discovery", "--verbosity", "1"][..],
        &["--network", &network, "--full-node", &enode],
    ];
    let arguments: Vec<_> = arguments.concat().into_iter().map(str::to_owned).collect();
    let relay = Program::start(&folder.join("causeway"), &dir, "causeway", &arguments).await?;
    let spec = ChainSpec::from_genesis_json("load", &std::fs::read_to_string(genesis)?)?;
    let ways = ways(&geth, enode, &relay)?;
    let outcomes = rounds_of(&ways, &Arc::new(spec), rounds).await?;
    Ok(print(&ways, &outcomes))
}

fn ways(geth: &Program, enode: String, relay: &Program) -> anyhow::Result<Vec<Way>> {
    let find = |part: &str| relay.multiaddr(|address| address.contains(part));
    let way = |name, address| Way { name, address, pids: vec![relay.pid] };
    Ok(vec![
        Way { name: "geth, RLPx", address: enode, pids: vec![geth.pid] },
        way("Causeway, RLPx", relay.says("enode")?),
        way("Causeway, QUIC", find("/quic-v1/")?),
        way("Causeway, WebSocket", find("/ws/")?),
    ])
}

type Outcomes = BTreeMap<(usize, usize), Vec<Outcome>>;

/// Every kind over every way, the ways in turn, so that what else the machine does meets all of them.
async fn rounds_of(ways: &[Way], spec: &Arc<ChainSpec>, rounds: usize) -> anyhow::Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    for round in 0..rounds {
        for (kind_index, kind) in Kind::ALL.into_iter().enumerate() {
            for (way_index, way) in ways.iter().enumerate() {
                let run = (round * ways.len() + way_index) as u64;
                let outcome = measure(way, spec, kind, run).await.with_context(|| way.name.to_owned())?;
                eprintln!(
                    "round {round}, {}, {}: {}",
                    kind.name(),
                    way.name,
                    serde_json::to_string(&outcome)?
                );
                outcomes.entry((kind_index, way_index)).or_default().push(outcome);
            }
        }
    }
    Ok(outcomes)
}

async fn measure(way: &Way, spec: &Arc<ChainSpec>, kind: Kind, run: u64) -> anyhow::Result<Outcome> {
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        peers.push(LightPeer::connect(&way.address, spec).await?);
    }
    let first = peers.first().context("a connection")?;
    ensure!(first.head() == BLOCKS, "the head is {}, not {BLOCKS}", first.head());
    let questions = Arc::new(Questions::fetch(first, WINDOW).await?);
    // Other questions each run, so that no way gets another's cached answers.
    let (requests, warm) = (requests(kind), requests(kind) / 10);
    let seed = run * (requests + warm);
    let load = Load { kind, requests, inflight: INFLIGHT, seed: seed + warm };
    Load { requests: warm, seed, ..load }.run(&peers, &questions, &[]).await?;
    let outcome = load.run(&peers, &questions, &way.pids).await?;
    for peer in peers {
        peer.leave().await;
    }
    Ok(outcome)
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn print(ways: &[Way], outcomes: &Outcomes) -> bool {
    println!("| question | server | requests/s | ratio | requests/CPU s | ratio | p50 µs | p99 µs |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut good = true;
    for (kind_index, kind) in Kind::ALL.into_iter().enumerate() {
        let of = |way: usize, what: fn(&Outcome) -> f64| {
            median(outcomes.get(&(kind_index, way)).into_iter().flatten().map(what).collect())
        };
        for (index, way) in ways.iter().enumerate() {
            let rate = |way| of(way, |outcome| outcome.rate);
            let per_cpu = |way| of(way, |outcome| outcome.per_cpu.unwrap_or(0.0));
            println!(
                "| {} | {} | {:.0} | {:.2} | {:.0} | {:.2} | {:.0} | {:.0} |",
                kind.name(),
                way.name,
                rate(index),
                rate(index) / rate(0),
                per_cpu(index),
                per_cpu(index) / per_cpu(0),
                of(index, |outcome| outcome.p50 as f64),
                of(index, |outcome| outcome.p99 as f64),
            );
            good &= of(index, |outcome| (outcome.wrong + outcome.unanswered) as f64) == 0.0;
        }
    }
    good
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
