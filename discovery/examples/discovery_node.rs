//! A discovery node for tests against other implementations, driven by lines on stdin.
//!
//! ```text
//! discovery_node [--key HEX] [--listen IP:PORT] [--bootnode ENR|ENODE]… [--votes N] [--no-discv4] [--no-discv5]
//! ```
//! It listens on `127.0.0.1:0` unless told otherwise, answers TALKREQs of `causeway-test-echo` with what they ask,
//! and prints one JSON object a line: first `{"ready":true,"enr":…,"enode":…}`, then each found node as
//! `{"found":…}` and an answer to each line read:
//!
//! ```text
//! ping ENR              {"pong":{"seq":1,"addr":"127.0.0.1:1"}}
//! findnode ENR [D,D…]   {"nodes":["enr:…"]}                   distances, or 256 to 240
//! talk ENR PROTO HEX    {"talk":"hex"}
//! search                {"search":true}
//! add ENR               {"added":true}
//! update                {"enr":…}                             our record with the next sequence number
//! stats                 {"stats":"…"}
//! external              {"external":"…"}
//! ```
//! What fails is answered with `{"error":…}`. Logs go to stderr as `RUST_LOG` says. It ends at the end of stdin.
#![allow(clippy::print_stdout, reason = "it speaks to whoever started it on stdout")]

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use causeway_discovery::{
    Bootnode, Found, Sockets, TalkRegistry, Udp, UdpConfig, UdpLimits,
    udp::{DEFAULT_VOTES, PROTOCOL_ID, TalkHandler, TalkPeer},
};
use causeway_records::{Contents, Reach, Record};
use futures::{FutureExt as _, future::BoxFuture};
use secp256k1::SecretKey;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Lines read ahead.
const LINES: usize = 16;

type Failure = Box<dyn Error + Send + Sync>;

/// Answers with what was asked.
struct Echo;

impl TalkHandler for Echo {
    fn answer(&self, _: TalkPeer, request: &[u8]) -> BoxFuture<'static, Vec<u8>> {
        std::future::ready(request.to_vec()).boxed()
    }
}

struct Options {
    secret: SecretKey,
    listen: SocketAddr,
    bootnodes: Vec<Bootnode>,
    votes: usize,
    discv4: bool,
    discv5: bool,
}

impl Options {
    fn read() -> Result<Self, Failure> {
        let mut options = Self {
            secret: SecretKey::from_secret_bytes(rand::random())?,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            bootnodes: Vec::new(),
            votes: DEFAULT_VOTES,
            discv4: true,
            discv5: true,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--key" => options.secret = value()?.parse()?,
                "--listen" => options.listen = value()?.parse()?,
                "--bootnode" => options.bootnodes.push(value()?.parse()?),
                "--votes" => options.votes = value()?.parse()?,
                "--no-discv4" => options.discv4 = false,
                "--no-discv5" => options.discv5 = false,
                other => return Err(format!("{other}?").into()),
            }
        }
        Ok(options)
    }
}

struct Node {
    udp: Udp,
    secret: SecretKey,
    contents: Contents,
    record: watch::Sender<Record>,
}

impl Node {
    async fn answer(&self, line: &str) -> Result<Value, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["ping", enr] => {
                let pong = self.udp.ping(&enr.parse()?).await?;
                Ok(json!({"pong": {"seq": pong.seq, "addr": pong.addr.to_string()}}))
            }
            ["findnode", enr, distances @ ..] => {
                let distances = match distances {
                    [list] => list.split(',').map(str::parse).collect::<Result<_, _>>()?,
                    _ => (240..=256).rev().collect(),
                };
                let nodes = self.udp.find_node(&enr.parse()?, distances).await?;
                Ok(json!({"nodes": nodes.iter().map(ToString::to_string).collect::<Vec<_>>()}))
            }
            ["talk", enr, protocol, request @ ..] => {
                let request = alloy_primitives::hex::decode(request.concat())?;
                let answer = self.udp.talk(&enr.parse()?, protocol.as_bytes(), request).await?;
                Ok(json!({"talk": alloy_primitives::hex::encode(answer)}))
            }
            ["search"] => {
                self.udp.search();
                Ok(json!({"search": true}))
            }
            ["add", enr] => {
                self.udp.add(&enr.parse()?);
                Ok(json!({"added": true}))
            }
            ["update"] => {
                let seq = self.record.borrow().seq() + 1;
                let record = Record::sign(&self.secret, seq, &self.contents)?.record;
                self.record.send_replace(record.clone());
                Ok(json!({"enr": record.to_string()}))
            }
            ["stats"] => Ok(json!({"stats": format!("{:?}", self.udp.stats())})),
            ["external"] => Ok(json!({"external": format!("{:?}", *self.udp.external().borrow())})),
            _ => Err(format!("{line:?} is not understood").into()),
        }
    }
}

fn found(found: &Found) -> Value {
    json!({"found": {
        "source": found.source.to_string(),
        "enr": found.record.as_ref().map(ToString::to_string),
        "enode": found.enode.as_ref().map(ToString::to_string),
    }})
}

/// The lines of stdin, read by a thread: tokio's stdin is a feature that `causeway` does not use, and with it the
/// two could not be built in one go from the same crates.
fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let options = Options::read()?;
    let sockets = Sockets::bind(options.listen)?;
    let port = sockets.port();
    let mut contents = Contents { tcp: Some(port), udp: Some(port), les: true, ..Contents::default() };
    match options.listen.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => contents.ip = Some(ip),
        IpAddr::V6(ip) if !ip.is_unspecified() => contents.ip6 = Some(ip),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    let record = Record::sign(&options.secret, 1, &contents)?.record;
    let ready = json!({
        "ready": true,
        "enr": record.to_string(),
        "enode": record.enode().map(|enode| enode.to_string()),
    });
    let (sender, receiver) = watch::channel(record);
    let talk = TalkRegistry::new();
    talk.register(b"causeway-test-echo", Arc::new(Echo));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let config = UdpConfig {
        secret_key: options.secret,
        sockets,
        tcp: port,
        record: receiver,
        bootnodes: options.bootnodes,
        reach: Reach::Local,
        discv4: options.discv4,
        discv5: options.discv5,
        votes: options.votes,
        protocol_id: PROTOCOL_ID,
        limits: UdpLimits::default(),
    };
    let (udp, mut finds) = Udp::start(config, talk, &tasks, stop.clone()).await?;
    println!("{ready}");

    let node = Node { udp, secret: options.secret, contents, record: sender };
    let mut lines = lines();
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line else { break };
                let answer = node.answer(&line).await;
                println!("{}", answer.unwrap_or_else(|error| json!({"error": error.to_string()})));
            }
            Some(find) = finds.recv() => println!("{}", found(&find)),
        }
    }
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}
