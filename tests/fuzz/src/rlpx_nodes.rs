//! Two nodes with fixed keys and fixed chance, and what they have in common.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use bytes::Bytes;
use causeway_rlpx::{Config, Connection, Event, MessageLimits, Randomness, SeenAuths};
use causeway_wire::Capability;
use secp256k1::SecretKey;

/// Largest message that the fuzzed node takes, and of `les` code 2.
pub(crate) const LIMIT: usize = 64 * 1024;
pub(crate) const SMALL_LIMIT: usize = 1024;

/// The node whose input is fuzzed.
pub(crate) const FUZZED: u8 = 0x11;
/// The node that it talks to.
pub(crate) const PARTNER: u8 = 0x22;

pub(crate) fn secret(node: u8) -> SecretKey {
    SecretKey::from_secret_bytes([node; 32]).expect("a key")
}

pub(crate) fn config(node: u8) -> Arc<Config> {
    let capabilities = vec![Capability::new("eth", 68), Capability::new("les", 3), Capability::new("les", 4)];
    let mut config = Config::new(secret(node), format!("Fuzz{node}/v1"), capabilities);
    config.message_limits = MessageLimits { default: LIMIT, by_code: vec![("les", 2, SMALL_LIMIT)] };
    Arc::new(config)
}

pub(crate) fn randomness(node: u8) -> Randomness {
    Randomness::from_seed([node; 32])
}

/// A time that is the same all through a process: nothing here depends on how fast it runs.
pub(crate) fn now() -> Instant {
    static NOW: OnceLock<Instant> = OnceLock::new();
    *NOW.get_or_init(Instant::now)
}

pub(crate) fn accept() -> Connection {
    let seen = Arc::new(SeenAuths::new(4));
    Connection::accept(config(FUZZED), randomness(FUZZED), seen, now())
}

pub(crate) fn dial() -> Connection {
    let mut connection =
        Connection::dial(config(FUZZED), config(PARTNER).node_key(), randomness(FUZZED), now());
    while connection.poll_transmit().is_some() {}
    connection
}

/// What the partner says to [`dial`]: its ack, and its Hello's frame.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) ack: Vec<u8>,
    pub(crate) hello: Vec<u8>,
}

pub(crate) fn script() -> &'static Script {
    static SCRIPT: OnceLock<Script> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let (_, mut partner) = introduced();
        let mut ack = sent(&mut partner);
        let length = 2 + usize::from(u16::from_be_bytes([ack[0], ack[1]]));
        let hello = ack.split_off(length);
        Script { ack, hello }
    })
}

/// The dialing node and its partner, which has read the auth.
fn introduced() -> (Connection, Connection) {
    let mut node = Connection::dial(config(FUZZED), config(PARTNER).node_key(), randomness(FUZZED), now());
    let mut partner =
        Connection::accept(config(PARTNER), randomness(PARTNER), Arc::new(SeenAuths::new(4)), now());
    partner.handle_input(&sent(&mut node), now());
    (node, partner)
}

/// A whole pair, both Hellos through.
pub(crate) fn connected_pair() -> (Connection, Connection) {
    let (mut node, mut partner) = introduced();
    node.handle_input(&sent(&mut partner), now());
    partner.handle_input(&sent(&mut node), now());
    (node, partner)
}

/// Everything that waits for the socket.
pub(crate) fn sent(connection: &mut Connection) -> Vec<u8> {
    std::iter::from_fn(|| connection.poll_transmit()).collect::<Vec<Bytes>>().concat()
}

/// Everything that waits for the owner. The end is said once, and last.
pub(crate) fn events(connection: &mut Connection) -> Vec<Event> {
    let events: Vec<Event> = std::iter::from_fn(|| connection.poll_event()).collect();
    let ends = events.iter().filter(|event| matches!(event, Event::Closed(_))).count();
    assert!(ends <= 1, "ended {ends} times");
    if ends == 1 {
        assert!(matches!(events.last(), Some(Event::Closed(_))), "something came after the end");
        assert!(connection.is_closed());
    }
    events
}
