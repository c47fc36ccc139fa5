//! The full nodes that the user named: each is dialed for ever, with growing patience.
//!
//! The patience of rlpx.md section 9 (35 s and more) is for strangers' nodes; these are the user's own, and a
//! light peer waits behind them.

use std::time::{Duration, Instant};

use causeway_records::Enode;
use causeway_wire::NodeKey;

use crate::{Candidate, Origin};

/// Wait after the first failure; doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Longest wait for a node that cannot be reached: the user's own node restarts, and light peers wait for it.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Wait after a node that is full or wants nothing of us: it would only say so again (rlpx.md section 9).
const REFUSED_WAIT: Duration = Duration::from_secs(60);

/// Wait after "already connected": the node still holds a dead connection of ours, and notices within its
/// idle timeout of 30 s.
const OLD_CONNECTION_WAIT: Duration = Duration::from_secs(35);

/// A session that lived this long was a success. One that ended sooner was refused after the handshake (wrong
/// chain, throttled), and counts as one more failure.
const STABLE: Duration = Duration::from_secs(30);

/// What went wrong with a dial or ended a session, as far as patience is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFailure {
    /// No connection, or one that broke.
    Unreachable,
    /// It has too many peers, or no use for us.
    Refused,
    /// It says that we are connected already.
    AlreadyConnected,
    /// It is ourselves: never dialed again.
    Myself,
}

/// The user's full nodes and when to dial each: a state machine, driven with the time.
#[derive(Debug)]
pub struct FixedNodes {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    enode: Enode,
    state: State,
    /// Wait after the next failure.
    patience: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// To be dialed at this time; `None` at once.
    Waiting(Option<Instant>),
    Dialing,
    Connected {
        since: Instant,
    },
    Dropped,
}

impl FixedNodes {
    /// The nodes in order of preference. Of two with the same key the first is kept.
    pub fn new(enodes: impl IntoIterator<Item = Enode>) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        for enode in enodes {
            if nodes.iter().all(|node| node.enode.key != enode.key) {
                nodes.push(Node { enode, state: State::Waiting(None), patience: FIRST_WAIT });
            }
        }
        Self { nodes }
    }

    /// The dial succeeded.
    pub fn handle_connected(&mut self, key: NodeKey, now: Instant) {
        if let Some(node) = self.node(key) {
            node.state = State::Connected { since: now };
        }
    }

    /// The dial failed, or the session ended.
    pub fn handle_failure(&mut self, key: NodeKey, failure: DialFailure, now: Instant) {
        let Some(node) = self.node(key) else { return };
        if let State::Connected { since } = node.state
            && now.saturating_duration_since(since) >= STABLE
        {
            node.patience = FIRST_WAIT;
        }
        let wait = match failure {
            DialFailure::Unreachable => node.patience,
            DialFailure::Refused => REFUSED_WAIT.max(node.patience),
            DialFailure::AlreadyConnected => OLD_CONNECTION_WAIT.max(node.patience),
            DialFailure::Myself => {
                node.state = State::Dropped;
                return;
            }
        };
        node.patience = (node.patience * 2).min(LONGEST_WAIT);
        node.state = State::Waiting(now.checked_add(wait));
    }

    /// The next node to dial, if one is due. Its dial is under way from now until one of `handle_*`.
    pub fn poll_dial(&mut self, now: Instant) -> Option<Candidate> {
        let node = self.nodes.iter_mut().find(|node| match node.state {
            State::Waiting(due) => due.is_none_or(|due| due <= now),
            State::Dialing | State::Connected { .. } | State::Dropped => false,
        })?;
        node.state = State::Dialing;
        Some(Candidate { enode: node.enode.clone(), origin: Origin::Fixed })
    }

    /// When [`FixedNodes::poll_dial`] will have one, if none of `handle_*` comes first.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.nodes
            .iter()
            .filter_map(|node| match node.state {
                State::Waiting(due) => due,
                State::Dialing | State::Connected { .. } | State::Dropped => None,
            })
            .min()
    }

    /// How many nodes were named.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether none was named.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn node(&mut self, key: NodeKey) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.enode.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EIP-8, public keys A and B.
    const A: &str = "enode://fda1cff674c90c9a197539fe3dfb53086ace64f83ed7c6eabec741f7f381cc80\
                     3e52ab2cd55d5569bce4347107a310dfd5f88a010cd2ffd1005ca406f1842877@127.0.0.1:1";
    const B: &str = "enode://ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd3138\
                     7574077f301b421bc84df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f@127.0.0.1:2";

    fn enode(text: &str) -> Enode {
        text.parse().expect("valid enode")
    }

    /// A machine with node A, whose first dial is under way.
    fn dialing(now: Instant) -> (FixedNodes, NodeKey) {
        let mut fixed = FixedNodes::new([enode(A)]);
        let candidate = fixed.poll_dial(now).expect("due at once");
        (fixed, candidate.enode.key)
    }

    fn wait(fixed: &FixedNodes, now: Instant) -> Duration {
        fixed.poll_timeout().expect("waiting").saturating_duration_since(now)
    }

    #[test]
    fn each_node_is_dialed_once_at_the_start() {
        let now = Instant::now();
        let mut fixed = FixedNodes::new([enode(A), enode(B), enode(A)]);

        let dialed: Vec<_> = std::iter::from_fn(|| fixed.poll_dial(now)).map(|c| c.enode.tcp).collect();

        assert_eq!(dialed, [1, 2]);
        assert_eq!(fixed.poll_timeout(), None);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut now = Instant::now();
        let (mut fixed, key) = dialing(now);

        let mut waits = Vec::new();
        for _ in 0..8 {
            fixed.handle_failure(key, DialFailure::Unreachable, now);
            let due = wait(&fixed, now);
            assert_eq!(fixed.poll_dial(now), None);
            now += due;
            assert!(fixed.poll_dial(now).is_some());
            waits.push(due.as_secs());
        }

        assert_eq!(waits, [1, 2, 4, 8, 15, 15, 15, 15]);
    }

    #[test]
    fn a_session_that_held_resets_the_wait() {
        let mut now = Instant::now();
        let (mut fixed, key) = dialing(now);
        for _ in 0..5 {
            fixed.handle_failure(key, DialFailure::Unreachable, now);
        }

        fixed.handle_connected(key, now);
        now += STABLE;
        fixed.handle_failure(key, DialFailure::Unreachable, now);

        assert_eq!(wait(&fixed, now), FIRST_WAIT);
    }

    #[test]
    fn a_session_that_ends_at_once_is_one_more_failure() {
        let now = Instant::now();
        let (mut fixed, key) = dialing(now);
        fixed.handle_failure(key, DialFailure::Unreachable, now);

        fixed.handle_connected(key, now);
        fixed.handle_failure(key, DialFailure::Unreachable, now);

        assert_eq!(wait(&fixed, now), FIRST_WAIT * 2);
    }

    #[test]
    fn a_node_that_refuses_is_left_alone_for_a_minute() {
        let now = Instant::now();
        let (mut fixed, key) = dialing(now);

        fixed.handle_failure(key, DialFailure::Refused, now);
        assert_eq!(wait(&fixed, now), REFUSED_WAIT);

        fixed.handle_failure(key, DialFailure::AlreadyConnected, now);
        assert_eq!(wait(&fixed, now), OLD_CONNECTION_WAIT);
    }

    #[test]
    fn ourselves_is_never_dialed_again() {
        let now = Instant::now();
        let (mut fixed, key) = dialing(now);

        fixed.handle_failure(key, DialFailure::Myself, now);

        assert_eq!(fixed.poll_dial(now + LONGEST_WAIT * 100), None);
        assert_eq!(fixed.poll_timeout(), None);
    }
}
