//! What we say of ourselves: the contents of our node record, and our enode URL.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use causeway_discovery::External;
use causeway_reachability::{Evidence, Own, Policy, Reachability, tell};
use causeway_records::{Contents, Enode, Multiaddr, Reach};
use causeway_transports::Transports;
use causeway_wire::ForkId;

use crate::cli::Nat;

/// Where our record is kept in a data directory.
pub(crate) fn default_file(datadir: &Path) -> PathBuf {
    datadir.join("enr")
}

/// What our record says at the start, as long as nobody has said anything of us. `udp`: where discovery listens, if it
/// does.
pub(crate) fn contents(transports: &Transports, eth: ForkId, udp: Option<SocketAddr>, nat: Nat) -> Contents {
    let own = own(transports, udp, nat, External::default());
    let nothing = Evidence::none(Reach::Public);
    let told = tell(&own, &Reachability::unknown(), &nothing);
    Contents { eth: Some(eth), les: true, ..told.endpoints }
}

/// What we know of ourselves; `external`: where nodes of discovery see us.
pub(crate) fn own(transports: &Transports, udp: Option<SocketAddr>, nat: Nat, external: External) -> Own {
    let seen = [external.v4.map(SocketAddr::V4), external.v6.map(SocketAddr::V6)];
    Own {
        policy: match nat {
            Nat::Map(_) => Policy::Others,
            Nat::None => Policy::BoundOnly,
            Nat::Fixed(ip) => Policy::Fixed(ip),
        },
        listening: transports.multiaddrs().iter().filter_map(|text| text.parse().ok()).collect(),
        named: named(&transports.named_multiaddrs()),
        devp2p: transports.devp2p_addr(),
        discovery: udp,
        seen: seen.into_iter().flatten().collect(),
    }
}

/// The secure WebSocket by its DNS names, in the short form of records: what every browser can dial.
fn named(multiaddrs: &[String]) -> Vec<Multiaddr> {
    multiaddrs.iter().filter_map(|text| text.replace("/tls/ws", "/wss").parse().ok()).collect()
}

/// Our enode URL; with the loopback address where we listen on all.
pub(crate) fn enode(transports: &Transports) -> String {
    let addr = transports.devp2p_addr().unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let ip = match addr.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    };
    Enode::new(transports.node_key(), SocketAddr::new(ip, addr.port())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_said_in_the_short_form() {
        let said = named(&["/dns4/relay.example.org/tcp/443/tls/ws".to_owned()]);

        assert_eq!(said, ["/dns4/relay.example.org/tcp/443/wss".parse().expect("multiaddr")]);
    }
}
