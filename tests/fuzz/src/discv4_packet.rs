//! discv4's packets, and a machine among strangers who send it what they like.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    sync::OnceLock,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_discv4::{
    Config, Discv4, Event, Limits, MAX_BONDS,
    packet::{Endpoint, EnrResponse, MAX_PACKET, Packet, Pong, seal},
};
use causeway_records::{Contents, Enode, Host, Reach, Record, node_key};
use causeway_wire::NodeKey;
use secp256k1::SecretKey;

use crate::{pieces::Pieces, signed::signed_record};

/// UNIX time at which every input begins.
const EPOCH: u64 = 1_700_000_000;
/// Strangers, each with an address; they also send from each other's.
const STRANGERS: u8 = 4;
/// Packets of one input, and time that it takes.
const MOST_STEPS: usize = 200;
/// Small, so that the limits are reached.
const LIMITS: Limits = Limits {
    requests: 6,
    lookups: 2,
    transmits: 24,
    events: 8,
    pings_per_second: 4,
    callbacks_per_second: 4,
    callbacks_per_host: 2,
};

/// ```text
/// form(1), then
/// 0: a datagram   1: type and data, which are signed   2: steps: kind(1) who(1) wait(1), and by kind
///    a datagram(sized) | type and data(sized) | a pong to our last ping | what a record signs(sized) | a lookup
///    | nothing
/// ```
/// What is read is written alike. The machine stays within its limits and below the size of a packet, and says
/// to those without a proof of their endpoint no more than pong and ping.
pub fn discv4_packet(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    match pieces.byte() % 3 {
        0 => reread(pieces.rest()),
        1 => reread(&seal(pieces.rest(), &secret(1)).0),
        _ => {
            let mut scene = Scene::new();
            for _ in 0..MOST_STEPS {
                if pieces.is_empty() {
                    break;
                }
                scene.step(&mut pieces);
            }
        }
    }
}

fn reread(datagram: &[u8]) {
    let Ok(opened) = Packet::decode(datagram) else { return };
    let (written, hash) = opened.packet.encode(&secret(1));
    let again = Packet::decode(&written).expect("what was read is written so that it can be read");
    assert_eq!((again.packet, again.hash, again.from), (opened.packet, hash, node_key(&secret(1))));
}

struct Scene {
    machine: Discv4,
    start: Instant,
    now: Instant,
    /// The last question that each stranger was asked where it stood, of each type: its hash.
    asked: BTreeMap<(SocketAddr, u8), B256>,
    /// Who named one of our pings where it was sent.
    proven: BTreeSet<(SocketAddr, NodeKey)>,
}

impl Scene {
    fn new() -> Self {
        static RECORD: OnceLock<Record> = OnceLock::new();
        let contents =
            || Contents { ip: Some(Ipv4Addr::new(11, 0, 7, 7)), udp: Some(30303), ..Contents::default() };
        let record = || Record::sign(&secret(0), 1, &contents()).expect("a record").record;
        let start = Instant::now();
        let config = Config { secret_key: secret(0), tcp: 30303, reach: Reach::Public, limits: LIMITS };
        let machine = Discv4::new(config, RECORD.get_or_init(record).clone(), [7; 32], start);
        Self { machine, start, now: start, asked: BTreeMap::new(), proven: BTreeSet::new() }
    }

    fn step(&mut self, pieces: &mut Pieces<'_>) {
        let [kind, who, wait] = pieces.array();
        self.now += Duration::from_millis(u64::from(wait) * 8);
        let unix = EPOCH + (self.now - self.start).as_secs();
        let (key, at) = (secret(1 + who % STRANGERS), addr(1 + who / 16 % STRANGERS));
        let datagram = match kind % 6 {
            0 => pieces.sized().to_vec(),
            1 => seal(pieces.sized(), &key).0.to_vec(),
            2 => self.pong(&key, at, unix),
            3 => {
                let request_hash = self.asked.get(&(at, 5)).copied().unwrap_or_default();
                let record = signed_record(pieces.sized(), &key).into();
                Packet::EnrResponse(EnrResponse { request_hash, record }).encode(&key).0.to_vec()
            }
            4 => {
                self.machine.lookup(node_key(&key), self.now, unix);
                Vec::new()
            }
            _ => Vec::new(),
        };
        if !datagram.is_empty() {
            let outcome = self.machine.handle_packet(at, &datagram, self.now, unix);
            if kind % 6 == 2 && outcome.is_ok() {
                self.proven.insert((at, node_key(&key)));
            }
        }
        self.look();
        if self.machine.poll_timeout().is_some_and(|due| due <= self.now) {
            self.machine.handle_timeout(self.now, unix);
            self.look();
        }
    }

    /// A pong to the last ping that went to `at`, whoever it was meant for.
    fn pong(&self, key: &SecretKey, at: SocketAddr, unix: u64) -> Vec<u8> {
        let ping_hash = self.asked.get(&(at, 1)).copied().unwrap_or_default();
        let to = Endpoint::new(addr(0), 30303);
        Packet::Pong(Pong { to, ping_hash, expiration: unix + 20, enr_seq: Some(1) }).encode(key).0.to_vec()
    }

    /// Takes out what the machine says, and judges it.
    fn look(&mut self) {
        let mut said = 0;
        while let Some(transmit) = self.machine.poll_transmit() {
            said += 1;
            assert!(transmit.packet.len() <= MAX_PACKET, "{} bytes are sent", transmit.packet.len());
            let opened = Packet::decode(&transmit.packet).expect("we send packets");
            let kind = opened.packet.kind();
            let is_proven = self.proven.iter().any(|(at, _)| *at == transmit.to);
            assert!(is_proven || matches!(kind, 1 | 2), "type {kind} is sent to a stranger");
            self.asked.insert((transmit.to, kind), opened.hash);
        }
        assert!(said <= LIMITS.transmits, "{said} packets wait");
        let mut told = 0;
        while let Some(event) = self.machine.poll_event() {
            told += 1;
            if let Event::Found { enode, record } = event {
                self.judge(&enode, record.as_ref());
            }
        }
        assert!(told <= LIMITS.events + LIMITS.lookups, "{told} events wait");
        let stats = self.machine.stats();
        assert!(
            stats.requests <= LIMITS.requests
                && stats.lookups <= LIMITS.lookups + 1
                && stats.bonds <= MAX_BONDS
        );
    }

    fn judge(&self, enode: &Enode, record: Option<&Record>) {
        let Host::Ip(ip) = enode.host else { panic!("a name was found") };
        let at = SocketAddr::new(ip, enode.udp);
        assert!(self.proven.contains(&(at, enode.key)), "a node is told that has proven nothing");
        assert!(record.is_none_or(|record| record.key() == enode.key), "the record is another node's");
    }
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([11 + n, 0, 7, 7], 30303))
}

fn secret(n: u8) -> SecretKey {
    SecretKey::from_secret_bytes([n + 1; 32]).expect("a key")
}

/// What strangers say, for the seeds: type and data of a packet.
pub(crate) fn unsigned(packet: &Packet) -> Vec<u8> {
    packet.encode(&secret(1)).0[97..].to_vec()
}

/// The address and the key of stranger `n`, for the seeds.
pub(crate) fn stranger(n: u8) -> (SocketAddr, SecretKey) {
    (addr(n), secret(n))
}
