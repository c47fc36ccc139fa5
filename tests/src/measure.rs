//! What the host costs beside others in the same run: time and CPU of an echo, memory of idle peers.
//!
//! ```text
//! measure throughput [--rounds N] [--times N] [TRANSPORT]...   8 MiB there and back, beside go-libp2p as listener
//! measure idle [--connections N] [TRANSPORT]...                memory a connection, beside a bare rust-libp2p
//! measure circuit [--rounds N] [tcp] [quic]                    256 MiB through a relay, beside go-libp2p's
//! measure listen-echo TRANSPORT, measure listen-bare TRANSPORT, measure listen-circuit TRANSPORT
//!                                                              the listeners of these, as processes of their own
//! ```
//!
//! TRANSPORT is `tcp`, `ws`, `quic` or `webtransport`; all of them unless named.

mod bare;
mod circuit;
mod echo;
mod idle;
mod throughput;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
/// A transport that both sides of a comparison have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Tcp,
    WebSocket,
    Quic,
    WebTransport,
}

impl Way {
    const ALL: [Self; 4] = [Self::Tcp, Self::WebSocket, Self::Quic, Self::WebTransport];

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "ws",
            Self::Quic => "quic",
            Self::WebTransport => "webtransport",
        }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|transport| transport.name() == text);
        found.with_context(|| format!("no such transport: {text}"))
    }

    /// Where to listen on it.
    fn multiaddr(self) -> &'static str {
        match self {
            Self::Tcp => "/ip4/127.0.0.1/tcp/0",
            Self::WebSocket => "/ip4/127.0.0.1/tcp/0/ws",
            Self::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
            Self::WebTransport => "/ip4/127.0.0.1/udp/0/quic-v1/webtransport",
        }
    }

    /// Whether this is one of its addresses.
    fn is(self, multiaddr: &str) -> bool {
        match self {
            Self::Tcp => multiaddr.contains("/tcp/") && !multiaddr.contains("/ws"),
            Self::WebSocket => multiaddr.contains("/ws/") && !multiaddr.contains("/tls/"),
            Self::Quic => multiaddr.contains("/quic-v1/") && !multiaddr.contains("/webtransport"),
            Self::WebTransport => multiaddr.contains("/webtransport/"),
        }
    }
}

/// Where programs are and logs go.
#[derive(Debug)]
struct Place {
    /// This program.
    own: PathBuf,
    /// The profile's folder, in which `causeway` is.
    profile: PathBuf,
    /// What `cargo interop --build` made.
    peers: PathBuf,
    logs: PathBuf,
}

impl Place {
    fn find() -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let profile = own.parent().context("this program is in a folder")?.to_owned();
        let target = profile.parent().context("the profile's folder is in the target directory")?;
        let (peers, logs) = (target.join("interop-peers/bin"), target.join("measure"));
        std::fs::create_dir_all(&logs)?;
        Ok(Self { own, peers, logs, profile })
    }

    fn go_libp2p(&self) -> PathBuf {
        self.peers.join("go-libp2p")
    }

    fn logs(&self) -> &Path {
        &self.logs
    }
}

/// What the command line says.
#[derive(Debug)]
struct Arguments {
    rounds: usize,
    times: usize,
    connections: usize,
    transports: Vec<Way>,
}

/// Runs what the command line says.
pub async fn main(arguments: Vec<String>) -> ExitCode {
    causeway_transports::install_crypto_provider();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> anyhow::Result<()> {
    let Some((what, rest)) = arguments.split_first() else {
        bail!("measure throughput, idle, circuit, listen-echo, listen-bare or listen-circuit");
    };
    let arguments = read(rest)?;
    let only = || arguments.transports.first().copied().context("on which transport?");
    match what.as_str() {
        "throughput" => throughput::run(&arguments).await,
        "idle" => idle::run(&arguments).await,
        "circuit" => circuit::run(&arguments).await,
        "listen-echo" => echo::listen(only()?).await,
        "listen-bare" => bare::listen(only()?).await,
        "listen-circuit" => circuit::listen(only()?).await,
        _ => bail!("no such measurement: {what}"),
    }
}

fn read(arguments: &[String]) -> anyhow::Result<Arguments> {
    let mut read = Arguments { rounds: 5, times: 8, connections: 2000, transports: Vec::new() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if !argument.starts_with("--") {
            read.transports.push(Way::parse(argument)?);
            continue;
        }
        let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
        let number = value.parse().with_context(|| format!("{argument} {value}"))?;
        match argument.as_str() {
            "--rounds" => read.rounds = number,
            "--times" => read.times = number,
            "--connections" => read.connections = number,
            _ => bail!("no such flag: {argument}"),
        }
    }
    if read.transports.is_empty() {
        read.transports = Way::ALL.to_vec();
    }
    Ok(read)
}

/// The line by which a listener says where it is.
#[expect(clippy::print_stdout, reason = "who started it reads this")]
fn say_ready(multiaddrs: &[String]) {
    println!("{}", serde_json::json!({ "event": "ready", "multiaddrs": multiaddrs }));
}

/// Returns when whoever started this program has gone.
async fn left_alone() {
    let closed = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    let _ = tokio::task::spawn_blocking(closed).await; // a broken pipe is a closed one
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
