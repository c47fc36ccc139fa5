//! RESET_STREAM_AT made into RESET_STREAM, in the decrypted payload of a packet.
//!
//! ```text
//! RESET_STREAM_AT (0x24): stream | code | final size | reliable size     all varints
//! RESET_STREAM    (0x04): stream | code | final size
//! ```
//! draft-ietf-quic-reliable-stream-reset. A sender promises with it that the first `reliable size` bytes of
//! the stream still arrive. quinn knows the frame as little as it knows the promise, so the promise is
//! dropped: what was not read before the reset is lost, as with any reset before draft 15 of WebTransport.
//! The room of the fourth number becomes PADDING.
//!
//! Every frame of RFC 9000 has to be walked over to find these. A frame that is not known (or cut, or that
//! breaks its rules) ends the walk: quinn, which reads the same bytes next, ends the connection then.

use crate::varint;

const PADDING: u8 = 0x00;
const RESET_STREAM: u8 = 0x04;

/// Changes each RESET_STREAM_AT in `payload`; gives how many there were before the walk ended.
pub(crate) fn rewrite(payload: &mut [u8]) -> usize {
    let (mut at, mut changed) = (0, 0);
    while let Some(frame) = walk(payload, &mut at) {
        let Frame::ResetStreamAt { start, reliable } = frame else { continue };
        if let Some(kind) = payload.get_mut(start) {
            *kind = RESET_STREAM;
        }
        if let Some(size) = payload.get_mut(reliable..at) {
            size.fill(PADDING);
        }
        changed += 1;
    }
    changed
}

enum Frame {
    /// Where it starts, and where its reliable size does.
    ResetStreamAt {
        start: usize,
        reliable: usize,
    },
    Other,
}

/// The frame at `at`, which is moved behind it; `None` at the end of what can be walked.
fn walk(payload: &[u8], at: &mut usize) -> Option<Frame> {
    let start = *at;
    let kind = varint(payload, at)?;
    match kind {
        0x00 | 0x01 | 0x1e | 0x1f => {} // PADDING, PING, HANDSHAKE_DONE, IMMEDIATE_ACK
        0x02 | 0x03 => {
            skip(payload, at, 2)?; // ACK: largest, delay
            let ranges = varint(payload, at)?;
            let counts = if kind == 0x03 { 3 } else { 0 }; // of ECN
            skip(payload, at, ranges.checked_mul(2)?.checked_add(1 + counts)?)?;
        }
        0x04 => skip(payload, at, 3)?,               // RESET_STREAM
        0x05 | 0x11 | 0x15 => skip(payload, at, 2)?, // STOP_SENDING, MAX_STREAM_DATA, STREAM_DATA_BLOCKED
        0x06 => {
            skip(payload, at, 1)?; // CRYPTO: offset
            data(payload, at)?;
        }
        0x07 | 0x31 => data(payload, at)?, // NEW_TOKEN, DATAGRAM with its length
        0x08..=0x0f => {
            skip(payload, at, 1 + u64::from(kind & 4 != 0))?; // STREAM: id, offset
            if kind & 2 == 0 {
                return None; // up to the end of the packet
            }
            data(payload, at)?;
        }
        // MAX_DATA, MAX_STREAMS, DATA_BLOCKED, STREAMS_BLOCKED, RETIRE_CONNECTION_ID
        0x10 | 0x12..=0x14 | 0x16 | 0x17 | 0x19 => skip(payload, at, 1)?,
        0x18 => {
            skip(payload, at, 2)?; // NEW_CONNECTION_ID: number, retired before
            let length = usize::from(*payload.get(*at)?);
            bytes(payload, at, 1 + length + 16)?;
        }
        0x1a | 0x1b => bytes(payload, at, 8)?, // PATH_CHALLENGE, PATH_RESPONSE
        0x1c => {
            skip(payload, at, 2)?; // CONNECTION_CLOSE: code, frame
            data(payload, at)?;
        }
        0x1d => {
            skip(payload, at, 1)?; // CONNECTION_CLOSE of the application: code
            data(payload, at)?;
        }
        // Only as one byte, as RFC 9000 demands of types; in a longer form there is no room to change it.
        0x24 if *at - start == 1 => {
            skip(payload, at, 2)?;
            let size = varint(payload, at)?;
            let reliable = *at;
            if varint(payload, at)? > size {
                return None; // FRAME_ENCODING_ERROR, says the draft, and quinn says so of 0x24
            }
            return Some(Frame::ResetStreamAt { start, reliable });
        }
        0xaf => skip(payload, at, 4)?, // ACK_FREQUENCY, two bytes long
        _ => return None,              // DATAGRAM to the end of the packet, or not known
    }
    Some(Frame::Other)
}

fn varint(payload: &[u8], at: &mut usize) -> Option<u64> {
    let (value, len) = varint::read(payload.get(*at..)?)?;
    *at += len;
    Some(value)
}

fn skip(payload: &[u8], at: &mut usize, varints: u64) -> Option<()> {
    (0..varints).try_for_each(|_| varint(payload, at).map(drop))
}

/// A length and as many bytes.
fn data(payload: &[u8], at: &mut usize) -> Option<()> {
    let len = usize::try_from(varint(payload, at)?).ok()?;
    bytes(payload, at, len)
}

fn bytes(payload: &[u8], at: &mut usize, len: usize) -> Option<()> {
    *at = at.checked_add(len).filter(|end| *end <= payload.len())?;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reset_stream_at_becomes_reset_stream_and_padding() {
        // PING, STREAM 4 with two bytes that look like the frame, the frame, PING.
        let mut payload = [1, 0x0a, 4, 2, 0x24, 0x24, 0x24, 8, 0x40, 0x41, 0x52, 0x34, 0x40, 3, 1];
        assert_eq!(rewrite(&mut payload), 1);
        assert_eq!(payload, [1, 0x0a, 4, 2, 0x24, 0x24, 0x04, 8, 0x40, 0x41, 0x52, 0x34, 0, 0, 1]);
    }

    #[test]
    fn it_is_found_behind_every_other_frame() {
        let frames: [&[u8]; 21] = [
            &[0, 0, 0],
            &[0x02, 9, 1, 1, 0, 1, 1],
            &[0x03, 9, 1, 0, 0, 1, 2, 3],
            &[0x04, 8, 0, 5],
            &[0x05, 8, 0],
            &[0x06, 0, 2, 0x24, 0x24],
            &[0x07, 2, 0x24, 0x24],
            &[0x0a, 8, 1, 0x24],
            &[0x0f, 8, 5, 1, 0x24],
            &[0x10, 9],
            &[0x11, 8, 9],
            &[0x12, 9],
            &[0x14, 9],
            &[0x15, 8, 9],
            &[0x17, 9],
            &[0x18, 2, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x19, 1],
            &[0x1a, 0x24, 0x24, 0x24, 0x24, 0x24, 0x24, 0x24, 0x24],
            &[0x1c, 1, 0, 1, 0x24],
            &[0x31, 2, 0x24, 0x24],
            &[0x40, 0xaf, 1, 2, 3, 4],
        ];
        for frame in frames {
            let mut payload = [frame, &[0x24, 8, 0, 5, 5]].concat();
            assert_eq!(rewrite(&mut payload), 1, "behind {:#x}", frame[0]);
            assert_eq!(payload, [frame, &[0x04, 8, 0, 5, 0]].concat());
        }
        let mut all = frames.map(|frame| [frame, &[0x24, 8, 0, 5, 5]].concat()).concat();
        assert_eq!(rewrite(&mut all), frames.len());
    }

    #[test]
    fn what_breaks_the_rules_is_left_for_quinn_to_refuse() {
        let payloads: [&[u8]; 6] = [
            &[0x24, 8, 1],                   // cut
            &[0x24, 8, 0, 5, 6],             // more reliable bytes than there are
            &[0x40, 0x24, 8, 0, 5, 5],       // a type in two bytes
            &[0x08, 4, 0x24, 8, 0, 5, 5],    // data to the end of the packet
            &[0x30, 0x24, 8, 0, 5, 5],       // a datagram to the end of the packet
            &[0x40, 0xff, 0x24, 8, 0, 5, 5], // not known
        ];
        for payload in payloads {
            let mut changed = payload.to_vec();
            assert_eq!(rewrite(&mut changed), 0);
            assert_eq!(changed, payload);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_do_not_panic_and_change_once(bytes in prop::collection::vec(0_u8..0x40, 0..200)) {
            let mut changed = bytes.clone();
            rewrite(&mut changed);
            let once = changed.clone();
            prop_assert_eq!(changed.len(), bytes.len());
            prop_assert_eq!(rewrite(&mut changed), 0);
            prop_assert_eq!(changed, once);
        }

        #[test]
        fn all_bytes_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            rewrite(&mut bytes);
        }
    }
}
