//! Two streams as one: what comes out of one goes into the other, both ways, within limits.
//!
//! An open circuit that is idle holds no buffer: bytes are read into one that all circuits of a thread
//! share. A side that does not take them all keeps that buffer until it did, and the thread makes
//! itself a new one. So a circuit holds 32 KiB for each direction that is stalled and nothing otherwise.

mod buffer;
mod half;
#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite, FutureExt};
use tokio::time::{Instant, Sleep};

use self::half::{Half, Step};
use crate::{
    CircuitEnd, CircuitLimit,
    meter::{Meter, Way},
    pacer::Pacer,
};

/// What a circuit may take.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) limit: CircuitLimit,
    pub(crate) idle: Duration,
    pub(crate) pacer: Option<Pacer>,
}

/// An open circuit; done when it is over. Dropping it, or the end of it for any other reason than
/// [`CircuitEnd::Done`], resets both streams.
#[derive(Debug)]
pub(crate) struct Splice<S> {
    source: S,
    destination: S,
    forth: Half,
    back: Half,
    meter: Arc<Meter>,
    pacer: Option<Pacer>,
    /// Fires at the deadline, or earlier to see whether anything moves.
    look: Pin<Box<Sleep>>,
    deadline: Option<Instant>,
    idle: Duration,
    /// Bytes when it was looked at last.
    seen: u64,
    /// Set while the pacer holds us back.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Splice<S> {
    pub(crate) fn new(source: S, destination: S, terms: &Terms, meter: Arc<Meter>) -> Self {
        let now = Instant::now();
        let deadline = terms.limit.time.and_then(|time| now.checked_add(time));
        let mut splice = Self {
            source,
            destination,
            forth: Half::new(terms.limit.bytes),
            back: Half::new(terms.limit.bytes),
            meter,
            pacer: terms.pacer.clone(),
            look: Box::pin(tokio::time::sleep(Duration::ZERO)),
            deadline,
            idle: terms.idle,
            seen: 0,
            pause: None,
        };
        splice.look_later(now);
        splice
    }

    /// Looks again when the circuit may have been idle for long enough, or has to end.
    fn look_later(&mut self, now: Instant) {
        let idle = now.checked_add(self.idle);
        let next = idle.into_iter().chain(self.deadline).min();
        // Without a limit on anything, once a year.
        let next = next.unwrap_or(now + Duration::from_secs(365 * 24 * 60 * 60));
        self.look.as_mut().reset(next);
    }

    /// Whether time is up.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<CircuitEnd> {
        while self.look.poll_unpin(cx).is_ready() {
            let now = Instant::now();
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(CircuitEnd::TimeLimit);
            }
            let bytes = self.meter.read().total();
            if bytes == self.seen {
                return Poll::Ready(CircuitEnd::Idle);
            }
            self.seen = bytes;
            self.look_later(now);
        }
        Poll::Pending
    }

    /// Whether bytes may go through now.
    fn poll_pace(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pacer) = &self.pacer else { return Poll::Ready(()) };
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.poll_unpin(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            match pacer.wait(Instant::now().into_std()) {
                Some(wait) => self.pause = Some(Box::pin(tokio::time::sleep(wait))),
                None => return Poll::Ready(()),
            }
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<CircuitEnd> {
        if self.poll_pace(cx).is_pending() {
            return Poll::Pending;
        }
        let (forth, there) = self.forth.poll(&mut self.source, &mut self.destination, cx);
        let (back, here) = self.back.poll(&mut self.destination, &mut self.source, cx);
        self.count(there, here);
        match (forth, back) {
            (Step::Over, _) | (_, Step::Over) => Poll::Ready(CircuitEnd::ByteLimit),
            (Step::Broken, _) | (_, Step::Broken) => Poll::Ready(CircuitEnd::Broken),
            (Step::Done, Step::Done) => Poll::Ready(CircuitEnd::Done),
            (Step::More, _) | (_, Step::More) => {
                // Others of the same task come first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (Step::Waiting | Step::Done, Step::Waiting | Step::Done) => Poll::Pending,
        }
    }

    fn count(&self, there: u64, here: u64) {
        for (way, bytes) in [(Way::Forth, there), (Way::Back, here)] {
            if bytes > 0 {
                self.meter.add(way, bytes);
            }
        }
        if let Some(pacer) = self.pacer.as_ref().filter(|_| there + here > 0) {
            pacer.charge(there + here, Instant::now().into_std());
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Splice<S> {
    type Output = CircuitEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CircuitEnd> {
        let this = self.get_mut();
        // Time first: a circuit that always has bytes ends as well.
        if let Poll::Ready(end) = this.poll_time(cx) {
            return Poll::Ready(end);
        }
        this.poll_bytes(cx)
    }
}
