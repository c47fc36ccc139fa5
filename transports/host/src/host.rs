//! The handle of a running host, and the streams it gives out.

use causeway_wire::{Capability, PeerId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{ConnectionKey, HostConfig, HostError, ItemReader, ItemWriter, OpenError};

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

/// A running host. Cheap to clone; the host lives until [`Host::shutdown`] or until the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Host {}

impl Host {
    /// Binds every listener, then runs in a task of its own. The receiver yields the streams that others open.
    ///
    /// # Errors
    /// See [`HostError`]; nothing stays bound then.
    pub async fn start(_config: HostConfig) -> Result<(Self, mpsc::Receiver<ProtocolStream>), HostError> {
        todo!()
    }

    /// Our id.
    pub fn peer_id(&self) -> PeerId {
        todo!()
    }

    /// Our id as text, `16Uiu2…`.
    pub fn peer_id_text(&self) -> String {
        todo!()
    }

    /// Where the host listens now: multiaddrs with real ports and `/p2p/`, dialable as they stand. A listener on
    /// the unspecified address gives one for each address of the machine.
    pub fn addresses(&self) -> Vec<String> {
        todo!()
    }

    /// Opens a stream at `address`, proposing `protocols` in this order. An open connection to the peer over the
    /// same transport is used, else a new one is made. Without `/p2p/` whoever answers is taken.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do.
    pub async fn open(&self, _address: &str, _protocols: &[Capability]) -> Result<ProtocolStream, OpenError> {
        todo!()
    }

    /// Closes a connection with all its streams; nothing happens if it is gone already.
    pub fn close_connection(&self, _connection: ConnectionKey) {
        todo!()
    }

    /// Established connections, both directions.
    pub fn connections(&self) -> usize {
        todo!()
    }

    /// Returns once the host has ended, for whatever reason.
    pub async fn closed(&self) {
        todo!()
    }

    /// Closes every connection and listener, and waits for that within a limit.
    pub async fn shutdown(self) {
        todo!()
    }
}
