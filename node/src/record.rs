//! What we say of ourselves: the contents of our node record, and our enode URL.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use causeway_records::{Contents, Enode, Multiaddr, Part, Record};
use causeway_transports::Transports;
use causeway_wire::ForkId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::cli::Nat;

/// How often our certificates' hashes are looked at; each is said for days before it is needed.
const CERTIFICATES: Duration = Duration::from_secs(600);

/// Where our record is kept in a data directory.
pub(crate) fn default_file(datadir: &Path) -> PathBuf {
    datadir.join("enr")
}

/// What our record says at the start. Addresses go in as far as we are bound to one or the user names one; the
/// others come in as peers agree on them. `udp`: the port of discovery, if there is any.
pub(crate) fn contents(transports: &Transports, eth: ForkId, udp: Option<u16>, nat: Nat) -> Contents {
    let mut contents = Contents { eth: Some(eth), les: true, udp, ..Contents::default() };
    if let Some(addr) = transports.devp2p_addr() {
        let said = match nat {
            Nat::Fixed(ip) => Some(ip),
            Nat::Map(_) | Nat::None => Some(addr.ip()).filter(|ip| !ip.is_unspecified()),
        };
        match said {
            Some(IpAddr::V4(ip)) => contents.ip = Some(ip),
            Some(IpAddr::V6(ip)) => contents.ip6 = Some(ip),
            None => {}
        }
        contents.tcp = Some(addr.port());
    }
    let listening = listening(transports);
    for address in &listening {
        match address.parts() {
            [Part::Ip4(_), Part::Udp(port), Part::QuicV1, Part::P2p(_)] => contents.quic = Some(*port),
            [Part::Ip6(_), Part::Udp(port), Part::QuicV1, Part::P2p(_)] => contents.quic6 = Some(*port),
            _ => {}
        }
    }
    contents.multiaddrs = named(&transports.named_multiaddrs());
    contents.multiaddrs.extend(websockets(&listening, contents.ip.map(IpAddr::V4)));
    contents
}

fn listening(transports: &Transports) -> Vec<Multiaddr> {
    transports.multiaddrs().iter().filter_map(|text| text.parse().ok()).collect()
}

/// The secure WebSocket by its DNS names, in the short form of records: what every browser can dial.
fn named(multiaddrs: &[String]) -> Vec<Multiaddr> {
    multiaddrs.iter().filter_map(|text| text.replace("/tls/ws", "/wss").parse().ok()).collect()
}

/// The WebSocket listeners at `ip`: the only way in for a browser.
fn websockets(listening: &[Multiaddr], ip: Option<IpAddr>) -> Vec<Multiaddr> {
    let Some(IpAddr::V4(ip)) = ip else { return Vec::new() };
    let mut found: Vec<Multiaddr> = Vec::new();
    for address in listening {
        if let [Part::Ip4(_), Part::Tcp(port), Part::Ws, ..] = address.parts()
            && let Ok(said) = format!("/ip4/{ip}/tcp/{port}/ws").parse()
            && !found.contains(&said)
        {
            found.push(said);
        }
    }
    found
}

/// Where libp2p peers reach us, as our record says it.
pub(crate) fn libp2p_addresses(record: &Record) -> Vec<String> {
    record.libp2p_addrs().iter().map(ToString::to_string).collect()
}

/// The listeners for browsers that need a hash of our certificate, at the IP addresses that the record says. They are
/// too long for the record itself.
fn with_certificates(listening: &[Multiaddr], record: &Record) -> Vec<String> {
    let (v4, v6) = (record.ip4(), record.ip6());
    let said = listening.iter().filter_map(|address| {
        let [host, rest @ ..] = address.parts() else { return None };
        rest.iter().find(|part| matches!(part, Part::Certhash(_)))?;
        let host = match host {
            Part::Ip4(_) => Part::Ip4(v4?),
            Part::Ip6(_) => Part::Ip6(v6?),
            _ => return None,
        };
        Some(std::iter::once(&host).chain(rest).map(ToString::to_string).collect())
    });
    let mut said: Vec<String> = said.collect();
    said.sort_unstable();
    said.dedup(); // one listener may have many addresses
    said
}

/// Lets identify tell those addresses, as they and our certificates change. Until `stop`.
pub(crate) async fn tell_libp2p(
    transports: Transports,
    mut record: watch::Receiver<Record>,
    stop: CancellationToken,
) {
    loop {
        let addresses = {
            let record = record.borrow_and_update();
            let mut addresses = libp2p_addresses(&record);
            addresses.extend(with_certificates(&listening(&transports), &record));
            addresses
        };
        if let Err(error) = transports.set_external_addresses(addresses).await {
            debug!(%error, "libp2p is not told our addresses");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CERTIFICATES) => {}
            changed = record.changed() => if changed.is_err() { return },
        }
    }
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
    use secp256k1::SecretKey;

    use super::*;

    #[test]
    fn names_are_said_in_the_short_form() {
        let said = named(&["/dns4/relay.example.org/tcp/443/tls/ws".to_owned()]);

        assert_eq!(said, ["/dns4/relay.example.org/tcp/443/wss".parse().expect("multiaddr")]);
    }

    #[test]
    fn only_plain_websockets_are_said_by_their_address() {
        let listening: Vec<Multiaddr> = ["/ip4/127.0.0.1/tcp/1/ws", "/ip4/127.0.0.1/tcp/2/tls/ws"]
            .map(|text| text.parse().expect("multiaddr"))
            .to_vec();

        let said = websockets(&listening, Some(IpAddr::from([192, 0, 2, 1])));

        assert_eq!(said, ["/ip4/192.0.2.1/tcp/1/ws".parse().expect("multiaddr")]);
    }

    #[test]
    fn certificates_are_said_at_our_addresses() {
        let hash = "/certhash/uEiAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let listening = ["127.0.0.1", "10.0.0.1"]
            .map(|ip| format!("/ip4/{ip}/udp/30315/quic-v1/webtransport{hash}").parse().expect("multiaddr"));
        let key = SecretKey::from_secret_bytes([7; 32]).expect("valid");
        let sign = |ip| Record::sign(&key, 1, &Contents { ip, ..Contents::default() }).expect("fits").record;

        let said = with_certificates(&listening, &sign(Some([192, 0, 2, 1].into())));

        assert_eq!(said, [format!("/ip4/192.0.2.1/udp/30315/quic-v1/webtransport{hash}")]);
        assert!(with_certificates(&listening, &sign(None)).is_empty());
    }
}
