//! When to ping, when silence is too long, and how much chatter is too much.

use std::time::{Duration, Instant};

use crate::{Fault, Timeouts};

/// Base messages (pings, pongs, unknown ones) that may come at once. reth stands 5 pings.
const CHATTER: u32 = 32;
/// The time in which one more may come.
const CHATTER_INTERVAL: Duration = Duration::from_secs(1);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    /// The peer has been silent for too long.
    Silence,
}

/// The timers of an open connection.
pub(crate) struct Keepalive {
    timeouts: Timeouts,
    next_ping: Instant,
    last_frame: Instant,
    /// Base messages that may still come, as of `refilled`.
    allowance: u32,
    refilled: Instant,
}

impl Keepalive {
    pub(crate) fn new(timeouts: Timeouts, now: Instant) -> Self {
        Self { timeouts, next_ping: now + timeouts.ping, last_frame: now, allowance: CHATTER, refilled: now }
    }

    /// A whole frame came. Parts of frames do not count: a peer that drips them holds our memory.
    pub(crate) fn frame(&mut self, now: Instant) {
        self.last_frame = self.last_frame.max(now);
    }

    /// A frame of the base protocol came.
    pub(crate) fn chatter(&mut self, now: Instant) -> Result<(), Fault> {
        let earned = now.saturating_duration_since(self.refilled).as_secs() / CHATTER_INTERVAL.as_secs();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.allowance = self.allowance.saturating_add(earned).min(CHATTER);
            self.refilled += CHATTER_INTERVAL.saturating_mul(earned);
        }
        self.allowance = self.allowance.checked_sub(1).ok_or(Fault::Flood)?;
        Ok(())
    }

    /// What is due at `now`; a ping is due once.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        if now >= self.last_frame + self.timeouts.silence {
            return Due::Silence;
        }
        if now < self.next_ping {
            return Due::Nothing;
        }
        self.next_ping = now + self.timeouts.ping;
        Due::Ping
    }

    /// When something will be due.
    pub(crate) fn next(&self) -> Instant {
        self.next_ping.min(self.last_frame + self.timeouts.silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pings_each_interval_whatever_else_goes_on() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Timeouts::default(), start);
        assert_eq!(keepalive.next(), start + 15 * SECOND);
        assert_eq!(keepalive.due(start + 14 * SECOND), Due::Nothing);

        keepalive.frame(start + 14 * SECOND);

        assert_eq!(keepalive.due(start + 15 * SECOND), Due::Ping);
        assert_eq!(keepalive.due(start + 15 * SECOND), Due::Nothing);
        assert_eq!(keepalive.next(), start + 30 * SECOND);
    }

    #[test]
    fn silence_is_due_when_no_frame_came() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Timeouts::default(), start);
        for seconds in [15, 30] {
            assert_eq!(keepalive.due(start + seconds * SECOND), Due::Ping);
        }

        assert_eq!(keepalive.due(start + 45 * SECOND), Due::Silence);
    }

    #[test]
    fn chatter_is_allowed_in_a_burst_and_then_by_the_second() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Timeouts::default(), start);
        for _ in 0..CHATTER {
            assert_eq!(keepalive.chatter(start), Ok(()));
        }
        assert_eq!(keepalive.chatter(start), Err(Fault::Flood));

        assert_eq!(keepalive.chatter(start + 2 * SECOND), Ok(()));
        assert_eq!(keepalive.chatter(start + 2 * SECOND), Ok(()));
        assert_eq!(keepalive.chatter(start + 2 * SECOND), Err(Fault::Flood));
    }

    #[test]
    fn a_long_pause_earns_no_more_than_a_burst() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Timeouts::default(), start);
        let later = start + 3600 * SECOND;
        let allowed = (0..1000).take_while(|_| keepalive.chatter(later).is_ok()).count();

        assert_eq!(allowed, CHATTER as usize);
    }
}
