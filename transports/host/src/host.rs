//! The handle of a running host, and the streams it gives out.

use std::{sync::Arc, time::Duration};

use causeway_wire::{Capability, PeerId};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    ConnectionKey, HostConfig, HostError, ItemReader, ItemWriter, OpenError,
    behaviour::Behaviour,
    convert::{Protocol, Target},
    identity, stack,
    streams::{OpenRequest, Streams, Terms},
    swarm::{Board, Open, Reuse, Task, with_peer},
};

/// A stream with an agreed protocol. Dropping both halves ends it (what was written but not yet
/// taken by the peer may be lost: [`ItemWriter::close`] first if that matters).
#[derive(Debug)]
pub struct ProtocolStream {
    /// Who is at the other end; proven by the connection's handshake.
    pub peer: PeerId,
    /// The connection that carries it.
    pub connection: ConnectionKey,
    /// `tcp`, `quic` or `ws`.
    pub transport: &'static str,
    /// The protocol agreed on.
    pub capability: Capability,
    /// How the peer calls itself in identify; empty if that is not known yet.
    pub agent: String,
    /// Cancelled once the host knows that the stream is over although nobody reads it: its connection is gone,
    /// or the peer ended it and waits with a new one for its place. Drop both halves then.
    pub ended: CancellationToken,
    /// What the peer sends.
    pub reader: ItemReader,
    /// What is sent to the peer.
    pub writer: ItemWriter,
}

/// A running host. Cheap to clone. It lives until [`Host::shutdown`] or until the last handle is dropped; its
/// streams end with it.
#[derive(Clone, Debug)]
pub struct Host {
    peer: libp2p::PeerId,
    open_timeout: Duration,
    opens: mpsc::Sender<Open>,
    board: Arc<Board>,
}

/// Requests to open a stream that wait for the swarm's task; the next wait in [`Host::open`].
const OPENS: usize = 64;

impl Host {
    /// Binds every listener, then runs in a task of its own. The receiver yields the streams that others open;
    /// while it is full they wait on their connections.
    ///
    /// # Errors
    /// See [`HostError`]; nothing stays bound then.
    pub async fn start(config: HostConfig) -> Result<(Self, mpsc::Receiver<ProtocolStream>), HostError> {
        let HostConfig { secret_key, listen, protocols, agent, external_addresses, item_limits, limits } =
            config;
        let keypair = identity::keypair(&secret_key)?;
        let peer = keypair.public().to_peer_id();
        let offered = protocols
            .iter()
            .map(|capability| {
                Protocol::new(capability).ok_or_else(|| HostError::Protocol(capability.to_string()))
            })
            .collect::<Result<_, _>>()?;
        let (inbox, streams) = mpsc::channel(limits.untaken_streams.max(1));
        let (opens, opens_receiver) = mpsc::channel(OPENS);

        let transport = stack::build(&keypair, &limits)?;
        let terms = Terms { offered, item_limits, limits: limits.clone(), inbox };
        let behaviour = Behaviour::new(keypair.public(), agent, &limits, Streams::new(terms));
        let swarm_config = libp2p::swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(limits.idle_timeout)
            .with_max_negotiating_inbound_streams(limits.negotiating_streams);
        let mut swarm = libp2p::Swarm::new(transport, behaviour, peer, swarm_config);
        for address in external_addresses {
            match address.parse() {
                Ok(parsed) => swarm.add_external_address(parsed),
                Err(error) => return Err(HostError::ExternalAddress { address, reason: error.to_string() }),
            }
        }

        let board = Arc::new(Board::default());
        let mut task = Task::new(swarm, board.clone(), opens_receiver);
        task.bind(&listen).await?;
        tokio::spawn(task.supervise());
        Ok((Self { peer, open_timeout: limits.open_timeout, opens, board }, streams))
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

    /// Opens a stream at `address`, proposing `protocols` in this order. An open connection to the peer over the
    /// same transport is used, else a new one is made. Without `/p2p/` whoever answers is taken.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub async fn open(&self, address: &str, protocols: &[Capability]) -> Result<ProtocolStream, OpenError> {
        let target = Target::parse(address)?;
        let protocols: Arc<[Protocol]> = protocols
            .iter()
            .map(|capability| {
                Protocol::new(capability).ok_or_else(|| OpenError::Protocol(capability.to_string()))
            })
            .collect::<Result<_, _>>()?;
        if protocols.is_empty() {
            return Err(OpenError::Protocol("none was given".to_owned()));
        }
        let limit = self.open_timeout;
        let attempt = async {
            match self.request(&target, &protocols, Reuse::Allowed).await {
                // The connection that was there may have been a dead one.
                Err(OpenError::ConnectionLost) => self.request(&target, &protocols, Reuse::No).await,
                result => result,
            }
        };
        timeout(limit, attempt).await.map_err(|_elapsed| OpenError::Timeout { limit })?
    }

    async fn request(
        &self,
        target: &Target,
        protocols: &Arc<[Protocol]>,
        reuse: Reuse,
    ) -> Result<ProtocolStream, OpenError> {
        let (reply, answer) = oneshot::channel();
        let request = OpenRequest { protocols: protocols.clone(), reply };
        let open = Open { target: target.clone(), request, reuse };
        self.opens.send(open).await.map_err(|_gone| OpenError::HostClosed)?;
        match answer.await {
            Ok(result) => result,
            Err(_dropped) if self.board.done.is_cancelled() => Err(OpenError::HostClosed),
            Err(_dropped) => Err(OpenError::ConnectionLost),
        }
    }

    /// Closes a connection with all its streams; nothing happens if it is gone already.
    pub fn close_connection(&self, connection: ConnectionKey) {
        self.board.close(connection);
    }

    /// Established connections, both directions.
    pub fn connections(&self) -> usize {
        self.board.connections()
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
