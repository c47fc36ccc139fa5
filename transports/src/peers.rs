//! Who is connected: one session a peer on each stack, and a bound on how many.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use causeway_host::{Agent, ConnectionKey, Denied, Heart, Rules, node_key};
use causeway_wire::{Heartbeat, NodeKey, PeerId, SessionId, Stack};
use tokio::sync::watch;

use crate::session::{End, Ending};

/// Name of the transport of a session that goes through a circuit relay.
pub(crate) const RELAY: &str = "relay";

/// How long a relayed session may finish what it is at once its peer has a direct one.
pub(crate) const MOVING: Duration = Duration::from_secs(10);

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    Inbound,
    Dialed,
}

/// Why a peer gets no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has one, which is not to be replaced.
    AlreadyConnected,
    /// There are as many as are allowed.
    TooMany,
    /// Our lists deny it.
    Denied(Denied),
    /// We are going down.
    Closing,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Its session.
    pub session: SessionId,
    /// Its id on its stack.
    pub peer: PeerId,
    /// Its node key; of a libp2p peer, if its identity is a secp256k1 key.
    pub node_key: Option<NodeKey>,
    /// The stack.
    pub stack: Stack,
    /// Whether the peer opened the connection.
    pub inbound: bool,
    /// Name of what carries it: `rlpx`, `tcp`, `quic`, `ws`, `wss`.
    pub transport: &'static str,
    /// How it calls itself; empty until it has said so.
    pub client: String,
    /// When the session began.
    pub since: SystemTime,
    /// What pings found out.
    pub heartbeat: Heartbeat,
}

/// What is told of a session beside its peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) transport: &'static str,
    pub(crate) client: Agent,
    /// The other end of an RLPx connection.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) heart: Heart,
}

/// The live sessions. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    state: Arc<Mutex<State>>,
    /// Counts beginnings and ends.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// The session that counts as the peer's; one that is being replaced is outside of this map.
    current: HashMap<PeerId, Current>,
    /// Relayed sessions whose peers have moved to a direct connection: one a peer, which lives on a little.
    moved: HashMap<PeerId, (SessionId, Arc<Ending>)>,
    live: HashMap<(Stack, Direction), usize>,
    last_id: u64,
    closing: bool,
}

#[derive(Debug)]
struct Current {
    id: SessionId,
    ending: Arc<Ending>,
    connection: Option<ConnectionKey>,
    direction: Direction,
    facts: Facts,
    since: SystemTime,
}

/// A place among the live sessions; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    peers: Peers,
    pub(crate) id: SessionId,
    pub(crate) ending: Arc<Ending>,
    /// The relayed session of the same peer that this one takes over from: to be ended [`MOVING`] later.
    pub(crate) takes_over: Option<Arc<Ending>>,
    peer: PeerId,
    direction: Direction,
}

impl Peers {
    /// A place for an RLPx session: a key that is connected keeps the session it has.
    pub(crate) fn admit_devp2p(
        &self,
        peer: PeerId,
        direction: Direction,
        facts: Facts,
        most_inbound: usize,
    ) -> Result<Place, Refusal> {
        let mut state = self.lock();
        if state.current.contains_key(&peer) {
            return Err(Refusal::AlreadyConnected);
        }
        if direction == Direction::Inbound && state.live(Stack::Devp2p, direction) >= most_inbound {
            return Err(Refusal::TooMany);
        }
        self.enter(&mut state, peer, direction, facts, None)
    }

    /// A place for a libp2p session. A newer connection takes the place of an older one's session: a phone
    /// whose old connection is half dead gets in. On the same connection the host lets only one stream live,
    /// so the older session is over and just has not noticed. Only a peer that moves from a relayed connection to a
    /// direct one keeps the older session for [`MOVING`], so that what is under way on it is answered there.
    pub(crate) fn admit_libp2p(
        &self,
        peer: PeerId,
        direction: Direction,
        facts: Facts,
        connection: ConnectionKey,
    ) -> Result<Place, Refusal> {
        let mut state = self.lock();
        match state.current.get(&peer) {
            Some(current) if current.connection.is_some_and(|held| held > connection) => {
                return Err(Refusal::AlreadyConnected);
            }
            Some(_) | None => {}
        }
        if state.closing {
            return Err(Refusal::Closing);
        }
        let moving = |old: &Current| old.facts.transport == RELAY && facts.transport != RELAY;
        let old = state.current.get(&peer).map(|old| (old.id, Arc::clone(&old.ending), moving(old)));
        let mut takes_over = None;
        if let Some((id, ending, moves)) = old {
            if moves {
                takes_over = Some(Arc::clone(&ending));
                if let Some((_, before)) = state.moved.insert(peer, (id, ending)) {
                    before.set(End::Replaced);
                }
            } else {
                ending.set(End::Replaced);
            }
        }
        let mut place = self.enter(&mut state, peer, direction, facts, Some(connection))?;
        place.takes_over = takes_over;
        Ok(place)
    }

    fn enter(
        &self,
        state: &mut State,
        peer: PeerId,
        direction: Direction,
        facts: Facts,
        connection: Option<ConnectionKey>,
    ) -> Result<Place, Refusal> {
        if state.closing {
            return Err(Refusal::Closing);
        }
        state.last_id += 1;
        let id = SessionId(state.last_id);
        let ending = Arc::<Ending>::default();
        let since = SystemTime::now();
        let current = Current { id, ending: Arc::clone(&ending), connection, direction, facts, since };
        state.current.insert(peer, current);
        *state.live.entry((peer.stack(), direction)).or_default() += 1;
        self.changed();
        Ok(Place { peers: self.clone(), id, ending, takes_over: None, peer, direction })
    }

    /// Orders all sessions to end and lets no other in.
    pub(crate) fn close_all(&self, reason: u8) {
        let mut state = self.lock();
        state.closing = true;
        for current in state.current.values() {
            current.ending.set(End::Close(reason));
        }
        for (_, ending) in state.moved.values() {
            ending.set(End::Close(reason));
        }
    }

    /// Orders the RLPx sessions to end that `rules` deny; how many. Those of libp2p end with their connections.
    pub(crate) fn close_denied(&self, rules: &Rules, reason: u8) -> usize {
        let state = self.lock();
        let devp2p = state.current.iter().filter(|(peer, _)| peer.stack() == Stack::Devp2p);
        let denied = devp2p.filter(|(peer, current)| rules.check(peer, current.facts.ip).is_err());
        denied.map(|(_, current)| current.ending.set(End::Close(reason))).count()
    }

    /// The libp2p connection of the session that counts as the peer's.
    pub(crate) fn connection_of(&self, peer: &PeerId) -> Option<ConnectionKey> {
        self.lock().current.get(peer)?.connection
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.lock().current.contains_key(peer)
    }

    /// Live sessions of a stack and direction, replaced ones that are about to end included.
    pub(crate) fn live(&self, stack: Stack, direction: Direction) -> usize {
        self.lock().live(stack, direction)
    }

    /// The sessions that count as their peers', oldest first.
    pub(crate) fn connected(&self) -> Vec<Connected> {
        let mut connected: Vec<Connected> = self
            .lock()
            .current
            .iter()
            .map(|(peer, current)| Connected {
                session: current.id,
                peer: *peer,
                node_key: node_key(peer),
                stack: peer.stack(),
                inbound: current.direction == Direction::Inbound,
                transport: current.facts.transport,
                client: current.facts.client.read(),
                since: current.since,
                heartbeat: current.facts.heart.read(),
            })
            .collect();
        connected.sort_unstable_by_key(|one| one.session);
        connected
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn live(&self, stack: Stack, direction: Direction) -> usize {
        self.live.get(&(stack, direction)).copied().unwrap_or(0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ending.finish();
        let mut state = self.peers.lock();
        if state.current.get(&self.peer).is_some_and(|current| current.id == self.id) {
            state.current.remove(&self.peer);
        }
        if state.moved.get(&self.peer).is_some_and(|(id, _)| *id == self.id) {
            state.moved.remove(&self.peer);
        }
        if let Some(live) = state.live.get_mut(&(self.peer.stack(), self.direction)) {
            *live = live.saturating_sub(1);
        }
        drop(state);
        self.peers.changed();
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B512;
    use causeway_wire::NodeKey;

    use super::*;

    fn node(byte: u8) -> PeerId {
        PeerId::devp2p(NodeKey(B512::repeat_byte(byte)))
    }

    fn light(byte: u8) -> PeerId {
        PeerId::libp2p(&[byte; 38]).expect("short")
    }

    #[test]
    fn a_key_has_one_rlpx_session_until_that_ends() {
        let peers = Peers::default();
        let first = peers.admit_devp2p(node(1), Direction::Inbound, Facts::default(), 10).expect("place");

        let second = peers.admit_devp2p(node(1), Direction::Dialed, Facts::default(), 10);
        assert_eq!(second.err(), Some(Refusal::AlreadyConnected));

        drop(first);
        assert!(peers.admit_devp2p(node(1), Direction::Inbound, Facts::default(), 10).is_ok());
    }

    #[test]
    fn only_inbound_sessions_count_against_the_limit() {
        let peers = Peers::default();
        let _first = peers.admit_devp2p(node(1), Direction::Inbound, Facts::default(), 1).expect("place");

        assert_eq!(
            peers.admit_devp2p(node(2), Direction::Inbound, Facts::default(), 1).err(),
            Some(Refusal::TooMany)
        );
        assert!(peers.admit_devp2p(node(3), Direction::Dialed, Facts::default(), 1).is_ok());
    }

    #[tokio::test]
    async fn a_newer_connection_replaces_the_older_ones_session() {
        let peers = Peers::default();
        let old = peers
            .admit_libp2p(light(1), Direction::Inbound, Facts::default(), ConnectionKey(7))
            .expect("place");

        let new = peers
            .admit_libp2p(light(1), Direction::Inbound, Facts::default(), ConnectionKey(8))
            .expect("place");
        let late = peers.admit_libp2p(light(1), Direction::Inbound, Facts::default(), ConnectionKey(7));

        assert_eq!(late.err(), Some(Refusal::AlreadyConnected));
        assert_eq!(peers.live(Stack::Libp2p, Direction::Inbound), 2);
        drop(old); // gives back its own place, not that of its successor
        assert!(peers.contains(&light(1)));
        drop(new);
        assert!(!peers.contains(&light(1)));
        assert_eq!(peers.live(Stack::Libp2p, Direction::Inbound), 0);
    }

    fn relayed() -> Facts {
        Facts { transport: RELAY, ..Facts::default() }
    }

    fn direct() -> Facts {
        Facts { transport: "quic", ..Facts::default() }
    }

    #[tokio::test]
    async fn a_peer_that_moves_from_a_relay_keeps_the_older_session_for_a_while() {
        let peers = Peers::default();
        let admit = |facts, key| {
            peers.admit_libp2p(light(1), Direction::Inbound, facts, ConnectionKey(key)).expect("place")
        };
        let old = admit(relayed(), 7);

        let new = admit(direct(), 8);

        assert!(!old.ending.is_ordered() && new.takes_over.is_some());
        assert_eq!(peers.connected().iter().map(|one| one.session).collect::<Vec<_>>(), [new.id]);

        // Never more than two of one peer: a third ends the first.
        let relayed_again = admit(relayed(), 9);
        assert!(
            new.ending.is_ordered(),
            "back to the relay is no move: the newer connection is the live one"
        );
        let direct_again = admit(direct(), 10);
        assert!(old.ending.is_ordered());
        assert!(!relayed_again.ending.is_ordered());

        peers.close_all(8);
        assert!(relayed_again.ending.is_ordered() && direct_again.ending.is_ordered());
        drop((old, new, relayed_again, direct_again));
        assert_eq!(peers.live(Stack::Libp2p, Direction::Inbound), 0);
        assert!(peers.lock().moved.is_empty());
    }

    #[test]
    fn nobody_enters_once_all_are_told_to_end() {
        let peers = Peers::default();

        peers.close_all(8);

        assert_eq!(
            peers.admit_devp2p(node(1), Direction::Inbound, Facts::default(), 1).err(),
            Some(Refusal::Closing)
        );
        let light = peers.admit_libp2p(light(1), Direction::Inbound, Facts::default(), ConnectionKey(1));
        assert_eq!(light.err(), Some(Refusal::Closing));
    }

    #[test]
    fn comings_and_goings_are_told_with_who_is_there() {
        let peers = Peers::default();
        let mut changes = peers.changes();
        let facts = Facts { transport: "rlpx", client: "Geth/v1".to_owned().into(), ..Facts::default() };

        let place = peers.admit_devp2p(node(1), Direction::Dialed, facts, 10).expect("place");

        assert!(changes.has_changed().expect("lives"));
        changes.mark_unchanged();
        let connected = peers.connected();
        let [one] = connected.as_slice() else { panic!("{connected:?}") };
        assert_eq!((one.peer, one.session, one.inbound), (node(1), place.id, false));
        assert_eq!((one.transport, one.client.as_str(), one.stack), ("rlpx", "Geth/v1", Stack::Devp2p));
        assert_eq!(one.node_key, node(1).node_key());

        drop(place);
        assert!(changes.has_changed().expect("lives"));
        assert!(peers.connected().is_empty());
    }
}
