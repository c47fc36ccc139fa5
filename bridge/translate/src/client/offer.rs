//! What a server said it serves, and how it must be asked.

use causeway_wire::{
    AccountKey, Answer, CodeRequest, ProofRequest, Query,
    les::{RequestCost, Serving, Status, Version, code, item_limit, request_code},
};

use crate::{AccountKeyForm, answers, cost::CostTable};

/// What each transaction or list takes in RLP beside its own bytes, at most.
const RLP_HEADER: usize = 9;

/// What a server serves and what it asks for it.
#[derive(Debug)]
pub(super) struct Offer {
    serving: Serving,
    transaction_status: bool,
    costs: CostTable,
    account_key: AccountKeyForm,
}

/// What can be done with a query.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Suitable {
    /// It may be asked in this form.
    Ask(Query),
    /// It asks for nothing: servers are silent then, so this is the answer.
    Answered(Answer),
    /// The server would not answer it.
    No,
}

impl Offer {
    /// What this Status offers.
    pub(super) fn new(
        status: &Status,
        costs: &[RequestCost],
        version: Version,
        account_key: AccountKeyForm,
    ) -> Self {
        Self {
            serving: status.serving,
            // 1: no transaction is looked up.
            transaction_status: status.recent_tx_lookup != Some(1),
            costs: CostTable::new(costs, version),
            account_key,
        }
    }

    /// Takes over changed costs.
    pub(super) fn merge(&mut self, costs: &[RequestCost], version: Version) {
        self.costs.merge(costs, version);
    }

    /// Brings a query into the form that this server takes.
    pub(super) fn suit(&self, query: Query) -> Suitable {
        let code = request_code(&query);
        if !self.serves(code) || query.amount() > item_limit(&query) {
            return Suitable::No;
        }
        match answers::empty(code).filter(|_| query.amount() == 0) {
            Some(nothing) => Suitable::Answered(nothing),
            None => self.with_account_keys(query).map_or(Suitable::No, Suitable::Ask),
        }
    }

    /// The most that the server may charge; `None` if it has no price for such a query.
    pub(super) fn worst_case(&self, query: &Query) -> Option<u64> {
        match query {
            Query::SendTransactions(transactions) => {
                let items: usize = transactions.iter().map(|bytes| bytes.len() + RLP_HEADER).sum();
                self.costs.worst_case_of_sending(query.amount(), items + RLP_HEADER)
            }
            Query::Headers { .. }
            | Query::Bodies(_)
            | Query::Receipts(_)
            | Query::Codes(_)
            | Query::Proofs(_)
            | Query::HelperTries(_)
            | Query::TransactionStatus(_) => self.costs.worst_case(request_code(query), query.amount()),
        }
    }

    fn serves(&self, code: u64) -> bool {
        let offered = match code {
            code::GET_BLOCK_HEADERS => self.serving.headers,
            code::GET_BLOCK_BODIES | code::GET_RECEIPTS => self.serving.chain_since.is_some(),
            code::GET_CONTRACT_CODES | code::GET_PROOFS_V2 => self.serving.state_since.is_some(),
            code::SEND_TX_V2 => self.serving.tx_relay,
            code::GET_TX_STATUS => self.transaction_status,
            _ => true,
        };
        offered && self.costs.worst_case(code, 1).is_some()
    }

    fn with_account_keys(&self, mut query: Query) -> Option<Query> {
        let convert = |key: &mut AccountKey| match (self.account_key, &key) {
            (AccountKeyForm::Hash, _) => {
                *key = AccountKey::Hash(key.hash());
                true
            }
            (AccountKeyForm::Address, AccountKey::Address(_)) => true,
            (AccountKeyForm::Address, AccountKey::Hash(_)) => false,
        };
        let possible = match &mut query {
            Query::Proofs(items) => {
                items.iter_mut().all(|ProofRequest { account, .. }| account.as_mut().is_none_or(convert))
            }
            Query::Codes(items) => items.iter_mut().all(|CodeRequest { account, .. }| convert(account)),
            Query::Headers { .. }
            | Query::Bodies(_)
            | Query::Receipts(_)
            | Query::HelperTries(_)
            | Query::SendTransactions(_)
            | Query::TransactionStatus(_) => true,
        };
        possible.then_some(query)
    }
}
