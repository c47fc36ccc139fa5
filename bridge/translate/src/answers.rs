//! Answers as such: of which kind, how large, and what stands for none.

use causeway_wire::{
    Answer, TransactionStatus,
    les::{Version, code, limit},
};

/// Room for what stands around the items of an answer: ids, buffer and the headers of at most 256 items.
const ENVELOPE: usize = 4096;

/// Whether a request of this code is answered like that.
pub(crate) fn is_of_kind(request: u64, answer: &Answer) -> bool {
    match answer {
        Answer::Headers(_) => request == code::GET_BLOCK_HEADERS,
        Answer::Bodies(_) => request == code::GET_BLOCK_BODIES,
        Answer::Receipts(_) => request == code::GET_RECEIPTS,
        Answer::Codes(_) => request == code::GET_CONTRACT_CODES,
        Answer::Proofs(_) => request == code::GET_PROOFS_V2,
        Answer::HelperTries { .. } => request == code::GET_HELPER_TRIE_PROOFS,
        Answer::TransactionStatus(_) => request == code::SEND_TX_V2 || request == code::GET_TX_STATUS,
    }
}

/// The answer that says "none": what a question of no items gets.
pub(crate) fn empty(request: u64) -> Option<Answer> {
    Some(match request {
        code::GET_BLOCK_HEADERS => Answer::Headers(Vec::new()),
        code::GET_BLOCK_BODIES => Answer::Bodies(Vec::new()),
        code::GET_RECEIPTS => Answer::Receipts(Vec::new()),
        code::GET_CONTRACT_CODES => Answer::Codes(Vec::new()),
        code::GET_PROOFS_V2 => Answer::Proofs(Vec::new()),
        code::GET_HELPER_TRIE_PROOFS => Answer::HelperTries { nodes: Vec::new(), auxiliary: Vec::new() },
        code::SEND_TX_V2 | code::GET_TX_STATUS => Answer::TransactionStatus(Vec::new()),
        _ => return None,
    })
}

/// The answer that says "nobody has it". Helper tries have none: a failure there is silence (les.md 7.2).
/// Transactions that nobody took are refused, so that their sender does not wait for them.
pub(crate) fn not_served(request: u64, amount: u64) -> Option<Answer> {
    let unknown = |error: &str| TransactionStatus { status: 0, inclusion: None, error: error.to_owned() };
    let statuses = |error| {
        let amount = usize::try_from(amount.min(limit::TRANSACTION_STATUS)).unwrap_or(0);
        Answer::TransactionStatus(vec![unknown(error); amount])
    };
    match request {
        code::GET_HELPER_TRIE_PROOFS => None,
        code::GET_TX_STATUS => Some(statuses("")),
        code::SEND_TX_V2 => Some(statuses("no full node relays transactions")),
        _ => empty(request),
    }
}

/// The answer as it may be sent: of the request's kind, with no more items than asked for, and no larger than
/// a message may be (items left out are no fault: whoever asked sees that they are missing).
/// `None` if it cannot be brought into that form.
pub(crate) fn presentable(request: u64, amount: u64, mut answer: Answer) -> Option<Answer> {
    if !is_of_kind(request, &answer) {
        return None;
    }
    match &mut answer {
        Answer::Headers(items) | Answer::Bodies(items) | Answer::Receipts(items) | Answer::Codes(items) => {
            items.truncate(usize::try_from(amount).unwrap_or(usize::MAX));
            let mut room = limit::ANSWER_BYTES - ENVELOPE;
            let fitting = items.iter().take_while(|item| {
                let left = room.checked_sub(item.len());
                room = left.unwrap_or(0);
                left.is_some()
            });
            let fitting = fitting.count();
            if fitting == 0 && !items.is_empty() {
                return None;
            }
            items.truncate(fitting);
        }
        Answer::Proofs(_) | Answer::HelperTries { .. } => {} // they stand and fall as a whole
        Answer::TransactionStatus(statuses) => {
            if statuses.len() as u64 != amount {
                return None;
            }
        }
    }
    (size(&answer) <= limit::ANSWER_BYTES - ENVELOPE).then_some(answer)
}

/// The bytes of an answer's items.
pub(crate) fn size(answer: &Answer) -> usize {
    match answer {
        Answer::Headers(items)
        | Answer::Bodies(items)
        | Answer::Receipts(items)
        | Answer::Codes(items)
        | Answer::Proofs(items) => items.iter().map(|item| item.len()).sum(),
        Answer::HelperTries { nodes, auxiliary } => {
            nodes.iter().chain(auxiliary).map(|item| item.len()).sum()
        }
        Answer::TransactionStatus(statuses) => statuses.iter().map(|status| 64 + status.error.len()).sum(),
    }
}

/// Whether this code is one that only a server sends.
pub(crate) fn is_servers(code: u64, version: Version) -> bool {
    match code {
        code::ANNOUNCE
        | code::BLOCK_HEADERS
        | code::BLOCK_BODIES
        | code::RECEIPTS
        | code::CONTRACT_CODES
        | code::PROOFS_V2
        | code::HELPER_TRIE_PROOFS
        | code::TX_STATUS => true,
        code::STOP | code::RESUME => version >= Version::Les3,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;

    use super::*;

    fn zeros(size: usize) -> Bytes {
        vec![0; size].into()
    }

    #[test]
    fn surplus_items_are_cut_off() {
        let answer = Answer::Codes(vec![zeros(1); 5]);

        assert_eq!(presentable(code::GET_CONTRACT_CODES, 3, answer), Some(Answer::Codes(vec![zeros(1); 3])));
    }

    #[test]
    fn an_answer_is_cut_to_what_a_message_may_hold() {
        let answer = Answer::Bodies(vec![zeros(4 << 20); 4]);

        let Some(Answer::Bodies(bodies)) = presentable(code::GET_BLOCK_BODIES, 4, answer) else { panic!() };

        assert_eq!(bodies.len(), 2);
        assert_eq!(presentable(code::GET_BLOCK_BODIES, 1, Answer::Bodies(vec![zeros(11 << 20)])), None);
        assert_eq!(presentable(code::GET_PROOFS_V2, 1, Answer::Proofs(vec![zeros(4 << 20); 4])), None);
    }

    #[test]
    fn an_answer_of_another_kind_or_count_of_statuses_is_none() {
        assert_eq!(presentable(code::GET_RECEIPTS, 1, Answer::Bodies(vec![zeros(1)])), None);
        assert_eq!(presentable(code::GET_TX_STATUS, 1, Answer::TransactionStatus(Vec::new())), None);
    }
}
