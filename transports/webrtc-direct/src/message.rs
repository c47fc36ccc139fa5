//! Frames on a data channel: a stream of libp2p with its ends, which data channels themselves do not have.
//!
//! ```text
//! length (varint) | protobuf { 1: flag (FIN 0, STOP_SENDING 1, RESET 2, FIN_ACK 3), 2: message (bytes) }
//! ```
//! libp2p/specs, webrtc/README.md. Senders put one frame into one message of the channel; that it is so is not
//! relied on, as the bytes of js-libp2p are a stream too.

use bytes::{Buf, Bytes, BytesMut};

/// Longest frame with its length, either way.
pub(crate) const MAX_FRAME: usize = 16 << 10;

/// Longest frame of ours. go-libp2p v0.51 reads a message into a buffer of so many bytes, and breaks the stream off if
/// it is longer, unless its length comes in a message of its own as go-libp2p sends it.
const MAX_OURS: usize = 4 << 10;

/// Most bytes that a frame of ours carries: two of length, a tag, and two of length again come with them.
pub(crate) const MAX_PAYLOAD: usize = MAX_OURS - 5;

/// Fields, as protobuf numbers them, with their wire types.
const FLAG: u64 = 1 << 3;
const MESSAGE: u64 = 2 << 3 | 2;

/// What a frame says of the sender's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// The sender will send no more.
    Fin,
    /// The sender reads no more.
    StopSending,
    /// The sender has given up both.
    Reset,
    /// The sender has seen our FIN.
    FinAck,
}

impl Flag {
    fn number(self) -> u8 {
        match self {
            Self::Fin => 0,
            Self::StopSending => 1,
            Self::Reset => 2,
            Self::FinAck => 3,
        }
    }

    /// Flags that we do not know say nothing to us.
    fn of(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Fin,
            1 => Self::StopSending,
            2 => Self::Reset,
            3 => Self::FinAck,
            _ => return None,
        })
    }
}

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) flag: Option<Flag>,
    pub(crate) payload: Bytes,
}

/// A frame that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// It is longer than the specification allows.
    #[error("frame of {0} bytes, at most {MAX_FRAME}")]
    TooLong(u64),
    /// Its length, or a number in it, has too many bytes.
    #[error("a number in a frame is too long")]
    Number,
    /// It does not hold what protobuf says that it holds.
    #[error("malformed frame")]
    Malformed,
}

/// A frame with bytes of a stream, at most [`MAX_PAYLOAD`].
pub(crate) fn data(payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..MAX_PAYLOAD).unwrap_or(payload);
    let mut body = Vec::with_capacity(payload.len() + 3);
    write_varint(&mut body, MESSAGE);
    write_varint(&mut body, payload.len() as u64);
    body.extend(payload);
    framed(&body)
}

/// A frame with nothing but a flag.
pub(crate) fn flag(flag: Flag) -> Vec<u8> {
    framed(&[FLAG as u8, flag.number()])
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 2);
    write_varint(&mut out, body.len() as u64);
    out.extend(body);
    out
}

/// Reads frames out of what comes, however it is cut. Holds at most one frame and one message of the channel.
#[derive(Debug, Default)]
pub(crate) struct Decoder(BytesMut);

impl Decoder {
    /// Takes bytes in. All frames are to be taken out before the next.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next frame, if it is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let mut rest: &[u8] = &self.0;
        let before = rest.len();
        let Some(length) = read_varint(&mut rest)? else { return Ok(None) };
        let prefix = before - rest.len();
        let whole = length.saturating_add(prefix as u64);
        let whole = usize::try_from(whole).ok().filter(|whole| *whole <= MAX_FRAME);
        let whole = whole.ok_or(FrameError::TooLong(length))?;
        if before < whole {
            return Ok(None);
        }
        let mut frame = self.0.split_to(whole).freeze();
        frame.advance(prefix);
        read(frame).map(Some)
    }
}

/// Reads the protobuf message. Fields that we do not know are skipped; of those given twice, the last counts.
fn read(bytes: Bytes) -> Result<Frame, FrameError> {
    let mut frame = Frame::default();
    let mut rest: &[u8] = &bytes;
    while !rest.is_empty() {
        let tag = number(&mut rest)?;
        match tag & 7 {
            0 => {
                let value = number(&mut rest)?;
                if tag == FLAG {
                    frame.flag = Flag::of(value);
                }
            }
            1 => skip(&mut rest, 8)?,
            2 => {
                let length = number(&mut rest)?;
                let length = usize::try_from(length).map_err(|_| FrameError::Malformed)?;
                let value = rest.get(..length).ok_or(FrameError::Malformed)?;
                if tag == MESSAGE {
                    frame.payload = bytes.slice_ref(value);
                }
                rest.advance(length);
            }
            5 => skip(&mut rest, 4)?,
            _ => return Err(FrameError::Malformed),
        }
    }
    Ok(frame)
}

fn skip(rest: &mut &[u8], length: usize) -> Result<(), FrameError> {
    *rest = rest.get(length..).ok_or(FrameError::Malformed)?;
    Ok(())
}

fn number(rest: &mut &[u8]) -> Result<u64, FrameError> {
    read_varint(rest)?.ok_or(FrameError::Malformed)
}

/// `None` if it is not whole.
fn read_varint(rest: &mut &[u8]) -> Result<Option<u64>, FrameError> {
    let mut value = 0;
    for (index, byte) in rest.iter().enumerate() {
        let shift = 7 * index as u32;
        let low = u64::from(byte & 0x7f);
        if shift >= u64::BITS || (low << shift) >> shift != low {
            return Err(FrameError::Number);
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            rest.advance(index + 1);
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8], step: usize) -> Result<Vec<Frame>, FrameError> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(step) {
            decoder.push(piece);
            while let Some(frame) = decoder.next()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_written_as_protobuf_has_them() {
        assert_eq!(flag(Flag::Fin), [2, 0x08, 0]);
        assert_eq!(flag(Flag::FinAck), [2, 0x08, 3]);
        assert_eq!(data(b"ab"), [4, 0x12, 2, b'a', b'b']);
        assert_eq!(data(&[7; MAX_PAYLOAD]).len(), MAX_OURS);
    }

    #[test]
    fn flag_and_bytes_may_come_in_one_frame_and_unknown_things_are_skipped() {
        let frames = all(&[6, 0x12, 2, b'a', b'b', 0x08, 1], 100).expect("frames");
        assert_eq!(frames, [Frame { flag: Some(Flag::StopSending), payload: Bytes::from_static(b"ab") }]);
        // A flag of the future, a number of an unknown field, bytes of another.
        let frames = all(&[8, 0x08, 9, 0x18, 5, 0x22, 2, 1, 2], 100).expect("frames");
        assert_eq!(frames, [Frame::default()]);
    }

    #[test]
    fn frames_that_cannot_be_are_refused() {
        assert_eq!(all(&[0xff; 11], 100), Err(FrameError::Number));
        assert_eq!(all(&[2, 0x12, 5], 100), Err(FrameError::Malformed));
        assert_eq!(all(&[1, 0x0b], 100), Err(FrameError::Malformed));
        let mut long = Vec::new();
        write_varint(&mut long, MAX_FRAME as u64 - 1);
        assert_eq!(all(&long, 100), Err(FrameError::TooLong(MAX_FRAME as u64 - 1)));
    }

    proptest! {
        #[test]
        fn bytes_come_out_however_they_are_cut(payload in prop::collection::vec(any::<u8>(), 0..300), step in 1..40_usize) {
            let mut bytes = data(&payload);
            bytes.extend(flag(Flag::Fin));
            let frames = all(&bytes, step).expect("frames");
            prop_assert_eq!(frames.len(), 2);
            prop_assert_eq!(&frames[0].payload, &payload);
            prop_assert_eq!(frames[1].flag, Some(Flag::Fin));
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), step in 1..40_usize) {
            prop_assert_eq!(all(&bytes, step).is_ok(), all(&bytes, 400).is_ok());
        }
    }
}
