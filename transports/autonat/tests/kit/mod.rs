//! Nodes on the loopback.
#![allow(dead_code, unreachable_pub, missing_debug_implementations, unnameable_types, missing_docs)]

pub mod attacker;
pub mod program;
pub mod spy;

use std::{collections::VecDeque, time::Duration};

use autonat::{Scope, client, server};
use futures::{FutureExt as _, StreamExt as _, future::select_all};
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, Transport as _,
    core::{muxing::StreamMuxerBox, transport::PortUse, upgrade},
    identify, noise, quic,
    swarm::{ConnectionId, NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use spy::{Dials, Spy};
use tokio::{task::JoinHandle, time::timeout};

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(40);

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub identify: identify::Behaviour,
    pub client: client::Behaviour,
    pub server: server::Behaviour,
}

pub const ALL: [autonat::Transport; 6] = [
    autonat::Transport::Tcp,
    autonat::Transport::Quic,
    autonat::Transport::WebSocket,
    autonat::Transport::SecureWebSocket,
    autonat::Transport::WebTransport,
    autonat::Transport::WebRtcDirect,
];

pub struct Node {
    pub swarm: Swarm<Behaviour>,
    pub client_events: VecDeque<client::Event>,
    pub server_events: VecDeque<server::Event>,
    pub listening: Vec<Multiaddr>,
    /// Peers whose protocols are known.
    pub identified: Vec<(PeerId, identify::Info)>,
    /// Connections that were made, and whether we dialed.
    pub made: Vec<(ConnectionId, PeerId, bool)>,
    pub closed: Vec<ConnectionId>,
    dials: Dials,
}

pub fn client_config() -> client::Config {
    client::Config { scope: Scope::Loopback, ..client::Config::default() }
}

pub fn server_config() -> server::Config {
    server::Config { enabled: true, scope: Scope::Loopback, ..server::Config::default() }
}

impl Node {
    pub fn new(client: client::Config, server: server::Config) -> Self {
        let dials = Dials::default();
        let spy = dials.clone();
        let swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_other_transport(|key| {
                let tcp = tcp::tokio::Transport::default()
                    .upgrade(upgrade::Version::V1)
                    .authenticate(noise::Config::new(key).expect("noise"))
                    .multiplex(yamux::Config::default())
                    .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                    .boxed();
                let quic = quic::tokio::Transport::new(quic::Config::new(key))
                    .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                    .boxed();
                let both = tcp.or_transport(quic).map(|either, _| either.into_inner()).boxed();
                Spy::new(both, spy)
            })
            .expect("transports")
            .with_behaviour(|key| Behaviour {
                identify: identify::Behaviour::new(
                    identify::Config::new("/test/1".to_owned(), key.public()).with_hide_listen_addrs(true),
                ),
                client: client::Behaviour::new(client, key.public().to_peer_id()),
                server: server::Behaviour::new(server),
            })
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
            .build();
        Self {
            swarm,
            client_events: VecDeque::new(),
            server_events: VecDeque::new(),
            listening: Vec::new(),
            identified: Vec::new(),
            made: Vec::new(),
            closed: Vec::new(),
            dials,
        }
    }

    /// Serves and listens.
    pub async fn server() -> Self {
        let mut node = Self::new(client_config(), server_config());
        node.listen("/ip4/127.0.0.1/tcp/0").await;
        node
    }

    /// Asks and does not listen yet.
    pub fn client() -> Self {
        Self::new(client_config(), server::Config::default())
    }

    pub fn id(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    pub async fn listen(&mut self, address: &str) -> Multiaddr {
        self.swarm.listen_on(address.parse().expect("a multiaddr")).expect("it listens");
        let before = self.listening.len();
        while self.listening.len() == before {
            self.step().await;
        }
        self.listening.last().expect("just came").clone()
    }

    /// Connects, and waits until the other side's protocols are known.
    pub async fn connect(&mut self, other: &mut Self) {
        self.swarm.dial(other.listening[0].clone()).expect("dialed");
        let them = other.id();
        drive_until(self, &mut [other], |node| node.knows(them).then_some(())).await;
    }

    pub fn knows(&self, peer: PeerId) -> bool {
        self.identified.iter().any(|(known, _)| *known == peer)
    }

    pub fn set_candidate(&mut self, address: &Multiaddr) {
        self.swarm.behaviour_mut().client.set_candidates([address.clone()]);
    }

    /// The next event about this address; identify names further candidates.
    pub fn event_about(&mut self, of: &Multiaddr) -> Option<client::Event> {
        let about = |event: &client::Event| match event {
            client::Event::Verdict { address, .. } | client::Event::Expired { address } => address == of,
        };
        let index = self.client_events.iter().position(about)?;
        self.client_events.remove(index)
    }

    /// What was served about this address.
    pub fn served(&mut self, address: &Multiaddr) -> Option<server::Event> {
        let index = self.server_events.iter().position(|event| event.address.as_ref() == Some(address))?;
        self.server_events.remove(index)
    }

    /// What the transports were told to dial.
    pub fn dials(&self) -> Vec<(Multiaddr, PortUse)> {
        self.dials.lock().expect("not poisoned").clone()
    }

    /// Runs on its own from here.
    pub fn run(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                self.step().await;
            }
        })
    }

    pub async fn step(&mut self) {
        match self.swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => self.listening.push(address),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.made.push((connection_id, peer_id, endpoint.is_dialer()));
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => self.closed.push(connection_id),
            SwarmEvent::Behaviour(BehaviourEvent::Client(event)) => self.client_events.push_back(event),
            SwarmEvent::Behaviour(BehaviourEvent::Server(event)) => self.server_events.push_back(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => {
                self.identified.push((peer_id, info));
            }
            _ => {}
        }
    }
}

/// What the others say of this address of `asker`.
pub async fn verdict(asker: &mut Node, others: &mut [&mut Node], address: &Multiaddr) -> client::Event {
    drive_until(asker, others, |node| node.event_about(address)).await
}

/// Lets all go on until `node` has what is waited for.
pub async fn drive_until<T>(
    node: &mut Node,
    others: &mut [&mut Node],
    mut found: impl FnMut(&mut Node) -> Option<T>,
) -> T {
    timeout(PATIENCE, async {
        loop {
            if let Some(found) = found(node) {
                return found;
            }
            let all = others.iter_mut().map(|other| other.step().boxed_local());
            select_all(all.chain([node.step().boxed_local()])).await;
        }
    })
    .await
    .expect("it comes in time")
}
