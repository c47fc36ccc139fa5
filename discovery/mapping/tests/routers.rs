//! A mapper at home with routers of every temper, on loopback.

#[path = "routers/home.rs"]
mod home;
#[path = "routers/igd.rs"]
mod igd;
#[path = "routers/udp.rs"]
mod udp;

#[path = "routers/over_udp.rs"]
mod over_udp;
#[path = "routers/over_upnp.rs"]
mod over_upnp;

use std::time::{Duration, Instant};

use causeway_mapping::{
    FAREWELL, MAX_PORTS, Mapper, MappingConfig, MappingConfigError, MappingError, Method, Methods, PortState,
    PortWish, Protocol,
};
use home::{Home, no_network, path};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use udp::{Table, table_router};

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let start = |config| Mapper::start(config, &TaskTracker::new(), CancellationToken::new()).map(|_| ());
    let wish = PortWish { protocol: Protocol::Tcp, internal: 1, name: "p2p" };
    let config = |ports| MappingConfig::new(Methods::Any, ports);

    let many = vec![wish.clone(); MAX_PORTS + 1];
    assert_eq!(start(config(many)), Err(MappingConfigError::TooManyPorts { count: MAX_PORTS + 1 }));
    let zero = PortWish { internal: 0, ..wish.clone() };
    assert_eq!(start(config(vec![zero])), Err(MappingConfigError::PortZero { name: "p2p" }));
    let endless = MappingConfig { lifetime: Duration::from_secs(90_000), ..config(vec![wish]) };
    assert_eq!(start(endless), Err(MappingConfigError::Lifetime { seconds: 90_000 }));
}

#[tokio::test]
async fn without_a_router_that_is_said() {
    let mut home = Home::start(Methods::Any, no_network(), 60);

    assert_eq!(home.failed().await, MappingError::NoGateway);
    home.stop().await;
}

#[tokio::test]
async fn another_router_is_asked_when_the_network_changes() {
    let (first, second) = (Table::shared(), Table::shared());
    let one = table_router(first.clone()).await;
    let other = table_router(second.clone()).await;
    let mut home = Home::start(Methods::Only(Method::Pmp), path(one, None), 60);
    let before = home.mapped().await;

    home.moves_to(path(other, None));

    let after = home.until(|state| match state {
        PortState::Mapped(mapping) if mapping != &before => Some(mapping.clone()),
        _ => None,
    });
    assert_eq!(after.await.method, Method::Pmp);
    assert_eq!(second.lock().expect("unpoisoned").mappings.len(), 1);
    home.stop().await;
    assert!(second.lock().expect("unpoisoned").mappings.is_empty());
}

#[tokio::test]
async fn a_silent_router_does_not_hold_up_the_end() {
    let table = Table::shared();
    let router = table_router(table.clone()).await;
    let mut home = Home::start(Methods::Only(Method::Pcp), path(router, None), 60);
    home.mapped().await;
    table.lock().expect("unpoisoned").silent = true;

    let begun = Instant::now();
    home.stop().await;

    assert!(begun.elapsed() < FAREWELL + Duration::from_millis(500), "{:?}", begun.elapsed());
}
