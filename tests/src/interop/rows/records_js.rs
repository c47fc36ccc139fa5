//! Node records between Causeway and two packages of the JavaScript world, both ways.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    process::{PATIENCE, Peer},
    relay::{Relay, Way},
};

/// Both read what any record says; only the first knows `multiaddrs`, only the second `quic`.
const WAKU: &str = "@waku/enr";
const CHAINSAFE: &str = "@chainsafe/enr";

/// What the record that `causeway enr new` makes is to carry.
const MULTIADDRS: [&str; 2] = ["/dns4/relay.example.org/tcp/443/wss", "/ip4/127.0.0.1/udp/4001/quic-v1"];

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let geth = Geth::start(&stage, "geth", Options::default()).await?;
    let relay = Relay::start(&stage, "relay", &geth.genesis_file, &[geth.enode()]).await?;
    let (running, made) = (relay.says("enr")?, made(&stage).await?);

    // Theirs of ours.
    let mut js = Peer::start(&stage, "read", "node".as_ref(), arguments(&stage, "read", &[&running, &made]))?;
    for enr in [&running, &made] {
        let ours = decode(&stage, enr).await?;
        for library in [WAKU, CHAINSAFE] {
            let theirs = line(&js, "read", library, Some(enr)).await?;
            agree(&ours, &theirs).with_context(|| format!("{library} of {enr}"))?;
        }
    }
    js.end(PATIENCE).await?;
    says_where_it_listens(&decode(&stage, &running).await?, &relay)?;
    let ours = decode(&stage, &made).await?;
    ensure!(ours["multiaddrs"] == serde_json::json!(MULTIADDRS), "of `causeway enr new`: {ours}");

    // Ours of theirs.
    let mut js = Peer::start(&stage, "write", "node".as_ref(), arguments(&stage, "write", &[]))?;
    for library in [WAKU, CHAINSAFE] {
        let theirs = line(&js, "wrote", library, None).await?;
        let enr = theirs["enr"].as_str().context("a record")?;
        let ours = decode(&stage, enr).await?;
        agree(&ours, &theirs).with_context(|| format!("ours of {library}'s {enr}"))?;
        ensure!(ours["faults"] == serde_json::json!([]), "{library} wrote what we do not understand: {ours}");
        let dialed = ours["dial"].as_array().map_or(0, Vec::len);
        let wanted =
            theirs["multiaddrs"].as_array().map_or(0, Vec::len) + usize::from(theirs["quic"].is_u64());
        ensure!(dialed == wanted && dialed > 2, "{library} gives {wanted} addresses, we dial {dialed}");
    }
    js.end(PATIENCE).await?;
    relay.stop().await?;
    Ok("two records read by both, both of theirs read by us; wss, ws and quic addresses equal".to_owned())
}

fn arguments(stage: &Stage, mode: &str, enrs: &[&str]) -> Vec<String> {
    let script = stage.workshop.records_js.join("records.mjs").display().to_string();
    [script.as_str(), mode].iter().chain(enrs).map(ToString::to_string).collect()
}

/// A record as a relay with addresses for browsers would have it.
async fn made(stage: &Stage) -> anyhow::Result<String> {
    let mut new = Command::new(&stage.workshop.causeway);
    new.args(["enr", "new", "--nodekey"]).arg(stage.dir.join("node.key"));
    new.args(["--ip", "127.0.0.1", "--tcp", "30313", "--udp", "30314", "--quic", "9000", "--les"]);
    new.args(["--network", "sepolia"]).args(MULTIADDRS.map(|addr| format!("--multiaddr={addr}")));
    Ok(said(new).await?.trim().to_owned())
}

async fn decode(stage: &Stage, enr: &str) -> anyhow::Result<Value> {
    let mut decode = Command::new::<&Path>(&stage.workshop.causeway);
    decode.args(["enr", "decode", "--json", enr]);
    serde_json::from_str(&said(decode).await?).context("causeway enr decode --json")
}

async fn said(mut command: Command) -> anyhow::Result<String> {
    let output = command.kill_on_drop(true).output().await?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {error}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

async fn line(js: &Peer, event: &str, library: &str, enr: Option<&str>) -> anyhow::Result<Value> {
    js.wait(&format!("`{event}` of {library}"), PATIENCE, |line| {
        let right = line["event"] == event && line["library"] == library;
        (right && enr.is_none_or(|enr| line["enr"] == enr)).then(|| line.clone())
    })
    .await
}

/// Whatever the library says of a record, we say too.
fn agree(ours: &Value, theirs: &Value) -> anyhow::Result<()> {
    let key = theirs["key"].as_str().context("a key")?;
    let in_record = ours["keys"]["secp256k1"].as_str().and_then(|rlp| rlp.strip_prefix("0xa1"));
    ensure!(in_record == Some(key), "the key {key} beside {in_record:?}");
    for field in ["nodeId", "peerId", "seq", "ip", "tcp", "udp", "multiaddrs"] {
        if let Some(value) = theirs.get(field) {
            ensure!(ours[field] == *value, "{field}: ours {}, theirs {value}", ours[field]);
        }
    }
    if let Some(port) = theirs["quic"].as_u64() {
        let addr = format!("{}:{port}", theirs["ip"].as_str().unwrap_or_default());
        ensure!(ours["quic"] == serde_json::json!([addr]), "quic: ours {}, theirs {addr}", ours["quic"]);
    }
    Ok(())
}

/// The record of a running relay against the addresses in its ready line.
fn says_where_it_listens(record: &Value, relay: &Relay) -> anyhow::Result<()> {
    let (enode, quic) = (relay.address(Way::Devp2p)?, relay.address(Way::Quic)?);
    let tcp = record["tcp"].as_u64().context("the relay's record has a port of RLPx")?;
    ensure!(enode.contains(&format!("@127.0.0.1:{tcp}")), "port {tcp} beside {enode}");
    let dialed = record["dial"].as_array().context("addresses")?;
    ensure!(dialed.iter().any(|addr| *addr == quic.as_str()), "{quic} is not among {dialed:?}");
    Ok(())
}
