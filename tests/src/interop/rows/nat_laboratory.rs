//! Each kind of router does to plain sockets what its name says, and two of them meet or do not, as known.

use std::{
    net::SocketAddrV4,
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail, ensure};
use futures::future::{try_join, try_join_all};
use tokio::time::sleep;

use crate::interop::{
    Stage,
    laboratory::{Laboratory, Nat, Over, Probe},
};

/// Where the mirrors are.
const MIRROR: u16 = 7000;

/// So long a knock is waited for, and two sockets try to meet. A TCP connection that is dropped at first is tried
/// again after one second.
const MEETING: Duration = Duration::from_millis(2500);

/// Probes agree on a moment so far ahead.
const SOON: Duration = Duration::from_millis(300);

/// Two homes, how much later the second one begins, and whether they meet.
struct Pair {
    first: Nat,
    second: Nat,
    over: Over,
    late: Duration,
    meet: bool,
}

impl Pair {
    const fn new(first: Nat, second: Nat, over: Over, meet: bool) -> Self {
        Self { first, second, over, late: Duration::ZERO, meet }
    }

    const fn late(self, millis: u64) -> Self {
        Self { late: Duration::from_millis(millis), ..self }
    }
}

/// What is known of routers on Linux.
const PAIRS: [Pair; 17] = [
    Pair::new(Nat::Home, Nat::Home, Over::Udp, true),
    Pair::new(Nat::Home, Nat::Home, Over::Tcp, true),
    Pair::new(Nat::Home, Nat::Home, Over::Udp, true).late(400),
    Pair::new(Nat::Home, Nat::Home, Over::Tcp, true).late(400),
    Pair::new(Nat::Home, Nat::Symmetric, Over::Udp, false),
    Pair::new(Nat::Home, Nat::Symmetric, Over::Tcp, false),
    Pair::new(Nat::Symmetric, Nat::Symmetric, Over::Udp, false),
    Pair::new(Nat::Symmetric, Nat::Symmetric, Over::Tcp, false),
    Pair::new(Nat::FullCone, Nat::Symmetric, Over::Udp, true),
    Pair::new(Nat::FullCone, Nat::Symmetric, Over::Tcp, true),
    Pair::new(Nat::AddressRestricted, Nat::Symmetric, Over::Udp, true),
    Pair::new(Nat::AddressRestricted, Nat::Symmetric, Over::Tcp, true),
    Pair::new(Nat::Rejecting, Nat::Home, Over::Udp, true).late(400),
    Pair::new(Nat::Rejecting, Nat::Home, Over::Tcp, true).late(400),
    // The one who comes too early is told to go.
    Pair::new(Nat::Home, Nat::Rejecting, Over::Tcp, false).late(400),
    Pair::new(Nat::UdpBlocked, Nat::Home, Over::Udp, false),
    Pair::new(Nat::UdpBlocked, Nat::Home, Over::Tcp, true),
];

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    // Two homes of each kind: a kind meets itself, too.
    let nats: Vec<_> = Nat::ALL.iter().chain(&Nat::ALL).copied().collect();
    let laboratory = Laboratory::simple(&stage, 3, &nats).await?;
    let (first, second) = (laboratory.machine(0)?, laboratory.machine(1)?);
    let stranger = laboratory.machine(2)?;
    let places = [&first, &second, &stranger];
    let machines = try_join_all(places.map(|place| Probe::start(&stage, place))).await?;
    try_join_all(machines[..2].iter().map(|machine| machine.mirror(MIRROR))).await?;
    machines[0].mirror(MIRROR + 1).await?;
    let homes: Vec<_> = (0..12).map(|home| laboratory.host(home, 0)).collect::<anyhow::Result<_>>()?;
    let hosts = try_join_all(homes.iter().map(|place| Probe::start(&stage, place))).await?;
    let mirrors = [(&first, MIRROR), (&first, MIRROR + 1), (&second, MIRROR)]
        .map(|(place, port)| SocketAddrV4::new(place.address, port));

    let kinds = try_join_all(Nat::ALL.iter().enumerate().map(async |(home, nat)| {
        is_as_named(*nat, &hosts[home], &machines, &mirrors).await.with_context(|| nat.name())
    }));
    let punches = try_join_all((0..).zip(&PAIRS).map(async |(number, pair)| {
        let index = |nat: Nat| Nat::ALL.iter().position(|one| *one == nat).context("a kind");
        let (first, second) = (index(pair.first)?, Nat::ALL.len() + index(pair.second)?);
        let what = || format!("{} and {} over {}", pair.first.name(), pair.second.name(), pair.over.name());
        meet(pair, 4000 + number, [&hosts[first], &hosts[second]], &mirrors).await.with_context(what)
    }));
    let (_, punches) = try_join(kinds, punches).await?;

    forgets(&laboratory, &hosts[0], &machines, &mirrors).await?;
    ensure!(stranger.private_packets().await? == 0, "it sends packets to private addresses");
    machines[2].knock(Over::Udp, 3400, "10.1.2.3:3400".parse()?).await?;
    ensure!(stranger.private_packets().await? == 1, "a packet to a private address is not counted");
    let notes: Vec<_> = PAIRS.iter().zip(punches).map(|(pair, took)| describe(pair, took)).collect();
    Ok(format!("{} kinds as named; {}", Nat::ALL.len(), notes.join(", ")))
}

fn describe(pair: &Pair, took: Option<Duration>) -> String {
    let late = if pair.late.is_zero() { "" } else { ", late" };
    let took = took.map_or_else(|| "no".to_owned(), |took| format!("{} ms", took.as_millis()));
    format!("{} × {} {}{late}: {took}", pair.first.name(), pair.second.name(), pair.over.name())
}

/// Whether a router gives one socket one address, and whom it lets in.
async fn is_as_named(
    nat: Nat,
    host: &Probe,
    machines: &[Probe],
    mirrors: &[SocketAddrV4; 3],
) -> anyhow::Result<()> {
    for (over, port) in [(Over::Udp, 3001), (Over::Tcp, 3002)] {
        let seen = host.seen(over, port, mirrors).await?;
        if nat == Nat::UdpBlocked && over == Over::Udp {
            ensure!(seen.iter().all(Option::is_none), "UDP came out: {seen:?}");
            continue;
        }
        let [Some(one), Some(other_port), Some(other_machine)] = seen[..] else {
            bail!("not every mirror saw it over {}: {seen:?}", over.name());
        };
        let equal = one == other_port && one == other_machine;
        ensure!(equal != (nat == Nat::Symmetric), "seen over {} as {seen:?}", over.name());

        // The first machine was written to, at its mirrors' ports, not at this one; the last one never.
        let fresh = host.seen(over, port + 100, &mirrors[..1]).await?[0].context("seen once more")?;
        let hear = host.hear(over, port + 100, MEETING);
        let knock = async {
            sleep(SOON).await;
            try_join(machines[0].knock(over, 5000 + port, fresh), machines[2].knock(over, 5000 + port, fresh))
                .await
        };
        let (heard, answers) = try_join(hear, knock).await?;
        let wanted = match nat {
            Nat::FullCone => 2,
            Nat::AddressRestricted => 1,
            Nat::Home | Nat::Symmetric | Nat::Rejecting | Nat::UdpBlocked => 0,
        };
        ensure!(heard.len() == wanted, "heard over {} from {heard:?}", over.name());
        let unasked = if nat == Nat::Rejecting { "refused" } else { "silence" };
        let answer_fits = match wanted {
            2 => answers.0 == "open" && answers.1 == "open",
            1 => answers.0 == "open" && answers.1 == "silence",
            _ => answers.0 == unasked && answers.1 == unasked,
        };
        ensure!(over == Over::Udp || answer_fits, "knocking over TCP came to {answers:?}");
    }
    Ok(())
}

/// Lets two hosts try to meet at the addresses that a mirror saw; the longer of their times if they met.
async fn meet(
    pair: &Pair,
    port: u16,
    [first, second]: [&Probe; 2],
    mirrors: &[SocketAddrV4],
) -> anyhow::Result<Option<Duration>> {
    let mirror = &mirrors[..1];
    let (seen_first, seen_second) =
        try_join(first.seen(pair.over, port, mirror), second.seen(pair.over, port, mirror)).await?;
    let (Some(at_first), Some(at_second)) = (seen_first[0], seen_second[0]) else {
        ensure!(!pair.meet, "one of them is not seen by a mirror");
        return Ok(None);
    };
    let now = SystemTime::now() + SOON;
    let (one, other) = try_join(
        first.punch(pair.over, port, at_second, now, MEETING + pair.late),
        second.punch(pair.over, port, at_first, now + pair.late, MEETING),
    )
    .await?;
    ensure!((one.is_some() && other.is_some()) == pair.meet, "they met after {one:?} and {other:?}");
    Ok(one.max(other).filter(|_| pair.meet))
}

/// A router that starts anew forgets whom its host wrote to; one that is cut off lets nothing through.
async fn forgets(
    laboratory: &Laboratory,
    host: &Probe,
    machines: &[Probe],
    mirrors: &[SocketAddrV4; 3],
) -> anyhow::Result<()> {
    let port = 3300;
    let at = host.seen(Over::Udp, port, &mirrors[..1]).await?[0].context("seen by a mirror")?;
    let knocks = async || {
        let knock = async {
            sleep(SOON).await;
            machines[0].knock(Over::Udp, MIRROR, at).await
        };
        try_join(host.hear(Over::Udp, port, SOON * 3), knock).await.map(|(heard, _)| heard.len())
    };
    ensure!(knocks().await? == 1, "who was written to is not let in");
    laboratory.reboot(0).await?;
    ensure!(knocks().await? == 0, "the router remembers after it started anew");
    laboratory.cut(0).await?;
    ensure!(host.seen(Over::Udp, port, &mirrors[..1]).await?[0].is_none(), "a way out where it is cut");
    laboratory.restore(0).await?;
    let again = host.seen(Over::Udp, port, &mirrors[..1]).await?[0];
    ensure!(again == Some(at), "after that it is seen as {again:?}, not {at}");
    Ok(())
}
