//! Long random walks over the machine, each step judged by counting everything anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;
use proptest::prelude::*;

use super::*;
use crate::Rate;

const PEERS: usize = 12;
const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    let often = Rate { burst: 1_000_000, every: Duration::ZERO };
    Limits {
        reservations: 6,
        reservations_kept: 2,
        known_for: 100 * SECOND,
        known: 5,
        reservations_per_address: 3,
        reservations_per_site: 4,
        reservation_time: 20 * SECOND,
        circuits: 7,
        circuits_per_source: 2,
        circuits_per_destination: 3,
        circuits_per_address: 4,
        circuits_per_site: 5,
        handshake: SECOND,
        reserve_rate: often,
        reserve_rate_per_address: often,
        connect_rate: often,
        connect_rate_per_address: often,
        ..Limits::default()
    }
}

#[derive(Clone, Debug)]
enum Move {
    Connect(usize),
    Disconnect(usize),
    Reserve(usize),
    Circuit(usize, usize),
    Opened(usize),
    Close(usize),
    Wait(u64),
    Withdraw,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        3 => (0..PEERS).prop_map(Move::Connect),
        2 => any::<usize>().prop_map(Move::Disconnect),
        6 => any::<usize>().prop_map(Move::Reserve),
        8 => (any::<usize>(), 0..PEERS).prop_map(|(from, to)| Move::Circuit(from, to)),
        5 => any::<usize>().prop_map(Move::Opened),
        4 => any::<usize>().prop_map(Move::Close),
        4 => (0..25_000u64).prop_map(Move::Wait),
        1 => Just(Move::Withdraw),
    ]
}

/// Four neighbours in a /48, two and two in a /64; the others at three IPv4 addresses; one is not limited.
fn origin(peer: usize) -> Option<Origin> {
    let v6 = |network, host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, network, 0, 0, 0, host));
    Some(Origin::of(Some(match peer {
        0 => return None,
        1..=4 => v6(peer as u16 / 3, peer as u16),
        _ => IpAddr::V4(Ipv4Addr::new(192, 0, 2, peer as u8 % 3)),
    })))
}

struct Walk {
    machine: Admission,
    now: Instant,
    peers: Vec<PeerId>,
    connections: BTreeMap<ConnectionId, usize>,
    next: usize,
    /// What must be in the machine.
    circuits: BTreeSet<CircuitId>,
}

impl Walk {
    fn new(peers: Vec<PeerId>) -> Self {
        Self {
            machine: Admission::new(limits()),
            now: Instant::now(),
            peers,
            connections: BTreeMap::new(),
            next: 0,
            circuits: BTreeSet::new(),
        }
    }

    fn connection(&self, at: usize) -> Option<(ConnectionId, usize)> {
        let count = self.connections.len();
        let (connection, peer) = self.connections.iter().nth(at.checked_rem(count)?)?;
        Some((*connection, *peer))
    }

    fn asker(&self, (connection, peer): (ConnectionId, usize)) -> Asker {
        Asker { peer: self.peers[peer], connection, origin: origin(peer) }
    }

    fn circuit(&self, at: usize) -> Option<CircuitId> {
        self.circuits.iter().nth(at.checked_rem(self.circuits.len())?).copied()
    }

    fn go(&mut self, step: &Move) {
        match *step {
            Move::Connect(peer) => {
                self.connections.insert(ConnectionId::new_unchecked(self.next), peer);
                self.next += 1;
            }
            Move::Disconnect(at) => self.disconnect(at),
            Move::Reserve(at) => self.reserve(at),
            Move::Circuit(at, to) => self.open(at, to),
            Move::Opened(at) => {
                if let Some(circuit) = self.circuit(at) {
                    let before = self.machine.circuits.len();
                    let _ = self.machine.opened(circuit, self.now);
                    assert!(self.machine.opened(circuit, self.now).is_none(), "opened twice");
                    assert_eq!(self.machine.circuits.len(), before);
                }
            }
            Move::Close(at) => {
                if let Some(circuit) = self.circuit(at) {
                    assert!(self.machine.close(circuit).is_some());
                    assert!(self.machine.close(circuit).is_none(), "closed twice");
                    self.circuits.remove(&circuit);
                }
            }
            Move::Wait(millis) => self.now += Duration::from_millis(millis),
            Move::Withdraw => {
                let had: BTreeSet<_> = self.machine.reservations().map(|(peer, _)| *peer).collect();
                let ended: BTreeSet<_> =
                    self.machine.withdraw().into_iter().map(|ended| ended.peer).collect();
                assert_eq!(had, ended);
            }
        }
        self.pass_time();
        self.check();
    }

    fn disconnect(&mut self, at: usize) {
        let Some((connection, peer)) = self.connection(at) else { return };
        self.connections.remove(&connection);
        let other = self.connections.iter().find(|(_, owner)| **owner == peer).map(|(other, _)| *other);
        let held = self.machine.reservations.of(&self.peers[peer]).copied();
        let held = held.filter(|held| held.connection == connection);
        let gone = self.machine.disconnected(self.peers[peer], connection, other, self.now);
        assert_eq!(gone.moved, held.and(other));
        assert_eq!(gone.ended, held.is_some() && other.is_none());
        for (id, _) in gone.circuits {
            assert!(self.circuits.remove(&id));
        }
    }

    fn reserve(&mut self, at: usize) {
        let Some(asker) = self.connection(at).map(|one| self.asker(one)) else { return };
        let before = self.machine.reservations.of(&asker.peer).copied();
        match self.machine.reserve(asker, self.now) {
            Ok(granted) => {
                assert_eq!(granted.renewed, before.is_some());
                assert_eq!(granted.expires, self.now + limits().reservation_time);
                let left = before.map(|before| before.connection).filter(|left| *left != asker.connection);
                assert_eq!(granted.left, left);
            }
            Err(_) => {
                assert!(before.is_none(), "a renewal from where it was is always granted");
                assert_eq!(self.machine.reservations.of(&asker.peer), None);
            }
        }
    }

    fn open(&mut self, at: usize, to: usize) {
        let Some(asker) = self.connection(at).map(|one| self.asker(one)) else { return };
        match self.machine.connect(asker, self.peers[to], self.now) {
            Ok((id, connection)) => {
                assert!(self.circuits.insert(id), "an id was used twice");
                assert_eq!(self.connections.get(&connection), Some(&to), "it leads to who was meant");
            }
            Err(Refusal::NoReservation) => assert!(!self.machine.has_reservation(&self.peers[to])),
            Err(_) => {}
        }
    }

    fn pass_time(&mut self) {
        if self.machine.poll_timeout().is_some_and(|due| due <= self.now) {
            let (_, abandoned) = self.machine.handle_timeout(self.now);
            for (id, circuit) in abandoned {
                assert!(circuit.opened.is_none());
                assert!(self.circuits.remove(&id));
            }
        }
        assert!(self.machine.poll_timeout().is_none_or(|due| due > self.now), "everything due was done");
    }

    fn check(&self) {
        let limits = limits();
        self.machine.reservations.check();
        self.machine.circuits.check();
        assert_eq!(self.machine.circuits.len(), self.circuits.len(), "none is left, none is lost");
        assert!(self.machine.circuits() <= limits.circuits);
        assert!(self.machine.reservations().count() <= limits.reservations);
        let mut held = BTreeMap::<Origin, usize>::new();
        for (peer, reservation) in self.machine.reservations() {
            let owner = self.connections.get(&reservation.connection).expect("on a live connection");
            assert_eq!(self.peers[*owner], *peer);
            assert!(reservation.expires > self.now);
            if let Some(origin) = origin(*owner) {
                *held.entry(origin).or_default() += 1;
            }
        }
        assert!(held.values().all(|count| *count <= limits.reservations_per_address));
        self.machine.circuits.check_limits(&limits);
    }

    /// Everybody leaves: nothing may stay.
    fn end(mut self) {
        while !self.connections.is_empty() {
            self.disconnect(0);
        }
        self.check();
        assert_eq!((self.machine.circuits(), self.machine.reservations().count()), (0, 0));
        assert_eq!(self.machine.poll_timeout(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_never_leak_and_limits_hold(moves in prop::collection::vec(moves(), 0..400)) {
        let mut walk = Walk::new((0..PEERS).map(|_| PeerId::random()).collect());
        for step in &moves {
            walk.go(step);
        }
        walk.end();
    }
}

fn asker(peer: PeerId, connection: usize, ip: [u8; 4]) -> Asker {
    let origin = Some(Origin::of(Some(IpAddr::from(ip))));
    Asker { peer, connection: ConnectionId::new_unchecked(connection), origin }
}

#[test]
fn strangers_do_not_get_the_places_of_those_who_were_here() {
    let start = Instant::now();
    let mut machine = Admission::new(Limits { reservations_per_address: 9, ..limits() });
    let regular = asker(PeerId::random(), 0, [192, 0, 2, 1]);
    machine.reserve(regular, start).expect("there is room");
    machine.disconnected(regular.peer, regular.connection, None, start);

    let strangers: Vec<_> = (1..=6)
        .map(|at| machine.reserve(asker(PeerId::random(), at, [198, 51, 100, at as u8]), start))
        .collect();

    assert_eq!(strangers.iter().filter(|granted| granted.is_ok()).count(), 4, "two places are kept");
    assert_eq!(strangers[5], Err(Refusal::ReservationsFull));
    machine.reserve(regular, start + SECOND).expect("a place was kept");
}

#[test]
fn renewals_at_capacity_are_granted_even_across_the_expiry() {
    let start = Instant::now();
    let mut machine = Admission::new(limits());
    let holders: Vec<_> = (0..4u8).map(|at| asker(PeerId::random(), at.into(), [192, 0, 2, at])).collect();
    for holder in &holders {
        machine.reserve(*holder, start).expect("there is room");
    }
    let late = start + limits().reservation_time;

    let renewed = machine.reserve(holders[0], late).expect("renewed");
    let (expired, _) = machine.handle_timeout(late);
    let again = machine.reserve(holders[1], late).expect("it was here lately");

    assert_eq!((renewed.renewed, again.renewed, expired.len()), (true, false, 3));
    assert_eq!(machine.reservations().count(), 2);
}

#[test]
fn nobody_is_reached_after_the_expiry_however_late_the_timer() {
    let start = Instant::now();
    let mut machine = Admission::new(limits());
    let (holder, source) =
        (asker(PeerId::random(), 0, [192, 0, 2, 1]), asker(PeerId::random(), 1, [192, 0, 2, 2]));
    machine.reserve(holder, start).expect("there is room");

    let refused = machine.connect(source, holder.peer, start + limits().reservation_time);

    assert_eq!(refused, Err(Refusal::NoReservation));
}

#[test]
fn a_destination_that_is_silent_is_not_waited_for_for_ever() {
    let start = Instant::now();
    let mut machine = Admission::new(limits());
    let (holder, source) =
        (asker(PeerId::random(), 0, [192, 0, 2, 1]), asker(PeerId::random(), 1, [192, 0, 2, 2]));
    machine.reserve(holder, start).expect("there is room");
    let (circuit, _) = machine.connect(source, holder.peer, start).expect("a circuit");

    let due = machine.poll_timeout().expect("something is due");
    let (_, abandoned) = machine.handle_timeout(due);

    assert_eq!(abandoned.len(), 1);
    assert!(due <= start + 3 * SECOND);
    assert!(machine.opened(circuit, due).is_none(), "too late");
}

#[test]
fn one_peer_does_not_use_up_the_rate_of_its_address() {
    let start = Instant::now();
    let rate = |burst| Rate { burst, every: Duration::from_secs(60) };
    let limits = Limits { reserve_rate: rate(2), reserve_rate_per_address: rate(4), ..limits() };
    let mut machine = Admission::new(limits);
    let home = [192, 0, 2, 1];
    let busy = asker(PeerId::random(), 0, home);

    let asked = [(); 4].map(|()| machine.reserve(busy, start).map(|granted| granted.renewed));

    assert_eq!(asked, [Ok(false), Ok(true), Err(Refusal::PeerRate), Err(Refusal::PeerRate)]);
    for other in 1..=2 {
        machine.reserve(asker(PeerId::random(), other, home), start).expect("others have theirs");
    }
    let refused = machine.reserve(asker(PeerId::random(), 3, home), start);
    assert_eq!(refused, Err(Refusal::AddressRate));
}
