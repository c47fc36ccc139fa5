//! Nodes on the loopback.
#![allow(dead_code, unreachable_pub)]

use std::{collections::VecDeque, time::Duration};

use autonat::{Scope, Transport, client, server};
use futures::{FutureExt as _, StreamExt as _, future::select_all};
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, identify, noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::time::timeout;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub identify: identify::Behaviour,
    pub client: client::Behaviour,
    pub server: server::Behaviour,
}

pub struct Node {
    pub swarm: Swarm<Behaviour>,
    client_events: VecDeque<client::Event>,
    server_events: Vec<server::Event>,
    pub listening: Vec<Multiaddr>,
    pub connected: Vec<PeerId>,
    pub dialed: Vec<PeerId>,
}

pub fn client_config() -> client::Config {
    client::Config { scope: Scope::Loopback, ..client::Config::default() }
}

pub fn server_config() -> server::Config {
    server::Config { enabled: true, scope: Scope::Loopback, ..server::Config::default() }
}

impl Node {
    pub fn new(client: client::Config, server: server::Config) -> Self {
        let swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .expect("TCP")
            .with_quic()
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
            server_events: Vec::new(),
            listening: Vec::new(),
            connected: Vec::new(),
            dialed: Vec::new(),
        }
    }

    /// Serves and listens.
    pub async fn server() -> Self {
        let mut node = Self::new(client_config(), server_config());
        node.listen("/ip4/127.0.0.1/tcp/0").await;
        node
    }

    /// Asks and does not listen yet.
    pub async fn client() -> Self {
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

    /// Until identify told both.
    pub async fn connect(&mut self, other: &mut Self) {
        self.swarm.dial(other.listening[0].clone()).expect("dialed");
        let (us, them) = (self.connected.len(), other.connected.len());
        drive_until(self, &mut [other], |node| (node.connected.len() > us).then_some(())).await;
        drive_until(other, &mut [self], |node| (node.connected.len() > them).then_some(())).await;
    }

    pub fn client_event(&mut self) -> Option<client::Event> {
        self.client_events.pop_front()
    }

    pub fn server_events(&self) -> &[server::Event] {
        &self.server_events
    }

    pub async fn step(&mut self) {
        match self.swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => self.listening.push(address),
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                self.connected.push(peer_id);
                if endpoint.is_dialer() {
                    self.dialed.push(peer_id);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Client(event)) => self.client_events.push_back(event),
            SwarmEvent::Behaviour(BehaviourEvent::Server(event)) => self.server_events.push(event),
            _ => {}
        }
    }
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

pub const ALL: [Transport; 2] = [Transport::Tcp, Transport::Quic];
