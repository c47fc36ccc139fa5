//! The full nodes that are connected: who can answer what, in which order, and who lied.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use causeway_translate::ClientConfig;
use causeway_transports::Incoming;
use causeway_wire::{PeerId, Query};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::upstream::{GreetError, Upstream};

/// How long a full node that lied is not spoken to again.
pub const BANISHMENT: Duration = Duration::from_secs(3600);

/// Liars remembered at once; the one whose time ends first is forgotten for a further one.
const MAX_LIARS: usize = 1024;

/// All connected full nodes.
#[derive(Debug)]
pub struct FullNodes {
    config: ClientConfig,
    live: RwLock<Vec<Upstream>>,
    liars: Mutex<BTreeMap<PeerId, Banished>>,
    changed: watch::Sender<u64>,
    tasks: TaskTracker,
}

/// A full node that lied.
#[derive(Debug)]
struct Banished {
    until: Instant,
    lie: String,
}

/// Why a full node was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// It lied before.
    #[error("this full node lied and is not spoken to for another {} s", .0.as_secs())]
    Liar(Duration),
    /// The handshake failed.
    #[error(transparent)]
    Greet(#[from] GreetError),
}

impl FullNodes {
    /// None connected yet. `config` is how each is greeted.
    pub fn new(config: ClientConfig, tasks: TaskTracker) -> Self {
        Self {
            config,
            live: RwLock::default(),
            liars: Mutex::default(),
            changed: watch::Sender::new(0),
            tasks,
        }
    }

    /// Greets the full node of a session that we opened and takes it in.
    ///
    /// # Errors
    /// If it lied before or does not agree with us.
    pub async fn admit(&self, incoming: Incoming) -> Result<Upstream, AdmitError> {
        if let Some(rest) = self.banished(&incoming.session.peer()) {
            incoming.session.close(0x03);
            return Err(AdmitError::Liar(rest));
        }
        let mut config = self.config.clone();
        config.account_key = crate::account_key::form_of(&incoming.session.client());
        let upstream = Upstream::greet(incoming, config, rand::random(), &self.tasks).await?;
        info!(
            peer = %upstream.peer(),
            client = upstream.client(),
            head = upstream.status().head.number,
            "full node connected"
        );
        self.live.write().unwrap_or_else(PoisonError::into_inner).push(upstream.clone());
        self.changed.send_modify(|version| *version += 1);
        Ok(upstream)
    }

    /// Takes a full node off the list once its session ended. One that broke a rule of the protocol is remembered
    /// as a liar is: it would only do so again.
    pub fn dismiss(&self, upstream: &Upstream) {
        if let Some(rule) = upstream.breach() {
            self.banish(upstream, &rule);
        }
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.retain(|other| other.id() != upstream.id());
        drop(live);
        self.changed.send_modify(|version| *version += 1);
    }

    /// How much longer a peer is banished for a lie.
    pub fn banished(&self, peer: &PeerId) -> Option<Duration> {
        let liars = self.liars.lock().unwrap_or_else(PoisonError::into_inner);
        liars.get(peer)?.until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
    }

    /// The lie, or the breach of a rule, for which a peer is banished.
    pub fn lie_of(&self, peer: &PeerId) -> Option<String> {
        let liars = self.liars.lock().unwrap_or_else(PoisonError::into_inner);
        liars.get(peer).map(|banished| banished.lie.clone())
    }

    /// Disconnects a full node that was caught lying, and remembers it.
    pub fn convict(&self, upstream: &Upstream, lie: &dyn Display) {
        self.banish(upstream, lie);
        upstream.expel();
        self.dismiss(upstream);
    }

    fn banish(&self, upstream: &Upstream, lie: &dyn Display) {
        let now = Instant::now();
        let mut liars = self.liars.lock().unwrap_or_else(PoisonError::into_inner);
        liars.retain(|_, banished| banished.until > now);
        if liars.len() >= MAX_LIARS {
            let first = liars.iter().min_by_key(|(_, banished)| banished.until).map(|(peer, _)| *peer);
            first.map(|peer| liars.remove(&peer));
        }
        let banished = Banished { until: now + BANISHMENT, lie: lie.to_string() };
        if liars.insert(upstream.peer(), banished).is_none() {
            warn!(peer = %upstream.peer(), client = upstream.client(), %lie, "full node lied: disconnected");
        }
    }

    /// Everybody connected.
    pub fn all(&self) -> Vec<Upstream> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of full nodes connected.
    pub fn count(&self) -> usize {
        self.live.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Who may answer `query` about blocks up to `number`, the least burdened first; relays last, as each of them
    /// has to ask a full node in turn, and sessions that another takes over from behind those.
    pub fn able(&self, query: &Query, number: Option<u64>) -> Vec<Upstream> {
        let mut able: Vec<_> = self.all();
        able.retain(|upstream| upstream.is_live() && serves(upstream, query, number));
        able.sort_by_cached_key(|upstream| (upstream.is_retired(), upstream.is_relay(), upstream.burden()));
        able
    }

    /// Tells when somebody comes or goes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// Whether the full node's Status says that it serves such a question.
fn serves(upstream: &Upstream, query: &Query, number: Option<u64>) -> bool {
    let status = upstream.status();
    let serving = &status.serving;
    let head = upstream.tip().borrow().head.number;
    // les.md 3.1, "Availability".
    let within = |since: Option<u64>, recent: Option<u64>| {
        let Some(since) = since else { return false };
        number.is_none_or(|number| {
            let recent = recent.unwrap_or(0);
            number <= head
                && number >= since
                && (recent == 0 || number.saturating_add(recent).saturating_add(4) > head)
        })
    };
    match query {
        Query::Headers { .. } | Query::HelperTries(_) => serving.headers,
        Query::Bodies(_) | Query::Receipts(_) => within(serving.chain_since, serving.recent_chain),
        Query::Codes(_) | Query::Proofs(_) => within(serving.state_since, serving.recent_state),
        Query::SendTransactions(_) => serving.tx_relay,
        Query::TransactionStatus(_) => serving.tx_relay || serving.chain_since.is_some(),
    }
}
