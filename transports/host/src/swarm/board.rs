//! What the task shows to the handles, and what they leave for it without waiting.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use libp2p::Multiaddr;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ConnectionKey;

/// What the task shows to the handles.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(super) addresses: Mutex<BTreeMap<ListenerOrder, Vec<Multiaddr>>>,
    /// What others are told.
    external: Mutex<Vec<Multiaddr>>,
    /// Connections to close, until the task looks.
    pub(super) closing: Mutex<BTreeSet<ConnectionKey>>,
    pub(super) work: Notify,
    pub(super) connections: AtomicUsize,
    /// Asks the task to end.
    pub(crate) stop: CancellationToken,
    /// The task has ended.
    pub(crate) done: CancellationToken,
}

/// Listeners in the order in which they were configured.
pub(super) type ListenerOrder = usize;

impl Board {
    pub(crate) fn addresses(&self) -> Vec<Multiaddr> {
        locked(&self.addresses).values().flatten().cloned().collect()
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
