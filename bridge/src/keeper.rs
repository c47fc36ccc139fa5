//! Keeps one session with a server, however often the network, the server's address or the machine's sleep ends it.

mod config;
mod machine;
mod nap;
mod route;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use causeway_transports::{DialError, Incoming};
use causeway_wire::{HashOrNumber, Query, SessionId};
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, info, info_span};

use self::{
    machine::{ATTEMPT, Attempt, Machine, PROBE, Step},
    nap::Naps,
    route::{carries, kind_of},
};
use crate::{
    full_nodes::{AdmitError, FullNodes},
    until,
    upstream::Upstream,
};
pub use config::{KeeperConfig, Link, Search};
pub use route::{Path, Route};

/// How often it is looked whether we slept and whether the server is overdue.
const TICK: Duration = Duration::from_secs(2);

/// A session that leaves a question without a word for so long is in doubt.
const OVERDUE: Duration = Duration::from_secs(4);

/// How long a session that another took over from may go on answering; its server ends it soon after.
const GRACE: Duration = Duration::from_secs(8);

/// How long a direct connection is waited for at a time.
const DIRECT_PATIENCE: Duration = Duration::from_secs(60);

/// Keeps the session; it is given up when this is dropped.
#[derive(Debug)]
pub struct Keeper {
    link: watch::Receiver<Link>,
    stop: CancellationToken,
}

impl Keeper {
    /// Keeps what begins with `first`, on tasks of `tasks`.
    pub fn start(config: KeeperConfig, first: Upstream, tasks: &TaskTracker) -> Self {
        let stop = CancellationToken::new();
        let (link, told) = watch::channel(Link::Up(first.clone()));
        let shell = Shell::new(config, link, tasks.clone(), stop.clone());
        tasks.spawn(shell.run(first).instrument(info_span!("keeper")));
        Self { link: told, stop }
    }

    /// How things stand, now and as they change.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Ends the session.
    pub fn leave(&self) {
        self.stop.cancel();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("not reached")]
    Dial(#[from] DialError),
    #[error("not greeted")]
    Admit(#[from] AdmitError),
    #[error("not within {} s", ATTEMPT.as_secs())]
    Slow,
    #[error("given up")]
    Abandoned,
}

/// Something that was waited for.
enum Event {
    Dialed(Attempt, Result<Incoming, Failed>),
    Greeted(Attempt, Result<Upstream, Failed>),
    Gone(SessionId),
    Probe(SessionId, bool),
    Direct(SessionId, Result<Upstream, Failed>),
    Found(Vec<Route>),
}

/// The machine's hands.
struct Shell {
    machine: Machine,
    config: KeeperConfig,
    sessions: BTreeMap<SessionId, Upstream>,
    attempts: BTreeMap<Attempt, AbortHandle>,
    waiting: FuturesUnordered<BoxFuture<'static, Event>>,
    searching: bool,
    link: watch::Sender<Link>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Shell {
    fn new(
        mut config: KeeperConfig,
        link: watch::Sender<Link>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let mut machine = Machine::new();
        let routes = std::mem::take(&mut config.routes);
        let mut shell = Self {
            machine: Machine::new(),
            config,
            sessions: BTreeMap::new(),
            attempts: BTreeMap::new(),
            waiting: FuturesUnordered::new(),
            searching: false,
            link,
            tasks,
            stop,
        };
        std::mem::swap(&mut shell.machine, &mut machine);
        shell.add(routes);
        shell
    }

    async fn run(mut self, first: Upstream) {
        let transport = first.transport();
        let way = self.config.routes.iter().position(|route| carries(route, transport));
        self.machine.handle_first(first.id(), kind_of(transport), way, Instant::now());
        self.hold(first);
        let mut naps = Naps::new(TICK, Instant::now(), SystemTime::now());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.carry_out() {
            let due = self.machine.poll_timeout();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(event) = self.waiting.next() => self.handle(event),
                _ = ticks.tick() => {
                    let now = Instant::now();
                    if let Some(slept) = naps.tick(now, SystemTime::now()) {
                        info!(seconds = slept.as_secs(), "we slept: looking whether the server is still there");
                        self.machine.handle_jump(now);
                    } else if self.current().is_some_and(|upstream| upstream.is_overdue(OVERDUE, now)) {
                        self.machine.handle_doubt(now);
                    }
                }
                () = until(due) => self.machine.handle_timeout(Instant::now()),
            }
        }
        for upstream in self.sessions.values() {
            upstream.leave();
        }
    }

    fn current(&self) -> Option<&Upstream> {
        self.machine.session().and_then(|session| self.sessions.get(&session))
    }

    fn handle(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Dialed(attempt, outcome) => {
                self.attempts.remove(&attempt);
                match outcome {
                    Ok(incoming) => {
                        if self.machine.handle_dialed(attempt, kind_of(incoming.session.transport())) {
                            self.greet(attempt, incoming);
                        } // else dropping it ends it
                    }
                    Err(error) => {
                        debug!(error = chain(&error), "way not open");
                        self.machine.handle_failed(attempt);
                    }
                }
            }
            Event::Greeted(attempt, outcome) => match outcome {
                Ok(upstream) => {
                    let (session, kind) = (upstream.id(), kind_of(upstream.transport()));
                    self.hold(upstream);
                    self.machine.handle_connected(attempt, session, kind, now);
                }
                Err(error) => {
                    debug!(error = chain(&error), "not greeted");
                    self.judge(&error);
                    self.machine.handle_failed(attempt);
                }
            },
            Event::Gone(session) => {
                if let Some(upstream) = self.sessions.remove(&session)
                    && let Some(lie) = self.config.nodes.lie_of(&upstream.peer())
                {
                    self.give_up(format!("the server did not tell the truth: {lie}"));
                }
                if self.machine.session() == Some(session) {
                    info!("the server is gone: looking for it");
                }
                self.machine.handle_gone(session, now);
            }
            Event::Probe(session, true) => self.machine.handle_alive(session),
            Event::Probe(session, false) => self.machine.handle_silent(session, now),
            Event::Direct(from, Ok(upstream)) => {
                info!(
                    transport = upstream.transport(),
                    "a direct connection takes over from the relayed one"
                );
                let (session, kind) = (upstream.id(), kind_of(upstream.transport()));
                self.hold(upstream);
                self.machine.handle_moved(session, kind);
                debug_assert_ne!(from, session);
            }
            Event::Direct(from, Err(error)) => {
                debug!(error = chain(&error), "no direct connection");
                self.judge(&error);
                self.machine.handle_not_moved(from, now);
            }
            Event::Found(routes) => {
                self.searching = false;
                self.add(routes);
            }
        }
    }

    /// Carries out what the machine decided, and tells how things stand; false if it is over.
    fn carry_out(&mut self) -> bool {
        while let Some(step) = self.machine.poll_step() {
            match step {
                Step::Dial { attempt, way } => self.dial(attempt, way),
                Step::Abandon(attempt) => {
                    if let Some(attempt) = self.attempts.remove(&attempt) {
                        attempt.abort();
                    }
                }
                Step::Probe(session) => self.probe(session),
                Step::Leave(session) => {
                    if let Some(upstream) = self.sessions.get(&session) {
                        upstream.leave();
                    }
                }
                Step::Retire(session) => {
                    if let Some(upstream) = self.sessions.get(&session).cloned() {
                        upstream.retire();
                        self.tasks.spawn(async move {
                            let _ = timeout(GRACE, upstream.idle()).await;
                            upstream.leave();
                        });
                    }
                }
                Step::AwaitDirect(session) => self.await_direct(session),
                Step::Search => self.search(),
            }
        }
        let current = self.current().cloned();
        self.link.send_if_modified(|link| match (&*link, current) {
            (Link::Over(_), _) | (Link::Down, None) => false,
            (Link::Up(told), Some(current)) if told.id() == current.id() => false,
            (_, Some(current)) => {
                *link = Link::Up(current);
                true
            }
            (Link::Up(_), None) => {
                *link = Link::Down;
                true
            }
        });
        !matches!(*self.link.borrow(), Link::Over(_))
    }

    /// Enters a greeted session: it is followed, and its end is heard of.
    fn hold(&mut self, upstream: Upstream) {
        let (session, followed) = (upstream.id(), upstream.clone());
        let follower = Arc::clone(&self.config.follower);
        let following = self.tasks.spawn(async move { follower.follow(followed).await });
        // Only once it was followed to its end is it known whether the server lied.
        self.waiting.push(following.map(move |_ended| Event::Gone(session)).boxed());
        self.sessions.insert(session, upstream);
    }

    fn dial(&mut self, attempt: Attempt, way: usize) {
        let Some(route) = self.config.routes.get(way).cloned() else { return };
        let transports = self.config.transports.clone();
        // A connection that is there may be dead without anybody knowing.
        let dialed = async move { transports.dial_fresh(&route.address, route.named).await };
        let (handle, registration) = AbortHandle::new_pair();
        self.attempts.insert(attempt, handle);
        let dialed = Abortable::new(timeout(ATTEMPT, dialed), registration);
        let event = dialed.map(move |outcome| {
            let outcome = match outcome {
                Ok(Ok(outcome)) => outcome.map_err(Failed::Dial),
                Ok(Err(_)) => Err(Failed::Slow),
                Err(_) => Err(Failed::Abandoned),
            };
            Event::Dialed(attempt, outcome)
        });
        self.waiting.push(event.boxed());
    }

    fn greet(&self, attempt: Attempt, incoming: Incoming) {
        let nodes = Arc::clone(&self.config.nodes);
        let greeted =
            async move { timeout(ATTEMPT, greet(&nodes, incoming)).await.unwrap_or(Err(Failed::Slow)) };
        self.waiting.push(greeted.map(move |outcome| Event::Greeted(attempt, outcome)).boxed());
    }

    fn probe(&self, session: SessionId) {
        let Some(upstream) = self.sessions.get(&session).cloned() else { return };
        let start = HashOrNumber::Hash(upstream.tip().borrow().head.hash);
        let query = Query::Headers { start, amount: 1, skip: 0, reverse: false };
        let asked = async move { timeout(PROBE, upstream.ask(query)).await };
        self.waiting
            .push(asked.map(move |answer| Event::Probe(session, matches!(answer, Ok(Ok(_))))).boxed());
    }

    fn await_direct(&self, session: SessionId) {
        let Some(upstream) = self.sessions.get(&session).cloned() else { return };
        let (transports, nodes) = (self.config.transports.clone(), Arc::clone(&self.config.nodes));
        let moved = async move {
            tokio::select! {
                incoming = transports.dial_direct(upstream.peer(), DIRECT_PATIENCE) => {
                    timeout(ATTEMPT, greet(&nodes, incoming?)).await.unwrap_or(Err(Failed::Slow))
                }
                () = upstream.closed() => Err(Failed::Abandoned),
            }
        };
        self.waiting.push(moved.map(move |outcome| Event::Direct(session, outcome)).boxed());
    }

    fn search(&mut self) {
        if let Some(search) = &self.config.search
            && !std::mem::replace(&mut self.searching, true)
        {
            self.waiting.push(search().map(Event::Found).boxed());
        }
    }

    fn add(&mut self, mut routes: Vec<Route>) {
        routes.retain(|route| self.config.routes.iter().all(|known| known.address != route.address));
        let kinds: Vec<_> = routes.iter().map(Route::kind).collect();
        let taken = self.machine.handle_ways(&kinds, Instant::now());
        if taken < routes.len() {
            debug!(left = routes.len() - taken, "further ways to the server are not remembered");
        }
        self.config.routes.extend(routes.into_iter().take(taken));
    }

    fn judge(&self, error: &Failed) {
        if let Failed::Admit(AdmitError::Liar(_)) = error {
            self.give_up("the server did not tell the truth".to_owned());
        }
    }

    fn give_up(&self, why: String) {
        self.link.send_if_modified(|link| {
            let first = !matches!(link, Link::Over(_));
            if first {
                *link = Link::Over(why);
            }
            first
        });
    }
}

async fn greet(nodes: &FullNodes, incoming: Incoming) -> Result<Upstream, Failed> {
    Ok(nodes.admit(incoming).await?)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
