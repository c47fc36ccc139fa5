//! The page in a headless Chromium: a light peer in a tab, over each transport that a browser has.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::stacks;
use crate::interop::{
    Stage,
    geth::{Geth, Options},
    household::{behind, start_home, start_relay},
    laboratory::{Laboratory, Nat},
    process::{PATIENCE, Peer},
    relay::{self, Relay, Way},
};

/// Cold loads of which the median is told.
const LOADS: usize = 10;

/// How long they may take in all, on a machine that builds something beside.
const LOADING: std::time::Duration = std::time::Duration::from_secs(90);

/// What the relay in the middle lies about, and what the page then says that it fails at.
const LIES: [(&str, &str); 5] = [
    ("header", "has the hash"),
    ("balance", "the proof of account"),
    ("code", "code against the hash in its account"),
    ("body", "transactions against their root"),
    ("head", "is signed by a signer of this chain, not by"),
];

/// `causeway dev` with the page that it serves.
struct House {
    dev: Peer,
    ready: Value,
    /// As it is printed.
    link: String,
    genesis: std::path::PathBuf,
}

impl House {
    async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let genesis = stage.dir.join("genesis.json");
        let arguments = ["dev", "--ports", "0", "--genesis-out"].map(str::to_owned);
        let arguments = arguments.into_iter().chain([genesis.display().to_string()]);
        let dev = Peer::start(stage, "dev", &stage.workshop.causeway, arguments)?;
        let ready = |line: &Value| (line["ready"] == true).then(|| line.clone());
        let ready = dev.wait("the ready line", PATIENCE, ready).await?;
        let link = |line: &Value| Some(line.as_str()?.trim().strip_prefix("in a browser: ")?.to_owned());
        let link = dev.wait("the link to the page", PATIENCE * 2, link).await?;
        Ok(Self { dev, ready, link, genesis })
    }

    /// An address that has this in it.
    fn address(&self, part: &str) -> anyhow::Result<String> {
        let all = self.ready["multiaddrs"].as_array().context("the ready line has multiaddrs")?;
        let found = all.iter().filter_map(Value::as_str).find(|address| address.contains(part));
        Ok(found.with_context(|| format!("no address with {part}"))?.to_owned())
    }

    /// The link, with another address in it.
    fn link_over(&self, address: &str) -> anyhow::Result<String> {
        let (page, rest) = self.link.split_once('#').context("the link has a fragment")?;
        let (_, query) = rest.split_once('?').context("the link has a query")?;
        Ok(format!("{page}#{address}?{query}"))
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.dev.signal("TERM").await?;
        let status = self.dev.end(PATIENCE).await?;
        ensure!(status.success(), "causeway dev ended with {status}");
        Ok(())
    }
}

/// Drives Chromium through some links.
fn drive(stage: &Stage, name: &str, options: &[&str], links: &[String]) -> anyhow::Result<Peer> {
    let script = stage.workshop.browser.join("drive.mjs").display().to_string();
    let arguments = [script].into_iter().chain(options.iter().map(|&option| option.to_owned()));
    Peer::start(stage, name, "node".as_ref(), arguments.chain(links.iter().cloned()))
}

/// The folder of the page's built files in the repository.
fn built() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/page").display().to_string()
}

/// Waits for what the page says of a link; everything of it must have been verified.
async fn verified(browser: &Peer, link: &str) -> anyhow::Result<Value> {
    let said = shown(browser, link).await?;
    let agent = said["agent"].as_str().unwrap_or_default();
    ensure!(agent.starts_with("causeway/"), "identify says `{agent}`");
    Ok(said)
}

/// The same, whoever the page says answers.
async fn shown(browser: &Peer, link: &str) -> anyhow::Result<Value> {
    let said = said(browser, link, "verified").await?;
    ensure!(said["sound"] == true, "only partly verified: {}", said["how"]);
    for how in [&said["how"], &said["blockHow"], &said["accounts"][0]["how"], &said["accounts"][1]["how"]] {
        ensure!(how.as_str().is_some_and(|how| how.starts_with("Verified")), "not verified: {said}");
    }
    ensure!(said["rtt"].is_f64() || said["rtt"].is_u64(), "no ping: {said}");
    Ok(said)
}

/// Waits for this event, or for trouble, of a link.
async fn said(browser: &Peer, link: &str, event: &str) -> anyhow::Result<Value> {
    let line = browser
        .wait(&format!("`{event}` of {link}"), LOADING, |line| {
            let ours = line["link"] == link && (line["event"] == event || line["event"] == "trouble");
            ours.then(|| line.clone())
        })
        .await?;
    if line["event"] != event {
        bail!("the page says: {}", line["trouble"]);
    }
    Ok(line)
}

/// The median of a time of every load, in milliseconds.
fn median(said: &Value, time: &str) -> anyhow::Result<f64> {
    let loads = said["loads"].as_array().context("the driver tells of its loads")?;
    let mut times: Vec<_> = loads.iter().filter_map(|load| load[time].as_f64()).collect();
    ensure!(!times.is_empty() && times.len() == loads.len(), "not every load has a time of `{time}`: {said}");
    times.sort_by(f64::total_cmp);
    let half = times.len() / 2;
    Ok(if times.len() % 2 == 1 { times[half] } else { f64::midpoint(times[half - 1], times[half]) })
}

/// The page of `causeway dev` is the one of the sources; over WebTransport and WebSocket it shows what
/// `causeway light` shows, and follows the chain.
pub(super) async fn page(stage: Stage) -> anyhow::Result<String> {
    let build = stage.workshop.browser.join("build.mjs").display().to_string();
    let mut build = Peer::start(&stage, "build", "node".as_ref(), [build, "--check".to_owned(), built()])?;
    let status = build.end(PATIENCE * 2).await?;
    ensure!(status.success(), "the page in node/page is not what tests/peers/browser gives: {}", build.log());

    let house = House::start(&stage).await?;
    ensure!(house.link.contains("/webtransport/"), "the link does not prefer WebTransport: {}", house.link);
    let websocket = house.link_over(&house.address("/ws/")?)?;
    let mut notes = Vec::new();
    for (name, link) in [("WebTransport", house.link.clone()), ("WebSocket", websocket)] {
        let loads = LOADS.to_string();
        let options = ["--loads", &loads, "--heads", "2"];
        let mut browser = drive(&stage, &format!("chromium-{name}"), &options, std::slice::from_ref(&link))?;
        let page = verified(&browser, &link).await.with_context(|| name.to_owned())?;
        ensure!(page["transport"] == name, "dialed over {}, not {name}", page["transport"]);
        compare(&stage, &house, &page).await.with_context(|| name.to_owned())?;
        said(&browser, &link, "head").await.context("a new head")?;
        let status = browser.end(PATIENCE).await?;
        ensure!(status.success(), "the driver ended with {status}");
        let (balance, opened) = (median(&page, "Balance verified")?, median(&page, "opened")?);
        notes.push(format!(
            "{name} {balance:.0} ms from the dial, {opened:.0} ms from the opening of the tab"
        ));
    }
    house.stop().await?;
    Ok(format!("verified balance, p50 of {LOADS} cold loads: {}", notes.join("; ")))
}

/// What the page shows against what `causeway light` reads.
async fn compare(stage: &Stage, house: &House, page: &Value) -> anyhow::Result<()> {
    let address = house.address("/quic-v1/p2p/")?;
    let read = async |command: &[&str]| {
        let light = relay::light(stage, &house.genesis, &address, command, PATIENCE).await?;
        ensure!(light.verified, "causeway light {}: {}", command.join(" "), light.object);
        anyhow::Ok(light.object)
    };
    let shown = page["accounts"].as_array().context("the page shows accounts")?;
    ensure!(shown.len() == 2, "two accounts: {page}");
    for account in shown {
        let name = account["address"].as_str().context("an account has an address")?;
        let truth = read(&["account", name]).await?;
        let wei = truth["balance"].as_str().context("a balance")?;
        let wei = u128::from_str_radix(wei.trim_start_matches("0x"), 16).context("a balance is hex")?;
        ensure!(account["balance"] == wei.to_string(), "balance of {name}: {account}, not {wei}");
        let code = read(&["code", name]).await?;
        let bytes = code["code"].as_str().map_or(0, |code| code.trim_start_matches("0x").len() / 2);
        ensure!(account["codeBytes"] == bytes, "code of {name}: {account}, not {bytes} bytes");
    }
    ensure!(shown[0]["shown"] == "1,000", "the text of the balance is {}", shown[0]["shown"]);
    let header = page["head"].as_str().context("the page shows a head")?;
    let header = read(&["header", header]).await?;
    ensure!(header["hash"] == page["hash"], "the head's hash is {}, not {}", page["hash"], header["hash"]);
    Ok(())
}

/// The page before geth through `causeway run`, over each transport: identify, ping, a verified session, a new head.
pub(super) async fn transports(stage: Stage) -> anyhow::Result<String> {
    let ways = [
        ("WebSocket", Way::WebSocket),
        ("WebSocket over TLS", Way::SecureWebSocket),
        ("WebTransport", Way::WebTransport),
    ];
    let trusted = stage.dir.join("trusted.pem");
    stacks::certify(&stage.dir, &trusted)?;
    let hold = ways.len() as u64;
    let mut geth = Geth::start(&stage, "geth", Options { hold, ..Options::default() }).await?;
    let file = |name: &str| stage.dir.join(name).display().to_string();
    let options = [
        "--no-discovery",
        "--full-node",
        &geth.enode(),
        "--tls.cert",
        &file("cert.pem"),
        "--tls.key",
        &file("key.pem"),
        "--tls.name",
        "localhost",
        "--port.webtransport",
        "0",
    ];
    let relay = Relay::start_with(&stage, "relay", &geth.genesis_file, &options.map(str::to_owned)).await?;
    relay.at_head(geth.number()).await?;
    let (mut head, mut number) = (geth.head(), geth.number());
    let mut notes = Vec::new();
    for (name, way) in ways {
        let link = run_link(&geth, &relay.address(way)?, number, &head)?;
        let trust = trusted.display().to_string();
        let files = built();
        let options = ["--files", &files, "--trust", &trust, "--heads", "1"];
        let mut browser =
            drive(&stage, &format!("chromium-{}", way.name()), &options, std::slice::from_ref(&link))?;
        let page = verified(&browser, &link).await.with_context(|| name.to_owned())?;
        ensure!(page["transport"] == name, "dialed over {}, not {name}", page["transport"]);
        before_geth(&stage, &geth, &relay, &page).await.with_context(|| name.to_owned())?;
        ensure!(page["hash"] == head.as_str(), "the head is {}, not {head}", page["hash"]);
        geth.import(1).await?;
        number += 1;
        (head, _) = geth.new_head(number, &[]).await?;
        let new = said(&browser, &link, "head").await.context("a new head")?;
        ensure!(new["hash"] == head.as_str(), "the new head is {}, not {head}", new["hash"]);
        let status = browser.end(PATIENCE).await?;
        ensure!(status.success(), "the driver ended with {status}");
        notes.push(format!("{} (RTT {} ms)", way.name(), page["rtt"]));
    }
    relay.idle(PATIENCE * 2).await?;
    relay.stop().await?;
    Ok(format!("identify, ping, head, account, code, body, a new head over {}", notes.join(", ")))
}

/// A fragment for the page, with the head as the block that is trusted: geth's test chain has no seal to check.
fn run_link(geth: &Geth, address: &str, number: u64, head: &str) -> anyhow::Result<String> {
    let genesis: Value = serde_json::from_slice(&std::fs::read(&geth.genesis_file)?)?;
    let network = genesis["config"]["chainId"].as_u64().context("the genesis has a chain id")?;
    Ok(format!(
        "#{address}?genesis={}&network={network}&account={}&account={}&checkpoint={number}:{head}",
        geth.genesis_hash(),
        geth.bank(),
        geth.contract()
    ))
}

async fn before_geth(stage: &Stage, geth: &Geth, relay: &Relay, page: &Value) -> anyhow::Result<()> {
    let bank = geth.bank();
    let address = relay.address(Way::Quic)?;
    let light = relay::light(stage, &geth.genesis_file, &address, &["account", &bank], PATIENCE).await?;
    ensure!(light.verified, "causeway light: {}", light.object);
    let shown = &page["accounts"][0];
    for (ours, theirs) in [(&shown["balance"], "balance"), (&shown["nonce"], "nonce")] {
        let truth =
            light.object[theirs].as_str().with_context(|| format!("causeway light has no {theirs}"))?;
        let truth = u128::from_str_radix(truth.trim_start_matches("0x"), 16).context("a number is hex")?;
        ensure!(*ours == truth.to_string(), "{theirs} of the bank: {ours}, not {truth}");
    }
    let bytes = geth.code().trim_start_matches("0x").len() / 2;
    let contract = &page["accounts"][1];
    ensure!(contract["codeBytes"] == bytes, "the contract's code: {contract}, not {bytes} bytes");
    Ok(())
}

/// WebRTC-direct: Chromium and go-libp2p, as the control; then Chromium before `causeway run`, where that listens.
pub(super) async fn webrtc_direct(stage: Stage) -> anyhow::Result<String> {
    let arguments = ["echo", "-listen", "/ip4/127.0.0.1/udp/0/webrtc-direct"];
    let go = Peer::start(&stage, "go", &stage.workshop.go_libp2p, arguments)?;
    let address = go.ready().await?["multiaddrs"][0].as_str().context("go listens")?.to_owned();
    let mut browser = drive(&stage, "chromium-go", &["--echo", "/echo/1"], std::slice::from_ref(&address))?;
    let control = said(&browser, &address, "echoed").await.context("the control, go-libp2p")?;
    browser.end(PATIENCE).await?;
    let time = |line: &Value, name: &str| line[name].as_f64().unwrap_or_default().round();
    let control = format!(
        "go-libp2p as control: connected in {} ms, 8 MiB there and back in {} ms",
        time(&control, "connect"),
        time(&control, "echo")
    );
    let mut geth = Geth::start(&stage, "geth", Options { hold: 1, ..Options::default() }).await?;
    let options = ["--no-discovery", "--full-node", &geth.enode()].map(str::to_owned);
    let relay = Relay::start_with(&stage, "relay", &geth.genesis_file, &options).await?;
    relay.at_head(geth.number()).await?;
    let address = relay.address(Way::WebRtcDirect)?;
    let link = run_link(&geth, &address, geth.number(), &geth.head())?;
    let files = built();
    let options = ["--files", &files, "--heads", "1"];
    let mut browser = drive(&stage, "chromium", &options, std::slice::from_ref(&link))?;
    let page = verified(&browser, &link).await?;
    ensure!(page["transport"] == "WebRTC-direct", "dialed over {}", page["transport"]);
    before_geth(&stage, &geth, &relay, &page).await?;
    geth.import(1).await?;
    let (head, _) = geth.new_head(geth.number() + 1, &[]).await?;
    let new = said(&browser, &link, "head").await.context("a new head")?;
    ensure!(new["hash"] == head.as_str(), "the new head is {}, not {head}", new["hash"]);
    let status = browser.end(PATIENCE).await?;
    ensure!(status.success(), "the driver ended with {status}");
    relay.idle(PATIENCE * 2).await?;
    relay.stop().await?;
    let connected = time(&page["steps"], "Connected") - time(&page["steps"], "libp2p started");
    Ok(format!(
        "identify, ping, head, account, code, body, a new head; connected in {connected} ms, RTT {} ms; {control}",
        page["rtt"]
    ))
}

/// The page before a relay at home, through a relay in public; the page is behind a router itself.
pub(super) async fn circuit(stage: Stage) -> anyhow::Result<String> {
    let ways = [("WebTransport", Way::WebTransport), ("WebSocket", Way::WebSocket)];
    let laboratory = Laboratory::simple(&stage, 1, &[Nat::Home, Nat::Symmetric]).await?;
    let at_home = stage.at(&laboratory.host(0, 0)?);
    let hold = ways.len() as u64;
    let mut geth = Geth::start(&at_home, "geth", Options { hold, ..Options::default() }).await?;
    let public = start_relay(&stage, "relay", &laboratory.machine(0)?, &geth.genesis_file).await?;
    let home = start_home(&at_home, "home", &geth, &[public.address(Way::Quic)?], &[]).await?;
    let (mut head, mut number) = (geth.head(), geth.number());
    let mut notes = Vec::new();
    for (name, way) in ways {
        let link = run_link(&geth, &behind(&public.address(way)?, &home)?, number, &head)?;
        let files = built();
        let options = ["--nameless", "--files", &files, "--heads", "1"];
        let place = stage.at(&laboratory.host(1, 0)?);
        let mut browser =
            drive(&place, &format!("chromium-{}", way.name()), &options, std::slice::from_ref(&link))?;
        let page = shown(&browser, &link).await.with_context(|| name.to_owned())?;
        let transport = format!("{name}, through a relay");
        ensure!(page["transport"] == transport, "dialed over {}, not {name}", page["transport"]);
        ensure!(page["hash"] == head.as_str(), "the head is {}, not {head}", page["hash"]);
        geth.import(1).await?;
        number += 1;
        (head, _) = geth.new_head(number, &[]).await?;
        let new = said(&browser, &link, "head").await.context("a new head")?;
        ensure!(new["hash"] == head.as_str(), "the new head is {}, not {head}", new["hash"]);
        let status = browser.end(PATIENCE).await?;
        ensure!(status.success(), "the driver ended with {status}");
        let after = page["steps"]["Head verified"].as_f64().unwrap_or_default();
        notes.push(format!("{} (head verified after {after:.0} ms, RTT {} ms)", way.name(), page["rtt"]));
    }
    home.stop().await?;
    public.stop().await?;
    Ok(format!("ping, head, account, code, body, a new head through a circuit over {}", notes.join(", ")))
}

/// A relay between the page and `causeway dev` alters one thing: the page says what is false and shows none of it.
pub(super) async fn lied_to(stage: Stage) -> anyhow::Result<String> {
    let house = House::start(&stage).await?;
    let (_, query) = house.link.split_once('?').context("the link has a query")?;
    let of = |name: &str| {
        let part = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        part.with_context(|| format!("the link has {name}")).map(str::to_owned)
    };
    let (genesis, network) = (of("genesis")?, of("network")?);
    let honest = house.address("/ws/")?;
    let path = |file: &str| stage.workshop.browser.join(file).display().to_string();
    let (mut liars, mut links) = (Vec::new(), Vec::new());
    for (lie, _) in LIES {
        let mut arguments = vec!["--experimental-websocket".to_owned(), "--import".to_owned()];
        arguments.extend([path("../libp2p-js/polyfill.mjs"), path("lying-relay.mjs")]);
        for (option, value) in [("--lie", lie), ("--genesis", &genesis), ("--network", &network)] {
            arguments.extend([option.to_owned(), value.to_owned()]);
        }
        arguments.push(honest.clone());
        let liar = Peer::start(&stage, &format!("liar-{lie}"), "node".as_ref(), arguments)?;
        let ready = liar.ready().await?;
        links.push(house.link_over(ready["address"].as_str().context("the liar has an address")?)?);
        liars.push(liar);
    }
    // Another chain than the one that the link names, and nobody at all.
    let other = house.link.replace(&genesis, &format!("0x{}", "12".repeat(32)));
    let port = honest.split('/').nth(4).context("the address has a port")?;
    let nobody = house.link_over(&honest.replacen(&format!("/{port}/"), "/1/", 1))?;
    links.extend([other.clone(), nobody.clone()]);
    let mut browser = drive(&stage, "chromium", &["--expect-failure"], &links)?;
    for ((lie, claim), link) in LIES.into_iter().zip(&links) {
        let page = said(&browser, link, "trouble").await?;
        let trouble = page["trouble"].as_str().unwrap_or_default();
        let told = page["state"] == "failed" && page["status"] == "Verification failed.";
        ensure!(told && trouble.contains(claim), "{lie}: the page says `{}`: {trouble}", page["status"]);
        let accounts = page["accounts"].as_array().map_or(0, Vec::len);
        ensure!(lie == "code" || lie == "body" || accounts == 0, "{lie}: a balance is shown");
    }
    let page = said(&browser, &other, "trouble").await?;
    let trouble = page["trouble"].as_str().unwrap_or_default();
    ensure!(page["state"] == "failed", "another chain: {}: {trouble}", page["state"]);
    let page = said(&browser, &nobody, "trouble").await?;
    let trouble = page["trouble"].as_str().unwrap_or_default();
    ensure!(
        page["state"] == "waiting" && trouble.contains("cannot be reached over WebSocket"),
        "nobody there: {}: {trouble}",
        page["state"]
    );
    browser.end(PATIENCE).await?;
    for (liar, (lie, _)) in liars.iter().zip(LIES) {
        ensure!(liar.said().iter().any(|line| line["event"] == "lied"), "{lie}: nothing was altered");
    }
    house.stop().await?;
    Ok(format!("{} lies, each refused and named; another chain and a dead address named, too", LIES.len()))
}
