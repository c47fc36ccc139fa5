//! What each packet does.

use std::{net::SocketAddr, time::Instant};

use alloy_primitives::B256;
use bytes::Bytes;
use causeway_records::{Reach, Record};

use super::{Discv4, Event, MAX_AHEAD};
use crate::{
    Dropped,
    lookup::State,
    network::may_relay,
    node::{Node, Peer, canonical},
    packet::{Endpoint, EnrResponse, FindNode, Neighbor, Neighbors, Opened, Packet, Ping, Pong, is_on_curve},
    requests::Kind,
    table::BUCKET_SIZE,
};

/// Ports up to here are other services': nobody may point us at them (geth, `errLowPort`).
const LAST_LOW_PORT: u16 = 1024;

impl Discv4 {
    pub(super) fn take(
        &mut self,
        from: SocketAddr,
        packet: &[u8],
        now: Instant,
        unix: u64,
    ) -> Result<(), Dropped> {
        let from = canonical(from);
        if from.port() == 0 || !causeway_records::is_allowed(from.ip(), Reach::Local) {
            return Err(Dropped::Source);
        }
        if !self.intake.admits(from.ip(), self.bonds.standing(from, now), now) {
            return Err(Dropped::TooMany);
        }
        let Opened { packet, from: key, hash } = Packet::decode(packet)?;
        if key == self.own.key {
            return Err(Dropped::OwnKey);
        }
        let sender = Node::new(key, from, 0);
        match packet {
            Packet::Ping(ping) => self.on_ping(sender, ping, hash, now, unix),
            Packet::Pong(pong) => self.on_pong(sender, pong, now, unix),
            Packet::FindNode(find) => self.on_find_node(sender, find, now, unix),
            Packet::Neighbors(neighbors) => self.on_neighbors(sender, &neighbors, now, unix),
            Packet::EnrRequest(request) => self.on_enr_request(sender, request.expiration, hash, now, unix),
            Packet::EnrResponse(response) => self.on_enr_response(sender, &response, now),
        }
    }

    fn on_ping(
        &mut self,
        sender: Node,
        ping: Ping,
        hash: B256,
        now: Instant,
        unix: u64,
    ) -> Result<(), Dropped> {
        is_current(ping.expiration, unix)?;
        let sender = Node { tcp: ping.from.tcp, ..sender };
        let peer = sender.peer();
        self.send_pong(sender, hash, unix);
        self.bonds.called(peer, now);
        if self.note_seq(peer, ping.enr_seq, now) {
            if !self.table.contains(peer) && self.is_welcome(peer) {
                self.table.answered_ping(sender, now);
            }
            self.ask_for_record(sender, now, unix);
        } else if self.is_welcome(peer) && !self.is_pinging(peer) && self.may_call_back(peer, now) {
            self.send_ping(sender, now, unix);
        }
        if let Some(awaited) = self.requests.find(peer, |kind| matches!(kind, Kind::Callback))
            && let Some(request) = self.requests.remove(awaited)
        {
            self.ready(request.node, now, unix);
        }
        Ok(())
    }

    fn on_pong(&mut self, sender: Node, pong: Pong, now: Instant, unix: u64) -> Result<(), Dropped> {
        is_current(pong.expiration, unix)?;
        let names_ours = |kind: &Kind| matches!(kind, Kind::Ping { hash } if *hash == pong.ping_hash);
        let request =
            self.requests.find(sender.peer(), names_ours).and_then(|number| self.requests.remove(number));
        let node = request.ok_or(Dropped::Unsolicited)?.node;
        self.bonds.prove(node.peer(), pong.enr_seq, now);
        self.unreachable.remove(&node.peer());
        if let Some(ours) = pong.to.udp_addr() {
            self.tell(Event::Observed { ours, by: sender.addr });
        }
        if self.is_welcome(node.peer()) {
            self.table.answered_ping(node, now);
        }
        self.proven(node, now, unix);
        Ok(())
    }

    fn on_find_node(&mut self, sender: Node, find: FindNode, now: Instant, unix: u64) -> Result<(), Dropped> {
        is_current(find.expiration, unix)?;
        if !self.bonds.is_proven(sender.peer(), now) {
            return Err(Dropped::NoProof);
        }
        let named: Vec<Neighbor> = self
            .table
            .closest(find.target.node_id())
            .iter()
            .filter(|node| node.id != sender.id && may_relay(sender.addr.ip(), node.addr.ip(), Reach::Local))
            .take(BUCKET_SIZE)
            .map(Node::neighbor)
            .collect();
        for neighbors in Neighbors::split(&named, expiration(unix)) {
            self.send(sender.addr, &Packet::Neighbors(neighbors));
        }
        Ok(())
    }

    fn on_neighbors(
        &mut self,
        sender: Node,
        neighbors: &Neighbors,
        now: Instant,
        unix: u64,
    ) -> Result<(), Dropped> {
        is_current(neighbors.expiration, unix)?;
        let peer = sender.peer();
        let number = self.requests.find(peer, |kind| matches!(kind, Kind::FindNode { .. }));
        let number = number.ok_or(Dropped::Unsolicited)?;
        let request = self.requests.get_mut(number).map(|request| &mut request.kind);
        let Some(Kind::FindNode { lookup, named, answered }) = request else { return Ok(()) };
        let (lookup, room) = (*lookup, BUCKET_SIZE.saturating_sub(*named));
        *named += neighbors.nodes.len();
        *answered = true;
        let is_complete = *named >= BUCKET_SIZE;
        let acceptable =
            neighbors.nodes.iter().take(room).filter_map(|named| self.acceptable(&sender, named));
        let nodes: Vec<Node> = acceptable.collect();
        for node in &nodes {
            self.named(*node, now);
        }
        if let Some(lookup) = self.lookups.get_mut(&lookup) {
            lookup.learn(nodes);
            if is_complete {
                lookup.set(peer, State::Answered);
            }
        }
        if is_complete {
            self.requests.remove(number);
            self.table.answered_question(peer);
        }
        Ok(())
    }

    fn on_enr_request(
        &mut self,
        sender: Node,
        expiration: u64,
        hash: B256,
        now: Instant,
        unix: u64,
    ) -> Result<(), Dropped> {
        is_current(expiration, unix)?;
        if !self.bonds.is_proven(sender.peer(), now) {
            return Err(Dropped::NoProof);
        }
        let record = Bytes::from(self.record.encode());
        self.send(sender.addr, &Packet::EnrResponse(EnrResponse { request_hash: hash, record }));
        Ok(())
    }

    fn on_enr_response(&mut self, sender: Node, response: &EnrResponse, now: Instant) -> Result<(), Dropped> {
        let names_ours =
            |kind: &Kind| matches!(kind, Kind::Record { hash } if *hash == response.request_hash);
        let request =
            self.requests.find(sender.peer(), names_ours).and_then(|number| self.requests.remove(number));
        let node = request.ok_or(Dropped::Unsolicited)?.node;
        let checked = self.check_record(&node, &response.record, now);
        if let (Ok(record), Some(proof)) = (&checked, self.bonds.proof_mut(node.peer(), now)) {
            proof.record = Some(record.clone());
            proof.told = None;
        }
        self.tell_found(node, now);
        checked.map(|_| ())
    }

    fn check_record(&mut self, node: &Node, bytes: &[u8], now: Instant) -> Result<Record, Dropped> {
        let record = Record::decode(bytes)?;
        if record.key() != node.key {
            return Err(Dropped::ForeignRecord);
        }
        let announced = self.bonds.proof_mut(node.peer(), now).and_then(|proof| proof.seq).unwrap_or(0);
        if record.seq() < announced {
            return Err(Dropped::OldRecord { seq: record.seq(), announced });
        }
        let v4 = record.ip4().map(std::net::IpAddr::V4);
        let v6 = record.ip6().map(std::net::IpAddr::V6);
        let mut ips = v4.into_iter().chain(v6);
        // Who is given to us from within our network may be there by its record, too.
        let may_name = |ip| ip == node.addr.ip() || may_relay(node.addr.ip(), ip, self.config.reach);
        if ips.all(may_name) { Ok(record) } else { Err(Dropped::RecordAddress) }
    }

    /// Keeps the number that a ping names; whether its sender has proven its endpoint.
    fn note_seq(&mut self, peer: Peer, seq: Option<u64>, now: Instant) -> bool {
        let Some(proof) = self.bonds.proof_mut(peer, now) else { return false };
        proof.seq = seq.or(proof.seq);
        true
    }

    /// The node that `sender` names, if it may.
    fn acceptable(&self, sender: &Node, named: &Neighbor) -> Option<Node> {
        let Endpoint { tcp, udp, .. } = named.endpoint;
        let addr = named.endpoint.udp_addr()?;
        let may_be = udp > LAST_LOW_PORT
            && named.key != self.own.key
            && may_relay(sender.addr.ip(), addr.ip(), self.config.reach)
            && is_on_curve(&named.key);
        may_be.then(|| Node::new(named.key, addr, tcp))
    }
}

/// The end of a packet that is made now.
pub(super) const fn expiration(unix: u64) -> u64 {
    unix.saturating_add(super::EXPIRATION.as_secs())
}

fn is_current(expiration: u64, now: u64) -> Result<(), Dropped> {
    if expiration < now {
        return Err(Dropped::Expired { expiration, now });
    }
    if expiration - now > MAX_AHEAD.as_secs() {
        return Err(Dropped::TooFarAhead { expiration, now });
    }
    Ok(())
}
