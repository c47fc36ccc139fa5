//! The chain as a [`Backend`] that several tasks can ask, and the task that lets it grow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use causeway_bridge::{Backend, BackendError};
use causeway_wire::{Answer, HeadUpdate, Query};
use futures::future::{BoxFuture, FutureExt as _, ready};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::chain::{Counts, DevChain, Sample};
use crate::config::{Config, DevError};
use crate::genesis::PERIOD;

/// An in-process full node: the chain behind the seam that light peers are served from.
#[derive(Debug)]
pub struct DevBackend {
    /// Held for the time of one answer or one block, never across a suspension.
    chain: Mutex<DevChain>,
    heads: watch::Sender<Option<Arc<HeadUpdate>>>,
}

impl DevBackend {
    /// A full node whose chain grows only by [`Self::advance`] and [`Self::reorg`].
    ///
    /// # Errors
    /// As [`DevChain::new`].
    pub fn new(config: Config) -> Result<Self, DevError> {
        let chain = DevChain::new(config)?;
        let head = Arc::new(chain.head_update());
        Ok(Self { chain: Mutex::new(chain), heads: watch::Sender::new(Some(head)) })
    }

    /// A full node with a task that adds a block every [`PERIOD`] seconds until `stop` is cancelled.
    /// The chain's clock is `config.now` and what tokio's clock has counted since.
    ///
    /// # Errors
    /// As [`DevChain::new`].
    pub fn spawn(
        config: Config,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, DevError> {
        let backend = Arc::new(Self::new(config)?);
        tracker.spawn(Arc::clone(&backend).grow(config.now, stop));
        Ok(backend)
    }

    /// Seals one more block if it is time for one, and announces it; gives the new head.
    ///
    /// # Errors
    /// As [`DevChain::advance`].
    pub fn advance(&self, now: u64) -> Result<Option<Arc<HeadUpdate>>, DevError> {
        let mut chain = self.chain();
        Ok(chain.advance(now)?.map(|_| self.announce(&chain)))
    }

    /// Changes to another branch, and announces its head; gives the new head.
    ///
    /// # Errors
    /// As [`DevChain::reorg`].
    pub fn reorg(&self, depth: u64, now: u64) -> Result<Arc<HeadUpdate>, DevError> {
        let mut chain = self.chain();
        chain.reorg(depth, now)?;
        Ok(self.announce(&chain))
    }

    /// The head now.
    pub fn head(&self) -> Arc<HeadUpdate> {
        Arc::new(self.chain().head_update())
    }

    /// Something recent to ask for, as [`DevChain::sample`].
    pub fn sample(&self) -> Option<Sample> {
        self.chain().sample()
    }

    /// How much is held.
    pub fn counts(&self) -> Counts {
        self.chain().counts()
    }

    /// The blocks after genesis, as [`DevChain::export_rlp`].
    ///
    /// # Errors
    /// As [`DevChain::export_rlp`].
    pub fn export_rlp(&self) -> Result<Vec<u8>, DevError> {
        self.chain().export_rlp()
    }

    fn chain(&self) -> MutexGuard<'_, DevChain> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called under the chain's lock, so that heads go out in the order in which they came to be.
    fn announce(&self, chain: &DevChain) -> Arc<HeadUpdate> {
        let head = Arc::new(chain.head_update());
        self.heads.send_replace(Some(Arc::clone(&head)));
        head
    }

    async fn grow(self: Arc<Self>, began: u64, stop: CancellationToken) {
        let start = Instant::now();
        let period = Duration::from_secs(PERIOD);
        let mut ticks = interval_at(start + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            match self.advance(began + start.elapsed().as_secs()) {
                Ok(Some(head)) => debug!(number = head.head.number, hash = %head.head.hash, "block sealed"),
                Ok(None) => {}
                Err(error) => {
                    warn!(%error, "the development chain stands still");
                    break;
                }
            }
        }
    }
}

impl Backend for DevBackend {
    fn answer(&self, query: Query) -> BoxFuture<'_, Result<Answer, BackendError>> {
        ready(self.chain().answer(query)).boxed()
    }

    fn heads(&self) -> watch::Receiver<Option<Arc<HeadUpdate>>> {
        self.heads.subscribe()
    }
}
