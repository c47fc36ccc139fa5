//! Two machines wired together, and one machine against a rogue that seals whatever it likes.

use std::time::Duration;

use causeway_wire::Capability;
use secp256k1::SecretKey;

use super::*;
use crate::{
    HandshakeError, MessageLimits, Timeouts,
    frame::{self, MAX_SIZE},
};

mod faults;
mod limits;
mod pair;
mod stream;

const LES4: Capability = Capability::new("les", 4);
const LES2: Capability = Capability::new("les", 2);
const SECOND: Duration = Duration::from_secs(1);

/// Two connections and the wire between them.
struct Pair {
    dialer: Connection,
    acceptor: Connection,
    now: Instant,
    /// All that the dialer ever sent.
    recorded: Vec<u8>,
}

impl Pair {
    fn new(dialer: Arc<Config>, acceptor: Arc<Config>) -> Self {
        let now = Instant::now();
        let remote = acceptor.node_key();
        Self {
            dialer: Connection::dial(dialer, remote, Randomness::from_seed([1; 32]), now),
            acceptor: Connection::accept(acceptor, Randomness::from_seed([2; 32]), Arc::default(), now),
            now,
            recorded: Vec::new(),
        }
    }

    fn connected() -> Self {
        let mut pair = Self::new(config(1), config(2));
        pair.settle();
        pair.connections();
        pair
    }

    /// Carries bytes over until there are none.
    fn settle(&mut self) {
        loop {
            let (from_dialer, from_acceptor) = (sent(&mut self.dialer), sent(&mut self.acceptor));
            if from_dialer.is_empty() && from_acceptor.is_empty() {
                return;
            }
            self.recorded.extend_from_slice(&from_dialer);
            self.acceptor.handle_input(&from_dialer, self.now);
            self.dialer.handle_input(&from_acceptor, self.now);
        }
    }

    /// Takes the event that both begin with, and gives what they share.
    fn connections(&mut self) -> SharedCapability {
        for connection in [&mut self.dialer, &mut self.acceptor] {
            let first = connection.poll_event();
            assert!(matches!(first, Some(Event::Connected { .. })), "{first:?}");
        }
        les4()
    }
}

/// A peer that has keys and no manners.
struct Rogue {
    link: Link,
    out: Outbox,
    heard: Vec<u8>,
}

impl Rogue {
    /// Dials a fresh acceptor with `config`; no Hello is said yet.
    fn new(config: Arc<Config>) -> (Connection, Self) {
        let now = Instant::now();
        let remote = config.node_key();
        let mut connection = Connection::accept(config, Randomness::from_seed([2; 32]), Arc::default(), now);
        let mut dialing =
            Dialing::new(&rogue_config(), remote, &Randomness::from_seed([3; 32])).expect("a key");
        connection.handle_input(dialing.auth(), now);
        let answer = sent(&mut connection);
        let mut input = &answer[..];
        assert_eq!(dialing.read(&mut input), Ok(true));
        let Keyed { peer, sealer, opener } = dialing.finish().expect("keys");
        let link = Link { peer, sealer, opener, packing: Packing::Plain };
        let mut rogue = Self { link, out: Outbox::default(), heard: input.to_vec() };
        let (code, hello) = rogue.hear().expect("our Hello follows the ack");
        assert_eq!(code, code::HELLO);
        assert_eq!(Hello::decode(&hello).map(|hello| hello.version), Ok(5));
        (connection, rogue)
    }

    /// The same, with Hello said and taken.
    fn connected(config: Arc<Config>) -> (Connection, Self) {
        let (mut connection, mut rogue) = Self::new(config);
        rogue.say_hello(&mut connection, &Hello::of(&rogue_config()));
        assert!(matches!(connection.poll_event(), Some(Event::Connected { .. })));
        (connection, rogue)
    }

    fn say(&mut self, to: &mut Connection, code: u64, payload: &[u8]) {
        let frame = self.sealed(code, payload);
        to.handle_input(&frame, Instant::now());
    }

    /// Says a payload that is not compressed, or compressed in its own way.
    fn say_raw(&mut self, to: &mut Connection, code: u64, payload: &[u8]) {
        let packing = mem::replace(&mut self.link.packing, Packing::Plain);
        self.say(to, code, payload);
        self.link.packing = packing;
    }

    fn sealed(&mut self, code: u64, payload: &[u8]) -> Vec<u8> {
        self.link.seal(code, payload, &mut self.out);
        std::iter::from_fn(|| self.out.pop()).collect::<Vec<_>>().concat()
    }

    /// The next message that `heard` holds, as it lies in its frame.
    fn hear(&mut self) -> Option<(u64, Vec<u8>)> {
        let mut input = &self.heard[..];
        let data = self.link.opener.open(&mut input, MAX_SIZE).expect("a frame of ours opens")?;
        self.heard = input.to_vec();
        let (code, start) = read_code(&data).expect("a message of ours has a code");
        Some((code, data[start..].to_vec()))
    }

    /// What `from` says.
    fn hear_from(&mut self, from: &mut Connection) -> Option<(u64, Vec<u8>)> {
        self.heard.extend(sent(from));
        self.hear()
    }

    /// Says a Hello of version 5, after which both compress, whether it is taken or not.
    fn say_hello(&mut self, to: &mut Connection, hello: &Hello) {
        self.say(to, code::HELLO, &hello.encode());
        self.link.packing = Packing::snappy();
    }

    /// A sealed header with any size and header data.
    fn raw_head(&mut self, size: usize, data: &[u8]) -> Vec<u8> {
        self.link.sealer.seal_raw(header(size, data), None)
    }

    /// A sealed header of a frame of `size` bytes.
    fn head_of(&mut self, size: usize) -> Vec<u8> {
        self.raw_head(size, &[0xc2, 0x80, 0x80])
    }

    /// A frame with any data.
    fn raw_frame(&mut self, data: &[u8]) -> Vec<u8> {
        self.link.sealer.seal_raw(header(data.len(), &[0xc2, 0x80, 0x80]), Some(data))
    }

    /// Asserts that `connection` ended by `fault` and tells so with `reason`, or without a word.
    fn assert_ended(&mut self, connection: &mut Connection, fault: Fault, reason: Option<DisconnectReason>) {
        assert_eq!(fault.disconnect_reason(), reason);
        assert_eq!(events(connection), [Event::Closed(Closed::Fault(fault))]);
        assert!(connection.is_closed());
        assert_eq!(connection.poll_timeout(), None);
        let plain = reason.map(DisconnectReason::encode);
        let expected = match self.link.packing {
            Packing::Plain => plain,
            // Length 2, literal of 2 bytes.
            Packing::Snappy(_) => plain.map(|plain| [&[2, 4], &plain[..]].concat()),
        };
        assert_eq!(self.hear_from(connection), expected.map(|payload| (code::DISCONNECT, payload)));
        assert_eq!(self.hear(), None);
    }
}

fn header(size: usize, data: &[u8]) -> [u8; 16] {
    let [.., high, middle, low] = size.to_be_bytes();
    let mut header = [0; 16];
    header[..3].copy_from_slice(&[high, middle, low]);
    header[3..3 + data.len()].copy_from_slice(data);
    header
}

/// Bytes that do not compress.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_secret_bytes([seed; 32]).expect("a key")
}

fn config(seed: u8) -> Arc<Config> {
    config_with(seed, |_| {})
}

fn config_with(seed: u8, change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::new(secret(seed), format!("Node{seed}/v1"), vec![LES2, LES4]);
    config.listen_port = 30303;
    change(&mut config);
    Arc::new(config)
}

fn rogue_config() -> Config {
    Config::new(secret(9), "Rogue/v1".into(), vec![LES4])
}

fn les4() -> SharedCapability {
    SharedCapability { capability: LES4, offset: 0x10, length: 24 }
}

fn sent(connection: &mut Connection) -> Vec<u8> {
    let before = connection.unsent();
    let sent = std::iter::from_fn(|| connection.poll_transmit()).collect::<Vec<_>>().concat();
    assert_eq!((sent.len(), connection.unsent()), (before, 0));
    sent
}

fn events(connection: &mut Connection) -> Vec<Event> {
    std::iter::from_fn(|| connection.poll_event()).collect()
}

fn message(code: u64, payload: &[u8]) -> Event {
    Event::Message { capability: les4(), code, payload: Bytes::copy_from_slice(payload) }
}
