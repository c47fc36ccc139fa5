//! What each peer took of the relay, for whoever wants to know.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p_identity::PeerId;

use crate::{
    admission::CircuitId,
    meter::{Bytes, Meter},
};

/// What one peer took, or all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Circuits that are open now and that the peer opened.
    pub circuits_out: u64,
    /// Circuits that are open now and lead to the peer.
    pub circuits_in: u64,
    /// Circuits so far, open ones included, as source or as destination.
    pub circuits: u64,
    /// Bytes that we relayed from the peer.
    pub bytes_from: u64,
    /// Bytes that we relayed to the peer.
    pub bytes_to: u64,
    /// Whether it has a reservation; of all together: how many have.
    pub reserved: u64,
    /// Reservations granted so far, renewals included.
    pub reservations: u64,
    /// Requests refused so far.
    pub refusals: u64,
}

/// Cheap to clone; reads what the behaviour counts, open circuits up to this moment.
#[derive(Clone, Debug)]
pub struct Accounts {
    books: Arc<Mutex<Books>>,
}

impl Accounts {
    pub(crate) fn new(capacity: usize) -> Self {
        let books = Books { capacity, ..Books::default() };
        Self { books: Arc::new(Mutex::new(books)) }
    }

    /// All peers together, those forgotten included. A circuit counts once.
    pub fn total(&self) -> Usage {
        let books = self.books();
        let mut total = books.total;
        for open in books.open.values() {
            let bytes = open.meter.read().total();
            total.bytes_from = total.bytes_from.saturating_add(bytes);
            total.bytes_to = total.bytes_to.saturating_add(bytes);
        }
        total
    }

    /// One peer, unless it is forgotten.
    pub fn of(&self, peer: &PeerId) -> Option<Usage> {
        let books = self.books();
        let mut usage = books.peers.get(peer)?.usage;
        books.open.values().for_each(|open| open.charge(peer, &mut usage));
        Some(usage)
    }

    /// All peers that are remembered.
    pub fn peers(&self) -> Vec<(PeerId, Usage)> {
        let books = self.books();
        let mut peers: BTreeMap<_, _> =
            books.peers.iter().map(|(peer, account)| (*peer, account.usage)).collect();
        for open in books.open.values() {
            for peer in BTreeSet::from([open.source, open.destination]) {
                if let Some(usage) = peers.get_mut(&peer) {
                    open.charge(&peer, usage);
                }
            }
        }
        peers.into_iter().collect()
    }

    pub(crate) fn reserved(&self, peer: PeerId, renewed: bool) {
        let mut books = self.books();
        let new = u64::from(!renewed);
        books.total.reservations += 1;
        books.total.reserved += new;
        books.touch(peer, |usage| {
            usage.reservations += 1;
            usage.reserved = 1;
        });
    }

    pub(crate) fn reservation_ended(&self, peer: PeerId) {
        let mut books = self.books();
        books.total.reserved = books.total.reserved.saturating_sub(1);
        books.touch(peer, |usage| usage.reserved = 0);
    }

    /// Strangers that are only ever refused push nobody out.
    pub(crate) fn refused(&self, peer: PeerId) {
        let mut books = self.books();
        books.total.refusals += 1;
        if books.peers.contains_key(&peer) || books.peers.len() < books.capacity {
            books.touch(peer, |usage| usage.refusals += 1);
        }
    }

    pub(crate) fn opened(&self, id: CircuitId, source: PeerId, destination: PeerId, meter: Arc<Meter>) {
        let mut books = self.books();
        books.total.circuits += 1;
        books.total.circuits_out += 1;
        books.total.circuits_in += 1;
        books.touch(source, |usage| {
            usage.circuits += 1;
            usage.circuits_out += 1;
        });
        books.touch(destination, |usage| {
            usage.circuits += 1;
            usage.circuits_in += 1;
        });
        books.open.insert(id, Open { source, destination, meter });
    }

    /// What went through it; `None` if it was not open.
    pub(crate) fn closed(&self, id: CircuitId) -> Option<Bytes> {
        let mut books = self.books();
        let Open { source, destination, meter } = books.open.remove(&id)?;
        let bytes = meter.read();
        let total = &mut books.total;
        total.circuits_out = total.circuits_out.saturating_sub(1);
        total.circuits_in = total.circuits_in.saturating_sub(1);
        total.bytes_from = total.bytes_from.saturating_add(bytes.total());
        total.bytes_to = total.bytes_to.saturating_add(bytes.total());
        books.touch(source, |usage| {
            usage.circuits_out = usage.circuits_out.saturating_sub(1);
            usage.take(bytes.forth, bytes.back);
        });
        books.touch(destination, |usage| {
            usage.circuits_in = usage.circuits_in.saturating_sub(1);
            usage.take(bytes.back, bytes.forth);
        });
        Some(bytes)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usage {
    fn take(&mut self, from: u64, to: u64) {
        self.bytes_from = self.bytes_from.saturating_add(from);
        self.bytes_to = self.bytes_to.saturating_add(to);
    }

    fn is_idle(&self) -> bool {
        self.circuits_out == 0 && self.circuits_in == 0 && self.reserved == 0
    }
}

#[derive(Debug)]
struct Account {
    usage: Usage,
    /// Counts up with everything that happens.
    touched: u64,
}

#[derive(Debug)]
struct Open {
    source: PeerId,
    destination: PeerId,
    meter: Arc<Meter>,
}

impl Open {
    fn charge(&self, peer: &PeerId, usage: &mut Usage) {
        let bytes = self.meter.read();
        if self.source == *peer {
            usage.take(bytes.forth, bytes.back);
        }
        if self.destination == *peer {
            usage.take(bytes.back, bytes.forth);
        }
    }
}

#[derive(Debug, Default)]
struct Books {
    capacity: usize,
    clock: u64,
    total: Usage,
    peers: BTreeMap<PeerId, Account>,
    /// Peers that have nothing with us now, the one longest so first.
    idle: BTreeSet<(u64, PeerId)>,
    open: BTreeMap<CircuitId, Open>,
}

impl Books {
    fn touch(&mut self, peer: PeerId, change: impl FnOnce(&mut Usage)) {
        self.clock += 1;
        let account =
            self.peers.entry(peer).or_insert_with(|| Account { usage: Usage::default(), touched: 0 });
        self.idle.remove(&(account.touched, peer));
        account.touched = self.clock;
        change(&mut account.usage);
        if account.usage.is_idle() {
            self.idle.insert((self.clock, peer));
        }
        // Whoever is not idle stays: reservations and circuits have limits of their own.
        while self.peers.len() > self.capacity {
            let Some((_, peer)) = self.idle.pop_first() else { break };
            self.peers.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Way;

    fn circuits() -> impl Iterator<Item = CircuitId> {
        (0..).map(CircuitId::new_unchecked)
    }

    #[test]
    fn open_circuits_are_read_up_to_the_moment_and_charged_to_both() {
        let accounts = Accounts::new(8);
        let (source, destination) = (PeerId::random(), PeerId::random());
        let (meter, id) = (Arc::new(Meter::default()), circuits().next().expect("one"));

        accounts.opened(id, source, destination, meter.clone());
        meter.add(Way::Forth, 10);
        meter.add(Way::Back, 3);
        let open = accounts.peers();
        let closed = accounts.closed(id);
        meter.add(Way::Forth, 99);

        let of =
            |peer| *open.iter().find(|(other, _)| *other == peer).map(|(_, usage)| usage).expect("there");
        assert_eq!((of(source).bytes_from, of(source).bytes_to, of(source).circuits_out), (10, 3, 1));
        assert_eq!((of(destination).bytes_from, of(destination).bytes_to), (3, 10));
        assert_eq!(closed, Some(Bytes { forth: 10, back: 3 }));
        assert_eq!(accounts.closed(id), None);
        let after = accounts.of(&source).expect("remembered");
        assert_eq!((after.bytes_from, after.circuits_out, after.circuits), (10, 0, 1));
        assert_eq!((accounts.total().bytes_from, accounts.total().circuits), (13, 1));
    }

    #[test]
    fn who_has_nothing_here_is_forgotten_first_and_totals_stay() {
        let accounts = Accounts::new(3);
        let holder = PeerId::random();
        accounts.reserved(holder, false);
        for id in circuits().take(50) {
            accounts.opened(id, PeerId::random(), holder, Arc::default());
            accounts.closed(id);
        }

        assert_eq!(accounts.peers().len(), 3);
        assert_eq!(accounts.of(&holder).expect("it has a reservation").circuits, 50);
        assert_eq!(accounts.total().circuits, 50);
    }

    #[test]
    fn strangers_that_are_refused_push_nobody_out() {
        let accounts = Accounts::new(3);
        let guest = PeerId::random();
        accounts.reserved(guest, false);
        accounts.reservation_ended(guest);
        for _ in 0..50 {
            accounts.refused(PeerId::random());
        }
        accounts.refused(guest);

        assert_eq!((accounts.peers().len(), accounts.total().refusals), (3, 51));
        assert_eq!(accounts.of(&guest).map(|usage| (usage.reservations, usage.refusals)), Some((1, 1)));
    }
}
