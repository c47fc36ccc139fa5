//! Watches whether others reach us, and has our record, identify and rendezvous say what is so.

mod evidence;
mod object;
mod pace;

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use causeway_discovery::{Discovery, External, Report, View};
use causeway_mapping::MappingStatus;
use causeway_reachability::{Evidence, Judge, Reachability, candidates, tell};
use causeway_records::{Contents, Reach};
use causeway_transports::{ReachFacts, Transports};
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use self::{
    evidence::{Arrivals, Gathered},
    pace::Pace,
};
pub(crate) use self::{
    evidence::{mapped_ports, outgoing},
    object::object,
};
use crate::{cli::Nat, record, relays};

/// How often everything is looked at, whatever happens: evidence grows old, certificates are followed by others.
const LOOK: Duration = Duration::from_secs(10);

/// What happens at once is looked at once.
const GATHER: Duration = Duration::from_millis(500);

/// How others reach us, now and as it changes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    found: watch::Receiver<Reachability>,
    told: watch::Receiver<Vec<String>>,
    mapping: watch::Receiver<MappingStatus>,
    facts: watch::Receiver<ReachFacts>,
}

impl Watched {
    /// Where libp2p peers reach us, as we tell them.
    pub(crate) fn told(&self) -> watch::Receiver<Vec<String>> {
        self.told.clone()
    }

    /// For status and `causeway netcheck`.
    pub(crate) fn object(&self) -> Value {
        object(&self.found.borrow(), &self.mapping.borrow(), &self.facts.borrow())
    }
}

/// The task that watches.
pub(crate) struct Watch {
    /// Who listens, dials and is dialed.
    pub(crate) transports: Transports,
    /// The owner of our record.
    pub(crate) discovery: Discovery,
    /// What the router did.
    pub(crate) mapping: watch::Receiver<MappingStatus>,
    /// How our addresses come to be known.
    pub(crate) nat: Nat,
    /// Which addresses count as outside.
    pub(crate) reach: Reach,
    /// Where discv5 and discv4 listen.
    pub(crate) udp: Option<SocketAddr>,
}

/// What it remembers.
struct Memory {
    judge: Judge,
    arrivals: Arrivals,
    begun: Instant,
    /// What our record says.
    endpoints: Option<Contents>,
    /// When it may say something new.
    pace: Pace,
    candidates: Vec<String>,
    relays: Vec<String>,
}

impl Watch {
    /// What is watched, and the task that does it until `stop`.
    pub(crate) fn start(self, stop: CancellationToken) -> (Watched, impl Future<Output = ()>) {
        let (found, found_receiver) = watch::channel(Reachability::unknown());
        let (told, told_receiver) = watch::channel(Vec::new());
        let watched = Watched {
            found: found_receiver,
            told: told_receiver,
            mapping: self.mapping.clone(),
            facts: self.transports.reach(),
        };
        (watched, self.run(found, told, stop))
    }

    async fn run(
        self,
        found: watch::Sender<Reachability>,
        told: watch::Sender<Vec<String>>,
        stop: CancellationToken,
    ) {
        let mut mapping = Some(self.mapping.clone());
        let mut facts = Some(self.transports.reach());
        let mut seen = self.discovery.udp().map(|udp| udp.external());
        let mut memory = Memory {
            judge: Judge::default(),
            arrivals: Arrivals::default(),
            begun: Instant::now(),
            endpoints: None,
            pace: Pace::default(),
            candidates: Vec::new(),
            relays: Vec::new(),
        };
        loop {
            let Some(view) = self.discovery.view().await else { return };
            let external = seen.as_mut().map(|seen| *seen.borrow_and_update()).unwrap_or_default();
            self.look(&view, external, &mut memory, &found, &told).await;
            let change = async {
                tokio::select! {
                    () = changed(&mut mapping) => {}
                    () = changed(&mut facts) => {}
                    () = changed(&mut seen) => {}
                }
                sleep(GATHER).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = change => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    async fn look(
        &self,
        view: &View,
        external: External,
        memory: &mut Memory,
        found: &watch::Sender<Reachability>,
        told: &watch::Sender<Vec<String>>,
    ) {
        let facts = self.transports.reach().borrow().clone();
        let now = SystemTime::now();
        let arrivals = memory.arrivals.note(&facts.direct, &facts.listeners, now);
        let gathered = Gathered {
            transports: &self.transports,
            facts: &facts,
            mapping: &self.mapping.borrow().clone(),
            view,
            udp: self.udp,
            reach: self.reach,
            arrivals,
            age: memory.begun.elapsed(),
        };
        let evidence = gathered.evidence();
        let judged = memory.judge.weigh(&evidence, now);
        let before = found.send_replace(judged.clone());
        if before.state != judged.state {
            info!(state = %judged.state, why = judged.why, advice = judged.advice, "how others reach us");
        }
        self.tell(&judged, &evidence, external, memory, told).await;
        let wanted = relays::wanted(&judged, memory.begun.elapsed());
        let offered = if wanted { relays::candidates(view, self.reach) } else { Vec::new() };
        if offered != memory.relays {
            match self.transports.offer_relays(&offered).await {
                Ok(()) => memory.relays = offered,
                Err(error) => debug!(%error, "no relays are offered"),
            }
        }
    }

    /// Has everybody told what is so.
    async fn tell(
        &self,
        judged: &Reachability,
        evidence: &Evidence,
        external: External,
        memory: &mut Memory,
        told: &watch::Sender<Vec<String>>,
    ) {
        let own = record::own(&self.transports, self.udp, self.nat, external);
        let to_test = candidates(&own, evidence);
        if to_test != memory.candidates {
            match self.transports.set_candidates(&to_test).await {
                Ok(()) => memory.candidates = to_test,
                Err(error) => debug!(%error, "our addresses are not tested"),
            }
        }
        let now = tell(&own, judged, evidence);
        let at = Instant::now();
        if memory.pace.allows(at) && memory.endpoints.as_ref() != Some(&now.endpoints) {
            // What the record said from the beginning is no change.
            if memory.endpoints.replace(now.endpoints.clone()).is_some() {
                memory.pace.note(at);
            }
            self.discovery.report(Report::Endpoints(now.endpoints)).await;
        }
        if *told.borrow() != now.libp2p {
            match self.transports.set_external_addresses(now.libp2p.clone()).await {
                Ok(()) => drop(told.send_replace(now.libp2p)),
                Err(error) => debug!(%error, "libp2p is not told our addresses"),
            }
        }
    }
}

/// Something new came; never, if there is nothing to wait for.
async fn changed<T>(source: &mut Option<watch::Receiver<T>>) {
    let Some(receiver) = source else { return std::future::pending().await };
    if receiver.changed().await.is_err() {
        *source = None;
        std::future::pending().await
    }
}
