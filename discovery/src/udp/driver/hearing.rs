//! What the driver hears: events of discv5, packets of discv4; and whom it tells of.

use std::{net::SocketAddr, time::Instant};

use alloy_primitives::B256;
use causeway_pool::Source;
use causeway_records::{Enode, Record};
use discv5::{Discv5, Enr, Event, TalkRequest};
use enr::NodeId;
use tracing::debug;

use super::{
    super::{
        Counters, Found, TalkPeer, settings,
        settings::{to_enr, to_record},
    },
    Driver, Lookup, VISIT_AFTER, YOUNG_TABLE,
};

impl Driver {
    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Discovered(enr) => self.report(&enr),
            Event::SessionEstablished(enr, addr) => self.on_session(&enr, addr),
            Event::UnverifiableEnr { socket, node_id, .. } => self.sessions.opened(node_id, socket),
            Event::NodeInserted { node_id, .. } => self.on_inserted(node_id),
            Event::TalkRequest(request) => self.on_talk(request),
            Event::UnrecognizedFrame(frame) => self.on_frame(frame.src_address, &frame.packet),
            Event::SocketUpdated(_) | Event::SessionsExpired(_) => {}
            other => debug!(?other, "an event of discv5 that we do not know"),
        }
    }

    fn on_session(&mut self, enr: &Enr, addr: SocketAddr) {
        self.sessions.opened(enr.node_id(), addr);
        if self.is_welcome(enr) && self.can_reach(enr) {
            self.visits.plan(enr.clone(), Instant::now() + VISIT_AFTER);
        }
        self.report(enr);
    }

    fn on_inserted(&mut self, node: NodeId) {
        let Some(enr) = self.shared.with(|discv5| discv5.find_enr(&node)).flatten() else { return };
        if !self.is_welcome(&enr) {
            // The crate filters what it is told of, not who comes.
            self.shared.with(|discv5| discv5.remove_node(&node));
            return;
        }
        if matches!(self.lookup, Lookup::Never | Lookup::Wanted) {
            self.search();
        }
    }

    fn on_talk(&self, request: TalkRequest) {
        let node_id = B256::from(request.node_id().raw());
        let Some(addr) = self.addr_of(request.node_id()) else {
            debug!(%node_id, "TALKREQ of a node that we lost sight of"); // dropping it sends the empty answer
            return;
        };
        let from = TalkPeer { node_id, addr };
        let Ok(admitted) = self.shared.talk.admit(from, request.protocol(), Instant::now()) else { return };
        let talk = self.shared.talk.clone();
        self.tasks.spawn(async move {
            let answer = talk.answer(admitted, from, request.body()).await;
            let _ = request.respond(answer); // fails only if discv5 has stopped
        });
    }

    /// Where a node with a session is.
    fn addr_of(&self, node: &NodeId) -> Option<SocketAddr> {
        let in_table = |discv5: &Discv5| discv5.ip_mode().get_contactable_addr(&discv5.find_enr(node)?);
        self.sessions.addr(node).or_else(|| self.shared.with(in_table).flatten())
    }

    /// A packet that is not discv5's.
    pub(super) fn on_frame(&mut self, from: SocketAddr, packet: &[u8]) {
        let counters = &self.shared.counters;
        Counters::add(&counters.foreign);
        if let Some(discv4) = &mut self.discv4
            && let Err(reason) = discv4.take(from, packet)
        {
            counters.dropped(reason);
        }
    }

    /// Reports a node of discv5, once.
    pub(super) fn report(&mut self, enr: &Enr) {
        let id = B256::from(enr.node_id().raw());
        // Who is reached through relays alone names them in `multiaddrs`.
        let has_address =
            enr.ip4().is_some() || enr.ip6().is_some() || enr.get_raw_rlp("multiaddrs").is_some();
        if id == self.own_id || !has_address || !self.seen.is_news(id, enr.seq(), Instant::now()) {
            return;
        }
        let Some(record) = to_record(enr) else { return };
        if record.is_consensus() {
            return; // there are many; they serve nothing to us
        }
        self.send(Found { source: Source::Discv5, record: Some(record), enode: None });
    }

    /// Reports a node of discv4, once, and lets a young table of discv5 have it.
    pub(super) fn report_discv4(&mut self, enode: Enode, record: Option<Record>) {
        let seq = record.as_ref().map_or(0, Record::seq);
        let id = enode.key.node_id();
        if id == self.own_id || !self.seen.is_news(id, seq, Instant::now()) {
            return;
        }
        if record.as_ref().is_some_and(Record::is_consensus) {
            return;
        }
        let enr = record.as_ref().and_then(to_enr).filter(settings::table_filter(self.reach));
        let young = self.shared.with(|discv5| {
            discv5.with_kbuckets(|table| table.read().iter_ref().take(YOUNG_TABLE).count() < YOUNG_TABLE)
        });
        if let Some(enr) = enr.filter(|enr| young == Some(true) && self.can_reach(enr)) {
            self.visits.plan(enr, Instant::now());
        }
        self.send(Found { source: Source::Discv4, record, enode: Some(enode) });
    }

    fn send(&self, found: Found) {
        let counters = &self.shared.counters;
        match self.found.try_send(found) {
            Ok(()) => Counters::add(&counters.found),
            Err(_) => Counters::add(&counters.found_lost),
        }
    }
}
