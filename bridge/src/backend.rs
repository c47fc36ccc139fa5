//! The seam between light peers and whatever knows the chain.

use std::sync::Arc;

use causeway_wire::{Answer, HeadUpdate, Query};
use futures::future::BoxFuture;
use tokio::sync::watch;

/// Whoever can answer questions about a chain: full nodes behind verification, or a chain of our own.
///
/// What it answers is complete and checked, or it is an error; it never hands out an unchecked answer
/// where a check exists.
pub trait Backend: Send + Sync + 'static {
    /// Answers one question. Dropping the future gives the question up.
    fn answer(&self, query: Query) -> BoxFuture<'_, Result<Answer, BackendError>>;

    /// The answer, if it is at hand: no waiting, no network. `None` says nothing about whether there is one.
    fn answer_now(&self, query: &Query) -> Option<Answer> {
        let _ = query;
        None
    }

    /// The verified head; `None` until there is one.
    fn heads(&self) -> watch::Receiver<Option<Arc<HeadUpdate>>>;
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// Nobody who could answer is connected.
    #[error("no full node is connected")]
    NoUpstream,
    /// Everybody asked was silent until the deadline.
    #[error("no full node answered in time")]
    Timeout,
    /// Everybody asked says it does not have it.
    #[error("no full node has it")]
    NotServed,
    /// The question is about a block that the verified chain does not hold.
    #[error("the block is not on the verified chain")]
    UnknownBlock,
    /// More questions than [`crate`] keeps are waiting.
    #[error("too many questions are waiting")]
    Busy,
}
