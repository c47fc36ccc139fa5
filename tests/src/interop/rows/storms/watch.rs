//! What a storm does to the house: the relay's memory, the reads of those who were there, and how newcomers fare.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, ensure};
use causeway_verify::ChainSpec;
use causeway_wire::{Answer, HashOrNumber, Query};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Storm, doors::Doors};
use crate::{
    interop::{
        Stage,
        geth::{Geth, Options},
        light,
        process::{PATIENCE, Peer},
        relay::{Relay, Way},
        rows::stacks::certify,
    },
    load::LightPeer,
};

/// What a relay may grow by in a storm, KiB.
const MEMORY: u64 = 192 * 1024;

/// Between two looks at the relay's memory.
const LOOK: Duration = Duration::from_millis(50);

/// Longest time without a verified read, on a machine that also has to make the storm.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A newcomer who is not in by then gives up.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Between two newcomers.
const NEXT: Duration = Duration::from_millis(250);

/// So long after a storm newcomers must come in again: handshakes that were begun may last 10 s.
const CALM: Duration = Duration::from_secs(15);

/// A full node, a relay before it with every door open, and a light peer on three transports that reads all the
/// time.
#[derive(Debug)]
pub(super) struct House {
    relay: Relay,
    doors: Arc<Doors>,
    reader: Peer,
    /// Where the reader reads.
    addresses: Vec<String>,
    spec: ChainSpec,
}

/// What came of a storm.
#[derive(Debug)]
pub(super) struct Weathered {
    what: String,
    /// The relay's resident memory, KiB.
    before: u64,
    peak: u64,
    after: u64,
    /// Verified reads meanwhile, of the transport that had the fewest.
    fewest: usize,
    longest_pause: Duration,
    newcomers: Newcomers,
    /// Until a newcomer came in after the storm.
    calm_after: Option<Duration>,
    /// Lines of the relay's log that should not be.
    alarms: Vec<String>,
    /// What the reader said of sessions that it lost.
    lost: Vec<String>,
}

#[derive(Debug, Default)]
struct Newcomers {
    tried: usize,
    came_in: usize,
    slowest: Duration,
}

impl House {
    pub(super) async fn start(stage: &Stage) -> anyhow::Result<Self> {
        causeway_transports::install_crypto_provider();
        certify(&stage.dir, &stage.dir.join("trusted.pem"))?;
        let geth = Arc::new(Geth::start(stage, "geth", Options::default()).await?);
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
        let relay =
            Relay::start_with(stage, "relay", &geth.genesis_file, &options.map(str::to_owned)).await?;
        relay.at_head(geth.number()).await?;
        let addresses = relay.addresses(&Way::LIBP2P)?;
        let reader = light::js(stage, "reader", &geth, &addresses, &["--reading".to_owned()])?;
        light::checked(&reader, &addresses).await?;
        let genesis = std::fs::read_to_string(&geth.genesis_file)?;
        let spec = ChainSpec::from_genesis_json("geth", &genesis)?;
        let doors = Arc::new(Doors::of(stage, &geth, &relay)?);
        Ok(Self { relay, doors, reader, addresses, spec })
    }

    /// Lets a storm blow and says what it did.
    pub(super) async fn weather(&self, storm: &Storm) -> anyhow::Result<Weathered> {
        let address = self.relay.address(storm.newcomers)?;
        let memory = || self.relay.peer.memory("VmRSS").context("the relay is gone");
        let (before, logged) = (memory()?, self.relay.peer.log().lines().count());
        let (begun, over) = (unix_micros()?, CancellationToken::new());

        let storming = async {
            let _over = over.clone().drop_guard();
            (storm.blow)(Arc::clone(&self.doors)).await
        };
        let watching = async {
            let mut peak = before;
            while over.run_until_cancelled(sleep(LOOK)).await.is_some() {
                peak = peak.max(memory()?);
            }
            anyhow::Ok(peak)
        };
        let coming = async {
            let mut newcomers = Newcomers::default();
            while over.run_until_cancelled(sleep(NEXT)).await.is_some() {
                let tried = Instant::now();
                if let Some(came_in) = over.run_until_cancelled(self.newcomer(&address)).await {
                    newcomers.tried += 1;
                    newcomers.came_in += usize::from(came_in);
                    newcomers.slowest = newcomers.slowest.max(tried.elapsed());
                }
            }
            newcomers
        };
        let (what, peak, newcomers) = tokio::join!(storming, watching, coming);
        let ended = unix_micros()?;
        let calm_after = self.calm(&address).await;

        let what = what.context(storm.name)?;
        let (fewest, longest_pause) = self.reads(begun, ended);
        let log = self.relay.peer.log();
        let is_alarm = |line: &&str| line.contains("panicked") || line.contains("ERROR");
        Ok(Weathered {
            what,
            before,
            peak: peak?,
            after: memory()?,
            fewest,
            longest_pause,
            newcomers,
            calm_after,
            alarms: log.lines().skip(logged).filter(is_alarm).map(str::to_owned).collect(),
            lost: self.said("failed").map(|line| line["error"].to_string()).collect(),
        })
    }

    /// Whether a light peer that nobody has seen before comes in and gets an answer.
    async fn newcomer(&self, address: &str) -> bool {
        let visit = async {
            let peer = LightPeer::connect(address, &self.spec).await?;
            let start = HashOrNumber::Number(peer.head());
            let answer = peer.ask(Query::Headers { start, amount: 1, skip: 0, reverse: false }).await?;
            peer.leave().await;
            ensure!(matches!(answer, Answer::Headers(headers) if headers.len() == 1), "no header");
            anyhow::Ok(())
        };
        matches!(timeout(ATTEMPT, visit).await, Ok(Ok(())))
    }

    /// How long until a newcomer comes in.
    async fn calm(&self, address: &str) -> Option<Duration> {
        let begun = Instant::now();
        let until = async {
            while !self.newcomer(address).await {
                sleep(LOOK).await;
            }
        };
        timeout(CALM, until).await.ok().map(|()| begun.elapsed())
    }

    fn said(&self, event: &str) -> impl Iterator<Item = Value> {
        self.reader.said().into_iter().filter(move |line| line["event"] == event)
    }

    /// How many verified reads there were in this time on the transport that had the fewest, and the longest time
    /// without one on any.
    fn reads(&self, begun: u64, ended: u64) -> (usize, Duration) {
        let reads: Vec<Value> = self.said("read").collect();
        let of = |address: &String| {
            let of_it = reads.iter().filter(|line| line["address"] == address.as_str());
            let times: Vec<u64> = of_it.filter_map(|line| line["unixMicros"].as_u64()).collect();
            let during = times.iter().copied().filter(|time| (begun..=ended).contains(time));
            let marks: Vec<u64> = [begun].into_iter().chain(during.clone()).chain([ended]).collect();
            let pause = marks.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
            (during.count(), Duration::from_micros(pause))
        };
        let each: Vec<_> = self.addresses.iter().map(of).collect();
        let fewest = each.iter().map(|(count, _)| *count).min().unwrap_or_default();
        (fewest, each.iter().map(|(_, pause)| *pause).max().unwrap_or_default())
    }

    /// The reader leaves as it would have without any storm; the relay ends by itself.
    pub(super) async fn end(&mut self) -> anyhow::Result<()> {
        self.reader.tell("end").await?;
        let status = self.reader.end(PATIENCE).await?;
        ensure!(status.success(), "the light peer that read all the time ended with {status}");
        self.relay.peer.signal("TERM").await?;
        let status = self.relay.peer.end(PATIENCE).await?;
        ensure!(status.success(), "causeway run ended with {status}");
        Ok(())
    }
}

impl Weathered {
    /// What should not have been.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let grown = self.peak.saturating_sub(self.before);
        let mut check = |is_well: bool, fault: String| {
            if !is_well {
                faults.push(fault);
            }
        };
        check(grown < MEMORY, format!("memory grew by {grown} KiB, over the limit of {MEMORY} KiB"));
        check(self.fewest > 0, "there was no honest read".to_owned());
        check(self.longest_pause < LONGEST_PAUSE, format!("no read for {:?}", self.longest_pause));
        check(self.calm_after.is_some(), format!("no newcomer came in within {CALM:?} after it"));
        check(self.alarms.is_empty(), format!("the relay's log: {:?}", self.alarms.first()));
        check(self.lost.is_empty(), format!("an honest session was lost: {:?}", self.lost));
        faults
    }
}

impl fmt::Display for Weathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, before, peak, after, fewest, longest_pause, newcomers, calm_after, .. } = self;
        let mib = |kib: &u64| kib / 1024;
        write!(f, "{what}; memory {}/{}/{} MiB before/peak/after", mib(before), mib(peak), mib(after))?;
        write!(f, "; {fewest} reads on each transport, longest pause {:.1} s", longest_pause.as_secs_f64())?;
        let Newcomers { tried, came_in, slowest } = newcomers;
        write!(f, "; newcomers: {came_in} of {tried} came in, slowest {:.1} s", slowest.as_secs_f64())?;
        match calm_after {
            Some(after) => write!(f, ", {:.1} s after it", after.as_secs_f64()),
            None => write!(f, ", none after it"),
        }
    }
}

fn unix_micros() -> anyhow::Result<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_micros())?)
}
