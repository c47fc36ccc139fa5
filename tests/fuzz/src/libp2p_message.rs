//! The messages with which libp2p's peers help each other to be reached: circuits, tests of addresses, hole punching,
//! rendezvous.

use causeway_host::fuzzing::{punching_message, rendezvous_message};

use crate::pieces::Pieces;

/// Bytes held for each byte of input: a registration of a few bytes is some hundred in memory.
const MOST_PER_BYTE: u64 = 256;
/// And for an input of any size.
const MOST_AT_ALL: u64 = 64 << 10;

/// ```text
/// form(1), then a message of: 0 hop  1 stop  2 AutoNAT v2  4 DCUtR  5 rendezvous; 3: a multiaddr
/// ```
/// What is read is written so that it is read alike; memory in proportion to the input; whatever an address looks like,
/// it holds one IP address or is not dialed.
pub fn libp2p_message(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let form = pieces.byte() % 6;
    let message = pieces.rest();
    let cost = allocation_counter::measure(|| match form {
        0 => drop(circuit::fuzzing::hop(message)),
        1 => drop(circuit::fuzzing::stop(message)),
        2 => autonat::fuzzing::message(message),
        3 => autonat::fuzzing::address(message),
        4 => punching_message(message),
        _ => rendezvous_message(message, 16),
    });
    let most = MOST_AT_ALL + MOST_PER_BYTE * message.len() as u64;
    assert!(cost.bytes_max <= most, "{} bytes held for {}", cost.bytes_max, message.len());
}
