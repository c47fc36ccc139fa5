//! The router is asked to open the ports that others are to reach.

use std::net::{IpAddr, SocketAddr};

use causeway_mapping::{Mapper, MappingConfig, MappingStatus, PortState, PortWish, Protocol};
use causeway_records::{Multiaddr, Part};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::cli::Nat;

/// The ports that are open at the router, until [`PortMapping::end`].
#[derive(Debug)]
pub(crate) struct PortMapping {
    status: watch::Receiver<MappingStatus>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl PortMapping {
    /// Asks the router, if `nat` says so and there is anything that is not for this machine alone. `allow_private`:
    /// outside addresses that are not public count, too, as in laboratories.
    pub(crate) fn start(nat: Nat, wishes: Vec<PortWish>, allow_private: bool) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let mapper = match nat {
            Nat::Map(methods) if !wishes.is_empty() => {
                let config = MappingConfig { allow_private, ..MappingConfig::new(methods, wishes) };
                Mapper::start(config, &tasks, stop.clone())
                    .inspect_err(|error| warn!(%error, "the router is not asked to open ports"))
                    .ok()
            }
            Nat::Map(_) | Nat::None | Nat::Fixed(_) => None,
        };
        let status =
            mapper.map_or_else(|| watch::channel(MappingStatus::default()).1, |mapper| mapper.status());
        Self { status, tasks, stop }
    }

    /// What the router did, now and as it changes.
    pub(crate) fn status(&self) -> watch::Receiver<MappingStatus> {
        self.status.clone()
    }

    /// Has the ports closed again; takes at most [`causeway_mapping::FAREWELL`].
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What the router is asked for: every port at which somebody outside could reach us. `discovery` is the address of
/// discv5 and discv4.
pub(crate) fn wishes(
    devp2p: Option<SocketAddr>,
    discovery: Option<SocketAddr>,
    multiaddrs: &[String],
) -> Vec<PortWish> {
    let mut wishes = Vec::new();
    let mut wish = |ip: IpAddr, protocol, internal, name| {
        let known = |known: &PortWish| known.protocol == protocol && known.internal == internal;
        if !ip.is_loopback() && internal != 0 && !wishes.iter().any(known) {
            wishes.push(PortWish { protocol, internal, name });
        }
    };
    if let Some(addr) = devp2p {
        wish(addr.ip(), Protocol::Tcp, addr.port(), "devp2p");
    }
    if let Some(addr) = discovery {
        wish(addr.ip(), Protocol::Udp, addr.port(), "discovery");
    }
    for address in multiaddrs.iter().filter_map(|text| text.parse::<Multiaddr>().ok()) {
        let (Some(ip), [_, rest @ ..]) = (address.ip(), address.parts()) else { continue };
        match rest {
            [Part::Udp(port), Part::QuicV1, Part::WebTransport, ..] => {
                wish(ip, Protocol::Udp, *port, "webtransport");
            }
            [Part::Udp(port), Part::QuicV1, ..] => wish(ip, Protocol::Udp, *port, "quic"),
            [Part::Udp(port), Part::WebRtcDirect, ..] => wish(ip, Protocol::Udp, *port, "webrtc"),
            [Part::Tcp(port), Part::Ws, ..] => wish(ip, Protocol::Tcp, *port, "ws"),
            [Part::Tcp(port), Part::Wss | Part::Tls, ..] => wish(ip, Protocol::Tcp, *port, "wss"),
            [Part::Tcp(port), ..] => wish(ip, Protocol::Tcp, *port, "tcp"),
            _ => {}
        }
    }
    wishes
}

/// What the router did, for status and `causeway netcheck`. `here`: our address in the home network.
pub(crate) fn objects(status: &MappingStatus, here: Option<IpAddr>) -> Vec<Value> {
    let ports = status.ports.iter().flat_map(|port| {
        [("ipv4", &port.ipv4), ("ipv6", &port.ipv6)].map(|(family, state)| (&port.wish, family, state))
    });
    ports.filter_map(|(wish, family, state)| object(wish, family, state, here)).collect()
}

fn object(wish: &PortWish, family: &str, state: &PortState, here: Option<IpAddr>) -> Option<Value> {
    let mut object = json!({
        "name": wish.name,
        "protocol": wish.protocol.to_string(),
        "port": wish.internal,
        "family": family,
    });
    let more = match state {
        PortState::Off => return None,
        // Most homes have none, and it is nothing to be sorry for.
        PortState::Failed(causeway_mapping::MappingError::NoGateway) if family == "ipv6" => return None,
        PortState::Asking => json!({ "state": "asking" }),
        PortState::Unneeded => json!({ "state": "unneeded" }),
        PortState::Mapped(mapping) => json!({
            "state": "mapped",
            "external": mapping.external.to_string(),
            "method": mapping.method.to_string(),
        }),
        PortState::Failed(error) => {
            json!({ "state": "failed", "why": error.to_string(), "advice": error.advice(wish, here) })
        }
    };
    object.as_object_mut()?.extend(more.as_object()?.clone());
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listener_is_wished_once_and_none_of_loopback() {
        let id = "/p2p/16Uiu2HAmT14ttcUrwsTn5fwCUc4qY4twN2HqyZgSgZKUMtVei6SC";
        let hash = "/certhash/uEiAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let listening = [
            format!("/ip4/127.0.0.1/udp/30314/quic-v1{id}"),
            format!("/ip4/192.168.1.10/udp/30314/quic-v1{id}"),
            format!("/ip4/192.168.1.11/udp/30314/quic-v1{id}"),
            format!("/ip4/192.168.1.10/tcp/30314{id}"),
            format!("/ip4/192.168.1.10/tcp/30315/ws{id}"),
            format!("/ip4/192.168.1.10/tcp/30316/tls/ws{id}"),
            format!("/ip4/192.168.1.10/udp/30315/quic-v1/webtransport{hash}{id}"),
            format!("/ip4/192.168.1.10/udp/30316/webrtc-direct{hash}{id}"),
        ];
        let every = |port| Some(SocketAddr::from(([0, 0, 0, 0], port)));

        let wishes = wishes(every(30313), every(30313), &listening);

        let told: Vec<_> =
            wishes.iter().map(|wish| format!("{} {} {}", wish.name, wish.protocol, wish.internal)).collect();
        let expected = [
            "devp2p TCP 30313",
            "discovery UDP 30313",
            "quic UDP 30314",
            "tcp TCP 30314",
            "ws TCP 30315",
            "wss TCP 30316",
            "webtransport UDP 30315",
            "webrtc UDP 30316",
        ];
        assert_eq!(told, expected);
    }

    #[tokio::test]
    async fn nobody_is_asked_for_what_only_this_machine_reaches() {
        let local = Some(SocketAddr::from(([127, 0, 0, 1], 30313)));
        let wishes = wishes(local, local, &["/ip4/127.0.0.1/tcp/30314".to_owned()]);
        assert!(wishes.is_empty());

        let mapping = PortMapping::start(Nat::Map(causeway_mapping::Methods::Any), wishes, false);

        assert_eq!(mapping.status().borrow().ports, []);
        mapping.end().await;
    }
}
