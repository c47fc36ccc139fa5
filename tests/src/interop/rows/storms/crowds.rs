//! Light peers that are known and mean ill: js-libp2p and go-libp2p with a thousand streams, go-libp2p reading a
//! byte a second, go-libp2p resetting its streams.

use std::sync::Arc;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::{LENGTH, doors::Doors};
use crate::interop::{
    light,
    process::{PATIENCE, Peer},
};

/// Peers on each transport that reset their streams.
const RESETTING: usize = 4;

/// Peers on each transport that read slowly.
const SLOW: usize = 25;

/// A thousand LES streams on one connection over each transport; where the first was a session it lives on.
pub(super) async fn streams(doors: Arc<Doors>) -> anyhow::Result<String> {
    let results = doors.multiaddrs.iter().map(async |(name, multiaddr)| {
        let note = if *name == "webtransport" {
            go_streams(&doors, name, multiaddr).await
        } else {
            js_streams(&doors, name, multiaddr).await
        };
        note.with_context(|| (*name).to_owned())
    });
    Ok(try_join_all(results).await?.join(", "))
}

async fn js_streams(doors: &Doors, name: &str, multiaddr: &str) -> anyhow::Result<String> {
    let options = ["--hostile", "streams1000"].map(str::to_owned);
    let name_of_it = format!("streams-{name}");
    let mut js = light::js(&doors.stage, &name_of_it, &doors.geth, &[multiaddr.to_owned()], &options)?;
    let line = js
        .wait("what became of the streams", 2 * PATIENCE, |line| {
            (line["event"] == "hostile" || line["event"] == "failed").then(|| line.clone())
        })
        .await?;
    ensure!(line["event"] == "hostile", "{}", line["error"]);
    ensure!(line["firstAlive"] == true && line["served"] == 0, "{line}");
    js.end(PATIENCE).await?;
    Ok(format!("{name} {} ended, first alive", line["ended"]))
}

async fn go_streams(doors: &Doors, name: &str, multiaddr: &str) -> anyhow::Result<String> {
    let line = go_until_done(doors, "streams", name, multiaddr, 1, "streams").await?;
    Ok(format!("{name} {} opened, {} refused, greeted afterwards", line["opened"], line["refused"]))
}

/// Peers that ask for much and read a byte a second.
pub(super) async fn slow_readers(doors: Arc<Doors>) -> anyhow::Result<String> {
    let end = Instant::now() + LENGTH;
    let crowds = doors.multiaddrs.iter().map(async |(name, multiaddr)| {
        let go = go(&doors, "slow", name, multiaddr, SLOW)?;
        let line = go.event("connected", 2 * PATIENCE).await?;
        ensure!(line["failed"] == 0, "{name}: {line}");
        anyhow::Ok(go)
    });
    let mut crowds = try_join_all(crowds).await?;
    sleep_until(end).await;
    for go in &mut crowds {
        go.tell("end").await?;
        go.end(PATIENCE).await?;
    }
    Ok(format!("{} peers", SLOW * crowds.len()))
}

/// Peers that reset twenty streams in quick succession, ten times, and greet then.
pub(super) async fn resets(doors: Arc<Doors>) -> anyhow::Result<String> {
    let crowds = doors.multiaddrs.iter().map(async |(name, multiaddr)| {
        let line = go_until_done(&doors, "resets", name, multiaddr, RESETTING, "connected").await?;
        ensure!(line["failed"] == 0, "{name}: {line}");
        anyhow::Ok(format!("{name} {} peers with 200 each", line["count"]))
    });
    Ok(try_join_all(crowds).await?.join(", "))
}

/// Lets a crowd of go-libp2p come and go; a line of what it said.
async fn go_until_done(
    doors: &Doors,
    what: &str,
    name: &str,
    multiaddr: &str,
    count: usize,
    event: &str,
) -> anyhow::Result<Value> {
    let mut go = go(doors, what, name, multiaddr, count)?;
    let connected = go.event("connected", 2 * PATIENCE).await?;
    ensure!(connected["failed"] == 0, "{name}: {connected}");
    let line = go.event(event, PATIENCE).await?;
    go.end(PATIENCE).await?;
    Ok(line)
}

fn go(doors: &Doors, what: &str, name: &str, multiaddr: &str, count: usize) -> anyhow::Result<Peer> {
    let arguments = [
        "crowd".to_owned(),
        format!("-what={what}"),
        format!("-count={count}"),
        format!("-genesis={}", doors.geth.genesis_file.display()),
        format!("-genesis-hash={}", doors.geth.genesis_hash()),
        multiaddr.to_owned(),
    ];
    Peer::start(&doors.stage, &format!("{what}-{name}"), &doors.stage.workshop.go_libp2p, arguments)
}
