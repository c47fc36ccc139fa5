//! Other people's libp2p over each transport that they and we have: identify, ping and a verified session, with a
//! light peer that dials, and with one that listens and is dialed by a relay.
//!
//! A relay dials whom its user names. It asks for `/les` there, which a light peer does not serve, and keeps the
//! connection nevertheless: the light peer opens its own stream on it.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::stacks::{certify, go_peer};
use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light,
    process::{GONE, PATIENCE, Peer},
    relay::{Relay, Way},
};

/// What a relay dials as well as serves.
const LISTEN: [&str; 3] = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1"];

/// What others have of what a relay serves.
const SERVED: [Way; 5] = [Way::Tcp, Way::WebSocket, Way::SecureWebSocket, Way::Quic, Way::WebTransport];

/// How a relay calls itself in identify.
const AGENT: &str = "causeway/";

/// What it names there, at least.
const PROTOCOLS: [&str; 5] = ["/les/4", "/les/3", "/les/2", "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"];

/// geth, and a relay with a listener for each transport.
pub(super) struct House {
    pub(super) geth: Geth,
    pub(super) relay: Relay,
    /// The relay's certificate, for those who are to trust it.
    pub(super) certificate: PathBuf,
}

impl House {
    pub(super) async fn open(stage: &Stage) -> anyhow::Result<Self> {
        let certificate = stage.dir.join("trusted.pem");
        certify(&stage.dir, &certificate)?;
        let geth = Geth::start(stage, "geth", Options { hold: 1, ..Options::default() }).await?;
        let file = |name: &str| stage.dir.join(name).display().to_string();
        let (cert, key, enode) = (file("cert.pem"), file("key.pem"), geth.enode());
        let options = [
            ["--full-node", &enode],
            ["--tls.cert", &cert],
            ["--tls.key", &key],
            ["--tls.name", "localhost"],
            ["--port.webtransport", "0"],
        ];
        let mut options: Vec<_> = options.concat().into_iter().map(str::to_owned).collect();
        options.push("--no-discovery".to_owned());
        let relay = Relay::start_with(stage, "relay", &geth.genesis_file, &options).await?;
        relay.at_head(geth.number()).await?;
        Ok(Self { geth, relay, certificate })
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.relay.idle(GONE).await?;
        self.relay.stop().await
    }
}

/// What became of light peers, one for each transport.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// `tcp→` for one that dialed, `←tcp` for one that was dialed.
    ways: Vec<String>,
    /// The longest round trip of a ping, in milliseconds.
    ping: f64,
}

impl Met {
    /// Light peers at these addresses of a relay, which each end by themselves.
    pub(super) async fn dialing(&mut self, mut peer: Peer, addresses: &[String]) -> anyhow::Result<()> {
        for line in light::checked(&peer, addresses).await? {
            self.add(&line, false).with_context(|| peer.name.clone())?;
        }
        peer.end(PATIENCE).await?;
        Ok(())
    }

    /// Light peers that listen, dialed by a relay that is told to; it then knows them by `agent`. They stay until
    /// they are told to leave.
    pub(super) async fn listening(
        &mut self,
        stage: &Stage,
        geth: &Geth,
        mut peer: Peer,
        agent: &str,
    ) -> anyhow::Result<()> {
        let ready = peer.ready().await?;
        let addresses: Vec<String> =
            serde_json::from_value(ready["addresses"].clone()).context("the addresses where it listens")?;
        let named = [geth.enode()].into_iter().chain(addresses.iter().cloned());
        let mut options: Vec<_> = named.flat_map(|peer| ["--full-node".to_owned(), peer]).collect();
        options.push("--no-discovery".to_owned());
        let name = format!("relay-to-{}", peer.name);
        let relay = Relay::start_with(stage, &name, &geth.genesis_file, &options).await?;
        for line in light::checked(&peer, &addresses).await? {
            self.add(&line, true).with_context(|| peer.name.clone())?;
        }
        let known = |peer: &&Value| {
            let client = peer["client"].as_str().unwrap_or_default();
            peer["role"] == "light-peer" && peer["state"] == "connected" && client.starts_with(agent)
        };
        relay
            .until_peers(&format!("each as {agent}"), PATIENCE, |peers| {
                peers.iter().filter(known).count() == addresses.len()
            })
            .await?;
        peer.tell("leave").await?;
        peer.end(PATIENCE).await?;
        relay.stop().await
    }

    fn add(&mut self, line: &Value, inbound: bool) -> anyhow::Result<()> {
        let address = line["address"].as_str().context("an address")?;
        let way = SERVED.into_iter().find(|way| way.is(address)).with_context(|| address.to_owned())?.name();
        let agent = line["agent"].as_str().unwrap_or_default();
        ensure!(agent.starts_with(AGENT), "over {way} the relay calls itself {agent}");
        let protocols: Vec<String> =
            serde_json::from_value(line["protocols"].clone()).context("protocols")?;
        let lacks = PROTOCOLS.iter().find(|wanted| !protocols.iter().any(|has| has == *wanted));
        ensure!(lacks.is_none(), "over {way} identify lacks {lacks:?}: {protocols:?}");
        let micros = line["pingMicros"].as_f64().with_context(|| format!("no ping over {way}"))?;
        self.ping = self.ping.max(micros / 1000.0);
        ensure!(
            line["inbound"] == inbound && line["connections"] == 1,
            "over {way}: another connection than the one made for it: {line}"
        );
        // Only go-libp2p says, and where the transport brings its own it is empty.
        let security = match line["security"].as_str() {
            Some("/noise") => "/noise",
            Some("/tls/1.0.0") => "/tls",
            _ => "",
        };
        self.ways.push(if inbound { format!("←{way}{security}") } else { format!("{way}{security}→") });
        Ok(())
    }

    pub(super) fn note(&self) -> String {
        format!("{}, ping {:.0} ms at most", self.ways.join(" "), self.ping)
    }
}

/// js-libp2p's part of the matrix.
pub(super) async fn js(stage: &Stage, house: &House) -> anyhow::Result<Met> {
    let (geth, trusted) = (&house.geth, Some(house.certificate.as_path()));
    let mut met = Met::default();
    // Node.js has no WebTransport.
    let addresses = house.relay.addresses(&[Way::Tcp, Way::WebSocket, Way::SecureWebSocket, Way::Quic])?;
    let dialing =
        light::js_trusting(stage, "js-dials", geth, &addresses, &["--pingable".to_owned()], trusted)?;
    met.dialing(dialing, &addresses).await?;
    let options = ["--pingable", "--listen", "--stay"].map(str::to_owned);
    let listening = light::js(stage, "js-listens", geth, &LISTEN.map(str::to_owned), &options)?;
    met.listening(stage, geth, listening, "js-libp2p/").await?;
    Ok(met)
}

/// go-libp2p. It listens for WebTransport and WebRTC, too, which a relay serves but does not dial.
pub(super) async fn go(stage: Stage) -> anyhow::Result<String> {
    let house = House::open(&stage).await?;
    let geth = &house.geth;
    let mut met = Met::default();
    let addresses = house.relay.addresses(&SERVED)?;
    let trusted = Some(house.certificate.as_path());
    met.dialing(go_peer(&stage, "go-dials", geth, &[], &addresses, trusted)?, &addresses).await?;
    let tcp = house.relay.addresses(&[Way::Tcp])?;
    let noise = ["-security=noise"];
    met.dialing(go_peer(&stage, "go-dials-noise", geth, &noise, &tcp, None)?, &tcp).await?;
    let listen = LISTEN.map(str::to_owned);
    let listening = go_peer(&stage, "go-listens", geth, &["-listen", "-stay"], &listen, None)?;
    let agent = "causeway.invalid/peers/go-libp2p";
    met.listening(&stage, geth, listening, agent).await?;
    let options = ["-listen", "-stay", "-security=noise"];
    let listening = go_peer(&stage, "go-listens-noise", geth, &options, &listen[..1], None)?;
    met.listening(&stage, geth, listening, agent).await?;
    house.close().await?;
    Ok(met.note())
}

/// py-libp2p. It listens for WebTransport, too, which a relay serves but does not dial.
pub(super) async fn py(stage: Stage) -> anyhow::Result<String> {
    let (python, script) = stage.workshop.python("py-libp2p", "les.py").await?;
    let house = House::open(&stage).await?;
    let geth = &house.geth;
    let start = |name: &str, options: &[&str], addresses: &[String], trusted: Option<&Path>| {
        let mut arguments = vec!["-B".to_owned(), script.display().to_string()];
        for (option, value) in [
            ("--genesis", geth.genesis_file.display().to_string()),
            ("--genesis-hash", geth.genesis_hash()),
            ("--head", geth.head()),
            ("--number", geth.number().to_string()),
            ("--block", light::BUSY_BLOCK.to_string()),
            ("--account", geth.bank()),
            ("--contract", geth.contract()),
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        arguments.extend_from_slice(addresses);
        Peer::start_trusting(&stage, name, &python, arguments, trusted)
    };
    let mut met = Met::default();
    let addresses = house.relay.addresses(&SERVED)?;
    met.dialing(start("py-dials", &[], &addresses, Some(&house.certificate))?, &addresses).await?;
    let listening = start("py-listens", &["--listen", "--stay"], &LISTEN.map(str::to_owned), None)?;
    met.listening(&stage, geth, listening, "py-libp2p/").await?;
    house.close().await?;
    Ok(met.note())
}
