//! What is known of where a node is.

use std::net::IpAddr;

use causeway_records::{Enode, Host, Multiaddr, Record, Refusal, Rules, Way, choose, is_allowed};
use causeway_wire::{NodeKey, Stack};

use crate::Role;

/// Most enodes of one node that are kept: IPv4 and IPv6, and one more of each.
const MAX_ENODES: usize = 4;

/// Most libp2p addresses of one node that are kept.
pub const MAX_ADDRESSES: usize = 8;

/// Longest binary form of a libp2p address that is kept: a relayed WSS address with two names of 253 bytes.
pub const MAX_ADDRESS: usize = 640;

/// A node as the user writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// An enode URL.
    Enode(Enode),
    /// A node record.
    Record(Record),
    /// Where libp2p reaches it.
    Multiaddrs {
        /// Its key.
        key: NodeKey,
        /// Its addresses.
        addrs: Vec<Multiaddr>,
    },
}

impl Named {
    /// Whose they are.
    pub fn key(&self) -> NodeKey {
        match self {
            Self::Enode(enode) => enode.key,
            Self::Record(record) => record.key(),
            Self::Multiaddrs { key, .. } => *key,
        }
    }
}

/// What sources have said of where one node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) record: Option<Record>,
    pub(crate) enodes: Vec<Enode>,
    pub(crate) addrs: Vec<Multiaddr>,
}

impl Contact {
    pub(crate) fn of_record(record: Record) -> Self {
        Self { record: Some(record), ..Self::default() }
    }

    pub(crate) fn of_named(named: Named) -> Self {
        match named {
            Named::Record(record) => Self::of_record(record),
            Named::Enode(enode) => Self { enodes: vec![enode], ..Self::default() },
            Named::Multiaddrs { addrs, .. } => {
                let mut contact = Self::default();
                contact.add_addresses(addrs);
                contact
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.record.is_none() && self.enodes.is_empty() && self.addrs.is_empty()
    }

    /// The newest is kept first.
    pub(crate) fn add_enode(&mut self, enode: Enode) {
        self.enodes.retain(|known| *known != enode);
        self.enodes.insert(0, enode);
        self.enodes.truncate(MAX_ENODES);
    }

    /// The newest replace the older: a node that moved has left its addresses.
    pub(crate) fn add_addresses(&mut self, addrs: Vec<Multiaddr>) {
        let kept = addrs.into_iter().filter(|addr| addr.is_dialable() && addr.encode().len() <= MAX_ADDRESS);
        let kept: Vec<Multiaddr> = kept.take(MAX_ADDRESSES).collect();
        if !kept.is_empty() {
            self.addrs = kept;
        }
    }

    /// The ways to a stranger, as the rules allow.
    pub(crate) fn ways(&self, rules: Rules<'_>) -> Result<Vec<Way>, Refusal> {
        let allowed = |ip: IpAddr| is_allowed(ip, rules.reach);
        let mut found = Found::default();
        let mut refusal = Refusal::NoAddress;
        if let Some(record) = &self.record {
            match choose(record, rules) {
                Ok(ways) => found.add(ways),
                // The addresses that others told us of it may do.
                Err(error @ (Refusal::NoAddress | Refusal::NotPublic { .. })) => refusal = error,
                Err(error) => return Err(error),
            }
        }
        for enode in self.enodes.iter().filter(|enode| enode.tcp != 0) {
            match enode.host {
                Host::Ip(ip) if allowed(ip) => found.add_enode(enode.clone()),
                Host::Ip(first) => refusal = Refusal::NotPublic { first },
                Host::Name(_) => found.add_enode(enode.clone()),
            }
        }
        for addr in &self.addrs {
            match addr.ip() {
                Some(first) if !allowed(first) => refusal = Refusal::NotPublic { first },
                // What a name resolves to is checked by whoever resolves it.
                Some(_) | None => found.add_address(addr.clone()),
            }
        }
        found.ways(rules.first).ok_or(refusal)
    }

    /// The ways to a node that the user named, who may send us anywhere; its chain shows when it greets.
    pub(crate) fn named_ways(&self, first: Stack) -> Option<Vec<Way>> {
        let mut found = Found::default();
        for enode in self.enodes.iter().filter(|enode| enode.tcp != 0) {
            found.add_enode(enode.clone());
        }
        for addr in &self.addrs {
            found.add_address(addr.clone());
        }
        if let Some(record) = &self.record {
            let udp = record.udp();
            for addr in record.tcp_addrs() {
                let udp = udp.unwrap_or_else(|| addr.port());
                found.add_enode(Enode { udp, ..Enode::new(record.key(), addr) });
            }
            record.libp2p_addrs().into_iter().for_each(|addr| found.add_address(addr));
        }
        found.ways(first)
    }
}

/// What a node is by its record. One that says nothing of chains asks rather than serves.
pub(crate) fn role_of(record: &Record) -> Role {
    let serves_les = matches!(record.les(), Ok(Some(_)));
    let serves_eth = matches!(record.eth(), Ok(Some(_)));
    match (serves_les, serves_eth, record.libp2p_addrs().is_empty()) {
        (true, _, false) => Role::Relay,
        (true, _, true) => Role::LesFullNode,
        (false, true, _) => Role::EthFullNode,
        (false, false, _) => Role::LightPeer,
    }
}

/// Addresses by stack, each once.
#[derive(Default)]
struct Found {
    enodes: Vec<Enode>,
    addrs: Vec<Multiaddr>,
}

impl Found {
    fn add(&mut self, ways: Vec<Way>) {
        for way in ways {
            match way {
                Way::Devp2p(enodes) => enodes.into_iter().for_each(|enode| self.add_enode(enode)),
                Way::Libp2p(addrs) => addrs.into_iter().for_each(|addr| self.add_address(addr)),
            }
        }
    }

    fn add_enode(&mut self, enode: Enode) {
        let known = self.enodes.iter().any(|known| (&known.host, known.tcp) == (&enode.host, enode.tcp));
        if !known && self.enodes.len() < MAX_ENODES {
            self.enodes.push(enode);
        }
    }

    fn add_address(&mut self, addr: Multiaddr) {
        if !self.addrs.contains(&addr) && self.addrs.len() < MAX_ADDRESSES {
            self.addrs.push(addr);
        }
    }

    fn ways(self, first: Stack) -> Option<Vec<Way>> {
        let devp2p = (!self.enodes.is_empty()).then_some(Way::Devp2p(self.enodes));
        let libp2p = (!self.addrs.is_empty()).then_some(Way::Libp2p(self.addrs));
        let ways: Vec<Way> = match first {
            Stack::Devp2p => devp2p.into_iter().chain(libp2p).collect(),
            Stack::Libp2p => libp2p.into_iter().chain(devp2p).collect(),
        };
        (!ways.is_empty()).then_some(ways)
    }
}
