//! Small nodes for the stories of this crate.
#![allow(dead_code, reason = "each story uses its part")]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use causeway_transports::{
    Address, CloseReason, DialError, Incoming, Limits, SendError, Session, SessionEvent, Slot, Transports,
    TransportsConfig,
};
use causeway_wire::les::Version;
use tokio::{sync::mpsc, time::timeout};

/// Longest wait for what should happen at once; generous, as the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Node {
    pub(crate) transports: Transports,
    pub(crate) incoming: mpsc::Receiver<Incoming>,
}

/// A socket on the loopback, with a free port.
pub(crate) fn any() -> Option<SocketAddr> {
    Some(SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A configuration that listens nowhere; `seed` makes the key.
pub(crate) fn config(seed: u8) -> TransportsConfig {
    TransportsConfig {
        secret_key: secp256k1::SecretKey::from_secret_bytes([seed; 32]).expect("valid key"),
        client_id: format!("Test/v{seed}"),
        capabilities: Version::ALL.map(Version::capability).to_vec(),
        devp2p: None,
        libp2p_tcp: None,
        libp2p_quic: None,
        websocket: None,
        secure_websocket: None,
        webtransport: None,
        webrtc_direct: None,
        trusted_roots: Vec::new(),
        external_addresses: Vec::new(),
        dial_guard: causeway_transports::DialGuard::Any,
        rendezvous_server: None,
        reach: causeway_transports::ReachConfig::default(),
        limits: base_limits(),
        lists: causeway_transports::Lists::default(),
    }
}

/// The default limits, with time for farewells on a machine that is busy with other tests.
pub(crate) fn base_limits() -> Limits {
    Limits { farewell: Duration::from_secs(8), ..Limits::default() }
}

pub(crate) async fn start(config: TransportsConfig) -> Node {
    let (transports, incoming) = Transports::start(config).await.expect("starts");
    Node { transports, incoming }
}

/// A node that listens for RLPx.
pub(crate) async fn devp2p_node(seed: u8) -> Node {
    start(TransportsConfig { devp2p: any(), ..config(seed) }).await
}

/// A node that only dials.
pub(crate) async fn dialer(seed: u8) -> Node {
    start(config(seed)).await
}

impl Node {
    pub(crate) fn devp2p_address(&self) -> Address {
        let addr = self.transports.devp2p_addr().expect("listens");
        Address::Devp2p { key: self.transports.node_key(), addr }
    }

    /// The multiaddr that contains `part`.
    pub(crate) fn multiaddr(&self, part: &str) -> Address {
        let addrs = self.transports.multiaddrs();
        let found = addrs.iter().find(|addr| addr.contains(part));
        Address::Multiaddr(found.unwrap_or_else(|| panic!("{part} in {addrs:?}")).clone())
    }

    pub(crate) async fn dial(&self, address: &Address) -> Result<Incoming, DialError> {
        timeout(PATIENCE, self.transports.dial(address)).await.expect("dial ends")
    }

    pub(crate) async fn accept(&mut self) -> Incoming {
        timeout(PATIENCE, self.incoming.recv()).await.expect("a session comes").expect("transports live")
    }

    /// Shuts down and sees that nothing is left.
    pub(crate) async fn stop(self) {
        timeout(PATIENCE, self.transports.shutdown(Duration::from_secs(10))).await.expect("shutdown ends");
        assert_eq!(self.transports.counts(), causeway_transports::Counts::default());
    }
}

/// Both ends of a new session: the dialer's, and the other's.
pub(crate) async fn connect(from: &Node, to: &mut Node, address: &Address) -> (Incoming, Incoming) {
    let dialed = from.dial(address).await.expect("connects");
    (dialed, to.accept().await)
}

/// The same over RLPx.
pub(crate) async fn connect_devp2p(from: &Node, to: &mut Node) -> (Incoming, Incoming) {
    let address = to.devp2p_address();
    connect(from, to, &address).await
}

pub(crate) async fn event(session: &mut Incoming) -> SessionEvent {
    timeout(PATIENCE, session.events.recv()).await.expect("an event comes").expect("the session lives")
}

pub(crate) async fn message(session: &mut Incoming) -> (u64, Bytes, Slot) {
    match event(session).await {
        SessionEvent::Message { code, payload, slot } => (code, payload, slot),
        SessionEvent::Closed(reason) => panic!("closed: {reason}"),
    }
}

/// The session's end; messages before it are dropped.
pub(crate) async fn end(session: &mut Incoming) -> CloseReason {
    loop {
        if let SessionEvent::Closed(reason) = event(session).await {
            return reason;
        }
    }
}

/// An RLP string of `size` bytes in all (more than 60) that does not compress.
pub(crate) fn noise(size: usize) -> Bytes {
    let width = (1..4).find(|width| size - 1 - width < 1 << (8 * width)).expect("below 16 MiB");
    let content = size - 1 - width;
    let mut bytes = vec![0xb7 + width as u8];
    bytes.extend(&(content as u32).to_be_bytes()[4 - width..]);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ size as u64;
    bytes.extend((0..content).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    }));
    bytes.into()
}

/// Sends messages of `size` bytes until the outbox is full; how many it took. Gives the session's task every
/// chance to write in between.
pub(crate) async fn fill(session: &Session, size: usize) -> usize {
    let mut sent = 0;
    let mut full = 0;
    while full < 20 {
        match session.try_send(2, noise(size)) {
            Ok(()) => {
                sent += 1;
                full = 0;
            }
            Err(SendError::Full) => {
                full += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(SendError::Closed) => panic!("closed after {sent} messages"),
        }
    }
    sent
}
