//! A network for the simulation: nodes that come and go, and the records of them that are in circulation.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
};

use alloy_eip2124::{ForkFilter, ForkFilterKey, Head};
use alloy_primitives::{B256, keccak256};
use causeway_pool::Role;
use causeway_records::{Contents, Reach, Record, is_allowed, node_key};
use causeway_wire::{ForkId, NodeKey};
use secp256k1::SecretKey;

/// Nodes that live at any time.
pub(crate) const LIVING: usize = 300;

/// Part of the records in circulation whose node is dead, in hundredths.
pub(crate) const DEAD: usize = 30;

/// Part of the living that is replaced at each churn, in hundredths.
pub(crate) const CHURN: usize = 20;

/// Numbers that follow from a seed (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn hash(&mut self) -> B256 {
        keccak256(self.next().to_be_bytes())
    }

    /// From `low` up to and without `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    pub(crate) fn percent(&mut self, hundredths: u64) -> bool {
        self.between(0, 100) < hundredths
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.between(0, from.len() as u64) as usize]
    }
}

/// How a node takes a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Welcoming,
    /// It has too many peers.
    Full,
    /// Its record gives our chain, but it is on another.
    OtherChain,
}

#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) record: Record,
    pub(crate) role: Role,
    pub(crate) manner: Manner,
    /// One way and back, in milliseconds.
    pub(crate) round_trip: u64,
}

/// All nodes, and what the network says of them.
pub(crate) struct Network {
    pub(crate) living: BTreeMap<NodeKey, Peer>,
    /// Records of nodes that are gone, the latest last.
    dead: VecDeque<Record>,
}

/// Our chain: one fork, taken.
pub(crate) fn forks() -> ForkFilter {
    let head = Head { number: 100, ..Head::default() };
    ForkFilter::new(head, B256::repeat_byte(1), 0, [ForkFilterKey::Block(10)])
}

impl Network {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let mut network = Self { living: BTreeMap::new(), dead: VecDeque::new() };
        for _ in 0..LIVING {
            network.join(dice);
        }
        for _ in 0..LIVING * DEAD / (100 - DEAD) {
            network.dead.push_back(peer(dice).record);
        }
        network
    }

    /// A part of the living dies, as many join. Who died?
    pub(crate) fn churn(&mut self, dice: &mut Dice) -> Vec<NodeKey> {
        let mut gone = Vec::new();
        for _ in 0..LIVING * CHURN / 100 {
            let keys: Vec<NodeKey> = self.living.keys().copied().collect();
            let key = dice.pick(&keys);
            if let Some(peer) = self.living.remove(&key) {
                // Its record goes around until those of the later dead push it out.
                self.dead.push_back(peer.record);
                self.dead.pop_front();
                gone.push(key);
            }
        }
        gone.iter().for_each(|_| self.join(dice));
        gone
    }

    /// What a node knows: records of the living and the dead, by their part of those in circulation.
    pub(crate) fn sample(&self, dice: &mut Dice, count: usize) -> Vec<Record> {
        let living: Vec<&Peer> = self.living.values().collect();
        (0..count)
            .map(|_| match dice.between(0, 100) {
                percent if percent < DEAD as u64 => {
                    self.dead[dice.between(0, self.dead.len() as u64) as usize].clone()
                }
                _ => dice.pick(&living).record.clone(),
            })
            .collect()
    }

    fn join(&mut self, dice: &mut Dice) {
        let peer = peer(dice);
        self.living.insert(peer.record.key(), peer);
    }
}

/// Somebody new: 35 of 100 are no use to a relay by their own record, 33 of 100 by their manner.
fn peer(dice: &mut Dice) -> Peer {
    let ours = forks().current();
    let eth = Some(ForkId { hash: ours.hash.0, next: ours.next });
    let ip = Some(public(dice));
    let full = Contents { ip, tcp: Some(30303), udp: Some(30303), eth, ..Contents::default() };
    let (role, contents) = match dice.between(0, 100) {
        0..40 => (Role::LesFullNode, Contents { les: true, ..full }),
        40..65 => (Role::Relay, Contents { les: true, quic: Some(30305), ..full }),
        65..85 => (Role::EthFullNode, Contents { snap: true, ..full }),
        85..95 => {
            (Role::LesFullNode, Contents { les: true, eth: Some(ForkId { hash: [9; 4], next: 0 }), ..full })
        }
        _ => (Role::LesFullNode, Contents { les: true, ip: Some(Ipv4Addr::new(192, 168, 7, 7)), ..full }),
    };
    let manner = match dice.between(0, 100) {
        0..25 => Manner::Full,
        25..33 => Manner::OtherChain,
        _ => Manner::Welcoming,
    };
    let secret = SecretKey::from_secret_bytes(dice.hash().0).expect("a hash is a secret");
    let record = Record::sign(&secret, 1, &contents).expect("fits").record;
    assert_eq!(record.key(), node_key(&secret));
    Peer { record, role, manner, round_trip: dice.between(20, 300) }
}

/// A public address; every fifth in one of a few crowded subnets.
fn public(dice: &mut Dice) -> Ipv4Addr {
    if dice.percent(20) {
        return Ipv4Addr::new(8, 8, dice.between(0, 4) as u8, dice.between(1, 255) as u8);
    }
    loop {
        let [a, b, c, d, ..] = dice.hash().0;
        let ip = Ipv4Addr::new(a, b, c, d);
        if is_allowed(ip.into(), Reach::Public) {
            return ip;
        }
    }
}
