//! The machine: `handle_*` takes something in, `poll_*` gives something out.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use causeway_wire::{BASE_LENGTH, Heartbeat, NodeKey, SharedCapability, agree};
use tracing::{debug, trace};

use crate::{
    Closed, Config, DisconnectReason, Event, Fault, Randomness, SeenAuths, SendError, Timeout,
    frame::{Opener, Packing, Sealer, read_code},
    handshake::{Accepting, Dialing, Keyed},
    hello::{self, Hello},
    keepalive::{Due, Keepalive},
    mux::Mux,
    outbox::Outbox,
    reason, snappy,
};

mod code {
    pub(super) const HELLO: u64 = 0x00;
    pub(super) const DISCONNECT: u64 = 0x01;
    pub(super) const PING: u64 = 0x02;
    pub(super) const PONG: u64 = 0x03;
}

/// Payload of Ping and Pong.
const EMPTY_LIST: [u8; 1] = [0xc0];
/// Largest payload that we send: what geth accepts of a sub-protocol's message.
const MAX_SENT: usize = 10 * 1024 * 1024;

/// One devp2p connection over a TCP stream that somebody else owns.
///
/// Its owner passes in what the socket gives ([`handle_input`](Self::handle_input), in pieces of any
/// size), the end of the stream, and the time when [`poll_timeout`](Self::poll_timeout) is reached.
/// After each of these, and after [`send`](Self::send) and [`close`](Self::close), it empties
/// [`poll_transmit`](Self::poll_transmit) into the socket and [`poll_event`](Self::poll_event) into
/// its ears. Events are bounded by the pieces: one of 16 KiB completes at most 256 frames, of which only
/// the first can be larger than the piece; none decompresses to more than 22 times its size.
///
/// Backpressure is the owner's as well: it stops reading (and says so with
/// [`handle_pause`](Self::handle_pause)), and it stops sending while [`unsent`](Self::unsent) grows.
pub struct Connection {
    config: Arc<Config>,
    stage: Stage,
    out: Outbox,
    events: VecDeque<Event>,
    ignored: u64,
}

/// How far the connection is. Only `Open` can send messages.
enum Stage {
    Dialing {
        dialing: Box<Dialing>,
        deadline: Instant,
    },
    Accepting {
        accepting: Box<Accepting>,
        deadline: Instant,
    },
    /// Our Hello is out, the peer's is awaited.
    Greeting {
        link: Box<Link>,
        deadline: Instant,
    },
    Open(Box<Open>),
    Closed,
}

/// What seals and opens, from agreed keys on.
struct Link {
    /// The peer's key, proven by the handshake.
    peer: NodeKey,
    sealer: Sealer,
    opener: Opener,
    packing: Packing,
}

struct Open {
    link: Link,
    mux: Mux,
    frame_limit: usize,
    keepalive: Keepalive,
}

impl Connection {
    /// Opens a connection to `remote`; its auth packet is ready in [`poll_transmit`](Self::poll_transmit).
    /// If `remote` is no point of the curve, the connection is closed at once.
    pub fn dial(config: Arc<Config>, remote: NodeKey, random: Randomness, now: Instant) -> Self {
        let deadline = now + config.timeouts.handshake;
        let dialing = Dialing::new(&config, remote, &random);
        let mut connection = Self::new(config);
        match dialing {
            Ok(dialing) => {
                connection.out.push(dialing.auth());
                connection.stage = Stage::Dialing { dialing: Box::new(dialing), deadline };
            }
            Err(error) => connection.end(Closed::Fault(error.into())),
        }
        connection
    }

    /// Awaits a connection by anybody. `seen` is shared by all connections of a listener.
    pub fn accept(config: Arc<Config>, random: Randomness, seen: Arc<SeenAuths>, now: Instant) -> Self {
        let deadline = now + config.timeouts.handshake;
        let accepting = Box::new(Accepting::new(&config, random, seen));
        let mut connection = Self::new(config);
        connection.stage = Stage::Accepting { accepting, deadline };
        connection
    }

    fn new(config: Arc<Config>) -> Self {
        Self { config, stage: Stage::Closed, out: Outbox::default(), events: VecDeque::new(), ignored: 0 }
    }

    /// Takes in what came from the peer, all of it. After the end of the connection it is dropped.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        let mut input = bytes;
        while !input.is_empty() && !self.is_closed() {
            if let Err(closed) = self.take_in(&mut input, now) {
                self.end(closed);
            }
        }
    }

    /// Does what is due at `now`: pings, or the end of a connection that waited too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::Dialing { deadline, .. } | Stage::Accepting { deadline, .. } if *deadline <= now => {
                self.end(Closed::Timeout(Timeout::Handshake));
            }
            Stage::Greeting { deadline, .. } if *deadline <= now => {
                self.end(Closed::Timeout(Timeout::Hello));
            }
            Stage::Open(open) => match open.keepalive.due(now) {
                Due::Nothing => {}
                Due::Ping => open.link.seal(code::PING, &EMPTY_LIST, &mut self.out),
                Due::Silence => self.end(Closed::Timeout(Timeout::Silence)),
            },
            Stage::Dialing { .. } | Stage::Accepting { .. } | Stage::Greeting { .. } | Stage::Closed => {}
        }
    }

    /// The owner does not read at present: the peer's silence counts from `now` on. To be called
    /// before [`handle_timeout`](Self::handle_timeout) as long as that is so.
    pub fn handle_pause(&mut self, now: Instant) {
        if let Stage::Open(open) = &mut self.stage {
            open.keepalive.pause(now);
        }
    }

    /// Pings at another interval from now on. Nothing happens before [`Event::Connected`] and after the end.
    pub fn set_heartbeat(&mut self, interval: Duration, now: Instant) {
        if let Stage::Open(open) = &mut self.stage {
            open.keepalive.set_interval(interval, now);
        }
    }

    /// What pings found out; `None` before [`Event::Connected`] and after the end.
    pub fn heartbeat(&self) -> Option<Heartbeat> {
        match &self.stage {
            Stage::Open(open) => Some(open.keepalive.heartbeat()),
            Stage::Dialing { .. } | Stage::Accepting { .. } | Stage::Greeting { .. } | Stage::Closed => None,
        }
    }

    /// The peer's stream has ended.
    pub fn handle_end(&mut self, _now: Instant) {
        if !self.is_closed() {
            self.end(Closed::Ended);
        }
    }

    /// Seals a message with the code `code` of `shared`, one of the capabilities of [`Event::Connected`].
    ///
    /// # Errors
    /// Any [`SendError`]; the connection is not touched by it.
    pub fn send(&mut self, shared: &SharedCapability, code: u64, payload: &[u8]) -> Result<(), SendError> {
        let open = match &mut self.stage {
            Stage::Open(open) => open,
            Stage::Closed => return Err(SendError::Closed),
            Stage::Dialing { .. } | Stage::Accepting { .. } | Stage::Greeting { .. } => {
                return Err(SendError::NotConnected);
            }
        };
        let code = open.mux.wire_code(shared, code)?;
        if payload.len() > MAX_SENT {
            return Err(SendError::TooLarge { size: payload.len(), limit: MAX_SENT });
        }
        open.link.seal(code, payload, &mut self.out);
        Ok(())
    }

    /// Ends the connection: queues a Disconnect if there are keys for it, then [`Event::Closed`].
    ///
    /// A peer whose Hello has not come yet gets it uncompressed, as the text of the protocol has it;
    /// geth, having read our Hello, cannot read the reason then. To tell a peer that there is no room
    /// for it, wait for [`Event::Connected`].
    pub fn close(&mut self, reason: DisconnectReason, _now: Instant) {
        if !self.is_closed() {
            self.end(Closed::Local(reason));
        }
    }

    /// Sealed bytes for the socket, in order. After the end they are the farewell: write them within
    /// [`Timeouts::farewell`](crate::Timeouts::farewell), half-close, and be done.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.out.pop()
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Dialing { deadline, .. }
            | Stage::Accepting { deadline, .. }
            | Stage::Greeting { deadline, .. } => Some(*deadline),
            Stage::Open(open) => Some(open.keepalive.next()),
            Stage::Closed => None,
        }
    }

    /// Whether it is over. Events and a farewell may still be there to be polled.
    pub fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    /// Bytes held of a handshake packet or frame that is not whole yet; never more than the largest
    /// frame that is allowed.
    pub fn buffered(&self) -> usize {
        match &self.stage {
            Stage::Dialing { dialing, .. } => dialing.buffered(),
            Stage::Accepting { accepting, .. } => accepting.buffered(),
            Stage::Greeting { link, .. } => link.opener.buffered(),
            Stage::Open(open) => open.link.opener.buffered(),
            Stage::Closed => 0,
        }
    }

    /// Bytes that wait in [`poll_transmit`](Self::poll_transmit).
    pub fn unsent(&self) -> usize {
        self.out.len()
    }

    /// Messages of the base protocol with unknown codes, which were ignored as geth does.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Acts on `data` as if a frame had held it: for fuzzers, which cannot forge MACs.
    #[doc(hidden)]
    pub fn handle_opened_for_test(&mut self, data: &[u8], now: Instant) {
        if let Err(closed) = self.handle_opened(data.to_vec(), now) {
            self.end(closed);
        }
    }

    /// Takes from `input` until something is whole, and acts on it.
    fn take_in(&mut self, input: &mut &[u8], now: Instant) -> Result<(), Closed> {
        match mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Dialing { mut dialing, deadline } => {
                if dialing.read(input)? {
                    let keyed = dialing.finish()?;
                    self.greet(keyed, now);
                } else {
                    self.stage = Stage::Dialing { dialing, deadline };
                }
                Ok(())
            }
            Stage::Accepting { mut accepting, deadline } => {
                if accepting.read(input)? {
                    let (keyed, ack) = accepting.finish()?;
                    self.out.push(&ack);
                    self.greet(keyed, now);
                } else {
                    self.stage = Stage::Accepting { accepting, deadline };
                }
                Ok(())
            }
            // Stages are put back before an error is passed on: its Disconnect needs the link.
            Stage::Greeting { mut link, deadline } => {
                let opened = link.opener.open(input, hello::LIMIT);
                self.stage = Stage::Greeting { link, deadline };
                opened?.map_or(Ok(()), |data| self.handle_opened(data, now))
            }
            Stage::Open(mut open) => {
                let opened = open.link.opener.open(input, open.frame_limit);
                self.stage = Stage::Open(open);
                opened?.map_or(Ok(()), |data| self.handle_opened(data, now))
            }
            Stage::Closed => Ok(()),
        }
    }

    /// Acts on what a frame held.
    fn handle_opened(&mut self, data: Vec<u8>, now: Instant) -> Result<(), Closed> {
        match mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Greeting { mut link, deadline } => match self.read_hello(&mut link, data) {
                Ok(mux) => {
                    let keepalive = Keepalive::new(self.config.timeouts, now);
                    let frame_limit = mux.frame_limit();
                    self.stage = Stage::Open(Box::new(Open { link: *link, mux, frame_limit, keepalive }));
                    Ok(())
                }
                Err(closed) => {
                    self.stage = Stage::Greeting { link, deadline };
                    Err(closed)
                }
            },
            Stage::Open(mut open) => {
                let outcome = self.read_message(&mut open, data, now);
                self.stage = Stage::Open(open);
                outcome
            }
            earlier @ (Stage::Dialing { .. } | Stage::Accepting { .. } | Stage::Closed) => {
                self.stage = earlier;
                Ok(())
            }
        }
    }

    /// Says Hello with new keys.
    fn greet(&mut self, keyed: Keyed, now: Instant) {
        let Keyed { peer, sealer, opener } = keyed;
        let mut link = Box::new(Link { peer, sealer, opener, packing: Packing::Plain });
        link.seal(code::HELLO, &Hello::of(&self.config).encode(), &mut self.out);
        self.stage = Stage::Greeting { link, deadline: now + self.config.timeouts.hello };
    }

    /// Reads the peer's first message, which is Hello or Disconnect.
    fn read_hello(&mut self, link: &mut Link, data: Vec<u8>) -> Result<Mux, Closed> {
        let (code, start) = read_code(&data)?;
        let payload = &data[start..];
        match code {
            code::HELLO => {}
            code::DISCONNECT => return Err(Closed::Remote(reason::read_packed(payload))),
            code => return Err(Fault::BeforeHello { code }.into()),
        }
        let theirs = Hello::decode(payload).map_err(Fault::from)?;
        if theirs.version >= hello::SNAPPY_VERSION {
            link.packing = Packing::snappy();
        }
        let capabilities = self.agree(&link.peer, &theirs)?;
        link.opener.recycle(data);
        self.events.push_back(Event::Connected {
            peer: link.peer,
            client_id: theirs.client_id,
            version: theirs.version,
            capabilities: capabilities.clone(),
            listen_port: theirs.listen_port,
        });
        Ok(Mux::new(capabilities, self.config.message_limits.clone()))
    }

    /// Checks whom Hello is from and what we have in common.
    fn agree(&self, proven: &NodeKey, theirs: &Hello) -> Result<Vec<SharedCapability>, Fault> {
        if theirs.key.0.is_zero() {
            return Err(Fault::NullIdentity);
        }
        if theirs.key != *proven {
            return Err(Fault::UnexpectedIdentity {
                claimed: Box::new(theirs.key),
                proven: Box::new(*proven),
            });
        }
        if *proven == self.config.node_key() {
            return Err(Fault::ConnectedToSelf);
        }
        let shared = agree(&self.config.capabilities, &theirs.capabilities);
        if shared.is_empty() {
            return Err(Fault::NoSharedCapability { offered: theirs.capabilities.len() });
        }
        Ok(shared)
    }

    /// Reads a message after Hello.
    fn read_message(&mut self, open: &mut Open, data: Vec<u8>, now: Instant) -> Result<(), Closed> {
        open.keepalive.frame(now);
        let (code, start) = read_code(&data)?;
        if code < BASE_LENGTH {
            self.read_base(open, code, &data[start..], now)?;
            open.link.opener.recycle(data);
            return Ok(());
        }
        let (shared, local) = open.mux.locate(code)?;
        let limit = open.mux.limit(shared, local);
        let capability = shared.clone();
        let payload = match open.link.packing {
            Packing::Plain => {
                let size = data.len() - start;
                if size > limit {
                    return Err(Fault::MessageTooLarge { code, size, limit }.into());
                }
                Bytes::from(data).slice(start..)
            }
            Packing::Snappy(_) => {
                let payload = snappy::unpack(&data[start..], limit).map_err(|refused| match refused {
                    snappy::Refused::TooLarge { size } => Fault::MessageTooLarge { code, size, limit },
                    snappy::Refused::Corrupt => Fault::Snappy { code },
                })?;
                open.link.opener.recycle(data);
                payload.into()
            }
        };
        trace!(%capability.capability, code = local, size = payload.len(), "message received");
        self.events.push_back(Event::Message { capability, code: local, payload });
        Ok(())
    }

    /// Acts on a message of the base protocol. What a ping carries is not looked at, as in geth.
    fn read_base(&mut self, open: &mut Open, code: u64, payload: &[u8], now: Instant) -> Result<(), Closed> {
        if payload.len() > hello::LIMIT {
            return Err(Fault::MessageTooLarge { code, size: payload.len(), limit: hello::LIMIT }.into());
        }
        match code {
            code::HELLO => return Err(Fault::SecondHello.into()),
            code::DISCONNECT => return Err(Closed::Remote(reason::read_packed(payload))),
            _ => open.keepalive.chatter(now)?,
        }
        match code {
            code::PING => open.link.seal(code::PONG, &EMPTY_LIST, &mut self.out),
            code::PONG => open.keepalive.pong(now),
            _ => self.ignored += 1,
        }
        Ok(())
    }

    /// Ends the connection, telling the peer why if that is possible and makes sense.
    fn end(&mut self, closed: Closed) {
        let reason = match &closed {
            Closed::Local(reason) => Some(*reason),
            Closed::Fault(fault) => fault.disconnect_reason(),
            Closed::Timeout(timeout) => timeout.disconnect_reason(),
            Closed::Remote(_) | Closed::Ended => None,
        };
        let mut stage = mem::replace(&mut self.stage, Stage::Closed);
        let link = match &mut stage {
            Stage::Greeting { link, .. } => Some(&mut **link),
            Stage::Open(open) => Some(&mut open.link),
            Stage::Dialing { .. } | Stage::Accepting { .. } | Stage::Closed => None,
        };
        if let Some((link, reason)) = link.zip(reason) {
            link.seal(code::DISCONNECT, &reason.encode(), &mut self.out);
        }
        debug!(?closed, "connection over");
        self.events.push_back(Event::Closed(closed));
    }
}

impl Link {
    fn seal(&mut self, code: u64, payload: &[u8], out: &mut Outbox) {
        let room = Sealer::room(payload.len());
        self.sealer.seal(code, payload, &mut self.packing, out.room(room));
    }
}

/// Without keys.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Dialing { .. } => "dialing",
            Stage::Accepting { .. } => "accepting",
            Stage::Greeting { .. } => "greeting",
            Stage::Open(_) => "open",
            Stage::Closed => "closed",
        };
        f.debug_struct("Connection").field("stage", &stage).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
