//! A cable before a socket, which can be pulled and plugged in again: neither end hears of it.

use std::{
    collections::HashMap,
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::house::any_port;

/// Largest datagram that is carried.
const DATAGRAM: usize = 64 * 1024;

/// A cable for TCP. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Cable {
    addr: SocketAddr,
    /// Cancelled when it is pulled; another one takes its place when it is plugged in.
    pulled: watch::Sender<CancellationToken>,
    dropped: CancellationToken,
    listening: AbortHandle,
}

impl Cable {
    /// A cable that leads to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(any_port()).await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let (pulled, dropped) = (watch::Sender::new(CancellationToken::new()), CancellationToken::new());
        let ends = (pulled.subscribe(), dropped.clone());
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (pulled, dropped) = (ends.0.borrow().clone(), ends.1.clone());
                tokio::spawn(async move { dropped.run_until_cancelled(carry(near, target, pulled)).await });
            }
        });
        Self { addr, pulled, dropped, listening: listening.abort_handle() }
    }

    /// Its near end.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on nothing goes through it, in either direction.
    pub fn pull(&self) {
        self.pulled.borrow().cancel();
    }

    /// New connections go through it again. Those of before stay dead, as if a router had forgotten them.
    pub fn plug(&self) {
        self.pulled.send_replace(CancellationToken::new());
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.listening.abort();
        self.dropped.cancel();
    }
}

async fn carry(mut near: TcpStream, target: SocketAddr, pulled: CancellationToken) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    if pulled.run_until_cancelled(copy_bidirectional(&mut near, &mut far)).await.is_none() {
        pending::<()>().await; // holding both sockets
    }
}

/// A cable for UDP, with a port of its own towards the target for each sender, as a router has.
#[derive(Debug)]
pub struct UdpCable {
    addr: SocketAddr,
    pulled: Arc<AtomicBool>,
    forget: watch::Sender<()>,
    carrying: AbortHandle,
}

impl UdpCable {
    /// A cable that leads to `target`.
    pub async fn to(target: SocketAddr) -> Self {
        let near = Arc::new(UdpSocket::bind(any_port()).await.expect("a free port"));
        let addr = near.local_addr().expect("bound");
        let pulled = Arc::new(AtomicBool::new(false));
        let forget = watch::Sender::new(());
        let carrying = tokio::spawn(carry_datagrams(near, target, Arc::clone(&pulled), forget.subscribe()));
        Self { addr, pulled, forget, carrying: carrying.abort_handle() }
    }

    /// Its near end.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on nothing goes through it, in either direction.
    pub fn pull(&self) {
        self.pulled.store(true, Ordering::Relaxed);
    }

    /// Datagrams go through it again, from other ports than before.
    pub fn plug(&self) {
        self.forget.send_replace(());
        self.pulled.store(false, Ordering::Relaxed);
    }
}

impl Drop for UdpCable {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry_datagrams(
    near: Arc<UdpSocket>,
    target: SocketAddr,
    pulled: Arc<AtomicBool>,
    mut forget: watch::Receiver<()>,
) -> io::Result<()> {
    let mut mappings: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let (length, from) = tokio::select! {
            received = near.recv_from(&mut datagram) => received?,
            Ok(()) = forget.changed() => {
                mappings.clear();
                answers.abort_all();
                continue;
            }
        };
        if pulled.load(Ordering::Relaxed) {
            continue;
        }
        let far = match mappings.get(&from) {
            Some(far) => Arc::clone(far),
            None => {
                let far = Arc::new(UdpSocket::bind(any_port()).await?);
                far.connect(target).await?;
                let (near, back, pulled) = (Arc::clone(&near), Arc::clone(&far), Arc::clone(&pulled));
                answers.spawn(async move {
                    let mut datagram = vec![0; DATAGRAM];
                    while let Ok(length) = back.recv(&mut datagram).await {
                        if !pulled.load(Ordering::Relaxed) {
                            let _ = near.send_to(&datagram[..length], from).await; // may get lost
                        }
                    }
                });
                mappings.insert(from, Arc::clone(&far));
                far
            }
        };
        let _ = far.send(&datagram[..length]).await;
    }
}
