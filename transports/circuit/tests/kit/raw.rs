//! A peer that speaks the hop and stop protocols by hand, as badly as a test wants.

use std::time::Duration;

use circuit::{HOP, STOP};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{PeerId, Stream, SwarmBuilder, identity::Keypair, noise, tcp, yamux};
use libp2p_stream::{Control, IncomingStreams};

use super::{PATIENCE, Relay};

pub(crate) struct Raw {
    pub(crate) id: PeerId,
    pub(crate) relay: PeerId,
    pub(crate) control: Control,
    pub(crate) stops: IncomingStreams,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RESERVE.
pub(crate) const RESERVE: &[u8] = b"\x08\x00";

/// A STATUS OK on a stop stream.
pub(crate) const STOP_OK: &[u8] = b"\x08\x01\x20\x64";

/// The status code in a HopMessage: its last field is that.
pub(crate) fn code(message: &[u8]) -> u64 {
    match message {
        [.., 0x28, low @ 0..0x80] => u64::from(*low),
        [.., 0x28, low, high] => u64::from(low & 0x7f) | u64::from(*high) << 7,
        _ => panic!("no status at the end of {message:?}"),
    }
}

impl Raw {
    pub(crate) fn connect(relay: &Relay) -> Self {
        let mut swarm = SwarmBuilder::with_existing_identity(Keypair::generate_ed25519())
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .expect("TCP")
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        let id = *swarm.local_peer_id();
        let mut control = swarm.behaviour().new_control();
        let stops = control.accept(STOP).expect("nobody else does");
        swarm.dial(relay.address.clone()).expect("an address");
        let task = tokio::spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
        Self { id, relay: relay.peer, control, stops, task }
    }

    pub(crate) async fn hop(&self) -> Stream {
        // The connection may still be on its way: opening a stream dials or waits for it.
        let mut control = self.control.clone();
        let open = control.open_stream(self.relay, HOP);
        tokio::time::timeout(PATIENCE, open).await.expect("in time").expect("the protocol is offered")
    }

    /// Sends one message and reads the reply.
    pub(crate) async fn ask(&self, message: &[u8]) -> Vec<u8> {
        let mut stream = self.hop().await;
        send(&mut stream, message).await;
        receive(&mut stream).await.expect("a reply")
    }

    pub(crate) async fn reserve(&self) -> u64 {
        code(&self.ask(RESERVE).await)
    }

    /// CONNECT; the stream goes on as the circuit.
    pub(crate) async fn connect_to(&self, peer: PeerId) -> (u64, Stream) {
        let mut stream = self.hop().await;
        send(&mut stream, &connect(peer)).await;
        let reply = receive(&mut stream).await.expect("a reply");
        (code(&reply), stream)
    }

    /// Takes the next circuit that the relay brings.
    pub(crate) async fn take(&mut self) -> Stream {
        let mut stream = self.offered().await;
        send(&mut stream, STOP_OK).await;
        stream
    }

    /// The next stop stream, its CONNECT read.
    pub(crate) async fn offered(&mut self) -> Stream {
        let next = tokio::time::timeout(PATIENCE, self.stops.next());
        let (_, mut stream) = next.await.expect("in time").expect("the peer runs");
        receive(&mut stream).await.expect("a CONNECT");
        stream
    }
}

pub(crate) fn connect(peer: PeerId) -> Vec<u8> {
    let id = peer.to_bytes();
    let mut message = vec![0x08, 0x01, 0x12, id.len() as u8 + 2, 0x0a, id.len() as u8];
    message.extend(id);
    message
}

pub(crate) async fn send(stream: &mut Stream, message: &[u8]) {
    let length = message.len();
    let length =
        if length < 128 { vec![length as u8] } else { vec![length as u8 | 0x80, (length >> 7) as u8] };
    stream.write_all(&[&length, message].concat()).await.expect("written");
    stream.flush().await.expect("flushed");
}

/// `None` if the stream ends or breaks.
pub(crate) async fn receive(stream: &mut Stream) -> Option<Vec<u8>> {
    let message = async {
        let mut length = 0;
        for shift in [0, 7] {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.ok()?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                break;
            }
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await.ok()?;
        Some(message)
    };
    tokio::time::timeout(PATIENCE, message).await.expect("in time")
}
