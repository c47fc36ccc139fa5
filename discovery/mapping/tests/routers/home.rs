//! A machine at home whose mapper asks a router on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use causeway_mapping::{
    Mapper, Mapping, MappingConfig, MappingError, MappingStatus, Methods, Network, Pace, Path, PortState,
    PortWish, Protocol, Routes,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// The port that is wished.
pub(crate) const PORT: u16 = 4321;

pub(crate) fn no_network() -> Network {
    Network::default()
}

/// A router that takes PCP and NAT-PMP at one address and SSDP at another, or not.
pub(crate) fn path(control: SocketAddr, search: Option<SocketAddrV4>) -> Network {
    let address = Ipv4Addr::LOCALHOST.into();
    let path = Path { control, search: search.into_iter().collect(), address, prefix: 8 };
    Network { ipv4: Some(path), ipv6: None }
}

/// Quick, as nothing is far on loopback.
fn pace() -> Pace {
    let millis = Duration::from_millis;
    Pace {
        first_wait: millis(60),
        search: millis(300),
        http: millis(1000),
        check: millis(100),
        upnp_refresh: millis(1000),
        least_pause: millis(50),
        first_retry: millis(150),
        last_retry: millis(1000),
        reset_pause: millis(200),
        look: millis(100),
    }
}

/// A mapper with one wish.
#[derive(Debug)]
pub(crate) struct Home {
    network: watch::Sender<Network>,
    status: watch::Receiver<MappingStatus>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Home {
    pub(crate) fn start(methods: Methods, network: Network, lifetime: u64) -> Self {
        let (sender, receiver) = watch::channel(network);
        let ports = vec![PortWish { protocol: Protocol::Udp, internal: PORT, name: "quic" }];
        let config = MappingConfig {
            lifetime: Duration::from_secs(lifetime),
            routes: Routes::Given(receiver),
            pace: pace(),
            ..MappingConfig::new(methods, ports)
        };
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let mapper = Mapper::start(config, &tasks, stop.clone()).expect("a configuration that can be meant");
        Self { network: sender, status: mapper.status(), tasks, stop }
    }

    pub(crate) fn moves_to(&self, network: Network) {
        self.network.send_replace(network);
    }

    pub(crate) fn status(&self) -> MappingStatus {
        self.status.borrow().clone()
    }

    /// Waits until the wish's state is what is looked for.
    pub(crate) async fn until<T>(&mut self, look: impl Fn(&PortState) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let found = self.status.borrow_and_update().ports.first().and_then(|port| look(&port.ipv4));
                if let Some(found) = found {
                    return found;
                }
                self.status.changed().await.expect("the mapper runs");
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("still {:?}", self.status()),
        }
    }

    pub(crate) async fn mapped(&mut self) -> Mapping {
        self.until(|state| match state {
            PortState::Mapped(mapping) => Some(mapping.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn failed(&mut self) -> MappingError {
        self.until(|state| match state {
            PortState::Failed(error) => Some(error.clone()),
            _ => None,
        })
        .await
    }

    /// Ends the mapper and waits for its tasks.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        timeout(PATIENCE, self.tasks.wait()).await.expect("the tasks end");
        assert!(self.status().ports.iter().all(|port| port.ipv4 == PortState::Off));
    }
}
