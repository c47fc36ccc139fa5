//! A relay at home is reached by a light peer behind another router: directly where two such routers let it, else
//! through a relay in public.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use tokio::time::Instant;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    household::{behind, direct, start_home, start_relay, verified_head},
    laboratory::{Laboratory, Nat},
    process::{PATIENCE, Peer},
    relay::Way,
};

/// Whether two routers let a direct connection be, for each transport.
struct Pair {
    home: Nat,
    visitor: Nat,
    quic: Wanted,
    tcp: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Direct,
    /// It works through the relay; if it becomes direct, so much the better.
    Relayed,
    /// There is no way to the relay, either.
    Nothing,
}

use Wanted::{Direct, Nothing, Relayed};

const PAIRS: [Pair; 8] = [
    Pair { home: Nat::Home, visitor: Nat::Home, quic: Direct, tcp: Direct },
    Pair { home: Nat::Home, visitor: Nat::Symmetric, quic: Relayed, tcp: Relayed },
    Pair { home: Nat::Symmetric, visitor: Nat::Home, quic: Relayed, tcp: Relayed },
    Pair { home: Nat::Symmetric, visitor: Nat::Symmetric, quic: Relayed, tcp: Relayed },
    Pair { home: Nat::FullCone, visitor: Nat::Symmetric, quic: Direct, tcp: Direct },
    Pair { home: Nat::AddressRestricted, visitor: Nat::Symmetric, quic: Direct, tcp: Direct },
    Pair { home: Nat::Rejecting, visitor: Nat::Home, quic: Direct, tcp: Relayed },
    Pair { home: Nat::UdpBlocked, visitor: Nat::Home, quic: Nothing, tcp: Direct },
];

/// So long a direct connection is waited for.
const PUNCHING: Duration = Duration::from_secs(12);

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let nats: Vec<_> = Nat::ALL.into_iter().chain(PAIRS.iter().map(|pair| pair.visitor)).collect();
    let laboratory = Laboratory::simple(&stage, 1, &nats).await?;
    let options = Options { hold: 2, ..Options::default() };
    let mut geths = try_join_all((0..).zip(Nat::ALL).map(async |(home, nat)| {
        let place = laboratory.host(home, 0)?;
        Geth::start(&stage.at(&place), &format!("geth-{}", nat.name().replace(' ', "-")), options).await
    }))
    .await?;
    let relay = start_relay(&stage, "relay", &laboratory.machine(0)?, &geths[0].genesis_file).await?;
    let (mut notes, mut wrong) = (Vec::new(), Vec::new());
    for (round, way) in (1..).zip([Way::Quic, Way::Tcp]) {
        let address = relay.address(way)?;
        let nodes = try_join_all((0..).zip(&geths).zip(Nat::ALL).map(async |((home, geth), nat)| {
            if way == Way::Quic && nat == Nat::UdpBlocked {
                return Ok(None);
            }
            let stage = stage.at(&laboratory.host(home, 0)?);
            let name = format!("home-{}-{}", nat.name().replace(' ', "-"), way.name());
            let relays = std::slice::from_ref(&address);
            start_home(&stage, &name, geth, relays, &[]).await.map(Some)
        }))
        .await?;
        let visits = try_join_all((0..).zip(&PAIRS).map(async |(number, pair)| {
            let index = Nat::ALL.iter().position(|nat| *nat == pair.home).context("a kind")?;
            let Some(node) = &nodes[index] else { return Ok(None) };
            let visitor = stage.at(&laboratory.host(6 + number, 0)?);
            let name = format!("light-{number}-{}", way.name());
            let number = geths[index].number() + round - 1;
            let visit = visit(&visitor, &name, &geths[index], number, &behind(&address, node)?).await;
            let what = || format!("{} × {} over {}", pair.home.name(), pair.visitor.name(), way.name());
            visit.with_context(what).map(Some)
        }))
        .await?;

        // Whichever way a session went, it follows the chain.
        for geth in &mut geths {
            geth.import(1).await?;
        }
        for (pair, visit) in PAIRS.iter().zip(&visits) {
            let Some(Visit { light, number, head, direct }) = visit else { continue };
            let what = format!("{} × {} {}", pair.home.name(), pair.visitor.name(), way.name());
            verified_head(light, number + 1, PATIENCE)
                .await
                .with_context(|| format!("{what}: a new head"))?;
            let wanted = if way == Way::Quic { pair.quic } else { pair.tcp };
            let path = match direct {
                Some((after, transport)) => format!("{transport} direct after {} ms", after.as_millis()),
                None if wanted == Direct => {
                    wrong.push(format!("{what} stays relayed"));
                    "relayed".to_owned()
                }
                None => "relayed".to_owned(),
            };
            notes.push(format!("{what}: head after {} ms, {path}", head.as_millis()));
        }
    }
    let notes = notes.join("\n    ");
    ensure!(wrong.is_empty(), "{}\n    {notes}", wrong.join("; "));
    Ok(format!("a verified head and a new one from each\n    {notes}"))
}

/// Who reads at home from behind another router; times since it was started.
struct Visit {
    light: Peer,
    /// Of the head that it read first.
    number: u64,
    head: Duration,
    /// And over which transport.
    direct: Option<(Duration, String)>,
}

/// Reads the head of a relay at home through a relay in public, and waits until that becomes direct.
async fn visit(stage: &Stage, name: &str, geth: &Geth, number: u64, address: &str) -> anyhow::Result<Visit> {
    let network = geth.genesis_file.display().to_string();
    let arguments = ["light", address, "watch", "--json", "--verbosity", "4", "--network", &network];
    let begun = Instant::now();
    let light = Peer::start(stage, name, &stage.workshop.causeway, arguments)?;
    verified_head(&light, number, PATIENCE).await?;
    let head = begun.elapsed();
    let direct = direct(&light, PUNCHING).await.ok().map(|transport| (begun.elapsed(), transport));
    Ok(Visit { light, number, head, direct })
}
