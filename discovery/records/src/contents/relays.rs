//! Which relays a record of ours names, in the few bytes that are left for them.

use crate::{Multiaddr, Part};

/// Relays that a record names: each costs 50 of its 300 bytes and more.
pub const MAX_RELAYS: usize = 2;

/// For each relay the best address, the best relays first, in the form that records carry.
pub(super) fn worth_naming(relays: &[Multiaddr]) -> Vec<Multiaddr> {
    let mut named: Vec<&Multiaddr> =
        relays.iter().filter(|addr| addr.relay().is_some() && addr.is_dialable()).collect();
    named.sort_by_key(|addr| preference(addr));
    let mut best: Vec<&Multiaddr> = Vec::new();
    for addr in named {
        if best.len() < MAX_RELAYS && best.iter().all(|other| other.relay() != addr.relay()) {
            best.push(addr);
        }
    }
    best.into_iter().filter_map(Multiaddr::for_record).collect()
}

/// QUIC first, then what takes the fewest bytes: names are long, and IPv6 is longer than IPv4.
fn preference(addr: &Multiaddr) -> (bool, usize) {
    (!addr.parts().contains(&Part::QuicV1), addr.encode().len())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use causeway_wire::ForkId;
    use secp256k1::SecretKey;

    use super::*;
    use crate::{Contents, Dropped, MAX_RECORD, Record, Signed, libp2p_peer_id, node_key};

    const SEQ: u64 = 1_700_000_000_000;

    fn secret() -> SecretKey {
        SecretKey::from_secret_bytes([7; 32]).expect("valid secret")
    }

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("valid multiaddr")
    }

    /// What a node at home says.
    fn home() -> Contents {
        Contents {
            ip: Some(Ipv4Addr::new(203, 0, 113, 7)),
            tcp: Some(30313),
            udp: Some(30313),
            quic: Some(30314),
            eth: Some(ForkId { hash: [0x07, 0xc9, 0x46, 0x2e], next: 0 }),
            les: true,
            ..Contents::default()
        }
    }

    /// A relay's PeerId and where it is reached.
    fn relayed(relay: u8, transport: &str) -> Multiaddr {
        let key = node_key(&SecretKey::from_secret_bytes([relay; 32]).expect("valid secret"));
        let id = bs58::encode(libp2p_peer_id(key)).into_string();
        addr(&format!("{transport}/p2p/{id}/p2p-circuit"))
    }

    #[test]
    fn relays_are_named_behind_the_others_and_read_as_they_are_dialed() {
        let quic = relayed(1, "/ip4/203.0.113.8/udp/30314/quic-v1");
        let other = relayed(2, "/ip4/203.0.113.9/tcp/30314");
        let beyond = relayed(3, "/dns4/a.long.name.example.org/tcp/30314");
        let contents = Contents {
            udp: Some(30313),
            tcp: Some(30313),
            eth: home().eth,
            les: true,
            relays: vec![
                beyond.clone(),
                other.clone(),
                relayed(1, "/ip4/203.0.113.8/tcp/30314"),
                relayed(1, "/ip6/2001:db8::8/udp/30314/quic-v1"),
                quic.clone(),
                addr("/ip4/203.0.113.9/tcp/1"), // not through a relay
            ],
            ..Contents::default()
        };

        let Signed { record, dropped } = Record::sign(&secret(), SEQ, &contents).expect("fits");

        let own = bs58::encode(libp2p_peer_id(record.key())).into_string();
        let expected = [&quic, &other].map(|addr| format!("{addr}/p2p/{own}"));
        let read: Record = record.to_string().parse().expect("valid");
        assert_eq!(read.relayed().iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        assert_eq!(dropped.len(), 4, "{dropped:?}");
        assert_eq!(read.libp2p_addrs(), read.relayed());
    }

    #[test]
    fn one_relay_is_missed_last() {
        let mut contents = Contents { snap: true, ..home() };
        contents.multiaddrs = vec![addr(&format!("/dns4/{}.example.org/tcp/443/wss", "a".repeat(63)))];
        contents.relays = vec![
            relayed(1, "/ip4/203.0.113.8/udp/30314/quic-v1"),
            relayed(2, "/ip4/203.0.113.9/udp/30314/quic-v1"),
        ];

        let Signed { record, dropped } = Record::sign(&secret(), SEQ, &contents).expect("fits");

        assert!(record.size() <= MAX_RECORD);
        assert_eq!(record.relayed().len(), 1);
        assert!(dropped.contains(&Dropped::Key("snap")), "{dropped:?}");
        assert_eq!((record.tcp(), record.eth()), (contents.tcp, Ok(contents.eth)));
    }

    #[test]
    fn two_relays_fit_beside_what_a_node_at_home_says() {
        let contents = Contents {
            relays: vec![
                relayed(1, "/ip4/203.0.113.8/udp/30314/quic-v1"),
                relayed(2, "/ip4/203.0.113.9/udp/30314/quic-v1"),
            ],
            ..home()
        };

        let Signed { record, dropped } = Record::sign(&secret(), SEQ, &contents).expect("fits");

        assert_eq!((dropped, record.relayed().len()), (vec![], 2), "{}", record.size());
    }
}
