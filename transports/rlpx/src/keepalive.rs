//! When to ping, when silence is too long, how long answers take, and how much chatter is too much.

use std::time::{Duration, Instant};

use causeway_wire::{Heartbeat, heartbeat};

use crate::{Fault, Timeouts};

/// Base messages (pings, pongs, unknown ones) that may come at once. reth stands 5 pings.
const CHATTER: u32 = 32;
/// The time in which one more may come.
const CHATTER_INTERVAL: Duration = Duration::from_secs(1);

/// Pings in a row without any frame from the peer after which it counts as silent.
const MAX_MISSED: u32 = 2;

/// Pings whose answers are still awaited when the next is sent; further ones are not told apart.
const MAX_OWED: u32 = 64;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    /// The peer has been silent for too long.
    Silence,
}

/// The timers of an open connection.
///
/// Pings go out at each interval. A peer of which no frame came for an interval and the time of an answer has missed
/// one; it is pinged once more, and is silent after another such time. That is counted from when the ping could go out:
/// a process that slept does not blame its peers.
pub(crate) struct Keepalive {
    /// Longest time for an answer.
    patience: Duration,
    next_ping: Instant,
    /// When the peer will have missed a ping (one more), unless a frame comes.
    next_miss: Instant,
    /// The newest ping, until it is answered or its answer can no longer be timed.
    asked: Option<Instant>,
    /// Answers that come before that of `asked`.
    owed: u32,
    heartbeat: Heartbeat,
    /// Base messages that may still come, as of `refilled`.
    allowance: u32,
    refilled: Instant,
}

impl Keepalive {
    pub(crate) fn new(timeouts: Timeouts, now: Instant) -> Self {
        let mut keepalive = Self {
            patience: timeouts.silence.saturating_sub(timeouts.ping) / MAX_MISSED,
            next_ping: now + timeouts.ping,
            next_miss: now,
            asked: None,
            owed: 0,
            heartbeat: Heartbeat { interval: timeouts.ping, ..Heartbeat::default() },
            allowance: CHATTER,
            refilled: now,
        };
        keepalive.frame(now);
        keepalive
    }

    /// Pings at another interval from now on; what was missed before is forgiven.
    pub(crate) fn set_interval(&mut self, interval: Duration, now: Instant) {
        self.heartbeat.interval = heartbeat::clamped(interval);
        self.next_ping = now + self.heartbeat.interval;
        self.frame(now);
    }

    pub(crate) fn heartbeat(&self) -> Heartbeat {
        self.heartbeat
    }

    /// A whole frame came. Parts of frames do not count: a peer that drips them holds our memory.
    pub(crate) fn frame(&mut self, now: Instant) {
        self.next_miss = now + self.heartbeat.interval + self.answer_time();
        self.heartbeat.missed = 0;
    }

    /// The owner does not read at present: that is no silence, and an answer that waits tells nothing of the way.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.frame(now);
        if self.asked.take().is_some() {
            self.owe();
        }
    }

    /// The answer to a ping came. Answers come in the order of pings.
    pub(crate) fn pong(&mut self, now: Instant) {
        if let Some(fewer) = self.owed.checked_sub(1) {
            self.owed = fewer;
        } else if let Some(asked) = self.asked.take() {
            self.heartbeat.answered(now.saturating_duration_since(asked));
        }
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
        if now >= self.next_miss {
            self.heartbeat.miss();
            if self.heartbeat.missed >= MAX_MISSED {
                return Due::Silence;
            }
            self.next_miss = now + self.answer_time();
        } else if now < self.next_ping {
            return Due::Nothing;
        }
        if self.asked.replace(now).is_some() {
            self.owe();
        }
        self.next_ping = now + self.heartbeat.interval;
        Due::Ping
    }

    /// When something will be due.
    pub(crate) fn next(&self) -> Instant {
        self.next_ping.min(self.next_miss)
    }

    fn answer_time(&self) -> Duration {
        heartbeat::patience(self.heartbeat.interval, self.patience)
    }

    fn owe(&mut self) {
        self.owed = self.owed.saturating_add(1).min(MAX_OWED);
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

        assert_eq!(keepalive.heartbeat().missed, 1);
        assert_eq!(keepalive.due(start + 45 * SECOND), Due::Silence);
        assert_eq!(keepalive.heartbeat().missed, 2);
    }

    /// Seconds at which pings are due, and that at which the peer is silent, if it says nothing after `start`.
    fn fate(keepalive: &mut Keepalive, start: Instant) -> (Vec<u64>, u64) {
        let mut pings = Vec::new();
        loop {
            let now = keepalive.next();
            let seconds = now.duration_since(start).as_secs();
            match keepalive.due(now) {
                Due::Nothing => panic!("nothing was due when something was"),
                Due::Ping => pings.push(seconds),
                Due::Silence => return (pings, seconds),
            }
        }
    }

    #[test]
    fn interval_decides_when_silence_is_noticed() {
        for (interval, pings, silent) in [
            (5, vec![5, 10, 15, 20], 25),
            (15, vec![15, 30], 45),
            (600, vec![600, 615], 630),
            (u64::MAX, vec![600, 615], 630),
            (0, vec![5, 10, 15, 20], 25),
        ] {
            let start = Instant::now();
            let mut keepalive = Keepalive::new(Timeouts::default(), start);

            keepalive.set_interval(Duration::from_secs(interval), start);

            assert_eq!(fate(&mut keepalive, start), (pings, silent), "{interval}");
        }
    }

    #[test]
    fn peer_that_was_quiet_by_agreement_is_not_silent_when_that_ends() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Timeouts::default(), start);
        keepalive.set_interval(600 * SECOND, start);
        let later = start + 500 * SECOND;
        assert_eq!(keepalive.due(later), Due::Nothing);

        keepalive.set_interval(15 * SECOND, later);

        assert_eq!(keepalive.due(later), Due::Nothing);
        assert_eq!(fate(&mut keepalive, later).1, 45);
    }

    #[test]
    fn peer_has_time_to_answer_after_our_own_sleep() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Timeouts::default(), start);
        let woken = start + 3600 * SECOND;

        assert_eq!(keepalive.due(woken), Due::Ping);

        assert_eq!(keepalive.next(), woken + 15 * SECOND);
        keepalive.frame(woken + SECOND);
        assert_eq!(keepalive.due(woken + 15 * SECOND), Due::Ping);
    }

    #[test]
    fn any_frame_ends_a_row_of_misses() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Timeouts::default(), start);
        for seconds in [15, 30] {
            assert_eq!(keepalive.due(start + seconds * SECOND), Due::Ping);
        }

        keepalive.frame(start + 40 * SECOND);

        let heartbeat = keepalive.heartbeat();
        assert_eq!((heartbeat.missed, heartbeat.missed_ever), (0, 1));
        assert_eq!(keepalive.due(start + 45 * SECOND), Due::Ping);
    }

    #[test]
    fn round_trip_is_from_a_ping_to_its_own_answer() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Timeouts::default(), start);
        keepalive.pong(start); // to nothing
        let last = |keepalive: &Keepalive| keepalive.heartbeat().round_trip.map(|trip| trip.last);
        for seconds in [15, 30] {
            assert_eq!(keepalive.due(start + seconds * SECOND), Due::Ping);
            keepalive.frame(start + seconds * SECOND);
        }
        assert_eq!(last(&keepalive), None);

        keepalive.pong(start + 31 * SECOND); // to the first
        assert_eq!(last(&keepalive), None);
        keepalive.pong(start + 32 * SECOND);

        assert_eq!(last(&keepalive), Some(2 * SECOND));
        keepalive.pong(start + 40 * SECOND);
        assert_eq!(last(&keepalive), Some(2 * SECOND));
    }

    #[test]
    fn pause_of_ours_is_neither_silence_nor_a_round_trip() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Timeouts::default(), start);
        assert_eq!(keepalive.due(start + 15 * SECOND), Due::Ping);

        keepalive.pause(start + 40 * SECOND);
        assert_eq!(keepalive.due(start + 45 * SECOND), Due::Ping);
        keepalive.pong(start + 46 * SECOND);
        assert_eq!(keepalive.heartbeat().round_trip, None);
        keepalive.pong(start + 47 * SECOND);

        assert_eq!(keepalive.heartbeat().round_trip.map(|trip| trip.last), Some(2 * SECOND));
        assert_eq!(keepalive.heartbeat().missed_ever, 0);
    }

    #[test]
    fn peer_that_never_answers_but_talks_is_pinged_for_ever() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(Timeouts::default(), start);
        for seconds in (15..15 * 200).step_by(15) {
            let now = start + seconds as u32 * SECOND;
            keepalive.frame(now);
            assert_eq!(keepalive.due(now), Due::Ping);
        }

        assert_eq!(keepalive.heartbeat(), Heartbeat::default());
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
