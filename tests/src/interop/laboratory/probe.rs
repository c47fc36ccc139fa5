//! Plain sockets in a place, by `tests/peers/nat/probe.py`.

use std::{
    net::SocketAddrV4,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::bail;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::ChildStdin, sync::Mutex};

use super::Place;
use crate::interop::{
    Stage,
    process::{PATIENCE, Peer},
};

/// A transport below all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::interop) enum Over {
    Udp,
    Tcp,
}

impl Over {
    pub(in crate::interop) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A running probe; what it is asked at the same time it does at the same time.
#[derive(Debug)]
pub(in crate::interop) struct Probe {
    peer: Peer,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    stdin: ChildStdin,
    asked: u64,
}

impl Probe {
    pub(in crate::interop) async fn start(stage: &Stage, place: &Place) -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/nat/probe.py");
        let name = format!("probe-{}", place.name);
        let mut peer = Peer::start(&stage.at(place), &name, "python3".as_ref(), [script])?;
        peer.ready().await?;
        let stdin = peer.take_stdin()?;
        Ok(Self { peer, line: Mutex::new(Line { stdin, asked: 0 }) })
    }

    /// Asks for one thing and waits until it is done.
    async fn ask(&self, mut command: Value) -> anyhow::Result<Value> {
        let id = {
            let mut line = self.line.lock().await;
            line.asked += 1;
            command["id"] = line.asked.into();
            line.stdin.write_all(format!("{command}\n").as_bytes()).await?;
            line.asked
        };
        let done = |line: &Value| (line["id"] == id).then(|| line.clone());
        let done = self.peer.wait(&command.to_string(), PATIENCE, done).await?;
        match done.get("answer") {
            Some(answer) => Ok(answer.clone()),
            None => bail!("{}: {command}: {}", self.peer.name, done["error"]),
        }
    }

    /// Answers everybody at this port with the address that he came from.
    pub(in crate::interop) async fn mirror(&self, port: u16) -> anyhow::Result<()> {
        self.ask(json!({ "do": "mirror", "port": port })).await.map(drop)
    }

    /// How mirrors see one of our ports.
    pub(in crate::interop) async fn seen(
        &self,
        over: Over,
        port: u16,
        mirrors: &[SocketAddrV4],
    ) -> anyhow::Result<Vec<Option<SocketAddrV4>>> {
        let ask: Vec<_> = mirrors.iter().copied().map(pair).collect();
        let seen = self.ask(json!({ "do": "seen", "over": over.name(), "port": port, "ask": ask })).await?;
        Ok(serde_json::from_value(seen)?)
    }

    /// Who knocks at a port in this time.
    pub(in crate::interop) async fn hear(
        &self,
        over: Over,
        port: u16,
        time: Duration,
    ) -> anyhow::Result<Vec<SocketAddrV4>> {
        let millis = u64::try_from(time.as_millis())?;
        let heard = json!({ "do": "hear", "over": over.name(), "port": port, "millis": millis });
        Ok(serde_json::from_value(self.ask(heard).await?)?)
    }

    /// Knocks from a port of ours; what came of it.
    pub(in crate::interop) async fn knock(
        &self,
        over: Over,
        port: u16,
        to: SocketAddrV4,
    ) -> anyhow::Result<String> {
        let knock = json!({ "do": "knock", "over": over.name(), "port": port, "to": pair(to) });
        Ok(serde_json::from_value(self.ask(knock).await?)?)
    }

    /// Tries from a moment on to meet somebody who does the same; how long it took.
    pub(in crate::interop) async fn punch(
        &self,
        over: Over,
        port: u16,
        to: SocketAddrV4,
        at: SystemTime,
        time: Duration,
    ) -> anyhow::Result<Option<Duration>> {
        let at = at.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        let millis = u64::try_from(time.as_millis())?;
        let punch = json!({
            "do": "punch", "over": over.name(), "port": port, "to": pair(to), "at": at, "millis": millis
        });
        let met = self.ask(punch).await?;
        Ok(met["millis"].as_u64().map(Duration::from_millis))
    }
}

fn pair(address: SocketAddrV4) -> Value {
    json!([address.ip().to_string(), address.port()])
}
