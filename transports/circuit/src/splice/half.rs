//! One direction of a circuit.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};

use super::buffer::{BUFFER, Buffer};

/// Bytes after which others of the same task get their turn.
const TURN: u64 = 16 * BUFFER as u64;

/// What a direction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is woken when there is more.
    Waiting,
    /// There is more already, but it was others' turn.
    More,
    /// The end was passed on.
    Done,
    /// More came than may go through.
    Over,
    /// One of the streams is broken.
    Broken,
}

#[derive(Debug)]
pub(super) struct Half {
    /// Bytes that may still go through.
    left: Option<u64>,
    state: State,
    /// Nothing comes after what is held.
    ended: bool,
    /// Written since it was flushed.
    dirty: bool,
}

#[derive(Debug)]
enum State {
    Reading,
    /// Bytes that are read and not yet taken.
    Held {
        buffer: Buffer,
        from: usize,
        to: usize,
    },
    Closing,
    Closed,
}

impl Half {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { left: limit, state: State::Reading, ended: false, dirty: false }
    }

    /// Moves what can be moved now. Also how many bytes the receiver took.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        from: &mut S,
        to: &mut S,
        cx: &mut Context<'_>,
    ) -> (Step, u64) {
        let mut moved = 0;
        let step = loop {
            if moved >= TURN {
                break Step::More;
            }
            let polled = match &mut self.state {
                State::Reading => self.read(from, to, cx),
                State::Held { buffer, from, to: end } => {
                    match Pin::new(&mut *to).poll_write(cx, &buffer.bytes()[*from..*end]) {
                        Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(Step::Broken)),
                        Poll::Ready(Ok(written)) => {
                            moved += written as u64;
                            self.dirty = true;
                            *from += written;
                            if *from >= *end {
                                self.state = if self.ended { State::Closing } else { State::Reading };
                            }
                            Poll::Ready(Ok(()))
                        }
                        Poll::Pending => Poll::Pending,
                    }
                }
                State::Closing => match Pin::new(&mut *to).poll_close(cx) {
                    Poll::Ready(Ok(())) => {
                        self.state = State::Closed;
                        Poll::Ready(Ok(()))
                    }
                    Poll::Ready(Err(_)) => Poll::Ready(Err(Step::Broken)),
                    Poll::Pending => Poll::Pending,
                },
                State::Closed => Poll::Ready(Err(Step::Done)),
            };
            match polled {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(step)) => break step,
                Poll::Pending => break Step::Waiting,
            }
        };
        (step, moved)
    }

    /// Fills a buffer with all that is there: the fewer writes, the fewer frames and packets.
    fn read<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        from: &mut S,
        to: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Step>> {
        let mut buffer = Buffer::lend();
        let mut filled = 0;
        while filled < BUFFER {
            // Beyond the limit one byte shows whether this is the end.
            let room = match self.left {
                Some(0) if filled > 0 => break,
                Some(left) => usize::try_from(left).unwrap_or(BUFFER).clamp(1, BUFFER - filled),
                None => BUFFER - filled,
            };
            let free = buffer.bytes_mut().get_mut(filled..filled + room).unwrap_or_default();
            match Pin::new(&mut *from).poll_read(cx, free) {
                Poll::Ready(Ok(0)) => {
                    self.ended = true;
                    break;
                }
                // Found again by the next read, when what came before is written.
                Poll::Pending | Poll::Ready(Err(_)) if filled > 0 => break,
                Poll::Ready(Ok(read)) => {
                    let read = read.min(room);
                    match self.left.map(|left| left.checked_sub(read as u64)) {
                        Some(None) => return Poll::Ready(Err(Step::Over)),
                        left => self.left = left.flatten(),
                    }
                    filled += read;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Step::Broken)),
                Poll::Pending => return self.flush(to, cx),
            }
        }
        if filled > 0 {
            self.state = State::Held { buffer, from: 0, to: filled };
        } else if self.ended {
            self.state = State::Closing;
        }
        Poll::Ready(Ok(()))
    }

    /// With nothing to read now, what was written has to go out.
    fn flush<S: AsyncWrite + Unpin>(&mut self, to: &mut S, cx: &mut Context<'_>) -> Poll<Result<(), Step>> {
        if self.dirty {
            match Pin::new(to).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.dirty = false,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Step::Broken)),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}
