//! What is sent and told.

use std::{net::SocketAddr, time::Instant};

use alloy_primitives::B256;
use causeway_records::{Enode, Host, Record};

use super::{Discv4, Event, FOUND_AGAIN, RECORD_PAUSE, Transmit, incoming::expiration};
use crate::{
    node::{Node, Peer},
    packet::{Endpoint, EnrRequest, FindNode, Packet, Ping, Pong},
    requests::Kind,
};

impl Discv4 {
    pub(super) fn send_pong(&mut self, to: Node, ping_hash: B256, unix: u64) {
        let pong = Pong {
            to: Endpoint::new(to.addr, to.tcp),
            ping_hash,
            expiration: expiration(unix),
            enr_seq: Some(self.record.seq()),
        };
        self.send(to.addr, &Packet::Pong(pong));
    }

    /// Whether `to` is asked for a proof of its endpoint, by this ping or one before.
    pub(super) fn send_ping(&mut self, to: Node, now: Instant, unix: u64) -> bool {
        if self.is_pinging(to.peer()) {
            return true;
        }
        if self.requests.is_full() {
            return false;
        }
        let ping = Ping {
            from: self.endpoint,
            to: Endpoint::new(to.addr, 0),
            expiration: expiration(unix),
            enr_seq: Some(self.record.seq()),
        };
        self.probes.remove(to.peer());
        let hash = self.send(to.addr, &Packet::Ping(ping));
        self.requests.push(to, Kind::Ping { hash }, now)
    }

    /// Whether the question could be asked: not if too many are under way, or one of this kind to this node.
    pub(super) fn send_find_node(&mut self, to: Node, lookup: u64, now: Instant, unix: u64) -> bool {
        let Some(target) = self.lookups.get(&lookup).map(|lookup| lookup.target) else { return false };
        if self.requests.is_full() || self.is_asking(to.peer()) {
            return false;
        }
        self.send(to.addr, &Packet::FindNode(FindNode { target, expiration: expiration(unix) }));
        self.requests.push(to, Kind::FindNode { lookup, named: 0, answered: false }, now)
    }

    /// Asks for the record of a proven node if there is a newer one than we have; whether it did.
    pub(super) fn ask_for_record(&mut self, to: Node, now: Instant, unix: u64) -> bool {
        if !self.wants_record(to.peer(), now)
            || !self.bonds.knows_us(to.peer(), now)
            || self.requests.is_full()
        {
            return false;
        }
        let request = EnrRequest { expiration: expiration(unix) };
        let hash = self.send(to.addr, &Packet::EnrRequest(request));
        if let Some(proof) = self.bonds.proof_mut(to.peer(), now) {
            proof.asked = proof.seq.map(|seq| (seq, now));
        }
        self.requests.push(to, Kind::Record { hash }, now)
    }

    pub(super) fn wants_record(&mut self, peer: Peer, now: Instant) -> bool {
        let Some(proof) = self.bonds.proof_mut(peer, now) else { return false };
        let Some(seq) = proof.seq else { return false };
        let is_new = proof.record.as_ref().is_none_or(|record| record.seq() < seq);
        let was_asked = proof
            .asked
            .is_some_and(|(asked, at)| asked == seq && now.saturating_duration_since(at) < RECORD_PAUSE);
        is_new && !was_asked
    }

    pub(super) fn is_pinging(&self, peer: Peer) -> bool {
        self.requests.find(peer, |kind| matches!(kind, Kind::Ping { .. })).is_some()
    }

    pub(super) fn is_asking(&self, peer: Peer) -> bool {
        self.requests.find(peer, |kind| matches!(kind, Kind::FindNode { .. })).is_some()
    }

    /// Tells of a proven node, unless it was told of a short while ago.
    pub(super) fn tell_found(&mut self, node: Node, now: Instant) {
        if !self.is_welcome(node.peer()) {
            return;
        }
        let Some(proof) = self.bonds.proof_mut(node.peer(), now) else { return };
        if proof.told.is_some_and(|told| now.saturating_duration_since(told) < FOUND_AGAIN) {
            return;
        }
        proof.told = Some(now);
        let record = proof.record.clone();
        let tcp = record.as_ref().and_then(|record| tcp_of(record, &node)).unwrap_or(node.tcp);
        let enode = Enode { key: node.key, host: Host::Ip(node.addr.ip()), tcp, udp: node.addr.port() };
        self.tell(Event::Found { enode, record });
    }

    pub(super) fn tell(&mut self, event: Event) {
        // Ends of lookups are few, and somebody waits for each.
        let has_room =
            self.events.len() < self.config.limits.events || matches!(event, Event::LookupDone { .. });
        if has_room {
            self.events.push_back(event);
        } else {
            self.events_dropped += 1;
        }
    }

    /// The hash of the packet, by which an answer names it.
    pub(super) fn send(&mut self, to: SocketAddr, packet: &Packet) -> B256 {
        let (packet, hash) = packet.encode(&self.config.secret_key);
        if self.transmits.len() < self.config.limits.transmits {
            self.transmits.push_back(Transmit { to, packet });
        } else {
            self.transmits_dropped += 1;
        }
        hash
    }
}

/// Where the record says that RLPx listens at the node's address.
fn tcp_of(record: &Record, node: &Node) -> Option<u16> {
    record.tcp_addrs().iter().find(|addr| addr.ip() == node.addr.ip()).map(SocketAddr::port)
}
