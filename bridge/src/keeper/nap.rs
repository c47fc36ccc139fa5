//! Notices that time jumped: a tick that comes far too late says that we slept.

use std::time::{Duration, Instant, SystemTime};

/// A tick that comes so much later than it should says that we slept. A busy machine is late too, but less.
const LATE: Duration = Duration::from_secs(4);

/// The clocks at the last tick. The monotonic one stands still while a machine is suspended and goes on while a
/// process is stopped; the wall clock goes on in both cases, and may be set. So either may tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naps {
    interval: Duration,
    last: (Instant, SystemTime),
}

impl Naps {
    /// A tick is due each `interval`.
    pub(super) fn new(interval: Duration, now: Instant, wall: SystemTime) -> Self {
        Self { interval, last: (now, wall) }
    }

    /// The tick came; how long we slept, if we did.
    pub(super) fn tick(&mut self, now: Instant, wall: SystemTime) -> Option<Duration> {
        let (last, last_wall) = std::mem::replace(&mut self.last, (now, wall));
        let monotonic = now.saturating_duration_since(last);
        let by_wall = wall.duration_since(last_wall).unwrap_or_default(); // set back: says nothing
        let passed = monotonic.max(by_wall);
        (passed > self.interval + LATE).then(|| passed - self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(2);

    #[test]
    fn either_clock_tells_of_sleep() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let minutes = Duration::from_secs(300);

        let mut stopped = Naps::new(TICK, start, wall);
        let mut suspended = stopped;
        let mut awake = stopped;

        assert_eq!(stopped.tick(start + minutes, wall + minutes), Some(minutes - TICK));
        assert_eq!(suspended.tick(start + TICK, wall + minutes), Some(minutes - TICK));
        assert_eq!(awake.tick(start + TICK + LATE, wall + TICK), None);
        assert_eq!(awake.tick(start + 2 * TICK + LATE, wall - minutes), None, "the clock was set back");
    }
}
