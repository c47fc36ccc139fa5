//! Asks rendezvous points: registers this host, and finds others. Believes only what is signed.

use std::{collections::BTreeMap, future::Future, time::Duration};

use causeway_wire::{NodeKey, PeerId};
use libp2p::{Multiaddr, multiaddr::Protocol as Part};
use tokio::{sync::oneshot, time::timeout};
use tracing::debug;

use super::{
    RendezvousError,
    handler::{Answered, Ask},
    message::{Page, Refusal, Registration, RendezvousStatus, Request, Response},
    record::{self, Form, SignedRecord},
    registry::MAX_NAMESPACE,
};
use crate::{
    Host, OpenError,
    convert::{Target, clean_agent},
    guard::Word,
    identity::{node_key, wire_peer_id},
    swarm::{Job, Open, Reuse, with_peer},
};

/// Bytes of a record that are read; the largest that our own server takes are the same by default.
const MAX_RECORD: usize = 4 * 1024;

/// Addresses in a record above which it is not believed.
const MAX_RECORD_ADDRESSES: usize = 64;

/// Addresses kept of a peer.
const MAX_ADDRESSES: usize = 16;

/// Bytes of an address above which it is dropped.
const MAX_ADDRESS: usize = 256;

/// Registrations asked for in one page.
const PAGE: usize = 100;

/// Pages asked for: a rendezvous point that gives one registration a page has no more of our time.
const MAX_PAGES: usize = 20;

/// Bytes of a cookie that are sent back.
const MAX_COOKIE: usize = 1024;

/// Longest time that a registration is believed to last; the specification's own maximum.
const MAX_TTL: Duration = Duration::from_secs(72 * 60 * 60);

/// Everything that one call does at a rendezvous point.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Addresses that are registered.
const MAX_REGISTERED: usize = 16;

/// A peer that registered itself, with the addresses that it signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// Who it is.
    pub peer: PeerId,
    /// Its key on devp2p, if its identity is a secp256k1 key.
    pub node_key: Option<NodeKey>,
    /// Where it says it is: multiaddrs with `/p2p/`, its own words and so perhaps private ones or nonsense.
    pub addresses: Vec<String>,
    /// How long its registration lasts.
    pub ttl: Duration,
}

impl Host {
    /// Registers this host at the rendezvous point `at` (a multiaddr with `/p2p/`) with its external addresses.
    /// Returns the time granted; [`Renewal`](crate::Renewal) says when to register again.
    ///
    /// # Errors
    /// See [`RendezvousError`]; [`RendezvousError::NoAddresses`] where no external address is known.
    pub async fn register(
        &self,
        at: &str,
        namespace: &str,
        ttl: Duration,
    ) -> Result<Duration, RendezvousError> {
        self.register_as(at, namespace, ttl, &self.external_addresses()).await
    }

    /// The same with other addresses than the external ones, for a host in a network of its own.
    ///
    /// # Errors
    /// See [`RendezvousError`].
    pub async fn register_as(
        &self,
        at: &str,
        namespace: &str,
        ttl: Duration,
        addresses: &[String],
    ) -> Result<Duration, RendezvousError> {
        check_namespace(namespace)?;
        let own = libp2p::PeerId::from_public_key(&self.keypair.public());
        let addresses = addresses
            .iter()
            .take(MAX_REGISTERED)
            .map(|address| {
                let parsed: Multiaddr = address.parse().map_err(|error| RendezvousError::Address {
                    address: address.clone(),
                    reason: format!("{error}"),
                })?;
                Ok(without_peer(parsed, own))
            })
            .collect::<Result<Vec<_>, RendezvousError>>()?;
        if addresses.is_empty() {
            return Err(RendezvousError::NoAddresses);
        }
        let target = rendezvous_point(at)?;
        within(async {
            match self.register_in(&target, namespace, ttl, addresses.clone(), Form::Standard).await {
                // rust-libp2p's own drops the stream at a record that it cannot read.
                Err(
                    RendezvousError::Lost(_)
                    | RendezvousError::Refused { status: RendezvousStatus::InvalidSignedPeerRecord, .. },
                ) => self.register_in(&target, namespace, ttl, addresses, Form::RustLibp2p).await,
                result => result,
            }
        })
        .await
    }

    async fn register_in(
        &self,
        target: &Target,
        namespace: &str,
        ttl: Duration,
        addresses: Vec<Multiaddr>,
        form: Form,
    ) -> Result<Duration, RendezvousError> {
        let record = record::sign(&self.keypair, addresses, form).map_err(RendezvousError::Sign)?;
        let seconds = ttl.as_secs();
        let request = Request::Register { namespace: namespace.to_owned(), record, ttl: Some(seconds) };
        match Response::decode(&self.ask(target, &request).await?, 0)? {
            Response::Registered(Ok(granted)) => {
                Ok(Duration::from_secs(granted.unwrap_or(seconds)).min(MAX_TTL))
            }
            Response::Registered(Err(refusal)) => Err(refused(refusal)),
            Response::Discovered(_) => Err(RendezvousError::Mismatch),
        }
    }

    /// Takes this host's registration in `namespace` back. Rendezvous points do not answer to that, so success
    /// says only that it was sent.
    ///
    /// # Errors
    /// See [`RendezvousError`].
    pub async fn unregister(&self, at: &str, namespace: &str) -> Result<(), RendezvousError> {
        check_namespace(namespace)?;
        let request = Request::Unregister { namespace: namespace.to_owned() };
        within(self.ask(&rendezvous_point(at)?, &request)).await.map(drop)
    }

    /// Asks the rendezvous point `at` for up to `limit` peers in `namespace`, page after page. Records that are
    /// not signed by the peer they name are dropped, and so is this host's own.
    ///
    /// # Errors
    /// See [`RendezvousError`]. If a later page fails, what was found before is returned.
    pub async fn discover(
        &self,
        at: &str,
        namespace: &str,
        limit: usize,
    ) -> Result<Vec<Discovered>, RendezvousError> {
        check_namespace(namespace)?;
        let target = rendezvous_point(at)?;
        let own = self.peer_id();
        let mut found = BTreeMap::new();
        let result = within(async {
            let mut cookie = Vec::new();
            for _ in 0..MAX_PAGES {
                let wanted = PAGE.min(limit.saturating_sub(found.len()));
                if wanted == 0 {
                    break;
                }
                let Page { registrations, cookie: next } =
                    self.page(&target, namespace, wanted, cookie).await?;
                let ended = registrations.is_empty() || next.is_empty() || next.len() > MAX_COOKIE;
                for registration in registrations {
                    if let Some(peer) = believed(namespace, &registration)
                        && peer.peer != own
                    {
                        found.insert(peer.peer, peer); // a renewal on a later page is newer
                    }
                }
                if ended {
                    break;
                }
                cookie = next;
            }
            Ok(())
        })
        .await;
        match result {
            Err(error) if found.is_empty() => Err(error),
            Err(error) => {
                debug!(%error, found = found.len(), "discovery at a rendezvous point cut short");
                Ok(found.into_values().collect())
            }
            Ok(()) => Ok(found.into_values().collect()),
        }
    }

    async fn page(
        &self,
        target: &Target,
        namespace: &str,
        wanted: usize,
        cookie: Vec<u8>,
    ) -> Result<Page, RendezvousError> {
        let limit = Some(wanted as u64);
        let request = Request::Discover { namespace: Some(namespace.to_owned()), limit, cookie };
        let answer = self.ask(target, &request).await?;
        match Response::decode(&answer, wanted)? {
            Response::Discovered(Ok(page)) => Ok(page),
            Response::Discovered(Err(refusal)) => Err(refused(refusal)),
            Response::Registered(_) => Err(RendezvousError::Mismatch),
        }
    }

    /// The answer's bytes. An open connection is used; one that is opened for this is left to idle out.
    async fn ask(&self, target: &Target, request: &Request) -> Result<Vec<u8>, RendezvousError> {
        match self.ask_over(target, request, Reuse::Allowed).await {
            // The connection that was there may have been a dead one.
            Err(RendezvousError::Open(OpenError::ConnectionLost)) => {
                self.ask_over(target, request, Reuse::No).await
            }
            result => result,
        }
    }

    async fn ask_over(
        &self,
        target: &Target,
        request: &Request,
        reuse: Reuse,
    ) -> Result<Vec<u8>, RendezvousError> {
        let answered = match request {
            Request::Register { .. } | Request::Discover { .. } => Answered::Yes,
            Request::Unregister { .. } => Answered::No,
        };
        let (reply, answer) = oneshot::channel();
        let job = Job::Ask(Ask { request: request.encode(), answered, reply });
        // Whoever made the point known may be a stranger; a connection that is open already is used anyway.
        self.hand_over(Open { target: target.clone(), word: Word::Stranger, reuse, job }).await?;
        match answer.await {
            Ok(result) => result,
            Err(_dropped) => Err(self.gone().into()),
        }
    }
}

/// Where a rendezvous point is. Its identity must be given: its word decides whom we dial.
fn rendezvous_point(at: &str) -> Result<Target, RendezvousError> {
    let target = Target::parse(at)?;
    match target.peer {
        Some(_) => Ok(target),
        None => Err(RendezvousError::NoPeer(at.to_owned())),
    }
}

async fn within<T>(call: impl Future<Output = Result<T, RendezvousError>>) -> Result<T, RendezvousError> {
    let limit = CALL_TIMEOUT;
    timeout(limit, call).await.unwrap_or(Err(RendezvousError::Timeout { limit }))
}

fn check_namespace(namespace: &str) -> Result<(), RendezvousError> {
    match namespace.len() {
        1..=MAX_NAMESPACE => Ok(()),
        length => Err(RendezvousError::Namespace { length, limit: MAX_NAMESPACE }),
    }
}

fn refused(refusal: Refusal) -> RendezvousError {
    RendezvousError::Refused { status: refusal.status, text: clean_agent(&refusal.text) }
}

/// What a registration says, if its peer said it.
fn believed(namespace: &str, registration: &Registration) -> Option<Discovered> {
    if registration.namespace != namespace {
        debug!("registration of another namespace dropped");
        return None;
    }
    let record = match SignedRecord::verify(&registration.record, MAX_RECORD, MAX_RECORD_ADDRESSES) {
        Ok(record) => record,
        Err(reason) => {
            debug!(%reason, "registration dropped");
            return None;
        }
    };
    let addresses: Vec<String> = record
        .addresses
        .into_iter()
        .filter(|address| leads_to(address, record.peer))
        .map(|address| with_peer(address, record.peer).to_string())
        .filter(|address| address.len() <= MAX_ADDRESS)
        .take(MAX_ADDRESSES)
        .collect();
    let peer = wire_peer_id(&record.peer);
    let ttl = Duration::from_secs(registration.ttl).min(MAX_TTL);
    (!addresses.is_empty()).then(|| Discovered { peer, node_key: node_key(&peer), addresses, ttl })
}

/// Whether `address` names no other peer at its end.
fn leads_to(address: &Multiaddr, peer: libp2p::PeerId) -> bool {
    match address.iter().last() {
        Some(Part::P2p(named)) => named == peer,
        _ => true,
    }
}

/// In a record the peer stands beside the addresses, not in each of them.
fn without_peer(mut address: Multiaddr, peer: libp2p::PeerId) -> Multiaddr {
    if address.iter().last() == Some(Part::P2p(peer)) {
        address.pop();
    }
    address
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    fn registration(keypair: &Keypair, addresses: &[&str]) -> Registration {
        let addresses = addresses.iter().map(|address| address.parse().expect("multiaddr")).collect();
        let record = record::sign(keypair, addresses, Form::Standard).expect("signed");
        Registration { namespace: "les/1".to_owned(), record, ttl: u64::MAX }
    }

    #[test]
    fn a_signed_record_is_believed_as_far_as_it_goes() {
        let keypair = Keypair::generate_ed25519();
        let (own, other) = (keypair.public().to_peer_id(), Keypair::generate_ed25519().public().to_peer_id());
        let others = format!("/ip4/192.0.2.2/tcp/1/p2p/{other}");
        let long = format!("/dns4/{}/tcp/1", "a".repeat(250));
        let given = registration(&keypair, &["/ip4/192.0.2.1/tcp/1", &others, &long]);

        let peer = believed("les/1", &given).expect("believed");

        assert_eq!(peer.peer, wire_peer_id(&own));
        assert_eq!(peer.addresses, [format!("/ip4/192.0.2.1/tcp/1/p2p/{own}")]);
        assert_eq!((peer.ttl, peer.node_key), (MAX_TTL, None));
        assert_eq!(believed("les/2", &given), None);
        assert_eq!(believed("les/1", &registration(&keypair, &[&others])), None, "nothing left");
    }

    #[test]
    fn forged_and_endless_records_are_dropped() {
        let keypair = Keypair::generate_ed25519();
        let mut forged = registration(&keypair, &["/ip4/192.0.2.1/tcp/1"]);
        *forged.record.last_mut().expect("bytes") ^= 1;
        let many = registration(&keypair, &["/ip4/192.0.2.1/tcp/1"; 40]);
        let too_many = registration(&keypair, &["/ip4/192.0.2.1/tcp/1"; 65]);

        assert_eq!(believed("les/1", &forged), None);
        assert_eq!(believed("les/1", &many).map(|peer| peer.addresses.len()), Some(MAX_ADDRESSES));
        assert_eq!(believed("les/1", &too_many), None);
    }

    #[test]
    fn a_rendezvous_point_has_a_name() {
        assert!(matches!(rendezvous_point("/ip4/127.0.0.1/tcp/1"), Err(RendezvousError::NoPeer(_))));
        assert!(matches!(rendezvous_point("x"), Err(RendezvousError::Open(OpenError::Address { .. }))));
        assert!(check_namespace("").is_err() && check_namespace(&"a".repeat(256)).is_err());
    }
}
