//! What a WebTransport client says before it is known: header fields, its CONNECT, its settings.

use webtransport::fuzzing::{Found, MAX_FIELDS, MAX_HEADERS, connect_stream, control_stream, headers};

use crate::{
    pieces::{Pieces, cut},
    varint::value,
};

/// What each field counts beside its text.
const OVERHEAD: usize = 32;
/// Bytes held for each byte of input: the smallest capsule is 5 bytes, what is noted of it some 60.
const MOST_PER_BYTE: u64 = 64;
/// And for an input of any size: a field of one byte may be the longest of the static table.
const MOST_AT_ALL: u64 = 64 << 10;

/// Types of frames.
const DATA: u64 = 0;
const HEADERS: u64 = 1;
const SETTINGS: u64 = 4;

/// ```text
/// form(1), then
/// 0: a header block   1: the stream of CONNECT: cuts(3) stream   2: its frames: cuts(3) block(sized) capsules
/// 3: the control stream: cuts(3) stream   4: its frames: cuts(3) settings(sized) what follows
/// ```
/// However a stream is cut, the same is found. Fields stay within their limits and are read alike if they are
/// packed in another way; who is let in has asked for libp2p's WebTransport.
pub fn webtransport_headers(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let form = pieces.byte() % 5;
    if form == 0 {
        return block(pieces.rest());
    }
    let cuts = pieces.array();
    let (read, stream): (Read, Vec<u8>) = match form {
        1 => (connect_stream, pieces.rest().to_vec()),
        2 => {
            let block = value(HEADERS, pieces.sized());
            (connect_stream, [block, value(DATA, pieces.rest())].concat())
        }
        3 => (control_stream, pieces.rest().to_vec()),
        _ => {
            let settings = value(SETTINGS, pieces.sized());
            (control_stream, [&settings, pieces.rest()].concat())
        }
    };
    same_however_cut(read, &stream, cuts);
}

/// Reads a stream that comes in pieces.
pub(crate) type Read = fn(&[&[u8]]) -> Found;

/// Gives what is found, at a cost as the length of `stream` says.
pub(crate) fn same_however_cut(read: Read, stream: &[u8], cuts: [u8; 3]) -> Found {
    let mut found = Found::default();
    let cost = allocation_counter::measure(|| found = read(&[stream]));
    let most = MOST_AT_ALL + MOST_PER_BYTE * stream.len() as u64;
    assert!(cost.bytes_max <= most, "{} bytes held for {}", cost.bytes_max, stream.len());
    assert_eq!(read(&cut(stream, &cuts)), found, "it depends on where the stream is cut");
    found
}

fn block(bytes: &[u8]) {
    let mut read = None;
    let cost = allocation_counter::measure(|| read = Some(headers(bytes)));
    let most = MOST_AT_ALL + MOST_PER_BYTE * bytes.len() as u64;
    assert!(cost.bytes_max <= most, "{} bytes held for {}", cost.bytes_max, bytes.len());
    let Some(Ok((fields, is_request))) = read else { return };
    let size: usize = fields.iter().map(|(name, value)| OVERHEAD + name.len() + value.len()).sum();
    assert!(size <= MAX_HEADERS && fields.len() <= MAX_FIELDS, "{} fields of {size} bytes", fields.len());
    let packed = pack(&fields);
    assert_eq!(headers(&packed), Ok((fields.clone(), is_request)), "packed as {packed:02x?}");
    if is_request {
        judge(&fields);
    }
}

/// What a request that is taken must say, and say once.
fn judge(fields: &[(String, String)]) {
    let once = |wanted: &str| {
        let mut found = fields.iter().filter(|(name, _)| name == wanted);
        let (Some((_, value)), None) = (found.next(), found.next()) else {
            panic!("{wanted} is not there once: {fields:?}");
        };
        value.as_str()
    };
    assert_eq!((once(":method"), once(":scheme")), ("CONNECT", "https"));
    assert!(["webtransport", "webtransport-h3"].contains(&once(":protocol")));
    assert!(!once(":authority").is_empty());
    assert!(once(":path").starts_with("/.well-known/libp2p-webtransport?"));
    assert!(fields.iter().filter(|(name, _)| name.starts_with(':')).count() == 5, "{fields:?}");
}

/// Every field spelt out.
pub(crate) fn pack(fields: &[(String, String)]) -> Vec<u8> {
    let mut block = vec![0, 0];
    for (name, value) in fields {
        number(&mut block, 0x20, 3, name.len());
        block.extend(name.bytes());
        number(&mut block, 0, 7, value.len());
        block.extend(value.bytes());
    }
    block
}

/// RFC 7541, section 5.1.
fn number(out: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let full = (1_usize << bits) - 1;
    if value < full {
        out.push(flags | value.to_le_bytes()[0]);
        return;
    }
    out.push(flags | full.to_le_bytes()[0]);
    let mut rest = value - full;
    while rest > 0x7f {
        out.push(0x80 | rest.to_le_bytes()[0]);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}
