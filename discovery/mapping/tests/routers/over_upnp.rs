//! UPnP.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use causeway_mapping::{BadAnswer, MappingError, Method, Methods};
use tokio::net::{TcpListener, UdpSocket};

use crate::{
    home::{Home, PORT, path},
    igd::{Calls, Reaction, answer, igd, ssdp},
};

const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ADDRESS: Reaction = Reaction::Arguments("<NewExternalIPAddress>1.2.3.4</NewExternalIPAddress>");
const DONE: Reaction = Reaction::Arguments("");
const METHOD: Methods = Methods::Only(Method::Upnp);

/// Nothing answers PCP or NAT-PMP there.
fn nowhere() -> std::net::SocketAddr {
    (Ipv4Addr::LOCALHOST, 1).into()
}

fn bad(what: BadAnswer) -> MappingError {
    MappingError::BadAnswer { gateway: GATEWAY, method: Method::Upnp, what }
}

fn named(calls: &Calls, name: &str) -> Vec<String> {
    let calls = calls.lock().expect("unpoisoned");
    calls.iter().filter(|(known, _)| known == name).map(|(_, body)| body.clone()).collect()
}

/// What becomes of the wish at a router that answers an attempt to map so.
async fn failure(mut react: impl FnMut() -> Reaction + Send + 'static) -> MappingError {
    let (search, _) = igd(move |name, _| match name {
        "GetExternalIPAddress" => ADDRESS,
        "DeletePortMapping" => DONE,
        _ => react(),
    })
    .await;
    let mut home = Home::start(METHOD, path(nowhere(), Some(search)), 60);
    let error = home.failed().await;
    home.stop().await;
    error
}

#[tokio::test]
async fn a_port_is_mapped_renewed_and_deleted() {
    let (search, calls) = igd(|name, _| if name == "GetExternalIPAddress" { ADDRESS } else { DONE }).await;
    let mut home = Home::start(METHOD, path(nowhere(), Some(search)), 1);

    let mapping = home.mapped().await;

    assert_eq!(mapping.external, (Ipv4Addr::new(1, 2, 3, 4), PORT).into());
    assert_eq!(mapping.method, Method::Upnp);
    let added = named(&calls, "AddPortMapping");
    assert!(added[0].contains("<NewInternalClient>127.0.0.1</NewInternalClient>"));
    assert!(added[0].contains("<NewLeaseDuration>1</NewLeaseDuration>"));
    home.until(|_| (named(&calls, "AddPortMapping").len() > 2).then_some(())).await;
    home.stop().await;
    let deleted = named(&calls, "DeletePortMapping");
    assert_eq!(deleted.len(), 1);
    assert!(deleted[0].contains(&format!("<NewExternalPort>{PORT}</NewExternalPort>")));
}

#[tokio::test]
async fn it_is_found_behind_a_router_that_is_silent_in_the_other_protocols() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let control = silent.local_addr().expect("an address");
    let (search, _) = igd(|name, _| if name == "GetExternalIPAddress" { ADDRESS } else { DONE }).await;
    let mut home = Home::start(Methods::Any, path(control, Some(search)), 60);

    assert_eq!(home.mapped().await.method, Method::Upnp);
    home.stop().await;
}

#[tokio::test]
async fn a_port_of_another_device_is_replaced_by_another_port() {
    let mut tries = 0;
    let (search, calls) = igd(move |name, _| match name {
        "GetExternalIPAddress" => ADDRESS,
        "AddPortMapping" => {
            tries += 1;
            if tries < 3 { Reaction::Fault(718) } else { DONE }
        }
        _ => DONE,
    })
    .await;
    let mut home = Home::start(METHOD, path(nowhere(), Some(search)), 60);

    let port = home.mapped().await.external.port();

    assert!(port >= 20_000, "{port}");
    home.stop().await;
    assert!(named(&calls, "DeletePortMapping")[0].contains(&format!("<NewExternalPort>{port}<")));
}

#[tokio::test]
async fn a_router_that_keeps_only_endless_mappings_gets_one() {
    let (search, calls) = igd(|name, body| match name {
        "GetExternalIPAddress" => ADDRESS,
        "AddPortMapping" if !body.contains("<NewLeaseDuration>0<") => Reaction::Fault(725),
        _ => DONE,
    })
    .await;
    let mut home = Home::start(METHOD, path(nowhere(), Some(search)), 60);

    assert_eq!(home.mapped().await.expires, None);
    home.stop().await;
    assert_eq!(named(&calls, "DeletePortMapping").len(), 1);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (gateway, method) = (GATEWAY, Method::Upnp);
    let taken = MappingError::PortTaken { gateway, port: PORT };
    assert_eq!(failure(|| Reaction::Fault(718)).await, taken);
    assert_eq!(failure(|| Reaction::Fault(606)).await, MappingError::NotAllowed { gateway, method });
    assert_eq!(failure(|| Reaction::Fault(728)).await, MappingError::Full { gateway, method });
    assert_eq!(failure(|| Reaction::Fault(501)).await, bad(BadAnswer::Result(501)));
}

#[tokio::test]
async fn pages_without_sense_or_end_are_refused() {
    assert_eq!(failure(|| Reaction::Page("<html>".to_owned())).await, bad(BadAnswer::Format));
    assert_eq!(failure(|| Reaction::Page("<a>".repeat(10_000))).await, bad(BadAnswer::Format));
    assert_eq!(failure(|| Reaction::Flood).await, bad(BadAnswer::TooLong));
    assert_eq!(
        failure(|| Reaction::Silence).await,
        MappingError::NoAnswer { gateway: GATEWAY, method: Method::Upnp }
    );
}

#[tokio::test]
async fn a_router_without_a_line_is_told() {
    for arguments in [
        "",
        "<NewExternalIPAddress></NewExternalIPAddress>",
        "<NewExternalIPAddress>0.0.0.0</NewExternalIPAddress>",
    ] {
        let (search, _) = igd(move |_, _| Reaction::Arguments(arguments)).await;
        let mut home = Home::start(METHOD, path(nowhere(), Some(search)), 60);
        assert_eq!(home.failed().await, MappingError::NoOutsideAddress { gateway: GATEWAY });
        home.stop().await;
    }
}

#[tokio::test]
async fn nobody_can_send_us_to_another_machine() {
    // Both would take a connection.
    let other = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await.expect("a listener");
    let address = other.local_addr().expect("an address");
    let search = ssdp(move |_| {
        vec![answer(&format!("http://{address}/")), answer("http://router.home/"), answer("ftp://127.0.0.1/")]
    })
    .await;
    let mut home = Home::start(METHOD, path(nowhere(), Some(search)), 60);

    let error = home.failed().await;

    assert_eq!(error, MappingError::NoAnswer { gateway: GATEWAY, method: Method::Upnp });
    let came = tokio::time::timeout(Duration::from_millis(50), other.accept()).await;
    assert!(came.is_err(), "somebody was sent there");
    home.stop().await;
}

#[tokio::test]
async fn a_flood_of_answers_ends_the_search() {
    let search = ssdp(|_| {
        let long = answer(&format!("http://127.0.0.1/{}", "x".repeat(4000)));
        vec![vec![0xff; 1000], long].into_iter().cycle().take(500).collect()
    })
    .await;
    let begun = Instant::now();
    let mut home = Home::start(METHOD, path(nowhere(), Some(search)), 60);

    assert_eq!(home.failed().await, MappingError::NoAnswer { gateway: GATEWAY, method: Method::Upnp });
    assert!(begun.elapsed() < Duration::from_secs(5));
    home.stop().await;
}
