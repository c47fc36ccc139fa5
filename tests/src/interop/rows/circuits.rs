//! Programs of others at our relay, and we at theirs: reservations, and sessions through circuits.

use anyhow::{Context, ensure};
use futures::future::{try_join, try_join_all};
use serde_json::Value;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    household::{behind, start_home, start_relay, verified_head},
    laboratory::{Laboratory, Nat, Place},
    light,
    process::{PATIENCE, Peer},
    relay::{Relay, Way},
};

/// What go-libp2p's relay lets through by default.
const GO_DEFAULT: [&str; 0] = [];

/// Enough for a session of any length.
const GO_LARGE: [&str; 4] = ["-bytes", "33554432", "-time", "2h"];

/// A relay of ours in public, and a home behind it.
struct House {
    laboratory: Laboratory,
    geth: Geth,
    relay: Relay,
    home: Relay,
}

impl House {
    async fn start(stage: &Stage, way: Way) -> anyhow::Result<Self> {
        let laboratory = Laboratory::simple(stage, 2, &[Nat::Home; 4]).await?;
        let at_home = stage.at(&laboratory.host(0, 0)?);
        let geth = Geth::start(&at_home, "geth", Options { hold: 1, ..Options::default() }).await?;
        let relay = start_relay(stage, "relay", &laboratory.machine(0)?, &geth.genesis_file).await?;
        let home = start_home(&at_home, "home", &geth, &[relay.address(way)?], &[]).await?;
        Ok(Self { laboratory, geth, relay, home })
    }

    /// Nothing of it broke.
    async fn stop(self) -> anyhow::Result<()> {
        self.home.stop().await?;
        let restarts = self.relay.status().await?["libp2pRestarts"].clone();
        ensure!(restarts == 0, "the relay's host was built anew {restarts} times");
        self.relay.stop().await
    }
}

/// What another program behind our relay says of its reservation, and that a visitor comes through.
async fn visited(stage: &Stage, visitor: &Place, name: &str, behind: &Peer) -> anyhow::Result<Value> {
    let reserved = behind.event("reserved", PATIENCE).await?;
    let address = reserved["address"].as_str().context("it has an address")?.to_owned();
    let arguments = ["visit".to_owned(), address];
    let visitor = Peer::start(&stage.at(visitor), name, &stage.workshop.go_libp2p, arguments)?;
    let visit = visitor.event("visited", PATIENCE).await?;
    ensure!(visit["relayed"] == true, "there is a connection without a relay: {visit}");
    Ok(reserved)
}

/// js-libp2p holds a reservation at our relay, and a LES session through it with a home.
pub(super) async fn js(stage: Stage) -> anyhow::Result<String> {
    let mut house = House::start(&stage, Way::Tcp).await?;
    let ways = [Way::Tcp, Way::WebSocket, Way::Quic];
    let path = |file: &str| stage.workshop.libp2p_js.join(file).display().to_string();
    let script = ["--experimental-websocket", "--import", &path("polyfill.mjs"), &path("behind.mjs")];
    let script = script.map(str::to_owned);
    let (sheltered, visitor) = (house.laboratory.host(1, 0)?, house.laboratory.host(2, 0)?);

    let reserving = try_join_all(ways.map(async |way| {
        let arguments = script.clone().into_iter().chain([house.relay.address(way)?]);
        let name = format!("js-behind-{}", way.name());
        let js = Peer::start(&stage.at(&sheltered), &name, "node".as_ref(), arguments)?;
        visited(&stage, &visitor, &format!("go-visits-{}", way.name()), &js).await.map(drop)
    }));
    let addresses = ways
        .into_iter()
        .map(|way| behind(&house.relay.address(way)?, &house.home))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let reading = async {
        let place = stage.at(&house.laboratory.host(3, 0)?);
        let options = ["--announces", "1"].map(str::to_owned);
        let reader = light::js(&place, "js-reads", &house.geth, &addresses, &options)?;
        let checked = light::checked(&reader, &addresses).await?;
        Ok((reader, checked))
    };
    let (_, (mut reader, checked)) = try_join(reserving, reading).await?;
    ensure!(checked.iter().all(|line| line["limited"] == true), "a connection is not one of a relay");
    house.geth.import(1).await?;
    ensure!(reader.end(PATIENCE).await?.success(), "a new head did not come through a circuit");
    house.stop().await?;
    let millis = checked.iter().map(|line| line["millis"].to_string()).collect::<Vec<_>>().join(", ");
    Ok(format!(
        "a reservation, and an echo with go-libp2p through it, over tcp, ws, quic; every kind of answer and a new head \
         from a home through our relay, dialed over tcp, ws, quic: {millis} ms"
    ))
}

/// go-libp2p holds a reservation at our relay, and a LES session through it with a home; and a home behind go-libp2p's
/// relay service is reached.
pub(super) async fn go(stage: Stage) -> anyhow::Result<String> {
    let mut house = House::start(&stage, Way::Quic).await?;
    let ways = Way::LIBP2P;
    let (sheltered, visitor) = (house.laboratory.host(1, 0)?, house.laboratory.host(2, 0)?);

    let reserving = try_join_all(ways.map(async |way| {
        let arguments = ["behind".to_owned(), house.relay.address(way)?];
        let name = format!("go-behind-{}", way.name());
        let go = Peer::start(&stage.at(&sheltered), &name, &stage.workshop.go_libp2p, arguments)?;
        visited(&stage, &visitor, &format!("go-visits-{}", way.name()), &go).await
    }));
    let reading = go_reads(&stage, &house, &ways);
    let (reserved, millis) = try_join(reserving, reading).await?;

    let sheltering = try_join_all([&GO_DEFAULT[..], &GO_LARGE].map(async |limits| {
        let place = house.laboratory.machine(1)?;
        let listen = format!("/ip4/{}/tcp/0", place.address);
        let arguments = ["relay"].into_iter().chain(limits.iter().copied()).chain([listen.as_str()]);
        let name = format!("go-relay-{}", limits.len());
        let relay = Peer::start(&stage.at(&place), &name, &stage.workshop.go_libp2p, arguments)?;
        let address = relay.ready().await?["multiaddrs"][0].as_str().context("go listens")?.to_owned();
        anyhow::Ok((relay, address))
    }));
    let theirs = sheltering.await?;
    let addresses: Vec<_> = theirs.iter().map(|(_, address)| address.clone()).collect();
    let at_home = stage.at(&house.laboratory.host(0, 0)?);
    let home = start_home(&at_home, "home-behind-go", &house.geth, &addresses, &[]).await?;
    let lights = addresses.iter().enumerate().map(|(number, address)| {
        let place = house.laboratory.host(3, 0)?;
        let genesis = house.geth.genesis_file.display().to_string();
        let address = behind(address, &home)?;
        let arguments = ["light", &address, "watch", "--json", "--network", &genesis];
        Peer::start(&stage.at(&place), &format!("light-{number}"), &stage.workshop.causeway, arguments)
    });
    let lights = lights.collect::<anyhow::Result<Vec<_>>>()?;
    let number = house.geth.number();
    try_join_all(lights.iter().map(|light| verified_head(light, number, PATIENCE))).await?;
    house.geth.import(1).await?;
    try_join_all(lights.iter().map(|light| verified_head(light, number + 1, PATIENCE))).await?;
    home.stop().await?;
    house.stop().await?;

    let terms = &reserved[0];
    Ok(format!(
        "a reservation for {} s, circuits of {} MiB and {} s, and an echo through it, over tcp, ws, quic; headers and \
         a proof from a home through our relay, dialed over tcp, ws, quic: {millis} ms; a home behind go-libp2p's relay \
         service, at its default limits and at larger ones, gave a head and the next",
        terms["seconds"],
        terms["limitBytes"].as_u64().unwrap_or_default() >> 20,
        terms["limitSeconds"],
    ))
}

/// go-libp2p as a light peer of the home, through our relay.
async fn go_reads(stage: &Stage, house: &House, ways: &[Way]) -> anyhow::Result<String> {
    let House { geth, .. } = house;
    let mut arguments = Vec::new();
    for (option, value) in [
        ("-genesis", geth.genesis_file.display().to_string()),
        ("-genesis-hash", geth.genesis_hash()),
        ("-head", geth.head()),
        ("-number", geth.number().to_string()),
        ("-account", geth.bank()),
    ] {
        arguments.extend([option.to_owned(), value]);
    }
    let addresses = ways
        .iter()
        .map(|way| behind(&house.relay.address(*way)?, &house.home))
        .collect::<anyhow::Result<Vec<_>>>()?;
    arguments.extend_from_slice(&addresses);
    let place = stage.at(&house.laboratory.host(3, 0)?);
    let reader = Peer::start(&place, "go-reads", &stage.workshop.go_libp2p, arguments)?;
    let checked = light::checked(&reader, &addresses).await?;
    ensure!(checked.iter().all(|line| line["limited"] == true), "a connection is not one of a relay");
    Ok(checked.iter().map(|line| line["millis"].to_string()).collect::<Vec<_>>().join(", "))
}
