//! One UDP socket and who is behind it: checks of STUN are answered, records of DTLS find their connection.
//!
//! ```text
//! STUN, fragment unknown   answered; the address is noted in a table that forgets the oldest
//! DTLS from a noted one    a ClientHello begins a connection, if the gate lets it
//! STUN, fragment known     answered; the address is one of the connection's, and where to send to if only its port is new
//! DTLS from such a one     goes to the connection
//! ```
//! So a false address, which never shows a record of DTLS, costs a line in a table.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p_noise as noise;
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
};

use crate::{
    config::Limits,
    connection::{Connection, Input, QUEUE},
    gate::Gate,
    machine::Terms,
    session::Session,
    stun::{self, Request},
};

/// Longest datagram that is read: what fits into an Ethernet frame, and some more.
const MAX_DATAGRAM: usize = 2_048;

/// Addresses of one connection. Browsers try each network they have.
const ADDRESSES: usize = 8;

/// How long an address is noted that has sent STUN and nothing else.
const NOTED: Duration = Duration::from_secs(30);

/// How often what has ended is swept out.
const SWEEP: Duration = Duration::from_secs(1);

/// Datagrams read in a row before other tasks get their turn.
const BATCH: usize = 64;

/// A client that begins its handshake.
pub(crate) struct Incoming {
    pub(crate) session: Session,
    pub(crate) from: SocketAddr,
}

/// What the endpoint of a listener is made of.
pub(crate) struct Parts {
    pub(crate) socket: UdpSocket,
    pub(crate) terms: Terms,
    pub(crate) limits: Limits,
    pub(crate) gate: Gate,
    pub(crate) incoming: mpsc::Sender<Incoming>,
    /// Becomes true, or is dropped, when nobody is to be let in any more.
    pub(crate) closed: watch::Receiver<bool>,
}

/// What all sessions of a transport show of themselves.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) noise: noise::Config,
    pub(crate) digest: [u8; 32],
}

struct Peer {
    inputs: mpsc::Sender<Input>,
    addresses: usize,
}

struct Endpoint {
    socket: Arc<UdpSocket>,
    terms: Terms,
    limits: Limits,
    gate: Gate,
    incoming: mpsc::Sender<Incoming>,
    open: bool,
    noted: Noted,
    /// Connections by their fragment.
    peers: HashMap<String, Peer>,
    /// Fragments by address.
    routes: HashMap<SocketAddr, String>,
}

/// Serves a socket until the listener is closed and its last connection has ended.
pub(crate) async fn serve(parts: Parts) {
    let Parts { socket, terms, limits, gate, incoming, mut closed } = parts;
    let mut endpoint = Endpoint {
        socket: Arc::new(socket),
        terms,
        limits,
        gate,
        incoming,
        open: true,
        noted: Noted::new(limits.bindings),
        peers: HashMap::new(),
        routes: HashMap::new(),
    };
    let socket = Arc::clone(&endpoint.socket);
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ready = socket.readable() => match ready {
                Ok(()) => endpoint.read(&mut buffer),
                Err(error) => {
                    tracing::error!(%error, "the socket is gone");
                    return;
                }
            },
            _ = sweep.tick() => {
                endpoint.sweep(Instant::now());
                if !endpoint.open && endpoint.peers.is_empty() {
                    return;
                }
            }
            _ = closed.wait_for(|closed| *closed), if endpoint.open => endpoint.open = false,
        }
        tokio::task::yield_now().await;
    }
}

impl Endpoint {
    fn read(&mut self, buffer: &mut [u8]) {
        let now = Instant::now();
        for _ in 0..BATCH {
            match self.socket.try_recv_from(buffer) {
                Ok((len, from)) => {
                    let datagram = buffer.get(..len).unwrap_or_default();
                    if stun::is_stun(datagram) {
                        self.check(datagram, from, now);
                    } else if stun::is_dtls(datagram) {
                        self.record(datagram, from);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Of an answer that found nobody.
                Err(error) => tracing::trace!(%error, "nothing read"),
            }
        }
    }

    fn check(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let request = match Request::read(datagram) {
            Ok(request) => request,
            Err(error) => {
                tracing::trace!(%from, %error, "STUN not answered");
                return;
            }
        };
        if let Some(peer) = self.peers.get_mut(&request.fragment) {
            if let Entry::Vacant(route) = self.routes.entry(from) {
                if peer.addresses >= ADDRESSES {
                    return;
                }
                peer.addresses += 1;
                route.insert(request.fragment.clone());
            }
            // If its queue is full it is heard anyway.
            let _ = peer.inputs.try_send(Input::Checked { from, nominated: request.nominated });
        } else {
            let known = self.noted.get(from) == Some(request.fragment.as_str());
            if !self.open || !(known || self.gate.take_token(from.ip(), now)) {
                return;
            }
            self.noted.insert(from, &request.fragment, now);
        }
        let _ = self.socket.try_send_to(&request.answer(from), from); // clients ask again
    }

    fn record(&mut self, datagram: &[u8], from: SocketAddr) {
        if let Some(peer) = self.routes.get(&from).and_then(|fragment| self.peers.get(fragment)) {
            if peer.inputs.try_send(Input::Datagram(datagram.to_vec())).is_err() {
                tracing::debug!(%from, "datagram lost: the queue is full");
            }
            return;
        }
        if !self.open || !is_client_hello(datagram) {
            return;
        }
        let Some(fragment) = self.noted.get(from).map(str::to_owned) else { return };
        let place = match self.gate.enter(from.ip()) {
            Ok(place) => place,
            Err(full) => {
                tracing::debug!(%from, %full, "client refused");
                return;
            }
        };
        self.noted.remove(from);
        let connection = Connection::new(&self.terms, self.limits, from, place);
        let (inputs, queue) = mpsc::channel(QUEUE);
        let _ = inputs.try_send(Input::Datagram(datagram.to_vec()));
        tokio::spawn(Arc::clone(&connection).drive(Arc::clone(&self.socket), queue));
        self.peers.insert(fragment.clone(), Peer { inputs, addresses: 1 });
        self.routes.insert(from, fragment);
        // As many as there may be handshakes have room; whoever is dropped here is closed.
        let _ = self.incoming.try_send(Incoming { session: Session::new(connection), from });
    }

    fn sweep(&mut self, now: Instant) {
        self.noted.sweep(now);
        self.peers.retain(|_, peer| !peer.inputs.is_closed());
        self.routes.retain(|_, fragment| self.peers.contains_key(fragment));
    }
}

/// A record with the first message of a client's handshake.
fn is_client_hello(datagram: &[u8]) -> bool {
    datagram.first() == Some(&22) && datagram.get(13) == Some(&1)
}

/// Addresses that have sent STUN and nothing else. Forgets the oldest when it is full.
struct Noted {
    max: usize,
    fragments: HashMap<SocketAddr, (String, Instant)>,
    order: VecDeque<(SocketAddr, Instant)>,
}

impl Noted {
    fn new(max: usize) -> Self {
        Self { max, fragments: HashMap::new(), order: VecDeque::new() }
    }

    fn get(&self, from: SocketAddr) -> Option<&str> {
        self.fragments.get(&from).map(|(fragment, _)| fragment.as_str())
    }

    /// An address that is there already stays where it is in the order.
    fn insert(&mut self, from: SocketAddr, fragment: &str, now: Instant) {
        if let Some((known, _)) = self.fragments.get_mut(&from) {
            fragment.clone_into(known);
            return;
        }
        while self.fragments.len() >= self.max.max(1) {
            self.forget_oldest();
        }
        self.fragments.insert(from, (fragment.to_owned(), now));
        self.order.push_back((from, now));
    }

    fn remove(&mut self, from: SocketAddr) {
        self.fragments.remove(&from);
    }

    fn forget_oldest(&mut self) {
        let Some((from, at)) = self.order.pop_front() else { return self.fragments.clear() };
        // It may have been removed, and noted anew since.
        if self.fragments.get(&from).is_some_and(|(_, noted)| *noted == at) {
            self.fragments.remove(&from);
        }
    }

    fn sweep(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(_, at)| *at + NOTED <= now) {
            self.forget_oldest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 7], port))
    }

    #[test]
    fn the_oldest_address_is_forgotten_when_another_comes() {
        let (mut noted, now) = (Noted::new(2), Instant::now());
        for port in 1..=3 {
            noted.insert(at(port), "f", now);
        }
        assert_eq!([1, 2, 3].map(|port| noted.get(at(port)).is_some()), [false, true, true]);
        noted.remove(at(2));
        noted.insert(at(2), "g", now + Duration::from_secs(1));
        noted.insert(at(4), "f", now);
        assert_eq!((noted.get(at(2)), noted.get(at(3))), (Some("g"), None));
    }

    #[test]
    fn what_was_noted_long_ago_is_swept_out_and_leaves_nothing_behind() {
        let (mut noted, now) = (Noted::new(10_000), Instant::now());
        for port in 0..1_000 {
            noted.insert(at(port), "f", now);
            noted.insert(at(port), "f", now);
        }
        assert_eq!(noted.order.len(), 1_000);
        noted.sweep(now + NOTED - Duration::from_millis(1));
        assert_eq!(noted.fragments.len(), 1_000);
        noted.sweep(now + NOTED);
        assert_eq!((noted.fragments.len(), noted.order.len()), (0, 0));
    }

    #[test]
    fn a_client_hello_is_told_from_other_records() {
        let mut record = [0; 40];
        (record[0], record[13]) = (22, 1);
        assert!(is_client_hello(&record));
        assert!(!is_client_hello(&record[..13]));
        record[13] = 2;
        assert!(!is_client_hello(&record));
    }
}
