//! Frames read from a stream of QUIC.

use bytes::{Buf, Bytes};
use quinn::RecvStream;

use crate::{
    error::SessionError,
    http3::{
        frame::FrameError,
        tlv::{Decoder, Item, Take},
    },
};

/// Most bytes taken from quinn at once.
const CHUNK: usize = 4 << 10;

/// A stream that is read frame by frame, up to so many bytes.
pub(crate) struct Frames {
    recv: RecvStream,
    name: &'static str,
    decoder: Decoder,
    unread: Bytes,
    max: u64,
    taken: u64,
}

/// What was found.
pub(crate) enum Found {
    /// A frame, whole.
    Whole(Vec<u8>),
    /// Part of a DATA frame's payload.
    Piece(Bytes),
}

impl Frames {
    /// `name` is for errors; `max` bounds what is read in the whole life of the stream.
    pub(crate) fn new(recv: RecvStream, name: &'static str, max: u64) -> Self {
        Self { recv, name, decoder: Decoder::new(), unread: Bytes::new(), max, taken: 0 }
    }

    /// The next frame, or part of one; `None` at the end of the stream. Loses nothing if it is dropped.
    pub(crate) async fn next(
        &mut self,
        mut judge: impl FnMut(u64, u64) -> Result<Take, FrameError>,
    ) -> Result<Option<Found>, SessionError> {
        loop {
            while !self.unread.is_empty() {
                let mut input = &self.unread[..];
                let found = match self.decoder.next(&mut input, &mut judge)? {
                    Some(Item::Whole(_, value)) => Some(Found::Whole(value)),
                    Some(Item::Piece(piece)) => Some(Found::Piece(self.unread.slice_ref(piece))),
                    Some(Item::Skipped(kind)) => {
                        tracing::trace!(stream = self.name, kind, "frame passed over");
                        None
                    }
                    None => None,
                };
                let left = input.len();
                self.unread.advance(self.unread.len() - left);
                if found.is_some() {
                    return Ok(found);
                }
            }
            match self.recv.read_chunk(CHUNK, true).await {
                Ok(Some(chunk)) => self.unread = chunk.bytes,
                Ok(None) if self.decoder.is_between() => return Ok(None),
                Ok(None) => return Err(FrameError::Cut.into()),
                Err(quinn::ReadError::ConnectionLost(error)) => return Err(error.into()),
                Err(_) => return Err(SessionError::CriticalStream(self.name)),
            }
            self.taken += self.unread.len() as u64;
            if self.taken > self.max {
                return Err(SessionError::Excess { stream: self.name, max: self.max });
            }
        }
    }
}
