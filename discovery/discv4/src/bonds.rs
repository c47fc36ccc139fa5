//! Endpoint proofs: who was reached where, and who has reached us.
//!
//! A node proves its address by a pong that names our ping; then its questions are answered, which may take
//! more bytes than they have. It answers ours after it had the same proof of us: after our pong to its ping.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use causeway_records::Record;

use crate::{intake::Standing, node::Peer, recent::Recent};

/// How long a proof holds (geth, `bondExpiration`).
pub const BOND_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Proofs that are remembered, and as many of those who pinged us.
pub const MAX_BONDS: usize = 4096;
/// Of these, how many of one machine: keys and ports cost nothing.
pub const MAX_BONDS_PER_HOST: usize = 128;

#[derive(Debug)]
pub(crate) struct Bonds {
    proofs: Recent<Peer, Proof>,
    /// Who pinged us and got a pong.
    callers: Recent<Peer, Instant>,
}

/// What is known of a node that proved its endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub(crate) at: Instant,
    /// Sequence number of its record, as it said last; `None` if it does not speak EIP-868.
    pub(crate) seq: Option<u64>,
    /// Its record, of the last time it gave one.
    pub(crate) record: Option<Record>,
    /// The sequence number for which its record was asked last, and when.
    pub(crate) asked: Option<(u64, Instant)>,
    /// When its being there was told last.
    pub(crate) told: Option<Instant>,
}

impl Bonds {
    pub(crate) const fn new() -> Self {
        Self { proofs: Recent::new(MAX_BONDS), callers: Recent::new(MAX_BONDS) }
    }

    /// `peer` named our ping.
    pub(crate) fn prove(&mut self, peer: Peer, seq: Option<u64>, now: Instant) {
        let proof = match self.proofs.remove(&peer) {
            Some(before) => Proof { at: now, seq, ..before },
            None => Proof { at: now, seq, record: None, asked: None, told: None },
        };
        self.proofs.insert_within(peer, proof, Peer::at_host(peer.addr.ip()), MAX_BONDS_PER_HOST);
    }

    /// `peer` was sent a pong: it has the proof of us, unless the packet was lost.
    pub(crate) fn called(&mut self, peer: Peer, now: Instant) {
        self.callers.insert_within(peer, now, Peer::at_host(peer.addr.ip()), MAX_BONDS_PER_HOST);
    }

    /// `peer` does not answer what it would if it had the proof of us.
    pub(crate) fn forget_call(&mut self, peer: Peer) {
        self.callers.remove(&peer);
    }

    /// What is known of `peer`, while its proof holds.
    pub(crate) fn proof_mut(&mut self, peer: Peer, now: Instant) -> Option<&mut Proof> {
        self.proofs.get_mut(&peer).filter(|proof| is_fresh(proof.at, now))
    }

    pub(crate) fn is_proven(&self, peer: Peer, now: Instant) -> bool {
        self.proofs.get(&peer).is_some_and(|proof| is_fresh(proof.at, now))
    }

    pub(crate) fn knows_us(&self, peer: Peer, now: Instant) -> bool {
        self.callers.get(&peer).is_some_and(|at| is_fresh(*at, now))
    }

    /// Whether anybody has proven `addr`.
    pub(crate) fn standing(&self, addr: SocketAddr, now: Instant) -> Standing {
        let proven = self.proofs.range(Peer::at(addr)).any(|proof| is_fresh(proof.at, now));
        if proven { Standing::Proven } else { Standing::Stranger }
    }

    pub(crate) fn len(&self) -> usize {
        self.proofs.len()
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < BOND_LIFE
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    fn peer(ip: u32, port: u16) -> Peer {
        Peer { addr: SocketAddr::from((ip.to_be_bytes(), port)), id: B256::repeat_byte(7) }
    }

    #[test]
    fn a_proof_holds_for_a_day_at_its_address() {
        let now = Instant::now();
        let mut bonds = Bonds::new();

        bonds.prove(peer(0x0908_0706, 1), None, now);

        assert!(bonds.is_proven(peer(0x0908_0706, 1), now + BOND_LIFE - Duration::from_secs(1)));
        assert!(!bonds.is_proven(peer(0x0908_0706, 1), now + BOND_LIFE));
        assert!(!bonds.is_proven(peer(0x0908_0706, 2), now));
        assert!(!bonds.knows_us(peer(0x0908_0706, 1), now));
        assert_eq!(bonds.standing(peer(0x0908_0706, 1).addr, now), Standing::Proven);
        assert_eq!(bonds.standing(peer(0x0908_0706, 2).addr, now), Standing::Stranger);
    }

    #[test]
    fn proofs_are_bounded_in_all_and_for_each_machine() {
        let now = Instant::now();
        let mut bonds = Bonds::new();
        bonds.prove(peer(1, 1), None, now);

        for port in 1..1000 {
            bonds.prove(peer(0x0908_0706, port), None, now);
            bonds.called(peer(0x0908_0706, port), now);
        }
        assert_eq!((bonds.len(), bonds.callers.len()), (MAX_BONDS_PER_HOST + 1, MAX_BONDS_PER_HOST));
        assert!(bonds.is_proven(peer(1, 1), now));

        for ip in 0..10_000 {
            bonds.prove(peer(ip, 9), None, now);
            bonds.called(peer(ip, 9), now);
        }
        assert_eq!((bonds.len(), bonds.callers.len()), (MAX_BONDS, MAX_BONDS));
    }
}
