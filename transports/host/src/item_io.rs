//! The two halves of a protocol stream: whole items in, whole items out, each with its deadlines.

use std::{io, time::Duration};

use tokio::time::Instant;

use crate::{CutError, Item, ItemLimits};

/// An item is complete this long after its first byte, or the stream ends.
pub const ITEM_TIMEOUT: Duration = Duration::from_secs(30);

/// Why no further item can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer broke the framing or a limit.
    #[error("framing broken")]
    Framing(#[from] CutError),
    /// The stream ended within an item.
    #[error("the stream ended within an item, {buffered} bytes of which had come")]
    Truncated {
        /// What had come of it.
        buffered: usize,
    },
    /// No item had begun by the caller's deadline.
    #[error("no item began in time")]
    Silent,
    /// An item was not complete in time.
    #[error("an item was not complete {limit:?} after its first byte")]
    Stalled {
        /// The limit.
        limit: Duration,
    },
    /// The stream was reset, or its connection lost.
    #[error("the stream was lost")]
    Lost(#[from] io::Error),
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The peer does not read.
    #[error("a message of {size} bytes was not taken within {limit:?}")]
    Stalled {
        /// The message's length.
        size: usize,
        /// The limit.
        limit: Duration,
    },
    /// The stream was reset or closed, or its connection lost.
    #[error("the stream was lost")]
    Lost(#[from] io::Error),
}

/// Reads items. Dropping both halves ends the stream.
#[derive(Debug)]
pub struct ItemReader {}

impl ItemReader {
    /// Replaces the limits that the stream came with.
    pub fn set_limits(&mut self, _limits: ItemLimits) {
        todo!()
    }

    /// The next item; `None` at the clean end of the stream. `deadline` is for the item's first byte; from
    /// there it has [`ITEM_TIMEOUT`]. Cancel-safe.
    ///
    /// # Errors
    /// See [`ReadError`]; the stream is over after any of them but [`ReadError::Silent`].
    pub async fn read_item(&mut self, _deadline: Option<Instant>) -> Result<Option<Item>, ReadError> {
        todo!()
    }
}

/// Writes items. Dropping both halves ends the stream.
#[derive(Debug)]
pub struct ItemWriter {}

impl ItemWriter {
    /// Sends one message in one write and flushes it. Not cancel-safe: drop the stream after cancelling it.
    ///
    /// # Errors
    /// See [`WriteError`]; the stream is over after any of them.
    pub async fn write_item(&mut self, _code: u64, _payload: &[u8]) -> Result<(), WriteError> {
        todo!()
    }

    /// Ends our direction cleanly (FIN), so that what was sent before is read by the peer. Bounded in time.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn close(&mut self) -> Result<(), WriteError> {
        todo!()
    }
}
