//! The order to end a session: who gave it, and what each side is told.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use super::CloseReason;

/// Devp2p reason "client quitting".
pub(crate) const QUITTING: u8 = 0x08;

/// Devp2p reason "already connected".
const ALREADY_CONNECTED: u8 = 0x05;

/// How a session is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its owner closed it, with a devp2p reason for the peer.
    Close(u8),
    /// A newer connection of its peer took its place.
    Replaced,
}

impl End {
    /// What the peer is told.
    pub(crate) fn reason(self) -> u8 {
        match self {
            Self::Close(reason) => reason,
            Self::Replaced => ALREADY_CONNECTED,
        }
    }

    /// What the owner is told.
    pub(crate) fn close_reason(self) -> CloseReason {
        match self {
            Self::Close(_) => CloseReason::Local,
            Self::Replaced => CloseReason::Replaced,
        }
    }
}

/// The order to end a session; given at most once.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    end: OnceLock<End>,
    due: CancellationToken,
    over: CancellationToken,
}

impl Ending {
    pub(crate) fn set(&self, end: End) {
        let _ = self.end.set(end); // the first order counts
        self.due.cancel();
    }

    /// The session is over, ordered or not.
    pub(crate) fn finish(&self) {
        self.over.cancel();
    }

    /// Waits for that.
    pub(crate) async fn finished(&self) {
        self.over.cancelled().await;
    }

    /// Whether it was given.
    #[cfg(test)]
    pub(crate) fn is_ordered(&self) -> bool {
        self.is_due()
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.is_cancelled()
    }

    pub(super) async fn due(&self) -> End {
        self.due.cancelled().await;
        self.ordered()
    }

    /// The order, or what an owner means who went without one.
    pub(super) fn ordered(&self) -> End {
        self.end.get().copied().unwrap_or(End::Close(QUITTING))
    }
}
