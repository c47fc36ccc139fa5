//! What can go wrong when a host starts or opens a stream, and what to do about it.

use std::{net::IpAddr, time::Duration};

use crate::{CertificateError, Denied};

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The secret key is zero or beyond the curve's order.
    #[error(transparent)]
    Key(#[from] crate::InvalidSecretKey),
    /// A protocol whose name cannot stand in a protocol id.
    #[error("protocol name {0:?} cannot be written as /name/version")]
    Protocol(String),
    /// More external addresses than are told to others.
    #[error("{count} external addresses; {limit} are told to others")]
    TooManyExternalAddresses {
        /// How many there are.
        count: usize,
        /// The most there may be.
        limit: usize,
    },
    /// The host is shut down.
    #[error("the host is shut down")]
    Closed,
    /// An external address that is no multiaddr.
    #[error("external address {address:?} is not a multiaddr: {reason}")]
    ExternalAddress {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A relay that the user named by something else than its multiaddr.
    #[error(
        "relay {0:?} is no relay's address; it should look like /ip4/192.0.2.1/udp/30314/quic-v1/p2p/16Uiu2…"
    )]
    Relay(String),
    /// The transports could not be put together.
    #[error("transport {transport} could not be set up: {reason}")]
    Transport {
        /// Its name.
        transport: &'static str,
        /// What failed.
        reason: String,
    },
    /// A certificate that cannot be used.
    #[error("secure WebSocket: {0}")]
    Certificate(#[from] CertificateError),
    /// A secure WebSocket is to be opened without a certificate.
    #[error("a secure WebSocket needs a certificate and its key as PEM files")]
    NoCertificate,
    /// A socket that could not be bound.
    #[error("cannot listen on {address}: {reason}; is the port taken, or the address another machine's?")]
    Bind {
        /// The multiaddr.
        address: String,
        /// The system's reason.
        reason: String,
    },
}

/// Why a stream was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The address is no multiaddr, or one of a transport that this host does not have.
    #[error(
        "address {address:?} cannot be dialed: {reason}; it should look like /ip4/192.0.2.1/udp/30314/quic-v1/p2p/16Uiu2…"
    )]
    Address {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No protocol was proposed, or one whose name cannot stand in a protocol id.
    #[error("no protocol that can be proposed: {0}")]
    Protocol(String),
    /// Nobody answers there.
    #[error("nobody could be reached at {address}: {reason}; check host, port and firewall")]
    Unreachable {
        /// The address dialed.
        address: String,
        /// What the transport said.
        reason: String,
    },
    /// A stranger's address leads where the guard does not let us dial.
    #[error("{ip} is not dialed on a stranger's word; name the peer yourself if it is meant")]
    NotAllowed {
        /// Where it leads, after names were resolved.
        ip: IpAddr,
    },
    /// Somebody else answered.
    #[error(
        "expected peer {expected} at {address} but {obtained} answered; the address is out of date or taken over"
    )]
    WrongPeer {
        /// The address dialed.
        address: String,
        /// The peer that the address names.
        expected: String,
        /// The peer that answered.
        obtained: String,
    },
    /// The address leads back to this host.
    #[error("address {0} is this host itself")]
    Oneself(String),
    /// The connection is not let in by our own limits.
    #[error("our own limits refuse the connection: {0}; close another one first")]
    Refused(String),
    /// Our own lists refuse the peer or its network.
    #[error("not connected: {0}; change the lists if it is meant")]
    Denied(Denied),
    /// The peer speaks none of the protocols.
    #[error("the peer speaks none of {proposed}")]
    NoSharedProtocol {
        /// What was proposed, as `les/4, les/3`.
        proposed: String,
    },
    /// Too many of our protocol streams on the connection.
    #[error("{limit} protocol streams are open on the connection already")]
    TooManyStreams {
        /// The limit.
        limit: usize,
    },
    /// The connection went away meanwhile.
    #[error("the connection was lost while the stream was being opened; try again")]
    ConnectionLost,
    /// It took too long.
    #[error("no stream within {limit:?}; the peer is overloaded or the path drops packets")]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The host is shut down.
    #[error("the host is shut down")]
    HostClosed,
}
