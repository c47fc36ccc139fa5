//! Node records, and what is dialed because of them.

use alloy_eip2124::{ForkFilter, ForkFilterKey, Head};
use alloy_primitives::B256;
use alloy_rlp::Encodable;
use causeway_records::{
    Host, MAX_MULTIADDRS, MAX_RECORD, Part, Reach, Record, Rules, Way, choose, is_allowed, libp2p_peer_id,
};
use causeway_wire::Stack;
use secp256k1::{PublicKey, SecretKey};

use crate::{
    pieces::Pieces,
    signed::{list, signed_record},
};

/// Keys whose values mean something to us; the fuzzer may also make up others.
const KEYS: [&str; 16] = [
    "eth",
    "eth2",
    "id",
    "ip",
    "ip6",
    "les",
    "multiaddrs",
    "quic",
    "quic6",
    "secp256k1",
    "snap",
    "tcp",
    "tcp6",
    "udp",
    "udp6",
    "waku2",
];

/// ```text
/// form(1), then
/// 0: the binary form   1: text   2: seq(2) pairs: key(1) [name(sized)] list?(1) value(sized)
/// 3: the value of `multiaddrs`
/// ```
/// Forms 2 and 3 are signed here, as any node can sign what it likes. What is read is written alike and stays below
/// its limits; nothing is dialed that the rules forbid.
pub fn enr(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let form = pieces.byte();
    let bytes = match form {
        0 => pieces.rest().to_vec(),
        1 => {
            let text = String::from_utf8_lossy(pieces.rest());
            if let Ok(record) = text.parse::<Record>() {
                judge(&record);
            }
            return;
        }
        2 => {
            let seq = u16::from_be_bytes(pieces.array());
            let mut pairs = vec![(b"id".to_vec(), string(b"v4")), (b"secp256k1".to_vec(), public_key())];
            while !pieces.is_empty() && pairs.len() < 20 {
                pairs.push(pair(&mut pieces));
            }
            // In order most of the time, or nearly nothing would be read.
            if seq & 1 == 0 {
                pairs.sort();
            }
            signed(seq.into(), &pairs)
        }
        _ => {
            let pairs = [
                (b"id".to_vec(), string(b"v4")),
                (b"multiaddrs".to_vec(), string(pieces.rest())),
                (b"secp256k1".to_vec(), public_key()),
            ];
            signed(1, &pairs)
        }
    };
    if let Ok(record) = Record::decode(&bytes) {
        assert_eq!(record.encode(), bytes, "written otherwise than read");
        judge(&record);
    }
}

fn pair(pieces: &mut Pieces<'_>) -> (Vec<u8>, Vec<u8>) {
    let key = match KEYS.get(usize::from(pieces.byte())) {
        Some(key) => key.as_bytes().to_vec(),
        None => pieces.sized().to_vec(),
    };
    let is_list = pieces.byte() & 1 == 1;
    let value = pieces.sized();
    let value = match (key.as_slice(), is_list, value) {
        (b"eth", true, []) => on_our_chain(), // nobody hits upon its hash
        (_, true, value) => list(value),
        (_, false, value) => string(value),
    };
    (key, value)
}

fn judge(record: &Record) {
    assert!(record.size() <= MAX_RECORD, "{} bytes", record.size());
    assert_eq!(record.to_string().parse::<Record>().as_ref(), Ok(record), "its text is read otherwise");
    let _ = (record.eth(), record.les(), record.snap(), record.is_consensus(), record.enode(), record.keys());
    let _ = (record.ip(), record.tcp(), record.udp(), record.quic_addrs(), record.entries().count());
    let listed = record.multiaddrs().map_or(0, |found| found.addresses.len() + found.skipped.len());
    assert!(listed <= MAX_MULTIADDRS, "{listed} multiaddrs");
    let judged = record.libp2p();
    let (addresses, faults) = (judged.addresses.len(), judged.faults.len());
    assert!(addresses + faults <= MAX_MULTIADDRS + 2, "{addresses} addresses, {faults} faults");
    let forks = forks();
    let [public, local] = [Reach::Public, Reach::Local].map(|reach| {
        let ways = choose(record, Rules { reach, forks: &forks, first: Stack::Libp2p });
        for way in ways.iter().flatten() {
            dialed(record, way, reach);
        }
        ways
    });
    assert!(public.is_err() || local.is_ok(), "allowed from afar but not at home: {public:?} {local:?}");
}

/// Our chain, with one fork that is behind.
fn forks() -> ForkFilter {
    let head = Head { number: 100, ..Head::default() };
    ForkFilter::new(head, B256::repeat_byte(1), 0, [ForkFilterKey::Block(10)])
}

/// The value of the key `eth` of a node on our chain.
fn on_our_chain() -> Vec<u8> {
    let mut id = string(&forks().current().hash.0);
    forks().current().next.encode(&mut id);
    list(&list(&id))
}

fn dialed(record: &Record, way: &Way, reach: Reach) {
    match way {
        Way::Devp2p(enodes) => {
            assert!((1..=2).contains(&enodes.len()), "{enodes:?}");
            for enode in enodes {
                assert!(enode.key == record.key() && enode.tcp != 0 && enode.udp != 0, "{enode}");
                let Host::Ip(ip) = enode.host else { panic!("a record has no names: {enode}") };
                assert!(is_allowed(ip, reach), "{enode} at {reach:?}");
            }
        }
        Way::Libp2p(addrs) => {
            let own = libp2p_peer_id(record.key());
            assert!(!addrs.is_empty());
            for addr in addrs {
                assert!(addr.is_dialable(), "{addr}");
                assert!(
                    addr.parts().last() == Some(&Part::P2p(own.clone())),
                    "{addr} leads to somebody else"
                );
                assert!(addr.relay() != Some(&own), "{addr} is through the node itself");
                assert!(
                    !addr.parts().iter().any(|part| matches!(part, Part::Tcp(0) | Part::Udp(0))),
                    "{addr}"
                );
                let ips = addr.parts().iter().filter_map(|part| match part {
                    Part::Ip4(ip) => Some((*ip).into()),
                    Part::Ip6(ip) => Some((*ip).into()),
                    _ => None,
                });
                for ip in ips {
                    assert!(is_allowed(ip, reach), "{addr} at {reach:?}");
                }
            }
        }
    }
}

fn secret() -> SecretKey {
    SecretKey::from_secret_bytes([7; 32]).expect("a valid secret")
}

fn public_key() -> Vec<u8> {
    string(&PublicKey::from_secret_key(&secret()).serialize())
}

/// A record of any pairs (values in RLP), signed by our key.
fn signed(seq: u64, pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut content = Vec::new();
    seq.encode(&mut content);
    for (key, value) in pairs {
        content.extend(string(key));
        content.extend(value);
    }
    signed_record(&content, &secret())
}

fn string(bytes: &[u8]) -> Vec<u8> {
    alloy_rlp::encode(bytes)
}
