//! A load of questions on a LES server over any transport, and what it cost the server.
//!
//! ```text
//! load ADDRESS --network FILE [--kind headers1|headers192|proof|proof-again] [--requests N] [--inflight K]
//!      [--conns C] [--window BLOCKS] [--warm N] [--pid PID]...      one line of JSON
//! load against-geth [--rounds N]                                   geth asked directly, and through Causeway
//! ```

mod against_geth;
mod peer;
mod process;
mod questions;

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use causeway_verify::ChainSpec;
use serde::Serialize;

pub(crate) use self::process::{cpu_seconds, resident_kib};
pub use self::{
    peer::LightPeer,
    questions::{Kind, Question, Questions},
};

/// How much is asked, and how.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// What is asked.
    pub kind: Kind,
    /// Questions whose answers are waited for.
    pub requests: u64,
    /// Questions under way at once, over all connections.
    pub inflight: usize,
    /// Where in the sequence of questions it begins; equal loads ask the same.
    pub seed: u64,
}

/// What came of a load.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Answers that were right.
    pub right: u64,
    /// Answers that were not.
    pub wrong: u64,
    /// Questions without an answer.
    pub unanswered: u64,
    /// From the first question to the last answer.
    pub seconds: f64,
    /// Right answers a second.
    pub rate: f64,
    /// Middle one of the times from question to answer, microseconds.
    pub p50: u64,
    /// All but one in a hundred came within this, microseconds.
    pub p99: u64,
    /// CPU time of the processes asked, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Right answers for each of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_cpu: Option<f64>,
}

impl Load {
    /// Asks over `peers` in turn. `pids` are the processes whose CPU time is counted.
    ///
    /// # Errors
    /// If a process cannot be looked at. Questions that get no answer are counted.
    pub async fn run(
        self,
        peers: &[LightPeer],
        questions: &Arc<Questions>,
        pids: &[u32],
    ) -> anyhow::Result<Outcome> {
        let before = cpu_seconds(pids)?;
        let begun = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let mut askers = Vec::new();
        for index in 0..self.inflight {
            let peer = peers.get(index % peers.len().max(1)).context("a connection")?.clone();
            let (questions, next) = (Arc::clone(questions), Arc::clone(&next));
            askers.push(tokio::spawn(async move { self.ask(&peer, &questions, &next).await }));
        }
        let mut sum = Asked::default();
        for asker in askers {
            sum.add(asker.await?);
        }
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = (!pids.is_empty()).then(|| cpu_seconds(pids).map(|after| after - before));
        Ok(sum.outcome(seconds, cpu.transpose()?))
    }

    async fn ask(self, peer: &LightPeer, questions: &Questions, next: &AtomicU64) -> Asked {
        let mut asked = Asked::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= self.requests {
                return asked;
            }
            let question = questions.draw(self.kind, self.seed.wrapping_add(index));
            let begun = Instant::now();
            match peer.ask(question.query.clone()).await {
                Ok(answer) => {
                    asked.times.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
                    match questions.is_right(&question, &answer) {
                        true => asked.right += 1,
                        false => asked.wrong += 1,
                    }
                }
                Err(_) => asked.unanswered += 1,
            }
        }
    }
}

#[derive(Debug, Default)]
struct Asked {
    right: u64,
    wrong: u64,
    unanswered: u64,
    times: Vec<u64>,
}

impl Asked {
    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.unanswered += other.unanswered;
        self.times.extend(other.times);
    }

    fn outcome(mut self, seconds: f64, cpu: Option<f64>) -> Outcome {
        self.times.sort_unstable();
        let at = |percent: usize| self.times.get(self.times.len() * percent / 100).copied().unwrap_or(0);
        let right = self.right as f64;
        Outcome {
            right: self.right,
            wrong: self.wrong,
            unanswered: self.unanswered,
            seconds,
            rate: right / seconds,
            p50: at(50),
            p99: at(99),
            cpu,
            per_cpu: cpu.filter(|cpu| *cpu > 0.0).map(|cpu| right / cpu),
        }
    }
}

/// The command line.
#[derive(Debug)]
struct Arguments {
    address: String,
    network: PathBuf,
    load: Load,
    conns: usize,
    window: u64,
    warm: u64,
    pids: Vec<u32>,
}

/// Runs a load with the arguments of the command line; the exit code says whether every answer was right.
pub async fn main(arguments: Vec<String>) -> ExitCode {
    let result = match arguments.first().map(String::as_str) {
        Some("against-geth") => against_geth::run(&arguments[1..]).await,
        _ => once(&arguments).await,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the line is what this program is for")]
async fn once(arguments: &[String]) -> anyhow::Result<bool> {
    let Arguments { address, network, load, conns, window, warm, pids } = read(arguments)?;
    let genesis = fs::read_to_string(&network).with_context(|| format!("reading {}", network.display()))?;
    let spec = Arc::new(ChainSpec::from_genesis_json("load", &genesis)?);
    let mut peers = Vec::new();
    for _ in 0..conns {
        peers.push(LightPeer::connect(&address, &spec).await?);
    }
    let first = peers.first().context("at least one connection")?;
    let questions = Arc::new(Questions::fetch(first, window).await?);
    if warm > 0 {
        Load { requests: warm, seed: load.seed ^ u64::MAX, ..load }.run(&peers, &questions, &[]).await?;
    }
    let outcome = load.run(&peers, &questions, &pids).await?;
    println!("{}", serde_json::to_string(&outcome)?);
    for peer in peers {
        peer.leave().await;
    }
    Ok(outcome.wrong == 0 && outcome.unanswered == 0)
}

fn read(arguments: &[String]) -> anyhow::Result<Arguments> {
    let load = Load { kind: Kind::Headers1, requests: 10_000, inflight: 16, seed: 1 };
    let mut read = Arguments {
        address: String::new(),
        network: PathBuf::new(),
        load,
        conns: 1,
        window: 1024,
        warm: 0,
        pids: Vec::new(),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if !argument.starts_with("--") {
            read.address.clone_from(argument);
            continue;
        }
        let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
        let number = || value.parse::<u64>().with_context(|| format!("{argument} {value}"));
        match argument.as_str() {
            "--network" => read.network = PathBuf::from(value),
            "--kind" => read.load.kind = value.parse()?,
            "--requests" => read.load.requests = number()?,
            "--inflight" => read.load.inflight = usize::try_from(number()?)?,
            "--seed" => read.load.seed = number()?,
            "--conns" => read.conns = usize::try_from(number()?)?,
            "--window" => read.window = number()?,
            "--warm" => read.warm = number()?,
            "--pid" => read.pids.push(u32::try_from(number()?)?),
            _ => bail!("no such flag: {argument}"),
        }
    }
    if read.address.is_empty() {
        bail!("whom to ask? give an enode URL or a multiaddr");
    }
    Ok(read)
}

/// How long a connection, a greeting or a process may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);
