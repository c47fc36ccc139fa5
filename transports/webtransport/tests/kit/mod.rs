//! A listener with its sessions, and a client that may break every rule.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod client;

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub(crate) use client::{Client, PATH, capsule, client_config, frame, request, varint};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p_core::{
    Multiaddr, Transport as _,
    multiaddr::Protocol,
    muxing::{StreamMuxer, StreamMuxerExt},
    transport::{ListenerId, TransportEvent},
};
use libp2p_identity::{Keypair, PeerId};
use tokio::sync::mpsc;
use webtransport::{Certhash, Config, Error, Handle, ManualClock, Session, SessionError, Transport};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a node says of itself.
#[derive(Debug)]
pub(crate) enum Said {
    Address(Multiaddr),
    Expired(Multiaddr),
    Closed,
    Session(PeerId),
    Failed(Error),
    Ended(SessionError),
}

enum Told {
    Remove,
    CloseSessions,
}

/// A transport with one listener, in a task. Its sessions echo what comes on their streams.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) clock: ManualClock,
    said: mpsc::Receiver<Said>,
    told: mpsc::Sender<Told>,
}

pub(crate) const START: u64 = 1_795_300_000;

pub(crate) fn identity() -> Keypair {
    Keypair::ed25519_from_bytes([9; 32]).expect("a key")
}

pub(crate) fn listen_address() -> Multiaddr {
    "/ip4/127.0.0.1/udp/0/quic-v1/webtransport".parse().expect("an address")
}

impl Node {
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> (Self, Multiaddr) {
        let mut node = Self::listen(listen_address(), change);
        let address = node.address().await;
        (node, address)
    }

    pub(crate) fn listen(address: Multiaddr, change: impl FnOnce(&mut Config)) -> Self {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(START));
        let mut config = Config::new(&identity()).expect("ed25519");
        config.clock = Arc::new(clock.clone());
        change(&mut config);
        let mut transport = Transport::new(config).expect("a transport");
        let id = ListenerId::next();
        transport.listen_on(id, address).expect("listening");
        let handle = transport.handle();
        let (say, said) = mpsc::channel(4096);
        let (tell, told) = mpsc::channel(4);
        tokio::spawn(run(transport, id, say, told));
        Self { handle, clock, said, told: tell }
    }

    pub(crate) async fn said(&mut self) -> Said {
        let said = tokio::time::timeout(PATIENCE, self.said.recv()).await.expect("something is said in time");
        said.expect("the node runs")
    }

    pub(crate) async fn address(&mut self) -> Multiaddr {
        match self.said().await {
            Said::Address(address) => address,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn expired(&mut self) -> Multiaddr {
        match self.said().await {
            Said::Expired(address) => address,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn session(&mut self) -> PeerId {
        match self.said().await {
            Said::Session(peer) => peer,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn failed(&mut self) -> Error {
        match self.said().await {
            Said::Failed(error) => error,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn ended(&mut self) -> SessionError {
        match self.said().await {
            Said::Ended(error) => error,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn remove_listener(&self) {
        self.told.send(Told::Remove).await.expect("the node runs");
    }

    pub(crate) async fn close_sessions(&self) {
        self.told.send(Told::CloseSessions).await.expect("the node runs");
    }
}

async fn run(
    mut transport: Transport,
    id: ListenerId,
    say: mpsc::Sender<Said>,
    mut told: mpsc::Receiver<Told>,
) {
    let close = tokio::sync::watch::Sender::new(false);
    loop {
        let event = tokio::select! {
            event = poll_fn(|cx| Pin::new(&mut transport).poll(cx)) => event,
            told = told.recv() => match told {
                Some(Told::Remove) => {
                    assert!(transport.remove_listener(id));
                    continue;
                }
                Some(Told::CloseSessions) => {
                    close.send_replace(true);
                    continue;
                }
                None => return,
            },
        };
        let said = match event {
            TransportEvent::NewAddress { listen_addr, .. } => Said::Address(listen_addr),
            TransportEvent::AddressExpired { listen_addr, .. } => Said::Expired(listen_addr),
            TransportEvent::ListenerClosed { .. } => Said::Closed,
            TransportEvent::ListenerError { error, .. } => Said::Failed(error),
            TransportEvent::Incoming { upgrade, .. } => {
                let (say, close) = (say.clone(), close.subscribe());
                tokio::spawn(async move {
                    match upgrade.await {
                        Ok((peer, session)) => {
                            let _ = say.send(Said::Session(peer)).await;
                            let _ = say.send(Said::Ended(live(session, close).await)).await;
                        }
                        Err(error) => drop(say.send(Said::Failed(error)).await),
                    }
                });
                continue;
            }
        };
        if say.send(said).await.is_err() {
            return;
        }
    }
}

async fn told(close: &mut tokio::sync::watch::Receiver<bool>) {
    if close.wait_for(|close| *close).await.is_err() {
        std::future::pending().await
    }
}

/// Drives a session as a swarm does, and echoes on its streams.
async fn live(mut session: Session, mut close: tokio::sync::watch::Receiver<bool>) -> SessionError {
    loop {
        let stream = tokio::select! {
            stream = poll_fn(|cx| match Pin::new(&mut session).poll(cx) {
                std::task::Poll::Ready(Err(error)) => std::task::Poll::Ready(Err(error)),
                _ => session.poll_inbound_unpin(cx),
            }) => stream,
            () = told(&mut close) => {
                session.close().await.expect("closing does not fail");
                return SessionError::ClosedHere;
            }
        };
        match stream {
            Ok(mut stream) => drop(tokio::spawn(async move {
                let mut bytes = vec![0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                    if stream.write_all(&bytes[..length]).await.is_err() {
                        return;
                    }
                }
                let _ = stream.close().await;
            })),
            Err(error) => return error,
        }
    }
}

/// The socket and the hashes of an address.
pub(crate) fn target(address: &Multiaddr) -> (SocketAddr, Vec<Certhash>) {
    let (mut ip, mut port, mut hashes) = (None, None, Vec::new());
    for part in address {
        match part {
            Protocol::Ip4(v4) => ip = Some(v4.into()),
            Protocol::Ip6(v6) => ip = Some(v6.into()),
            Protocol::Udp(number) => port = Some(number),
            Protocol::Certhash(hash) => hashes.push(hash),
            _ => {}
        }
    }
    (SocketAddr::new(ip.expect("an IP"), port.expect("a port")), hashes)
}
