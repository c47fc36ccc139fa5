//! One machine of ours, and strangers who send it whatever they like.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_discv4::{
    Config, Discv4, Dropped, Event, Limits, Transmit,
    packet::{Endpoint, EnrRequest, FindNode, MAX_PACKET, Neighbor, Neighbors, Opened, Packet, Ping, Pong},
};
use causeway_records::{Reach, node_key};
use causeway_wire::NodeKey;

use super::{EPOCH, addr, record, secret};

/// Our machine, and what strangers do to it.
pub struct Scene {
    pub machine: Discv4,
    pub now: Instant,
}

/// When their packets end.
pub const LATER: u64 = EPOCH + 20;

impl Scene {
    pub fn new() -> Self {
        Self::with(Reach::Public, Limits::default())
    }

    pub fn with(reach: Reach, limits: Limits) -> Self {
        let now = Instant::now();
        let config = Config { secret_key: secret(0), tcp: 30300, reach, limits };
        Self { machine: Discv4::new(config, record(0, addr(0), 5), [3; 32], now), now }
    }

    /// `n`, at `from`, sends `packet`: what became of it, and its hash.
    pub fn send(&mut self, n: u32, from: SocketAddr, packet: &Packet) -> (Result<(), Dropped>, B256) {
        let (bytes, hash) = packet.encode(&secret(n));
        (self.machine.handle_packet(from, &bytes, self.now, EPOCH), hash)
    }

    pub fn sent(&mut self) -> Vec<(SocketAddr, Opened)> {
        let open = |transmit: Transmit| {
            assert!(transmit.packet.len() <= MAX_PACKET);
            (transmit.to, Packet::decode(&transmit.packet).expect("a packet of ours"))
        };
        std::iter::from_fn(|| self.machine.poll_transmit()).map(open).collect()
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.machine.handle_timeout(self.now, EPOCH);
    }

    /// `n` proves that it is at `from`; our packets up to there are gone.
    pub fn bond(&mut self, n: u32, from: SocketAddr, seq: Option<u64>) {
        self.send(n, from, &ping(seq)).0.expect("a good ping");
        let ours = self.sent().into_iter().find(|(_, opened)| matches!(opened.packet, Packet::Ping(_)));
        let (to, opened) = ours.expect("a ping back");
        assert_eq!(to, from);
        self.send(n, from, &pong(opened.hash, seq)).0.expect("a good pong");
    }
}

pub fn endpoint() -> Endpoint {
    Endpoint { ip: Some([198, 51, 100, 9].into()), udp: 1, tcp: 30305 } // wrong in all but the TCP port
}

pub fn ping(enr_seq: Option<u64>) -> Packet {
    Packet::Ping(Ping { from: endpoint(), to: endpoint(), expiration: LATER, enr_seq })
}

pub fn pong(ping_hash: B256, enr_seq: Option<u64>) -> Packet {
    Packet::Pong(Pong { to: Endpoint::new(addr(0), 0), ping_hash, expiration: LATER, enr_seq })
}

pub fn find_node() -> Packet {
    Packet::FindNode(FindNode { target: node_key(&secret(7)), expiration: LATER })
}

pub fn enr_request() -> Packet {
    Packet::EnrRequest(EnrRequest { expiration: LATER })
}

pub fn neighbors(nodes: &[(u32, SocketAddr)]) -> Packet {
    let node = |(n, at): &(u32, SocketAddr)| Neighbor { endpoint: Endpoint::new(*at, 30300), key: key(*n) };
    Packet::Neighbors(Neighbors { nodes: nodes.iter().map(node).collect(), expiration: LATER })
}

pub fn key(n: u32) -> NodeKey {
    node_key(&secret(n))
}

pub fn kinds(sent: &[(SocketAddr, Opened)]) -> Vec<u8> {
    sent.iter().map(|(_, opened)| opened.packet.kind()).collect()
}

/// Asks node 1, which knows us, for others.
pub fn asked(scene: &mut Scene) {
    scene.bond(1, addr(1), None);
    assert!(scene.machine.lookup(key(99), scene.now, EPOCH));
    assert!(kinds(&scene.sent()).contains(&3));
}

pub fn pinged(scene: &mut Scene) -> Vec<SocketAddr> {
    let is_ping = |(_, opened): &(SocketAddr, Opened)| matches!(opened.packet, Packet::Ping(_));
    scene.sent().into_iter().filter(is_ping).map(|(to, _)| to).collect()
}
