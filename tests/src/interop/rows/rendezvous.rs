//! Meeting points on other people's libp2p.
//!
//! py-libp2p writes registrations as an earlier revision of the protocol did: the peer's addresses, unsigned, where
//! a signed record stands now. Everything else is the same on both sides, and that difference has its name.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use causeway_host::{
    Host, HostConfig, Listen, RendezvousError, RendezvousLimits, RendezvousStatus, install_crypto_provider,
};
use serde_json::{Value, json};

use crate::{
    house::any_port,
    interop::{
        Stage,
        process::{PATIENCE, Peer},
    },
};

const NAMESPACE: &str = "les/1";
const HOME: &str = "/ip4/192.0.2.7/tcp/30314";
const TWO_HOURS: Duration = Duration::from_secs(7200);

async fn host(key: u8, change: impl FnOnce(&mut HostConfig)) -> anyhow::Result<Host> {
    let mut config = HostConfig::new([key; 32], Vec::new());
    config.external_addresses = vec![HOME.to_owned()];
    change(&mut config);
    Ok(Host::start(config).await?.0)
}

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    install_crypto_provider();
    let (python, script) = stage.workshop.python("py-libp2p", "rendezvous.py").await?;
    let script = script.display().to_string();
    let limits = RendezvousLimits { namespaces: vec!["les/".to_owned()], ..RendezvousLimits::default() };
    let point = host(1, |config| {
        config.listen = vec![Listen::Tcp(any_port())];
        config.rendezvous_server = Some(limits);
    })
    .await?;
    let relay = host(2, |_| {}).await?;

    // py-libp2p asks us.
    let at = point.addresses().first().context("the point listens")?.clone();
    ensure!(relay.register(&at, NAMESPACE, TWO_HOURS).await? == TWO_HOURS, "registered for two hours");
    let mut asking = Peer::start(&stage, "py-asks", &python, [script.as_str(), "ask", &at])?;
    asking.event("done", PATIENCE).await?;
    asking.end(PATIENCE).await?;
    for (event, field, expected) in [
        ("register", "status", RendezvousStatus::InvalidSignedPeerRecord.code()),
        ("discover", "peers", 1),
        ("rest", "peers", 0),
        ("garbage", "status", RendezvousStatus::InvalidCookie.code()),
        ("elsewhere", "status", RendezvousStatus::InvalidNamespace.code()),
    ] {
        let said = asking.said().into_iter().find(|line| line["event"] == event).unwrap_or(Value::Null);
        ensure!(said[field] == json!(expected), "{event}: {said}, not {field} {expected}");
    }
    ensure!(point.rendezvous_registrations() == Some(1), "ours stays");

    // We ask py-libp2p.
    let mut serving = Peer::start(&stage, "py-serves", &python, [script.as_str(), "serve"])?;
    let ready = serving.ready().await?;
    let at = ready["address"].as_str().context("an address")?;
    ensure!(relay.discover(at, NAMESPACE, 10).await?.is_empty(), "nobody is there yet");
    match relay.register(at, NAMESPACE, TWO_HOURS).await {
        Err(RendezvousError::Refused { status: RendezvousStatus::NotAuthorized, .. }) => {}
        other => bail!("a signed record at py-libp2p: {other:?}"),
    }
    relay.unregister(at, NAMESPACE).await?;
    serving.kill().await?;

    relay.shutdown().await;
    point.shutdown().await;
    Ok("pages, cookies and refusals both ways; its unsigned records are told apart".to_owned())
}
