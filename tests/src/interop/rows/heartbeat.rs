//! Peers that we did not write answer our pings, and one that stops is dropped at the interval that it wished for.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::time::Instant;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light,
    process::{GONE, PATIENCE},
    relay::{Relay, Way},
};

/// Seconds between two pings that js-libp2p wishes for.
const WISH: u64 = 5;

/// Time from its last sign of life until it is dropped: the interval, and two answers of at most twice that.
const DROPPED: Duration = Duration::from_secs(WISH * 5);

/// For what is late on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let geth = Geth::start(&stage, "geth", Options::default()).await?;
    let relay = Relay::start(&stage, "relay", &geth.genesis_file, &[geth.enode()]).await?;
    relay.at_head(geth.number()).await?;
    let address = [relay.address(Way::WebSocket)?];
    let options = ["--pingable", "--stay", "--heartbeat", &WISH.to_string()].map(str::to_owned);
    let mut js = light::js(&stage, "js", &geth, &address, &options)?;
    light::checked(&js, &address).await?;

    let beating = async |what: &str, transport: &str, seconds: u64| {
        let beats = |session: &Value| {
            let heartbeat = &session["heartbeat"];
            session["transport"] == transport
                && heartbeat["intervalSeconds"] == seconds
                && heartbeat["rttMillis"].as_f64().is_some_and(|millis| millis > 0.0)
                && heartbeat["missedEver"] == 0
        };
        let session = relay.until_session(what, PATIENCE, beats).await?;
        session["heartbeat"]["rttMillis"].as_f64().context("a round trip")
    };
    let of_js = beating("js-libp2p's answer to a ping", "ws", WISH).await?;
    js.freeze().await?;
    let frozen = Instant::now();
    // geth is pinged 15 s after it was connected: meanwhile.
    let of_geth = beating("geth's answer to a ping", "rlpx", 15).await?;
    relay.until("the frozen peer is dropped", DROPPED + SLACK, |status| status["sessions"] == 0).await?;
    let took = frozen.elapsed();
    ensure!(took + SLACK >= DROPPED - Duration::from_secs(WISH), "dropped after {took:?}, too soon");

    js.kill().await?;
    relay.idle(GONE).await?;
    relay.stop().await?;
    Ok(format!(
        "round trips: js-libp2p {of_js:.1} ms, geth {of_geth:.1} ms; frozen js-libp2p dropped after {:.1} s",
        took.as_secs_f64()
    ))
}
