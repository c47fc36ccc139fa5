//! A light peer that has only the record of a relay at home, or only its PeerId, comes to it through the relays that keep a place for it;
//! then directly, and nothing that is announced meanwhile is missed.

use std::time::Duration;

use anyhow::Context;
use futures::future::try_join;
use tokio::time::{Instant, sleep};

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    household::{PLACE, direct, has_places, verified_head},
    laboratory::{Laboratory, Nat},
    process::{PATIENCE, Peer},
    relay::Relay,
};

/// Blocks that come one after the other while sessions become direct, and the time between two.
const BLOCKS: u64 = 60;
const BETWEEN: Duration = Duration::from_millis(250);

/// What a relay at home logs once it says something new of itself.
const NEW_RECORD: &str = "our node record says something new";

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let laboratory = Laboratory::simple(&stage, 2, &[Nat::Home; 2]).await?;
    let at_home = stage.at(&laboratory.host(0, 0)?);
    let options = Options { hold: BLOCKS + 1, ..Options::default() };
    let mut geth = Geth::start(&at_home, "geth", options).await?;
    let genesis = geth.genesis_file.clone();

    let mut relays = Vec::new();
    for number in 0..2 {
        let place = laboratory.machine(number)?;
        let address = place.address.to_string();
        let nat = format!("extip:{address}");
        let mut options = vec!["--relay.service", "on", "--nat", &nat, "--verbosity", "4"];
        let first = relays.first().map(|relay: &Relay| relay.says("enr")).transpose()?;
        if let Some(first) = &first {
            options.extend(["--bootnodes", first]);
        }
        let options: Vec<_> = options.into_iter().map(str::to_owned).collect();
        relays.push(
            Relay::start_with(&stage.at(&place), &format!("relay-{number}"), &genesis, &options).await?,
        );
    }
    let boot = relays[0].says("enr")?;
    let options = ["--full-node", &geth.enode(), "--bootnodes", &boot, "--verbosity", "4"].map(str::to_owned);
    let begun = Instant::now();
    let home = Relay::start_with(&at_home, "home", &genesis, &options).await?;
    has_places(&home, 2).await?;
    let places = begun.elapsed();
    let record = home
        .until_at("/peers", "a record that names a relay", PATIENCE, |_| {
            let log = home.peer.log();
            let said = log.lines().skip_while(|line| !line.contains(PLACE));
            said.into_iter().any(|line| line.contains(NEW_RECORD))
        })
        .await?;
    let record = record["enr"].as_str().context("a record")?.to_owned();

    let number = geth.number();
    let network = genesis.display().to_string();
    let begun = Instant::now();
    let place = stage.at(&laboratory.host(1, 0)?);
    let arguments = ["light", &record, "watch", "--json", "--verbosity", "4", "--network", &network];
    let light = Peer::start(&place, "light", &stage.workshop.causeway, arguments)?;
    verified_head(&light, number, PATIENCE).await?;
    let after = begun.elapsed();

    // Who has its PeerId alone asks whoever the home registered with.
    let peer = home.says("peerId")?;
    let begun = Instant::now();
    let arguments =
        ["light", &peer, "--bootnodes", &boot, "watch", "--json", "--verbosity", "4", "--network", &network];
    let by_name = Peer::start(&place, "by-name", &stage.workshop.causeway, arguments)?;
    verified_head(&by_name, number, PATIENCE).await?;
    let by_name_after = begun.elapsed();
    drop(by_name);

    // Blocks come while the session becomes direct, and each is seen.
    let feeding = async {
        for _ in 0..BLOCKS {
            geth.import(1).await?;
            sleep(BETWEEN).await;
        }
        anyhow::Ok(())
    };
    let watching = async {
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        for block in 1..=BLOCKS {
            verified_head(&light, number + block, PATIENCE).await?;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        anyhow::Ok((direct(&light, PATIENCE).await?, longest))
    };
    let ((), (transport, gap)) = try_join(feeding, watching).await?;
    home.stop().await?;
    for relay in relays {
        relay.stop().await?;
    }
    Ok(format!(
        "the home found two relays and had places there after {:.1} s; a head after {} ms by its record, after {} ms by its PeerId; direct over {transport}, \
         longest time between two of {BLOCKS} heads {} ms",
        places.as_secs_f64(),
        after.as_millis(),
        by_name_after.as_millis(),
        gap.as_millis()
    ))
}
