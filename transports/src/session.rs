//! A session: one connected peer with one capability, whatever the stack below.

use std::sync::Arc;

use bytes::Bytes;
use causeway_wire::{Capability, PeerId, SessionId};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

/// A place in a session's window. Held while a message is worked on; when all are taken, the session
/// does not read from its peer. Freed by dropping it.
#[derive(Debug)]
pub struct Slot(#[allow(dead_code)] pub(crate) Option<OwnedSemaphorePermit>);

/// What a session tells its owner, in order; [`SessionEvent::Closed`] is the last.
#[derive(Debug)]
pub enum SessionEvent {
    /// A whole message arrived.
    Message {
        /// Its code, local to the capability.
        code: u64,
        /// Its payload, not understood here.
        payload: Bytes,
        /// Its place in the window.
        slot: Slot,
    },
    /// The session is over; nothing follows.
    Closed(CloseReason),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// We closed it.
    Local,
    /// The peer ended it, with the devp2p reason if it gave one.
    Remote(Option<u8>),
    /// The peer broke a rule of its transport or framing; the text says which.
    Fault(String),
    /// The connection failed or fell silent.
    Lost(String),
    /// A newer connection of the same peer took its place.
    Replaced,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer does not read: its outbox is full. Close the session.
    #[error("the peer does not read what is sent to it")]
    Full,
    /// The session is over.
    #[error("the session is closed")]
    Closed,
}

/// Cheap to clone; the session ends when [`Session::close`] is called or its connection goes.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) inner: Arc<SessionInner>,
}

#[derive(Debug)]
pub(crate) struct SessionInner {
    pub(crate) id: SessionId,
    pub(crate) peer: PeerId,
    pub(crate) capability: Capability,
    /// Name of what carries it: `rlpx`, `tcp`, `quic`, `ws`.
    pub(crate) transport: &'static str,
    /// How the peer calls itself (Hello's client id, identify's agent).
    pub(crate) client: String,
    pub(crate) outbox: mpsc::Sender<(u64, Bytes)>,
    /// Devp2p reason for the peer, where its stack can carry one.
    pub(crate) closing: Arc<std::sync::Mutex<Option<u8>>>,
    pub(crate) stop: CancellationToken,
}

/// A new session with its events.
#[derive(Debug)]
pub struct Incoming {
    /// The handle.
    pub session: Session,
    /// Its events.
    pub events: mpsc::Receiver<SessionEvent>,
}
