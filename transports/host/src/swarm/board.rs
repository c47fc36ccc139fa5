//! What the task shows to the handles, and what they leave for it without waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use circuit::Accounts;
use libp2p::Multiaddr;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{ConnectionKey, reach::log::ReachLog};

/// What the task shows to the handles.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(super) addresses: Mutex<BTreeMap<SocketIndex, Vec<Multiaddr>>>,
    /// What others are told.
    external: Mutex<Vec<Multiaddr>>,
    /// Connections to close, until the task looks.
    pub(super) closing: Mutex<BTreeSet<ConnectionKey>>,
    pub(super) work: Notify,
    pub(super) connections: AtomicUsize,
    /// What is found out about how we are reached.
    pub(crate) reach: ReachLog,
    /// What others take of the circuits that we relay.
    accounts: Mutex<Option<Accounts>>,
    restarts: AtomicU64,
    /// Tasks of connections that panicked, since the swarm was built.
    broken: AtomicUsize,
    /// Asks the task to end.
    pub(crate) stop: CancellationToken,
    /// The task has ended.
    pub(crate) done: CancellationToken,
}

/// Sockets to listen on, in the order in which they were configured; those of IPv4 before those of IPv6.
pub(super) type SocketIndex = usize;

impl Board {
    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        locked(&self.addresses).values().flatten().cloned().collect()
    }

    /// Lets those who watch how we are reached see where we listen.
    pub(super) fn listening(&self) {
        self.reach.listening(self.addresses().iter().map(ToString::to_string).collect());
    }

    pub(super) fn set_accounts(&self, accounts: Accounts) {
        *locked(&self.accounts) = Some(accounts);
    }

    /// What others take of the circuits that we relay.
    pub(crate) fn accounts(&self) -> Option<Accounts> {
        locked(&self.accounts).clone()
    }

    pub(crate) fn external(&self) -> Vec<Multiaddr> {
        locked(&self.external).clone()
    }

    pub(crate) fn set_external(&self, addresses: Vec<Multiaddr>) {
        *locked(&self.external) = addresses;
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How often the swarm was built anew.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Forgets what was true of a swarm that is no more.
    pub(super) fn clear(&self) {
        self.connections.store(0, Ordering::Relaxed);
        self.broken.store(0, Ordering::Relaxed);
        locked(&self.addresses).clear();
        locked(&self.closing).clear();
        self.reach.clear();
    }

    pub(super) fn count_restart(&self) -> u64 {
        self.restarts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that the task of a connection panicked.
    pub(super) fn broke(&self) {
        self.broken.fetch_add(1, Ordering::Relaxed);
        self.work.notify_one();
    }

    pub(super) fn broken(&self) -> usize {
        self.broken.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self, connection: ConnectionKey) {
        if !self.done.is_cancelled() {
            locked(&self.closing).insert(connection);
            self.work.notify_one();
        }
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
