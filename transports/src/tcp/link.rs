//! A socket and the RLPx machine on it: bytes read go in, bytes that come out are written, timers are kept.

use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use causeway_host::Heart;
use causeway_rlpx::{Connection, DisconnectReason, Event};
use causeway_wire::{Heartbeat, SharedCapability};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tracing::{debug, trace};

use crate::{
    Limits,
    session::{Held, Outgoing},
};

/// Bytes read at once, and so the least that each idle connection holds.
const READ_CHUNK: usize = 16 * 1024;

/// Why a socket is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{unwritten} bytes were not taken in time")]
    Stalled { unwritten: usize },
}

/// A connection on its socket.
#[derive(Debug)]
pub(crate) struct Link {
    connection: Connection,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    input: BytesMut,
    /// Sealed bytes that the socket has not taken, in the pieces that the machine gave.
    output: VecDeque<Bytes>,
    unwritten: usize,
    /// Bytes sealed and bytes written since the start.
    sealed: u64,
    written: u64,
    /// What messages hold until `written` reaches their end.
    held: VecDeque<(u64, Held)>,
    write_due: Option<tokio::time::Instant>,
    patience: Patience,
    received: bool,
    ended: bool,
    heart: Heart,
}

#[derive(Clone, Copy, Debug)]
struct Patience {
    longest: Duration,
    slowest: u32,
}

/// The time as the machine wants it; moves with tokio's, so that tests can move it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Link {
    pub(crate) fn new(stream: TcpStream, connection: Connection, limits: &Limits) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "small messages will wait for each other"); // the socket is dying: the next read tells
        }
        let (reader, writer) = stream.into_split();
        Self {
            connection,
            reader,
            writer,
            input: BytesMut::new(),
            output: VecDeque::new(),
            unwritten: 0,
            sealed: 0,
            written: 0,
            held: VecDeque::new(),
            write_due: None,
            patience: Patience { longest: limits.write, slowest: limits.slowest_reader.max(1) },
            received: false,
            ended: false,
            heart: Heart::default(),
        }
    }

    /// The connection's heartbeat, for who looks on.
    pub(crate) fn heart(&self) -> Heart {
        self.heart.clone()
    }

    /// Whether the peer has sent anything.
    pub(crate) fn has_received(&self) -> bool {
        self.received
    }

    /// Sealed bytes that the socket has not taken.
    pub(crate) fn unwritten(&self) -> usize {
        self.unwritten
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.connection.poll_event()
    }

    pub(crate) fn close(&mut self, reason: DisconnectReason) {
        self.connection.close(reason, now());
    }

    /// Seals a message. What it holds is freed once the socket took it.
    pub(crate) fn send(&mut self, shared: &SharedCapability, outgoing: Outgoing) {
        let Outgoing { code, payload, held } = outgoing;
        trace!(code, size = payload.len(), "send");
        if let Err(error) = self.connection.send(shared, code, &payload) {
            debug!(%error, code, "message not sent"); // over: its end is the next event
            return;
        }
        self.collect();
        self.held.push_back((self.sealed, held));
    }

    /// Moves the connection on by one read, write or timer, reading only if told so. Waits for ever if there
    /// is nothing to wait for. Cancel-safe: each branch is.
    pub(crate) async fn step(&mut self, read: bool) -> Result<(), Lost> {
        self.collect();
        let due = self.connection.poll_timeout();
        let beat = self.connection.heartbeat();
        let read = read && !self.ended;
        self.input.reserve(if read { READ_CHUNK } else { 0 });
        tokio::select! {
            biased;
            written = write_front(&mut self.writer, &self.output), if self.unwritten > 0 => {
                let written = written?;
                self.wrote(written);
            }
            () = super::until(self.write_due) => return Err(Lost::Stalled { unwritten: self.unwritten }),
            () = super::until(due.map(Into::into)) => {
                if !read {
                    self.connection.handle_pause(now()); // what the peer says is not heard at present
                }
                self.connection.handle_timeout(now());
            }
            interval = other_interval(&self.heart, beat) => self.connection.set_heartbeat(interval, now()),
            got = self.reader.read_buf(&mut self.input), if read => {
                let got = got?;
                self.took(got);
            }
        }
        if let Some(found) = self.connection.heartbeat().filter(|found| beat != Some(*found)) {
            self.heart.publish(found);
        }
        Ok(())
    }

    fn took(&mut self, got: usize) {
        if got == 0 {
            self.ended = true;
            self.connection.handle_end(now());
            return;
        }
        self.received = true;
        self.connection.handle_input(&self.input, now());
        self.input.clear();
    }

    fn wrote(&mut self, mut written: usize) {
        self.written += written as u64;
        self.unwritten = self.unwritten.saturating_sub(written);
        self.extend_patience(written);
        while let Some(front) = self.output.front_mut() {
            if front.len() > written {
                bytes::Buf::advance(front, written);
                break;
            }
            written -= front.len();
            self.output.pop_front();
        }
        while self.held.front().is_some_and(|(end, _)| *end <= self.written) {
            self.held.pop_front();
        }
    }

    /// Progress buys time at the rate of the slowest reader that is borne, up to the full patience: one byte
    /// now and then does not keep a connection.
    fn extend_patience(&mut self, written: usize) {
        let full = tokio::time::Instant::now() + self.patience.longest;
        let bought = Duration::from_secs_f64(written as f64 / f64::from(self.patience.slowest));
        self.write_due = match self.write_due {
            Some(due) if self.unwritten > 0 => Some((due + bought.min(self.patience.longest)).min(full)),
            Some(_) | None => None,
        };
    }

    /// Takes what the machine wants written.
    fn collect(&mut self) {
        while let Some(bytes) = self.connection.poll_transmit() {
            self.sealed += bytes.len() as u64;
            self.unwritten += bytes.len();
            if !bytes.is_empty() {
                self.output.push_back(bytes);
            }
        }
        if self.unwritten > 0 && self.write_due.is_none() {
            self.write_due = Some(tokio::time::Instant::now() + self.patience.longest);
        }
    }

    /// Says goodbye and ends the connection, within a limit.
    pub(crate) async fn leave(mut self, reason: DisconnectReason, until: tokio::time::Instant) {
        self.close(reason);
        self.finish(until).await;
    }

    /// Writes what is due, ends our direction and waits for the peer's end: closing a socket with unread
    /// bytes resets it, and a reset may overtake the farewell.
    pub(crate) async fn finish(mut self, until: tokio::time::Instant) {
        self.collect();
        if self.unwritten == 0 {
            return; // nothing to say
        }
        let farewell = async {
            while let Some(mut piece) = self.output.pop_front() {
                self.writer.write_all_buf(&mut piece).await?;
            }
            self.writer.shutdown().await?;
            while !self.ended {
                self.input.clear();
                self.input.reserve(READ_CHUNK);
                self.ended = self.reader.read_buf(&mut self.input).await? == 0;
            }
            Ok::<(), io::Error>(())
        };
        match tokio::time::timeout_at(until, farewell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => trace!(%error, "no farewell"),
            Err(_) => trace!("no end from the peer in time"),
        }
    }
}

/// Waits until another interval is wanted than the machine has; for ever before it has one.
async fn other_interval(heart: &Heart, beat: Option<Heartbeat>) -> Duration {
    match beat {
        Some(beat) => heart.changed(beat.interval).await,
        None => std::future::pending().await,
    }
}

/// Most pieces given to the socket in one call.
const PIECES: usize = 16;

async fn write_front(writer: &mut OwnedWriteHalf, output: &VecDeque<Bytes>) -> io::Result<usize> {
    let mut pieces = [io::IoSlice::new(&[]); PIECES];
    for (piece, bytes) in pieces.iter_mut().zip(output) {
        *piece = io::IoSlice::new(bytes);
    }
    let count = output.len().min(PIECES);
    match writer.write_vectored(&pieces[..count]).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}
