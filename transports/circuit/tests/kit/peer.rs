//! A peer with libp2p's relay client that echoes what comes on its streams.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder, identify,
    identity::Keypair,
    noise, relay,
    swarm::{ListenError, NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use libp2p_stream::Control;
use tokio::sync::mpsc;

use super::{PATIENCE, Relay};

pub(crate) const ECHO: StreamProtocol = StreamProtocol::new("/echo/1");

#[derive(NetworkBehaviour)]
struct Node {
    client: relay::client::Behaviour,
    identify: identify::Behaviour,
    streams: libp2p_stream::Behaviour,
}

enum Order {
    Listen(Multiaddr),
    Dial(Multiaddr),
    Disconnect(PeerId),
}

/// What a peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Saw {
    /// The relay lists these addresses for us.
    Address(Multiaddr),
    /// It granted a reservation, or renewed it; its limits.
    Reserved {
        renewal: bool,
        seconds: Option<u64>,
        bytes: Option<u64>,
    },
    /// A listener is gone, and why.
    ListenerClosed(String),
    Connected(PeerId, bool),
    Disconnected(PeerId, bool),
    NotConnected(String),
    Protocols(PeerId, Vec<StreamProtocol>),
}

/// A peer in a task of its own.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    control: Control,
    orders: mpsc::UnboundedSender<Order>,
    saw: mpsc::UnboundedReceiver<Saw>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    pub(crate) fn start() -> Self {
        let mut swarm = SwarmBuilder::with_existing_identity(Keypair::generate_ed25519())
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .expect("TCP")
            .with_relay_client(noise::Config::new, yamux::Config::default)
            .expect("a relay client")
            .with_behaviour(|key, client| Node {
                client,
                identify: identify::Behaviour::new(identify::Config::new("/peer/1".into(), key.public())),
                streams: libp2p_stream::Behaviour::new(),
            })
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        let mut control = swarm.behaviour().streams.new_control();
        let mut incoming = control.accept(ECHO).expect("nobody else does");
        tokio::spawn(async move {
            while let Some((_, stream)) = incoming.next().await {
                tokio::spawn(echo(stream));
            }
        });
        let id = *swarm.local_peer_id();
        let (orders, mut ordered) = mpsc::unbounded_channel();
        let (say, saw) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => {
                        if let Some(saw) = said(event) {
                            let _ = say.send(saw);
                        }
                    }
                    order = ordered.recv() => match order {
                        Some(Order::Listen(address)) => { swarm.listen_on(address).expect("a relayed address"); }
                        Some(Order::Dial(address)) => {
                            if let Err(error) = swarm.dial(DialOpts::from(address)) {
                                let _ = say.send(Saw::NotConnected(error.to_string()));
                            }
                        }
                        Some(Order::Disconnect(peer)) => { let _ = swarm.disconnect_peer_id(peer); }
                        None => return,
                    },
                }
            }
        });
        Self { id, control, orders, saw, task }
    }

    /// One that has a reservation.
    pub(crate) async fn reserved_at(relay: &Relay) -> Self {
        let mut peer = Self::start();
        peer.listen(relay);
        peer.wait(|saw| matches!(saw, Saw::Reserved { .. }).then_some(())).await;
        peer
    }

    pub(crate) fn listen(&self, relay: &Relay) {
        let _ = self.orders.send(Order::Listen(relay.circuit()));
    }

    /// Listens anew if the relay's refusal, or its lateness, ended a listener.
    pub(crate) fn listen_again(&mut self, relay: &Relay) {
        while let Ok(saw) = self.saw.try_recv() {
            if matches!(saw, Saw::ListenerClosed(_)) {
                self.listen(relay);
            }
        }
    }

    pub(crate) fn dial(&self, address: Multiaddr) {
        let _ = self.orders.send(Order::Dial(address));
    }

    pub(crate) fn disconnect(&self, peer: PeerId) {
        let _ = self.orders.send(Order::Disconnect(peer));
    }

    /// Connects through the relay.
    pub(crate) async fn reach(&mut self, relay: &Relay, peer: PeerId) -> Result<(), String> {
        self.dial(relay.circuit_to(peer));
        self.wait(|saw| match saw {
            Saw::Connected(connected, true) if *connected == peer => Some(Ok(())),
            Saw::NotConnected(error) => Some(Err(error.clone())),
            _ => None,
        })
        .await
    }

    pub(crate) async fn wait<T>(&mut self, mut wanted: impl FnMut(&Saw) -> Option<T>) -> T {
        let mut passed = Vec::new();
        let found = async {
            loop {
                let saw = self.saw.recv().await.expect("the peer runs");
                if let Some(found) = wanted(&saw) {
                    return found;
                }
                passed.push(saw);
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("it is seen in time; what was: {passed:?}"))
    }

    pub(crate) async fn stream(&self, peer: PeerId) -> Result<Stream, String> {
        let mut control = self.control.clone();
        let opened = tokio::time::timeout(PATIENCE, control.open_stream(peer, ECHO));
        opened.await.map_err(|_| "too slow".to_owned())?.map_err(|error| error.to_string())
    }

    /// Sends bytes to a peer, which sends them back.
    pub(crate) async fn echo(&self, peer: PeerId, bytes: &[u8]) -> Result<(), String> {
        let stream = self.stream(peer).await?;
        let (mut reader, mut writer) = stream.split();
        let mut back = Vec::with_capacity(bytes.len());
        let send = async {
            writer.write_all(bytes).await?;
            writer.close().await
        };
        let both = async { futures::try_join!(send, reader.read_to_end(&mut back)) };
        let done = tokio::time::timeout(PATIENCE, both).await.map_err(|_| "too slow".to_owned())?;
        done.map_err(|error| error.to_string())?;
        if back == bytes { Ok(()) } else { Err(format!("{} of {} bytes came back", back.len(), bytes.len())) }
    }
}

fn said(event: SwarmEvent<NodeEvent>) -> Option<Saw> {
    Some(match event {
        SwarmEvent::NewListenAddr { address, .. } => Saw::Address(address),
        SwarmEvent::ListenerClosed { reason, .. } => {
            Saw::ListenerClosed(reason.err().map(|error| chain(&error)).unwrap_or_default())
        }
        SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
            Saw::Connected(peer_id, endpoint.is_relayed())
        }
        SwarmEvent::ConnectionClosed { peer_id, endpoint, .. } => {
            Saw::Disconnected(peer_id, endpoint.is_relayed())
        }
        SwarmEvent::OutgoingConnectionError { error, .. } => Saw::NotConnected(format!("{error:?}")),
        SwarmEvent::IncomingConnectionError { error: ListenError::Denied { .. }, .. } => return None,
        SwarmEvent::Behaviour(NodeEvent::Client(relay::client::Event::ReservationReqAccepted {
            renewal,
            limit,
            ..
        })) => Saw::Reserved {
            renewal,
            seconds: limit.and_then(|limit| Some(limit.duration()?.as_secs())),
            bytes: limit.and_then(|limit| limit.data_in_bytes()),
        },
        SwarmEvent::Behaviour(NodeEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
            Saw::Protocols(peer_id, info.protocols)
        }
        _ => return None,
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|error| format!("{error} {error:?}")).collect::<Vec<_>>().join(": ")
}

async fn echo(mut stream: Stream) {
    let mut bytes = vec![0; 32 << 10];
    loop {
        match stream.read(&mut bytes).await {
            Ok(0) => {
                let _ = stream.close().await;
                return;
            }
            Ok(read) if stream.write_all(&bytes[..read]).await.is_ok() => {}
            Ok(_) | Err(_) => return,
        }
    }
}
