//! Takes RLPx connections of others: who comes in, how fast, and what the others are told.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use causeway_rlpx::{Connection, DisconnectReason, SeenAuths};
use causeway_wire::PeerId;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tracing::{Instrument, debug, debug_span, trace, warn};

use crate::{
    Shared,
    gate::{Bounds, Gate, Passed},
    peers::{Direction, Facts, Refusal},
    random::randomness,
    session::{About, session},
    tcp::{self, Link},
};

/// Connections that wait in the kernel.
const BACKLOG: i32 = 128;

/// Bytes that the kernel keeps for a peer that does not read. Fixed, so that a session's write deadline sees
/// progress in steps that a slow reader can make, and that a thousand dead readers pin a known amount.
const SEND_BUFFER: usize = 256 * 1024;

/// Pause after the system refused to accept (no file descriptors left), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Binds the socket; the unspecified IPv6 address stands for all addresses of the machine, those of IPv4 included,
/// whatever the system's default is.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(not(windows))] // there it would let two processes share the port
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until the transports close.
pub(crate) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let pending = Arc::new(Semaphore::new(shared.limits.pending_handshakes.max(1)));
    let gate = Gate::new(Bounds {
        of_source: shared.limits.devp2p_per_ip,
        of_ipv4_24: shared.limits.devp2p_per_ipv4_24,
        of_ipv6_56: shared.limits.devp2p_per_ipv6_56,
        rate: shared.limits.handshakes_per_ip,
    });
    let seen = Arc::new(SeenAuths::default());
    loop {
        // A handshake's place comes before the connection: the others wait in the kernel's queue.
        let place = tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            place = Arc::clone(&pending).acquire_owned() => place.expect("never closed"),
        };
        let accepted = tokio::select! {
            biased;
            () = shared.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let passed = match gate.pass(from.ip(), &shared.rules(), tcp::now()) {
            Ok(passed) => passed,
            Err(error) => {
                debug!(%error, "connection dropped");
                continue;
            }
        };
        let task = greet(Arc::clone(&shared), stream, from.ip(), Arc::clone(&seen), place, passed);
        shared.spawn(task.instrument(debug_span!("handshake", %from)));
    }
}

/// From a fresh connection to a session. The place among the handshakes is held to the end, farewells
/// included: what strangers can start is bounded by it.
async fn greet(
    shared: Arc<Shared>,
    stream: TcpStream,
    ip: IpAddr,
    seen: Arc<SeenAuths>,
    _pending: OwnedSemaphorePermit,
    passed: Passed,
) {
    let connection = Connection::accept(Arc::clone(&shared.inbound), randomness(), seen, tcp::now());
    let mut link = Link::new(stream, connection, &shared.limits);
    let greeted = tokio::select! {
        biased;
        () = shared.closing.cancelled() => return,
        greeted = tcp::greet(&mut link) => greeted,
    };
    let greeting = match greeted {
        Ok(greeting) => greeting,
        Err(end) => {
            debug!(%end, "no handshake");
            return link.finish(shared.farewell_due()).await;
        }
    };
    let peer = PeerId::devp2p(greeting.peer);
    let facts = Facts {
        transport: "rlpx",
        client: greeting.client_id.clone().into(),
        ip: Some(ip),
        heart: link.heart(),
    };
    let admitted = shared.peers.admit_devp2p(peer, Direction::Inbound, facts, shared.limits.devp2p_inbound);
    // Who is admitted first is then seen by whoever changes the lists meanwhile.
    let admitted = admitted.and_then(|place| match shared.rules().check(&peer, Some(ip)) {
        Ok(()) => Ok(place),
        Err(denied) => Err(Refusal::Denied(denied)),
    });
    let place = match admitted {
        Ok(place) => place,
        Err(refusal) => {
            debug!(%peer, ?refusal, "peer refused");
            return link.leave(reason_of(refusal), shared.farewell_due()).await;
        }
    };
    // The owner's queue: who finds no room in it in time is told to come later.
    let room = tokio::select! {
        biased;
        () = shared.closing.cancelled() => {
            return link.leave(DisconnectReason::ClientQuitting, shared.farewell_due()).await;
        }
        room = tokio::time::timeout(shared.limits.intake, shared.incoming.reserve()) => room,
    };
    let Ok(Ok(room)) = room else {
        debug!(%peer, "peer refused: nobody takes new sessions");
        return link.leave(DisconnectReason::TooManyPeers, shared.farewell_due()).await;
    };
    let about = About {
        id: place.id,
        peer,
        capability: greeting.shared.capability.clone(),
        transport: "rlpx",
        client: greeting.client_id.into(),
        heart: link.heart(),
    };
    let (incoming, end) = session(about, &shared.limits, Arc::clone(&place.ending));
    trace!(%peer, "session begins");
    shared.spawn_rlpx(link, greeting.shared, end, place, peer, Some(passed));
    room.send(incoming);
}

fn reason_of(refusal: Refusal) -> DisconnectReason {
    match refusal {
        Refusal::AlreadyConnected => DisconnectReason::AlreadyConnected,
        Refusal::TooMany => DisconnectReason::TooManyPeers,
        Refusal::Denied(_) => DisconnectReason::UselessPeer,
        Refusal::Closing => DisconnectReason::ClientQuitting,
    }
}
