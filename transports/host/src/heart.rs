//! The heartbeat of one connection, shared by the task that beats and by whoever looks at it or changes its interval.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use causeway_wire::{Heartbeat, heartbeat};
use futures::task::AtomicWaker;
use libp2p::swarm::ConnectionId;

/// Cheap to clone; all clones are of one connection. The default is that of no connection: nobody beats.
#[derive(Clone, Debug, Default)]
pub struct Heart {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    beat: Mutex<Heartbeat>,
    /// Of the task that beats.
    waker: AtomicWaker,
}

impl Heart {
    /// Pings go out at this interval from now on, or at the nearest that is allowed.
    pub fn set_interval(&self, interval: Duration) {
        self.lock().interval = heartbeat::clamped(interval);
        self.inner.waker.wake();
    }

    /// What is known at present.
    pub fn read(&self) -> Heartbeat {
        *self.lock()
    }

    /// For the task that beats: waits until the interval is another than `current`, and returns it. Only one may
    /// wait at a time.
    pub async fn changed(&self, current: Duration) -> Duration {
        poll_fn(|cx| self.poll_changed(cx, current)).await
    }

    /// For the task that beats: what it found out. The interval is left as it is.
    pub fn publish(&self, found: Heartbeat) {
        let mut beat = self.lock();
        *beat = Heartbeat { interval: beat.interval, ..found };
    }

    pub(crate) fn poll_changed(&self, cx: &mut Context<'_>, current: Duration) -> Poll<Duration> {
        self.inner.waker.register(cx.waker());
        match self.lock().interval {
            interval if interval == current => Poll::Pending,
            interval => Poll::Ready(interval),
        }
    }

    pub(crate) fn answered(&self, took: Duration) {
        self.lock().answered(took);
    }

    /// Counts a miss; how many there are in a row.
    pub(crate) fn miss(&self) -> u32 {
        let mut beat = self.lock();
        beat.miss();
        beat.missed
    }

    fn lock(&self) -> MutexGuard<'_, Heartbeat> {
        self.inner.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hearts of a swarm's connections. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hearts {
    hearts: Arc<Mutex<BTreeMap<ConnectionId, Heart>>>,
}

impl Hearts {
    /// That of a connection, whoever asks first.
    pub(crate) fn of(&self, connection: ConnectionId) -> Heart {
        self.lock().entry(connection).or_default().clone()
    }

    /// Of the only connection there is.
    #[cfg(test)]
    pub(crate) fn only(&self) -> Heart {
        let hearts = self.lock();
        let mut all = hearts.values();
        let (Some(only), None) = (all.next(), all.next()) else { panic!("not one connection: {hearts:?}") };
        only.clone()
    }

    /// The connection is gone.
    pub(crate) fn forget(&self, connection: ConnectionId) {
        self.lock().remove(&connection);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Heart>> {
        self.hearts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_beats_is_told_of_another_interval() {
        let heart = Heart::default();
        let beating = heart.clone();
        let told = tokio::spawn(async move { beating.changed(heartbeat::DEFAULT).await });
        tokio::task::yield_now().await;

        heart.set_interval(Duration::from_secs(60));

        assert_eq!(told.await.expect("no panic"), Duration::from_secs(60));
        assert_eq!(heart.changed(Duration::from_secs(60)).now_or_never(), None);
    }

    #[test]
    fn what_is_found_out_does_not_undo_an_interval_set_meanwhile() {
        let heart = Heart::default();
        let mut found = heart.read();
        found.answered(Duration::from_millis(7));
        heart.set_interval(Duration::MAX);

        heart.publish(found);

        assert_eq!(heart.read(), Heartbeat { interval: heartbeat::LONGEST, ..found });
    }
}
