//! What can be found where no relay runs: whether the ports are free, and whether the router opens them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use causeway_mapping::{MappingStatus, PortWish, Protocol};
use causeway_reachability::{Carrier, Evidence, Judge, Place};
use causeway_records::Reach;
use causeway_transports::ReachFacts;
use serde_json::Value;
use tokio::{sync::watch, time::timeout};

use crate::{
    cli::NetcheckArgs,
    mapping::PortMapping,
    ports::Ports,
    reachability::{mapped_ports, object, outgoing},
};

/// How long the router may take, with every protocol.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port that is ours while we look, so that nobody else is reached through it.
enum Bound {
    Tcp { _listener: TcpListener },
    Udp { _socket: UdpSocket },
}

/// Binds the ports, has the router open them, closes them again.
///
/// # Errors
/// If another program has one of the ports.
pub(super) async fn check(args: &NetcheckArgs) -> anyhow::Result<Value> {
    let ports = Ports::new(&args.listen, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let (mut places, mut bound) = (Vec::new(), Vec::new());
    for place in ports.listeners() {
        let (socket, addr) = bind(place).with_context(|| {
            format!("binding {} {}: does another program use it?", place.transport.carrier(), place.addr)
        })?;
        bound.push(socket);
        places.push(Place { addr, ..place });
    }
    let mapping = PortMapping::start(args.nat, wishes(&places), false);
    let status = settled(mapping.status()).await;
    let outgoing = outgoing();
    let listeners = places.iter().flat_map(|place| {
        let any = place.addr.ip().is_unspecified();
        let ips = if any { outgoing.clone() } else { vec![place.addr.ip()] };
        let fits = move |ip: &IpAddr| ip.is_ipv4() || place.addr.is_ipv6();
        ips.into_iter()
            .filter(fits)
            .map(|ip| Place { addr: SocketAddr::new(ip, place.addr.port()), ..*place })
    });
    let evidence = Evidence {
        listeners: listeners.collect(),
        mappings: mapped_ports(&status),
        outgoing: outgoing.clone(),
        ..Evidence::none(Reach::Public)
    };
    let mut found = Judge::default().weigh(&evidence, SystemTime::now());
    if found.tested.is_none() && !found.state.is_direct() {
        found.advice = format!(
            "{} Only peers can test it: start `causeway run`, wait a minute, and ask again.",
            found.advice
        );
    }
    mapping.end().await;
    drop(bound);
    Ok(object(&found, &status, &ReachFacts::default()))
}

fn bind(place: Place) -> std::io::Result<(Bound, SocketAddr)> {
    match place.transport.carrier() {
        Carrier::Tcp => {
            let listener = TcpListener::bind(place.addr)?;
            let addr = listener.local_addr()?;
            Ok((Bound::Tcp { _listener: listener }, addr))
        }
        Carrier::Udp => {
            let socket = UdpSocket::bind(place.addr)?;
            let addr = socket.local_addr()?;
            Ok((Bound::Udp { _socket: socket }, addr))
        }
    }
}

fn wishes(places: &[Place]) -> Vec<PortWish> {
    let outside = places.iter().filter(|place| !place.addr.ip().is_loopback());
    outside
        .map(|place| PortWish {
            protocol: match place.transport.carrier() {
                Carrier::Tcp => Protocol::Tcp,
                Carrier::Udp => Protocol::Udp,
            },
            internal: place.addr.port(),
            name: place.transport.name(),
        })
        .collect()
}

/// What the router did in the end, or so far.
async fn settled(mut status: watch::Receiver<MappingStatus>) -> MappingStatus {
    // An error says that nobody was asked, or that it took too long: what is known then is told.
    let _ = timeout(PATIENCE, status.wait_for(MappingStatus::is_settled)).await;
    let now = status.borrow();
    now.clone()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(flags: &[&str]) -> NetcheckArgs {
        let flags = ["causeway", "netcheck"].iter().chain(flags);
        let Command::Netcheck(args) = Cli::parse_from(flags).command else { panic!("another command") };
        args
    }

    #[tokio::test]
    async fn alone_on_loopback_it_names_the_setting() {
        let object = check(&args(&["--addr", "127.0.0.1", "--ports", "0"])).await.expect("free ports");

        assert_eq!(object["state"], "unreachable");
        let advice = object["advice"].as_str().expect("advice");
        assert!(
            advice.starts_with("Your setting --addr 127.0.0.1 makes listener quic unreachable."),
            "{advice}"
        );
        assert_eq!(object["mappings"], serde_json::json!([]));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = taken.local_addr().expect("an address").port().to_string();
        let flags = ["--addr", "127.0.0.1", "--ports", "0", "--port.ws", &port];

        let error = format!("{:#}", check(&args(&flags)).await.expect_err("taken"));

        assert!(error.contains(&format!("TCP 127.0.0.1:{port}")), "{error}");
    }
}
