//! Why discovery does not start, and why a question gets no answer.

use std::{io, net::SocketAddr};

use super::{MAX_TALK, MAX_TALK_PROTOCOL};

/// Why discovery did not start.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// A socket cannot be had.
    #[error("cannot bind UDP on {addr}")]
    Bind {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A socket cannot be used.
    #[error("cannot listen on the UDP socket")]
    Listen(#[source] io::Error),
    /// The record is signed by another key.
    #[error("our node record is not signed by our key")]
    Key,
    /// A rate that cannot be kept.
    #[error("a rate limit of discovery is not usable: {0}")]
    Limits(&'static str),
    /// The crate did not start.
    #[error("discv5 did not start: {0}")]
    Discv5(String),
}

/// Why a question got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// discv5 is off, or has stopped.
    #[error("discv5 is not running")]
    Stopped,
    /// The record has no address that our sockets reach.
    #[error("the record has no UDP address that we can reach")]
    NoAddress,
    /// It is our own.
    #[error("the record is our own")]
    Ourselves,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// Something else went wrong with it.
    #[error("the request failed: {0}")]
    Failed(String),
}

/// Why a TALKREQ got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TalkError {
    /// Larger than [`MAX_TALK`].
    #[error("a request of {length} bytes is over the limit of {MAX_TALK}")]
    TooLarge {
        /// Its size.
        length: usize,
    },
    /// A longer name than [`MAX_TALK_PROTOCOL`].
    #[error("a protocol's name of {length} bytes is over the limit of {MAX_TALK_PROTOCOL}")]
    ProtocolTooLong {
        /// Its length.
        length: usize,
    },
    /// As every question.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl From<discv5::RequestError> for RequestError {
    fn from(error: discv5::RequestError) -> Self {
        match error {
            discv5::RequestError::Timeout => Self::Timeout,
            discv5::RequestError::SelfRequest => Self::Ourselves,
            discv5::RequestError::ServiceNotStarted | discv5::RequestError::ChannelFailed(_) => Self::Stopped,
            other => Self::Failed(format!("{other:?}")),
        }
    }
}
