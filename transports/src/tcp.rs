//! One task around one RLPx connection: the socket, the machine, and the session between.

mod link;

use causeway_rlpx::{Closed, DisconnectReason, Event};
use causeway_wire::{NodeKey, SharedCapability};
use tracing::{debug, trace};

use crate::{
    Limits,
    error::chain,
    peers::Place,
    session::{CloseReason, End, OwnerGone, SessionEnd, Slot},
};

pub(crate) use link::{Link, Lost, now};

/// Sealed bytes that wait for the socket while further messages are sealed: enough to fill a segment or two,
/// and what a slow reader makes us hold twice.
const SEALED_AHEAD: usize = 64 * 1024;

/// What both Hellos agreed on.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) peer: NodeKey,
    pub(crate) client_id: String,
    /// The one capability that becomes a session; messages of others are dropped.
    pub(crate) shared: SharedCapability,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum HandshakeEnd {
    /// The machine ended it.
    Closed(Closed),
    /// The socket did.
    Lost(Lost),
}

impl std::fmt::Display for HandshakeEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed(closed) => write!(f, "{}", close_reason(closed)),
            Self::Lost(lost) => write!(f, "{lost}"),
        }
    }
}

/// Drives a fresh connection until both Hellos are through. Its machine bounds the time.
pub(crate) async fn greet(link: &mut Link) -> Result<Greeting, HandshakeEnd> {
    loop {
        match link.poll_event() {
            Some(Event::Connected { peer, client_id, capabilities, .. }) => {
                let Some(shared) = capabilities.into_iter().next() else {
                    link.close(DisconnectReason::UselessPeer);
                    continue;
                };
                return Ok(Greeting { peer, client_id, shared });
            }
            Some(Event::Message { .. }) => {} // none comes before `Connected`
            Some(Event::Closed(closed)) => return Err(HandshakeEnd::Closed(closed)),
            None => link.step(true).await.map_err(HandshakeEnd::Lost)?,
        }
    }
}

/// How a session came to its end.
enum Outcome {
    /// On our order.
    Ordered(End),
    /// By the machine, which has written its farewell.
    Closed(Closed),
    /// By the socket.
    Lost(Lost),
    /// By our own impatience.
    Unready,
}

/// Carries a session over its connection until one of them ends, and tells the owner.
pub(crate) async fn run(
    mut link: Link,
    shared: SharedCapability,
    mut session: SessionEnd,
    place: Place,
    limits: &Limits,
    first_message_due: Option<tokio::time::Instant>,
) {
    let outcome = carry(&mut link, &shared, &mut session, first_message_due).await;
    let reason = match &outcome {
        Outcome::Ordered(end) => end.close_reason(),
        Outcome::Closed(closed) => close_reason(closed),
        Outcome::Lost(lost) => CloseReason::Lost(lost.to_string()),
        Outcome::Unready => {
            CloseReason::Fault(format!("no message within {:?} of the session's start", limits.first_message))
        }
    };
    debug!(%reason, "session over");
    drop(place); // before the owner hears of it: it may dial again at once
    session.events.closed(reason);
    session.outbox.close();
    let until = tokio::time::Instant::now() + limits.farewell;
    match outcome {
        Outcome::Ordered(end) => {
            let last_words = async {
                while let Some(outgoing) = session.outbox.recv().await {
                    link.send(&shared, outgoing);
                    while link.unwritten() >= SEALED_AHEAD {
                        link.step(false).await?;
                    }
                }
                Ok::<(), Lost>(())
            };
            if let Ok(Ok(())) = tokio::time::timeout_at(until, last_words).await {
                link.leave(DisconnectReason::from_code(end.reason()), until).await;
            }
        }
        Outcome::Unready => link.leave(DisconnectReason::Timeout, until).await,
        Outcome::Closed(_) => link.finish(until).await,
        Outcome::Lost(_) => {}
    }
}

async fn carry(
    link: &mut Link,
    shared: &SharedCapability,
    session: &mut SessionEnd,
    mut first_message_due: Option<tokio::time::Instant>,
) -> Outcome {
    let SessionEnd { outbox, events, ending } = session;
    let mut slot: Option<Slot> = None;
    let mut held = None; // a message that came and waits for a slot
    loop {
        // Work at hand first: what has come goes to the owner, one slot a message.
        while held.is_none() {
            match link.poll_event() {
                Some(Event::Message { capability, code, payload }) if capability == *shared => {
                    held = Some((code, payload));
                }
                Some(Event::Message { capability, code, .. }) => {
                    debug!(capability = %capability.capability, code, "message of a capability not in use");
                }
                Some(Event::Connected { .. }) => {}
                Some(Event::Closed(closed)) => return Outcome::Closed(closed),
                None => break,
            }
            if held.is_some() {
                first_message_due = None;
            }
        }
        if held.is_some()
            && let Some(place) = slot.take()
            && let Some((code, payload)) = held.take()
        {
            trace!(code, size = payload.len(), "message");
            if let Err(OwnerGone) = events.message(code, payload, place) {
                return Outcome::Ordered(SessionEnd::end(ending, events).await);
            }
            continue;
        }
        tokio::select! {
            biased;
            end = SessionEnd::end(ending, events) => return Outcome::Ordered(end),
            // The slot comes before the read: without one the peer's bytes stay in its socket.
            place = events.slot(), if slot.is_none() => slot = Some(place),
            Some(outgoing) = outbox.recv(), if link.unwritten() < SEALED_AHEAD => link.send(shared, outgoing),
            stepped = link.step(slot.is_some() && held.is_none()) => {
                if let Err(lost) = stepped {
                    return Outcome::Lost(lost);
                }
            }
            () = until(first_message_due) => return Outcome::Unready,
        }
    }
}

/// Waits for an instant; for ever if there is none.
async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// What the owner is told about the end of a connection.
pub(crate) fn close_reason(closed: &Closed) -> CloseReason {
    match closed {
        Closed::Local(_) => CloseReason::Local,
        Closed::Remote(reason) => CloseReason::Remote(reason.map(DisconnectReason::code)),
        Closed::Ended => CloseReason::Remote(None),
        Closed::Fault(fault) => CloseReason::Fault(chain(fault)),
        Closed::Timeout(timeout) => CloseReason::Lost(timeout.to_string()),
    }
}
