//! A relay in public under clients that renew without pause, a flood of circuits, and requests to dial private
//! addresses, while light peers read through it.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::{try_join, try_join_all};
use tokio::time::{Instant, sleep};

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    household::{behind, start_home, start_relay, verified_head},
    laboratory::{Laboratory, Nat},
    process::{PATIENCE, Peer},
    relay::Way,
};

/// How long it lasts.
const LENGTH: Duration = Duration::from_secs(60);

/// Blocks that come meanwhile.
const BLOCKS: u64 = 100;

/// Longest time between two heads that a light peer may have, on a machine that also has to make the storm.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a relay may grow by, KiB.
const MEMORY: u64 = 192 * 1024;

/// Addresses that nobody may be talked into dialing.
const PRIVATE: [&str; 5] = [
    "/ip4/10.1.2.3/udp/6666/quic-v1",
    "/ip4/192.168.1.10/tcp/6666",
    "/ip4/169.254.1.1/tcp/6666",
    "/ip4/100.64.0.1/tcp/6666",
    "/ip4/127.0.0.1/tcp/6666",
];

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    // Who reads is never reached directly, so that all of it goes through the relay.
    let nats = [Nat::Home, Nat::Symmetric, Nat::Home, Nat::Home, Nat::Home, Nat::Home, Nat::Home];
    let laboratory = Laboratory::simple(&stage, 1, &nats).await?;
    let at_home = stage.at(&laboratory.host(0, 0)?);
    let mut geth = Geth::start(&at_home, "geth", Options { hold: BLOCKS, ..Options::default() }).await?;
    let machine = laboratory.machine(0)?;
    let relay = start_relay(&stage, "relay", &machine, &geth.genesis_file).await?;
    let home = start_home(&at_home, "home", &geth, &[relay.address(Way::Tcp)?], &[]).await?;
    let (number, genesis) = (geth.number(), geth.genesis_file.display().to_string());
    let readers = try_join_all((0..3).map(async |reader| {
        let address = behind(&relay.address(Way::Tcp)?, &home)?;
        let arguments = ["light", &address, "watch", "--json", "--network", &genesis];
        let place = stage.at(&laboratory.host(1, 0)?);
        let light = Peer::start(&place, &format!("light-{reader}"), &stage.workshop.causeway, arguments)?;
        verified_head(&light, number, PATIENCE).await?;
        anyhow::Ok(light)
    }))
    .await?;
    let before = relay.peer.memory("VmRSS")?;

    let tcp = relay.address(Way::Tcp)?;
    let time = format!("{}s", LENGTH.as_secs());
    let go = |place: u8, name: &str, arguments: Vec<String>| {
        Peer::start(&stage.at(&laboratory.host(place, 0)?), name, &stage.workshop.go_libp2p, arguments)
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut storm = Vec::new();
    for place in 2..5 {
        let renew = ["renew", "-count", "7", "-every", "1s", "-time", &time, &tcp];
        storm.push((go(place, &format!("renew-{place}"), words(&renew))?, "renewed"));
    }
    let flood = ["flood", "-time", &time, &behind(&tcp, &home)?];
    storm.push((go(5, "flood", words(&flood))?, "flooded"));
    let mut talk = words(&["talk-into", "-seconds", &LENGTH.as_secs().to_string()]);
    talk.extend(PRIVATE.iter().flat_map(|address| words(&["-dial", address])));
    talk.push(tcp.clone());
    storm.push((go(6, "talk-into", talk)?, "answers"));

    let feeding = async {
        for _ in 0..BLOCKS {
            geth.import(1).await?;
            sleep(LENGTH / u32::try_from(BLOCKS)?).await;
        }
        anyhow::Ok(())
    };
    let reading = try_join_all(readers.iter().map(async |light| {
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        for block in 1..=BLOCKS {
            verified_head(light, number + block, PATIENCE).await.with_context(|| light.name.clone())?;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        anyhow::Ok(longest)
    }));
    let ((), pauses) = try_join(feeding, reading).await?;
    let mut notes = Vec::new();
    for (peer, event) in &storm {
        let said = peer.event(event, PATIENCE).await?;
        // Whoever is talked into dialing answers OK, whatever came of the dial.
        let dialed =
            said["answers"].as_object().is_some_and(|all| all.keys().any(|key| key.starts_with("OK/")));
        ensure!(!dialed, "a private address was dialed: {said}");
        notes.push(format!("{}: {}", peer.name, said["answers"]));
    }
    let longest = pauses.into_iter().max().unwrap_or_default();
    ensure!(longest < LONGEST_PAUSE, "a light peer had no head for {longest:?}");
    let private = machine.private_packets().await?;
    ensure!(private == 0, "{private} packets to private addresses");
    let (peak, after) = (relay.peer.memory("VmHWM")?, relay.peer.memory("VmRSS")?);
    ensure!(peak.saturating_sub(before) < MEMORY, "memory grew from {before} to {peak} KiB");
    let restarts = relay.status().await?["libp2pRestarts"].clone();
    ensure!(restarts == 0, "the relay's host was built anew {restarts} times");
    home.stop().await?;
    relay.stop().await?;
    Ok(format!(
        "{}; no packet to a private address; memory {}/{}/{} MiB before/peak/after; 3 light peers had each of \
         {BLOCKS} heads, longest pause {:.1} s",
        notes.join("; "),
        before >> 10,
        peak >> 10,
        after >> 10,
        longest.as_secs_f64()
    ))
}
