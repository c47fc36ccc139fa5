//! How the crate `discv5` is set up, and its records beside ours.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use alloy_rlp::Decodable as _;
use causeway_records::{Reach, Record, is_allowed};
use discv5::{
    Config, ConfigBuilder, Enr, Executor, ListenConfig, PermitBanList, ProtocolIdentity, RateLimiterBuilder,
};
use enr::CombinedKey;
use secp256k1::SecretKey;
use tokio_util::task::TaskTracker;

use super::{UdpError, UdpLimits, v4::SharedSockets};

/// Lowest port that a stranger may send us to on the public internet, so that nobody is sent to a name or time
/// server; geth has the same bound.
const LOWEST_PORT: u16 = 1025;

/// Node ids seen at one address before it is not heard for a while; several nodes may share a router.
const MAX_NODES_PER_IP: usize = 100;

/// Of the 16 nodes of a bucket, those who came to us by themselves.
const MAX_INCOMING_PER_BUCKET: usize = 8;

/// The longest that a lookup takes; it ends earlier if all answer.
const LOOKUP_TIME: Duration = Duration::from_secs(30);

/// The settings of the crate.
///
/// Its filter sees every packet of the socket, discv4's too, before anything is decoded. So the rate of an address
/// is for both protocols together. Who exceeds it is banned, and as source addresses (and the ids in headers) can
/// be forged, that is a way to have others banned: bans last only until the crate's next sweep, at most 5 minutes,
/// there is no rate by node id, and answers to our own discv5 requests pass in any case. In a closed network all
/// nodes may be at one address: there only the rate of all together counts, and on loopback not even that.
///
/// The list of bans belongs to the process, and each start of an instance writes it anew.
pub(super) fn config(
    sockets: &SharedSockets,
    reach: Reach,
    limits: UdpLimits,
    protocol_id: [u8; 6],
    tasks: &TaskTracker,
) -> Result<Config, UdpError> {
    let second = Duration::from_secs(1);
    let mut rates = RateLimiterBuilder::new().total_n_every(limits.packets_per_second, second);
    if reach == Reach::Public {
        rates = rates.ip_n_every(limits.packets_per_ip, second);
    }
    let listen = ListenConfig::FromSockets { ipv4: sockets.v4.clone(), ipv6: sockets.v6.clone() };
    let mut config = ConfigBuilder::new(listen);
    config
        .executor(Box::new(Tracked(tasks.clone())))
        .protocol_identity(ProtocolIdentity { protocol_id, ..ProtocolIdentity::default() })
        .enable_packet_filter()
        .filter_rate_limiter(Some(rates.build().map_err(UdpError::Limits)?))
        .filter_max_bans_per_ip(None)
        .ban_duration(Some(Duration::ZERO))
        .incoming_bucket_limit(MAX_INCOMING_PER_BUCKET)
        .session_cache_capacity(limits.sessions)
        .query_timeout(LOOKUP_TIME)
        .disable_enr_update(); // see `votes`
    match reach {
        Reach::Public => {
            config.ip_limit().filter_max_nodes_per_ip(Some(MAX_NODES_PER_IP)).table_filter(is_public);
        }
        Reach::Local => {
            let permit_ips = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].into();
            config
                .filter_max_nodes_per_ip(None)
                .permit_ban_list(PermitBanList { permit_ips, ..PermitBanList::default() })
                .table_filter(is_local);
        }
    }
    Ok(config.build())
}

/// Whether a stranger's record may be in the table, and so be told to others and be sent to.
pub(super) fn table_filter(reach: Reach) -> fn(&Enr) -> bool {
    match reach {
        Reach::Public => is_public,
        Reach::Local => is_local,
    }
}

fn is_public(enr: &Enr) -> bool {
    all_addrs(enr, |addr| is_allowed(addr.ip(), Reach::Public) && addr.port() >= LOWEST_PORT)
}

fn is_local(enr: &Enr) -> bool {
    all_addrs(enr, |addr| is_allowed(addr.ip(), Reach::Local) && addr.port() != 0)
}

/// Whether all addresses are `allowed`. One without any has no place in the table, and the crate counts on that: it
/// logs an error whenever it would ask such a node for a sign of life, and panics in debug builds.
fn all_addrs(enr: &Enr, allowed: impl Fn(SocketAddr) -> bool) -> bool {
    let mut addrs = udp_addrs(enr).peekable();
    addrs.peek().is_some() && addrs.all(allowed)
}

fn udp_addrs(enr: &Enr) -> impl Iterator<Item = SocketAddr> {
    let v4 = enr.udp4_socket().map(SocketAddr::V4);
    v4.into_iter().chain(enr.udp6_socket().map(SocketAddr::V6))
}

/// Spawns the crate's tasks where they are waited for.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl Executor for Tracked {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(future);
    }
}

/// The crate's form of a record.
pub(super) fn to_enr(record: &Record) -> Option<Enr> {
    Enr::decode(&mut record.encode().as_slice()).ok()
}

/// Our form of a record; none of a node whose key is not on our curve.
pub(super) fn to_record(enr: &Enr) -> Option<Record> {
    Record::decode(&alloy_rlp::encode(enr)).ok()
}

/// The crate's form of our key.
pub(super) fn to_key(secret: &SecretKey) -> Option<CombinedKey> {
    CombinedKey::secp256k1_from_bytes(&mut secret.to_secret_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use causeway_records::Contents;

    use super::*;

    fn enr(ip: [u8; 4], port: u16, ip6: Option<&str>) -> Enr {
        let contents = Contents {
            ip: Some(ip.into()),
            udp: Some(port),
            ip6: ip6.map(|ip| ip.parse().expect("valid")),
            udp6: ip6.map(|_| 30304),
            ..Contents::default()
        };
        let secret = SecretKey::from_secret_bytes([7; 32]).expect("valid secret");
        to_enr(&Record::sign(&secret, 1, &contents).expect("fits").record).expect("a record")
    }

    #[test]
    fn records_are_the_same_in_both_forms() {
        let enr = enr([8, 8, 4, 4], 30303, Some("2606:4700::1"));

        let record = to_record(&enr).expect("a record");

        assert_eq!(to_enr(&record), Some(enr));
    }

    #[test]
    fn the_table_takes_what_may_be_sent_to() {
        let public = table_filter(Reach::Public);
        let local = table_filter(Reach::Local);

        assert!(public(&enr([8, 8, 4, 4], 30303, None)));
        for refused in [
            enr([127, 0, 0, 1], 30303, None),
            enr([8, 8, 4, 4], 53, None),
            enr([8, 8, 4, 4], 30303, Some("fd00::1")),
        ] {
            assert!(!public(&refused) && local(&refused), "{refused}");
        }
        assert!(!local(&enr([224, 0, 0, 1], 30303, None)));
        let secret = SecretKey::from_secret_bytes([7; 32]).expect("valid secret");
        let nowhere = Record::sign(&secret, 1, &Contents::default()).expect("fits").record;
        let nowhere = to_enr(&nowhere).expect("a record");
        assert!(!public(&nowhere) && !local(&nowhere));
    }
}
