//! `causeway peers`: who a running relay is connected to, dials, and remembers.

use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::timeout,
};

use super::{health, print_line, stop_signal};
use crate::cli::PeersArgs;

/// Prints them; with `--watch` prints what happens until Ctrl-C or until the relay ends.
///
/// # Errors
/// If no relay answers.
pub(crate) async fn run(args: PeersArgs) -> anyhow::Result<ExitCode> {
    if args.watch {
        return watch(&args).await;
    }
    let body = timeout(health::PATIENCE, health::ask(&args.probe, "/peers")).await.with_context(|| {
        format!("{} did not answer within {} s", args.probe, health::PATIENCE.as_secs())
    })??;
    let (head, body) = body.split_once("\r\n\r\n").unwrap_or((&body, ""));
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{} does not tell its peers: {}", args.probe, head.lines().next().unwrap_or_default());
    }
    if args.json {
        print_line(body.trim());
        return Ok(ExitCode::SUCCESS);
    }
    let object: Value = serde_json::from_str(body).context("the answer is not JSON")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for peer in object["peers"].as_array().into_iter().flatten() {
        let state = text(&peer["state"]);
        if !args.all && state != "connected" {
            continue;
        }
        let stacks: Vec<_> = peer["stacks"].as_array().into_iter().flatten().map(text).collect();
        let key = text(&peer["nodeKey"]);
        print_line(&format!(
            "{:<13} {:<15} {:<10} {:<10} {:>10} {}…  {}",
            state,
            text(&peer["role"]),
            stacks.join("+"),
            text(&peer["source"]),
            pulse(&peer["heartbeat"]),
            key.get(..16).unwrap_or(&key),
            text(&peer["client"]),
        ));
    }
    // Those with a key are among the peers.
    for session in object["sessions"].as_array().into_iter().flatten() {
        if session["nodeKey"].is_null() {
            let peer = text(&session["peer"]);
            print_line(&format!(
                "{:<13} {:<15} {:<10} {:<10} {:>10} {}…  {}",
                "connected",
                "light-peer",
                text(&session["transport"]),
                "incoming",
                pulse(&session["heartbeat"]),
                peer.get(..16).unwrap_or(&peer),
                text(&session["client"]),
            ));
        }
    }
    print_line(&format!("summary {}", object["summary"]));
    Ok(ExitCode::SUCCESS)
}

/// The smoothed round trip, or how many pings in a row were missed.
fn pulse(heartbeat: &Value) -> String {
    match (heartbeat["missed"].as_u64(), heartbeat["rttMillis"].as_f64()) {
        (Some(missed @ 1..), _) => format!("{missed} missed"),
        (_, Some(millis)) => format!("{millis:.1} ms"),
        (_, None) => "-".to_owned(),
    }
}

async fn watch(args: &PeersArgs) -> anyhow::Result<ExitCode> {
    let stop = stop_signal()?;
    let stream = health::open(&args.probe, "/events").await?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let line = tokio::select! {
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
            line = lines.next_line() => line.context("reading events")?,
        };
        let Some(line) = line else { bail!("{} ended", args.probe) };
        // Server-sent events: `data: {…}`, between lines of HTTP's chunks.
        if let Some(event) = line.strip_prefix("data:") {
            print_line(event.trim());
        }
    }
}
