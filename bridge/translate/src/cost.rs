//! What requests cost: the table (`flowControl/MRC`), the worst case, and what an answer really cost.

use std::collections::BTreeMap;

use causeway_wire::les::{FlowControl, RequestCost, Version, code};

/// What each byte of a request and of its answer costs, in the table's units: at the recharge of
/// [`default_flow`] a peer that is answered from the cache may draw some 12 MB/s.
const BYTE: u64 = 10;

/// What we promise a light peer unless told otherwise.
///
/// The costs are those of geth's worked example (les-service-model.md section 5), where a unit is about a
/// nanosecond of serving time. The buffer holds one full-sized request of each kind, all at once (together
/// 760,620,000), so a batch of that size behind the Status is always safe. As in geth it fills within six
/// seconds: 128,000 units per millisecond allow about 350 single headers or 100 account proofs a second
/// even at their worst-case cost.
pub(crate) fn default_flow() -> FlowControl {
    let row = |code, base, item| RequestCost { code, base, item };
    FlowControl {
        buffer_limit: 768_000_000,
        recharge: 128_000,
        costs: vec![
            row(code::GET_BLOCK_HEADERS, 300_000, 60_000),
            row(code::GET_BLOCK_BODIES, 0, 1_400_000),
            row(code::GET_RECEIPTS, 0, 2_000_000),
            row(code::GET_CONTRACT_CODES, 0, 900_000),
            row(code::GET_PROOFS_V2, 0, 1_200_000),
            row(code::GET_HELPER_TRIE_PROOFS, 0, 2_000_000),
            row(code::SEND_TX_V2, 0, 900_000),
            row(code::GET_TX_STATUS, 0, 500_000),
        ],
    }
}

/// The cost table of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct CostTable(BTreeMap<u64, (u64, u64)>);

impl CostTable {
    /// The table with these rows.
    pub(crate) fn new(rows: &[RequestCost], version: Version) -> Self {
        let mut table = Self::default();
        table.merge(rows, version);
        table
    }

    /// Takes over rows; those of codes that the version does not have are ignored (les.md 4.1).
    pub(crate) fn merge(&mut self, rows: &[RequestCost], version: Version) {
        let space = version.capability().length().unwrap_or(0);
        for row in rows.iter().filter(|row| row.code < space) {
            self.0.insert(row.code, (row.base, row.item));
        }
    }

    /// The most that a request for `amount` items costs; `None` if the table has no such request.
    pub(crate) fn worst_case(&self, code: u64, amount: u64) -> Option<u64> {
        let (base, item) = self.0.get(&code)?;
        Some(base.saturating_add(item.saturating_mul(amount)))
    }

    /// What a client reserves for sending `count` transactions in a message of `size` bytes: 16 KiB for
    /// each transaction are free (les.md 4.1).
    pub(crate) fn worst_case_of_sending(&self, count: u64, size: usize) -> Option<u64> {
        let (base, item) = self.0.get(&code::SEND_TX_V2)?;
        let by_size = u128::from(*item) * size as u128 / 0x4000;
        let by_size = base.saturating_add(u64::try_from(by_size).unwrap_or(u64::MAX));
        self.worst_case(code::SEND_TX_V2, count).map(|by_count| by_count.max(by_size))
    }
}

/// `flow` with the rows that it lacks taken from [`default_flow`].
pub(crate) fn completed(mut flow: FlowControl) -> FlowControl {
    for row in default_flow().costs {
        if !flow.costs.iter().any(|have| have.code == row.code) {
            flow.costs.push(row);
        }
    }
    flow
}

/// Who had to work for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Nobody: it was shared with an equal question, came at once from the cache, or needed no lookup.
    Cached,
    /// A full node.
    Upstream,
}

/// What an answer really cost: every byte in and out, and half the worst case if a full node had to be asked
/// (geth's worst cases are twice its averages). Never more than the worst case.
pub(crate) fn real_cost(effort: Effort, worst_case: u64, bytes: usize) -> u64 {
    let work = match effort {
        Effort::Cached => 0,
        Effort::Upstream => worst_case / 2,
    };
    work.saturating_add(size_cost(bytes)).min(worst_case)
}

/// What bytes cost by themselves: all that a dropped message is charged for.
pub(crate) fn size_cost(bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(BYTE)
}

#[cfg(test)]
mod tests {
    use causeway_wire::les::limit;

    use super::*;

    /// The eight requests, all of which a client wants to see in the table (les.md 3.2), with the largest amount.
    const REQUESTS: [(u64, u64); 8] = [
        (code::GET_BLOCK_HEADERS, limit::HEADERS),
        (code::GET_BLOCK_BODIES, limit::BODIES),
        (code::GET_RECEIPTS, limit::RECEIPTS),
        (code::GET_CONTRACT_CODES, limit::CODES),
        (code::GET_PROOFS_V2, limit::PROOFS),
        (code::GET_HELPER_TRIE_PROOFS, limit::HELPER_TRIES),
        (code::SEND_TX_V2, limit::SEND_TRANSACTIONS),
        (code::GET_TX_STATUS, limit::TRANSACTION_STATUS),
    ];

    #[test]
    fn one_full_request_of_each_kind_fits_into_the_buffer() {
        let flow = default_flow();
        let table = CostTable::new(&flow.costs, Version::Les4);

        let sum: u64 = REQUESTS.iter().map(|&(code, most)| table.worst_case(code, most).unwrap()).sum();

        assert_eq!(sum, 760_620_000);
        assert!(sum + flow.recharge <= flow.buffer_limit, "with the client's one millisecond of safety");
    }

    #[test]
    fn absurd_amounts_and_costs_saturate() {
        let rows = [RequestCost { code: code::SEND_TX_V2, base: u64::MAX, item: u64::MAX }];
        let table = CostTable::new(&rows, Version::Les4);

        assert_eq!(table.worst_case(code::SEND_TX_V2, u64::MAX), Some(u64::MAX));
        assert_eq!(table.worst_case_of_sending(64, usize::MAX), Some(u64::MAX));
        assert_eq!(table.worst_case(code::GET_BLOCK_HEADERS, 1), None);
    }

    #[test]
    fn sending_is_charged_by_size_above_16_kib_each() {
        let rows = [RequestCost { code: code::SEND_TX_V2, base: 7, item: 1000 }];
        let table = CostTable::new(&rows, Version::Les4);

        assert_eq!(table.worst_case_of_sending(1, 100), Some(1007));
        assert_eq!(table.worst_case_of_sending(1, 0x4000), Some(1007));
        assert_eq!(table.worst_case_of_sending(1, 0x8000), Some(2007));
        assert_eq!(table.worst_case_of_sending(3, 0x8000), Some(3007));
    }

    #[test]
    fn rows_beyond_the_code_space_are_ignored() {
        let rows = [RequestCost { code: 22, base: 1, item: 1 }, RequestCost { code: 24, base: 1, item: 1 }];

        assert_eq!(CostTable::new(&rows, Version::Les2).worst_case(22, 1), None);
        assert_eq!(CostTable::new(&rows, Version::Les3).worst_case(22, 1), Some(2));
        assert_eq!(CostTable::new(&rows, Version::Les3).worst_case(24, 1), None);
    }

    #[test]
    fn cached_answers_cost_their_bytes_only() {
        assert_eq!(real_cost(Effort::Cached, 1_000_000, 100), 1_000);
        assert_eq!(real_cost(Effort::Upstream, 1_000_000, 100), 501_000);
        assert_eq!(real_cost(Effort::Upstream, 1_000_000, 10_000_000), 1_000_000);
    }
}
