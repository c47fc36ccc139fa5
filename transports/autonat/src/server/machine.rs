//! Decides what becomes of each request. No IO, no clock.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;
use rand::{RngExt as _, rngs::StdRng};

use super::{Config, Counters, Event, Outcome, OverLimit, rates::Rates};
use crate::{
    address::{NotATarget, Target},
    message::{DialDataRequest, DialRequest, DialResponse, DialStatus},
};

/// Bytes that are asked for before another IP address than the asker's is dialed, at least.
pub(super) const MIN_PAYMENT: u64 = 30_000;

/// And at most.
pub(super) const MAX_PAYMENT: u64 = 100_000;

/// Names a request: its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) connection: ConnectionId,
    pub(super) stream: u64,
}

/// What must be done.
#[derive(Debug)]
pub(super) enum Command {
    /// Read the request.
    Read {
        asker: PeerId,
        key: Key,
    },
    /// Ask for data and read it.
    Charge {
        asker: PeerId,
        key: Key,
        request: DialDataRequest,
    },
    /// Answer, and that was it.
    Answer {
        asker: PeerId,
        key: Key,
        response: DialResponse,
    },
    /// Dial the asker, and nobody else, at this address, on a new connection.
    Dial {
        asker: PeerId,
        key: Key,
        address: Multiaddr,
    },
    Report(Event),
}

#[derive(Debug)]
struct Request {
    asker: PeerId,
    /// `None` if the connection has none.
    ip: Option<IpAddr>,
    /// The data that came.
    paid: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The request is being read.
    Reading,
    /// So is the data.
    Paying(Job, u64),
    /// A while before the dial.
    Pausing(Job, Instant),
    /// Given up at this time.
    Dialing(Job, Instant),
    /// The nonce is being handed over on the new connection.
    DialingBack(Job),
    /// Nobody waits for the answer any more, but the swarm has not ended the dial yet.
    Forsaken,
}

/// What is to be dialed.
#[derive(Clone, Debug)]
struct Job {
    address: Multiaddr,
    index: usize,
    nonce: u64,
}

/// Drained with [`Self::poll_command`] after each call of `handle_*`.
#[derive(Debug)]
pub(super) struct Machine {
    config: Config,
    rates: Rates,
    requests: BTreeMap<Key, Request>,
    commands: VecDeque<Command>,
    counters: Counters,
    rng: StdRng,
}

impl Machine {
    pub(super) fn new(config: Config, rng: StdRng) -> Self {
        Self {
            config,
            rates: Rates::default(),
            requests: BTreeMap::new(),
            commands: VecDeque::new(),
            counters: Counters::default(),
            rng,
        }
    }

    /// A stream was opened.
    pub(super) fn handle_stream(&mut self, key: Key, asker: PeerId, ip: Option<IpAddr>, now: Instant) {
        match self.admit(asker, ip, now) {
            Ok(()) => {
                self.requests.insert(key, Request { asker, ip, paid: 0, state: State::Reading });
                self.commands.push_back(Command::Read { asker, key });
            }
            Err(over) => self.reject(key, asker, None, over, 0),
        }
    }

    /// A stream was opened where requests are not taken.
    pub(super) fn handle_misplaced(&mut self, key: Key, asker: PeerId) {
        self.reject(key, asker, None, OverLimit::Misplaced, 0);
    }

    fn admit(&mut self, asker: PeerId, ip: Option<IpAddr>, now: Instant) -> Result<(), OverLimit> {
        let limits = &self.config.limits;
        if self.requests.len() >= limits.concurrent {
            return Err(OverLimit::Concurrent);
        }
        let of_peer = self.requests.values().filter(|request| request.asker == asker).count();
        if of_peer >= limits.concurrent_per_peer {
            return Err(OverLimit::ConcurrentOfPeer);
        }
        self.rates.accept(limits, asker, ip, now)
    }

    /// The request was read.
    pub(super) fn handle_request(&mut self, key: Key, message: &DialRequest, now: Instant) {
        let Some(Request { asker, ip, state: State::Reading, .. }) = self.requests.get(&key) else { return };
        let (asker, ip) = (*asker, *ip);
        let Some((index, target)) = self.choose(message, asker) else {
            self.requests.remove(&key);
            self.counters.refused += 1;
            self.answer(key, asker, DialResponse::Refused);
            self.report(asker, None, Outcome::Refused, 0);
            return;
        };
        let job = Job { address: target.address, index, nonce: message.nonce };
        if ip.map(|ip| ip.to_canonical()) == Some(target.ip) {
            self.dial(key, job, now);
        } else if let Err(over) = self.rates.accept_paid(&self.config.limits, target.ip, now) {
            self.requests.remove(&key);
            self.reject(key, asker, Some(job.address), over, 0);
        } else {
            let bytes = self.rng.random_range(MIN_PAYMENT..=MAX_PAYMENT);
            self.set(key, State::Paying(job, bytes));
            let request = DialDataRequest { index, bytes };
            self.commands.push_back(Command::Charge { asker, key, request });
        }
    }

    /// The first address that we are willing to dial.
    fn choose(&self, message: &DialRequest, asker: PeerId) -> Option<(usize, Target)> {
        let targets = message.addresses.iter().map(|bytes| self.check(bytes, asker).ok()).enumerate();
        targets.filter_map(|(index, target)| Some((index, target?))).next()
    }

    fn check(&self, bytes: &[u8], asker: PeerId) -> Result<Target, NotATarget> {
        let address = Multiaddr::try_from(bytes.to_vec()).map_err(|_| NotATarget::Odd)?;
        let target = Target::parse(&address, asker)?;
        let family = if target.ip.is_ipv4() { self.config.ipv4 } else { self.config.ipv6 };
        if !family || !self.config.transports.contains(&target.transport) {
            return Err(NotATarget::CannotDial);
        }
        if !self.config.scope.allows(target.ip) {
            return Err(NotATarget::OutOfScope(target.ip));
        }
        Ok(target)
    }

    /// All the data came.
    pub(super) fn handle_payment(&mut self, key: Key, now: Instant) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        let State::Paying(job, bytes) = &request.state else { return };
        let pause = self.rng.random_range(Duration::ZERO..=self.config.patience.pause);
        request.paid = *bytes;
        self.counters.paid_bytes += *bytes;
        request.state = State::Pausing(job.clone(), now + pause);
        self.handle_timeout(now);
    }

    /// The stream broke, or the peer on it broke the rules.
    pub(super) fn handle_broken(&mut self, key: Key) {
        self.counters.broken += 1;
        self.forsake(key);
    }

    /// A connection is gone.
    pub(super) fn handle_closed(&mut self, connection: ConnectionId) {
        let of_connection = Key { connection, stream: 0 }..=Key { connection, stream: u64::MAX };
        let keys: Vec<Key> = self.requests.range(of_connection).map(|(key, _)| *key).collect();
        for key in keys {
            self.forsake(key);
        }
    }

    fn forsake(&mut self, key: Key) {
        let Some(request) = self.requests.get_mut(&key) else { return };
        let (asker, paid) = (request.asker, request.paid);
        let address = match &mut request.state {
            State::Forsaken => return,
            State::Reading => None,
            State::Paying(job, _) | State::Pausing(job, _) => Some(job.address.clone()),
            State::Dialing(job, _) | State::DialingBack(job) => {
                let address = job.address.clone();
                request.state = State::Forsaken;
                self.report(asker, Some(address), Outcome::Forsaken, paid);
                return;
            }
        };
        self.requests.remove(&key);
        self.report(asker, address, Outcome::Forsaken, paid);
    }

    /// The dial led to a connection. Returns the nonce to be handed over on it; with `None` it is not needed.
    pub(super) fn handle_connected(&mut self, key: Key) -> Option<u64> {
        let request = self.requests.get_mut(&key)?;
        let State::Dialing(job, _) = &request.state else { return None };
        let (job, nonce) = (job.clone(), job.nonce);
        request.state = State::DialingBack(job);
        Some(nonce)
    }

    /// The dial led to nothing.
    pub(super) fn handle_dial_failed(&mut self, key: Key) {
        self.end(key, DialStatus::DialError);
    }

    /// The nonce was handed over, or could not be.
    pub(super) fn handle_dialed_back(&mut self, key: Key, delivered: bool) {
        self.end(key, if delivered { DialStatus::Ok } else { DialStatus::DialBackError });
    }

    fn end(&mut self, key: Key, status: DialStatus) {
        let Some(request) = self.requests.remove(&key) else { return };
        if let State::Dialing(job, _) | State::DialingBack(job) = request.state {
            self.conclude(key, request.asker, job, status, request.paid);
        }
    }

    fn conclude(&mut self, key: Key, asker: PeerId, job: Job, status: DialStatus, paid: u64) {
        let outcome = match status {
            DialStatus::Ok => Outcome::Reachable,
            DialStatus::DialError => Outcome::Unreachable,
            DialStatus::DialBackError => Outcome::NotHandedOver,
        };
        self.answer(key, asker, DialResponse::Dialed { index: job.index, status });
        self.report(asker, Some(job.address), outcome, paid);
    }

    /// Time went by.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let due = |request: &Request| match &request.state {
            State::Pausing(_, until) | State::Dialing(_, until) => *until <= now,
            _ => false,
        };
        let keys: Vec<Key> =
            self.requests.iter().filter(|(_, request)| due(request)).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(request) = self.requests.get_mut(&key) else { continue };
            match &request.state {
                State::Pausing(job, _) => {
                    let job = job.clone();
                    self.dial(key, job, now);
                }
                State::Dialing(job, _) => {
                    let (asker, job, paid) = (request.asker, job.clone(), request.paid);
                    request.state = State::Forsaken;
                    self.conclude(key, asker, job, DialStatus::DialError, paid);
                }
                _ => {}
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = |request: &Request| match &request.state {
            State::Pausing(_, until) | State::Dialing(_, until) => Some(*until),
            _ => None,
        };
        self.requests.values().filter_map(due).min()
    }

    pub(super) fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    pub(super) fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn counters(&self) -> Counters {
        Counters { under_way: self.requests.len(), ..self.counters.clone() }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.requests.len() + self.rates.remembered() + self.commands.len()
    }

    fn dial(&mut self, key: Key, job: Job, now: Instant) {
        let until = now + self.config.patience.dial;
        let Some(request) = self.requests.get_mut(&key) else { return };
        let (asker, address) = (request.asker, job.address.clone());
        request.state = State::Dialing(job, until);
        self.counters.dials += 1;
        self.commands.push_back(Command::Dial { asker, key, address });
    }

    fn set(&mut self, key: Key, state: State) {
        if let Some(request) = self.requests.get_mut(&key) {
            request.state = state;
        }
    }

    fn reject(&mut self, key: Key, asker: PeerId, address: Option<Multiaddr>, over: OverLimit, paid: u64) {
        self.counters.rejected += 1;
        self.answer(key, asker, DialResponse::Rejected);
        self.report(asker, address, Outcome::Rejected(over), paid);
    }

    fn answer(&mut self, key: Key, asker: PeerId, response: DialResponse) {
        self.commands.push_back(Command::Answer { asker, key, response });
    }

    fn report(&mut self, asker: PeerId, address: Option<Multiaddr>, outcome: Outcome, paid: u64) {
        self.counters.requests += 1;
        self.commands.push_back(Command::Report(Event { asker, address, outcome, paid }));
    }
}
