//! The handle of a running host, and the streams it gives out.

mod reaching;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use causeway_wire::{Capability, PeerId};
use libp2p::{Multiaddr, identity::Keypair};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Agent, CertificateFiles, ConnectionKey, HostConfig, HostError, ItemReader, ItemWriter, Listen, Lists,
    OpenError, Rules,
    certificate::Identity,
    convert::{Protocol, Target},
    guard::{Doorman, Word},
    heart::Heart,
    identity,
    lists::SharedRules,
    reach::keeper::Relay,
    rendezvous::Server,
    streams::{OpenRequest, Terms},
    swarm::{Board, Factory, Job, Open, Order, Reuse, Supervisor, with_peer},
};

/// A stream with an agreed protocol. Dropping both halves ends it (what was written but not yet
/// taken by the peer may be lost: [`ItemWriter::close`] first if that matters).
#[derive(Debug)]
pub struct ProtocolStream {
    /// Who is at the other end; proven by the connection's handshake.
    pub peer: PeerId,
    /// The connection that carries it.
    pub connection: ConnectionKey,
    /// `tcp`, `quic`, `ws` or `wss`.
    pub transport: &'static str,
    /// The protocol agreed on.
    pub capability: Capability,
    /// How the peer calls itself in identify.
    pub agent: Agent,
    /// Cancelled once the host knows that the stream is over although nobody reads it: its connection is gone,
    /// or the peer ended it and waits with a new one for its place. Drop both halves then.
    pub ended: CancellationToken,
    /// The heartbeat of its connection.
    pub heart: Heart,
    /// What the peer sends.
    pub reader: ItemReader,
    /// What is sent to the peer.
    pub writer: ItemWriter,
}

/// A running host. Cheap to clone. It lives until [`Host::shutdown`] or until the last handle is dropped; its
/// streams end with it. A defect costs its connections only: it is built anew where it was, see
/// [`Host::restarts`].
#[derive(Clone, Debug)]
pub struct Host {
    peer: libp2p::PeerId,
    /// Its Debug shows the public half only.
    pub(crate) keypair: Keypair,
    open_timeout: Duration,
    orders: mpsc::Sender<Order>,
    board: Arc<Board>,
    /// If this is a rendezvous point.
    server: Option<Arc<Server>>,
    /// If there are secure WebSockets.
    identity: Option<Arc<Identity>>,
}

/// Orders that wait for the swarm's task; the next wait with those who give them.
const ORDERS: usize = 64;

/// External addresses told to others; a record with more is refused by most.
const MAX_EXTERNAL_ADDRESSES: usize = 16;

impl Host {
    /// Binds every listener, then runs in a task of its own. The receiver yields the streams that others open;
    /// while it is full they wait on their connections.
    ///
    /// # Errors
    /// See [`HostError`]; nothing stays bound then.
    pub async fn start(config: HostConfig) -> Result<(Self, mpsc::Receiver<ProtocolStream>), HostError> {
        let HostConfig {
            secret_key,
            listen,
            certificate,
            trusted_roots,
            protocols,
            agent,
            external_addresses,
            dial_guard,
            rendezvous_server,
            reach,
            item_limits,
            limits,
            lists,
        } = config;
        let keypair = identity::keypair(&secret_key)?;
        let peer = keypair.public().to_peer_id();
        let offered = protocols
            .iter()
            .map(|capability| {
                Protocol::new(capability).ok_or_else(|| HostError::Protocol(capability.to_string()))
            })
            .collect::<Result<_, _>>()?;
        let (inbox, streams) = mpsc::channel(limits.untaken_streams.max(1));
        let (orders, orders_receiver) = mpsc::channel(ORDERS);

        let identity = identity_for(&listen, certificate)?;
        let rules = SharedRules::default();
        rules.set(Rules::new(&lists));
        let server = rendezvous_server.map(|limits| Arc::new(Server::new(limits)));
        let open_timeout = limits.open_timeout;
        check_relays(&reach.relays)?;
        let board = Arc::new(Board::default());
        board.set_external(external_multiaddrs(&external_addresses)?);
        let factory = Factory {
            keypair: keypair.clone(),
            agent,
            listen,
            identity: identity.clone(),
            trusted_roots,
            doorman: Doorman { guard: dial_guard, rules },
            server: server.clone(),
            reach,
            terms: Arc::new(Terms { offered, item_limits, limits, inbox, keys: AtomicU64::new(1) }),
            board: board.clone(),
        };
        let supervisor = Supervisor::new(factory, orders_receiver);
        let first = supervisor.start().await?;
        tokio::spawn(supervisor.run(first));
        if let Some(identity) = &identity {
            tokio::spawn(Arc::clone(identity).watch(board.done.clone()));
        }
        Ok((Self { peer, keypair, open_timeout, orders, board, server, identity }, streams))
    }

    /// Our id.
    pub fn peer_id(&self) -> PeerId {
        identity::wire_peer_id(&self.peer)
    }

    /// Our id as text, `16Uiu2…`.
    pub fn peer_id_text(&self) -> String {
        self.peer.to_base58()
    }

    /// Where the host listens now: multiaddrs with real ports and `/p2p/`, dialable as they stand. A listener on
    /// the unspecified address gives one for each address of the machine.
    pub fn addresses(&self) -> Vec<String> {
        let dialable = |address| with_peer(address, self.peer).to_string();
        self.board.addresses().into_iter().map(dialable).collect()
    }

    /// The addresses that others are told, as [`Host::set_external_addresses`] or the configuration gave them.
    pub fn external_addresses(&self) -> Vec<String> {
        self.board.external().iter().map(ToString::to_string).collect()
    }

    /// Replaces the addresses that others are told: by identify on connections from now on, and by what is
    /// registered at rendezvous points from now on.
    ///
    /// # Errors
    /// If one of them is no multiaddr, if there are too many, or if the host is shut down. The old ones stay then.
    pub async fn set_external_addresses(&self, addresses: Vec<String>) -> Result<(), HostError> {
        let addresses = external_multiaddrs(&addresses)?;
        self.orders.send(Order::Announce(addresses.clone())).await.map_err(|_gone| HostError::Closed)?;
        self.board.set_external(addresses);
        Ok(())
    }

    /// Replaces the lists of who is let in, at once: connections with whoever they deny are closed, others stay as
    /// they are. Returns how many were closed. Where a connection dialed by a DNS name leads is not remembered:
    /// it is closed for its peer only.
    ///
    /// # Errors
    /// If the host is shut down.
    pub async fn set_lists(&self, lists: &Lists) -> Result<usize, HostError> {
        let rules = Rules::new(lists);
        loop {
            let (reply, answer) = oneshot::channel();
            let order = Order::Lists(rules.clone(), reply);
            self.orders.send(order).await.map_err(|_gone| HostError::Closed)?;
            match answer.await {
                Ok(closed) => return Ok(closed),
                Err(_dropped) if self.board.done.is_cancelled() => return Err(HostError::Closed),
                Err(_dropped) => {} // by a swarm that failed over it: the next one has to know them too
            }
        }
    }

    /// Reads the certificate's files now, without waiting until it is seen that they changed.
    ///
    /// # Errors
    /// If they cannot be used; the certificate that was read before stays in use. If there is none.
    pub async fn reload_certificate(&self) -> Result<(), HostError> {
        let identity = self.identity.clone().ok_or(HostError::NoCertificate)?;
        let read = tokio::task::spawn_blocking(move || identity.reload());
        Ok(read.await.map_err(|_ended| HostError::Closed)??)
    }

    /// The DNS names that the certificate is for, as far as others can look them up; without wildcards.
    pub fn certificate_names(&self) -> Vec<String> {
        self.identity.as_ref().map(|identity| identity.names()).unwrap_or_default()
    }

    /// Registrations held here, if this host is a rendezvous point.
    pub fn rendezvous_registrations(&self) -> Option<usize> {
        self.server.as_ref().map(|server| server.registrations())
    }

    /// Opens a stream at `address`, proposing `protocols` in this order. An open connection to the peer over the
    /// same transport is used, else a new one is made, if the dial guard lets us dial where the address leads.
    /// Without `/p2p/` whoever answers is taken.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub async fn open(&self, address: &str, protocols: &[Capability]) -> Result<ProtocolStream, OpenError> {
        self.open_on(Word::Stranger, address, protocols).await
    }

    /// The same at an address that the user named: it is dialed wherever it leads.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub async fn open_named(
        &self,
        address: &str,
        protocols: &[Capability],
    ) -> Result<ProtocolStream, OpenError> {
        self.open_on(Word::User, address, protocols).await
    }

    /// [`Host::open`] on a connection of its own, never on one that is there: that may be a dead one.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub async fn open_fresh(
        &self,
        address: &str,
        protocols: &[Capability],
    ) -> Result<ProtocolStream, OpenError> {
        self.open_anew(Word::Stranger, address, protocols).await
    }

    /// The same at an address that the user named.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub async fn open_fresh_named(
        &self,
        address: &str,
        protocols: &[Capability],
    ) -> Result<ProtocolStream, OpenError> {
        self.open_anew(Word::User, address, protocols).await
    }

    async fn open_anew(
        &self,
        word: Word,
        address: &str,
        protocols: &[Capability],
    ) -> Result<ProtocolStream, OpenError> {
        let target = Target::parse(address)?;
        let protocols = proposed(protocols)?;
        let limit = self.open_timeout;
        let attempt = self.request(&target, word, &protocols, Reuse::No);
        timeout(limit, attempt).await.map_err(|_elapsed| OpenError::Timeout { limit })?
    }

    async fn open_on(
        &self,
        word: Word,
        address: &str,
        protocols: &[Capability],
    ) -> Result<ProtocolStream, OpenError> {
        let target = Target::parse(address)?;
        let protocols = proposed(protocols)?;
        let limit = self.open_timeout;
        let attempt = async {
            let first = timeout(limit / 2, self.request(&target, word, &protocols, Reuse::Allowed));
            match first.await {
                // The connection that was there may have been a dead one, also one that does not know it yet.
                Ok(Err(OpenError::ConnectionLost)) | Err(_) => {
                    self.request(&target, word, &protocols, Reuse::No).await
                }
                Ok(result) => result,
            }
        };
        timeout(limit, attempt).await.map_err(|_elapsed| OpenError::Timeout { limit })?
    }

    async fn request(
        &self,
        target: &Target,
        word: Word,
        protocols: &Arc<[Protocol]>,
        reuse: Reuse,
    ) -> Result<ProtocolStream, OpenError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Stream(OpenRequest { protocols: protocols.clone(), reply });
        self.hand_over(Open { target: target.clone(), word, reuse, job }).await?;
        match answer.await {
            Ok(result) => result,
            Err(_dropped) => Err(self.gone()),
        }
    }

    pub(crate) async fn hand_over(&self, open: Open) -> Result<(), OpenError> {
        self.orders.send(Order::Open(open)).await.map_err(|_gone| OpenError::HostClosed)
    }

    /// Why a request was dropped without an answer.
    pub(crate) fn gone(&self) -> OpenError {
        if self.board.done.is_cancelled() { OpenError::HostClosed } else { OpenError::ConnectionLost }
    }

    /// Closes a connection with all its streams; nothing happens if it is gone already.
    pub fn close_connection(&self, connection: ConnectionKey) {
        self.board.close(connection);
    }

    /// Established connections, both directions.
    pub fn connections(&self) -> usize {
        self.board.connections()
    }

    /// How often the host had to be built anew since it was started, after a defect or when nothing could be heard
    /// any more: its connections were lost then, all else went on.
    pub fn restarts(&self) -> u64 {
        self.board.restarts()
    }

    /// Makes the host panic, for tests of what comes then.
    #[doc(hidden)]
    pub async fn panic_for_test(&self) {
        let _ = self.orders.send(Order::Panic).await; // one that has ended does not panic
    }

    /// Returns once the host has ended, for whatever reason.
    pub async fn closed(&self) {
        self.board.done.cancelled().await;
    }

    /// Closes every connection and listener, and waits for that within a limit.
    pub async fn shutdown(self) {
        self.board.stop.cancel();
        self.closed().await;
    }
}

fn proposed(protocols: &[Capability]) -> Result<Arc<[Protocol]>, OpenError> {
    let protocols: Arc<[Protocol]> = protocols
        .iter()
        .map(|capability| {
            Protocol::new(capability).ok_or_else(|| OpenError::Protocol(capability.to_string()))
        })
        .collect::<Result<_, _>>()?;
    if protocols.is_empty() {
        return Err(OpenError::Protocol("none was given".to_owned()));
    }
    Ok(protocols)
}

fn check_relays(relays: &[String]) -> Result<(), HostError> {
    match relays.iter().find(|text| Relay::parse(text, Word::User).is_none()) {
        Some(address) => Err(HostError::Relay(address.clone())),
        None => Ok(()),
    }
}

/// The certificate for secure WebSockets; read only if there are any.
fn identity_for(
    listen: &[Listen],
    certificate: Option<CertificateFiles>,
) -> Result<Option<Arc<Identity>>, HostError> {
    if !listen.iter().any(|listen| matches!(listen, Listen::SecureWebSocket(_))) {
        return Ok(None);
    }
    let files = certificate.ok_or(HostError::NoCertificate)?;
    Ok(Some(Arc::new(Identity::load(files)?)))
}

fn external_multiaddrs(addresses: &[String]) -> Result<Vec<Multiaddr>, HostError> {
    let (count, limit) = (addresses.len(), MAX_EXTERNAL_ADDRESSES);
    if count > limit {
        return Err(HostError::TooManyExternalAddresses { count, limit });
    }
    let parse = |address: &String| {
        address.parse().map_err(|error: libp2p::multiaddr::Error| HostError::ExternalAddress {
            address: address.clone(),
            reason: error.to_string(),
        })
    };
    addresses.iter().map(parse).collect()
}
