//! `causeway run` and `causeway light` as the rows use them, by the command line of the design.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

use super::{
    Stage,
    process::{PATIENCE, Peer},
};

/// Between two looks at the relay's status.
const LOOK: Duration = Duration::from_millis(50);

/// Longest answer over HTTP that is read.
const MAX_ANSWER: u64 = 1 << 20;

/// A transport of the relay's light side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Tcp,
    WebSocket,
    /// Only where a certificate is named.
    SecureWebSocket,
    Quic,
    /// Only where a port is named.
    WebTransport,
    /// Only where a port is named.
    WebRtcDirect,
    /// RLPx, by the enode.
    Devp2p,
}

impl Way {
    pub(super) const LIBP2P: [Self; 3] = [Self::Tcp, Self::WebSocket, Self::Quic];
    pub(super) const ALL: [Self; 4] = [Self::Tcp, Self::WebSocket, Self::Quic, Self::Devp2p];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
            Self::WebRtcDirect => "webrtc-direct",
            Self::Devp2p => "rlpx",
        }
    }

    /// Whether an address is one of this transport.
    pub(super) fn is(self, multiaddr: &str) -> bool {
        match self {
            Self::Tcp => multiaddr.contains("/tcp/") && !multiaddr.contains("/ws"),
            Self::WebSocket => multiaddr.contains("/ws/") && !multiaddr.contains("/tls/"),
            Self::SecureWebSocket => multiaddr.contains("/tls/ws/"),
            Self::Quic => multiaddr.contains("/quic-v1/") && !multiaddr.contains("/webtransport"),
            Self::WebTransport => multiaddr.contains("/webtransport/"),
            Self::WebRtcDirect => multiaddr.contains("/webrtc-direct/"),
            Self::Devp2p => false,
        }
    }
}

/// A running relay.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) peer: Peer,
    /// Where it runs.
    stage: Stage,
    ready: Value,
}

impl Relay {
    /// Starts a relay before full nodes and waits for its ready line.
    pub(super) async fn start(
        stage: &Stage,
        name: &str,
        genesis: &Path,
        full_nodes: &[String],
    ) -> anyhow::Result<Self> {
        let mut options = vec!["--no-discovery".to_owned()];
        for full_node in full_nodes {
            options.extend(["--full-node".to_owned(), full_node.clone()]);
        }
        Self::start_with(stage, name, genesis, &options).await
    }

    /// Starts a relay that must find its peers itself, from these bootnodes on.
    pub(super) async fn start_finding(
        stage: &Stage,
        name: &str,
        genesis: &Path,
        bootnodes: &[String],
    ) -> anyhow::Result<Self> {
        let options: Vec<_> =
            bootnodes.iter().flat_map(|bootnode| ["--bootnodes".to_owned(), bootnode.clone()]).collect();
        Self::start_with(stage, name, genesis, &options).await
    }

    /// Starts a relay with its own datadir, which stays from one start of this name to the next; on loopback, or at
    /// the address of its place in the laboratory.
    pub(super) async fn start_with(
        stage: &Stage,
        name: &str,
        genesis: &Path,
        options: &[String],
    ) -> anyhow::Result<Self> {
        let addr = stage.address().to_string();
        let mut arguments: Vec<String> =
            ["run", "--addr", &addr, "--ports", "0"].into_iter().map(str::to_owned).collect();
        arguments.extend(["--network".to_owned(), genesis.display().to_string()]);
        arguments
            .extend(["--datadir".to_owned(), stage.dir.join(format!("{name}-data")).display().to_string()]);
        arguments.extend_from_slice(options);
        let peer = Peer::start(stage, name, &stage.workshop.causeway, arguments)?;
        let ready = peer
            .wait("the ready line", PATIENCE, |line| (line["ready"] == true).then(|| line.clone()))
            .await?;
        ensure!(ready["schema"] == 1, "the ready line has schema 1");
        let relay = Self { peer, stage: stage.clone(), ready };
        for way in Way::ALL {
            relay.address(way)?;
        }
        Ok(relay)
    }

    /// Where light peers reach it.
    pub(super) fn address(&self, way: Way) -> anyhow::Result<String> {
        let text = if way == Way::Devp2p {
            self.ready["enode"].as_str()
        } else {
            let all = self.ready["multiaddrs"].as_array().context("the ready line has multiaddrs")?;
            all.iter().filter_map(Value::as_str).find(|multiaddr| way.is(multiaddr))
        };
        Ok(text.with_context(|| format!("no address for {} in the ready line", way.name()))?.to_owned())
    }

    pub(super) fn addresses(&self, ways: &[Way]) -> anyhow::Result<Vec<String>> {
        ways.iter().map(|way| self.address(*way)).collect()
    }

    /// A text of its ready line.
    pub(super) fn says(&self, field: &str) -> anyhow::Result<String> {
        let text = self.ready[field].as_str();
        Ok(text.with_context(|| format!("the ready line has {field}"))?.to_owned())
    }

    /// Its `GET /status`.
    pub(super) async fn status(&self) -> anyhow::Result<Value> {
        self.read("/status").await
    }

    /// Its `GET /peers`.
    pub(super) async fn peers(&self) -> anyhow::Result<Value> {
        self.read("/peers").await
    }

    async fn read(&self, path: &str) -> anyhow::Result<Value> {
        let url = self.ready["http"].as_str().context("the ready line has http")?;
        let host = url.strip_prefix("http://").context("an http address")?;
        let ask = async {
            let mut stream = self.stage.connect(host).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.take(MAX_ANSWER).read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = timeout(PATIENCE, ask).await.with_context(|| format!("{path} did not come"))??;
        let (_, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
        let answer: Value = serde_json::from_str(body).with_context(|| format!("{path} is JSON: {body}"))?;
        ensure!(answer["schema"] == 1, "{path} has schema 1: {answer}");
        Ok(answer)
    }

    /// Looks at the status until it is as wished.
    pub(super) async fn until(
        &self,
        what: &str,
        limit: Duration,
        wished: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        self.until_at("/status", what, limit, wished).await
    }

    /// Looks at the peers until they are as wished.
    pub(super) async fn until_peers(
        &self,
        what: &str,
        limit: Duration,
        wished: impl Fn(&[Value]) -> bool,
    ) -> anyhow::Result<Value> {
        let wished = |answer: &Value| answer["peers"].as_array().is_some_and(|peers| wished(peers));
        self.until_at("/peers", what, limit, wished).await
    }

    /// Looks at the sessions until one is as wished, and gives it.
    pub(super) async fn until_session(
        &self,
        what: &str,
        limit: Duration,
        wished: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let find = |answer: &Value| {
            answer["sessions"]
                .as_array()
                .and_then(|sessions| sessions.iter().find(|one| wished(one)).cloned())
        };
        let answer = self.until_at("/peers", what, limit, |answer| find(answer).is_some()).await?;
        find(&answer).context("the session was there")
    }

    /// Looks at what it says there until that is as wished.
    pub(super) async fn until_at(
        &self,
        path: &str,
        what: &str,
        limit: Duration,
        wished: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let end = Instant::now() + limit;
        loop {
            let answer = self.read(path).await?;
            if wished(&answer) {
                return Ok(answer);
            }
            if Instant::now() > end {
                bail!("{what}: not within {} s; {path} says {answer}", limit.as_secs());
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until it has followed the chain to a head.
    pub(super) async fn at_head(&self, number: u64) -> anyhow::Result<()> {
        let at = |status: &Value| status["head"]["number"].as_u64().is_some_and(|head| head >= number);
        self.until(&format!("the relay at head {number}"), PATIENCE, at).await.map(drop)
    }

    /// Waits until nobody is connected and nothing is pending.
    pub(super) async fn idle(&self, limit: Duration) -> anyhow::Result<Value> {
        self.until("no session and no ticket left", limit, |status| {
            status["sessions"] == 0 && status["tickets"] == 0
        })
        .await
    }

    /// Stops it as a service manager does; it must end by itself and well.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.peer.signal("TERM").await?;
        let status = self.peer.end(PATIENCE).await?;
        ensure!(status.success(), "causeway run ended with {status}");
        let log = self.peer.log();
        if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
            bail!("causeway run panicked: {line}");
        }
        Ok(())
    }
}

/// What `causeway light` said.
#[derive(Debug)]
pub(super) struct Light {
    pub(super) verified: bool,
    pub(super) object: Value,
}

/// Runs `causeway light ADDRESS COMMAND… --network FILE --json`.
pub(super) async fn light(
    stage: &Stage,
    genesis: &Path,
    address: &str,
    command: &[&str],
    patience: Duration,
) -> anyhow::Result<Light> {
    let said = format!("causeway light {}", command.join(" "));
    let mut child = stage.command(&stage.workshop.causeway);
    child.arg("light").arg(address).args(command).arg("--network").arg(genesis).arg("--json");
    let output = timeout(patience, child.kill_on_drop(true).output());
    let output =
        output.await.with_context(|| format!("{said}: no end within {} s", patience.as_secs()))??;
    let object: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("{said}: not one JSON object, {}: {}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    ensure!(object["schema"] == 1, "{said}: schema 1: {object}");
    let verified =
        object["verified"].as_bool().with_context(|| format!("{said}: says whether it verified"))?;
    ensure!(object.get("by").is_some(), "{said}: says what it was checked against");
    // The answer to a transaction is the server's word; the exit code then says whether it was taken.
    let is_send = command.first() == Some(&"send");
    ensure!(is_send || output.status.success() == verified, "{said}: {} beside {object}", output.status);
    Ok(Light { verified, object })
}
