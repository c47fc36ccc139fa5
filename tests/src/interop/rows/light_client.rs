//! geth's own light client, which knows nothing of Causeway, syncs and reads through it.

use anyhow::ensure;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light::{BUSY_BLOCK, BUSY_TRANSACTIONS},
    process::{GONE, PATIENCE, Peer},
    relay::{Relay, Way},
};

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let mut notes = Vec::new();
    for engine in ["fake", "clique"] {
        let millis = through(&stage, engine).await?;
        notes.push(format!("{engine} synced in {millis} ms"));
    }
    Ok(notes.join(", "))
}

async fn through(stage: &Stage, engine: &'static str) -> anyhow::Result<u64> {
    let name = |what: &str| format!("{what}-{engine}");
    let options = Options { engine, hold: 2, ..Options::default() };
    let mut geth = Geth::start(stage, &name("geth"), options).await?;
    let relay = Relay::start(stage, &name("relay"), &geth.genesis_file, &[geth.enode()]).await?;
    relay.at_head(geth.number()).await?;
    let transaction = geth.transactions(1).await?.remove(0);

    let arguments = [
        format!("-genesis={}", geth.genesis_file.display()),
        // More than the relay has now: the rest comes by announcements.
        format!("-want={}", geth.number() + 2),
        format!("-block={BUSY_BLOCK}"),
        format!("-account={}", geth.bank()),
        format!("-contract={}", geth.contract()),
        format!("-send={}", transaction.raw),
        format!("-patience={}s", 2 * PATIENCE.as_secs()),
        relay.address(Way::Devp2p)?,
    ];
    let mut client = Peer::start(stage, &name("client"), &stage.workshop.geth_client, arguments)?;
    relay.until("geth's light client connected", PATIENCE, |status| status["sessions"] == 1).await?;
    geth.import(2).await?;
    let (head, _) = geth.new_head(geth.number() + 2, &[]).await?;

    let line = client
        .wait("what the light client read", 2 * PATIENCE, |line| line.get("number").map(|_| line.clone()))
        .await?;
    ensure!(line.get("error").is_none(), "{}", line["error"]);
    ensure!(line["head"] == head.as_str(), "its head is {}, not {head}", line["head"]);
    ensure!(line["transactions"] == BUSY_TRANSACTIONS, "body with {} transactions", line["transactions"]);
    ensure!(line["receipts"] == BUSY_TRANSACTIONS && line["logs"] == 1, "receipts: {line}");
    ensure!(line["found"] == format!("{BUSY_BLOCK}:{}", BUSY_TRANSACTIONS - 1), "found {}", line["found"]);
    ensure!(
        line["balance"].as_str().is_some_and(|balance| balance.len() > 10),
        "balance {}",
        line["balance"]
    );
    ensure!(line["code"] == geth.code().as_str(), "code {}", line["code"]);
    let slot = line["slot1"].as_str().unwrap_or_default();
    ensure!(slot.ends_with(geth.bank().trim_start_matches("0x")), "slot 1 is {slot}");
    geth.in_pool(&transaction.hash).await?;
    client.tell("end").await?;
    client.end(PATIENCE).await?;
    relay.idle(GONE).await?;
    relay.stop().await?;
    Ok(line["syncMillis"].as_u64().unwrap_or_default())
}
