//! Node lists from the DNS (EIP-1459): asks name servers what [`TreeSync`] wants to know, and reads again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use causeway_records::{
    Record,
    dns_tree::{Answer, Limits, Link, Question, SyncEvent, SyncedTree, TreeSync, Unanswered},
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How long a name server may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Beyond that the resolver itself is stuck.
const GRACE: Duration = Duration::from_secs(1);

/// Wait between two readings of the lists (geth's).
const AGAIN: Duration = Duration::from_secs(30 * 60);

/// Wait after a reading that failed, doubled up to the usual one.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Texts under one name that are looked at: one belongs there.
const MAX_TEXTS: usize = 16;

/// Asks name servers for texts. Cheap to clone.
#[derive(Clone)]
pub struct DnsClient {
    resolver: TokioResolver,
    timeout: Duration,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum DnsClientError {
    /// The system does not say which name servers it uses.
    #[error("the system's name servers cannot be found out; name one")]
    System(#[source] NetError),
    /// The resolver cannot be built.
    #[error("the resolver cannot be set up")]
    Build(#[source] NetError),
}

impl std::fmt::Debug for DnsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsClient").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl DnsClient {
    /// Asks the system's name servers.
    ///
    /// # Errors
    /// [`DnsClientError`]
    pub fn system() -> Result<Self, DnsClientError> {
        let (config, _) =
            hickory_resolver::system_conf::read_system_conf().map_err(DnsClientError::System)?;
        Self::build(config, TIMEOUT)
    }

    /// Asks the name server at `addr`, over UDP and, for long answers, TCP.
    ///
    /// # Errors
    /// [`DnsClientError`]
    pub fn server(addr: SocketAddr) -> Result<Self, DnsClientError> {
        Self::server_within(addr, TIMEOUT)
    }

    /// The same with another patience.
    ///
    /// # Errors
    /// [`DnsClientError`]
    pub fn server_within(addr: SocketAddr, timeout: Duration) -> Result<Self, DnsClientError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
            .map(|mut connection| {
                connection.port = addr.port();
                connection
            })
            .to_vec();
        let server = NameServerConfig::new(addr.ip(), true, connections);
        Self::build(ResolverConfig::from_name_servers(vec![server]), timeout)
    }

    fn build(config: ResolverConfig, timeout: Duration) -> Result<Self, DnsClientError> {
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = timeout;
        options.attempts = 1; // who asks knows when to ask again
        options.cache_size = 0; // entries never change under their names, and the root must be fresh
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = builder.build().map_err(DnsClientError::Build)?;
        Ok(Self { resolver, timeout })
    }

    /// The texts under `name`, the pieces of each joined; none if there is no such name.
    pub async fn texts(&self, name: &str) -> Answer {
        // The dot at the end keeps the system's search domains out.
        let lookup = self.resolver.txt_lookup(format!("{name}."));
        let lookup = match tokio::time::timeout(self.timeout + GRACE, lookup).await {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) if error.is_no_records_found() => return Ok(Vec::new()),
            Ok(Err(NetError::Timeout)) | Err(_) => return Err(Unanswered::TimedOut),
            Ok(Err(error)) => {
                debug!(%error, "a name server failed");
                return Err(Unanswered::Failed);
            }
        };
        let texts = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        });
        Ok(texts.take(MAX_TEXTS).collect())
    }
}

/// How hard name servers may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Questions under way at once.
    pub at_once: usize,
    /// Questions begun in a second.
    pub per_second: u32,
    /// Wait between two readings, a tenth more or less.
    pub again: Duration,
}

impl Default for Pace {
    /// Eight at once and 25 a second: a list of a thousand nodes takes under a minute, and no home router
    /// minds. Again after 30 minutes.
    fn default() -> Self {
        Self { at_once: 8, per_second: 25, again: AGAIN }
    }
}

/// Lists as they were last read.
pub type Trees = BTreeMap<Link, Arc<SyncedTree>>;

/// One reading of lists under way.
pub struct Reading {
    client: DnsClient,
    sync: TreeSync,
    next: Option<Question>,
    asked: FuturesUnordered<BoxFuture<'static, (Question, Answer)>>,
    tick: Interval,
    at_once: usize,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("asked", &self.asked.len()).finish_non_exhaustive()
    }
}

impl Reading {
    /// Begins to read `links`; `known` is what was read before.
    pub fn new(
        client: DnsClient,
        links: impl IntoIterator<Item = Link>,
        known: Trees,
        limits: Limits,
        pace: Pace,
    ) -> Self {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / pace.per_second.max(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            client,
            sync: TreeSync::new(links, known, limits),
            next: None,
            asked: FuturesUnordered::new(),
            tick,
            at_once: pace.at_once.max(1),
        }
    }

    /// The next thing that came out; `None` at the end. Cancel-safe: a later call goes on.
    pub async fn next(&mut self) -> Option<SyncEvent> {
        loop {
            if let Some(event) = self.sync.poll_event() {
                return Some(event);
            }
            if self.next.is_none() {
                self.next = self.sync.poll_question();
            }
            if self.next.is_none() && self.asked.is_empty() {
                return None;
            }
            let room = self.next.is_some() && self.asked.len() < self.at_once;
            tokio::select! {
                biased;
                Some((question, answer)) = self.asked.next(), if !self.asked.is_empty() => {
                    self.sync.handle_answer(question, answer);
                }
                _ = self.tick.tick(), if room => {
                    if let Some(question) = self.next.take() {
                        let client = self.client.clone();
                        self.asked.push(Box::pin(async move {
                            let answer = client.texts(&question.name).await;
                            (question, answer)
                        }));
                    }
                }
            }
        }
    }
}

/// Reads lists again and again: the task behind the DNS as a source of peers.
#[derive(Debug)]
pub struct DnsLists {
    client: DnsClient,
    links: Vec<Link>,
    limits: Limits,
    pace: Pace,
    found: mpsc::Sender<Record>,
    trees: watch::Sender<Trees>,
}

impl DnsLists {
    /// Lists to be read, the nodes as they are found, and the lists as they were last read to their end. While
    /// the nodes are not taken out, reading waits.
    pub fn new(
        client: DnsClient,
        links: Vec<Link>,
        limits: Limits,
        pace: Pace,
    ) -> (Self, mpsc::Receiver<Record>, watch::Receiver<Trees>) {
        let (found, records) = mpsc::channel(64);
        let (trees, latest) = watch::channel(Trees::new());
        (Self { client, links, limits, pace, found, trees }, records, latest)
    }

    /// Reads at once, then every 30 minutes, sooner after a failure, until `stop` or until nobody listens.
    pub async fn run(self, stop: CancellationToken) {
        let again = self.pace.again;
        let mut after_failure = AFTER_FAILURE.min(again);
        loop {
            let complete = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.found.closed() => return,
                complete = self.read() => complete,
            };
            let wait = if complete { again } else { after_failure };
            after_failure = if complete { AFTER_FAILURE } else { after_failure * 2 }.min(again);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.found.closed() => return,
                () = tokio::time::sleep(jittered(wait)) => {}
            }
        }
    }

    /// One reading. A list that cannot be read stays as it was. Whether all could be read.
    async fn read(&self) -> bool {
        let known = self.trees.borrow().clone();
        let mut reading =
            Reading::new(self.client.clone(), self.links.clone(), known, self.limits, self.pace);
        let mut complete = true;
        let mut reached = BTreeSet::new();
        while let Some(event) = reading.next().await {
            match event {
                SyncEvent::Found { record, .. } => {
                    if self.found.send(record).await.is_err() {
                        return complete;
                    }
                }
                SyncEvent::Done { link, outcome: Ok(tree) } => {
                    info!(list = %link.domain, seq = tree.root.seq, nodes = tree.records.len(), "node list read");
                    reached.insert(link.clone());
                    self.trees.send_modify(|trees| {
                        trees.insert(link, tree);
                    });
                }
                SyncEvent::Done { link, outcome: Err(error) } => {
                    warn!(list = %link.domain, %error, "a node list cannot be read; what was read before stays");
                    complete = false;
                    reached.insert(link);
                }
            }
        }
        // Lists that no list links to any more are forgotten.
        self.trees.send_if_modified(|trees| {
            let before = trees.len();
            trees.retain(|link, _| reached.contains(link));
            trees.len() != before
        });
        complete
    }
}

/// Up to a tenth sooner or later, so that nodes started together do not ask together for ever.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_a_tenth_at_most() {
        for _ in 0..100 {
            let wait = jittered(AGAIN);
            assert!(wait >= AGAIN.mul_f64(0.9) && wait <= AGAIN.mul_f64(1.1), "{wait:?}");
        }
    }
}
