//! Keeps places at relays: which relay is tried next, how long one may take, and when one that failed is tried again.

use std::{collections::BTreeMap, time::Duration};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol as Part};
use tokio::time::Instant;

use crate::guard::Word;

/// Time for a relay to be dialed, to say who it is and to grant a place.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Pause before a relay that failed is tried again; it doubles with each failure.
const FIRST_REST: Duration = Duration::from_secs(2);

/// Longest pause before a relay that failed is tried again.
const LONGEST_REST: Duration = Duration::from_secs(120);

/// Pause before somebody is asked again who is no relay, or grants us nothing.
const REFUSED_REST: Duration = Duration::from_secs(600);

/// Relays offered at a time that are looked at.
pub(crate) const MAX_OFFERED: usize = 64;

/// A relay that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relay {
    pub(crate) peer: PeerId,
    /// Without `/p2p/`.
    pub(crate) address: Multiaddr,
    pub(crate) word: Word,
}

impl Relay {
    /// `…/p2p/RELAY`; nothing else can be asked for a place.
    pub(crate) fn parse(text: &str, word: Word) -> Option<Self> {
        let mut address: Multiaddr = text.parse().ok()?;
        if address.iter().any(|part| part == Part::P2pCircuit) {
            return None;
        }
        match address.pop()? {
            Part::P2p(peer) if address.iter().next().is_some() => Some(Self { peer, address, word }),
            _ => None,
        }
    }

    /// What to listen on for a place there.
    pub(crate) fn circuit(&self) -> Multiaddr {
        self.address.clone().with(Part::P2p(self.peer)).with(Part::P2pCircuit)
    }
}

/// Why there is no place at a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It was not reached, or it is gone.
    Gone,
    /// It is no relay, or it refused.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying { until: Instant },
    Held,
    Resting { until: Instant },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: State,
    failures: u32,
}

/// The machine.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    wanted: usize,
    named: Vec<Relay>,
    offered: Vec<Relay>,
    entries: BTreeMap<PeerId, Entry>,
}

impl Keeper {
    /// `named` come first, whoever else is offered.
    pub(crate) fn new(wanted: usize, named: Vec<Relay>) -> Self {
        Self { wanted, named, ..Self::default() }
    }

    /// Further relays, best first, in place of those offered before; who holds a place for us goes on doing so.
    pub(crate) fn offer(&mut self, mut relays: Vec<Relay>) {
        relays.truncate(MAX_OFFERED);
        self.offered = relays;
        let known = |peer: &PeerId| self.named.iter().chain(&self.offered).any(|relay| relay.peer == *peer);
        let forgotten: Vec<PeerId> = self
            .entries
            .iter()
            .filter(|(peer, entry)| !known(peer) && matches!(entry.state, State::Resting { .. }))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in forgotten {
            self.entries.remove(&peer);
        }
    }

    /// A relay to try now, if a place is wanted: it counts as being tried from now on.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Relay> {
        if !self.has_room() {
            return None;
        }
        let free = |relay: &&Relay| match self.entries.get(&relay.peer) {
            None => true,
            Some(Entry { state: State::Resting { until }, .. }) => *until <= now,
            Some(_) => false,
        };
        let first = self.named.iter().chain(&self.offered).find(free)?;
        let failures = self.entries.get(&first.peer).map_or(0, |entry| entry.failures);
        // A relay with several addresses is tried at one after the other.
        let same: Vec<&Relay> =
            self.named.iter().chain(&self.offered).filter(|relay| relay.peer == first.peer).collect();
        let turn = usize::try_from(failures).unwrap_or(0).checked_rem(same.len()).unwrap_or(0);
        let relay = (*same.get(turn)?).clone();
        self.entries.insert(relay.peer, Entry { state: State::Trying { until: now + ATTEMPT }, failures });
        Some(relay)
    }

    /// Whether a further place is wanted.
    fn has_room(&self) -> bool {
        let is_busy = |entry: &&Entry| !matches!(entry.state, State::Resting { .. });
        self.entries.values().filter(is_busy).count() < self.wanted
    }

    /// When to look again if nothing happens until then. Those that rest are waited for only while a place is wanted:
    /// else the time would have come for ever.
    pub(crate) fn due(&self) -> Option<Instant> {
        let has_room = self.has_room();
        let times = self.entries.iter().filter_map(|(peer, entry)| match entry.state {
            State::Trying { until } => Some(until),
            State::Resting { until } if has_room && self.is_known(peer) => Some(until),
            State::Resting { .. } | State::Held => None,
        });
        times.min()
    }

    fn is_known(&self, peer: &PeerId) -> bool {
        self.named.iter().chain(&self.offered).any(|relay| relay.peer == *peer)
    }

    /// Whether a relay is being tried.
    pub(crate) fn is_trying(&self, peer: &PeerId) -> bool {
        matches!(self.entries.get(peer), Some(Entry { state: State::Trying { .. }, .. }))
    }

    /// Somebody says that it is a relay: whatever was found before, it may be asked.
    pub(crate) fn offers(&mut self, peer: &PeerId) {
        if matches!(self.entries.get(peer), Some(Entry { state: State::Resting { .. }, .. })) {
            self.entries.remove(peer);
        }
    }

    /// A relay granted a place.
    pub(crate) fn granted(&mut self, peer: PeerId) {
        if let Some(entry) = self.entries.get_mut(&peer) {
            *entry = Entry { state: State::Held, failures: 0 };
        }
    }

    /// A relay did not grant a place, or it is lost.
    pub(crate) fn failed(&mut self, peer: &PeerId, failure: Failure, now: Instant) {
        let Some(entry) = self.entries.get_mut(peer) else { return };
        let rest = match failure {
            // One that had held a place is tried again soon: it may just have been started anew.
            Failure::Gone => {
                FIRST_REST.saturating_mul(2_u32.saturating_pow(entry.failures)).min(LONGEST_REST)
            }
            Failure::Refused => REFUSED_REST,
        };
        *entry =
            Entry { state: State::Resting { until: now + rest }, failures: entry.failures.saturating_add(1) };
    }

    /// Those that took too long; they rest from now on.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<PeerId> {
        let late: Vec<PeerId> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.state, State::Trying { until } if until <= now))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in &late {
            self.failed(peer, Failure::Gone, now);
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(index: u8, word: Word) -> Relay {
        let keypair = libp2p::identity::Keypair::ed25519_from_bytes([index; 32]).expect("a key");
        let text = format!("/ip4/192.0.2.{index}/udp/1/quic-v1/p2p/{}", keypair.public().to_peer_id());
        Relay::parse(&text, word).expect("a relay")
    }

    #[test]
    fn named_relays_come_first_and_no_more_than_wanted_are_tried() {
        let now = Instant::now();
        let mut keeper = Keeper::new(2, vec![relay(1, Word::User)]);
        keeper.offer(vec![relay(2, Word::Stranger), relay(3, Word::Stranger)]);

        assert_eq!(keeper.next(now), Some(relay(1, Word::User)));
        assert_eq!(keeper.next(now), Some(relay(2, Word::Stranger)));
        assert_eq!(keeper.next(now), None);

        keeper.granted(relay(1, Word::User).peer);
        keeper.failed(&relay(2, Word::Stranger).peer, Failure::Refused, now);
        assert_eq!(keeper.next(now), Some(relay(3, Word::Stranger)));
    }

    #[test]
    fn a_relay_that_is_gone_is_tried_again_later_and_later() {
        let mut now = Instant::now();
        let one = relay(1, Word::User);
        let mut keeper = Keeper::new(1, vec![one.clone()]);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            assert_eq!(keeper.next(now).as_ref(), Some(&one));
            keeper.failed(&one.peer, Failure::Gone, now);
            assert_eq!(keeper.next(now), None);
            let due = keeper.due().expect("a time");
            pauses.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 120, 120, 120, 120]);

        keeper.next(now);
        keeper.granted(one.peer);
        keeper.failed(&one.peer, Failure::Gone, now);
        assert_eq!(keeper.due(), Some(now + FIRST_REST));
    }

    #[test]
    fn nothing_is_due_while_every_place_is_held() {
        let now = Instant::now();
        let mut keeper = Keeper::new(1, vec![relay(1, Word::User), relay(2, Word::User)]);
        keeper.next(now);
        keeper.failed(&relay(1, Word::User).peer, Failure::Gone, now);
        keeper.next(now);
        keeper.granted(relay(2, Word::User).peer);

        assert_eq!((keeper.due(), keeper.next(now + LONGEST_REST)), (None, None));

        keeper.failed(&relay(2, Word::User).peer, Failure::Gone, now + LONGEST_REST);
        assert_eq!(keeper.due(), Some(now + FIRST_REST));
        assert_eq!(keeper.next(now + LONGEST_REST), Some(relay(1, Word::User)));
    }

    #[test]
    fn a_relay_that_says_nothing_is_given_up_and_another_address_of_it_is_next() {
        let now = Instant::now();
        let first = relay(1, Word::User);
        let second = Relay { address: "/ip4/192.0.2.9/tcp/2".parse().expect("address"), ..first.clone() };
        let mut keeper = Keeper::new(1, vec![first.clone(), second.clone()]);
        assert_eq!(keeper.next(now), Some(first.clone()));

        assert!(keeper.overdue(now).is_empty());
        assert_eq!(keeper.overdue(now + ATTEMPT), [first.peer]);
        assert_eq!(keeper.next(now + ATTEMPT + FIRST_REST), Some(second));
    }

    #[test]
    fn offers_without_end_fill_no_memory() {
        let now = Instant::now();
        let mut keeper = Keeper::new(1, Vec::new());
        for index in 0..=255 {
            keeper.offer(vec![relay(index, Word::Stranger)]);
            keeper.next(now);
            keeper.failed(&relay(index, Word::Stranger).peer, Failure::Refused, now);
        }
        keeper.offer(Vec::new());

        assert!(keeper.entries.is_empty());
        assert_eq!(keeper.due(), None);
    }

    #[test]
    fn only_addresses_of_relays_are_relays() {
        let peer = relay(1, Word::User).peer;
        for text in [
            String::new(),
            "/ip4/192.0.2.1/tcp/1".to_owned(),
            format!("/p2p/{peer}"),
            format!("/ip4/192.0.2.1/tcp/1/p2p/{peer}/p2p-circuit/p2p/{peer}"),
        ] {
            assert_eq!(Relay::parse(&text, Word::User), None, "{text}");
        }
    }
}
