//! How requests are answered and circuits come and go.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use libp2p_identity::PeerId;
use libp2p_swarm::{ConnectionId, Stream};

use super::{Behaviour, Link, now};
use crate::{
    CircuitEnd, Event, Refusal, ReservationEnd,
    admission::{Asker, Circuit, CircuitId, Expired},
    handler::{In, RequestId},
    message::{Lease, Limit, Request, Status, hop_status, stop_connect},
    meter::Meter,
    voucher,
};

impl Behaviour {
    pub(super) fn asked(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        request: RequestId,
        what: Request,
        now: Instant,
    ) {
        let link = self.connections.get(&peer).and_then(|links| links.get(&connection)).cloned();
        let Some(link) = link else { return };
        let asker = Asker { peer, connection, origin: link.origin };
        match what {
            Request::Reserve => match self.reserve(asker, &link, now) {
                Ok(reply) => self.tell(peer, connection, In::Answer { request, reply }),
                Err(why) => self.refuse(peer, connection, request, None, why),
            },
            Request::Connect(destination) => {
                if let Err(why) = self.connect(asker, &link, request, destination, now) {
                    self.refuse(peer, connection, request, Some(destination), why);
                }
            }
            Request::Status => self.refuse(peer, connection, request, None, Refusal::Unexpected),
        }
    }

    pub(super) fn unreadable(&mut self, peer: PeerId, connection: ConnectionId, request: RequestId) {
        self.refuse(peer, connection, request, None, Refusal::Malformed);
    }

    fn reserve(&mut self, asker: Asker, link: &Link, now: Instant) -> Result<Vec<u8>, Refusal> {
        self.may_ask(link)?;
        if !self.policy.may_reserve(asker.peer, &link.address) {
            return Err(Refusal::Policy);
        }
        let granted = self.admission.reserve(asker, now)?;
        if let Some(left) = granted.left {
            self.tell(asker.peer, left, In::Keep(false));
        }
        self.tell(asker.peer, asker.connection, In::Keep(true));
        self.accounts.reserved(asker.peer, granted.renewed);
        self.report(Event::Reserved { peer: asker.peer, renewed: granted.renewed });
        Ok(self.lease(asker.peer, granted.expires, now))
    }

    fn lease(&self, peer: PeerId, expires: Instant, now: Instant) -> Vec<u8> {
        let expires = SystemTime::now() + expires.saturating_duration_since(now);
        let expire = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let voucher = self.config.vouchers.then(|| voucher::sign(&self.key, &self.local, &peer, expire));
        let lease = Lease { expire, addresses: self.addresses.clone(), voucher: voucher.flatten() };
        hop_status(Status::Ok, Some(&lease), self.limit)
    }

    fn connect(
        &mut self,
        source: Asker,
        link: &Link,
        request: RequestId,
        destination: PeerId,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.may_ask(link)?;
        if !self.policy.may_connect(source.peer, destination, &link.address) {
            return Err(Refusal::Policy);
        }
        let (circuit, connection) = self.admission.connect(source, destination, now)?;
        self.asked.insert(circuit, request);
        let connect = stop_connect(&source.peer, self.limit);
        self.tell(destination, connection, In::Open { circuit, connect });
        Ok(())
    }

    fn may_ask(&self, link: &Link) -> Result<(), Refusal> {
        if !self.enabled {
            return Err(Refusal::Off); // asked just before it learned
        }
        if link.relayed { Err(Refusal::Relayed) } else { Ok(()) }
    }

    fn refuse(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        request: RequestId,
        destination: Option<PeerId>,
        why: Refusal,
    ) {
        let status = if destination.is_some() { why.of_circuit() } else { why.of_reservation() };
        let reply = hop_status(status, None, Limit::default());
        self.tell(peer, connection, In::Answer { request, reply });
        self.accounts.refused(peer);
        self.report(Event::Refused { peer, destination, why });
    }

    /// The destination agreed, or did not. Who is not waited for any more is left to close.
    pub(super) fn opened(&mut self, id: CircuitId, stream: Option<Stream>, now: Instant) {
        let Some(destination) = stream else { return self.failed(id) };
        let Some(circuit) = self.admission.opened(id, now).copied() else { return };
        let Some(request) = self.asked.remove(&id) else { return };
        let meter = Arc::new(Meter::default());
        self.accounts.opened(id, circuit.source, circuit.destination, meter.clone());
        let Circuit { source, destination: to, .. } = circuit;
        self.report(Event::CircuitOpened { circuit: id, source, destination: to });
        let reply = hop_status(Status::Ok, None, self.limit);
        let join = In::Join { request, circuit: id, reply, destination, meter };
        self.tell(circuit.source, circuit.source_connection, join);
    }

    fn failed(&mut self, id: CircuitId) {
        if let Some(circuit) = self.admission.close(id) {
            self.give_up(id, circuit);
        }
    }

    /// A circuit that did not come about.
    fn give_up(&mut self, id: CircuitId, circuit: Circuit) {
        if let Some(request) = self.asked.remove(&id) {
            let (peer, connection) = (circuit.source, circuit.source_connection);
            self.refuse(peer, connection, request, Some(circuit.destination), Refusal::DestinationFailed);
        }
    }

    pub(super) fn ended(&mut self, id: CircuitId, why: CircuitEnd, now: Instant) {
        if let Some(circuit) = self.admission.close(id) {
            self.over(id, circuit, why, now);
        }
    }

    /// A circuit that was open, or about to be.
    fn over(&mut self, id: CircuitId, circuit: Circuit, why: CircuitEnd, now: Instant) {
        let Some(bytes) = self.accounts.closed(id) else { return self.give_up(id, circuit) };
        let Circuit { source, destination, opened, .. } = circuit;
        let time = opened.map(|opened| now.saturating_duration_since(opened)).unwrap_or_default();
        self.report(Event::CircuitClosed { circuit: id, source, destination, bytes, time, why });
    }

    /// Circuits over a connection end with it. The handler of the other side sees its streams break; if
    /// it tells us, there is nothing left to do.
    pub(super) fn disconnected(&mut self, peer: PeerId, connection: ConnectionId) {
        self.forget(connection);
        let links = self.connections.get(&peer);
        let other = links.into_iter().flatten().find(|(_, link)| !link.relayed).map(|(other, _)| *other);
        let now = now();
        let gone = self.admission.disconnected(peer, connection, other, now);
        if let Some(other) = gone.moved {
            self.tell(peer, other, In::Keep(true));
        }
        if gone.ended {
            self.reservation_ended(Expired { peer, connection }, ReservationEnd::Disconnected);
        }
        for (id, circuit) in gone.circuits {
            self.over(id, circuit, CircuitEnd::Broken, now);
        }
    }

    /// Drops what is known of a connection.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        let Some(peer) = self.peers.remove(&connection) else { return };
        if let Some(links) = self.connections.get_mut(&peer) {
            links.remove(&connection);
            if links.is_empty() {
                self.connections.remove(&peer);
            }
        }
    }

    pub(super) fn reservation_ended(&mut self, ended: Expired, why: ReservationEnd) {
        self.tell(ended.peer, ended.connection, In::Keep(false));
        self.accounts.reservation_ended(ended.peer);
        self.report(Event::ReservationEnded { peer: ended.peer, why });
    }

    pub(super) fn time_passed(&mut self, now: Instant) {
        let (expired, abandoned) = self.admission.handle_timeout(now);
        for expired in expired {
            self.reservation_ended(expired, ReservationEnd::Expired);
        }
        for (id, circuit) in abandoned {
            self.give_up(id, circuit);
        }
    }
}
