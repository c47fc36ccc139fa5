//! The data channels of a connection, each a stream of libp2p.
//!
//! Numbers of channels are used again, and a [`Stream`](crate::Stream) may outlive its channel; so a stream is known
//! by a key that is used once.

mod bytes;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    task::Waker,
    time::{Duration, Instant},
};

use ::bytes::BytesMut;
use sctp_proto::{Association, Event, PayloadProtocolIdentifier as Ppi, StreamEvent};

use crate::{
    config::Limits,
    dcep::{self, ChannelError, Control},
    error::SessionError,
    halves::Halves,
    machine::{Machine, SCTP_STREAMS},
    message::{self, Decoder, Flag, FrameError, MAX_PAYLOAD},
};

/// The channel that Noise runs on. Both sides know of it.
pub(crate) const HANDSHAKE: u16 = 0;

/// How long a channel stays for the peer's confirmation when its stream is gone.
pub(crate) const LINGER: Duration = Duration::from_secs(10);

/// How many times more channels than [`Limits::streams`] may be on their way out. A peer that goes on opening
/// channels while they are refused is not worth a connection.
const REFUSALS: usize = 4;

/// Pieces of messages of one connection that may wait in SCTP. It counts their bytes only, and each takes some hundred
/// more; full ones need a thousand pieces to fill what they may.
const MAX_PIECES: u64 = 16_384;

/// What a stream is known by.
pub(crate) type Key = u64;

struct Channel {
    /// Its number, as long as it has one.
    id: Option<u16>,
    halves: Halves,
    /// The peer's request to open it has come, or none is needed.
    opened: bool,
    decoder: Decoder,
    unread: BytesMut,
    /// Someone holds the stream, or will take it.
    held: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Until when the channel waits for the peer: to be opened, or to confirm once nobody holds its stream.
    linger: Option<Instant>,
}

/// A channel that breaks the rules.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

pub(crate) struct Channels {
    limits: Limits,
    channels: BTreeMap<Key, Channel>,
    /// The channels that have a number.
    numbers: BTreeMap<u16, Key>,
    /// Numbers whose reset is under way.
    resetting: BTreeSet<u16>,
    next: Key,
    /// SCTP is there.
    established: bool,
    /// The channel for Noise, once it was opened. When it is closed, browsers use its number for a stream.
    handshake: Option<Key>,
    /// Streams of the peer that nobody has taken yet.
    incoming: VecDeque<Key>,
    /// Pieces of messages that were taken out of SCTP.
    taken: u64,
}

impl Channels {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            channels: BTreeMap::new(),
            numbers: BTreeMap::new(),
            resetting: BTreeSet::new(),
            next: 0,
            established: false,
            handshake: None,
            incoming: VecDeque::new(),
            taken: 0,
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        self.established
    }

    pub(crate) fn has_incoming(&self) -> bool {
        !self.incoming.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.established && self.channels.len() < self.limits.streams
    }

    /// A stream that the peer has opened.
    pub(crate) fn accept(&mut self) -> Option<Key> {
        self.incoming.pop_front()
    }

    /// Handles all that SCTP tells.
    pub(crate) fn handle_events(&mut self, machine: &mut Machine, now: Instant) -> Result<(), SessionError> {
        while let Some(event) = machine.poll_event() {
            let Some(association) = machine.association() else { break };
            match event {
                Event::Connected => self.established = true,
                Event::Stream(StreamEvent::Opened { id }) => self.appear(association, id, now)?,
                Event::Stream(StreamEvent::Readable { id }) => {
                    if let Some(key) = self.numbers.get(&id) {
                        self.fill(association, *key);
                    }
                }
                Event::Stream(StreamEvent::Finished { id }) => self.vanish(id),
                Event::Stream(StreamEvent::ResetComplete { id }) => {
                    self.resetting.remove(&id);
                }
                _ => {}
            }
        }
        if let Some(association) = machine.association() {
            self.wake_writers(association);
            // Some come twice when packets are lost, hence the fourth.
            let waiting = association.stats().get_num_datas().saturating_sub(self.taken);
            if waiting > MAX_PIECES + self.taken / 4 {
                return Err(SessionError::Crumbs(waiting));
            }
        }
        Ok(())
    }

    /// A channel with data of the peer that is not known.
    fn appear(&mut self, association: &mut Association, id: u16, now: Instant) -> Result<(), SessionError> {
        self.resetting.remove(&id); // its old life is over, or SCTP would not tell of a new one
        if self.numbers.contains_key(&id) {
            return Ok(());
        }
        if id == HANDSHAKE && self.handshake.is_none() {
            return Ok(()); // the peer's bytes come before our channel is there
        }
        if self.channels.len() >= self.limits.streams {
            tracing::debug!(id, "channel refused");
            self.reset_number(association, id);
            if self.resetting.len() > self.limits.streams.saturating_mul(REFUSALS) {
                return Err(SessionError::TooManyStreams(self.limits.streams));
            }
            return Ok(());
        }
        let key = self.insert(id, false);
        if let Some(channel) = self.channels.get_mut(&key) {
            channel.linger = Some(now + LINGER); // until its request to be opened is there
        }
        Ok(())
    }

    fn insert(&mut self, id: u16, opened: bool) -> Key {
        let key = self.next;
        self.next += 1;
        self.numbers.insert(id, key);
        self.channels.insert(
            key,
            Channel {
                id: Some(id),
                halves: Halves::new(),
                opened,
                decoder: Decoder::default(),
                unread: BytesMut::new(),
                held: opened,
                reader: None,
                writer: None,
                linger: None,
            },
        );
        key
    }

    /// The channel that both sides know of.
    pub(crate) fn open_handshake(&mut self, association: &mut Association) -> Key {
        // Fails where the peer's first bytes have made it.
        let _ = association.open_stream(HANDSHAKE, Ppi::Binary);
        let key = self.insert(HANDSHAKE, true);
        self.handshake = Some(key);
        self.fill(association, key);
        key
    }

    /// Opens a stream; `None` as long as all numbers are taken.
    pub(crate) fn open(&mut self, association: &mut Association) -> Option<Key> {
        if !self.established || self.channels.len() >= self.limits.streams {
            return None;
        }
        // The server of DTLS has the odd numbers. RFC 8832, section 6.
        let free = (1..SCTP_STREAMS).step_by(2);
        let free = free.filter(|id| !self.numbers.contains_key(id) && !self.resetting.contains(id));
        for id in free {
            let Ok(mut stream) = association.open_stream(id, Ppi::Binary) else { continue };
            // Data may follow at once; the confirmation is not waited for.
            return match stream.write_with_ppi(&dcep::open(), Ppi::Dcep) {
                Ok(_) => Some(self.insert(id, true)),
                Err(error) => {
                    tracing::debug!(%error, "cannot open a channel");
                    None
                }
            };
        }
        None
    }

    /// The peer, or both, have closed a channel.
    fn vanish(&mut self, id: u16) {
        self.resetting.insert(id);
        let Some(key) = self.numbers.remove(&id) else { return };
        let Some(channel) = self.channels.get_mut(&key) else { return };
        channel.id = None;
        channel.halves.on_channel_closed();
        channel.wake();
        if !channel.held {
            self.channels.remove(&key);
        }
    }

    /// Takes out of SCTP what there is room for.
    fn fill(&mut self, association: &mut Association, key: Key) {
        if let Err(error) = self.try_fill(association, key) {
            tracing::debug!(%error, key, "channel broken");
            self.break_off(association, key);
        }
        self.close_if_over(association, key);
    }

    fn try_fill(&mut self, association: &mut Association, key: Key) -> Result<(), Broken> {
        let Some(channel) = self.channels.get_mut(&key) else { return Ok(()) };
        let Some(id) = channel.id else { return Ok(()) };
        while channel.unread.len() < self.limits.receive_buffer {
            let Ok(mut stream) = association.stream(id) else { return Ok(()) };
            let Ok(Some(message)) = stream.read_sctp() else { return Ok(()) };
            self.taken += message.chunks.len() as u64;
            let mut bytes = vec![0; message.len()];
            if message.read(&mut bytes).is_err() {
                return Ok(());
            }
            match message.ppi {
                Ppi::Dcep => {
                    if dcep::read(&bytes)? == Control::Open && !channel.opened {
                        channel.opened = true;
                        channel.held = true;
                        channel.linger = None;
                        let _ = stream.write_with_ppi(&dcep::ACK, Ppi::Dcep);
                        self.incoming.push_back(key);
                    }
                    continue;
                }
                Ppi::StringEmpty | Ppi::BinaryEmpty => continue,
                _ if !channel.opened => return Err(ChannelError::NotOpened.into()),
                _ => channel.decoder.push(&bytes),
            }
            while let Some(frame) = channel.decoder.next()? {
                if channel.held && channel.halves.wants() {
                    channel.unread.extend_from_slice(&frame.payload);
                }
                if let Some(answer) = frame.flag.and_then(|flag| channel.halves.on_flag(flag)) {
                    let _ = stream.write_with_ppi(&message::flag(answer), Ppi::Binary);
                }
            }
            channel.wake();
        }
        Ok(())
    }

    /// Ends a channel whose peer breaks the rules.
    fn break_off(&mut self, association: &mut Association, key: Key) {
        let Some(channel) = self.channels.get_mut(&key) else { return };
        channel.halves.on_channel_closed();
        channel.wake();
        if let (Some(id), true) = (channel.id, channel.opened) {
            send(association, id, Flag::Reset);
        }
        if !channel.held {
            self.close(association, key);
        }
    }

    /// Closes the channel if nobody holds its stream and nothing is to be waited for.
    ///
    /// What the peer has opened it closes itself, or [`LINGER`] does: if both sides reset a number at the same time,
    /// the second reset may reach a browser when the number is a new channel already, and end that.
    fn close_if_over(&mut self, association: &mut Association, key: Key) {
        let Some(channel) = self.channels.get(&key) else { return };
        let ours = channel.id.is_some_and(|id| id % 2 == 1) || self.handshake == Some(key);
        if ours && !channel.held && channel.opened && channel.halves.is_over() {
            self.close(association, key);
        }
    }

    fn close(&mut self, association: &mut Association, key: Key) {
        let Some(channel) = self.channels.remove(&key) else { return };
        if let Some(id) = channel.id {
            self.numbers.remove(&id);
            self.reset_number(association, id);
        }
    }

    fn reset_number(&mut self, association: &mut Association, id: u16) {
        if let Ok(mut stream) = association.stream(id) {
            // What nobody will read must not fill up what all streams share.
            while let Ok(Some(message)) = stream.read_sctp() {
                self.taken += message.chunks.len() as u64;
            }
            if stream.close().is_ok() {
                self.resetting.insert(id);
            }
        }
    }

    /// Closes channels whose peer has not confirmed in time.
    pub(crate) fn handle_timeout(&mut self, association: &mut Association, now: Instant) {
        let late = |channel: &Channel| channel.linger.is_some_and(|until| until <= now);
        let late: Vec<_> =
            self.channels.iter().filter(|(_, channel)| late(channel)).map(|(key, _)| *key).collect();
        for key in late {
            self.close(association, key);
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.channels.values().filter_map(|channel| channel.linger).min()
    }

    fn wake_writers(&mut self, association: &mut Association) {
        if !self.channels.values().any(|channel| channel.writer.is_some()) {
            return;
        }
        let mut room = self.limits.send_buffer.saturating_sub(self.buffered(association));
        for channel in self.channels.values_mut() {
            if room == 0 {
                return;
            }
            if let Some(writer) = channel.writer.take() {
                room = room.saturating_sub(MAX_PAYLOAD);
                writer.wake();
            }
        }
    }

    /// Bytes that the peer has not confirmed.
    fn buffered(&self, association: &mut Association) -> usize {
        let of = |id: &u16| association.stream(*id).ok().and_then(|stream| stream.buffered_amount().ok());
        self.numbers.keys().filter_map(of).sum()
    }

    /// Wakes all who wait, at the end of the connection.
    pub(crate) fn end(&mut self) {
        for channel in self.channels.values_mut() {
            channel.halves.on_channel_closed();
            channel.wake();
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.channels.len()
    }
}

impl Channel {
    fn wake(&mut self) {
        let writer = if self.halves.may_send() { None } else { self.writer.take() };
        for waker in self.reader.take().into_iter().chain(writer) {
            waker.wake();
        }
    }
}

/// Fails only where the channel is gone, of which SCTP tells.
fn send(association: &mut Association, id: u16, flag: Flag) {
    if let Ok(mut stream) = association.stream(id) {
        let _ = stream.write_with_ppi(&message::flag(flag), Ppi::Binary);
    }
}
