//! The searcher: asks registrars at every distance from a topic who advertises it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use alloy_primitives::B256;
use causeway_records::Record;

use crate::{
    draw::Draw,
    message::{MAX_TOTAL, Message, Nodes, RequestId, TopicQuery},
    parameters::{MAX_RETURNED, QUERIES_PER_BUCKET},
    request::{ANSWER_TIMEOUT, AnswerFault, MAX_IN_FLIGHT, Request},
    service_table::ServiceTable,
    topic::{Registrars, Topic},
};

/// Most advertisers that one lookup may be told to find.
pub const MAX_WANTED: usize = 256;

/// What a lookup brings.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchEvent {
    /// An advertiser, each once in a lookup.
    Found(Record),
    /// The lookup is over.
    Finished(Summary),
}

/// What a lookup came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Distinct advertisers.
    pub found: usize,
    /// Registrars that were asked.
    pub asked: usize,
    /// Those of them that did not answer as they should.
    pub failed: usize,
}

/// Looks one topic up, again and again; what it learns of nodes around the topic it keeps.
///
/// Feed it nodes ([`Self::handle_node`]) and [`Self::start`] a lookup. Then after each `handle_*` send what
/// [`Self::poll_request`] gives, drain [`Self::poll_event`], and call [`Self::handle_timeout`] at
/// [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Searcher {
    ourselves: B256,
    table: ServiceTable,
    lookup: Option<Lookup>,
    events: VecDeque<SearchEvent>,
    draw: Draw,
}

#[derive(Debug)]
struct Lookup {
    wanted: usize,
    found: BTreeSet<B256>,
    asked: BTreeSet<B256>,
    failed: usize,
    /// Registrars that answered or may still, by distance.
    counted: BTreeMap<u16, usize>,
    under_way: BTreeMap<B256, Query>,
}

#[derive(Debug)]
struct Query {
    id: RequestId,
    distance: u16,
    deadline: Instant,
    /// Messages of the answer that came.
    messages: u64,
    /// Advertisers in them.
    returned: usize,
}

impl Searcher {
    /// Looks for others than `ourselves`. `seed` is random and secret: it makes our choices unforeseeable.
    pub fn new(topic: Topic, ourselves: B256, registrars: Registrars, seed: B256) -> Self {
        let table = ServiceTable::new(topic, ourselves, registrars);
        Self { ourselves, table, lookup: None, events: VecDeque::new(), draw: Draw::new(seed) }
    }

    /// Begins a lookup that ends when `wanted` advertisers were found or nobody is left to ask. Without effect
    /// while one is under way.
    pub fn start(&mut self, wanted: usize) {
        self.lookup.get_or_insert_with(|| Lookup {
            wanted: wanted.clamp(1, MAX_WANTED),
            found: BTreeSet::new(),
            asked: BTreeSet::new(),
            failed: 0,
            counted: BTreeMap::new(),
            under_way: BTreeMap::new(),
        });
    }

    /// Takes in a live node; false if it is not wanted or there is no room.
    pub fn handle_node(&mut self, record: Record, now: Instant) -> bool {
        self.table.insert(record, now)
    }

    /// The node is gone.
    pub fn forget_node(&mut self, node: B256) {
        self.table.remove(node);
    }

    /// Takes one message of a registrar's answer.
    ///
    /// # Errors
    /// [`AnswerFault`]
    pub fn handle_message(&mut self, from: B256, message: Message, now: Instant) -> Result<(), AnswerFault> {
        let lookup = self.lookup.as_mut().ok_or(AnswerFault::Unasked)?;
        let query = lookup.under_way.get_mut(&from).filter(|query| query.id == message.id());
        let query = query.ok_or(AnswerFault::Unasked)?;
        query.messages += 1;
        let is_last = message.total().is_none_or(|total| query.messages >= total.min(MAX_TOTAL));
        match message {
            Message::TopicNodes(nodes) => self.handle_advertisers(from, nodes),
            Message::Nodes(nodes) => self.table.insert_auxiliary(nodes, now),
            Message::RegTopic(_) | Message::RegConfirmation(_) | Message::TopicQuery(_) => {
                self.handle_failure(from, now);
                return Err(AnswerFault::OtherKind);
            }
        }
        if is_last {
            self.finish_query(from);
        }
        self.finish_if_over(now);
        Ok(())
    }

    /// A registrar could not be asked, or answered something that is no message.
    pub fn handle_failure(&mut self, registrar: B256, now: Instant) {
        if let Some(lookup) = &mut self.lookup
            && let Some(query) = lookup.under_way.remove(&registrar)
        {
            lookup.failed += 1;
            // Another of its bucket may be asked in its place.
            if let Some(counted) = lookup.counted.get_mut(&query.distance) {
                *counted = counted.saturating_sub(1);
            }
            self.table.failed(registrar, now);
        }
        self.finish_if_over(now);
    }

    /// Gives up waiting for answers.
    pub fn handle_timeout(&mut self, now: Instant) {
        let under_way = self.lookup.iter().flat_map(|lookup| &lookup.under_way);
        let late: Vec<_> = under_way.filter(|(_, query)| query.deadline <= now).collect();
        let late: Vec<_> = late.into_iter().map(|(node, query)| (*node, query.messages)).collect();
        for (node, messages) in late {
            match messages {
                0 => self.handle_failure(node, now),
                _ => self.finish_query(node), // a part of the answer was lost
            }
        }
        self.finish_if_over(now);
    }

    /// The next request to send, if there is one to send now. A lookup that has nobody to ask ends here.
    pub fn poll_request(&mut self, now: Instant) -> Option<Request> {
        let lookup = self.lookup.as_mut()?;
        if lookup.under_way.len() >= MAX_IN_FLIGHT {
            return None;
        }
        let Some((node, distance, registrar)) = lookup.choose(&self.table, &mut self.draw, now) else {
            self.finish_if_over(now);
            return None;
        };
        let id = RequestId::from(self.draw.bytes());
        lookup.asked.insert(node);
        *lookup.counted.entry(distance).or_default() += 1;
        let deadline = now + ANSWER_TIMEOUT;
        lookup.under_way.insert(node, Query { id, distance, deadline, messages: 0, returned: 0 });
        let (topic, distances) = (self.table.topic(), self.table.hints());
        Some(Request { registrar, message: Message::TopicQuery(TopicQuery { id, topic, distances }) })
    }

    /// What the lookup brought since.
    pub fn poll_event(&mut self) -> Option<SearchEvent> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.lookup.iter().flat_map(|lookup| lookup.under_way.values()).map(|query| query.deadline).min()
    }

    /// Whether a lookup is under way.
    pub fn is_searching(&self) -> bool {
        self.lookup.is_some()
    }

    /// The nodes around the topic.
    pub fn table(&self) -> &ServiceTable {
        &self.table
    }

    /// No registrar adds more than the draft lets it return, however many it sends.
    fn handle_advertisers(&mut self, from: B256, nodes: Nodes) {
        let Some(lookup) = &mut self.lookup else { return };
        let Some(query) = lookup.under_way.get_mut(&from) else { return };
        let left = MAX_RETURNED.saturating_sub(query.returned);
        for record in nodes.records.into_iter().take(left) {
            query.returned += 1;
            let node = record.node_id();
            if node != self.ourselves && lookup.found.len() < lookup.wanted && lookup.found.insert(node) {
                self.events.push_back(SearchEvent::Found(record));
            }
        }
    }

    fn finish_query(&mut self, registrar: B256) {
        if let Some(lookup) = &mut self.lookup
            && lookup.under_way.remove(&registrar).is_some()
        {
            self.table.succeeded(registrar);
        }
    }

    fn finish_if_over(&mut self, now: Instant) {
        let Some(lookup) = &self.lookup else { return };
        let nobody_left = lookup.under_way.is_empty() && lookup.candidates(&self.table, now).is_none();
        if lookup.found.len() >= lookup.wanted || nobody_left {
            let (found, asked, failed) = (lookup.found.len(), lookup.asked.len(), lookup.failed);
            self.events.push_back(SearchEvent::Finished(Summary { found, asked, failed }));
            self.lookup = None;
        }
    }
}

impl Lookup {
    /// Whom to ask next: one in the farthest bucket of which not enough were asked.
    fn choose(&self, table: &ServiceTable, draw: &mut Draw, now: Instant) -> Option<(B256, u16, Record)> {
        let (distance, candidates) = self.candidates(table, now)?;
        let (node, record) = draw.some(candidates, 1).pop()?;
        Some((node, distance, record.clone()))
    }

    fn candidates<'t>(
        &self,
        table: &'t ServiceTable,
        now: Instant,
    ) -> Option<(u16, Vec<(B256, &'t Record)>)> {
        table.distances().into_iter().find_map(|distance| {
            let enough = self.counted.get(&distance).is_some_and(|counted| *counted >= QUERIES_PER_BUCKET);
            let unasked = table.ready(distance, now).filter(|(node, _)| !self.asked.contains(node));
            let unasked: Vec<_> = if enough { Vec::new() } else { unasked.collect() };
            (!unasked.is_empty()).then_some((distance, unasked))
        })
    }
}

#[cfg(test)]
mod tests;
