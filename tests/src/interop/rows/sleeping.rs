//! Light peers that slept, or whose network was gone, have a new head soon after they are back.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    household::{behind, direct, start_home, start_relay, verified_head},
    laboratory::{Laboratory, Nat},
    process::{PATIENCE, Peer},
    relay::Way,
};

/// Longer than any session lives without a sign of life.
const ASLEEP: Duration = Duration::from_secs(65);

/// By then a head that came meanwhile must be there.
const BACK: Duration = Duration::from_secs(5);

/// What happens to a light peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its process stands still.
    Stopped,
    /// Its router swallows everything.
    Cut,
}

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    // The first two are reached directly, the last one is not.
    let cases = [
        (Nat::Home, Fate::Stopped, Way::Quic),
        (Nat::Home, Fate::Cut, Way::Quic),
        (Nat::Home, Fate::Cut, Way::Tcp),
        (Nat::Symmetric, Fate::Stopped, Way::Quic),
        (Nat::Symmetric, Fate::Cut, Way::Tcp),
    ];
    let nats: Vec<_> = [Nat::Home].into_iter().chain(cases.map(|(nat, ..)| nat)).collect();
    let laboratory = Laboratory::simple(&stage, 2, &nats).await?;
    let at_home = stage.at(&laboratory.host(0, 0)?);
    let mut geth = Geth::start(&at_home, "geth", Options { hold: 1, ..Options::default() }).await?;
    // Two sides meet over the transport over which both are seen: the home is at one relay over each.
    let quic = start_relay(&stage, "relay-quic", &laboratory.machine(0)?, &geth.genesis_file).await?;
    let tcp = start_relay(&stage, "relay-tcp", &laboratory.machine(1)?, &geth.genesis_file).await?;
    let relays = [quic.address(Way::Quic)?, tcp.address(Way::Tcp)?];
    let home = start_home(&at_home, "home", &geth, &relays, &[]).await?;
    let number = geth.number();
    let genesis = geth.genesis_file.display().to_string();
    let lights = try_join_all((1..).zip(cases).map(async |(place, (nat, _, way))| {
        let address = behind(&relays[usize::from(way == Way::Tcp)], &home)?;
        let arguments = ["light", &address, "watch", "--json", "--verbosity", "4", "--network", &genesis];
        let stage = stage.at(&laboratory.host(place, 0)?);
        let light = Peer::start(&stage, &format!("light-{place}"), &stage.workshop.causeway, arguments)?;
        verified_head(&light, number, PATIENCE).await?;
        if nat == Nat::Home {
            direct(&light, PATIENCE).await?;
        }
        anyhow::Ok(light)
    }))
    .await?;

    for (place, (light, (_, fate, _))) in (1..).zip(lights.iter().zip(cases)) {
        match fate {
            Fate::Stopped => light.freeze().await?,
            Fate::Cut => laboratory.cut(place).await?,
        }
    }
    sleep(ASLEEP).await;
    geth.import(1).await?;
    home.at_head(number + 1).await?;

    let mut notes = Vec::new();
    for (place, (light, (nat, fate, way))) in (1..).zip(lights.iter().zip(cases)) {
        let back = Instant::now();
        match fate {
            Fate::Stopped => light.signal("CONT").await?,
            Fate::Cut => laboratory.restore(place).await?,
        }
        let what = format!(
            "{} over {}, {}",
            nat.name(),
            way.name(),
            if fate == Fate::Cut { "cut" } else { "stopped" }
        );
        verified_head(light, number + 1, PATIENCE).await.with_context(|| what.clone())?;
        let took = back.elapsed();
        ensure!(took < BACK, "{what}: a new head {:.1} s after the return", took.as_secs_f64());
        notes.push(format!("{what}: {:.1} s", took.as_secs_f64()));
    }
    home.stop().await?;
    quic.stop().await?;
    tcp.stop().await?;
    Ok(format!(
        "after {} s the new head, verified, so long after the return: {}",
        ASLEEP.as_secs(),
        notes.join("; ")
    ))
}
