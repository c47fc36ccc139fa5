//! A relay, and peers that use libp2p's own relay client.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod peer;
mod raw;

use std::{sync::Arc, time::Duration};

use circuit::{Accounts, Behaviour, Config, Event, Policy};
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, SwarmBuilder, identify,
    identity::Keypair,
    noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
pub(crate) use peer::{ECHO, Peer, Saw};
pub(crate) use raw::{RESERVE, Raw, code, connect, receive, send};
use tokio::sync::mpsc;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

type Order = Box<dyn FnOnce(&mut Behaviour) + Send>;

#[derive(NetworkBehaviour)]
struct Node {
    circuit: Behaviour,
    identify: identify::Behaviour,
}

/// A relay in a task of its own, on a loopback port.
pub(crate) struct Relay {
    pub(crate) peer: PeerId,
    pub(crate) address: Multiaddr,
    pub(crate) accounts: Accounts,
    events: mpsc::UnboundedReceiver<Event>,
    orders: mpsc::UnboundedSender<Order>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// With limits that are out of the way unless `change` brings them in.
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_policy(change, Arc::new(circuit::Everybody)).await
    }

    pub(crate) async fn with_policy(change: impl FnOnce(&mut Config), policy: Arc<dyn Policy>) -> Self {
        let mut config = Config::default();
        let often = circuit::Rate { burst: 1_000_000, every: Duration::from_millis(1) };
        config.limits.reserve_rate = often;
        config.limits.reserve_rate_per_address = often;
        config.limits.connect_rate = often;
        config.limits.connect_rate_per_address = often;
        config.limits.reservations_per_address = 1000;
        config.limits.circuits_per_address = 1000;
        config.limits.handshake = Duration::from_secs(5);
        change(&mut config);
        let key = Keypair::generate_ed25519();
        let mut swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .expect("TCP")
            .with_behaviour(|key| Node {
                circuit: Behaviour::new(key, config).with_policy(policy),
                identify: identify::Behaviour::new(identify::Config::new("/relay/1".into(), key.public())),
            })
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_millis(500)))
            .build();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("listening");
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        let peer = *swarm.local_peer_id();
        swarm.behaviour_mut().circuit.set_addresses([address.clone()]);
        swarm.behaviour_mut().circuit.set_enabled(true);
        let accounts = swarm.behaviour().circuit.accounts();
        let (say, events) = mpsc::unbounded_channel();
        let (orders, mut ordered) = mpsc::unbounded_channel::<Order>();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => {
                        if let SwarmEvent::Behaviour(NodeEvent::Circuit(event)) = event {
                            let _ = say.send(event);
                        }
                    }
                    order = ordered.recv() => match order {
                        Some(order) => order(&mut swarm.behaviour_mut().circuit),
                        None => return,
                    },
                }
            }
        });
        let address = address.with_p2p(peer).expect("a peer id");
        Self { peer, address, accounts, events, orders, task }
    }

    /// The address under which a peer is reached through this relay.
    pub(crate) fn circuit_to(&self, peer: PeerId) -> Multiaddr {
        format!("{}/p2p-circuit/p2p/{peer}", self.address).parse().expect("an address")
    }

    /// Where a peer that wants a reservation listens.
    pub(crate) fn circuit(&self) -> Multiaddr {
        format!("{}/p2p-circuit", self.address).parse().expect("an address")
    }

    pub(crate) async fn with<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Behaviour) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let order = move |behaviour: &mut Behaviour| {
            let _ = answer.send(order(behaviour));
        };
        self.orders.send(Box::new(order)).expect("the relay runs");
        answered.await.expect("the relay runs")
    }

    /// The next event that is wanted; others are passed over.
    pub(crate) async fn event<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the relay runs");
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the event comes in time")
    }

    /// All events so far.
    pub(crate) fn seen(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    pub(crate) fn runs(&self) -> bool {
        !self.task.is_finished()
    }

    /// Waits until neither circuits nor their accounts are left.
    pub(crate) async fn is_empty(&self) {
        let empty = async {
            while self.with(|behaviour| behaviour.circuits()).await > 0
                || self.accounts.total().circuits_out > 0
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, empty).await.expect("all circuits end");
    }
}

/// Bytes that do not repeat soon.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}
