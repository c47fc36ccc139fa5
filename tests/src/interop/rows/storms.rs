//! Storms at every door of a relay while light peers read: handshakes that never end, a thousand streams, frames
//! beyond measure, readers that do not read, streams reset one after the other.
//!
//! All of it comes from the loopback, which is exempt from the limits per address: the limits in all must hold.

mod crowds;
mod doors;
mod frames;
mod half_open;
mod quic;
mod watch;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use self::{doors::Doors, watch::House};
use crate::interop::{Stage, relay::Way};

/// A storm that does not end by itself lasts so long: longer than a handshake may.
const LENGTH: Duration = Duration::from_secs(12);

/// Connections, handshakes or streams that a storm has at once.
const CROWD: usize = 1000;

/// One storm.
struct Storm {
    name: &'static str,
    /// The door that newcomers try meanwhile.
    newcomers: Way,
    blow: fn(Arc<Doors>) -> BoxFuture<'static, anyhow::Result<String>>,
}

/// Handshakes that begin and never end.
const HALF_OPEN: &[Storm] = &[
    Storm {
        name: "tcp, not a word",
        newcomers: Way::Tcp,
        blow: |doors| Box::pin(half_open::blow(doors.tcp, Vec::new())),
    },
    Storm {
        name: "tcp, half of multistream",
        newcomers: Way::Tcp,
        blow: |doors| Box::pin(half_open::blow(doors.tcp, half_open::multistream())),
    },
    Storm {
        name: "ws, half an upgrade",
        newcomers: Way::WebSocket,
        blow: |doors| Box::pin(half_open::blow(doors.ws, half_open::upgrade())),
    },
    Storm {
        name: "wss, half a ClientHello",
        newcomers: Way::Tcp,
        blow: |doors| Box::pin(async move { half_open::blow(doors.wss, half_open::client_hello()?).await }),
    },
    Storm {
        name: "quic, first packets",
        newcomers: Way::Quic,
        blow: |doors| Box::pin(quic::first_packets(doors.quic, b"libp2p")),
    },
    Storm {
        name: "webtransport, first packets",
        newcomers: Way::Tcp,
        blow: |doors| Box::pin(quic::first_packets(doors.webtransport, b"h3")),
    },
    Storm {
        name: "webtransport, no settings",
        newcomers: Way::Tcp,
        blow: |doors| Box::pin(quic::without_settings(doors.webtransport)),
    },
    Storm {
        name: "devp2p, half an auth",
        newcomers: Way::Devp2p,
        blow: |doors| Box::pin(half_open::blow(doors.devp2p, half_open::auth())),
    },
];

/// What comes behind a handshake, or where one would be.
const TRAFFIC: &[Storm] = &[
    Storm {
        name: "frames of 256 MiB",
        newcomers: Way::WebSocket,
        blow: |doors| Box::pin(frames::huge(doors.ws)),
    },
    Storm {
        name: "a message in fragments without end",
        newcomers: Way::WebSocket,
        blow: |doors| Box::pin(frames::fragments(doors.ws)),
    },
    Storm {
        name: "pings without end",
        newcomers: Way::WebSocket,
        blow: |doors| Box::pin(frames::pings(doors.ws)),
    },
    Storm {
        name: "1000 streams on a connection",
        newcomers: Way::Tcp,
        blow: |doors| Box::pin(crowds::streams(doors)),
    },
    Storm { name: "slow readers", newcomers: Way::Quic, blow: |doors| Box::pin(crowds::slow_readers(doors)) },
    Storm {
        name: "streams reset, 20 in a row",
        newcomers: Way::Tcp,
        blow: |doors| Box::pin(crowds::resets(doors)),
    },
];

pub(super) async fn half_open(stage: Stage) -> anyhow::Result<String> {
    all(stage, HALF_OPEN).await
}

pub(super) async fn traffic(stage: Stage) -> anyhow::Result<String> {
    all(stage, TRAFFIC).await
}

async fn all(stage: Stage, storms: &[Storm]) -> anyhow::Result<String> {
    let mut house = House::start(&stage).await?;
    let mut lines = Vec::new();
    let mut wrong = Vec::new();
    for storm in storms {
        let weathered = house.weather(storm).await?;
        lines.push(format!("{}: {weathered}", storm.name));
        wrong.extend(weathered.faults().into_iter().map(|fault| format!("{}: {fault}", storm.name)));
    }
    let end = house.end().await;
    let note = lines.join("\n    ");
    wrong.extend(end.err().map(|error| format!("{error:#}")));
    anyhow::ensure!(wrong.is_empty(), "{}\n    {note}", wrong.join("; "));
    Ok(format!("\n    {note}"))
}
