//! A session: one connected peer with one capability, whatever the stack below.

mod ending;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use causeway_host::{Agent, Heart};
#[cfg(doc)]
use causeway_wire::heartbeat;
use causeway_wire::{Capability, Heartbeat, PeerId, SessionId, Stack};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::Limits;

pub(crate) use ending::{End, Ending, QUITTING};

/// Bytes that a message costs in an outbox besides its payload, so that empty ones are not free.
const MESSAGE_OVERHEAD: usize = 64;

/// A place in a session's window. Held while a message is worked on; when all are taken, the session
/// does not read from its peer. Freed by dropping it.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

impl Slot {
    /// A slot of no window.
    pub fn for_test() -> Self {
        Self(None)
    }
}

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

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed by us"),
            Self::Remote(None) => f.write_str("ended by the peer"),
            Self::Remote(Some(reason)) => {
                let reason = causeway_rlpx::DisconnectReason::from_code(*reason);
                write!(f, "ended by the peer: {reason}")
            }
            Self::Fault(rule) => write!(f, "the peer broke a rule: {rule}"),
            Self::Lost(how) => write!(f, "connection lost: {how}"),
            Self::Replaced => f.write_str("replaced by a newer connection of the same peer"),
        }
    }
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

/// Cheap to clone. The session ends when [`Session::close`] is called, when its connection goes, or when the
/// receiver of its events is dropped; dropping handles does nothing.
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<SessionInner>,
}

#[derive(Debug)]
struct SessionInner {
    about: About,
    outbox: mpsc::Sender<Outgoing>,
    /// Bytes that the outbox still has room for.
    room: Arc<Semaphore>,
    ending: Arc<Ending>,
}

/// What is known of a session from its beginning.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) id: SessionId,
    pub(crate) peer: PeerId,
    pub(crate) capability: Capability,
    /// Name of what carries it: `rlpx`, `tcp`, `quic`, `ws`.
    pub(crate) transport: &'static str,
    /// How the peer calls itself (Hello's client id, identify's agent).
    pub(crate) client: Agent,
    /// That of its connection.
    pub(crate) heart: Heart,
}

/// A new session with its events.
#[derive(Debug)]
pub struct Incoming {
    /// The handle.
    pub session: Session,
    /// What somebody took out of `events` already, to see who this is: it comes before them.
    pub early: Option<SessionEvent>,
    /// Its events.
    pub events: mpsc::Receiver<SessionEvent>,
}

impl Session {
    /// Hands a message to the session's task, or says at once that it cannot be taken.
    ///
    /// # Errors
    /// [`SendError::Full`] if the peer has not read what was sent before; [`SendError::Closed`].
    pub fn try_send(&self, code: u64, payload: Bytes) -> Result<(), SendError> {
        self.put(code, payload, &mut None)
    }

    /// As [`Session::try_send`], and frees the slot of the question only when its answer was written: a peer
    /// that reads slowly is then read slowly too.
    ///
    /// # Errors
    /// As [`Session::try_send`].
    pub fn try_reply(&self, code: u64, payload: Bytes, slot: Slot) -> Result<(), SendError> {
        self.put(code, payload, &mut Some(slot))
    }

    /// As [`Session::try_reply`], but waits for room where there is none: who asked for a window of large answers
    /// is owed them all, and one that does not read at all runs out of [`Limits::write`]. What waits here is
    /// bounded by the slots that it holds.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub async fn reply(&self, code: u64, payload: Bytes, slot: Slot) -> Result<(), SendError> {
        let mut slot = Some(slot);
        match self.put(code, payload.clone(), &mut slot) {
            Err(SendError::Full) => {}
            outcome => return outcome,
        }
        let room = async {
            let cost = cost_of(&payload).map_err(|_| SendError::Closed)?;
            let room = Arc::clone(&self.inner.room).acquire_many_owned(cost).await;
            let place = self.inner.outbox.reserve().await;
            Ok((room.map_err(|_| SendError::Closed)?, place.map_err(|_| SendError::Closed)?))
        };
        let (room, place) = tokio::select! {
            biased;
            () = self.inner.outbox.closed() => return Err(SendError::Closed),
            room = room => room?,
        };
        place.send(Outgoing { code, payload, held: Held { _room: room, _slot: slot.take() } });
        Ok(())
    }

    /// Puts a message into the outbox, with the slot; leaves the slot alone if it is not taken.
    fn put(&self, code: u64, payload: Bytes, slot: &mut Option<Slot>) -> Result<(), SendError> {
        if self.inner.ending.is_due() || self.inner.outbox.is_closed() {
            return Err(SendError::Closed);
        }
        let cost = cost_of(&payload)?;
        let room = Arc::clone(&self.inner.room).try_acquire_many_owned(cost).map_err(|_| SendError::Full)?;
        let place = self.inner.outbox.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => SendError::Full,
            mpsc::error::TrySendError::Closed(()) => SendError::Closed,
        })?;
        place.send(Outgoing { code, payload, held: Held { _room: room, _slot: slot.take() } });
        Ok(())
    }

    /// Ends the session: what was sent before is still written, then the devp2p `reason` where the stack
    /// carries one, all within a second. The first call counts.
    pub fn close(&self, reason: u8) {
        self.inner.ending.set(End::Close(reason));
    }

    /// Waits until the session's task is done with it.
    pub async fn closed(&self) {
        self.inner.outbox.closed().await;
    }

    /// Whether the session still takes messages.
    pub fn is_open(&self) -> bool {
        !self.inner.ending.is_due() && !self.inner.outbox.is_closed()
    }

    /// Pings the peer at this interval from now on, or at the nearest that is allowed: see [`heartbeat`]. A new
    /// session begins with [`heartbeat::DEFAULT`].
    pub fn set_heartbeat(&self, interval: Duration) {
        self.inner.about.heart.set_interval(interval);
    }

    /// What pings found out.
    pub fn heartbeat(&self) -> Heartbeat {
        self.inner.about.heart.read()
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.inner.about.id
    }

    /// Who is at the other end.
    pub fn peer(&self) -> PeerId {
        self.inner.about.peer
    }

    /// The stack that carries it.
    pub fn stack(&self) -> Stack {
        self.inner.about.peer.stack()
    }

    /// What is spoken.
    pub fn capability(&self) -> &Capability {
        &self.inner.about.capability
    }

    /// What carries it: `rlpx`, `tcp`, `quic`, `ws`.
    pub fn transport(&self) -> &'static str {
        self.inner.about.transport
    }

    /// How the peer calls itself; empty until it has said so.
    pub fn client(&self) -> String {
        self.inner.about.client.read()
    }
}

/// What a message takes of the outbox's bytes.
fn cost_of(payload: &Bytes) -> Result<u32, SendError> {
    u32::try_from(payload.len().saturating_add(MESSAGE_OVERHEAD)).map_err(|_| SendError::Full)
}

/// A message on its way to the peer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) code: u64,
    pub(crate) payload: Bytes,
    /// To be dropped once the message was written.
    pub(crate) held: Held,
}

/// What a message holds until it was written.
#[derive(Debug)]
pub(crate) struct Held {
    _room: OwnedSemaphorePermit,
    _slot: Option<Slot>,
}

/// The task's side of a session.
#[derive(Debug)]
pub(crate) struct SessionEnd {
    pub(crate) outbox: mpsc::Receiver<Outgoing>,
    pub(crate) events: Events,
    pub(crate) ending: Arc<Ending>,
}

/// Where a session's task puts what the peer sends.
#[derive(Debug)]
pub(crate) struct Events {
    window: Arc<Semaphore>,
    events: mpsc::Sender<SessionEvent>,
}

/// The owner of a session dropped the receiver of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnerGone;

/// A session and its task's side.
pub(crate) fn session(about: About, limits: &Limits, ending: Arc<Ending>) -> (Incoming, SessionEnd) {
    let window = limits.window.max(1);
    let room = limits.outbox_bytes.min(Semaphore::MAX_PERMITS);
    let (outbox, written) = mpsc::channel(limits.outbox_messages.max(1));
    // Each message in the channel holds a slot, so that there is always room for `Closed`.
    let (events, seen) = mpsc::channel(window + 1);
    let room = Arc::new(Semaphore::new(room));
    let inner = SessionInner { about, outbox, room, ending: Arc::clone(&ending) };
    let incoming = Incoming { session: Session { inner: Arc::new(inner) }, early: None, events: seen };
    let events = Events { window: Arc::new(Semaphore::new(window)), events };
    (incoming, SessionEnd { outbox: written, events, ending })
}

impl SessionEnd {
    /// Waits for the order to end the session, be it that its owner went without a word. Cancel-safe.
    pub(crate) async fn end(ending: &Ending, events: &Events) -> End {
        tokio::select! {
            biased;
            end = ending.due() => end,
            () = events.events.closed() => ending.ordered(),
        }
    }
}

impl Events {
    /// Waits for a place in the window. Cancel-safe.
    pub(crate) async fn slot(&self) -> Slot {
        // The semaphore is never closed; if it were, an unbounded window would be the harm.
        Slot(Some(Arc::clone(&self.window).acquire_owned().await.expect("the window is never closed")))
    }

    pub(crate) fn message(&self, code: u64, payload: Bytes, slot: Slot) -> Result<(), OwnerGone> {
        let event = SessionEvent::Message { code, payload, slot };
        self.events.try_send(event).map_err(|_| OwnerGone)
    }

    /// Tells the owner, if it is still there, that nothing follows.
    pub(crate) fn closed(&self, reason: CloseReason) {
        let _ = self.events.try_send(SessionEvent::Closed(reason));
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B512;
    use causeway_wire::NodeKey;

    use super::*;

    fn pair(limits: &Limits) -> (Incoming, SessionEnd) {
        let about = About {
            id: SessionId(1),
            peer: PeerId::devp2p(NodeKey(B512::repeat_byte(1))),
            capability: Capability::new("les", 4),
            transport: "rlpx",
            client: "test".to_owned().into(),
            heart: Heart::default(),
        };
        session(about, limits, Arc::default())
    }

    #[test]
    fn an_outbox_is_bounded_by_count() {
        let limits = Limits { outbox_messages: 3, ..Limits::default() };
        let (incoming, mut end) = pair(&limits);

        let taken = (0..5).filter(|_| incoming.session.try_send(1, Bytes::new()).is_ok()).count();

        assert_eq!(taken, 3);
        drop(end.outbox.try_recv().expect("a message"));
        assert_eq!(incoming.session.try_send(1, Bytes::new()), Ok(()));
    }

    #[test]
    fn an_outbox_is_bounded_by_bytes_until_they_are_written() {
        let limits = Limits { outbox_bytes: 2500, ..Limits::default() };
        let (incoming, mut end) = pair(&limits);
        let payload = Bytes::from(vec![0; 1000]);
        assert_eq!(incoming.session.try_send(1, payload.clone()), Ok(()));
        assert_eq!(incoming.session.try_send(1, payload.clone()), Ok(()));
        assert_eq!(incoming.session.try_send(1, payload.clone()), Err(SendError::Full));

        let first = end.outbox.try_recv().expect("a message");
        assert_eq!(incoming.session.try_send(1, payload.clone()), Err(SendError::Full));
        drop(first.held);

        assert_eq!(incoming.session.try_send(1, payload), Ok(()));
    }

    #[tokio::test]
    async fn a_reply_keeps_its_slot_until_it_is_written() {
        let limits = Limits { window: 1, ..Limits::default() };
        let (incoming, mut end) = pair(&limits);
        let slot = end.events.slot().await;
        incoming.session.try_reply(3, Bytes::new(), slot).expect("room");
        assert_eq!(end.events.window.available_permits(), 0);

        drop(end.outbox.recv().await);

        assert_eq!(end.events.window.available_permits(), 1);
    }

    #[tokio::test]
    async fn closed_has_room_behind_a_full_window() {
        let limits = Limits { window: 2, ..Limits::default() };
        let (mut incoming, end) = pair(&limits);
        for code in 0..2 {
            let slot = end.events.slot().await;
            end.events.message(code, Bytes::new(), slot).expect("owner there");
        }

        end.events.closed(CloseReason::Remote(Some(4)));

        for expected in 0..2 {
            let event = incoming.events.recv().await.expect("an event");
            assert!(matches!(event, SessionEvent::Message { code, .. } if code == expected));
        }
        let last = incoming.events.recv().await.expect("an event");
        assert!(matches!(last, SessionEvent::Closed(CloseReason::Remote(Some(4)))));
    }

    #[tokio::test]
    async fn the_first_reason_counts_and_nothing_is_taken_after_it() {
        let (incoming, end) = pair(&Limits::default());

        incoming.session.close(0x10);
        incoming.session.close(0x08);

        assert_eq!(SessionEnd::end(&end.ending, &end.events).await, End::Close(0x10));
        assert_eq!(incoming.session.try_send(1, Bytes::new()), Err(SendError::Closed));
    }

    #[tokio::test]
    async fn a_session_whose_owner_went_is_to_end() {
        let (incoming, end) = pair(&Limits::default());

        drop(incoming.events);

        assert_eq!(SessionEnd::end(&end.ending, &end.events).await, End::Close(QUITTING));
    }

    #[test]
    fn reasons_read_well() {
        assert_eq!(CloseReason::Remote(Some(4)).to_string(), "ended by the peer: too many peers");
        assert_eq!(
            CloseReason::Fault("wrong MAC".to_owned()).to_string(),
            "the peer broke a rule: wrong MAC"
        );
    }
}
