//! Light peers that break the rules of the design's section 2: each costs little and ends with a log line.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light,
    process::{GONE, PATIENCE},
    relay::{Relay, Way},
};

/// What a relay may grow by under all of this, KiB.
const MEMORY: u64 = 96 * 1024;

/// What must become of a hostile stream.
enum Fate {
    /// It ends, within this time, and the log says why.
    Ends(Duration),
    /// It lives on.
    Lives,
}

fn quick() -> Fate {
    Fate::Ends(Duration::from_secs(4))
}

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let geth = Geth::start(&stage, "geth", Options::default()).await?;
    let relay = Relay::start(&stage, "relay", &geth.genesis_file, &[geth.enode()]).await?;
    relay.at_head(geth.number()).await?;
    honest(&stage, &geth, &relay, "honest-before").await?;
    let before = relay.peer.memory("VmRSS")?;

    let modes = [
        ("oversize", quick()),
        ("large", quick()),
        ("endless", quick()),
        ("second-status", quick()),
        ("unknown-code", quick()),
        ("undecodable", quick()),
        ("request-first", quick()),
        ("wrongnetwork", quick()),
        ("wronggenesis", quick()),
        ("garbage", quick()),
        ("second-stream", quick()),
        ("nostatus", Fate::Ends(Duration::from_secs(8))),
        ("counts", Fate::Lives),
        ("overspend", Fate::Lives),
        ("noread", Fate::Lives),
        ("streams1000", Fate::Lives),
    ];
    // The slowest waits for its 30 seconds beside the others.
    let slow = start(&stage, &geth, &relay, "slow", Way::Tcp)?;
    let mut wrong = Vec::new();
    for (index, (mode, fate)) in modes.iter().enumerate() {
        let way = Way::LIBP2P[index % Way::LIBP2P.len()];
        if let Err(error) = one(&stage, &geth, &relay, (mode, fate), way).await {
            wrong.push(format!("{error:#}"));
        }
    }
    let end =
        result(&slow, "slow").await.and_then(|end| judge("slow", &Fate::Ends(Duration::from_secs(36)), &end));
    wrong.extend(end.err().map(|error| format!("{error:#}")));
    drop(slow);
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));

    honest(&stage, &geth, &relay, "honest-after").await?;
    relay.idle(GONE).await?;
    let most = relay.peer.memory("VmHWM")?;
    let grown = most.saturating_sub(before);
    ensure!(grown < MEMORY, "memory grew by {grown} KiB, over the limit of {MEMORY} KiB");
    relay.stop().await?;
    Ok(format!(
        "{} modes, memory at most {} MiB over the {} MiB before",
        modes.len() + 1,
        grown / 1024,
        before / 1024
    ))
}

/// One mode from start to end.
async fn one(
    stage: &Stage,
    geth: &Geth,
    relay: &Relay,
    (mode, fate): (&str, &Fate),
    way: Way,
) -> anyhow::Result<()> {
    let lines = relay.peer.log().lines().count();
    let mut peer = start(stage, geth, relay, mode, way)?;
    let result = result(&peer, mode).await?;
    peer.end(PATIENCE).await?;
    judge(mode, fate, &result)?;
    if matches!(fate, Fate::Ends(_)) {
        said_why(relay, mode, lines).await?;
    }
    Ok(())
}

fn start(
    stage: &Stage,
    geth: &Geth,
    relay: &Relay,
    mode: &str,
    way: Way,
) -> anyhow::Result<crate::interop::process::Peer> {
    let options = ["--hostile".to_owned(), mode.to_owned()];
    light::js(stage, &format!("hostile-{mode}"), geth, &[relay.address(way)?], &options)
}

async fn result(peer: &crate::interop::process::Peer, mode: &str) -> anyhow::Result<Value> {
    let line = peer
        .wait(&format!("what became of `{mode}`"), 2 * PATIENCE, |line| {
            (line["event"] == "hostile" || line["event"] == "failed").then(|| line.clone())
        })
        .await?;
    ensure!(line["event"] == "hostile", "{mode}: {}", line["error"]);
    Ok(line)
}

fn judge(mode: &str, fate: &Fate, result: &Value) -> anyhow::Result<()> {
    let bad = |why: &str| bail!("{mode}: {why}: {result}");
    if let Fate::Ends(within) = fate {
        if result["ended"] != true {
            return bad("the stream did not end");
        }
        let millis = result["millis"].as_u64().context("a time")?;
        if u128::from(millis) > within.as_millis() {
            return bad("the stream ended late");
        }
    }
    let amounts = &result["amounts"];
    match mode {
        "second-stream" if result["messages"] != 0 || result["firstAlive"] != true => {
            bad("the second stream ends before any Status, and the first lives on")
        }
        "streams1000" if result["firstAlive"] != true || result["served"] != 0 => {
            bad("the first stream lives on and no other is served")
        }
        "overspend" if !result["stopped"].is_number() || result["alive"] != true => {
            bad("Stop, then Resume, then answers")
        }
        "counts" if result["alive"] != true => bad("the stream lives on"),
        "counts" => {
            let head = result["head"].as_u64().context("a head")?;
            let wanted = [
                ("zero", 0),
                ("many", head.min(192)),
                ("beyond", 0),
                ("far", 0),
                ("unknownBodies", 0),
                ("statuses", 256),
            ];
            for (name, count) in wanted {
                if amounts[name] != count {
                    return bad(&format!("`{name}` gives {count} items"));
                }
            }
            if amounts["skip"] != 1 {
                return bad("a skip of 2^64-1 gives the one header");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The relay's log says why a session ended. (A second stream is no session: it never began.)
async fn said_why(relay: &Relay, mode: &str, lines_before: usize) -> anyhow::Result<()> {
    relay
        .until("no hostile session left", PATIENCE, |_| relay.peer.log().lines().count() > lines_before)
        .await?;
    let log = relay.peer.log();
    let new: Vec<_> = log.lines().skip(lines_before).collect();
    if let Some(line) = new.iter().find(|line| line.contains("panicked") || line.contains("ERROR")) {
        bail!("{mode}: an error in the relay's log: {line}");
    }
    ensure!(!new.is_empty(), "{mode}: the relay's log says nothing");
    Ok(())
}

/// A light peer that keeps the rules reads everything.
async fn honest(stage: &Stage, geth: &Geth, relay: &Relay, name: &str) -> anyhow::Result<()> {
    let addresses = relay.addresses(&Way::LIBP2P)?;
    let mut js = light::js(stage, name, geth, &addresses, &[])?;
    light::checked(&js, &addresses).await?;
    js.end(PATIENCE).await?;
    Ok(())
}
