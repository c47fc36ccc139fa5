//! Full nodes and relays that know nothing but one bootnode find each other; then the bootnode dies.

use std::{collections::BTreeSet, time::Duration};

use alloy_primitives::keccak256;
use anyhow::{Context, ensure};
use futures::future::{try_join, try_join_all};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    process::{PATIENCE, Peer},
    relay::{self, Relay, Way},
};

/// geths that serve LES.
const FULL_NODES: usize = 3;

/// All this must be done so long after the last of them was started.
const LIMIT: Duration = Duration::from_secs(10);

/// So long nothing may break without the bootnode.
const ALONE: Duration = Duration::from_secs(5);

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let mut bootnode = Peer::start(&stage, "bootnode", &stage.workshop.geth_bootnode, Vec::<String>::new())?;
    let boot = bootnode.ready().await?;
    let boot = |form: &str| boot[form].as_str().unwrap_or_default().to_owned();
    let options = Options { hold: 1, ..Options::default() };
    let names: Vec<_> = (1..=FULL_NODES).map(|number| format!("geth-{number}")).collect();
    let from = [boot("enr")];
    let mut geths =
        try_join_all(names.iter().map(|name| Geth::start_finding(&stage, name, options, &from))).await?;
    ensure!(geths.iter().all(|geth| geth.head() == geths[0].head()), "the geths have one chain");
    let genesis = geths[0].genesis_file.clone();

    // One relay is told the bootnode's record, the other its URL.
    let begun = Instant::now();
    let (enr, enode, bootnode_id) = ([boot("enr")], [boot("enode")], boot("id"));
    let (a, b) = try_join(
        Relay::start_finding(&stage, "relay-a", &genesis, &enr),
        Relay::start_finding(&stage, "relay-b", &genesis, &enode),
    )
    .await?;
    let keys = geths.iter().map(|geth| node_key(&geth.enode())).collect::<anyhow::Result<Vec<_>>>()?;
    let (key_a, key_b) = (node_key(&a.says("enode")?)?, node_key(&b.says("enode")?)?);
    let (by_relays, by_geths) = try_join(
        try_join_all([
            found_all(&stage, &geths[0], &a, &keys, &key_b, begun),
            found_all(&stage, &geths[0], &b, &keys, &key_a, begun),
        ]),
        try_join_all(geths.iter().map(|geth| found_any(geth, &bootnode_id, begun))),
    )
    .await?;
    ensure!(begun.elapsed() < LIMIT, "all of it took {:.1} s", begun.elapsed().as_secs_f64());

    bootnode.kill().await?;
    unbroken(&[&a, &b], &mut geths, &keys).await?;
    let mut ids: Vec<_> = geths.iter().map(Geth::id).collect();
    ids.extend([node_id(&key_a)?, node_id(&key_b)?]);
    let known = try_join_all(geths.iter_mut().map(|geth| count_known(geth, &ids))).await?;
    for relay in [&a, &b] {
        head(&stage, &genesis, relay, geths[0].number() + 1).await?;
    }

    // It starts with the same bootnode, which is dead.
    b.stop().await?;
    let begun = Instant::now();
    let b = Relay::start_finding(&stage, "relay-b", &genesis, &enode).await?;
    let again = full_nodes(&b, &keys, begun).await.context("after a restart without the bootnode")?;
    head(&stage, &genesis, &b, geths[0].number() + 1).await?;
    b.stop().await?;
    a.stop().await?;

    let of = |what: fn(&Times) -> f64| {
        by_relays.iter().map(|times| format!("{:.1}", what(times))).collect::<Vec<_>>().join(" and ")
    };
    Ok(format!(
        "the relays had {FULL_NODES} full nodes after {} s, knew each other after {} s, served a verified head \
         after {} s; the geths found somebody after {} s, in the end {known:?} of {} others; without the \
         bootnode nothing broke for {} s, and a relay that came back had its full nodes after {again:.1} s",
        of(|times| times.full_nodes),
        of(|times| times.other),
        of(|times| times.head),
        by_geths.iter().map(|seconds| format!("{seconds:.1}")).collect::<Vec<_>>().join(", "),
        ids.len() - 1,
        ALONE.as_secs(),
    ))
}

/// Seconds since the last start until a relay had this.
#[derive(Debug)]
struct Times {
    full_nodes: f64,
    other: f64,
    head: f64,
}

/// Waits until a relay has found everything; the time of each.
async fn found_all(
    stage: &Stage,
    geth: &Geth,
    relay: &Relay,
    full_node_keys: &[String],
    other_key: &str,
    begun: Instant,
) -> anyhow::Result<Times> {
    let other = async {
        let what = format!("{} knows the other relay", relay.peer.name);
        let knows = |peers: &[Value]| named(peers, other_key).is_some();
        relay.until_peers(&what, LIMIT, knows).await?;
        anyhow::Ok(begun.elapsed().as_secs_f64())
    };
    let head = async {
        relay.at_head(geth.number()).await?;
        head(stage, &geth.genesis_file, relay, geth.number()).await?;
        anyhow::Ok(begun.elapsed().as_secs_f64())
    };
    let (full_nodes, (other, head)) =
        try_join(full_nodes(relay, full_node_keys, begun), try_join(other, head)).await?;
    Ok(Times { full_nodes, other, head })
}

/// Waits until a relay is connected with every full node; the seconds since `begun`.
async fn full_nodes(relay: &Relay, keys: &[String], begun: Instant) -> anyhow::Result<f64> {
    let what = format!("{} with {FULL_NODES} full nodes", relay.peer.name);
    relay.until_peers(&what, LIMIT, |peers| all_connected(peers, keys)).await?;
    // Connected is not enough: those are asked that took us for a client.
    relay.until(&what, LIMIT, |status| geths_asked(status) == FULL_NODES).await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// How many geths a relay can ask.
fn geths_asked(status: &Value) -> usize {
    let is_geth =
        |upstream: &&Value| upstream["client"].as_str().is_some_and(|name| name.starts_with("geth-"));
    status["upstreams"].as_array().map_or(0, |upstreams| upstreams.iter().filter(is_geth).count())
}

/// Whether these are connected as full nodes.
fn all_connected(peers: &[Value], keys: &[String]) -> bool {
    let is_full_node = |peer: &Value| peer["role"] == "les-full-node" && peer["state"] == "connected";
    keys.iter().all(|key| named(peers, key).is_some_and(is_full_node))
}

fn named<'a>(peers: &'a [Value], key: &str) -> Option<&'a Value> {
    peers.iter().find(|peer| peer["nodeKey"] == key)
}

/// Reads the head through a relay, as a light peer.
async fn head(stage: &Stage, genesis: &std::path::Path, relay: &Relay, number: u64) -> anyhow::Result<()> {
    relay.at_head(number).await?;
    let light = relay::light(stage, genesis, &relay.address(Way::Tcp)?, &["head"], PATIENCE).await?;
    ensure!(light.verified, "the head through {} is not verified: {}", relay.peer.name, light.object);
    ensure!(light.object["number"] == format!("{number:#x}"), "it is at {}", light.object["number"]);
    Ok(())
}

/// Waits until a geth has found somebody beside the bootnode; the seconds since `begun`.
async fn found_any(geth: &Geth, bootnode: &str, begun: Instant) -> anyhow::Result<f64> {
    let what = "somebody beside the bootnode";
    geth.peer
        .wait(what, LIMIT, |line| {
            found_by(line).is_some_and(|ids| ids.iter().any(|id| id != bootnode)).then_some(())
        })
        .await?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Whom geth found itself, by a `found` line: those in its discv5 table, and those it dialed, whom it has from
/// discv4. Who dialed it does not count.
fn found_by(line: &Value) -> Option<BTreeSet<String>> {
    if line["event"] != "found" {
        return None;
    }
    let table = line["discv5"].as_array()?.iter();
    let dialed = line["peers"].as_array()?.iter().filter(|peer| peer["inbound"] == false);
    let ids = table.chain(dialed.map(|peer| &peer["id"]));
    Some(ids.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// How many of these nodes a geth has found by itself.
async fn count_known(geth: &mut Geth, ids: &[String]) -> anyhow::Result<usize> {
    let own = geth.id();
    let before = geth.peer.said().len();
    geth.peer.tell("found").await?;
    let mut seen = 0;
    let found = geth
        .peer
        .wait("whom it has found", PATIENCE, |line| {
            seen += 1;
            found_by(line).filter(|_| seen > before)
        })
        .await?;
    Ok(ids.iter().filter(|id| **id != own && found.contains(*id)).count())
}

/// The bootnode is dead: every session with a full node stays, and a new block comes through.
async fn unbroken(relays: &[&Relay], geths: &mut [Geth], keys: &[String]) -> anyhow::Result<()> {
    let drops = |geth: &Geth| {
        geth.peer.said().iter().filter(|line| line["event"] == "peer" && line["what"] == "drop").count()
    };
    let before: Vec<_> = geths.iter().map(drops).collect();
    for geth in &mut *geths {
        geth.import(1).await?;
    }
    let end = Instant::now() + ALONE;
    while Instant::now() < end {
        for relay in relays {
            let what = format!("{} keeps its full nodes", relay.peer.name);
            relay.until_peers(&what, Duration::ZERO, |peers| all_connected(peers, keys)).await?;
            relay.until(&what, Duration::ZERO, |status| geths_asked(status) == FULL_NODES).await?;
        }
        sleep(Duration::from_millis(200)).await;
    }
    let after: Vec<_> = geths.iter().map(drops).collect();
    ensure!(before == after, "the geths lost peers: {before:?}, then {after:?}");
    Ok(())
}

/// The node key of an enode URL, in hex.
fn node_key(enode: &str) -> anyhow::Result<String> {
    let key = enode.strip_prefix("enode://").and_then(|rest| rest.split('@').next());
    Ok(key.context("the enode has a key")?.to_owned())
}

/// The node id of a key, as discovery has it.
fn node_id(key: &str) -> anyhow::Result<String> {
    Ok(hex::encode(keccak256(hex::decode(key)?)))
}
