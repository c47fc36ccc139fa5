//! Who answers which TALKREQ, and how much strangers may ask.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use causeway_records::Network;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;

use super::rate::{Buckets, Rate};

/// Largest request or answer: with the protocol's name it fits a packet of 1,280 bytes inside a session.
pub const MAX_TALK: usize = 1100;

/// Largest request that fits the packet that opens a session, beside its signature, key and record of 300 bytes.
pub(super) const MAX_OPENING_TALK: usize = 700;

/// Longest name of a protocol.
pub const MAX_TALK_PROTOCOL: usize = 64;

/// A node that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TalkPeer {
    /// Its id, proven by the session.
    pub node_id: B256,
    /// Where it asks from.
    pub addr: SocketAddr,
}

/// Answers the requests of one protocol.
pub trait TalkHandler: Send + Sync {
    /// The answer; empty means no.
    fn answer(&self, from: TalkPeer, request: &[u8]) -> BoxFuture<'static, Vec<u8>>;
}

/// How much is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TalkLimits {
    /// Answers in the making at once.
    pub at_once: usize,
    /// Time for an answer; who waits for longer has asked again.
    pub deadline: Duration,
    /// What one node may ask.
    pub node: Rate,
    /// What the nodes of a /24, or a /56 of IPv6, may ask together.
    pub subnet: Rate,
}

impl Default for TalkLimits {
    fn default() -> Self {
        Self {
            at_once: 64,
            deadline: Duration::from_millis(200),
            node: Rate { burst: 20, every: Duration::from_millis(100) },
            subnet: Rate { burst: 100, every: Duration::from_millis(20) },
        }
    }
}

/// Why a request got the empty answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TalkRefusal {
    #[error("nobody here speaks the protocol")]
    Unknown,
    #[error("the node asks too often")]
    Node,
    #[error("the node's subnet asks too often")]
    Subnet,
    #[error("too many answers are in the making")]
    Busy,
    #[error("the answer took too long")]
    Late,
    #[error("the answer is over {MAX_TALK} bytes")]
    TooLarge,
}

/// The protocols that are spoken by TALKREQ. Cheap to clone; a protocol may be added at any time.
#[derive(Clone)]
pub struct TalkRegistry {
    shared: Arc<Shared>,
}

struct Shared {
    handlers: RwLock<BTreeMap<Vec<u8>, Arc<dyn TalkHandler>>>,
    limits: TalkLimits,
    slots: Arc<Semaphore>,
    asked: Mutex<(Buckets<B256>, Buckets<Network>)>,
    served: AtomicU64,
    refused: AtomicU64,
}

/// The leave to answer one request.
pub(super) struct Admitted {
    handler: Arc<dyn TalkHandler>,
    _slot: OwnedSemaphorePermit,
}

impl TalkRegistry {
    /// Speaks no protocol yet.
    pub fn new() -> Self {
        Self::within(TalkLimits::default())
    }

    /// The same with other limits.
    pub fn within(limits: TalkLimits) -> Self {
        let asked = Mutex::new((Buckets::new(limits.node), Buckets::new(limits.subnet)));
        Self {
            shared: Arc::new(Shared {
                handlers: RwLock::default(),
                limits,
                slots: Arc::new(Semaphore::new(limits.at_once)),
                asked,
                served: AtomicU64::new(0),
                refused: AtomicU64::new(0),
            }),
        }
    }

    /// Lets `handler` answer requests of `protocol`, in place of an earlier one.
    pub fn register(&self, protocol: &[u8], handler: Arc<dyn TalkHandler>) {
        let mut handlers = self.shared.handlers.write().unwrap_or_else(PoisonError::into_inner);
        handlers.insert(protocol.to_vec(), handler);
    }

    /// Requests answered, and refused.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.shared.served.load(Ordering::Relaxed), self.shared.refused.load(Ordering::Relaxed))
    }

    /// Whether `from` may ask now, and who answers.
    pub(super) fn admit(
        &self,
        from: TalkPeer,
        protocol: &[u8],
        now: Instant,
    ) -> Result<Admitted, TalkRefusal> {
        let admitted = self.judge(from, protocol, now);
        if let Err(refusal) = &admitted {
            self.refuse(from, *refusal);
        }
        admitted
    }

    fn judge(&self, from: TalkPeer, protocol: &[u8], now: Instant) -> Result<Admitted, TalkRefusal> {
        {
            let (nodes, subnets) = &mut *self.asked();
            // Each is counted even where the other refuses: a flood is not to find out which.
            let (node, subnet) = (nodes.take(from.node_id, now), subnets.take(from.addr.ip().into(), now));
            if !node {
                return Err(TalkRefusal::Node);
            }
            if !subnet {
                return Err(TalkRefusal::Subnet);
            }
        }
        let handlers = self.shared.handlers.read().unwrap_or_else(PoisonError::into_inner);
        let handler = handlers.get(protocol).map(Arc::clone).ok_or(TalkRefusal::Unknown)?;
        let slot = Arc::clone(&self.shared.slots).try_acquire_owned().map_err(|_| TalkRefusal::Busy)?;
        Ok(Admitted { handler, _slot: slot })
    }

    /// Makes the answer; empty if there is none in time, or none that fits.
    pub(super) async fn answer(&self, admitted: Admitted, from: TalkPeer, request: &[u8]) -> Vec<u8> {
        let answer = admitted.handler.answer(from, request);
        let refusal = match tokio::time::timeout(self.shared.limits.deadline, answer).await {
            Ok(answer) if answer.len() <= MAX_TALK => {
                self.shared.served.fetch_add(1, Ordering::Relaxed);
                return answer;
            }
            Ok(_) => TalkRefusal::TooLarge,
            Err(_) => TalkRefusal::Late,
        };
        self.refuse(from, refusal);
        Vec::new()
    }

    fn refuse(&self, from: TalkPeer, refusal: TalkRefusal) {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
        debug!(node = %from.node_id, addr = %from.addr, %refusal, "TALKREQ got the empty answer");
    }

    fn asked(&self) -> MutexGuard<'_, (Buckets<B256>, Buckets<Network>)> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TalkRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TalkRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TalkRegistry").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// Answers with so many bytes, or never.
    struct Sized(Option<usize>);

    impl TalkHandler for Sized {
        fn answer(&self, _: TalkPeer, _: &[u8]) -> BoxFuture<'static, Vec<u8>> {
            match self.0 {
                Some(size) => std::future::ready(vec![1; size]).boxed(),
                None => std::future::pending().boxed(),
            }
        }
    }

    fn peer(number: u8) -> TalkPeer {
        TalkPeer { node_id: B256::repeat_byte(number), addr: SocketAddr::from(([192, 0, 2, number], 1)) }
    }

    fn registry(size: Option<usize>) -> TalkRegistry {
        let limits = TalkLimits {
            at_once: 2,
            deadline: Duration::from_millis(1),
            node: Rate { burst: 3, every: Duration::from_secs(1) },
            subnet: Rate { burst: 5, every: Duration::from_secs(1) },
        };
        let registry = TalkRegistry::within(limits);
        registry.register(b"test", Arc::new(Sized(size)));
        registry
    }

    async fn ask(registry: &TalkRegistry) -> Vec<u8> {
        let admitted = registry.admit(peer(1), b"test", Instant::now()).unwrap_or_else(|why| panic!("{why}"));
        registry.answer(admitted, peer(1), b"").await
    }

    #[test]
    fn a_node_and_its_subnet_are_held_to_their_rates() {
        let (registry, now) = (registry(Some(1)), Instant::now());
        let ask = |number| registry.admit(peer(number), b"test", now).map(drop);

        assert_eq!([ask(1), ask(1), ask(1)], [Ok(()); 3]);
        assert_eq!(ask(1), Err(TalkRefusal::Node));
        assert_eq!(ask(2), Ok(()));
        assert_eq!(ask(2), Err(TalkRefusal::Subnet));
        assert_eq!(registry.counts(), (0, 2));
    }

    #[test]
    fn unknown_protocols_and_requests_beyond_the_slots_are_refused() {
        let (registry, now) = (registry(Some(1)), Instant::now());

        let refusal = registry.admit(peer(1), b"other", now).map(drop);
        let held: Vec<_> = (2..=3).map(|number| registry.admit(peer(number), b"test", now)).collect();

        assert_eq!(refusal, Err(TalkRefusal::Unknown));
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(registry.admit(peer(4), b"test", now).map(drop), Err(TalkRefusal::Busy));
    }

    #[tokio::test]
    async fn answers_that_do_not_fit_or_take_too_long_are_empty() {
        assert_eq!(ask(&registry(Some(MAX_TALK))).await.len(), MAX_TALK);
        assert_eq!(ask(&registry(Some(MAX_TALK + 1))).await.len(), 0);
        assert_eq!(ask(&registry(None)).await.len(), 0);
    }
}
