//! A rendezvous point: answers requests one after the other on each stream.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use libp2p::PeerId;
use tokio::time::{Instant, timeout};

use super::{
    RendezvousLimits,
    message::{Malformed, Refusal, RendezvousStatus, Request, Response},
    record::SignedRecord,
    registry::{Registering, Registry},
};
use crate::{
    frame::{self, FrameError},
    gate::Origin,
    identity::wire_peer_id,
};

/// Bytes of a request beside its record: a namespace, a cookie, a few numbers.
const REQUEST_OVERHEAD: usize = 1024;

/// Requests answered on one stream; the usual number is one.
const REQUESTS_PER_STREAM: usize = 16;

/// Time for a request to arrive, and for an answer to be taken.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a stream was given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("nothing came or was taken within {STEP_TIMEOUT:?}")]
    Timeout,
}

/// The server of a host; its connections share it.
#[derive(Debug)]
pub(crate) struct Server {
    limits: RendezvousLimits,
    registry: Mutex<Registry>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) peer: PeerId,
    pub(crate) origin: Option<Origin>,
}

impl Server {
    pub(crate) fn new(limits: RendezvousLimits) -> Self {
        let registry = Registry::new(limits.clone(), rand::random(), Instant::now());
        Self { limits, registry: Mutex::new(registry) }
    }

    pub(crate) fn registrations(&self) -> usize {
        let mut registry = self.lock();
        registry.expire(Instant::now());
        registry.len()
    }

    /// Answers what comes on a stream until it ends.
    pub(crate) async fn serve(
        &self,
        asker: Asker,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<(), ServeError> {
        let limit = self.limits.record.saturating_add(REQUEST_OVERHEAD);
        for _ in 0..REQUESTS_PER_STREAM {
            let request = timeout(STEP_TIMEOUT, frame::read(&mut stream, limit));
            let Some(request) = request.await.map_err(|_| ServeError::Timeout)?? else { break };
            if let Some(response) = self.answer(asker, Request::decode(&request)?, Instant::now()) {
                let response = response.encode();
                let writing = timeout(STEP_TIMEOUT, frame::write(&mut stream, &response));
                writing.await.map_err(|_| ServeError::Timeout)?.map_err(FrameError::Io)?;
            }
        }
        let _ = timeout(STEP_TIMEOUT, stream.close()).await; // everything was answered: its end matters to nobody
        Ok(())
    }

    /// What `asker` is told; to `Unregister` nothing.
    pub(crate) fn answer(&self, asker: Asker, request: Request, now: Instant) -> Option<Response> {
        let Asker { peer, origin } = asker;
        let admitted = self.lock().admit(peer, origin, now);
        let response = match request {
            Request::Register { namespace, record, ttl } => Response::Registered(admitted.and_then(|()| {
                self.verify(&peer, &record)?;
                let new = Registering { peer, origin, namespace, record, ttl };
                self.lock().register(new, now).map(Some)
            })),
            Request::Unregister { namespace } => {
                if admitted.is_ok() {
                    self.lock().unregister(&peer, &namespace);
                }
                return None;
            }
            Request::Discover { namespace, limit, cookie } => Response::Discovered(
                admitted.and_then(|()| self.lock().discover(namespace.as_deref(), limit, &cookie, now)),
            ),
        };
        if let Response::Registered(Err(refusal)) | Response::Discovered(Err(refusal)) = &response {
            tracing::debug!(peer = %wire_peer_id(&peer), status = %refusal.status, reason = refusal.text,
                "rendezvous request refused");
        }
        Some(response)
    }

    fn verify(&self, peer: &PeerId, record: &[u8]) -> Result<(), Refusal> {
        let record = SignedRecord::verify(record, self.limits.record, self.limits.addresses)
            .map_err(|error| Refusal::new(RendezvousStatus::InvalidSignedPeerRecord, error.to_string()))?;
        if record.peer != *peer {
            return Err(Refusal::new(RendezvousStatus::NotAuthorized, "the record is another peer's"));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
