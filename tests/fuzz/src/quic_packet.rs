//! The payload of a QUIC packet, in which one kind of frame is made into another.

use webtransport::fuzzing::packet;

use crate::{pieces::Pieces, varint::varint};

const PADDING: u8 = 0x00;
const RESET_STREAM: u8 = 0x04;
const RESET_STREAM_AT: u8 = 0x24;

/// Frames of one packet.
const MOST_FRAMES: usize = 400;

/// ```text
/// form(1), then
/// 0: a payload   1: frames: kind(1) numbers(4) lengths(1) data(sized by a byte)
/// ```
/// A payload keeps its length, is changed once and no second time, and only from a RESET_STREAM_AT to a
/// RESET_STREAM and PADDING. Where frames keep their rules, exactly those are changed.
pub fn quic_packet(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    if pieces.byte() % 2 == 0 {
        rewritten(pieces.rest());
        return;
    }
    let (mut payload, mut expected, mut resets, mut last) = (Vec::new(), Vec::new(), 0, false);
    for _ in 0..MOST_FRAMES {
        if pieces.is_empty() {
            break;
        }
        let frame = frame(&mut pieces);
        if let (Frame::Reset(_, after), false) = (&frame, last) {
            resets += 1;
            expected.extend_from_slice(after);
        } else {
            expected.extend_from_slice(frame.bytes());
        }
        payload.extend_from_slice(frame.bytes());
        last |= matches!(frame, Frame::Last(_));
    }
    let (changed, count) = rewritten(&payload);
    assert_eq!((changed, count), (expected, resets), "of {payload:02x?}");
}

fn rewritten(payload: &[u8]) -> (Vec<u8>, usize) {
    let mut changed = payload.to_vec();
    let count = packet(&mut changed);
    assert_eq!(changed.len(), payload.len());
    let mut kinds = 0;
    for (before, after) in payload.iter().zip(&changed).filter(|(before, after)| before != after) {
        match (*before, *after) {
            (RESET_STREAM_AT, RESET_STREAM) => kinds += 1,
            (_, PADDING) => {}
            other => panic!("{other:02x?} in {payload:02x?}"),
        }
    }
    assert_eq!(kinds, count, "{payload:02x?}");
    let mut again = changed.clone();
    assert_eq!((packet(&mut again), &again), (0, &changed), "a frame is changed twice");
    (changed, count)
}

enum Frame {
    /// As it comes, and as it is to be.
    Reset(Vec<u8>, Vec<u8>),
    /// Not changed.
    Other(Vec<u8>),
    /// Not changed, nor is what follows: it takes all of the packet, or breaks a rule.
    Last(Vec<u8>),
}

impl Frame {
    fn bytes(&self) -> &[u8] {
        let (Self::Reset(bytes, _) | Self::Other(bytes) | Self::Last(bytes)) = self;
        bytes
    }
}

/// RFC 9000, section 19, and the extensions that quinn knows.
fn frame(pieces: &mut Pieces<'_>) -> Frame {
    let [kind, a, b, c, d, longer] = pieces.array();
    let length = usize::from(pieces.byte());
    let data = pieces.take(length);
    // Numbers of every size, in encodings of every length.
    let number = |byte: u8, at: u8| varint(u64::from(byte) << (byte % 54), longer >> (2 * at));
    let (one, two, three) = (number(a, 0), number(b, 1), number(c, 2));
    let sized = [varint(data.len() as u64, longer >> 6), data.to_vec()].concat();
    let frame = |kind: u8, parts: &[&[u8]]| Frame::Other([&[kind][..], &parts.concat()].concat());
    match kind % 24 {
        0 | 1 => {
            let size = u64::from(c) << (c % 54);
            let at = varint(size / 255 * u64::from(d), longer >> 6);
            let numbers = [&one[..], &two, &three].concat();
            let padding = vec![PADDING; at.len()];
            Frame::Reset(
                [&[RESET_STREAM_AT][..], &numbers, &at].concat(),
                [&[RESET_STREAM][..], &numbers, &padding].concat(),
            )
        }
        2 => frame(PADDING, &[]),
        3 => frame([0x01, 0x1e, 0x1f][usize::from(a % 3)], &[]),
        4 => {
            frame(0x02, &[&one, &two, &varint(u64::from(d % 3), 0), &three, &vec![1; 2 * usize::from(d % 3)]])
        }
        5 => frame(
            0x03,
            &[&one, &two, &varint(u64::from(d % 3), 0), &three, &vec![1; 2 * usize::from(d % 3) + 3]],
        ),
        6 => frame(RESET_STREAM, &[&one, &two, &three]),
        7 => frame(0x05, &[&one, &two]),
        8 => frame(0x06, &[&one, &sized]),
        9 => frame(0x07, &[&sized]),
        10 => frame(0x0a | a & 1, &[&two, &sized]),
        11 => frame(0x0e | a & 1, &[&two, &three, &sized]),
        12 => frame([0x10, 0x12, 0x13, 0x14, 0x16, 0x17, 0x19][usize::from(a % 7)], &[&two]),
        13 => frame([0x11, 0x15][usize::from(a % 2)], &[&two, &three]),
        14 => {
            let id = &data[..data.len().min(20)];
            frame(0x18, &[&one, &two, &[id.len().to_le_bytes()[0]], id, &[RESET_STREAM_AT; 16]])
        }
        15 => frame(0x1a | a & 1, &[&[RESET_STREAM_AT; 8]]),
        16 => frame(0x1c, &[&one, &two, &sized]),
        17 => frame(0x1d, &[&one, &sized]),
        18 => frame(0x31, &[&sized]),
        19 => Frame::Other([&[0x40, 0xaf][..], &one, &two, &three, &number(d, 3)].concat()),
        20 => Frame::Last([&[0x08 | a & 5][..], data].concat()), // STREAM to the end of the packet
        21 => Frame::Last([&[0x30][..], data].concat()),         // DATAGRAM to the end of the packet
        22 => Frame::Last([&[0x20 + a % 4][..], data].concat()), // not known
        // More reliable bytes than bytes.
        _ => Frame::Last(
            [&[RESET_STREAM_AT][..], &one, &two, &varint(c.into(), 0), &varint(256 + u64::from(d), 0)]
                .concat(),
        ),
    }
}
