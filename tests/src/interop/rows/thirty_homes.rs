//! Thirty relays behind ten routers know nothing but one bootnode: they find each other, full nodes and places, and a
//! light peer from elsewhere reads through each. Then the bootnode dies.
//!
//! In public there are only full nodes beside it, which they find, too. Once it is dead, places are kept by those at
//! home whose routers let others in.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context, bail};
use causeway_records::Record;
use futures::future::{try_join, try_join_all};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    household::{direct, verified_head},
    laboratory::{Home, Laboratory, Nat, Plan},
    process::Peer,
    relay::Relay,
};

/// The routers of the relays at home.
const ROUTERS: [Nat; 10] = [
    Nat::Home,
    Nat::FullCone,
    Nat::Symmetric,
    Nat::Home,
    Nat::AddressRestricted,
    Nat::FullCone,
    Nat::Rejecting,
    Nat::Home,
    Nat::Symmetric,
    Nat::FullCone,
];

/// Relays behind each of them.
const HOSTS: u8 = 3;

/// Full nodes in public; the bootnode is told the first.
const FULL_NODES: u8 = 5;

/// Who knows so many other relays has found the others.
const ACQUAINTANCES: usize = 10;

/// Started at a time; visited at a time.
const AT_ONCE: usize = 5;

/// So long it may take until all of them are found and read through, and once more without the bootnode.
const LIMIT: Duration = Duration::from_secs(140);

/// Between two looks at a relay.
const LOOK: Duration = Duration::from_secs(2);

/// So long a light peer tries to come to a relay by one record of it.
const VISIT: Duration = Duration::from_secs(15);

/// So long a direct connection is waited for.
const PUNCHING: Duration = Duration::from_secs(3);

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    let home = |nat: &Nat| Home { nat: *nat, hosts: HOSTS };
    let visitors = Home { nat: Nat::Home, hosts: 1 };
    let homes: Vec<Home> = ROUTERS.iter().map(home).chain([visitors]).collect();
    let laboratory = Laboratory::build(&stage, Plan { machines: FULL_NODES + 2, homes }).await?;
    let machine = |number| laboratory.machine(number).map(|place| stage.at(&place));

    let options = Options { hold: 1, ..Options::default() };
    let first = Geth::start_finding(&machine(1)?, "geth-1", options, &[]).await?;
    let genesis = first.genesis_file.clone();
    let mut bootnode = start_bootnode(&machine(0)?, &first).await?;
    let boot = bootnode.says("enr")?;
    let mut geths = vec![first];
    for number in 2..=FULL_NODES {
        let (stage, name) = (machine(number)?, format!("geth-{number}"));
        geths.push(Geth::start_finding(&stage, &name, options, std::slice::from_ref(&boot)).await?);
    }
    let head = geths[0].number();

    let begun = Instant::now();
    let crowd = Semaphore::new(AT_ONCE);
    let mut places = Vec::new();
    for home in 0..u8::try_from(ROUTERS.len())? {
        for host in 0..HOSTS {
            places.push(laboratory.host(home, host)?);
        }
    }
    let mut nodes = try_join_all(places.iter().map(async |place| {
        let _turn = crowd.acquire().await?;
        start(&stage.at(place), &place.name, &genesis, &boot).await
    }))
    .await?;
    let started = begun.elapsed();

    let visitors = [machine(FULL_NODES + 1)?, stage.at(&laboratory.host(u8::try_from(ROUTERS.len())?, 0)?)];
    let village = Village { visitors: &visitors, genesis: &genesis, nodes: &nodes };
    let (acquainted, visits) =
        try_join(village.acquainted(begun), village.visit_all("before", head, begun)).await?;
    let before = tell(&visits);

    bootnode.peer.kill().await?;
    for geth in &mut geths {
        geth.import(1).await?;
    }
    let visits = village.visit_all("alone", head + 1, Instant::now()).await?;
    let after = tell(&visits);
    let (known, keepers) = (village.known().await?, village.keepers().await?);

    // It starts with the same bootnode, which is dead.
    let name = nodes[0].peer.name.clone();
    nodes.remove(0).stop().await?;
    let begun = Instant::now();
    nodes.insert(0, start(&stage.at(&places[0]), &name, &genesis, &boot).await?);
    let village = Village { visitors: &visitors, genesis: &genesis, nodes: &nodes[..1] };
    let again = tell(&village.visit_all("again", head + 1, begun).await?);
    let count = nodes.len();
    try_join_all(nodes.into_iter().map(Relay::stop)).await?;
    Ok(format!(
        "{count} relays behind {} routers, started within {:.0} s: each knew {ACQUAINTANCES} others after {:.0} s, in the \
         end {} to {}\n    with the bootnode: {before}\n    without it: {after}; {} homes kept places for the others\n    \
         one that came back then: {again}",
        ROUTERS.len(),
        started.as_secs_f64(),
        acquainted.as_secs_f64(),
        known.iter().min().unwrap_or(&0),
        known.iter().max().unwrap_or(&0),
        keepers.len(),
    ))
}

async fn start_bootnode(stage: &Stage, geth: &Geth) -> anyhow::Result<Relay> {
    let nat = format!("extip:{}", stage.address());
    let enode = geth.enode();
    let options = ["--relay.service", "on", "--nat", &nat, "--full-node", &enode, "--verbosity", "4"]
        .map(str::to_owned);
    Relay::start_with(stage, "bootnode", &geth.genesis_file, &options).await
}

/// A relay at home.
async fn start(stage: &Stage, name: &str, genesis: &Path, boot: &str) -> anyhow::Result<Relay> {
    let options = ["--bootnodes", boot, "--cache", "8", "--verbosity", "4"].map(str::to_owned);
    Relay::start_with(stage, name, genesis, &options).await
}

/// The relays at home, and whence they are visited.
struct Village<'a> {
    visitors: &'a [Stage],
    genesis: &'a Path,
    nodes: &'a [Relay],
}

/// When a light peer had a head from a relay, and over which transport it was direct with it, if it was.
struct Visit {
    after: Duration,
    head: Duration,
    attempts: u32,
    direct: Option<String>,
}

impl Village<'_> {
    /// Waits until each knows enough of the others.
    async fn acquainted(&self, begun: Instant) -> anyhow::Result<Duration> {
        let wait = async {
            while self.known().await?.into_iter().any(|known| known < ACQUAINTANCES) {
                sleep(LOOK).await;
            }
            anyhow::Ok(begun.elapsed())
        };
        match timeout(LIMIT, wait).await {
            Ok(done) => done,
            Err(_) => bail!("the relays know {:?} others", self.known().await?),
        }
    }

    /// How many of the others each knows.
    async fn known(&self) -> anyhow::Result<Vec<usize>> {
        try_join_all(self.nodes.iter().map(async |node| {
            let others = self.nodes.iter().filter(|other| other.peer.name != node.peer.name);
            let keys: BTreeSet<String> = others.map(key).collect::<anyhow::Result<_>>()?;
            let peers = node.peers().await?;
            let peers = peers["peers"].as_array().context("peers")?.iter();
            Ok(peers.filter(|peer| peer["nodeKey"].as_str().is_some_and(|key| keys.contains(key))).count())
        }))
        .await
    }

    /// Who keeps places for them.
    async fn keepers(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut keepers = BTreeSet::new();
        for node in self.nodes {
            let status = node.status().await?;
            let places = status["reachability"]["reservations"].as_array().context("reservations")?.iter();
            keepers.extend(places.filter_map(|place| place["relay"].as_str().map(str::to_owned)));
        }
        Ok(keepers)
    }

    /// Reads this head through each, by its record of then.
    async fn visit_all(&self, when: &str, head: u64, begun: Instant) -> anyhow::Result<Vec<Visit>> {
        let crowd = Semaphore::new(AT_ONCE);
        try_join_all(self.nodes.iter().zip(self.visitors.iter().cycle()).map(async |(node, visitor)| {
            let visit = self.visit(visitor, node, when, head, begun, &crowd);
            match timeout(LIMIT.saturating_sub(begun.elapsed()), visit).await {
                Ok(visit) => visit,
                Err(_) => {
                    let (status, peers) = (node.status().await?, node.peers().await?);
                    bail!("{} is not reached: {status} {peers}", node.peer.name)
                }
            }
        }))
        .await
    }

    async fn visit(
        &self,
        visitor: &Stage,
        node: &Relay,
        when: &str,
        head: u64,
        begun: Instant,
        crowd: &Semaphore,
    ) -> anyhow::Result<Visit> {
        for attempts in 1.. {
            let record = reachable(node, head).await?;
            let _turn = crowd.acquire().await?;
            let name = format!("light-{when}-{}-{attempts}", node.peer.name);
            let network = self.genesis.display().to_string();
            let arguments = ["light", &record, "watch", "--json", "--verbosity", "4", "--network", &network];
            let started = Instant::now();
            let light = Peer::start(visitor, &name, &visitor.workshop.causeway, arguments)?;
            if verified_head(&light, head, VISIT).await.is_ok() {
                let (after, head) = (begun.elapsed(), started.elapsed());
                return Ok(Visit { after, head, attempts, direct: direct(&light, PUNCHING).await.ok() });
            }
        }
        unreachable!("it is tried until there is no time left")
    }
}

/// Waits until a relay has this head, and its record says how to come to it; that record.
async fn reachable(node: &Relay, head: u64) -> anyhow::Result<String> {
    loop {
        let status = node.status().await?;
        if status["head"]["number"].as_u64().is_some_and(|number| number >= head) {
            let peers = node.peers().await?;
            let text = peers["enr"].as_str().context("a record")?;
            let record: Record = text.parse().ok().context("a record that can be read")?;
            let direct = status["reachability"]["state"] == "public";
            if record.libp2p_addrs().iter().any(|address| direct || address.relay().is_some()) {
                return Ok(text.to_owned());
            }
        }
        sleep(LOOK).await;
    }
}

fn key(node: &Relay) -> anyhow::Result<String> {
    let enode = node.says("enode")?;
    let key = enode.strip_prefix("enode://").and_then(|rest| rest.split('@').next());
    Ok(key.context("the enode has a key")?.to_owned())
}

fn tell(visits: &[Visit]) -> String {
    let longest = |of: fn(&Visit) -> Duration| visits.iter().map(of).max().unwrap_or_default();
    let direct = visits.iter().filter(|visit| visit.direct.is_some()).count();
    let again = visits.iter().filter(|visit| visit.attempts > 1).count();
    format!(
        "{} light peers had a verified head, the last after {:.0} s, at most {} ms after its start ({again} by a later \
         record), {direct} directly and {} relayed",
        visits.len(),
        longest(|visit| visit.after).as_secs_f64(),
        longest(|visit| visit.head).as_millis(),
        visits.len() - direct,
    )
}
