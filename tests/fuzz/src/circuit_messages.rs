//! The messages that strangers send a circuit relay, and those it is answered with.

use circuit::fuzzing::{Hop, hop, stop};

use crate::{
    pieces::Pieces,
    seeds::{Seeds, seed, sized},
};

/// ```text
/// form(1), then
/// 0: a hop message   1: a stop message   2, 3: fields of one: kind(1), and by kind
///    number(1) | a peer's digest(sized) | field(1) and bytes(sized)
/// ```
/// Whatever is read was sent: the last type, and with a CONNECT the last peer; and the last status of an answer.
pub fn circuit_messages(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    match pieces.byte() % 4 {
        0 => drop(hop(pieces.rest())),
        1 => drop(stop(pieces.rest())),
        form => built(form == 2, pieces),
    }
}

fn built(is_hop: bool, mut pieces: Pieces<'_>) {
    // Hop messages have the status in field 5, stop messages in field 4.
    let status_field = if is_hop { 5 } else { 4 };
    let (mut message, mut kind, mut peer, mut status) = (Vec::new(), None, None, None);
    while !pieces.is_empty() {
        match pieces.byte() % 6 {
            0 => {
                let number = pieces.byte() % 4;
                message.extend([0x08, number]);
                kind = Some(number);
            }
            1 => {
                let id = peer_id(pieces.sized());
                message.extend(bytes(2, &bytes(1, &id)));
                peer = Some(id);
            }
            2 => {
                let number = u64::from_be_bytes(pieces.array());
                message.push(status_field << 3);
                message.extend(varint(number));
                status = Some(number);
            }
            // Fields that nobody knows, of each kind.
            3 => message.extend(bytes(pieces.byte() % 8 + 6, pieces.sized())),
            4 => message.extend([&[6 << 3 | 1][..], &pieces.array::<8>()].concat()),
            _ => message.extend([&[7 << 3 | 5][..], &pieces.array::<4>()].concat()),
        }
    }
    if is_hop {
        let expected = match (kind, peer) {
            (Some(0), _) => Some(Hop::Reserve),
            (Some(1), Some(id)) => Some(Hop::Connect(id.try_into().expect("a peer id"))),
            (Some(2), _) => Some(Hop::Status),
            _ => None,
        };
        assert_eq!(hop(&message), expected);
    } else {
        let expected = match (kind, status) {
            (Some(1), Some(100)) => Some(Ok(())),
            (Some(1), Some(status)) => Some(Err(status)),
            _ => None,
        };
        assert_eq!(stop(&message), expected);
    }
}

/// An identity multihash of as much as a peer id may hold.
fn peer_id(digest: &[u8]) -> Vec<u8> {
    let digest = &digest[..digest.len().min(42)];
    [&[0, digest.len() as u8][..], digest].concat()
}

fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    [&[field << 3 | 2][..], &varint(value.len() as u64), value].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// What libp2p's clients send, and what breaks the rules.
pub(crate) fn seeds() -> Seeds {
    let id = peer_id(&[8, 1, 18, 32, 7, 7, 7, 7]);
    let connect = [&[8, 1][..], &bytes(2, &bytes(1, &id))].concat();
    let addresses = bytes(2, &[bytes(1, &id), bytes(2, b"\x04\x7f\0\0\x01\x06\x10\x01")].concat());
    vec![
        seed("reserve", &[&[0], &[8, 0]]),
        seed("connect", &[&[0], &connect]),
        seed("connect-with-addresses", &[&[0], &[8, 1], &addresses]),
        seed("connect-to-nobody", &[&[0], &[8, 1]]),
        seed("status", &[&[0], &[8, 2, 40, 100]]),
        seed("number-too-long", &[&[0], &[8], &[0xff; 10]]),
        seed("length-too-long", &[&[0], &[18, 0xff, 0xff, 0xff, 0xff, 15, 0]]),
        seed("group", &[&[0], &[8, 0, 51, 52]]),
        seed("agreed", &[&[1], &[8, 1, 32, 100]]),
        seed("refused", &[&[1], &[8, 1, 32, 202, 1]]),
        seed("built-connect", &[&[2], &[0, 1], &[1], &sized(b"peer"), &[3, 1], &sized(b"unknown")]),
        seed(
            "built-twice",
            &[&[2], &[0, 1], &[1], &sized(b"peer"), &[1], &sized(b"other"), &[4, 1, 2, 3, 4]],
        ),
        seed("built-answer", &[&[3], &[0, 1], &[2], &200u64.to_be_bytes(), &[2], &100u64.to_be_bytes()]),
    ]
}
