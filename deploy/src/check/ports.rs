//! Published ports. Dappnode opens each of them on the owner's router.

use super::Rule;
use crate::{
    Package,
    package::{items, texts},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new("ports: written as \"N:N/protocol\"", written),
    Rule::new("ports: same number inside and outside", same),
    Rule::new("ports: TCP and UDP together", paired),
    Rule::new("ports: those that the image exposes", exposed),
    Rule::new("ports: away from those of other packages", free),
];

/// Ports that peers dial over TCP and over UDP: devp2p with its discovery, libp2p over TCP and QUIC, browsers over
/// WebSocket and WebTransport.
const BOTH: [u16; 3] = [30313, 30314, 30315];

/// Host ports that widespread packages publish.
const TAKEN: [u16; 9] = [4001, 8545, 8546, 9000, 13000, 30303, 30304, 30403, 30404];

/// A published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port<'a> {
    host: u16,
    pub(super) container: u16,
    pub(super) protocol: &'a str,
}

fn parse(text: &str) -> Option<Port<'_>> {
    let (numbers, protocol) = text.split_once('/')?;
    let (host, container) = numbers.split_once(':')?;
    let port = Port { host: host.parse().ok()?, container: container.parse().ok()?, protocol };
    ["tcp", "udp"].contains(&protocol).then_some(port)
}

/// Published ports of all services that are written as they should be.
pub(super) fn published(package: &Package) -> Vec<Port<'_>> {
    package.services().flat_map(|(_, service)| texts(&service["ports"])).filter_map(parse).collect()
}

/// YAML reads some numbers with a colon as one number to the base 60, so ports are texts.
fn written(package: &Package) -> Vec<String> {
    let ports = package.services().flat_map(|(_, service)| items(&service["ports"]));
    ports
        .filter(|port| port.as_str().and_then(parse).is_none())
        .map(|port| format!("{port} is not HOST:CONTAINER/tcp or /udp in quotation marks"))
        .collect()
}

/// The node announces the number that it listens on.
fn same(package: &Package) -> Vec<String> {
    let shifted = published(package).into_iter().filter(|port| port.host != port.container);
    shifted.map(|port| format!("{} inside is {} outside", port.container, port.host)).collect()
}

fn paired(package: &Package) -> Vec<String> {
    let published = published(package);
    let wanted = BOTH.into_iter().flat_map(|port| ["tcp", "udp"].map(|protocol| (port, protocol)));
    wanted
        .filter(|wanted| !published.iter().any(|port| (port.container, port.protocol) == *wanted))
        .map(|(port, protocol)| format!("{port}/{protocol} is not published"))
        .collect()
}

fn exposed(package: &Package) -> Vec<String> {
    let exposed: Vec<_> = package.image_lines("EXPOSE").flat_map(str::split_whitespace).collect();
    let published: Vec<_> =
        published(package).iter().map(|port| format!("{}/{}", port.container, port.protocol)).collect();
    let closed = exposed.iter().filter(|port| published.iter().all(|published| published != *port));
    let closed = closed.map(|port| format!("{port} is exposed by the image and not published"));
    let unknown = published.iter().filter(|port| !exposed.contains(&port.as_str()));
    closed.chain(unknown.map(|port| format!("{port} is published and not exposed by the image"))).collect()
}

fn free(package: &Package) -> Vec<String> {
    let taken = published(package).into_iter().filter(|port| TAKEN.contains(&port.host));
    taken.map(|port| format!("{} is used by other packages", port.host)).collect()
}
