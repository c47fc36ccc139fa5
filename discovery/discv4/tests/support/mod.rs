//! Machines on a net in memory: virtual time, loss, delay, every packet counted.

#![allow(dead_code, unreachable_pub)] // each story uses its part

pub mod scene;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use alloy_primitives::keccak256;
use bytes::Bytes;
use causeway_discv4::{Config, Discv4, Event, Limits};
use causeway_records::{Contents, Enode, Reach, Record, node_key};
use causeway_wire::NodeKey;
use secp256k1::SecretKey;

/// UNIX time at which every story begins.
pub const EPOCH: u64 = 1_700_000_000;

/// One way of a packet.
const DELAY: Duration = Duration::from_millis(20);

pub struct Net {
    pub start: Instant,
    pub now: Instant,
    /// Of 1000 packets, how many are lost.
    pub loss: u64,
    pub nodes: BTreeMap<SocketAddr, Host>,
    /// Packets by type.
    pub sent: BTreeMap<u8, usize>,
    underway: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Bytes)>,
    counter: u64,
}

pub struct Host {
    pub machine: Discv4,
    pub enode: Enode,
    pub found: BTreeMap<NodeKey, Option<Record>>,
    pub lookups: Vec<usize>,
    pub observed: BTreeSet<SocketAddr>,
}

pub fn secret(n: u32) -> SecretKey {
    SecretKey::from_secret_bytes(keccak256(n.to_be_bytes()).0).expect("a key")
}

/// A public address, at its own site.
pub fn addr(n: u32) -> SocketAddr {
    let [_, _, a, b] = n.to_be_bytes();
    SocketAddr::from(([11 + a, b, 7, 7], 30303))
}

pub fn record(n: u32, at: SocketAddr, seq: u64) -> Record {
    let SocketAddr::V4(at) = at else { panic!("a v4 address") };
    let contents = Contents {
        ip: Some(*at.ip()).filter(|ip| *ip != Ipv4Addr::UNSPECIFIED),
        udp: Some(at.port()),
        tcp: Some(30300),
        ..Contents::default()
    };
    Record::sign(&secret(n), seq, &contents).expect("a record").record
}

impl Net {
    pub fn new(loss: u64) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            loss,
            nodes: BTreeMap::new(),
            sent: BTreeMap::new(),
            underway: BTreeMap::new(),
            counter: 0,
        }
    }

    pub fn add(&mut self, n: u32, at: SocketAddr) -> Enode {
        self.add_with(n, at, Reach::Public, Limits::default())
    }

    pub fn add_with(&mut self, n: u32, at: SocketAddr, reach: Reach, limits: Limits) -> Enode {
        let config = Config { secret_key: secret(n), tcp: 30300, reach, limits };
        let machine = Discv4::new(config, record(n, at, 1), keccak256(n.to_le_bytes()).0, self.now);
        let enode = Enode { tcp: 30300, ..Enode::new(node_key(&secret(n)), at) };
        let host = Host {
            machine,
            enode: enode.clone(),
            found: BTreeMap::new(),
            lookups: Vec::new(),
            observed: BTreeSet::new(),
        };
        self.nodes.insert(at, host);
        enode
    }

    pub fn host(&mut self, at: SocketAddr) -> &mut Host {
        self.nodes.get_mut(&at).expect("a host")
    }

    pub fn unix(&self) -> u64 {
        EPOCH + (self.now - self.start).as_secs()
    }

    pub fn lookup(&mut self, at: SocketAddr, target: NodeKey) -> bool {
        let (now, unix) = (self.now, self.unix());
        self.host(at).machine.lookup(target, now, unix)
    }

    /// Lets `time` pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.carry();
            let timers = self.nodes.values().filter_map(|host| host.machine.poll_timeout());
            let packet = self.underway.first_key_value().map(|((at, _), _)| *at);
            let Some(next) = timers.chain(packet).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.deliver();
            let (now, unix) = (self.now, self.unix());
            for host in self.nodes.values_mut() {
                if host.machine.poll_timeout().is_some_and(|due| due <= now) {
                    host.machine.handle_timeout(now, unix);
                    let due = host.machine.poll_timeout();
                    assert!(
                        due.is_none_or(|due| due > now || due == now && host.machine.stats().lookups > 0)
                    );
                }
            }
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        let unix = self.unix();
        while let Some(first) = self.underway.first_entry().filter(|first| first.key().0 <= self.now) {
            let (from, to, packet) = first.remove();
            if let Some(host) = self.nodes.get_mut(&to) {
                let _ = host.machine.handle_packet(from, &packet, self.now, unix);
            }
        }
    }

    fn carry(&mut self) {
        for (from, host) in &mut self.nodes {
            while let Some(transmit) = host.machine.poll_transmit() {
                self.counter += 1;
                *self.sent.entry(transmit.packet[97]).or_default() += 1;
                let draw = keccak256(self.counter.to_be_bytes());
                if u64::from(u16::from_be_bytes([draw[0], draw[1]])) % 1000 >= self.loss {
                    let key = (self.now + DELAY, self.counter);
                    self.underway.insert(key, (*from, transmit.to, transmit.packet));
                }
            }
            while let Some(event) = host.machine.poll_event() {
                match event {
                    Event::Found { enode, record } => {
                        host.found.insert(enode.key, record);
                    }
                    Event::LookupDone { found } => host.lookups.push(found),
                    Event::Observed { ours, .. } => {
                        host.observed.insert(ours);
                    }
                }
            }
        }
    }
}
