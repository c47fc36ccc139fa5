//! How long a node is left alone after a failure.
//!
//! The user's own nodes are tried again within seconds for ever: they restart, and light peers wait behind them.
//! Strangers get the figures of rlpx.md section 9.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A session that lived this long was a success. One that ended sooner was refused after the handshake (wrong
/// chain, throttled), and counts as one more failure.
pub const STABLE: Duration = Duration::from_secs(30);

/// How long a liar is neither dialed nor heard of.
pub const BANISHED: Duration = Duration::from_secs(3_600);

/// Failures in a row after which a stranger is forgotten: about an hour of silence.
pub const GIVE_UP: u32 = 7;

/// Wait after the first failure of a named node; doubled with each further one.
const NAMED_FIRST: Duration = Duration::from_secs(1);

/// Longest wait for a named node that cannot be reached.
const NAMED_LONGEST: Duration = Duration::from_secs(15);

/// Wait after a node that is full or wants nothing of us: it would only say so again (rlpx.md section 9).
const REFUSED: Duration = Duration::from_secs(60);

/// Wait after "already connected": the node still holds a dead connection of ours, and notices within its
/// idle timeout of 30 s.
const OLD_CONNECTION: Duration = Duration::from_secs(35);

/// First wait for a stranger: geth turns away who comes again within 30 s.
const FIRST: Duration = Duration::from_secs(35);

/// Longest wait for a stranger.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Longest wait for a stranger while nobody at all is connected: it may be our own link that is down, and it is
/// noticed within this time that it is back.
const LONGEST_ALONE: Duration = Duration::from_secs(120);

/// Wait after a stranger that has no use for us: another chain, no protocol in common (rlpx.md section 9).
const USELESS: Duration = Duration::from_secs(15 * 60);

/// Wait after we let a stranger go.
const LET_GO: Duration = Duration::from_secs(5 * 60);

/// Failures that a refusal counts as: a node seldom changes its chain.
const REFUSAL_FAILURES: u32 = 3;

/// What went wrong with a dial, or ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// No connection, or one that broke.
    Unreachable,
    /// It has no use for us, or we have none for it: another chain, no protocol in common.
    Refused,
    /// It has too many peers: no fault of either side.
    TooManyPeers,
    /// It says that we are connected already.
    AlreadyConnected,
    /// It is ourselves: never dialed again.
    Myself,
    /// It ended the session.
    Left,
    /// What it said was found wrong.
    Lied,
    /// We ended it: there were too many, or we are going down.
    Stopped,
}

impl Failure {
    /// How many failures in a row this counts as.
    fn weight(self) -> u32 {
        match self {
            Self::Unreachable | Self::Left => 1,
            Self::Refused | Self::Lied => REFUSAL_FAILURES,
            Self::TooManyPeers | Self::AlreadyConnected | Self::Myself | Self::Stopped => 0,
        }
    }
}

/// How a node is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The user named it.
    Named,
    /// Anybody's, while others are connected.
    Stranger,
    /// Anybody's, while nobody is connected.
    StrangerAlone,
}

/// The failures of one node in a row, and the wait that follows the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Doublings of the first wait.
    steps: u32,
    failures: u32,
}

impl Patience {
    /// As remembered from an earlier run.
    pub(crate) fn with_failures(failures: u32) -> Self {
        let failures = failures.min(GIVE_UP - 1);
        Self { steps: failures, failures }
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes a failure and says how long the node is left alone; `None` for ever.
    pub(crate) fn note(&mut self, why: Failure, manner: Manner) -> Option<Duration> {
        let wait = match manner {
            Manner::Named => self.named_wait(why)?,
            Manner::Stranger => self.stranger_wait(why)?,
            Manner::StrangerAlone => self.stranger_wait(why)?.min(LONGEST_ALONE),
        };
        self.steps = self.steps.saturating_add(1);
        self.failures = self.failures.saturating_add(why.weight());
        if manner == Manner::StrangerAlone {
            self.failures = self.failures.min(GIVE_UP - 1); // perhaps it is we who are cut off
        }
        Some(wait)
    }

    /// What ended was no failure; the wait stays.
    pub(crate) fn forgive(&mut self) {
        self.failures = 0;
    }

    /// Whether a stranger has failed too often to be kept.
    pub(crate) fn is_at_end(&self) -> bool {
        self.failures >= GIVE_UP
    }

    fn named_wait(self, why: Failure) -> Option<Duration> {
        let grown = self.grown(NAMED_FIRST, NAMED_LONGEST);
        match why {
            Failure::Unreachable | Failure::Left | Failure::Stopped => Some(grown),
            Failure::Refused | Failure::TooManyPeers | Failure::Lied => Some(REFUSED.max(grown)),
            Failure::AlreadyConnected => Some(OLD_CONNECTION.max(grown)),
            Failure::Myself => None,
        }
    }

    fn stranger_wait(self, why: Failure) -> Option<Duration> {
        match why {
            Failure::Unreachable | Failure::Left => Some(self.grown(FIRST, LONGEST)),
            Failure::TooManyPeers => Some(self.grown(REFUSED, LONGEST)),
            Failure::Refused => Some(USELESS.max(self.grown(FIRST, LONGEST))),
            Failure::AlreadyConnected => Some(OLD_CONNECTION),
            Failure::Stopped => Some(LET_GO),
            Failure::Lied => Some(BANISHED),
            Failure::Myself => None,
        }
    }

    fn grown(self, first: Duration, longest: Duration) -> Duration {
        first.saturating_mul(2_u32.saturating_pow(self.steps)).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(manner: Manner, whys: &[Failure]) -> Vec<u64> {
        let mut patience = Patience::default();
        whys.iter().map(|why| patience.note(*why, manner).expect("not for ever").as_secs()).collect()
    }

    #[test]
    fn a_named_node_is_never_left_alone_for_long() {
        assert_eq!(waits(Manner::Named, &[Failure::Unreachable; 7]), [1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(waits(Manner::Named, &[Failure::Refused, Failure::TooManyPeers]), [60, 60]);
    }

    #[test]
    fn a_stranger_is_left_alone_longer_and_longer() {
        assert_eq!(
            waits(Manner::Stranger, &[Failure::Unreachable; 8]),
            [35, 70, 140, 280, 560, 1120, 1800, 1800]
        );
        assert_eq!(waits(Manner::Stranger, &[Failure::TooManyPeers; 3]), [60, 120, 240]);
        assert_eq!(waits(Manner::Stranger, &[Failure::Refused; 2]), [900, 900]);
    }

    #[test]
    fn too_many_peers_is_no_fault_and_a_refusal_is_several() {
        let failures = |why| {
            let mut patience = Patience::default();
            for _ in 0..3 {
                patience.note(why, Manner::Stranger);
            }
            (patience.failures(), patience.is_at_end())
        };

        assert_eq!(failures(Failure::TooManyPeers), (0, false));
        assert_eq!(failures(Failure::Unreachable), (3, false));
        assert_eq!(failures(Failure::Refused), (9, true));
    }

    #[test]
    fn a_link_that_is_down_makes_nobody_forgotten() {
        let mut patience = Patience::default();

        for _ in 0..50 {
            let wait = patience.note(Failure::Unreachable, Manner::StrangerAlone).expect("not for ever");
            assert!(wait <= LONGEST_ALONE);
        }

        assert!(!patience.is_at_end());
    }
}
