//! What the driver asks of others: signs of life, records, lookups; and what it makes of the answers.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_records::{Enode, Host, Reach, Record};
use discv5::{Discv5, Enr, NodeContact, kbucket};
use enr::{CombinedPublicKey, NodeId};
use futures::FutureExt as _;
use tracing::{debug, info, warn};

use super::{
    super::{Bootnode, Counters, settings, settings::to_enr},
    Command, Done, Driver, Lookup,
};

/// With fewer nodes in the table the bootnodes that are not among them are asked again: whoever came first may know
/// nobody else.
const FEW_NODES: usize = 8;

/// Searches of our own accord after the start, where there are bootnodes.
pub(super) const EARLY_SEARCHES: u32 = 4;

/// Pause between those.
pub(super) const EARLY_PAUSE: Duration = Duration::from_secs(1);

/// Where seven nodes of eight are, seen from any one.
const FAR_DISTANCES: [u64; 3] = [256, 255, 254];

/// Nodes that are looked for at once.
const MOST_LOOKED_FOR: usize = 4;

/// Nodes taken out of one answer: more are not given (discv5-wire, "FINDNODE").
const MOST_FAR: usize = 16;

impl Driver {
    /// Plans a visit to the node of the table that was not visited for longest.
    pub(super) fn take_turn(&mut self, now: Instant) {
        if self.turns.is_empty() {
            self.turns = self.connected().iter().map(Enr::node_id).collect();
        }
        let Some(node) = self.turns.pop_front() else { return };
        if let Some(Some(enr)) = self.shared.with(|discv5| discv5.find_enr(&node)) {
            self.visits.plan(enr, now);
        }
    }

    pub(super) fn connected(&self) -> Vec<Enr> {
        let connected = self.shared.with(|discv5| {
            discv5.with_kbuckets(|table| {
                let table = table.read();
                let connected = table.iter_ref().filter(|entry| entry.status.is_connected());
                connected.map(|entry| entry.node.value.clone()).collect()
            })
        });
        connected.unwrap_or_default()
    }

    pub(super) fn add(&mut self, record: &Record) {
        let Some(enr) = to_enr(record).filter(settings::table_filter(self.reach)) else { return };
        if let Some((discv4, enode)) = self.discv4.as_mut().zip(discovery_enode(record)) {
            discv4.add(&enode);
        }
        if self.can_reach(&enr) {
            self.visits.plan(enr, Instant::now()); // whoever answers is in the table then
        }
    }

    /// Whether the node may be in the table: the user named it, or its addresses are within reach.
    pub(super) fn is_welcome(&self, enr: &Enr) -> bool {
        self.bootnode_ids.contains(&B256::from(enr.node_id().raw()))
            || settings::table_filter(self.reach)(enr)
    }

    /// Whether it has an address of a family that we have.
    pub(super) fn can_reach(&self, enr: &Enr) -> bool {
        enr.node_id().raw() != self.own_id.0
            && self.shared.with(|discv5| discv5.ip_mode().get_contactable_addr(enr).is_some()) == Some(true)
    }

    /// Searches again soon after the start: a bootnode that we have only just met may not answer at once.
    pub(super) fn search_early(&mut self, now: Instant) {
        if self.early_searches > 0 && self.next_early <= now {
            self.early_searches -= 1;
            self.next_early = now + EARLY_PAUSE;
            self.on_wish(Command::Search);
        }
    }

    pub(super) fn search(&mut self) {
        if self.lookup == Lookup::UnderWay {
            return;
        }
        let known = self
            .shared
            .with(|discv5| discv5.with_kbuckets(|table| table.read().iter_ref().take(FEW_NODES).count()))
            .unwrap_or(0);
        if known < FEW_NODES {
            self.greet_bootnodes();
            self.ask_for_far_nodes();
        }
        if known == 0 {
            if self.lookup == Lookup::Over {
                self.lookup = Lookup::Wanted;
            }
            return;
        }
        let target = match self.lookup {
            Lookup::Never => NodeId::new(&self.own_id.0),
            Lookup::Wanted | Lookup::UnderWay | Lookup::Over => NodeId::random(),
        };
        if let Some(lookup) = self.shared.with(|discv5| discv5.find_node(target)) {
            self.lookup = Lookup::UnderWay;
            self.pending.push(lookup.map(|found| Done::Lookup(found.unwrap_or_default())).boxed());
        }
    }

    /// Looks for one node: asks those of the table that are near it, and on from there. Each node that is told of
    /// comes as an event.
    pub(super) fn look_for(&mut self, node: B256) {
        let target = NodeId::new(&node.0);
        if let Some(Some(enr)) = self.shared.with(|discv5| discv5.find_enr(&target)) {
            self.report(&enr);
            return;
        }
        let looking = self.looking_for.len() >= MOST_LOOKED_FOR || !self.looking_for.insert(node);
        if !looking && let Some(lookup) = self.shared.with(|discv5| discv5.find_node(target)) {
            self.pending
                .push(lookup.map(move |found| Done::LookedFor(node, found.unwrap_or_default())).boxed());
        }
        self.greet_bootnodes();
    }

    /// Asks each of the few nodes that answer for those at the greatest distances from it: half of all nodes are at
    /// 256, and a lookup asks a node only for distances near that of its target, which may have nobody.
    fn ask_for_far_nodes(&mut self) {
        self.asked_far.clear();
        for node in self.connected().into_iter().take(FEW_NODES) {
            self.ask_for_far_nodes_of(node);
        }
    }

    /// The same of one node that has just answered, unless it was asked since the last search.
    fn ask_for_far_nodes_of(&mut self, node: Enr) {
        if self.asked_far.len() >= FEW_NODES || !self.asked_far.insert(node.node_id()) {
            return;
        }
        let asked = self.shared.with(|discv5| discv5.find_node_designated_peer(node, FAR_DISTANCES.to_vec()));
        if let Some(asked) = asked {
            self.pending.push(asked.map(|nodes| Done::Far(nodes.unwrap_or_default())).boxed());
        }
    }

    /// Asks the bootnodes that are not in the table for a sign of life, which brings them there.
    pub(super) fn greet_bootnodes(&mut self) {
        if self.greetings > 0 {
            return;
        }
        let bootnodes = std::mem::take(&mut self.bootnodes);
        for node in &bootnodes {
            match node {
                known if self.is_in_table(known) => {}
                Bootnode::Record(record) => {
                    if let Some(enr) = to_enr(record).filter(|enr| self.can_reach(enr)) {
                        self.visits.plan(enr, Instant::now());
                    }
                }
                Bootnode::Enode(enode) => self.greet(enode),
            }
        }
        self.bootnodes = bootnodes;
    }

    fn is_in_table(&self, node: &Bootnode) -> bool {
        let id = NodeId::new(&node.node_id().0);
        self.shared.with(|discv5| discv5.find_enr(&id).is_some()) == Some(true)
    }

    fn greet(&mut self, enode: &Enode) {
        let Some(contact) = contact(enode) else { return };
        // Any request opens a session, in which the crate asks for the record.
        let greeting = self.shared.with(|discv5| discv5.talk_req(contact, Vec::new(), Vec::new()));
        if let Some(greeting) = greeting {
            self.greetings += 1;
            Counters::add(&self.shared.counters.asked);
            self.pending.push(greeting.map(|_| Done::Greeting).boxed());
        }
    }

    /// Asks the system for the addresses of bootnodes that are given by name.
    pub(super) fn resolve_bootnodes(&mut self) {
        let (v4, v6) = (self.sockets.v4.is_some(), self.sockets.v6.is_some());
        for node in &self.bootnodes {
            let Bootnode::Enode(Enode { key, host: Host::Name(name), tcp, udp }) = node else { continue };
            let (key, name, tcp, udp) = (*key, name.clone(), *tcp, *udp);
            let resolving = async move {
                let mut addrs = tokio::net::lookup_host((name.as_str(), udp)).await.ok()?;
                let addr = addrs.find(|addr| if addr.is_ipv4() { v4 } else { v6 });
                addr.map(|addr| Enode { key, host: Host::Ip(addr.ip()), tcp, udp })
            };
            self.pending.push(resolving.map(Done::Name).boxed());
        }
    }

    pub(super) fn seed_discv4(&mut self) {
        let Some(discv4) = &mut self.discv4 else { return };
        for node in &self.bootnodes {
            match node {
                Bootnode::Record(record) => {
                    if let Some(enode) = discovery_enode(record) {
                        discv4.add(&enode);
                    }
                }
                Bootnode::Enode(enode) => discv4.add(enode),
            }
        }
    }

    pub(super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Lookup(found) => {
                self.lookup = Lookup::Over;
                debug!(nodes = found.len(), "a discv5 lookup is over");
                for enr in &found {
                    self.report(enr);
                }
            }
            Done::LookedFor(node, found) => {
                self.looking_for.remove(&node);
                for enr in &found {
                    self.report(enr);
                }
            }
            Done::Far(found) => {
                for enr in found.into_iter().take(MOST_FAR) {
                    self.report(&enr);
                    if self.is_welcome(&enr) && self.can_reach(&enr) {
                        self.visits.plan(enr, Instant::now());
                    }
                }
            }
            Done::Visit(node, pong) => {
                self.visits.done();
                if let Some(pong) = pong {
                    self.on_pong(node, &pong);
                }
            }
            Done::Refresh(node, records) => {
                if let Some(enr) = records.into_iter().find(|enr| enr.node_id() == node) {
                    self.refresh(enr);
                }
            }
            Done::Greeting => self.greetings = self.greetings.saturating_sub(1),
            Done::Name(Some(enode)) => {
                if let Some(discv4) = &mut self.discv4 {
                    discv4.add(&enode);
                }
                self.greet(&enode);
                self.bootnodes.push(Bootnode::Enode(enode));
            }
            Done::Name(None) => warn!("the name of a bootnode has no address"),
        }
    }

    fn on_pong(&mut self, node: Enr, pong: &discv5::service::Pong) {
        let Some(contact) = self.shared.with(|discv5| discv5.ip_mode().get_contactable_addr(&node)).flatten()
        else {
            return;
        };
        if self.may_vote(&node) {
            let addr = SocketAddr::new(pong.ip, pong.port);
            if let Some(winner) = self.votes.count(contact, addr, Instant::now()) {
                self.confirm(winner);
            }
        }
        self.ask_for_far_nodes_of(node.clone());
        // The crate leaves this to whoever asked for the ping.
        if pong.enr_seq > node.seq() {
            let id = node.node_id();
            let asked = self.shared.with(|discv5| discv5.find_node_designated_peer(node, vec![0]));
            if let Some(asked) = asked {
                self.pending
                    .push(asked.map(move |nodes| Done::Refresh(id, nodes.unwrap_or_default())).boxed());
            }
        }
    }

    /// On the public internet those who came to us by themselves have no vote: they could come to cast it.
    fn may_vote(&self, node: &Enr) -> bool {
        let key = kbucket::Key::from(node.node_id());
        let outgoing = |discv5: &Discv5| {
            discv5.with_kbuckets(|table| match table.write().entry(&key) {
                kbucket::Entry::Present(_, status) => !status.is_incoming(),
                _ => false,
            })
        };
        self.reach == Reach::Local || self.shared.with(outgoing) == Some(true)
    }

    pub(super) fn confirm(&self, addr: SocketAddr) {
        self.external.send_if_modified(|external| {
            let before = *external;
            external.set(addr);
            let changed = *external != before;
            if changed {
                info!("others agree on our address");
                debug!(%addr, "our address as others see it");
            }
            changed
        });
    }

    /// Takes a newer record of a node of the table.
    fn refresh(&mut self, enr: Enr) {
        let key = kbucket::Key::from(enr.node_id());
        if settings::table_filter(self.reach)(&enr) && self.can_reach(&enr) {
            let update = |discv5: &Discv5| {
                discv5.with_kbuckets(|table| {
                    let mut table = table.write();
                    let newer = match table.entry(&key) {
                        kbucket::Entry::Present(entry, _) => entry.value().seq() < enr.seq(),
                        kbucket::Entry::Pending(entry, _) => entry.value().seq() < enr.seq(),
                        _ => false,
                    };
                    if newer {
                        let _ = table.update_node(&key, enr.clone(), None); // a filter may refuse it
                    }
                });
            };
            self.shared.with(update);
        }
        self.report(&enr);
    }
}

/// The record's node as discv4 needs it, be there RLPx or not.
fn discovery_enode(record: &Record) -> Option<Enode> {
    Some(Enode {
        key: record.key(),
        host: Host::Ip(record.ip()?),
        tcp: record.tcp().unwrap_or(0),
        udp: record.udp()?,
    })
}

/// How to reach a node whose record we do not have.
fn contact(enode: &Enode) -> Option<NodeContact> {
    let Host::Ip(ip) = enode.host else { return None };
    let addr = SocketAddr::new(ip, enode.udp);
    let mut key = [4; 65];
    key[1..].copy_from_slice(enode.key.0.as_slice());
    let key = enr::k256::ecdsa::VerifyingKey::from_sec1_bytes(&key).ok()?;
    Some(NodeContact::new(CombinedPublicKey::Secp256k1(key), addr, None))
}
