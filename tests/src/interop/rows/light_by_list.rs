//! A light peer that is given nothing but the URL of a list reaches a relay in it and reads the head.

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    name_server::NameServer,
    process::{GONE, PATIENCE},
    relay::{self, Relay},
};

/// Where the list is published.
const DOMAIN: &str = "list.example";

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let geth = Geth::start(&stage, "geth", Options::default()).await?;
    let relay = Relay::start(&stage, "relay", &geth.genesis_file, &[geth.enode()]).await?;
    relay.at_head(geth.number()).await?;

    let (url, zone) = sign(&stage, &relay.says("enr")?).await?;
    let names = NameServer::start(&stage, "knot", DOMAIN, &zone).await?;
    let server = names.address.to_string();
    let command = ["head", "--dns.server", &server, "--discovery.local"];
    let light = relay::light(&stage, &geth.genesis_file, &url, &command, PATIENCE).await?;
    ensure!(light.verified, "not verified: {}", light.object);
    ensure!(light.object["hash"] == geth.head().as_str(), "its head is {}", light.object["hash"]);
    relay.idle(GONE).await?;
    let transport = transport(&relay)?;
    relay.stop().await?;
    Ok(format!("came over libp2p's {transport}"))
}

/// By which transport of libp2p the only light peer came, as the relay's log says.
fn transport(relay: &Relay) -> anyhow::Result<String> {
    let log = relay.peer.log();
    let mut came = log.lines().filter(|line| line.contains("light peer connected"));
    let (first, second) = (came.next().context("nobody came to the relay")?, came.next());
    ensure!(second.is_none() && first.contains("peer=libp2p:"), "who came: {first} {second:?}");
    let name = first.split("transport=\"").nth(1).and_then(|rest| rest.split('"').next());
    Ok(name.context("the log names the transport")?.to_owned())
}

/// Signs a list of one node with `causeway dns sign`; its URL and its records as a zone file.
async fn sign(stage: &Stage, record: &str) -> anyhow::Result<(String, String)> {
    let key = stage.dir.join("list.key");
    let run = async |form: &[&str]| {
        let mut sign = Command::new(&stage.workshop.causeway);
        sign.args(["dns", "sign", "--domain", DOMAIN, "--seq", "1", "--key"]).arg(&key);
        let output = sign.args(form).arg(record).kill_on_drop(true).output().await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "causeway dns sign: {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    };
    let zone = run(&[]).await?;
    let object: Value = serde_json::from_str(&run(&["--json"]).await?)?;
    let url = object["url"].as_str().context("the list has a URL")?.to_owned();
    Ok((url, zone))
}
