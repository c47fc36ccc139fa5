//! Causeway before geth: every kind of answer on every transport, announcements, transactions.

use anyhow::{Context, ensure};
use futures::future::try_join_all;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light,
    process::{GONE, PATIENCE},
    relay::{Relay, Way},
};

/// An announcement reaches a light peer this long after geth made it.
const PROMPT_MILLIS: f64 = 1000.0;

/// Blocks that geth imports one by one.
const IMPORTS: u64 = 3;

/// Blocks that it then takes back.
const REORG: u64 = 2;

pub(super) async fn run(stage: Stage, engine: &'static str, version: u64) -> anyhow::Result<String> {
    let options = Options { engine, les: version, hold: IMPORTS, ..Options::default() };
    let mut geth = Geth::start(&stage, "geth", options).await?;
    let relay = Relay::start(&stage, "relay", &geth.genesis_file, &[geth.enode()]).await?;
    relay.at_head(geth.number()).await?;
    let transactions = geth.transactions(Way::LIBP2P.len() + Way::ALL.len()).await?;
    let (for_js, for_light) = transactions.split_at(Way::LIBP2P.len());

    // js-libp2p, all transports at the same time, in the version of the row.
    let addresses = relay.addresses(&Way::LIBP2P)?;
    let mut extra = vec![
        "--version".to_owned(),
        version.to_string(),
        "--announces".to_owned(),
        (IMPORTS + 1).to_string(),
    ];
    for transaction in for_js {
        extra.extend(["--send".to_owned(), transaction.raw.clone()]);
    }
    let mut js = light::js(&stage, "js", &geth, &addresses, &extra)?;
    for (line, transaction) in light::checked(&js, &addresses).await?.iter().zip(for_js) {
        ensure!(line["version"] == version, "the stream speaks les/{}", line["version"]);
        ensure!(line["code"] == geth.code().as_str(), "the code is {}", line["code"]);
        ensure!(line["sent"]["hash"] == transaction.hash.as_str(), "sent {}", line["sent"]);
        ensure!(line["sent"]["error"] == "", "geth refused a transaction: {}", line["sent"]);
        geth.in_pool(&transaction.hash).await?;
    }

    // causeway light, on both stacks.
    let reads = Way::ALL.iter().zip(for_light);
    try_join_all(
        reads.map(|(way, transaction)| light::read_everything(&stage, &geth, &relay, *way, transaction)),
    )
    .await?;

    // New heads, then a reorganisation.
    let mut known = Vec::new();
    let mut longest = 0.0_f64;
    for step in 1..=IMPORTS {
        geth.import(1).await?;
        let (hash, at) = geth.new_head(geth.number() + step, &known).await?;
        let (millis, _) = light::announced(&js, &addresses, (&hash, at)).await?;
        longest = longest.max(millis);
        known.push(hash);
    }
    geth.reorganise(REORG).await?;
    // Two blocks less, then two blocks more than those.
    let (hash, at) = geth.new_head(geth.number() + IMPORTS + 2, &known).await?;
    let (millis, depths) = light::announced(&js, &addresses, (&hash, at)).await?;
    ensure!(depths.iter().all(|depth| *depth == REORG), "reorg depths {depths:?}, not {REORG}");
    longest = longest.max(millis);
    ensure!(longest < PROMPT_MILLIS, "an announcement came {longest:.0} ms after geth's");

    let ended = js.end(PATIENCE).await.context("js-libp2p")?;
    ensure!(ended.success(), "js-libp2p ended with {ended}");
    relay.idle(GONE).await?;
    relay.stop().await?;
    Ok(format!("announced within {longest:.0} ms"))
}
