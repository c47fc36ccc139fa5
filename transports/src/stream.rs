//! Sessions on libp2p streams: the same windows, outboxes and ends as on RLPx.

use std::{pin::pin, sync::Arc};

use causeway_host::{ItemReader, ItemWriter, ProtocolStream, ReadError, WriteError};
use causeway_wire::heartbeat;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    DialError, Incoming, Limits, Shared,
    error::chain,
    peers::{Direction, Facts, MOVING, Place, RELAY, Refusal},
    session::{About, CloseReason, End, Ending, Events, Outgoing, OwnerGone, SessionEnd, session},
};

/// Takes the streams that others open, as long as the owner takes the sessions: a full queue leaves them in
/// the host, which bounds them.
pub(crate) async fn run(shared: Arc<Shared>, mut streams: mpsc::Receiver<ProtocolStream>) {
    loop {
        let room = tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            room = shared.incoming.reserve() => room,
        };
        let Ok(room) = room else { return }; // nobody takes sessions any more
        let stream = tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            stream = streams.recv() => stream,
        };
        let Some(mut stream) = stream else { return };
        stream.reader.set_limits(shared.limits.messages.stream_inbound(&stream.capability));
        match begin(&shared, stream, Direction::Inbound) {
            Ok(incoming) => room.send(incoming),
            Err(refusal) => debug!(?refusal, "stream refused"),
        }
    }
}

/// Makes a session of a stream that we opened.
pub(crate) fn begin_dialed(shared: &Arc<Shared>, mut stream: ProtocolStream) -> Result<Incoming, DialError> {
    stream.reader.set_limits(shared.limits.messages.stream_dialed());
    begin(shared, stream, Direction::Dialed).map_err(|refusal| match refusal {
        Refusal::AlreadyConnected | Refusal::TooMany => DialError::AlreadyConnected,
        Refusal::Denied(denied) => DialError::Denied(denied),
        Refusal::Closing => DialError::Closing,
    })
}

fn begin(shared: &Arc<Shared>, stream: ProtocolStream, direction: Direction) -> Result<Incoming, Refusal> {
    let ProtocolStream { peer, connection, transport, capability, agent, ended, heart, reader, writer } =
        stream;
    heart.set_interval(heartbeat::DEFAULT); // an earlier session on this connection may have had another
    let facts = Facts { transport, client: agent.clone(), ip: None, heart: heart.clone() };
    let mut place = shared.peers.admit_libp2p(peer, direction, facts, connection)?;
    if let Some(older) = place.takes_over.take() {
        shared.spawn(async move {
            tokio::select! {
                () = older.finished() => {}
                () = tokio::time::sleep(MOVING) => older.set(End::Replaced),
            }
        });
    }
    let about = About { id: place.id, peer, capability, transport, client: agent, heart };
    let (incoming, end) = session(about, &shared.limits, Arc::clone(&place.ending));
    let first_message_due = match direction {
        Direction::Inbound => Some(Instant::now() + shared.limits.first_message),
        Direction::Dialed => None,
    };
    let stream = Stream { reader, writer, ended, first_message_due };
    let limits = Arc::clone(&shared.limits);
    let (peers, host) = (shared.peers.clone(), shared.host.clone());
    shared.spawn_session(peer, async move {
        let reason = stream.carry(end, place, &limits).await;
        // A peer has only so many connections: one that comes back again and again, each time leaving a dead
        // one behind, would be kept out by them. And a circuit costs its relay something.
        if (reason == CloseReason::Replaced || transport == RELAY)
            && peers.connection_of(&peer).is_some_and(|newer| newer != connection)
        {
            host.close_connection(connection);
        }
    });
    Ok(incoming)
}

struct Stream {
    reader: ItemReader,
    writer: ItemWriter,
    /// The host's word that the stream is over, which reading does not tell while the window is full.
    ended: CancellationToken,
    first_message_due: Option<Instant>,
}

impl Stream {
    /// Carries a session over its stream until one of them ends, and tells the owner.
    async fn carry(mut self, session: SessionEnd, place: Place, limits: &Limits) -> CloseReason {
        let SessionEnd { mut outbox, events, ending } = session;
        // A write must not be cut short if another is to follow, so the writer itself sees the order to end.
        let mut writing = pin!(write(&mut self.writer, &mut outbox, &events, &ending));
        let (reason, farewell) = tokio::select! {
            biased;
            () = self.ended.cancelled() => (CloseReason::Remote(None), false),
            end = SessionEnd::end(&ending, &events) => (end.close_reason(), true),
            Err(error) = &mut writing => (CloseReason::Lost(chain(&error)), false),
            reason = read(&mut self.reader, &events, self.first_message_due, limits) => (reason, false),
        };
        debug!(%reason, "session over");
        drop(place); // before the owner hears of it: it may dial again at once
        events.closed(reason.clone());
        if !farewell {
            return reason; // dropping both halves resets the stream
        }
        match tokio::time::timeout(limits.farewell, writing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "no farewell"),
            Err(_) => debug!("what was due was not taken in time"),
        }
        reason
    }
}

/// Writes what is sent until the session is ordered to end; then what is left, and the end of the stream.
async fn write(
    writer: &mut ItemWriter,
    outbox: &mut mpsc::Receiver<Outgoing>,
    events: &Events,
    ending: &Ending,
) -> Result<(), WriteError> {
    loop {
        let outgoing = tokio::select! {
            biased;
            _ = SessionEnd::end(ending, events) => break,
            Some(outgoing) = outbox.recv() => outgoing,
        };
        writer.write_item(outgoing.code, &outgoing.payload).await?;
    }
    outbox.close();
    while let Some(outgoing) = outbox.recv().await {
        writer.write_item(outgoing.code, &outgoing.payload).await?;
    }
    writer.close().await
}

/// Reads items, each with a slot taken before, until the stream is over.
async fn read(
    reader: &mut ItemReader,
    events: &Events,
    mut due: Option<Instant>,
    limits: &Limits,
) -> CloseReason {
    loop {
        let slot = events.slot().await;
        match reader.read_item(due).await {
            Ok(Some(item)) => {
                due = None;
                if let Err(OwnerGone) = events.message(item.code, item.payload, slot) {
                    return CloseReason::Local;
                }
            }
            Ok(None) => return CloseReason::Remote(None),
            Err(error) => return reason_of(&error, limits),
        }
    }
}

fn reason_of(error: &ReadError, limits: &Limits) -> CloseReason {
    match error {
        ReadError::Framing(_) | ReadError::Stalled { .. } => CloseReason::Fault(chain(error)),
        ReadError::Silent => {
            CloseReason::Fault(format!("no message within {:?} of the session's start", limits.first_message))
        }
        ReadError::Truncated { .. } | ReadError::Lost(_) => CloseReason::Lost(chain(error)),
    }
}
