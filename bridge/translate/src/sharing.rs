//! The same question asked twice is put once.

use std::collections::BTreeMap;

use alloy_primitives::{B256, keccak256};
use causeway_wire::{
    Query, RequestId,
    les::{Message, Version},
};

use crate::Ticket;

/// What makes two questions equal: the hash of their encoding, since a question itself may be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Likeness(B256);

/// The likeness of a question; `None` for sending transactions, each of which is an act of its own.
pub(crate) fn likeness(query: &Query) -> Option<Likeness> {
    if matches!(query, Query::SendTransactions(_)) {
        return None;
    }
    let same = Message::Request { id: RequestId(0), query: query.clone() };
    let mut bytes = same.encode(Version::Les4).to_vec();
    // Bodies and receipts are asked for in the same form.
    bytes.push(same.code() as u8);
    Some(Likeness(keccak256(bytes)))
}

/// Which question is under way for a likeness.
#[derive(Debug, Default)]
pub(crate) struct Sharing(BTreeMap<Likeness, Ticket>);

impl Sharing {
    /// The newest question of this likeness.
    pub(crate) fn find(&self, likeness: Likeness) -> Option<Ticket> {
        self.0.get(&likeness).copied()
    }

    /// Lets others share this question from now on.
    pub(crate) fn offer(&mut self, likeness: Likeness, ticket: Ticket) {
        self.0.insert(likeness, ticket);
    }

    /// The question is done; one that took its place stays.
    pub(crate) fn withdraw(&mut self, likeness: Likeness, ticket: Ticket) {
        if self.0.get(&likeness) == Some(&ticket) {
            self.0.remove(&likeness);
        }
    }
}
