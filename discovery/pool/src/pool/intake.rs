//! What sources tell: who is taken in as a candidate.

use std::time::Instant;

use causeway_records::{Enode, Multiaddr, Record, Refusal, choose};
use causeway_wire::NodeKey;

use super::Pool;
use crate::{
    Named, Role, Source,
    contact::{Contact, role_of},
    node::{Node, Rank},
    shunned::Cause,
    subnet,
};

/// Most nodes that the user may name.
pub const MAX_NAMED: usize = 256;

/// Why a node is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// We would not dial it.
    #[error("the node is not dialed")]
    Unusable(#[from] Refusal),
    /// It lied to us lately.
    #[error("the node lied to us and is banished for now")]
    Banished,
    /// It was tried too often in vain.
    #[error("the node failed too often and is left alone for now")]
    GivenUp,
    /// It is us.
    #[error("the node is ourselves")]
    Myself,
    /// The pool holds as many as it may, and better ones.
    #[error("the pool is full with {limit} candidates that promise more")]
    Full {
        /// Most that are kept.
        limit: usize,
    },
    /// The pool holds as many of this node's subnet as it may.
    #[error("the pool holds {limit} candidates of the node's subnet already")]
    SubnetFull {
        /// Most that are kept of one subnet.
        limit: usize,
    },
    /// A newer record of the node is known.
    #[error("record {heard} of the node is older than record {known}, which is known")]
    Older {
        /// Sequence number that is known.
        known: u64,
        /// Sequence number that was heard.
        heard: u64,
    },
    /// Nobody of its role is wanted.
    #[error("no {role} is wanted")]
    NotWanted {
        /// Its role.
        role: Role,
    },
    /// The user named more than the pool takes.
    #[error("more than {limit} nodes are named")]
    TooManyNamed {
        /// Most that may be named.
        limit: usize,
    },
}

impl Pool {
    /// The user names a node: it is dialed for ever, whatever the targets, and never evicted. Named twice, the
    /// more trusting source counts and the addresses of both.
    ///
    /// # Errors
    /// [`Refused::Myself`], [`Refused::Unusable`] if there is nothing to dial, [`Refused::TooManyNamed`].
    pub fn add_named(&mut self, named: Named, source: Source, now: Instant) -> Result<(), Refused> {
        let key = named.key();
        if key == self.config.me || self.shunned.cause(key, now) == Some(Cause::Myself) {
            return Err(Refused::Myself);
        }
        let source = if source == Source::Trusted { Source::Trusted } else { Source::Static };
        let contact = Contact::of_named(named);
        if contact.named_ways(self.config.first).is_none() {
            return Err(Refusal::NoAddress.into());
        }
        let is_named = self.nodes.get(&key).is_some_and(Node::is_named);
        if !is_named && self.nodes.values().filter(|node| node.is_named()).count() >= MAX_NAMED {
            return Err(Refused::TooManyNamed { limit: MAX_NAMED });
        }
        // In the order in which they were named.
        let lot = self.nodes.values().filter(|node| node.is_named()).count();
        let node = self.nodes.entry(key).or_insert_with(|| Node::new(source, None, 0));
        if !is_named {
            node.lot = u64::try_from(lot).unwrap_or(u64::MAX);
            node.due = None;
            node.patience = crate::patience::Patience::default();
        }
        node.source = node.source.min(source);
        if let Some(record) = contact.record {
            node.role = Some(role_of(&record));
            node.contact.record = Some(record);
        }
        contact.enodes.into_iter().for_each(|enode| node.contact.add_enode(enode));
        node.contact.add_addresses(contact.addrs);
        Ok(())
    }

    /// A source found this record. A newer one replaces an older one.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn handle_record(&mut self, record: Record, source: Source, now: Instant) -> Result<(), Refused> {
        if matches!(source, Source::Trusted | Source::Static) {
            return self.add_named(Named::Record(record), source, now);
        }
        let key = record.key();
        self.admit(key, now)?;
        let known = self.nodes.get(&key).and_then(|node| node.contact.record.as_ref()).map(Record::seq);
        let heard = record.seq();
        match known {
            Some(known) if known > heard => return Err(Refused::Older { known, heard }),
            Some(known) if known == heard => {
                self.heard_again(key, source);
                return Ok(());
            }
            Some(_) | None => {}
        }
        let role = role_of(&record);
        if let Err(error) = self.judge(&record, role) {
            self.forget_candidate(key); // what it said before is no longer true
            return Err(error);
        }
        self.take_in(key, source, Some(role), Contact::of_record(record))
    }

    /// A source found this node, but no record: what it is good for shows when it is met.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn handle_enode(&mut self, enode: Enode, source: Source, now: Instant) -> Result<(), Refused> {
        if matches!(source, Source::Trusted | Source::Static) {
            return self.add_named(Named::Enode(enode), source, now);
        }
        let key = enode.key;
        self.admit(key, now)?;
        let contact = Contact { enodes: vec![enode], ..Contact::default() };
        contact.ways(self.rules())?;
        if self.nodes.get(&key).is_some_and(|node| node.contact.record.is_some()) {
            self.heard_again(key, source); // its own word is better than what others say
            return Ok(());
        }
        let role = self.nodes.get(&key).and_then(|node| node.role);
        if self.config.targets.of(role.unwrap_or(Role::LesFullNode)) == 0 {
            return Err(Refused::NotWanted { role: role.unwrap_or(Role::LesFullNode) });
        }
        self.take_in(key, source, role, contact)
    }

    /// A source found where libp2p reaches this node, and what it offers.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn handle_addresses(
        &mut self,
        key: NodeKey,
        role: Role,
        addrs: Vec<Multiaddr>,
        source: Source,
        now: Instant,
    ) -> Result<(), Refused> {
        if matches!(source, Source::Trusted | Source::Static) {
            return self.add_named(Named::Multiaddrs { key, addrs }, source, now);
        }
        self.admit(key, now)?;
        if self.config.targets.of(role) == 0 {
            return Err(Refused::NotWanted { role });
        }
        let mut contact = Contact::default();
        contact.add_addresses(addrs);
        contact.ways(self.rules())?;
        self.take_in(key, source, Some(role), contact)
    }

    fn admit(&self, key: NodeKey, now: Instant) -> Result<(), Refused> {
        if key == self.config.me {
            return Err(Refused::Myself);
        }
        match self.shunned.cause(key, now) {
            Some(Cause::Lied) => Err(Refused::Banished),
            Some(Cause::Failed) => Err(Refused::GivenUp),
            Some(Cause::Myself) => Err(Refused::Myself),
            None => Ok(()),
        }
    }

    fn judge(&self, record: &Record, role: Role) -> Result<(), Refused> {
        choose(record, self.rules())?;
        if self.config.targets.of(role) == 0 {
            return Err(Refused::NotWanted { role });
        }
        Ok(())
    }

    fn forget_candidate(&mut self, key: NodeKey) {
        if self.nodes.get(&key).is_some_and(Node::is_candidate) {
            self.nodes.remove(&key);
            self.events.counts_changed = true;
        }
    }

    fn heard_again(&mut self, key: NodeKey, source: Source) {
        if let Some(node) = self.nodes.get_mut(&key) {
            node.source = node.source.min(source);
        }
    }

    /// Adds to what is known of the node, or the node itself if there is room.
    fn take_in(
        &mut self,
        key: NodeKey,
        source: Source,
        role: Option<Role>,
        told: Contact,
    ) -> Result<(), Refused> {
        let lot = self.random.next();
        let known = self.nodes.contains_key(&key);
        let subnets = told.ways(self.rules()).map(|ways| subnet::of_ways(&ways)).unwrap_or_default();
        if !known {
            let limit = self.config.candidates_per_subnet;
            let in_subnet = |node: &&Node| node.is_candidate() && !node.subnets.is_disjoint(&subnets);
            if !subnets.is_empty() && self.nodes.values().filter(in_subnet).count() >= limit {
                return Err(Refused::SubnetFull { limit });
            }
            let new = Node::new(source, role, lot);
            self.make_room(&new)?;
            self.nodes.insert(key, new);
        }
        let Some(node) = self.nodes.get_mut(&key) else { return Ok(()) };
        let moved = known && !node.subnets.is_superset(&subnets);
        node.source = node.source.min(source);
        node.role = role.or(node.role);
        node.subnets = subnets;
        if let Some(record) = told.record {
            if !node.is_named() {
                node.contact.enodes.clear(); // others' word, now that there is its own
            }
            node.contact.record = Some(record);
        }
        told.enodes.into_iter().for_each(|enode| node.contact.add_enode(enode));
        node.contact.add_addresses(told.addrs);
        if node.recorded_role() == Some(Role::Relay)
            && let Some(connection) = &mut node.connected
        {
            connection.role = Role::Relay;
        }
        if moved || node.ruled_out {
            node.ruled_out = false;
            node.due = None;
        }
        self.events.counts_changed = true;
        Ok(())
    }

    /// Lets the least promising candidate go if the table is full.
    pub(super) fn make_room(&mut self, new: &Node) -> Result<(), Refused> {
        let limit = self.config.candidates;
        if self.nodes.values().filter(|node| node.is_candidate()).count() < limit {
            return Ok(());
        }
        match self.worst() {
            Some((rank, key)) if rank > new.rank() => {
                self.nodes.remove(&key);
                Ok(())
            }
            Some(_) | None => Err(Refused::Full { limit }),
        }
    }

    /// Lets candidates go until no more are held than may be: those who were connected are candidates again.
    pub(super) fn trim(&mut self) {
        let count = self.nodes.values().filter(|node| node.is_candidate()).count();
        for _ in self.config.candidates..count {
            let Some((_, key)) = self.worst() else { return };
            self.nodes.remove(&key);
        }
    }

    fn worst(&self) -> Option<(Rank, NodeKey)> {
        let candidates = self.nodes.iter().filter(|(_, node)| node.is_candidate());
        candidates.map(|(key, node)| (node.rank(), *key)).max()
    }
}
