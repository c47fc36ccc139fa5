//! A peer that opens streams to a server and writes on them what it likes.

use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder, noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::PATIENCE;

const DIAL_REQUEST: StreamProtocol = StreamProtocol::new("/libp2p/autonat/2/dial-request");

#[derive(NetworkBehaviour)]
struct Behaviour {
    streams: libp2p_stream::Behaviour,
}

/// Runs by itself.
pub struct Attacker {
    pub server: PeerId,
    control: libp2p_stream::Control,
    task: JoinHandle<()>,
}

impl Attacker {
    /// Connects from `ip`, over QUIC: TCP would not bind to it.
    pub async fn connect(server: &Multiaddr, ip: &str) -> Self {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .expect("TCP")
            .with_quic()
            .with_behaviour(|_| Behaviour { streams: libp2p_stream::Behaviour::new() })
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        let control = swarm.behaviour().streams.new_control();
        swarm
            .listen_on(format!("/ip4/{ip}/udp/0/quic-v1").parse().expect("a multiaddr"))
            .expect("it listens");
        let server = server.clone();
        let (connected, mut is_connected) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::NewListenAddr { .. } => swarm.dial(server.clone()).expect("dialed"),
                    SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                        let _ = connected.send(peer_id).await;
                    }
                    _ => {}
                }
            }
        });
        let server = timeout(PATIENCE, is_connected.recv()).await.expect("in time").expect("a connection");
        Self { server, control, task }
    }

    pub async fn open(&mut self) -> Result<Stream, libp2p_stream::OpenStreamError> {
        self.control.open_stream(self.server, DIAL_REQUEST).await
    }

    /// Asks to be dialed; gives the status, or the number of bytes that it is to cost.
    pub async fn ask(&mut self, addresses: &[Vec<u8>]) -> Reply {
        let mut stream = self.open().await.expect("a stream");
        stream.write_all(&request(addresses)).await.expect("written");
        stream.flush().await.expect("written");
        reply(&mut stream).await
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Status(u64),
    Price(u64),
    /// The stream ended.
    Nothing,
}

pub const REJECTED: Reply = Reply::Status(100);
pub const REFUSED: Reply = Reply::Status(101);

/// A DialRequest, with its length before it.
pub fn request(addresses: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Vec::new();
    for address in addresses {
        request.extend(field(1, address));
    }
    request.push(2 << 3 | 1);
    request.extend(7_u64.to_le_bytes());
    framed(&field(1, &request))
}

/// Data, with its length before it.
pub fn data(length: usize) -> Vec<u8> {
    framed(&field(4, &field(1, &vec![0; length])))
}

pub async fn reply(stream: &mut Stream) -> Reply {
    let mut first = [0];
    match stream.read(&mut first).await {
        Ok(1) => {}
        Ok(_) | Err(_) => return Reply::Nothing,
    }
    let mut message = vec![0; usize::from(first[0])];
    if stream.read_exact(&mut message).await.is_err() {
        return Reply::Nothing;
    }
    // [kind, length, field 1, number, field 2, number...]; a number that is 0 may be left out.
    match message[..] {
        [0x12, _, 0x08, ref rest @ ..] => Reply::Status(varint(rest)),
        [0x12, ..] => Reply::Status(0),
        [0x1a, _, 0x08, _, 0x10, ref rest @ ..] => Reply::Price(varint(rest)),
        _ => panic!("{message:?}"),
    }
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &framed(bytes)].concat()
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut length) = (Vec::new(), bytes.len());
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

fn varint(bytes: &[u8]) -> u64 {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).expect("a number");
    bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}
