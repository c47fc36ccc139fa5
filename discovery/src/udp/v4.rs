//! discv4 on the shared sockets: the machine, its packets, and a clock.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::B512;
use causeway_discv4::{Config, Discv4, Dropped, Event, Limits};
use causeway_records::{Enode, Reach, Record};
use causeway_wire::NodeKey;
use secp256k1::SecretKey;
use tokio::{net::UdpSocket, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Sockets;

/// Packets that wait for the driver; the next are dropped, as a full socket would drop them.
const FRAME_QUEUE: usize = 256;

/// One more than the largest packet, so that a longer one is seen to be longer.
const BUFFER: usize = 1281;

/// After the system could not read, before it is asked again.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// The sockets that both protocols share.
#[derive(Clone, Debug)]
pub(super) struct SharedSockets {
    pub(super) v4: Option<Arc<UdpSocket>>,
    pub(super) v6: Option<Arc<UdpSocket>>,
}

impl SharedSockets {
    pub(super) async fn new(sockets: Sockets) -> io::Result<Self> {
        let shared = |std: Option<std::net::UdpSocket>| {
            std.map(|std| UdpSocket::from_std(std).map(Arc::new)).transpose()
        };
        let (v4, v6) = sockets.into_std();
        let sockets = Self { v4: shared(v4)?, v6: shared(v6)? };
        for socket in sockets.all() {
            socket.writable().await?; // until the runtime has seen that it is, nothing can be sent without waiting
        }
        Ok(sockets)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<UdpSocket>> {
        self.v4.iter().chain(&self.v6)
    }

    /// Sends without waiting: a packet that the system does not take now is lost, as UDP packets may be.
    fn send(&self, packet: &[u8], to: SocketAddr) -> io::Result<()> {
        let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        let socket = socket.as_ref().ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.try_send_to(packet, to).map(drop)
    }

    /// Reads the sockets where discv5 does not.
    pub(super) fn read(
        &self,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> mpsc::Receiver<(SocketAddr, Vec<u8>)> {
        let (frames, receiver) = mpsc::channel(FRAME_QUEUE);
        for socket in self.all() {
            tasks.spawn(read(Arc::clone(socket), frames.clone(), stop.clone()));
        }
        receiver
    }
}

async fn read(socket: Arc<UdpSocket>, frames: mpsc::Sender<(SocketAddr, Vec<u8>)>, stop: CancellationToken) {
    let mut buffer = [0; BUFFER];
    loop {
        let received = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        match received {
            Ok((length, from)) => {
                let _ = frames.try_send((plain(from), buffer[..length].to_vec()));
            }
            // An ICMP answer to something we sent, or a passing shortage.
            Err(_) => tokio::time::sleep(READ_PAUSE).await,
        }
    }
}

/// Without scope and flow, as discv5 has them.
fn plain(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip(), from.port())
}

/// The machine on the sockets.
#[derive(Debug)]
pub(super) struct V4 {
    machine: Discv4,
    sockets: SharedSockets,
}

impl V4 {
    pub(super) fn new(
        secret_key: SecretKey,
        tcp: u16,
        reach: Reach,
        record: &Record,
        sockets: SharedSockets,
    ) -> Self {
        // A wish to search begins one lookup at a time.
        let config = Config { secret_key, tcp, reach, limits: Limits { lookups: 1, ..Limits::default() } };
        let mut machine = Discv4::new(config, record.clone(), rand::random(), Instant::now());
        machine.set_endpoint(endpoint(record));
        Self { machine, sockets }
    }

    pub(super) fn set_record(&mut self, record: &Record) {
        self.machine.set_record(record.clone());
        self.machine.set_endpoint(endpoint(record));
    }

    pub(super) fn add(&mut self, enode: &Enode) {
        self.machine.add_node(enode, Instant::now());
    }

    /// Begins a random lookup, unless one is under way.
    pub(super) fn search(&mut self) {
        let halves: [[u8; 32]; 2] = [rand::random(), rand::random()];
        let target = NodeKey(B512::from_slice(halves.as_flattened()));
        self.machine.lookup(target, Instant::now(), unix_seconds());
    }

    /// A packet that is not discv5's.
    ///
    /// # Errors
    /// Why it is of no use.
    pub(super) fn take(&mut self, from: SocketAddr, packet: &[u8]) -> Result<(), &'static str> {
        self.machine
            .handle_packet(from, packet, Instant::now(), unix_seconds())
            .map_err(|dropped| reason(&dropped))
    }

    /// Does what is due and sends what is to be sent; how many packets the system did not take.
    pub(super) fn carry_out(&mut self, now: Instant) -> u64 {
        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            self.machine.handle_timeout(now, unix_seconds());
        }
        let mut unsent = 0;
        while let Some(transmit) = self.machine.poll_transmit() {
            if self.sockets.send(&transmit.packet, transmit.to).is_err() {
                unsent += 1;
            }
        }
        unsent
    }

    pub(super) fn event(&mut self) -> Option<Event> {
        self.machine.poll_event()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    pub(super) fn nodes(&self) -> usize {
        self.machine.table_len()
    }
}

/// Where our record says that we are.
fn endpoint(record: &Record) -> Option<SocketAddr> {
    Some(SocketAddr::new(record.ip()?, record.udp()?))
}

/// Seconds since 1970, by the system's clock.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A name for the count.
fn reason(dropped: &Dropped) -> &'static str {
    match dropped {
        Dropped::Source => "source",
        Dropped::TooMany => "too-many",
        Dropped::Decode(_) => "malformed",
        Dropped::OwnKey => "own-key",
        Dropped::Expired { .. } => "expired",
        Dropped::TooFarAhead { .. } => "too-far-ahead",
        Dropped::NoProof => "no-proof",
        Dropped::Unsolicited => "unsolicited",
        Dropped::Record(_) | Dropped::ForeignRecord | Dropped::OldRecord { .. } | Dropped::RecordAddress => {
            "record"
        }
    }
}
