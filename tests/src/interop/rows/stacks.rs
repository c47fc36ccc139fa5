//! Light peers on other people's libp2p, in every version and on every transport.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light,
    process::{PATIENCE, Peer},
    relay::{Relay, Way},
};

/// js-libp2p pings its connections every 10 s and ends those that do not answer within 5 s.
const TWO_PINGS: Duration = Duration::from_secs(22);

async fn house(stage: &Stage) -> anyhow::Result<(Geth, Relay)> {
    let geth = Geth::start(stage, "geth", Options { hold: 1, ..Options::default() }).await?;
    let relay = Relay::start(stage, "relay", &geth.genesis_file, &[geth.enode()]).await?;
    relay.at_head(geth.number()).await?;
    Ok((geth, relay))
}

pub(super) async fn js(stage: Stage) -> anyhow::Result<String> {
    let (mut geth, relay) = house(&stage).await?;
    let addresses = relay.addresses(&Way::LIBP2P)?;
    let begun = Instant::now();
    let mut patient =
        light::js(&stage, "js-patient", &geth, &addresses, &["--announces".to_owned(), "1".to_owned()])?;
    light::checked(&patient, &addresses).await?;
    // Without --version all are proposed, the newest first.
    for version in [None, Some(4_u64), Some(3), Some(2)] {
        let options: Vec<_> =
            version.iter().flat_map(|version| ["--version".to_owned(), version.to_string()]).collect();
        let name = version.map_or_else(|| "js-any".to_owned(), |version| format!("js-les{version}"));
        let mut js = light::js(&stage, &name, &geth, &addresses, &options)?;
        for line in light::checked(&js, &addresses).await? {
            let wanted = version.unwrap_or(4);
            ensure!(line["version"] == wanted, "les/{} agreed, not les/{wanted}", line["version"]);
        }
        js.end(PATIENCE).await?;
    }

    // Those who stay are still there after a while, and hear of a new head. Here time itself is tested.
    tokio::time::sleep_until(begun + TWO_PINGS).await;
    geth.import(1).await?;
    let (hash, at) = geth.new_head(geth.number() + 1, &[]).await?;
    light::announced(&patient, &addresses, (&hash, at)).await.context("after two pings")?;
    patient.end(PATIENCE).await?;
    relay.idle(PATIENCE).await?;
    relay.stop().await?;
    Ok(format!("15 sessions, three of them for {} s", TWO_PINGS.as_secs()))
}

pub(super) async fn go(stage: Stage) -> anyhow::Result<String> {
    let (geth, relay) = house(&stage).await?;
    let addresses = relay.addresses(&Way::LIBP2P)?;
    let mut arguments = vec![
        format!("-genesis={}", geth.genesis_file.display()),
        format!("-genesis-hash={}", geth.genesis_hash()),
        format!("-head={}", geth.head()),
        format!("-number={}", geth.number()),
        format!("-account={}", geth.bank()),
    ];
    arguments.extend_from_slice(&addresses);
    let mut go = Peer::start(&stage, "go", &stage.workshop.go_libp2p, arguments)?;
    let lines = light::checked(&go, &addresses).await?;
    ensure!(lines.iter().all(|line| line["protocol"] == "/les/4"), "les/4 on each");
    go.end(PATIENCE).await?;
    relay.idle(PATIENCE).await?;
    relay.stop().await?;
    let of = |line: &serde_json::Value| format!("{}{}", line["transport"], line["security"]).replace('"', "");
    Ok(lines.iter().map(of).collect::<Vec<_>>().join(" "))
}
