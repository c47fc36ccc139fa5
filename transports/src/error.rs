//! What can go wrong when transports start or a peer is dialed, and what to do about it.

use std::{error::Error, fmt::Write as _, io, net::SocketAddr, time::Duration};

use causeway_host::{Denied, HostError, OpenError};
use causeway_rlpx::DisconnectReason;

/// Why the transports did not start. Nothing stays bound then.
#[derive(Debug, thiserror::Error)]
pub enum TransportsError {
    /// The RLPx listener.
    #[error(
        "cannot listen for devp2p on {addr}: {source}; is the port taken, or the address another machine's?"
    )]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The libp2p host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A name of the secure WebSocket that is none.
    #[error(
        "{0:?} is not a DNS name, or NAME:PORT; it should look like relay.example.org or relay.example.org:443"
    )]
    Name(String),
}

/// Why a dial gave no session; each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address is this node.
    #[error("the address is this node itself; name another one")]
    Myself,
    /// There is a session with that peer, or it says so (having not noticed the end of the last one).
    #[error("already connected to this peer; if it was lost just now, try again in half a minute")]
    AlreadyConnected,
    /// A stranger's address leads where the guard does not let us dial.
    #[error("{addr} is not dialed on a stranger's word; name the peer yourself if it is meant")]
    NotAllowed {
        /// Where it leads.
        addr: SocketAddr,
    },
    /// Our own lists refuse the peer or its network.
    #[error("not connected: {0}; change the lists if it is meant")]
    Denied(Denied),
    /// The system could not connect.
    #[error(
        "no TCP connection to {addr}: {source}; check address, port and firewall, and that the node runs"
    )]
    Unreachable {
        /// Where.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// No session within the limit.
    #[error("no session within {limit:?}; the node is overloaded, or something on the way drops packets")]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The peer could not read our handshake or we not its: the key is another one's.
    #[error(
        "the node at {addr} does not hold the key in its address: {detail}; compare it with the enode that the \
         node prints (geth also hangs up on who dialed it less than 30 s ago)"
    )]
    WrongKey {
        /// Where.
        addr: SocketAddr,
        /// What was seen.
        detail: String,
    },
    /// It has too many peers.
    #[error("the node has too many peers; try again in a minute, or make us a trusted peer of it")]
    TooManyPeers,
    /// It shares no capability with us.
    #[error("the node speaks none of {ours}; it must serve one of them")]
    Useless {
        /// What we offered.
        ours: String,
    },
    /// It disconnected for another reason.
    #[error("the node disconnected: {reason}")]
    Disconnected {
        /// Its reason; `None` if it gave none.
        reason: Reason,
    },
    /// It broke a rule of RLPx.
    #[error("the node broke a rule: {0}")]
    Fault(String),
    /// The connection broke during the handshake.
    #[error("the connection to {addr} was lost during the handshake: {detail}; try again")]
    Lost {
        /// Where.
        addr: SocketAddr,
        /// How.
        detail: String,
    },
    /// The libp2p host could not open a stream.
    #[error(transparent)]
    Libp2p(#[from] OpenError),
    /// The transports are going down.
    #[error("the transports are shut down")]
    Closing,
}

/// A devp2p reason in the texts of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub Option<u8>);

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(code) => DisconnectReason::from_code(code).fmt(f),
            None => f.write_str("no reason given"),
        }
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}"); // writing to a string does not fail
        cause = error.source();
    }
    text
}
