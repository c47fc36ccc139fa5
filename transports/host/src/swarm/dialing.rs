//! Connections that somebody asks for: dialed unless there is one, and what is to be done on them.

use std::time::Duration;

use libp2p::{
    PeerId, TransportError,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tracing::debug;

use super::Task;
use crate::{
    OpenError,
    convert::{Target, in_full},
    gate::refused_by_lists,
    guard::{NotDialed, Word, why_refused},
    reach::keeper::Failure,
    rendezvous::Ask,
    streams::OpenRequest,
};

/// A connection with `target`, and what is to be done on it.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) target: Target,
    pub(crate) word: Word,
    pub(crate) reuse: Reuse,
    pub(crate) job: Job,
}

/// What a connection is wanted for.
#[derive(Debug)]
pub(crate) enum Job {
    Stream(OpenRequest),
    Ask(Ask),
    /// A place at this relay.
    Reserve(PeerId),
    /// A circuit through a relay that is dialed first.
    Circuit(Box<Open>),
}

impl Job {
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Stream(request) => request.reply.is_closed(),
            Self::Ask(ask) => ask.reply.is_closed(),
            Self::Reserve(_) => false,
            Self::Circuit(open) => open.job.is_abandoned(),
        }
    }

    /// Says why there is no connection; if nobody waits any more, that is fine.
    pub(super) fn fail(self, error: OpenError) {
        debug!(%error, "no connection");
        match self {
            Self::Stream(request) => drop(request.reply.send(Err(error))),
            Self::Ask(ask) => drop(ask.reply.send(Err(error.into()))),
            Self::Reserve(_) => {} // the keeper is told by the task
            Self::Circuit(open) => open.job.fail(error),
        }
    }
}

/// Connections with a relay that are older than this may be dead, where a peer behind it is dialed afresh: younger ones
/// were made for such a dial.
const OLD: Duration = Duration::from_secs(10);

/// Whether an open connection may carry the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    Allowed,
    No,
}

impl Task {
    pub(super) fn open(&mut self, open: Open) {
        if open.reuse == Reuse::Allowed
            && let Some(peer) = open.target.peer
            && let Some(connection) = self.connection_for(&open.job, &peer, open.target.transport)
        {
            self.begin(peer, connection, open.job);
            return;
        }
        let Some(via) = open.target.via.as_deref() else { return self.dial(open) };
        let relay = via.clone();
        let old = match (open.reuse, relay.peer) {
            (Reuse::No, Some(peer)) => self.swarm.behaviour().streams.old_connections_with(&peer, OLD),
            (Reuse::No, None) | (Reuse::Allowed, _) => Vec::new(),
        };
        // A circuit goes over the oldest connection with its relay, which may be as dead as that with the peer.
        for connection in &old {
            self.swarm.close_connection(*connection);
        }
        if old.is_empty() && relay.peer.is_some_and(|peer| self.directly_connected(&peer)) {
            self.dial_circuit(open);
        } else {
            let (word, job) = (open.word, Job::Circuit(Box::new(open)));
            self.dial(Open { target: relay, word, reuse: Reuse::No, job });
        }
    }

    /// Dials without looking for a connection that is there.
    pub(super) fn dial(&mut self, open: Open) {
        let Open { target, word, job, .. } = open;
        // Relays see us at the port at which we listen, so that others may come in there. A second TCP connection from
        // the listening port to the same place would clash with the first.
        let from_listener = matches!(job, Job::Reserve(_) | Job::Circuit(_))
            && target.peer.is_some_and(|peer| !self.directly_connected(&peer));
        let options = dial_options(&target, from_listener);
        let connection = options.connection_id();
        let naming = self.naming.clone();
        match naming.on_word(word, || self.swarm.dial(options)) {
            Ok(()) => {
                self.dials.insert(connection, (target, job));
            }
            Err(error) => self.dial_failed(job, dial_error(&target, &error)),
        }
    }

    /// Says why there is no connection, to whoever waits for it.
    pub(super) fn dial_failed(&mut self, job: Job, error: OpenError) {
        if let Job::Reserve(peer) = &job {
            self.place_failed(peer, Failure::Gone);
        }
        job.fail(error);
    }

    /// An open connection: a protocol stream goes over the transport that was named, a question over any.
    fn connection_for(&self, job: &Job, peer: &PeerId, transport: &str) -> Option<ConnectionId> {
        let streams = &self.swarm.behaviour().streams;
        match job {
            Job::Stream(_) => streams.connection_with(peer, Some(transport)),
            Job::Ask(_) | Job::Reserve(_) | Job::Circuit(_) => streams.connection_with(peer, None),
        }
    }

    fn begin(&mut self, peer: PeerId, connection: ConnectionId, job: Job) {
        let behaviour = self.swarm.behaviour_mut();
        match job {
            Job::Stream(request) => behaviour.streams.open(connection, request),
            Job::Ask(ask) => behaviour.rendezvous.ask(peer, connection, ask),
            // Once it has said that it is a relay.
            Job::Reserve(_) => {}
            Job::Circuit(open) => self.dial_circuit(*open),
        }
    }

    /// A connection that we may have dialed for somebody.
    pub(super) fn dialed(&mut self, peer: PeerId, connection: ConnectionId) {
        let Some((_, job)) = self.dials.remove(&connection) else { return };
        if job.is_abandoned() {
            self.swarm.close_connection(connection); // who asked has given up
        } else {
            self.begin(peer, connection, job);
        }
    }
}

fn dial_options(target: &Target, from_listener: bool) -> DialOpts {
    let address = target.address.clone();
    match target.peer {
        Some(peer) => {
            let options = DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![address]);
            if from_listener || target.transport == "quic" {
                options.build()
            } else {
                options.allocate_new_port().build()
            }
        }
        None => {
            let options = DialOpts::unknown_peer_id().address(address);
            if from_listener || target.transport == "quic" {
                options.build()
            } else {
                options.allocate_new_port().build()
            }
        }
    }
}

pub(super) fn dial_error(target: &Target, error: &DialError) -> OpenError {
    let address = target.text.clone();
    match error {
        DialError::WrongPeerId { obtained, .. } => OpenError::WrongPeer {
            address,
            expected: target.peer.as_ref().map(PeerId::to_string).unwrap_or_default(),
            obtained: obtained.to_string(),
        },
        // The swarm takes the addresses on which we listen out of the one address that it is given.
        DialError::LocalPeerId { .. } | DialError::NoAddresses => OpenError::Oneself(address),
        DialError::Denied { cause } => match refused_by_lists(cause) {
            Some(denied) => OpenError::Denied(denied),
            None => OpenError::Refused(in_full(cause)),
        },
        DialError::Aborted | DialError::DialPeerConditionFalse(_) => OpenError::ConnectionLost,
        DialError::Transport(attempts) => {
            if let [(_, TransportError::MultiaddrNotSupported(_))] = attempts.as_slice() {
                let reason = "no transport of this host dials it".to_owned();
                return OpenError::Address { address, reason };
            }
            if let [(_, TransportError::Other(error))] = attempts.as_slice()
                && let Some(why) = why_refused(error)
            {
                return match why {
                    NotDialed::StrangersWord(ip) => OpenError::NotAllowed { ip },
                    NotDialed::Denied(denied) => OpenError::Denied(denied),
                };
            }
            let reasons: Vec<String> = attempts.iter().map(|(_, error)| in_full(error)).collect();
            OpenError::Unreachable { address, reason: reasons.join("; ") }
        }
    }
}
