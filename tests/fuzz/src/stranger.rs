//! A stream whose other end says what the fuzzer likes.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};

/// What a stranger says, and how. Nothing of it is given back while memory is counted.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Said at once.
    pub(crate) before: Vec<u8>,
    /// Said once there is an answer, or once one is waited for in vain.
    pub(crate) after: Vec<u8>,
    /// Lengths of the pieces, which repeat.
    cuts: [u8; 3],
    /// Bytes that are taken of us; then nothing is read any more.
    room: usize,
    answered: AtomicBool,
    taken: AtomicUsize,
    stalled: AtomicBool,
}

impl Script {
    pub(crate) fn new(cuts: [u8; 3], room: usize) -> Self {
        Self { cuts, room, ..Self::default() }
    }

    /// Whether we have said more than the stranger reads.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    /// How often a reader waits at most.
    pub(crate) fn waits(&self) -> usize {
        self.before.len() + self.after.len() + 8
    }
}

/// The stream; it waits before every piece, and ends after the last.
#[derive(Debug)]
pub(crate) struct Stranger {
    script: Arc<Script>,
    said: usize,
    pieces: usize,
    has_waited: bool,
    asked_again: bool,
}

impl Stranger {
    pub(crate) fn new(script: &Arc<Script>) -> Self {
        Self { script: Arc::clone(script), said: 0, pieces: 0, has_waited: false, asked_again: false }
    }

    /// The next bytes; `None` while an answer is waited for.
    fn piece(&self) -> Option<&[u8]> {
        let Script { before, after, cuts, answered, .. } = &*self.script;
        let rest = match self.said.checked_sub(before.len()) {
            None => &before[self.said..],
            Some(0) if !self.asked_again && !answered.load(Relaxed) => return None,
            Some(said) => &after[said..],
        };
        // Long streams come in pieces that are not too many.
        let length = (usize::from(cuts[self.pieces % cuts.len()]) * 16 + 1).max(after.len() / 1024);
        Some(&rest[..length.min(rest.len())])
    }
}

impl AsyncRead for Stranger {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.has_waited, true) {
            return Poll::Pending;
        }
        let Some(piece) = self.piece() else {
            self.asked_again = true;
            return Poll::Pending;
        };
        let length = piece.len().min(buf.len());
        buf[..length].copy_from_slice(&piece[..length]);
        self.said += length;
        self.pieces += 1;
        self.has_waited = length == 0; // the end is said again without waiting
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Stranger {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let script = &self.script;
        script.answered.store(true, Relaxed);
        let length = buf.len().min(script.room - script.taken.load(Relaxed));
        if length == 0 && !buf.is_empty() {
            script.stalled.store(true, Relaxed);
            return Poll::Pending;
        }
        script.taken.fetch_add(length, Relaxed);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
