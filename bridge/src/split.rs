//! Long lists in pieces: a full node's buffer may be smaller than what one full-sized request may cost
//! (geth's default holds 192 transaction statuses, not 256), and it would refuse the whole.

use std::collections::BTreeSet;

use alloy_primitives::keccak256;
use causeway_wire::{
    Answer, Query,
    les::{FlowControl, request_code},
};

/// The most items of `query`'s kind whose worst case fits the full node's buffer, at least one.
pub(crate) fn most_items(flow: &FlowControl, query: &Query) -> usize {
    let code = request_code(query);
    let Some(row) = flow.costs.iter().find(|row| row.code == code) else { return usize::MAX };
    // The client role keeps a millisecond of recharge in reserve.
    let room = flow.buffer_limit.saturating_sub(flow.recharge).saturating_sub(row.base);
    let items = room.checked_div(row.item).unwrap_or(u64::MAX);
    usize::try_from(items).unwrap_or(usize::MAX).max(1)
}

/// The query in pieces of at most `most` items, in order. A run of headers is only cut short: what follows
/// cannot be asked for before its end is known.
pub(crate) fn pieces(query: Query, most: usize) -> Vec<Query> {
    fn cut<T: Clone>(items: &[T], most: usize, piece: impl Fn(Vec<T>) -> Query) -> Vec<Query> {
        items.chunks(most.max(1)).map(|items| piece(items.to_vec())).collect()
    }
    if query.amount() <= most as u64 {
        return vec![query];
    }
    match query {
        Query::Headers { start, skip, reverse, .. } => {
            vec![Query::Headers { start, amount: most as u64, skip, reverse }]
        }
        Query::Bodies(items) => cut(&items, most, Query::Bodies),
        Query::Receipts(items) => cut(&items, most, Query::Receipts),
        Query::Codes(items) => cut(&items, most, Query::Codes),
        Query::Proofs(items) => cut(&items, most, Query::Proofs),
        Query::HelperTries(items) => cut(&items, most, Query::HelperTries),
        Query::SendTransactions(items) => cut(&items, most, Query::SendTransactions),
        Query::TransactionStatus(items) => cut(&items, most, Query::TransactionStatus),
    }
}

/// The answers of the pieces as one. `None` if they are of different kinds.
pub(crate) fn joined(answers: Vec<Answer>) -> Option<Answer> {
    let mut answers = answers.into_iter();
    let mut whole = answers.next()?;
    for answer in answers {
        match (&mut whole, answer) {
            (Answer::Headers(whole), Answer::Headers(more))
            | (Answer::Bodies(whole), Answer::Bodies(more))
            | (Answer::Receipts(whole), Answer::Receipts(more))
            | (Answer::Codes(whole), Answer::Codes(more)) => whole.extend(more),
            (Answer::Proofs(whole), Answer::Proofs(more)) => add_nodes(whole, more),
            (
                Answer::HelperTries { nodes, auxiliary },
                Answer::HelperTries { nodes: more_nodes, auxiliary: more_auxiliary },
            ) => {
                add_nodes(nodes, more_nodes);
                auxiliary.extend(more_auxiliary);
            }
            (Answer::TransactionStatus(whole), Answer::TransactionStatus(more)) => whole.extend(more),
            _ => return None,
        }
    }
    Some(whole)
}

/// Bytes that an answer's items hold.
pub(crate) fn size(answer: &Answer) -> usize {
    let sum = |items: &[alloy_primitives::Bytes]| items.iter().map(|item| item.len()).sum::<usize>();
    match answer {
        Answer::Headers(items)
        | Answer::Bodies(items)
        | Answer::Receipts(items)
        | Answer::Codes(items)
        | Answer::Proofs(items) => sum(items),
        Answer::HelperTries { nodes, auxiliary } => sum(nodes) + sum(auxiliary),
        Answer::TransactionStatus(statuses) => statuses.iter().map(|status| status.error.len()).sum(),
    }
}

/// Nodes of a further answer, those left out that the others hold already: one list has each node once.
fn add_nodes(whole: &mut Vec<alloy_primitives::Bytes>, more: Vec<alloy_primitives::Bytes>) {
    let held: BTreeSet<_> = whole.iter().map(keccak256).collect();
    whole.extend(more.into_iter().filter(|node| !held.contains(&keccak256(node))));
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, Bytes};
    use causeway_wire::{
        HashOrNumber,
        les::{RequestCost, code},
    };

    use super::*;

    fn geth() -> FlowControl {
        let row = |code, base, item| RequestCost { code, base, item };
        FlowControl {
            buffer_limit: 96_000_000,
            recharge: 16_000,
            costs: vec![row(code::GET_TX_STATUS, 0, 500_000), row(code::GET_BLOCK_HEADERS, 300_000, 60_000)],
        }
    }

    #[test]
    fn pieces_fit_geths_default_buffer() {
        let hashes: Vec<B256> =
            (0..256_u64).map(|index| B256::from(alloy_primitives::U256::from(index))).collect();
        let query = Query::TransactionStatus(hashes.clone());

        let most = most_items(&geth(), &query);
        let pieces = pieces(query, most);

        assert_eq!(most, 191);
        let joined: Vec<B256> = pieces
            .into_iter()
            .flat_map(|piece| match piece {
                Query::TransactionStatus(hashes) => hashes,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(joined, hashes);
    }

    #[test]
    fn costs_beyond_any_buffer_still_leave_one_item() {
        let mut flow = geth();
        flow.costs[0].item = u64::MAX;
        assert_eq!(most_items(&flow, &Query::TransactionStatus(vec![B256::ZERO; 3])), 1);
        flow.costs[0].base = u64::MAX;
        assert_eq!(most_items(&flow, &Query::TransactionStatus(vec![B256::ZERO; 3])), 1);
    }

    #[test]
    fn free_items_need_no_pieces() {
        let mut flow = geth();
        flow.costs[0].item = 0;
        assert_eq!(most_items(&flow, &Query::TransactionStatus(vec![B256::ZERO; 3])), usize::MAX);
    }

    #[test]
    fn a_run_of_headers_is_cut_short() {
        let query = Query::Headers { start: HashOrNumber::Number(5), amount: 192, skip: 0, reverse: false };

        let cut = pieces(query, 10);

        assert_eq!(
            cut,
            [Query::Headers { start: HashOrNumber::Number(5), amount: 10, skip: 0, reverse: false }]
        );
    }

    #[test]
    fn joined_proofs_hold_each_node_once() {
        let (root, left, right) =
            (Bytes::from_static(b"root"), Bytes::from_static(b"left"), Bytes::from_static(b"right"));

        let whole = joined(vec![
            Answer::Proofs(vec![root.clone(), left.clone()]),
            Answer::Proofs(vec![root.clone(), right.clone()]),
        ]);

        assert_eq!(whole, Some(Answer::Proofs(vec![root, left, right])));
        assert_eq!(joined(vec![Answer::Bodies(vec![]), Answer::Codes(vec![])]), None);
    }
}
