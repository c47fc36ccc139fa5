//! What can fail, by what was tried: the transport itself, a handshake, a session.

use std::{io, time::Duration};

use sctp_proto::AssociationError;

use crate::{certificate::CertificateError, gate::Full};

/// The transport cannot do what it was asked, or a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It was asked to dial.
    #[error("this transport listens only; it cannot dial WebRTC-direct")]
    DialingUnsupported,
    /// It was asked to listen on an address with the hash of a certificate.
    #[error("cannot listen on the hash of a certificate: it follows from the identity")]
    CerthashInListenAddress,
    /// The socket could not be opened.
    #[error("cannot open the socket")]
    Socket(#[source] io::Error),
    /// The machine's addresses could not be watched.
    #[error("cannot watch the network interfaces")]
    Interfaces(#[source] io::Error),
    /// Noise does not take the identity.
    #[error("Noise refuses the identity")]
    Identity(#[source] libp2p_noise::Error),
    /// The configuration of DTLS cannot be.
    #[error("DTLS refuses its configuration")]
    Dtls(#[from] dimpl::Error),
    /// There is no certificate.
    #[error("cannot make a certificate")]
    Certificate(#[from] CertificateError),
    /// A client did not get as far as a session.
    #[error("handshake failed")]
    Handshake(#[from] HandshakeError),
}

/// A client did not get as far as a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A limit is reached.
    #[error("refused: {0}")]
    Full(#[from] Full),
    /// It took too long.
    #[error("not finished within {0:?}")]
    Timeout(Duration),
    /// The connection ended first.
    #[error("the connection ended")]
    Session(#[from] SessionError),
    /// DTLS was done without a certificate of the client.
    #[error("the client showed no certificate")]
    NoCertificate,
    /// The client did not show who it is.
    #[error("Noise failed")]
    Noise(#[from] libp2p_noise::Error),
}

/// A session is over.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer closed it.
    #[error("closed by the peer")]
    ClosedByPeer,
    /// We closed it.
    #[error("closed by us")]
    ClosedHere,
    /// Nothing came for too long.
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    /// DTLS failed.
    #[error("DTLS failed")]
    Dtls(#[from] dimpl::Error),
    /// SCTP failed.
    #[error("SCTP failed")]
    Association(#[source] AssociationError),
    /// The peer goes on opening streams, of which it may have so many.
    #[error("the peer opens more than {0} streams")]
    TooManyStreams(usize),
    /// The peer sends crumbs that take more memory than what they carry.
    #[error("the peer has {0} small pieces of messages wait")]
    Crumbs(u64),
    /// The task of the connection is gone.
    #[error("the connection's task is gone")]
    TaskGone,
}
