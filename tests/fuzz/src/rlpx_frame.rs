//! Frames: opened ones in each stage, raw bytes after the handshake, and altered sealed ones.

use causeway_rlpx::{Connection, Event};
use causeway_wire::SharedCapability;

use crate::{
    pieces::{Pieces, cut},
    rlpx_nodes::{LIMIT, SMALL_LIMIT, connected_pair, dial, events, now, script, sent},
};

/// The largest frame of a message within [`LIMIT`], before it decompresses: snappy's worst case and a code.
const MOST_BUFFERED: usize = 32 + LIMIT + LIMIT / 6 + 32 + 9 + 16 + 16;
/// No payload grows by more when it is decompressed.
const MOST_GROWTH: usize = 22;

/// ```text
/// form(1) cuts(2) rest
/// ```
/// Forms: opened frames (each behind two bytes of length) before Hello, with a peer of version 5, with one
/// of version 4; raw bytes before and after Hello; messages of a real peer, altered.
pub fn rlpx_frame(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    match pieces.byte() % 6 {
        0 => opened(greeting(), pieces),
        1 => opened(open(), pieces),
        2 => opened(open_plain(), pieces),
        3 => raw(greeting, pieces),
        4 => raw(open, pieces),
        _ => altered(pieces),
    }
}

/// Keys are agreed, the peer's Hello is awaited.
fn greeting() -> Connection {
    let mut connection = dial();
    connection.handle_input(&script().ack, now());
    connection
}

fn open() -> Connection {
    let mut connection = greeting();
    connection.handle_input(&script().hello, now());
    assert!(matches!(connection.poll_event(), Some(Event::Connected { version: 5, .. })));
    connection
}

fn open_plain() -> Connection {
    let mut connection = greeting();
    connection.handle_opened_for_test(&hello(4), now());
    assert!(matches!(connection.poll_event(), Some(Event::Connected { version: 4, .. })));
    connection
}

/// The partner's Hello as a frame holds it.
pub(crate) fn hello(version: u8) -> Vec<u8> {
    use crate::rlpx_nodes::{PARTNER, config};
    let key = config(PARTNER).node_key();
    let mut fields = vec![version, 0x82, b'F', b'z'];
    fields.extend_from_slice(&[0xd2, 0xc5, 0x83, b'e', b't', b'h', 68, 0xc5, 0x83, b'l', b'e', b's', 4]);
    fields.extend_from_slice(&[0xc5, 0x83, b'l', b'e', b's', 3, 0x80, 0xb8, 64]);
    fields.extend_from_slice(key.0.as_slice());
    let mut hello = vec![0x80, 0xf8, u8::try_from(fields.len()).expect("a short list")];
    hello.extend(fields);
    hello
}

fn opened(mut connection: Connection, mut frames: Pieces<'_>) {
    let _cuts: [u8; 2] = frames.array();
    while !frames.is_empty() {
        let frame = frames.sized();
        connection.handle_opened_for_test(frame, now());
        let happened = events(&mut connection);
        assert!(happened.len() <= 2, "one frame, {} events", happened.len());
        happened.iter().for_each(|event| judge(event, Some(frame.len())));
        let answered = sent(&mut connection);
        assert!(answered.len() <= 2048, "one frame of {} makes us send {}", frame.len(), answered.len());
    }
}

fn raw(start: fn() -> Connection, mut pieces: Pieces<'_>) {
    let cuts: [u8; 2] = pieces.array();
    let stream = pieces.rest();
    let run = |pieces: &[&[u8]]| {
        let mut connection = start();
        let mut happened = Vec::new();
        for piece in pieces {
            connection.handle_input(piece, now());
            assert!(connection.buffered() <= MOST_BUFFERED);
            happened.extend(events(&mut connection));
        }
        happened
    };

    let whole = run(&[stream]);
    let in_pieces = run(&cut(stream, &cuts));

    assert!(whole.iter().all(|event| matches!(event, Event::Closed(_))), "a stranger's bytes were taken");
    assert!(whole == in_pieces, "the outcome depends on where the stream is cut");
}

/// ```text
/// cuts(2) count(1) {code(1) payload(sized)} {place(2) xor(1)}
/// ```
/// What arrives before the first altered byte is as it was sent, and nothing else ever arrives.
fn altered(mut pieces: Pieces<'_>) {
    let cuts: [u8; 2] = pieces.array();
    let (mut connection, mut partner) = connected_pair();
    let Some(Event::Connected { capabilities, .. }) = partner.poll_event() else {
        panic!("two well-behaved nodes connect");
    };
    events(&mut connection);
    let mut said = Vec::new();
    for _ in 0..pieces.byte() % 8 {
        let which = pieces.byte();
        let shared = &capabilities[usize::from(which) % capabilities.len()];
        let code = u64::from(which >> 3) % shared.length;
        let payload = pieces.sized();
        let payload = &payload[..payload.len().min(SMALL_LIMIT)];
        partner.send(shared, code, payload).expect("connected");
        said.push(Event::Message { capability: shared.clone(), code, payload: payload.to_vec().into() });
    }
    let mut stream = sent(&mut partner);
    let mut is_altered = false;
    while !pieces.is_empty() {
        let place = usize::from(u16::from_be_bytes(pieces.array()));
        let change = pieces.byte();
        if let Some(byte) = stream.get_mut(place) {
            *byte ^= change;
            is_altered = true;
        }
    }

    let mut heard = Vec::new();
    for piece in cut(&stream, &cuts) {
        connection.handle_input(piece, now());
        heard.extend(events(&mut connection));
    }

    let messages = heard.iter().filter(|event| matches!(event, Event::Message { .. })).count();
    assert!(heard[..messages] == said[..messages], "an altered or misplaced message was taken");
    assert!(is_altered || messages == said.len(), "a message was lost");
    assert!(heard[messages..].iter().all(|event| matches!(event, Event::Closed(_))));
}

fn judge(event: &Event, frame: Option<usize>) {
    let Event::Message { capability: SharedCapability { capability, length, .. }, code, payload } = event
    else {
        return;
    };
    assert!(code < length, "code {code} of {capability} with {length} codes");
    let limit = if capability.name == "les" && *code == 2 { SMALL_LIMIT } else { LIMIT };
    assert!(payload.len() <= limit, "{} bytes over the limit of {limit}", payload.len());
    if let Some(frame) = frame {
        assert!(payload.len() <= MOST_GROWTH * frame, "{} bytes out of {frame}", payload.len());
    }
}
