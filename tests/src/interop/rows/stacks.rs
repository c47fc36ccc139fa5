//! Light peers on other people's libp2p, in every version and on every transport.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, ensure};
use causeway_records::Record;
use tokio::time::Instant;

use super::matrix::{self, House};
use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light,
    process::{GONE, PATIENCE, Peer},
    relay::{Relay, Way},
};

/// js-libp2p pings its connections every 10 s and ends those that do not answer within 5 s.
const TWO_PINGS: Duration = Duration::from_secs(22);

pub(super) async fn js(stage: Stage) -> anyhow::Result<String> {
    let mut house = House::open(&stage).await?;
    let addresses = house.relay.addresses(&Way::LIBP2P)?;
    let begun = Instant::now();
    let announces = ["--announces".to_owned(), "1".to_owned()];
    let mut patient = light::js(&stage, "js-patient", &house.geth, &addresses, &announces)?;
    light::checked(&patient, &addresses).await?;
    let met = matrix::js(&stage, &house).await?;
    // Without --version all are proposed, the newest first.
    for version in [None, Some(4_u64), Some(3), Some(2)] {
        let options: Vec<_> =
            version.iter().flat_map(|version| ["--version".to_owned(), version.to_string()]).collect();
        let name = version.map_or_else(|| "js-any".to_owned(), |version| format!("js-les{version}"));
        let mut js = light::js(&stage, &name, &house.geth, &addresses, &options)?;
        for line in light::checked(&js, &addresses).await? {
            let wanted = version.unwrap_or(4);
            ensure!(line["version"] == wanted, "les/{} agreed, not les/{wanted}", line["version"]);
        }
        js.end(PATIENCE).await?;
    }

    // Those who stay are still there after a while, and hear of a new head. Here time itself is tested.
    tokio::time::sleep_until(begun + TWO_PINGS).await;
    let geth = &mut house.geth;
    geth.import(1).await?;
    let (hash, at) = geth.new_head(geth.number() + 1, &[]).await?;
    light::announced(&patient, &addresses, (&hash, at)).await.context("after two pings")?;
    patient.end(PATIENCE).await?;
    house.close().await?;
    Ok(format!("{}; three sessions for {} s", met.note(), TWO_PINGS.as_secs()))
}

pub(super) async fn webtransport(stage: Stage) -> anyhow::Result<String> {
    go_twice(stage, Way::WebTransport, "--port.webtransport", 2).await
}

pub(super) async fn webrtc_direct(stage: Stage) -> anyhow::Result<String> {
    go_twice(stage, Way::WebRtcDirect, "--port.webrtc", 1).await
}

/// go-libp2p over a transport whose addresses name certificates, so many hashes; again after a restart at the address
/// that was printed before it.
async fn go_twice(stage: Stage, way: Way, flag: &str, named: usize) -> anyhow::Result<String> {
    let geth = Geth::start(&stage, "geth", Options::default()).await?;
    let start = async |port: &str| {
        let options = ["--no-discovery", "--full-node", &geth.enode(), flag, port];
        let options = options.map(str::to_owned);
        let relay = Relay::start_with(&stage, "relay", &geth.genesis_file, &options).await?;
        relay.at_head(geth.number()).await?;
        anyhow::Ok(relay)
    };
    let go_checked = async |name: &str, address: &str| {
        let addresses = [address.to_owned()];
        let mut go = go_peer(&stage, name, &geth, &[], &addresses, None)?;
        let lines = light::checked(&go, &addresses).await?;
        ensure!(lines.iter().all(|line| line["protocol"] == "/les/4"), "les/4");
        ensure!(lines.iter().all(|line| line["transport"] == way.name()), "not over {}", way.name());
        go.end(PATIENCE).await?;
        anyhow::Ok(lines)
    };
    let relay = start("0").await?;
    let address = relay.address(way)?;
    let port = address.split('/').nth(4).context("the address has a port")?.to_owned();
    let hashes = address.matches("/certhash/").count();
    ensure!(hashes == named, "{hashes} hashes of certificates in {address}");
    let lines = go_checked("go", &address).await?;
    relay.idle(PATIENCE).await?;
    relay.stop().await?;
    let relay = start(&port).await?;
    ensure!(relay.address(way)? == address, "the address is another one after the restart");
    go_checked("go-again", &address).await?;
    relay.idle(PATIENCE).await?;
    relay.stop().await?;
    Ok(format!("{} les/4, twice at one address", lines[0]["transport"]).replace('"', ""))
}

/// Starts the go-libp2p light peer on some addresses, with further options.
pub(super) fn go_peer(
    stage: &Stage,
    name: &str,
    geth: &Geth,
    options: &[&str],
    addresses: &[String],
    certificate: Option<&Path>,
) -> anyhow::Result<Peer> {
    let mut arguments = vec![
        format!("-genesis={}", geth.genesis_file.display()),
        format!("-genesis-hash={}", geth.genesis_hash()),
        format!("-head={}", geth.head()),
        format!("-number={}", geth.number()),
        format!("-account={}", geth.bank()),
    ];
    arguments.extend(options.iter().map(|option| (*option).to_owned()));
    arguments.extend_from_slice(addresses);
    Peer::start_trusting(stage, name, &stage.workshop.go_libp2p, arguments, certificate)
}

/// A new certificate for this machine in `folder/cert.pem` and `folder/key.pem`; a copy of the certificate in the
/// file `trusted`, for those who are to trust it.
pub(super) fn certify(folder: &Path, trusted: &Path) -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    for (name, content) in [("key.pem", made.key_pair.serialize_pem()), ("cert.pem", made.cert.pem())] {
        let new = folder.join("new");
        fs::write(&new, content)?;
        fs::rename(&new, folder.join(name))?;
    }
    fs::copy(folder.join("cert.pem"), trusted)?;
    Ok(())
}

/// Both on WebSocket over TLS, by address and by name; the certificate is exchanged while a session lasts.
pub(super) async fn wss(stage: Stage) -> anyhow::Result<String> {
    let (old, new) = (stage.dir.join("old.pem"), stage.dir.join("new.pem"));
    certify(&stage.dir, &old)?;
    let mut geth = Geth::start(&stage, "geth", Options { hold: 1, ..Options::default() }).await?;
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
    ];
    let relay = Relay::start_with(&stage, "relay", &geth.genesis_file, &options.map(str::to_owned)).await?;
    relay.at_head(geth.number()).await?;
    let by_address = relay.address(Way::SecureWebSocket)?;
    let by_name = by_address.replacen("/ip4/127.0.0.1", "/dns4/localhost", 1);
    let record: Record = relay.says("enr")?.parse().context("our record")?;
    let said = record.libp2p_addrs().iter().map(ToString::to_string).find(|addr| addr.contains("/dns4/"));
    let short = by_name.replacen("/tls/ws", "/wss", 1);
    ensure!(said.as_ref() == Some(&short), "our record says {said:?}, not {short}");

    let addresses = [by_address, by_name];
    let go_checked = async |name: &str, certificate: &Path| {
        let mut go = go_peer(&stage, name, &geth, &[], &addresses, Some(certificate))?;
        let lines = light::checked(&go, &addresses).await?;
        ensure!(lines.iter().all(|line| line["protocol"] == "/les/4"), "les/4 on each");
        go.end(PATIENCE).await?;
        anyhow::Ok(())
    };
    go_checked("go-old", &old).await?;
    let announces = ["--announces".to_owned(), "1".to_owned()];
    let mut js = light::js_trusting(&stage, "js", &geth, &addresses, &announces, Some(&old))?;
    light::checked(&js, &addresses).await?;

    certify(&stage.dir, &new)?;
    let exchanged = Instant::now();
    // It is seen within a second or so; who comes earlier is shown the one of before.
    let mut attempt = 0;
    while let Err(error) = go_checked(&format!("go-new-{attempt}"), &new).await {
        attempt += 1;
        ensure!(exchanged.elapsed() < PATIENCE, "the new certificate is not shown: {error:#}");
    }
    let taken = exchanged.elapsed();
    geth.import(1).await?;
    let (hash, at) = geth.new_head(geth.number() + 1, &[]).await?;
    light::announced(&js, &addresses, (&hash, at)).await.context("the certificate was exchanged")?;
    js.end(PATIENCE).await?;
    relay.idle(GONE).await?;
    relay.stop().await?;
    Ok(format!("by address and name; a new certificate was shown and used within {} ms", taken.as_millis()))
}
