//! The only full node dies while 100 requests are with it, and comes back as itself.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light,
    process::{GONE, PATIENCE},
    relay::{Relay, Way},
};

/// Light peers, and requests of each.
const PEERS: usize = 20;
const REQUESTS: usize = 5;

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let options = Options { blocks: 150, ..Options::default() };
    let mut geth = Geth::start(&stage, "geth", options).await?;
    let relay = Relay::start(&stage, "relay", &geth.genesis_file, &[geth.enode()]).await?;
    relay.at_head(geth.number()).await?;
    let before = relay.status().await?;

    let ways = relay.addresses(&Way::LIBP2P)?;
    let addresses: Vec<_> = ways.iter().cycle().take(PEERS).cloned().collect();
    let mut js = light::js(&stage, "js", &geth, &addresses, &["--burst".to_owned(), REQUESTS.to_string()])?;
    let of_all = |event: &'static str| {
        let mut count = 0;
        move |line: &serde_json::Value| {
            count += usize::from(line["event"] == event || line["event"] == "failed");
            (count == PEERS).then_some(())
        }
    };
    js.wait("every light peer connected", PATIENCE, of_all("checked")).await?;

    // geth is stopped first, so that it surely answers none of them.
    geth.peer.freeze().await?;
    js.tell("burst").await?;
    js.wait("every request sent", PATIENCE, of_all("sent")).await?;
    let waiting = relay
        .until("requests wait for the full node", PATIENCE, |status| {
            status["tickets"].as_u64().unwrap_or(0) >= 100
        })
        .await?;
    geth.peer.kill().await?;
    relay.until("the relay noticed", PATIENCE, |status| status["upstreams"] == serde_json::json!([])).await?;
    let options = Options { port: geth.port()?, ..options };
    let _geth = Geth::start(&stage, "geth", options).await.context("the full node's second life")?;

    js.wait("every light peer's result", 3 * PATIENCE, of_all("burst")).await?;
    let (mut answered, mut ended) = (0, 0);
    for line in js.said() {
        ensure!(line["event"] != "failed", "a light peer: {}", line["error"]);
        if line["event"] == "burst" {
            answered += line["answered"].as_u64().context("how many were answered")?;
            ended += line["ended"].as_u64().context("how many ended")?;
        }
    }
    ensure!(answered + ended == (PEERS * REQUESTS) as u64, "{answered} answered and {ended} ended");
    js.end(PATIENCE).await?;

    let after = relay.idle(GONE).await?;
    let tasks = |status: &serde_json::Value| status["tasks"].as_u64().unwrap_or(u64::MAX);
    relay
        .until("as many tasks as before", Duration::from_secs(15), |status| tasks(status) <= tasks(&before))
        .await?;
    relay.stop().await?;
    Ok(format!(
        "{answered} answered and verified, {ended} ended cleanly, {} were waiting; {} tickets left",
        waiting["tickets"], after["tickets"]
    ))
}
