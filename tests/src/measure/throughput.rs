//! 8 MiB there and back on one stream: the product's host as listener beside go-libp2p as listener, the same
//! go-libp2p dialer at both, in turn.

use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::{Arguments, Place, Way, median};
use crate::{load::cpu_seconds, program::Program};

/// How long all echoes of a round may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A listener, the dialer at it, and what was measured of it.
#[derive(Debug)]
struct Side {
    name: &'static str,
    listener: Program,
    dialer: Program,
    /// Milliseconds of each echo.
    millis: Vec<f64>,
    /// Milliseconds of the listener's CPU for one MiB that came and went, a round each.
    cpu: Vec<f64>,
}

/// Measures all transports and prints the table.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let place = Place::find()?;
    println!(
        "| transport | listener | median ms | least ms | MiB/s | CPU ms/MiB | time to go's | CPU to go's |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for transport in &arguments.transports {
        for line in one(&place, *transport, arguments).await.context(transport.name())? {
            println!("| {} {line}", transport.name());
        }
    }
    Ok(())
}

async fn one(place: &Place, transport: Way, arguments: &Arguments) -> anyhow::Result<Vec<String>> {
    let ours = ["listen-echo", transport.name()].map(str::to_owned);
    let theirs = ["echo", "-listen", transport.multiaddr()].map(str::to_owned);
    let ours = Program::start(&place.own, place.logs(), "causeway-echo", &ours).await?;
    let theirs = Program::start(&place.go_libp2p(), place.logs(), "go-echo", &theirs).await?;
    let mut sides = [
        side(place, transport, arguments.times, "go-libp2p", theirs).await?,
        side(place, transport, arguments.times, "Causeway", ours).await?,
    ];
    let bytes = sides[0].dialer.ready["bytes"].as_f64().context("how much is sent")?;
    let mib = bytes / f64::from(1 << 20);
    for side in &mut sides {
        side.round(mib).await?;
        side.millis.clear(); // what has to warm up is warm now
        side.cpu.clear();
    }
    for _ in 0..arguments.rounds {
        for side in &mut sides {
            side.round(mib).await?;
        }
    }
    let time = |side: &Side| median(side.millis.clone());
    let cpu = |side: &Side| median(side.cpu.clone());
    let [go, _] = &sides;
    let row = |side: &Side| {
        format!(
            "| {} | {:.1} | {:.1} | {:.0} | {:.2} | {:.2} | {:.2} |",
            side.name,
            time(side),
            side.millis.iter().copied().fold(f64::INFINITY, f64::min),
            mib / time(side) * 1000.0,
            cpu(side),
            time(side) / time(go),
            cpu(side) / cpu(go),
        )
    };
    Ok(sides.iter().map(row).collect())
}

async fn side(
    place: &Place,
    transport: Way,
    times: usize,
    name: &'static str,
    listener: Program,
) -> anyhow::Result<Side> {
    let address = listener.multiaddr(|multiaddr| transport.is(multiaddr))?;
    let dial = ["echo".to_owned(), format!("-times={times}"), "-dial".to_owned(), address];
    let dialer = Program::start(&place.go_libp2p(), place.logs(), &format!("{name}-dialer"), &dial).await?;
    Ok(Side { name, listener, dialer, millis: Vec::new(), cpu: Vec::new() })
}

impl Side {
    async fn round(&mut self, mib: f64) -> anyhow::Result<()> {
        let before = cpu_seconds(&[self.listener.pid])?;
        self.dialer.tell("go").await?;
        let line = self.dialer.wait("the echoes", PATIENCE, |line| line["event"] == "echoed").await?;
        let micros: Vec<f64> =
            line["micros"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        let cpu = cpu_seconds(&[self.listener.pid])? - before;
        self.cpu.push(cpu * 1000.0 / (mib * micros.len() as f64));
        self.millis.extend(micros.into_iter().map(|micros| micros / 1000.0));
        Ok(())
    }
}
