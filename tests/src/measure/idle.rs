//! Resident memory of idle peers: light peers of `causeway run` that have greeted, beside plain connections of a
//! bare rust-libp2p listener, from the same go-libp2p.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};

use super::{Arguments, Place, Way};
use crate::{load::resident_kib, program::Program};

/// How long all peers may take to come.
const PATIENCE: Duration = Duration::from_secs(600);

/// Freed memory goes back to the system within ten seconds; what is left after this time stays.
const SETTLE: Duration = Duration::from_secs(15);

/// Peers that come and stay before the others, so that what is built once is built.
const FIRST: usize = 20;

/// A listener and who comes to it.
#[derive(Debug)]
struct Side {
    name: &'static str,
    listener: Program,
    crowd: Vec<String>,
}

/// Measures all transports and prints the table.
#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let place = Place::find()?;
    let chain = place.logs().join("chain");
    let geth = ["-blocks=100".to_owned(), "-verbosity=1".to_owned(), format!("-out={}", chain.display())];
    let geth = Program::start(&place.peers.join("geth-les-server"), place.logs(), "geth", &geth).await?;
    let genesis = chain.join("genesis.json");
    println!("| transport | listener | connections | KiB before | KiB after | KiB each | ratio |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for transport in &arguments.transports {
        let bare = bare(&place, *transport).await?;
        let ours = causeway(&place, &geth, &genesis).await?;
        let count = arguments.connections;
        let mut least = f64::NAN;
        for side in [bare, ours] {
            let name = side.name;
            let (before, after) = side.measure(&place, *transport, count).await.context(transport.name())?;
            let each = (after as f64 - before as f64) / count as f64;
            least = if least.is_nan() { each } else { least };
            let ratio = each / least;
            println!(
                "| {} | {name} | {count} | {before} | {after} | {each:.1} | {ratio:.2} |",
                transport.name()
            );
        }
    }
    Ok(())
}

async fn bare(place: &Place, transport: Way) -> anyhow::Result<Side> {
    let arguments = ["listen-bare", transport.name()].map(str::to_owned);
    let listener = Program::start(&place.own, place.logs(), "bare", &arguments).await?;
    Ok(Side { name: "bare rust-libp2p", listener, crowd: vec!["-what=plain".to_owned()] })
}

async fn causeway(place: &Place, geth: &Program, genesis: &Path) -> anyhow::Result<Side> {
    let genesis = genesis.display().to_string();
    let enode = geth.says("enode")?;
    let datadir = place.logs().join("causeway-data").display().to_string();
    let arguments = [
        "run",
        "--addr",
        "127.0.0.1",
        "--ports",
        "0",
        "--no-discovery",
        "--verbosity",
        "1",
        "--light-peers",
        "3000",
        "--datadir",
        &datadir,
        "--network",
        &genesis,
        "--full-node",
        &enode,
    ];
    let listener = Program::start(
        &place.profile.join("causeway"),
        place.logs(),
        "causeway",
        &arguments.map(str::to_owned),
    )
    .await?;
    let hash = geth.says("genesis")?;
    let crowd =
        vec!["-what=light".to_owned(), format!("-genesis={genesis}"), format!("-genesis-hash={hash}")];
    Ok(Side { name: "Causeway, greeted", listener, crowd })
}

impl Side {
    /// Resident memory before and after everybody came, KiB.
    async fn measure(self, place: &Place, transport: Way, count: usize) -> anyhow::Result<(u64, u64)> {
        let address = self.listener.multiaddr(|multiaddr| transport.is(multiaddr))?;
        let _first = self.come(place, &address, FIRST).await?;
        tokio::time::sleep(SETTLE).await;
        let before = resident_kib(self.listener.pid)?;
        let _others = self.come(place, &address, count).await?;
        tokio::time::sleep(SETTLE).await;
        Ok((before, resident_kib(self.listener.pid)?))
    }

    /// Peers that stay as long as the program that is returned.
    async fn come(&self, place: &Place, address: &str, count: usize) -> anyhow::Result<Program> {
        let mut arguments = vec!["crowd".to_owned(), format!("-count={count}")];
        arguments.extend(self.crowd.iter().cloned());
        arguments.push(address.to_owned());
        let mut crowd =
            Program::launch(&place.go_libp2p(), place.logs(), &format!("crowd-of-{count}"), &arguments)?;
        let line = crowd.wait("everybody", PATIENCE, |line| line["event"] == "connected").await?;
        ensure!(line["failed"] == 0, "{}: {line}", self.name);
        Ok(crowd)
    }
}
