//! A relay at home, behind a router, which keeps places at relays in public.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    Stage,
    geth::Geth,
    laboratory::Place,
    process::Peer,
    relay::{Relay, Way},
};

/// What a relay at home logs for each place that it gets.
pub(super) const PLACE: &str = "a relay holds a place for us";

/// How long it may take to get it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a relay before a full node of the same host, and waits until it is at the head and has a place at each of
/// these relays.
pub(super) async fn start_home(
    stage: &Stage,
    name: &str,
    geth: &Geth,
    relays: &[String],
    further: &[&str],
) -> anyhow::Result<Relay> {
    let mut options = vec!["--full-node".to_owned(), geth.enode()];
    options.extend(["--no-discovery", "--verbosity", "4"].map(str::to_owned));
    for relay in relays {
        options.extend(["--relay".to_owned(), relay.clone()]);
    }
    options.extend(further.iter().map(|option| (*option).to_owned()));
    let node = Relay::start_with(stage, name, &geth.genesis_file, &options).await?;
    node.at_head(geth.number()).await?;
    has_places(&node, relays.len()).await?;
    Ok(node)
}

/// Waits until a relay at home has so many places.
pub(super) async fn has_places(node: &Relay, count: usize) -> anyhow::Result<()> {
    let held = async {
        while node.peer.log().lines().filter(|line| line.contains(PLACE)).count() < count {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let held = timeout(PATIENCE, held).await;
    held.with_context(|| format!("{} has no {count} places at relays", node.peer.name))
}

/// A relay in public that relays circuits and has no full node.
pub(super) async fn start_relay(
    stage: &Stage,
    name: &str,
    place: &Place,
    genesis: &std::path::Path,
) -> anyhow::Result<Relay> {
    let options = ["--no-discovery", "--relay.service", "on", "--verbosity", "4"].map(str::to_owned);
    Relay::start_with(&stage.at(place), name, genesis, &options).await
}

/// The address of a peer behind a relay.
pub(super) fn behind(relay: &str, node: &Relay) -> anyhow::Result<String> {
    let own = node.address(Way::Tcp)?;
    let id = own.rsplit("/p2p/").next().context("an address names its peer")?;
    Ok(format!("{relay}/p2p-circuit/p2p/{id}"))
}

/// Waits until `causeway light … watch --json` has this head, verified.
pub(super) async fn verified_head(light: &Peer, number: u64, limit: Duration) -> anyhow::Result<()> {
    let head = |line: &Value| (line["number"] == format!("{number:#x}")).then(|| line["verified"] == true);
    ensure!(light.wait(&format!("head {number}"), limit, head).await?, "it is not verified");
    Ok(())
}

/// Waits until its session needs no relay; the transport that it has then.
pub(super) async fn direct(light: &Peer, limit: Duration) -> anyhow::Result<String> {
    let direct = |line: &Value| (line["path"] == "direct").then(|| line["transport"].clone());
    let transport = light.wait("a direct session", limit, direct).await?;
    Ok(transport.as_str().unwrap_or_default().to_owned())
}
