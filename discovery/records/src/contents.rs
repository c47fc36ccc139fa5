//! What a record of ours says, signed: kept under the size limit, renumbered only when it changes.

mod relays;

use std::net::{Ipv4Addr, Ipv6Addr};

use alloy_eip2124::{EnrForkIdEntry, ForkHash};
use alloy_primitives::Bytes;
use causeway_wire::ForkId;
use enr::Enr;
use secp256k1::SecretKey;

use crate::{MAX_MULTIADDRS, Multiaddr, Record, RecordError, multiaddrs::pack, node_key};

pub use relays::MAX_RELAYS;
use relays::worth_naming;

/// The version of the key `les` that geth up to 1.13.5 writes: vflux, not LES.
const LES_VERSION: u64 = 1;

/// What a record of ours says; every endpoint may be absent.
///
/// `tcp` and `udp` are devp2p's ports, so libp2p's are said by `quic` (as beacon nodes do) and `multiaddrs`
/// (as Waku nodes do). The libp2p PeerId follows from the record's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// `ip`
    pub ip: Option<Ipv4Addr>,
    /// `ip6`
    pub ip6: Option<Ipv6Addr>,
    /// `tcp`: RLPx.
    pub tcp: Option<u16>,
    /// `udp`: discovery.
    pub udp: Option<u16>,
    /// `tcp6`: RLPx; not written if it is the same as `tcp`, which it falls back to.
    pub tcp6: Option<u16>,
    /// `udp6`: discovery; the same as `udp` unless given. Written only beside `ip6`.
    pub udp6: Option<u16>,
    /// `quic`: libp2p over QUIC.
    pub quic: Option<u16>,
    /// `quic6`: libp2p over QUIC.
    pub quic6: Option<u16>,
    /// `eth`: the chain's fork id at our head.
    pub eth: Option<ForkId>,
    /// `les`: LES is served.
    pub les: bool,
    /// `snap`: snap is served.
    pub snap: bool,
    /// `multiaddrs`, the most useful first; see [`Multiaddr::for_record`] for the form they are carried in.
    pub multiaddrs: Vec<Multiaddr>,
    /// `multiaddrs`, behind the others: addresses through relays that keep a place for us, `/…/p2p/RELAY/p2p-circuit`.
    /// [`MAX_RELAYS`] of them are said, each through another relay and by the shortest way to it.
    pub relays: Vec<Multiaddr>,
}

/// A record of ours, and what it could not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The record.
    pub record: Record,
    /// What was left out to stay within [`crate::MAX_RECORD`], in the order in which it went.
    pub dropped: Vec<Dropped>,
}

/// Something that a record had no room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// An address of `multiaddrs`.
    Multiaddr(Multiaddr),
    /// A key.
    Key(&'static str),
}

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Multiaddr(addr) => addr.fmt(f),
            Self::Key(key) => f.write_str(key),
        }
    }
}

impl Contents {
    /// Takes out what is missed least; `None` if only that is left which a record of ours must have.
    ///
    /// Further addresses go first, then IPv6 (most who have it have IPv4 too), then what can be asked for
    /// after connecting; the first address goes late, as browsers have no other.
    fn drop_least_useful(&mut self) -> Option<Dropped> {
        if self.multiaddrs.len() > 1 {
            return self.multiaddrs.pop().map(Dropped::Multiaddr);
        }
        let spare6 = self.ip.is_some();
        if spare6 && self.quic6.take().is_some() {
            return Some(Dropped::Key("quic6"));
        }
        if spare6 && self.udp6.take().is_some() {
            return Some(Dropped::Key("udp6"));
        }
        if spare6 && self.tcp6.take().is_some() {
            return Some(Dropped::Key("tcp6"));
        }
        if spare6 && self.ip6.take().is_some() {
            return Some(Dropped::Key("ip6"));
        }
        if std::mem::take(&mut self.snap) {
            return Some(Dropped::Key("snap"));
        }
        if self.relays.len() > 1 {
            return self.relays.pop().map(Dropped::Multiaddr);
        }
        if let Some(addr) = self.multiaddrs.pop() {
            return Some(Dropped::Multiaddr(addr));
        }
        if self.quic.take().is_some() {
            return Some(Dropped::Key("quic"));
        }
        // Who has a relay has hardly another way in.
        self.relays.pop().map(Dropped::Multiaddr)
    }
}

impl Record {
    /// Signs a record with `contents`; what does not fit is left out, the least useful first.
    ///
    /// # Errors
    /// [`RecordError::Sign`] if signing fails.
    pub fn sign(secret: &SecretKey, seq: u64, contents: &Contents) -> Result<Signed, RecordError> {
        let mut contents = contents.clone();
        let carried = contents.multiaddrs.iter().filter_map(Multiaddr::for_record);
        let mut multiaddrs: Vec<Multiaddr> = carried.collect();
        // More never fit, and each would cost a signature to find that out.
        let beyond = multiaddrs.split_off(multiaddrs.len().min(MAX_MULTIADDRS));
        contents.multiaddrs = multiaddrs;
        let mut dropped: Vec<Dropped> = beyond.into_iter().rev().map(Dropped::Multiaddr).collect();
        let relays = worth_naming(&contents.relays);
        let unsaid = contents.relays.iter().filter_map(Multiaddr::for_record);
        dropped.extend(unsaid.filter(|relay| !relays.contains(relay)).map(Dropped::Multiaddr));
        contents.relays = relays;
        loop {
            match build(secret, seq, &contents) {
                Ok(record) => return Ok(Signed { record: Self(record), dropped }),
                Err(enr::Error::ExceedsMaxSize) => match contents.drop_least_useful() {
                    Some(left_out) => dropped.push(left_out),
                    None => return Err(RecordError::Sign(enr::Error::ExceedsMaxSize)),
                },
                Err(error) => return Err(RecordError::Sign(error)),
            }
        }
    }

    /// The record that says `contents`: `previous` itself if it says so already, else one with the next
    /// sequence number. `first_seq` is taken where there is none before, or one of another key; a UNIX time in
    /// milliseconds stays ahead of records that were lost.
    ///
    /// # Errors
    /// [`RecordError::Sign`] if signing fails, [`RecordError::SeqExhausted`].
    pub fn renew(
        previous: Option<&Self>,
        first_seq: u64,
        secret: &SecretKey,
        contents: &Contents,
    ) -> Result<Signed, RecordError> {
        let Some(previous) = previous.filter(|previous| previous.key() == node_key(secret)) else {
            return Self::sign(secret, first_seq, contents);
        };
        let same = Self::sign(secret, previous.seq(), contents)?;
        if same.record.0.compare_content(&previous.0) {
            return Ok(Signed { record: previous.clone(), dropped: same.dropped });
        }
        let seq = previous.seq().checked_add(1).ok_or(RecordError::SeqExhausted)?;
        Self::sign(secret, seq, contents)
    }
}

fn build(secret: &SecretKey, seq: u64, contents: &Contents) -> Result<Enr<SecretKey>, enr::Error> {
    let Contents { ip, ip6, tcp, udp, tcp6, udp6, quic, quic6, eth, les, snap, multiaddrs, relays } =
        contents;
    let mut builder = Enr::builder();
    let multiaddrs: Vec<Multiaddr> = multiaddrs.iter().chain(relays).cloned().collect();
    // The builder of enr 0.14 leaves six bytes of the 300 unused; what is put in afterwards may use them, and counts
    // the number up.
    let later = seq.checked_sub(1).filter(|_| !multiaddrs.is_empty());
    builder.seq(later.unwrap_or(seq));
    if let Some(ip) = ip {
        builder.ip4(*ip);
    }
    if let Some(ip) = ip6 {
        builder.ip6(*ip);
    }
    let tcp6 = if tcp6 == tcp { &None } else { tcp6 };
    // Nodes of the Rust library ask nobody over IPv6 whose record has no `udp6`.
    let udp6 = &if ip6.is_some() { udp6.or(*udp) } else { None };
    let ports =
        [("tcp", tcp), ("udp", udp), ("tcp6", tcp6), ("udp6", udp6), ("quic", quic), ("quic6", quic6)];
    for (key, port) in ports {
        if let Some(port) = port {
            builder.add_value(key, port);
        }
    }
    if let Some(ForkId { hash, next }) = eth {
        let entry = EnrForkIdEntry { fork_id: alloy_eip2124::ForkId { hash: ForkHash(*hash), next: *next } };
        builder.add_value("eth", &entry);
    }
    if *les {
        builder.add_value("les", &vec![LES_VERSION]);
    }
    if *snap {
        builder.add_value("snap", &Vec::<u64>::new());
    }
    let packed = Bytes::from(pack(&multiaddrs));
    if later.is_some() {
        let mut record = builder.build(secret)?;
        record.insert("multiaddrs", &packed, secret)?;
        return Ok(record);
    }
    if !multiaddrs.is_empty() {
        builder.add_value("multiaddrs", &packed);
    }
    builder.build(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_RECORD;

    fn secret() -> SecretKey {
        "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291".parse().expect("valid secret")
    }

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("valid multiaddr")
    }

    fn everything() -> Contents {
        Contents {
            ip: Some(Ipv4Addr::new(203, 0, 113, 7)),
            ip6: Some("2001:db8::7".parse().expect("valid")),
            tcp: Some(30313),
            udp: Some(30313),
            tcp6: Some(30313),
            udp6: Some(30313),
            quic: Some(30314),
            quic6: Some(30314),
            eth: Some(ForkId { hash: [0x07, 0xc9, 0x46, 0x2e], next: 0 }),
            les: true,
            snap: true,
            multiaddrs: vec![addr("/dns4/relay.example.org/tcp/443/tls/ws")],
            relays: Vec::new(),
        }
    }

    const SEQ: u64 = 1_700_000_000_000;

    #[test]
    fn our_record_says_what_it_was_given() {
        let contents = everything();

        let Signed { record, dropped } = Record::sign(&secret(), SEQ, &contents).expect("fits");
        let read: Record = record.to_string().parse().expect("valid");

        assert_eq!(dropped, []);
        assert_eq!((&read, read.seq()), (&record, SEQ));
        assert_eq!((read.tcp(), read.udp(), read.snap()), (contents.tcp, contents.udp, true));
        assert_eq!((read.eth(), read.les()), (Ok(contents.eth), Ok(Some(1))));
        assert_eq!(read.tcp_addrs().len(), 2);
        assert_eq!(read.quic_addrs().map(|addrs| addrs.len()), Ok(2));
        assert_eq!(read.multiaddrs().expect("well formed").addresses, contents.multiaddrs);
        assert!(read.size() <= MAX_RECORD);
    }

    /// discovery.md 1.1.
    #[test]
    fn keys_are_written_as_geth_writes_them() {
        let contents = Contents {
            ip: Some(Ipv4Addr::LOCALHOST),
            tcp: Some(30303),
            udp: Some(30303),
            eth: Some(ForkId { hash: [0x07, 0xc9, 0x46, 0x2e], next: 0 }),
            les: true,
            snap: true,
            ..Contents::default()
        };

        let record = Record::sign(&secret(), 1, &contents).expect("fits").record;

        let value = |key: &str| {
            record.entries().find(|(name, _)| *name == key.as_bytes()).map(|(_, rlp)| hex::encode(rlp))
        };
        assert_eq!(value("eth").as_deref(), Some("c7c68407c9462e80"));
        assert_eq!((value("les").as_deref(), value("snap").as_deref()), (Some("c101"), Some("c0")));
        assert_eq!(record.size(), 165);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_named_in_order() {
        let mut contents = everything();
        contents.tcp6 = Some(1);
        contents.multiaddrs.extend(vec![addr("/dns4/another.relay.example.org/tcp/443/tls/ws"); 40]);
        let first = contents.multiaddrs[0].clone();

        let Signed { record, dropped } = Record::sign(&secret(), SEQ, &contents).expect("fits");

        assert!(record.size() <= MAX_RECORD);
        assert_eq!(record.multiaddrs().expect("well formed").addresses.first(), Some(&first));
        let kept = record.multiaddrs().expect("well formed").addresses.len();
        assert_eq!(dropped.len(), contents.multiaddrs.len() - kept);
        assert!(dropped.iter().all(|dropped| matches!(dropped, Dropped::Multiaddr(_))));
    }

    #[test]
    fn one_huge_address_outlives_ipv6_and_snap_but_not_the_endpoint() {
        let mut contents = everything();
        let name = ["a".repeat(63), "b".repeat(63), "c".repeat(60)].join(".");
        contents.multiaddrs = vec![addr(&format!("/dns4/{name}/tcp/443/wss"))];

        let Signed { record, dropped } = Record::sign(&secret(), SEQ, &contents).expect("fits");

        let keys = ["quic6", "udp6", "tcp6", "ip6", "snap"].map(Dropped::Key);
        assert!(dropped.starts_with(&keys), "{dropped:?}");
        assert_eq!(dropped.last(), Some(&Dropped::Multiaddr(contents.multiaddrs[0].clone())));
        assert_eq!((record.tcp(), record.eth()), (contents.tcp, Ok(contents.eth)));
    }

    #[test]
    fn the_number_grows_only_with_a_change() {
        let mut contents = everything();
        let first = Record::renew(None, SEQ, &secret(), &contents).expect("fits").record;

        let again = Record::renew(Some(&first), SEQ + 500, &secret(), &contents).expect("fits").record;
        contents.quic = Some(1);
        let changed = Record::renew(Some(&again), SEQ + 900, &secret(), &contents).expect("fits").record;

        assert_eq!(again, first);
        assert_eq!(changed.seq(), SEQ + 1);
    }

    #[test]
    fn another_keys_record_is_no_predecessor() {
        let other: SecretKey = SecretKey::from_secret_bytes([7; 32]).expect("valid secret");
        let theirs = Record::sign(&other, 5, &everything()).expect("fits").record;

        let ours = Record::renew(Some(&theirs), SEQ, &secret(), &everything()).expect("fits").record;

        assert_eq!(ours.seq(), SEQ);
    }

    #[test]
    fn an_exhausted_number_is_an_error() {
        let last = Record::sign(&secret(), u64::MAX, &Contents::default()).expect("fits").record;

        let renewed = Record::renew(Some(&last), 1, &secret(), &everything());

        assert_eq!(renewed, Err(RecordError::SeqExhausted));
    }
}
