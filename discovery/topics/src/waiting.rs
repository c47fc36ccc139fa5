//! How long an advertisement waits: longer the fuller the table, the commoner its topic and its addresses.

mod ip_tree;

use std::time::{Duration, Instant};

pub use self::ip_tree::{IpTree, IpTrees};
use crate::parameters::{LONGEST_WAIT, Parameters};

/// The parts of a waiting time, which have lower bounds of their own. Each is at most [`LONGEST_WAIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingTime {
    /// For the share that the topic has in the table.
    pub topic: Duration,
    /// For advertisements from like addresses.
    pub ip: Duration,
    /// Whatever the advertisement is.
    pub safety: Duration,
}

impl WaitingTime {
    /// `E · (1 − c/C)^(−P_occ) · (c_topic/c + score + G)`, with c = `cached` advertisements, of which `of_topic`
    /// are of the topic, and the score of the advertiser's address.
    ///
    /// Any input gives a time: a full table, or a number that is none, the longest.
    pub fn new(parameters: &Parameters, cached: usize, of_topic: usize, ip_score: f64) -> Self {
        let free = 1.0 - share(cached, parameters.capacity);
        let unit = parameters.lifetime.as_secs_f64() / free.max(0.0).powi(parameters.occupancy_exponent);
        Self {
            topic: seconds(unit, share(of_topic, cached)),
            ip: seconds(unit, ip_score),
            safety: seconds(unit, parameters.safety),
        }
    }

    /// All of it, at most [`LONGEST_WAIT`].
    pub fn total(self) -> Duration {
        (self.topic + self.ip + self.safety).min(LONGEST_WAIT)
    }
}

/// `part / whole`; nothing is no part of nothing.
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn seconds(unit: f64, factor: f64) -> Duration {
    if factor <= 0.0 {
        return Duration::ZERO; // also where the unit is infinite
    }
    let seconds = unit * factor;
    if seconds.is_nan() {
        return LONGEST_WAIT;
    }
    Duration::from_secs_f64(seconds.clamp(0.0, LONGEST_WAIT.as_secs_f64()))
}

/// A waiting time that was given out: no later one may be shorter by more than the time that has passed, so
/// nobody gains by asking for new tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowerBound {
    wait: Duration,
    since: Instant,
}

impl LowerBound {
    /// Nothing was given out before `now`.
    pub fn new(now: Instant) -> Self {
        Self { wait: Duration::ZERO, since: now }
    }

    /// The time that may be given out in place of `fresh`, which is remembered if it is the longer one.
    pub fn apply(&mut self, fresh: Duration, now: Instant) -> Duration {
        let rest = self.wait.saturating_sub(now.saturating_duration_since(self.since));
        if fresh < rest {
            return rest;
        }
        *self = Self { wait: fresh, since: now };
        fresh
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wait(cached: usize, of_topic: usize, ip_score: f64) -> WaitingTime {
        WaitingTime::new(&Parameters::default(), cached, of_topic, ip_score)
    }

    #[test]
    fn an_empty_table_asks_for_the_safety_only() {
        // 900 s · 1 · (0 + 0 + 10⁻⁷)
        assert_eq!(wait(0, 0, 0.0).total(), Duration::from_micros(90));
    }

    #[test]
    fn times_are_those_reckoned_by_hand() {
        // c = 500: (1/2)^-10 = 1024. 900 · 1024 · 50/500 = 92,160 s, beyond the longest.
        assert_eq!(wait(500, 50, 0.0).topic, LONGEST_WAIT);
        assert_eq!(wait(500, 50, 0.0).total(), LONGEST_WAIT);
        // 900 · 1024 · 1/500 = 1,843.2 s
        let near = |left: Duration, right: f64| (left.as_secs_f64() - right).abs() < 1e-3;
        assert!(near(wait(500, 1, 0.0).topic, 1843.2));
        // c = 100: 0.9^-10 = 2.867972; 900 · 2.867972 = 2,581.1748 s, of which a quarter and a half.
        let time = wait(100, 25, 0.5);
        assert!(near(time.topic, 645.2937), "{time:?}");
        assert!(near(time.ip, 1290.5874), "{time:?}");
        assert!(near(time.safety, 0.000_258), "{time:?}");
        assert!(near(time.total(), 1935.8813), "{time:?}");
    }

    #[test]
    fn a_full_table_asks_for_the_longest() {
        assert_eq!(wait(1000, 0, 0.0).total(), LONGEST_WAIT);
        assert_eq!(wait(5000, 1, 1.0).total(), LONGEST_WAIT);
    }

    #[test]
    fn later_times_are_not_shorter_than_the_older_less_what_passed() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let [ten, hundred] = [10, 100].map(Duration::from_secs);
        let mut bound = LowerBound::new(start);

        assert_eq!(bound.apply(hundred, after(0)), hundred);
        assert_eq!(bound.apply(ten, after(30)), Duration::from_secs(70));
        assert_eq!(bound.apply(ten, after(95)), ten); // the rest is 5: the fresh one counts
        assert_eq!(bound.apply(Duration::ZERO, after(100)), Duration::from_secs(5));
        assert_eq!(bound.apply(Duration::ZERO, after(200)), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_shortens_nothing() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut bound = LowerBound::new(start);
        bound.apply(Duration::from_secs(10), start);

        let back = start - Duration::from_secs(30);
        assert_eq!(bound.apply(Duration::ZERO, back), Duration::from_secs(10));
    }

    proptest! {
        #[test]
        fn any_numbers_give_a_bounded_time(
            cached in any::<usize>(),
            of_topic in any::<usize>(),
            score in any::<f64>(),
            safety in any::<f64>(),
            capacity in any::<usize>(),
            occupancy_exponent in any::<i32>(),
        ) {
            let parameters = Parameters { capacity, occupancy_exponent, safety, ..Parameters::default() };

            let time = WaitingTime::new(&parameters, cached, of_topic, score);

            prop_assert!(time.total() <= LONGEST_WAIT);
        }

        #[test]
        fn a_fuller_table_never_asks_for_less(cached in 1usize..1000, score in 0.0f64..1.0) {
            let (emptier, fuller) = (wait(cached - 1, 0, score), wait(cached, 0, score));

            prop_assert!(emptier.total() <= fuller.total());
        }
    }
}
