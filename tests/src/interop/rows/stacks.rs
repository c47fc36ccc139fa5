//! Light peers on other people's libp2p, in every version and on every transport.

use anyhow::ensure;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light,
    process::{PATIENCE, Peer},
    relay::{Relay, Way},
};

async fn house(stage: &Stage) -> anyhow::Result<(Geth, Relay)> {
    let geth = Geth::start(stage, "geth", Options::default()).await?;
    let relay = Relay::start(stage, "relay", &geth.genesis_file, &[geth.enode()]).await?;
    relay.at_head(geth.number()).await?;
    Ok((geth, relay))
}

pub(super) async fn js(stage: Stage) -> anyhow::Result<String> {
    let (geth, relay) = house(&stage).await?;
    let addresses = relay.addresses(&Way::LIBP2P)?;
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
    relay.idle(PATIENCE).await?;
    relay.stop().await?;
    Ok("12 sessions".to_owned())
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
