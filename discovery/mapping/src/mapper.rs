//! The tasks around the decisions: one for each family, and one that looks at our routes.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, debug, info, info_span};

use crate::{
    MAX_PORTS, MappingConfigError, MappingStatus, Methods, Network, Pace, PortState, PortStatus, PortWish,
    ask::{carry_out, remove},
    keeper::{Answer, Family, Keeper, Setup},
    network,
    pcp::Nonce,
    upnp::Device,
};

/// The end of a mapper takes no longer: what the router did not delete by then ends by itself.
pub const FAREWELL: Duration = Duration::from_secs(2);

/// What a mapping may be asked to last.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be mapped, and how.
#[derive(Clone, Debug)]
pub struct MappingConfig {
    /// The protocols that may be used.
    pub methods: Methods,
    /// At most [`MAX_PORTS`], each bound already.
    pub ports: Vec<PortWish>,
    /// For how long the router is asked to keep a mapping; it is renewed at half of what the router grants.
    pub lifetime: Duration,
    /// Whether outside addresses that are not public count, as in laboratories.
    pub allow_private: bool,
    /// Where the router is known from.
    pub routes: Routes,
    /// How often the router is asked.
    pub pace: Pace,
}

impl MappingConfig {
    /// An hour's mappings at the router that the system names.
    pub fn new(methods: Methods, ports: Vec<PortWish>) -> Self {
        Self {
            methods,
            ports,
            lifetime: Duration::from_secs(60 * 60),
            allow_private: false,
            routes: Routes::System,
            pace: Pace::default(),
        }
    }

    fn check(&self) -> Result<(), MappingConfigError> {
        if self.ports.len() > MAX_PORTS {
            return Err(MappingConfigError::TooManyPorts { count: self.ports.len() });
        }
        if let Some(wish) = self.ports.iter().find(|wish| wish.internal == 0) {
            return Err(MappingConfigError::PortZero { name: wish.name });
        }
        let seconds = self.lifetime.as_secs();
        if seconds == 0 || self.lifetime > MAX_LIFETIME {
            return Err(MappingConfigError::Lifetime { seconds });
        }
        Ok(())
    }
}

/// Where the router is known from.
#[derive(Clone, Debug)]
pub enum Routes {
    /// The system's default routes, looked at every few seconds.
    System,
    /// What somebody else says.
    Given(watch::Receiver<Network>),
}

/// Keeps ports open at the router until it is told to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mapper {
    status: watch::Receiver<MappingStatus>,
}

impl Mapper {
    /// Begins to ask, in tasks of `tasks`. After `stop` all mappings are deleted within [`FAREWELL`]; then the tasks
    /// end.
    ///
    /// # Errors
    /// If the configuration cannot be meant: too many ports, a port 0, a lifetime out of range.
    pub fn start(
        config: MappingConfig,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, MappingConfigError> {
        config.check()?;
        let MappingConfig { methods, ports, lifetime, allow_private, routes, pace } = config;
        let families = [(Family::V4, methods.for_ipv4()), (Family::V6, methods.for_ipv6())];
        let keepers = families.map(|(family, methods)| {
            let setup = Setup { family, methods, lifetime, allow_private, pace };
            (family, Keeper::new(setup, ports.iter().map(|wish| (wish.clone(), rand::random::<Nonce>()))))
        });
        let begun = ports.into_iter().map(|wish| {
            let (ipv4, ipv6) = (PortState::Asking, PortState::Asking);
            PortStatus { wish, ipv4, ipv6 }
        });
        let (sender, status) = watch::channel(MappingStatus { ports: begun.collect() });
        let sender = Arc::new(sender);
        let network = match routes {
            Routes::Given(network) => network,
            Routes::System => watch_system(pace.look, tasks, stop.clone()),
        };
        for (family, keeper) in keepers {
            let span = info_span!("mapping", ?family);
            let keeping = Keeping {
                family,
                keeper,
                pace,
                device: None,
                network: network.clone(),
                status: sender.clone(),
            };
            tasks.spawn(keeping.run(stop.clone()).instrument(span));
        }
        Ok(Self { status })
    }

    /// What the router did for us, now and whenever that changes.
    pub fn status(&self) -> watch::Receiver<MappingStatus> {
        self.status.clone()
    }
}

/// Looks at the system's routes until the end.
fn watch_system(look: Duration, tasks: &TaskTracker, stop: CancellationToken) -> watch::Receiver<Network> {
    let (sender, receiver) = watch::channel(network::look());
    tasks.spawn(async move {
        while stop.run_until_cancelled(tokio::time::sleep(look)).await.is_some() {
            let now = network::look();
            sender.send_if_modified(|before| {
                let changed = *before != now;
                *before = now;
                changed
            });
        }
    });
    receiver
}

type Flight = Pin<Box<dyn Future<Output = (Answer, Option<Device>)> + Send>>;

/// One family's loop.
struct Keeping {
    family: Family,
    keeper: Keeper,
    pace: Pace,
    /// The UPnP device that was found.
    device: Option<Device>,
    network: watch::Receiver<Network>,
    status: Arc<watch::Sender<MappingStatus>>,
}

impl Keeping {
    async fn run(mut self, stop: CancellationToken) {
        let mut flight: Option<Flight> = None;
        let mut known = true;
        self.look();
        loop {
            if let Some(command) = self.keeper.poll_command(now()) {
                debug!(?command, "asking the router");
                flight = Some(Box::pin(carry_out(command, self.pace, self.device.take())));
            }
            self.publish();
            let due = self.keeper.poll_timeout();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                (answer, device) = landed(&mut flight) => {
                    flight = None;
                    self.take(answer, device);
                }
                changed = self.network.changed(), if known => {
                    known = changed.is_ok();
                    // What is under way belongs to the network before.
                    flight = None;
                    self.look();
                }
                () = until(due) => {}
            }
        }
        self.farewell(flight).await;
    }

    fn look(&mut self) {
        let network = self.network.borrow_and_update().clone();
        let path = match self.family {
            Family::V4 => network.ipv4,
            Family::V6 => network.ipv6,
        };
        self.keeper.handle_network(path, now());
    }

    fn take(&mut self, answer: Answer, device: Option<Device>) {
        debug!(?answer, "the router answered");
        self.device = device;
        self.keeper.handle_answer(answer, now());
    }

    fn publish(&self) {
        let states: Vec<_> = self.keeper.states().cloned().collect();
        self.set(states);
    }

    fn set(&self, states: Vec<PortState>) {
        self.status.send_if_modified(|status| {
            let mut changed = false;
            for (port, state) in status.ports.iter_mut().zip(states) {
                let place = match self.family {
                    Family::V4 => &mut port.ipv4,
                    Family::V6 => &mut port.ipv6,
                };
                if *place != state {
                    tell(&port.wish, place, &state);
                    *place = state;
                    changed = true;
                }
            }
            changed
        });
    }

    /// Deletes what the router keeps for us; what it does not delete in time ends by itself.
    async fn farewell(mut self, flight: Option<Flight>) {
        let until = Instant::now() + FAREWELL;
        if let Some(flight) = flight {
            // It may be making a mapping at this moment; half the time is left for deleting.
            if let Ok((answer, device)) = timeout_at(until - FAREWELL / 2, flight).await {
                self.take(answer, device);
            }
        }
        let held: Vec<_> = self.keeper.held().map(|held| held.ask.clone()).collect();
        let device = &self.device;
        let removals = held.into_iter().map(|ask| remove(ask, self.pace, device.clone()));
        if timeout_at(until, futures::future::join_all(removals)).await.is_err() {
            debug!("the router did not delete every mapping in time");
        }
        let ended = self.keeper.states().map(|_| PortState::Off).collect();
        self.set(ended);
    }
}

/// Once a change, not each renewal.
fn tell(wish: &PortWish, before: &PortState, after: &PortState) {
    let PortWish { protocol, internal, name } = wish;
    match (before, after) {
        (PortState::Mapped(before), PortState::Mapped(after)) if before.external == after.external => {
            debug!(%protocol, port = internal, name, "renewed the mapping");
        }
        (_, PortState::Mapped(mapping)) => {
            info!(%protocol, port = internal, name, outside = mapping.external.port(), method = %mapping.method,
                "the router opened a port");
        }
        (_, PortState::Failed(error)) => debug!(%protocol, port = internal, name, %error, "no mapping"),
        (_, PortState::Asking | PortState::Unneeded | PortState::Off) => {}
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn landed(flight: &mut Option<Flight>) -> (Answer, Option<Device>) {
    match flight {
        Some(flight) => flight.await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<std::time::Instant>) {
    match due {
        Some(due) => sleep_until(Instant::from_std(due)).await,
        None => std::future::pending().await,
    }
}
