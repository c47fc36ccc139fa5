//! What can fail, by what was tried: the transport itself, a handshake, a session.

use std::io;

use quinn_proto::crypto::rustls::NoInitialCipherSuite;

use crate::{
    certificate::CertificateError,
    gate::Full,
    http3::{
        capsule::CapsuleError, code, frame::FrameError, qpack::QpackError, request::RequestError,
        settings::SettingsError,
    },
};

/// The transport cannot do what it was asked, or a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It was asked to dial.
    #[error("this transport listens only; it cannot dial WebTransport")]
    DialingUnsupported,
    /// It was asked to listen on an address with the hash of a certificate.
    #[error("cannot listen on the hash of a certificate: they follow from the identity and the date")]
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
    /// The configuration of TLS cannot be.
    #[error("TLS refuses its configuration")]
    Tls(#[from] rustls::Error),
    /// TLS lacks what QUIC's first packets are sealed with.
    #[error("TLS cannot carry QUIC")]
    Suite(#[from] NoInitialCipherSuite),
    /// There are no certificates.
    #[error("cannot make certificates")]
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
    Timeout(std::time::Duration),
    /// The connection ended first.
    #[error("the connection ended")]
    Connection(#[from] quinn::ConnectionError),
    /// The first stream holds no request.
    #[error("no request came")]
    NoRequest,
    /// The header fields cannot be read.
    #[error("cannot read the header fields")]
    Fields(#[from] QpackError),
    /// The request is not for a session.
    #[error("not libp2p's request")]
    Request(#[from] RequestError),
    /// Our answer could not be written.
    #[error("cannot answer")]
    Answer(#[from] quinn::WriteError),
    /// The client did not show who it is.
    #[error("Noise failed")]
    Noise(#[from] libp2p_noise::Error),
    /// The rules of the session were broken already.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl HandshakeError {
    pub(crate) fn code(&self) -> u64 {
        match self {
            Self::Full(_) | Self::Timeout(_) => code::H3_EXCESSIVE_LOAD,
            Self::Connection(_) | Self::Request(_) => code::H3_NO_ERROR,
            Self::NoRequest => code::H3_MESSAGE_ERROR,
            Self::Fields(_) => code::QPACK_DECOMPRESSION_FAILED,
            Self::Answer(_) => code::H3_INTERNAL_ERROR,
            Self::Noise(_) => code::H3_GENERAL_PROTOCOL_ERROR,
            Self::Session(error) => error.code(),
        }
    }
}

/// A session is over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer closed it.
    #[error("closed by the peer with code {code}: {reason:?}")]
    Closed {
        /// The application's code; 0 if none was given.
        code: u32,
        /// Words for people.
        reason: String,
    },
    /// We closed it.
    #[error("closed by us")]
    ClosedHere,
    /// The connection ended.
    #[error("the connection ended")]
    Connection(#[from] quinn::ConnectionError),
    /// A frame broke the rules.
    #[error("broken frame")]
    Frame(#[from] FrameError),
    /// The client's settings cannot be.
    #[error("broken settings")]
    Settings(#[from] SettingsError),
    /// A capsule broke the rules.
    #[error("broken capsule")]
    Capsule(#[from] CapsuleError),
    /// A stream that must stay was ended by the peer.
    #[error("the peer ended its {0} stream")]
    CriticalStream(&'static str),
    /// A stream that may be there once, or not at all from a client.
    #[error("the peer opened a stream of type {0:#x} that it must not open")]
    StreamCreation(u64),
    /// More than is useful on a stream that lasts as long as the connection.
    #[error("more than {max} bytes on the {stream} stream")]
    Excess {
        /// Which.
        stream: &'static str,
        /// The most that is read.
        max: u64,
    },
    /// A stream could not be written.
    #[error("cannot write the header of a stream")]
    Write(#[from] quinn::WriteError),
}

impl SessionError {
    pub(crate) fn code(&self) -> u64 {
        match self {
            Self::Closed { .. } | Self::ClosedHere | Self::Connection(_) | Self::Write(_) => {
                code::H3_NO_ERROR
            }
            Self::Frame(FrameError::Unexpected(_)) => code::H3_FRAME_UNEXPECTED,
            Self::Frame(FrameError::BeforeSettings(_)) => code::H3_MISSING_SETTINGS,
            Self::Frame(FrameError::TooLong { .. }) => code::H3_EXCESSIVE_LOAD,
            Self::Frame(FrameError::Cut) => code::H3_FRAME_ERROR,
            Self::Settings(_) => code::H3_SETTINGS_ERROR,
            Self::Capsule(_) => code::H3_MESSAGE_ERROR,
            Self::CriticalStream(_) => code::H3_CLOSED_CRITICAL_STREAM,
            Self::StreamCreation(_) => code::H3_STREAM_CREATION_ERROR,
            Self::Excess { .. } => code::H3_EXCESSIVE_LOAD,
        }
    }
}
