//! The handshake's packets, raw or sealed as the protocol wants them, in both roles.

use causeway_rlpx::{Connection, Event};

use crate::{
    ecies,
    pieces::{Pieces, cut},
    rlpx_nodes::{FUZZED, accept, dial, events, now, secret, sent},
};

/// A handshake packet is at most 2,048 bytes behind its two bytes of length.
const MOST_BUFFERED: usize = 2050;
/// Pings before the silence of a connected peer is its end, and the end.
const MOST_TIMERS: usize = 8;
/// What the signed form before EIP-8 holds when opened.
const PLAIN_AUTH: usize = 65 + 32 + 64 + 32 + 1;

/// ```text
/// form(1) cuts(2) bytes
/// ```
/// Forms: raw bytes for a recipient or an initiator; the opened content of an auth (EIP-8 or older) or of
/// an ack, which is sealed so that it opens. However it is cut, the outcome is the same, within its memory.
pub fn rlpx_auth(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let form = pieces.byte();
    let cuts: [u8; 2] = pieces.array();
    let bytes = pieces.rest();
    let recipient = secret(FUZZED).public_key();
    let (role, stream): (fn() -> Connection, Vec<u8>) = match form % 5 {
        0 => (accept, bytes.to_vec()),
        1 => (dial, bytes.to_vec()),
        2 => (accept, ecies::seal_prefixed(&recipient, bytes)),
        3 => {
            let mut auth = bytes.to_vec();
            auth.resize(PLAIN_AUTH, 0);
            (accept, ecies::seal(&recipient, &auth, &[]))
        }
        _ => (dial, ecies::seal_prefixed(&recipient, bytes)),
    };

    let whole = run(role(), &[&stream]);
    let in_pieces = run(role(), &cut(&stream, &cuts));

    assert!(whole == in_pieces, "the outcome depends on where the stream is cut");
}

fn run(mut connection: Connection, pieces: &[&[u8]]) -> (Vec<Event>, Vec<u8>, bool) {
    let mut heard = Vec::new();
    for piece in pieces {
        connection.handle_input(piece, now());
        assert!(connection.buffered() <= MOST_BUFFERED, "{} bytes are held", connection.buffered());
        heard.extend(events(&mut connection));
    }
    let was_closed = connection.is_closed();
    for _ in 0..MOST_TIMERS {
        let Some(due) = connection.poll_timeout() else { break };
        connection.handle_timeout(due);
    }
    assert!(connection.is_closed(), "silence does not end the connection");
    heard.extend(events(&mut connection));
    let said = sent(&mut connection);
    (heard, said, was_closed)
}
