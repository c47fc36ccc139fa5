//! The messages of an answer, packed into what it may take.

use causeway_records::Record;

use crate::message::{Budget, MAX_RECORDS, Message, Nodes, RegConfirmation, RequestId};

/// What NODES and TOPICNODES take without records: type, list header, request id, total, list header.
const FRAME: usize = 1 + 3 + 9 + 1 + 3;

/// An answer that grows up to its budget. The total, which each message says, is set at the end; it is below
/// 128 and so takes one byte whatever it is.
pub(super) struct Answer {
    id: RequestId,
    budget: Budget,
    used: usize,
    messages: Vec<Message>,
}

impl Answer {
    pub(super) fn new(id: RequestId, budget: Budget) -> Self {
        Self { id, budget, used: 0, messages: Vec::new() }
    }

    /// The confirmation, which is first and always there.
    pub(super) fn push_confirmation(&mut self, ticket: Vec<u8>, wait: u64) {
        let message = Message::RegConfirmation(RegConfirmation { id: self.id, total: 1, ticket, wait });
        self.used += message.encode().len();
        self.messages.push(message);
    }

    /// Advertisers, as many as fit; a message is there even if they are none, as silence would say that we
    /// are gone.
    pub(super) fn push_advertisers(&mut self, records: &[&Record]) {
        self.push_records(records, Message::TopicNodes);
        if self.messages.is_empty() {
            self.used += FRAME;
            self.messages.push(Message::TopicNodes(self.nodes(Vec::new())));
        }
    }

    /// Nodes near the topic, as many as fit.
    pub(super) fn push_nodes(&mut self, records: &[&Record]) {
        self.push_records(records, Message::Nodes);
    }

    pub(super) fn finish(mut self) -> Vec<Message> {
        let all = u64::try_from(self.messages.len()).unwrap_or(u64::MAX);
        for message in &mut self.messages {
            match message {
                Message::RegConfirmation(RegConfirmation { total, .. })
                | Message::Nodes(Nodes { total, .. })
                | Message::TopicNodes(Nodes { total, .. }) => *total = all,
                Message::RegTopic(_) | Message::TopicQuery(_) => {}
            }
        }
        self.messages
    }

    fn push_records(&mut self, records: &[&Record], wrap: fn(Nodes) -> Message) {
        let mut batch = Vec::new();
        let mut room = self.room();
        for record in records {
            let size = record.size();
            if (size > room || batch.len() == MAX_RECORDS) && !batch.is_empty() {
                self.close(&mut batch, wrap);
                room = self.room();
            }
            // One that does not fit may be followed by smaller ones that do.
            if size <= room {
                room -= size;
                self.used += size;
                batch.push((*record).clone());
            }
        }
        self.close(&mut batch, wrap);
    }

    /// What the records of one more message may take.
    fn room(&self) -> usize {
        if self.messages.len() >= self.budget.messages {
            return 0;
        }
        let whole = self.budget.whole.saturating_sub(self.used);
        self.budget.message.min(whole).saturating_sub(FRAME)
    }

    fn close(&mut self, batch: &mut Vec<Record>, wrap: fn(Nodes) -> Message) {
        if !batch.is_empty() {
            let nodes = self.nodes(std::mem::take(batch));
            self.used += FRAME;
            self.messages.push(wrap(nodes));
        }
    }

    fn nodes(&self, records: Vec<Record>) -> Nodes {
        Nodes { id: self.id, total: 1, records, refused: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::encode_all,
        tests::{large_record, record},
    };

    fn sizes(messages: &[Message]) -> Vec<usize> {
        messages.iter().map(|message| message.encode().len()).collect()
    }

    fn records(messages: &[Message]) -> usize {
        let count = |message: &Message| match message {
            Message::Nodes(nodes) | Message::TopicNodes(nodes) => nodes.records.len(),
            _ => 0,
        };
        messages.iter().map(count).sum()
    }

    #[test]
    fn answers_stay_within_their_budget() {
        let large: Vec<Record> = (0..16).map(large_record).collect();
        let large: Vec<&Record> = large.iter().collect();
        for (budget, fit) in [(Budget::TALK, 3), (Budget::PACKETS, 15)] {
            let mut answer = Answer::new(RequestId::from([1; 8]), budget);
            answer.push_advertisers(&large);
            answer.push_nodes(&large);
            let messages = answer.finish();

            assert_eq!(records(&messages), fit);
            assert!(sizes(&messages).iter().all(|size| *size <= budget.message), "{:?}", sizes(&messages));
            assert!(encode_all(&messages).len() <= budget.whole);
            let total = messages.len() as u64;
            assert!(messages.iter().all(|message| message.total() == Some(total)));
        }
    }

    #[test]
    fn a_confirmation_leaves_the_rest_to_nodes() {
        let nodes: Vec<Record> = (0..16).map(record).collect();
        let nodes: Vec<&Record> = nodes.iter().collect();
        let mut answer = Answer::new(RequestId::from([1; 8]), Budget::TALK);
        answer.push_confirmation(vec![9; 40], 900_000);
        answer.push_nodes(&nodes);

        let messages = answer.finish();

        assert_eq!(messages.len(), 2);
        assert_eq!(records(&messages), 7);
        assert!(encode_all(&messages).len() <= 1100);
    }

    #[test]
    fn nothing_is_said_aloud() {
        let mut answer = Answer::new(RequestId::from([1; 8]), Budget::TALK);
        answer.push_advertisers(&[]);
        answer.push_nodes(&[]);

        let messages = answer.finish();

        assert_eq!(messages.len(), 1);
        assert_eq!((records(&messages), messages[0].total()), (0, Some(1)));
    }
}
