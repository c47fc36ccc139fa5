//! What time it is: the machine's clock, or one that is moved by hand.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::future::BoxFuture;
use tokio::sync::watch;

/// Tells the time by which certificates are served and rolled.
pub trait Clock: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> SystemTime;

    /// Ends when [`now`](Self::now) may have come to `time`. Ending early is allowed: callers look again.
    fn until(&self, time: SystemTime) -> BoxFuture<'static, ()>;
}

/// Longest sleep without a look at the clock: it may be set, and machines are suspended.
const LOOK: Duration = Duration::from_secs(600);

/// Shortest sleep, so that a clock which stands still keeps nobody busy.
const PAUSE: Duration = Duration::from_secs(1);

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn until(&self, time: SystemTime) -> BoxFuture<'static, ()> {
        let left = time.duration_since(self.now()).unwrap_or_default();
        Box::pin(tokio::time::sleep(left.clamp(PAUSE, LOOK)))
    }
}

/// A clock that stands still until it is set. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<watch::Sender<SystemTime>>);

impl ManualClock {
    /// A clock that shows `time`.
    pub fn new(time: SystemTime) -> Self {
        Self(Arc::new(watch::Sender::new(time)))
    }

    /// Sets it.
    pub fn set(&self, time: SystemTime) {
        self.0.send_replace(time);
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|time| *time += by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.0.borrow()
    }

    fn until(&self, time: SystemTime) -> BoxFuture<'static, ()> {
        let mut shown = self.0.subscribe();
        Box::pin(async move {
            let there = *shown.borrow_and_update() >= time;
            if !there && shown.changed().await.is_err() {
                std::future::pending().await // nobody is left who could set it
            }
        })
    }
}
